use std::error::Error;
use std::io;

/// What a damaged database is said to be, wherever it shows.
pub(crate) const DAMAGED: &str = "the database is damaged; stop the server, keep a copy of its files, restore the latest backup and start again: agents send once more what they still have, and netsonde-backend verify tells what is missing";

/// What kind of failure lies beneath an error, as far as it makes a difference to whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The disk, or what this program may have of it, is full.
    Full,
    /// The database contradicts itself.
    Damaged,
    Other,
}

/// SQLITE_FULL, and SQLITE_IOERR_SHMSIZE, which is the same for the index of the log that is shared.
const FULL: [&str; 2] = ["13", "4874"];
/// SQLITE_CORRUPT with its extended codes for tables, sequences and indexes; and SQLITE_NOTADB.
const CORRUPT: [&str; 5] = ["11", "267", "523", "779", "26"];

impl Trouble {
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            match Self::itself(error) {
                Self::Other => cause = error.source(),
                trouble => return trouble,
            }
        }
        Self::Other
    }

    fn itself(error: &(dyn Error + 'static)) -> Self {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
                _ => Self::Other,
            };
        }
        let Some(sqlx::Error::Database(error)) = error.downcast_ref::<sqlx::Error>() else { return Self::Other };
        match error.code() {
            Some(code) if FULL.contains(&&*code) => Self::Full,
            Some(code) if CORRUPT.contains(&&*code) => Self::Damaged,
            _ => Self::Other,
        }
    }
}
