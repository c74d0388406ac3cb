//! Targets that became failing and of which no bundle is made yet. They are on the disk before the state that says so: an agent that is stopped in the
//! middle of a deep run looks again when it starts. Each bundle says in the spool which failure it is made of, in the step that puts it there, so that an agent
//! that was killed before it could strike that failure off this list finds its bundle and makes no second one.

use super::running::Fault;
use crate::spool::Entry;
use crate::state::StateDirectory;
use crate::state_names;
use jiff::{SignedDuration, Timestamp};
use netsonde_disk::Disk;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = state_names::OWED;
/// Whoever owes more measures a network that is down, which the first of them tell.
const MOST: usize = 256;
/// What is seen later than this tells little of what was wrong then.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

/// A bundle that is to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Owed {
    pub(crate) schedule: String,
    #[serde(flatten)]
    pub(crate) fault: Fault,
}

impl Owed {
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        now.duration_since(self.fault.since) > LONGEST
    }

    /// Whether it is the bundle that is owed.
    pub(crate) fn is_in(&self, entry: &Entry) -> bool {
        entry.schedule.as_ref() == Some(&self.schedule) && entry.failure.as_ref() == Some(&self.fault.failure())
    }
}

/// The list of them. Whoever changes it holds the state directory's lock.
pub(crate) struct Owing {
    disk: Disk,
    file: PathBuf,
}

impl Owing {
    pub(super) fn of(state: &StateDirectory) -> Self {
        Self::on(Disk::system(), state.path())
    }

    /// The same in a state directory on any disk.
    pub(crate) fn on(disk: Disk, state: &Path) -> Self {
        Self { disk, file: state.join(FILE) }
    }

    /// What is owed. Of a file that is damaged nothing is known, which costs a bundle and no more.
    pub(crate) fn all(&self) -> Vec<Owed> {
        self.disk.files().read(&self.file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Notes that a bundle of each is to be made.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(crate) fn add(&self, schedule: &str, faults: &[Fault]) -> io::Result<()> {
        let Some(first) = faults.first() else { return Ok(()) };
        let mut owed = self.all();
        owed.retain(|owed| !owed.is_late(first.since));
        owed.extend(faults.iter().map(|fault| Owed { schedule: schedule.to_owned(), fault: fault.clone() }));
        owed.truncate(MOST);
        self.write(&owed)
    }

    /// Keeps the bundle of a failure, tells who has to hear of it, and only then, never before, strikes the failure off. What became of the last two stands beside
    /// what was kept: whoever starts next does both again. What `tell` gives is held until the end: the state directory's lock, where others write there.
    ///
    /// # Errors
    /// Where the bundle is not kept; it is owed still.
    pub(crate) fn settle<K, L, E>(
        &self,
        (schedule, fault): (&str, &Fault),
        keep: impl FnOnce() -> Result<K, E>,
        tell: impl FnOnce(&K) -> io::Result<L>,
    ) -> Result<(K, io::Result<()>), E> {
        let kept = keep()?;
        let struck = tell(&kept).and_then(|_held| self.made(schedule, fault));
        Ok((kept, struck))
    }

    /// A bundle of the failure is in the spool. It tells of those before it, too, of the same target, that had none.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(crate) fn made(&self, schedule: &str, fault: &Fault) -> io::Result<()> {
        self.strike(|owed| owed.schedule == schedule && owed.fault.target == fault.target && owed.fault.since <= fault.since)
    }

    /// There is to be none of this failure. One that is owed of an earlier failure of the same target may be under way, and stays owed until it is kept.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(super) fn waive(&self, schedule: &str, fault: &Fault) -> io::Result<()> {
        self.strike(|owed| owed.schedule == schedule && owed.fault.failure() == fault.failure())
    }

    fn strike(&self, is_over: impl Fn(&Owed) -> bool) -> io::Result<()> {
        let (over, left): (Vec<_>, Vec<_>) = self.all().into_iter().partition(is_over);
        if over.is_empty() { Ok(()) } else { self.write(&left) }
    }

    fn write(&self, owed: &[Owed]) -> io::Result<()> {
        self.disk.replace(&self.file, &serde_json::to_vec(owed).map_err(io::Error::other)?)
    }
}
