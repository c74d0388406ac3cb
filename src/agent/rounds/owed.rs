//! Targets that became failing and of which no bundle is made yet. They are on the disk before the state that says so: an agent that is stopped in the
//! middle of a deep run looks again when it starts.

use super::running::Fault;
use crate::disk::{read_json, write_json};
use crate::state::StateDirectory;
use crate::state_names;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::io;

const FILE: &str = state_names::OWED;
/// Whoever owes more measures a network that is down, which the first of them tell.
const MOST: usize = 256;
/// What is seen later than this tells little of what was wrong then.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

/// A bundle that is to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Owed {
    pub(super) schedule: String,
    #[serde(flatten)]
    pub(super) fault: Fault,
    since: Timestamp,
}

impl Owed {
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        now.duration_since(self.since) > LONGEST
    }
}

/// What is owed. Of a file that is damaged nothing is known, which costs a bundle and no more.
pub(super) fn all(state: &StateDirectory) -> Vec<Owed> {
    read_json(&state.path().join(FILE)).ok().flatten().unwrap_or_default()
}

/// Notes that a bundle of each is to be made. The caller holds the state directory's lock.
///
/// # Errors
/// Where the disk refuses.
pub(super) fn add(state: &StateDirectory, schedule: &str, faults: &[Fault], since: Timestamp) -> io::Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let mut owed = all(state);
    owed.retain(|owed| owed.schedule != schedule || faults.iter().all(|fault| fault.target != owed.fault.target));
    owed.extend(faults.iter().map(|fault| Owed { schedule: schedule.to_owned(), fault: fault.clone(), since }));
    owed.truncate(MOST);
    write_json(&state.path().join(FILE), &owed)
}

/// A bundle of the target is made, or there is to be none. The caller holds the state directory's lock.
///
/// # Errors
/// Where the disk refuses.
pub(super) fn settle(state: &StateDirectory, schedule: &str, target: Option<&str>) -> io::Result<()> {
    let owed = all(state);
    let (settled, left): (Vec<_>, Vec<_>) =
        owed.into_iter().partition(|owed| owed.schedule == schedule && owed.fault.target.as_deref() == target);
    if settled.is_empty() { Ok(()) } else { write_json(&state.path().join(FILE), &left) }
}
