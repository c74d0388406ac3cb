use crate::cutting::Subject;
use netsonde_agent::faults::Debtor;
use netsonde_disk::Disk;
use std::collections::BTreeSet;
use std::io;

/// What the agent owes of failures: each deed is one of which a bundle is owed, made, and noted as made. A second bundle of one failure is told as damage.
pub(crate) struct Owed(Debtor);

impl Subject for Owed {
    const DEEDS: u64 = 3;

    fn begin(disk: Disk) -> io::Result<Self> {
        Debtor::begin(disk).map(Self)
    }

    /// A failure that was noted is not noted again: whoever began after it has taken up what is owed of it.
    fn perform(&self, deed: u64) -> io::Result<()> {
        if self.0.knows(deed) { Ok(()) } else { self.0.fail(deed) }
    }

    fn present(&self) -> Result<BTreeSet<u64>, String> {
        let (bundles, mut present) = (self.0.bundles(), BTreeSet::new());
        match bundles.into_iter().find(|failure| !present.insert(*failure)) {
            Some(twice) => Err(format!("failure {twice} has two bundles")),
            None => Ok(present),
        }
    }
}
