use crate::disk::{create_private_folder, read_json, write_json};
use crate::state::StateDirectory;
use jiff::Timestamp;
use netsonde_contract::api::fleet::{DeliveryState, StateReport};
use netsonde_contract::id::{BundleId, CaseId, OrderId};
use netsonde_contract::order::{MerkleProof, Order, Refusal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

const FOLDER: &str = "orders";
/// Orders that are over and can still be shown.
const MAX_OVER: usize = 200;
/// Orders that wait for a person or for their turn: each may hold half a megabyte.
pub(crate) const MAX_WAITING: usize = 32;

/// One order on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: OrderId,
    pub(crate) state: DeliveryState,
    /// The last state that the backend has heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reported: Option<DeliveryState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// What decided, such as `orders.remote, line 7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decided: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bundle: Option<BundleId>,
    /// A person at the machine said yes to it.
    #[serde(default)]
    pub(crate) approved: bool,
    pub(crate) received: Timestamp,
    /// What follows is known of orders that verified only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) about: Option<About>,
    /// The envelope and its proof, as long as the order may still run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) envelope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proof: Option<MerkleProof>,
}

/// What an order is about, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) expires: Timestamp,
    pub(crate) case: CaseId,
    pub(crate) requester: String,
    #[serde(default)]
    pub(crate) reason: String,
    pub(crate) set: String,
    pub(crate) targets: Vec<String>,
    /// Fingerprints of whose signatures counted.
    pub(crate) signers: Vec<String>,
}

impl About {
    pub(crate) fn of(order: &Order, set: &str, signers: Vec<String>) -> Self {
        Self {
            expires: order.expires,
            case: order.case.clone(),
            requester: order.requester.clone(),
            reason: order.reason.clone(),
            set: set.to_owned(),
            targets: order.targets.clone(),
            signers,
        }
    }
}

impl Record {
    pub(crate) fn new(id: &OrderId, state: DeliveryState, received: Timestamp) -> Self {
        Self {
            id: id.clone(),
            state,
            reported: None,
            code: None,
            detail: None,
            decided: None,
            bundle: None,
            approved: false,
            received,
            about: None,
            envelope: None,
            proof: None,
        }
    }

    pub(crate) fn refused(self, refusal: &Refusal) -> Self {
        self.ended(DeliveryState::Refused, Some((refusal.code.as_str(), &refusal.detail)))
    }

    /// An order that is over keeps no envelope: it will not run again.
    pub(crate) fn ended(self, state: DeliveryState, why: Option<(&str, &str)>) -> Self {
        Self {
            state,
            code: why.map(|(code, _)| code.to_owned()),
            detail: why.map(|(_, detail)| detail.to_owned()),
            envelope: None,
            proof: None,
            ..self
        }
    }

    pub(crate) fn report(&self) -> StateReport {
        StateReport { state: self.state, code: self.code.clone(), detail: self.detail.clone(), bundle: self.bundle.clone() }
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.reported == Some(self.state)
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, DeliveryState::Asked | DeliveryState::Accepted)
    }
}

/// Every order that came, a file each.
pub(crate) struct Book {
    folder: PathBuf,
    records: BTreeMap<OrderId, Record>,
}

impl Book {
    /// Reads what is there. A damaged file is as good as none: that its order was taken is known elsewhere.
    pub(crate) fn open(state: &StateDirectory) -> io::Result<Self> {
        let folder = state.path().join(FOLDER);
        create_private_folder(&folder)?;
        let mut records = BTreeMap::new();
        for file in folder.read_dir()?.flatten() {
            let record: Option<Record> = read_json(&file.path()).unwrap_or_default();
            if let Some(record) = record.filter(|record| file.path() == place(&folder, &record.id)) {
                records.insert(record.id.clone(), record);
            }
        }
        Ok(Self { folder, records })
    }

    /// Keeps the record; it is on the disk when this returns.
    pub(crate) fn put(&mut self, record: Record) -> io::Result<()> {
        // What happened has happened, whether or not the disk takes it.
        let kept = write_json(&place(&self.folder, &record.id), &record);
        self.records.insert(record.id.clone(), record);
        self.forget_oldest();
        kept
    }

    pub(crate) fn get(&self, id: &OrderId) -> Option<&Record> {
        self.records.get(id)
    }

    /// The newest first.
    pub(crate) fn all(&self) -> Vec<&Record> {
        let mut all: Vec<&Record> = self.records.values().collect();
        all.sort_by_key(|record| std::cmp::Reverse(record.received));
        all
    }

    /// All that is not over, but for one of them.
    pub(crate) fn open_but(&self, except: Option<&OrderId>) -> Vec<Record> {
        self.records.values().filter(|record| !record.state.is_final() && Some(&record.id) != except).cloned().collect()
    }

    /// Orders in `state`, in the order in which they came.
    pub(crate) fn in_state(&self, state: DeliveryState) -> Vec<OrderId> {
        let mut found: Vec<&Record> = self.records.values().filter(|record| record.state == state).collect();
        found.sort_by_key(|record| record.received);
        found.into_iter().map(|record| record.id.clone()).collect()
    }

    /// The order whose state the backend has not heard of, the longest known first.
    pub(crate) fn unreported(&self) -> Option<&Record> {
        self.records.values().filter(|record| !record.is_reported()).min_by_key(|record| record.received)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.records.values().filter(|record| record.is_waiting()).count()
    }

    fn forget_oldest(&mut self) {
        let mut over: Vec<&Record> = self.records.values().filter(|record| record.state.is_final()).collect();
        over.sort_by_key(|record| record.received);
        let excess = over.len().saturating_sub(MAX_OVER);
        let gone: Vec<OrderId> = over.into_iter().take(excess).map(|record| record.id.clone()).collect();
        for id in gone {
            let _ = std::fs::remove_file(place(&self.folder, &id));
            self.records.remove(&id);
        }
    }
}

fn place(folder: &Path, id: &OrderId) -> PathBuf {
    folder.join(format!("{id}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_and_old_ones_that_are_over_go() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let mut book = Book::open(&state).unwrap();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let id = |number: usize| OrderId::new(format!("{number:032x}"));
        book.put(Record::new(&id(0), DeliveryState::Asked, at(0))).unwrap();
        for number in 1..=MAX_OVER + 2 {
            book.put(Record::new(&id(number), DeliveryState::Refused, at(number as i64))).unwrap();
        }
        std::fs::write(folder.path().join(FOLDER).join("broken.json"), "{").unwrap();
        let book = Book::open(&state).unwrap();
        assert_eq!(book.all().len(), MAX_OVER + 1);
        assert!(book.get(&id(0)).is_some() && book.get(&id(1)).is_none() && book.get(&id(3)).is_some());
        assert_eq!(book.in_state(DeliveryState::Asked), [id(0)]);
        assert_eq!(book.unreported().unwrap().id, id(0));
    }
}
