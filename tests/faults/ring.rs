use crate::cutting::Subject;
use netsonde_agent::faults::Recorder;
use netsonde_disk::Disk;
use std::collections::BTreeSet;
use std::io;

/// The agent's flight recorder: each deed notes one measurement. A ring that a crash damages is put aside and begun anew, which here is a loss.
pub(crate) struct Ring(Recorder);

impl Subject for Ring {
    const DEEDS: u64 = 3;

    fn begin(disk: Disk) -> io::Result<Self> {
        Recorder::begin(disk).map(Self)
    }

    fn perform(&self, deed: u64) -> io::Result<()> {
        match self.0.note(deed)? {
            false => Ok(()),
            true => Err(io::Error::other("the ring was damaged and begun anew")),
        }
    }

    fn present(&self) -> Result<BTreeSet<u64>, String> {
        self.0.noted().map(|noted| noted.into_iter().collect()).map_err(|error| error.to_string())
    }
}
