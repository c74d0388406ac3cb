use crate::disk::{create_private_folder, file_of, read_json, write_json};
use crate::state::StateDirectory;
use crate::state_names;
use jiff::Timestamp;
use netsonde_contract::api::fleet::{DeliveryState, MAX_DETAIL_CHARS, StateReport};
use netsonde_contract::harmless::clean_up_to;
use netsonde_contract::id::{BundleId, CaseId, OrderId};
use netsonde_contract::order::{Epochs, MerkleProof, Order, Refusal, SPREAD};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

const FOLDER: &str = state_names::ORDERS;
/// Orders that are over and can still be shown.
const MAX_OVER: usize = 150;
/// The same of orders that were never seen to be signed. A backend makes as many of them as it likes: they push out each other, and none that an
/// engineer gave.
const MAX_UNSIGNED: usize = 50;
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
    /// It does not begin before this moment, which is this agent's own of the order's spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) begins: Option<Timestamp>,
    /// What follows is known of orders that verified only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) about: Option<About>,
    /// The envelope and its proof, as long as the order may still run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) envelope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proof: Option<MerkleProof>,
    /// The epochs that counted when it was taken: it was fresh then, and is taken once only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) epochs: Option<Epochs>,
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
            begins: None,
            about: None,
            envelope: None,
            proof: None,
            epochs: None,
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
            // A refusal quotes what it refuses, which may be as long as an order.
            detail: why.map(|(_, detail)| clean_up_to(detail, MAX_DETAIL_CHARS).into_owned()),
            envelope: None,
            proof: None,
            epochs: None,
            ..self
        }
    }

    /// It runs when its turn comes, which is said where that is later.
    pub(crate) fn accepted(self) -> Self {
        let later = self.begins.map(|begins| format!("it begins at {begins:.0}, this agent's own moment of the order's spread"));
        let code = later.as_ref().map(|_| SPREAD.to_owned());
        Self { state: DeliveryState::Accepted, code, detail: later, ..self }
    }

    pub(crate) fn report(&self) -> StateReport {
        StateReport { state: self.state, code: self.code.clone(), detail: self.detail.clone(), bundle: self.bundle.clone() }
            .harmless()
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.reported == Some(self.state)
    }

    /// How long until it may begin. A clock that was set back since it came puts nothing off.
    pub(crate) fn until_begin(&self, now: Timestamp) -> Duration {
        let Some(begins) = self.begins.filter(|begins| (self.received..*begins).contains(&now)) else { return Duration::ZERO };
        begins.duration_since(now).unsigned_abs()
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
            if let Some(record) = record.filter(|record| file_of(&folder, &record.id).is_ok_and(|own| own == file.path())) {
                records.insert(record.id.clone(), record);
            }
        }
        Ok(Self { folder, records })
    }

    /// Keeps the record; it is on the disk when this returns.
    pub(crate) fn put(&mut self, record: Record) -> io::Result<()> {
        // What happened has happened, whether or not the disk takes it.
        let kept = file_of(&self.folder, &record.id).and_then(|file| write_json(&file, &record));
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

    /// The order whose state the backend has not heard of, the longest known first of those that `may` be told.
    pub(crate) fn unreported(&self, may: impl Fn(&OrderId) -> bool) -> Option<&Record> {
        self.records.values().filter(|record| !record.is_reported() && may(&record.id)).min_by_key(|record| record.received)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.records.values().filter(|record| record.is_waiting()).count()
    }

    fn forget_oldest(&mut self) {
        let over = self.records.values().filter(|record| record.state.is_final());
        let (signed, unsigned): (Vec<&Record>, Vec<&Record>) = over.partition(|record| record.about.is_some());
        let gone = [oldest(signed, MAX_OVER), oldest(unsigned, MAX_UNSIGNED)].concat();
        for id in gone {
            let _ = file_of(&self.folder, &id).and_then(std::fs::remove_file);
            self.records.remove(&id);
        }
    }
}

/// Those that go, where the newest `most` stay.
fn oldest(mut records: Vec<&Record>, most: usize) -> Vec<OrderId> {
    records.sort_by_key(|record| record.received);
    records.iter().take(records.len().saturating_sub(most)).map(|record| record.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_waits_for_its_moment_and_for_no_clock_that_was_set_back() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let record = Record::new(&OrderId::from_bytes([1; 16]), DeliveryState::Accepted, at(100));
        assert_eq!(record.until_begin(at(100)), Duration::ZERO);
        let record = Record { begins: Some(at(400)), ..record };
        for (now, wait) in [(100, 300), (399, 1), (400, 0), (9_000, 0), (99, 0), (-9_000, 0)] {
            assert_eq!(record.until_begin(at(now)), Duration::from_secs(wait), "{now}");
        }
    }

    #[test]
    fn records_survive_and_old_ones_that_are_over_go() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let mut book = Book::open(&state).unwrap();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let id = |number: usize| OrderId::new(format!("{number:032x}"));
        let about = About {
            expires: at(0),
            case: CaseId::new("1"),
            requester: String::new(),
            reason: String::new(),
            set: String::new(),
            targets: Vec::new(),
            signers: Vec::new(),
        };
        let refused = |number: usize| Record::new(&id(number), DeliveryState::Refused, at(number as i64));
        book.put(Record::new(&id(0), DeliveryState::Asked, at(0))).unwrap();
        for number in 1..=MAX_OVER + 2 {
            book.put(Record { about: Some(about.clone()), ..refused(number) }).unwrap();
        }
        for number in 1_000..1_000 + MAX_UNSIGNED * 2 {
            book.put(refused(number)).unwrap();
        }
        std::fs::write(folder.path().join(FOLDER).join("broken.json"), "{").unwrap();
        let book = Book::open(&state).unwrap();
        assert_eq!(book.all().len(), 1 + MAX_OVER + MAX_UNSIGNED);
        assert!(book.get(&id(0)).is_some() && book.get(&id(2)).is_none() && book.get(&id(3)).is_some());
        assert!(book.get(&id(1_000)).is_none(), "what nobody signed pushes out its like alone");
        assert_eq!(book.in_state(DeliveryState::Asked), [id(0)]);
        assert_eq!(book.unreported(|_| true).unwrap().id, id(0));
        assert_eq!(book.unreported(|order| *order != id(0)).unwrap().id, id(3));
    }
}
