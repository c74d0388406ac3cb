use crate::cutting::Subject;
use netsonde_agent::faults::Auditor;
use netsonde_disk::Disk;
use std::collections::BTreeSet;
use std::io;

/// The agent's audit log: each deed notes one entry, and the log is put aside twice on the way. A chain that does not hold is told as damage.
pub(crate) struct Log(Auditor);

impl Subject for Log {
    const DEEDS: u64 = 6;

    fn begin(disk: Disk) -> io::Result<Self> {
        Auditor::begin(disk).map(Self)
    }

    fn perform(&self, deed: u64) -> io::Result<()> {
        self.0.note(deed)
    }

    fn present(&self) -> Result<BTreeSet<u64>, String> {
        self.0.noted().map(|noted| noted.into_iter().collect())
    }
}
