use netsonde_disk::OpenFile;
use redb::StorageBackend;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The ring's file as its library wants it, over the steps of a disk. Whoever opens it has locked it.
#[derive(Debug)]
pub(super) struct Storage(Mutex<Box<dyn OpenFile>>);

impl Storage {
    pub(super) fn over(file: Box<dyn OpenFile>) -> Self {
        Self(Mutex::new(file))
    }

    fn file(&self) -> MutexGuard<'_, Box<dyn OpenFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Storage {
    fn len(&self) -> io::Result<u64> {
        self.file().length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file().read_at(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file().set_length(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file().sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file().write_at(offset, data)
    }
}
