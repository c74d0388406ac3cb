use crate::disk::{read_json, write_json};
use crate::state::StateDirectory;
use crate::state_names;
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::id::OrderId;
use netsonde_contract::order::{Epoch, Epochs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

const FILE: &str = state_names::TAKEN;
/// More orders than anybody gives one machine in two epochs; with more, none is taken.
const MAX_IDS: usize = 10_000;
/// Ids stay this long after the order's end, for clocks that are set back.
const MARGIN: SignedDuration = SignedDuration::from_hours(24);

/// Ids of orders that were taken, so that none is taken twice. An id stays until the order has expired by the clock *and* the epoch in which
/// it was taken counts no longer: a clock that jumps ahead and back again forgets nothing.
pub(crate) struct Taken {
    path: PathBuf,
    ids: BTreeMap<OrderId, Mark>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Mark {
    expires: Timestamp,
    /// The current epoch when the order was taken: the order's own is this one or the one before.
    epoch: Epoch,
}

impl Taken {
    /// # Errors
    /// Where the file is damaged: then nobody knows what ran, and no order may.
    pub(crate) fn open(state: &StateDirectory) -> io::Result<Self> {
        let path = state.path().join(FILE);
        let ids = read_json(&path)?.unwrap_or_default();
        Ok(Self { path, ids })
    }

    pub(crate) fn contains(&self, id: &OrderId) -> bool {
        self.ids.contains_key(id)
    }

    /// Notes that the order is taken; it is on the disk when this returns.
    ///
    /// # Errors
    /// Where the disk refuses or there are too many: then the order may not run.
    pub(crate) fn add(&mut self, id: &OrderId, expires: Timestamp, epochs: &Epochs, now: Timestamp) -> io::Result<()> {
        self.ids.retain(|_, mark| epochs.accepts(&mark.epoch) || now.duration_since(mark.expires) < MARGIN);
        if self.ids.len() >= MAX_IDS {
            return Err(io::Error::other(format!("{MAX_IDS} orders were taken lately")));
        }
        self.ids.insert(id.clone(), Mark { expires, epoch: epochs.current.clone() });
        write_json(&self.path, &self.ids).inspect_err(|_| {
            self.ids.remove(id);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_id_survives_restarts_and_clocks_that_jump() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let epoch = |seed| Epoch::from_bytes([seed; 16]);
        let id = |seed| OrderId::from_bytes([seed; 16]);
        let at = |hour: i64| Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap();
        let mut epochs = Epochs::begin(epoch(1), None, Duration::ZERO);
        Taken::open(&state).unwrap().add(&id(1), at(1), &epochs, at(0)).unwrap();
        let mut taken = Taken::open(&state).unwrap();
        assert!(taken.contains(&id(1)) && !taken.contains(&id(2)));
        // A year ahead, and back: the epoch still counts.
        taken.add(&id(2), at(9000), &epochs, at(8999)).unwrap();
        assert!(taken.contains(&id(1)));
        epochs.renew(epoch(2), None, Duration::ZERO);
        epochs.renew(epoch(3), None, Duration::ZERO);
        taken.add(&id(3), at(2), &epochs, at(1)).unwrap();
        assert!(taken.contains(&id(1)), "the clock may have been set back");
        taken.add(&id(4), at(40), &epochs, at(39)).unwrap();
        assert!(!taken.contains(&id(1)) && taken.contains(&id(2)));
        std::fs::write(folder.path().join(FILE), "damaged").unwrap();
        assert!(Taken::open(&state).is_err());
    }
}
