use crate::disk::{create_private_folder, file_of, read_json, sync_folder, write_json};
use crate::state::StateDirectory;
use crate::state_names;
use jiff::Timestamp;
use netsonde_contract::id::OrderId;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

const FOLDER: &str = state_names::STANDING;
/// Each may hold half a megabyte and runs as often as the policy lets it.
pub(crate) const MAX_HELD: usize = 16;

/// What stays on the disk of an order that is repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shelved {
    pub(crate) id: OrderId,
    /// As it was signed.
    pub(crate) envelope: String,
    /// By the wall clock.
    pub(crate) taken: Timestamp,
    /// A person at the machine said yes to it.
    #[serde(default)]
    pub(crate) approved: bool,
    /// When it was taken up, on the schedules' own scale of time that passed; none where no schedule has seen it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) began_ms: Option<u64>,
}

/// The folder of all of them.
pub(crate) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    pub(crate) fn of(state: &StateDirectory) -> Self {
        Self { folder: state.path().join(FOLDER) }
    }

    /// What is there, in the order of their ids. A damaged file is as good as none: what it was cannot be said, so that it does not run.
    pub(crate) fn all(&self) -> Vec<Shelved> {
        let Ok(files) = self.folder.read_dir() else { return Vec::new() };
        let read = |path: PathBuf| {
            let shelved: Option<Shelved> = read_json(&path).unwrap_or_default();
            shelved.filter(|shelved| self.file(&shelved.id).is_ok_and(|own| own == path))
        };
        let mut all: Vec<Shelved> = files.flatten().filter_map(|file| read(file.path())).take(MAX_HELD).collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all
    }

    pub(crate) fn has(&self, id: &OrderId) -> bool {
        self.file(id).is_ok_and(|file| file.exists())
    }

    /// Keeps it; it is on the disk when this returns.
    pub(crate) fn put(&self, shelved: &Shelved) -> io::Result<()> {
        create_private_folder(&self.folder)?;
        write_json(&self.file(&shelved.id)?, shelved)
    }

    /// Whether it was there.
    pub(crate) fn remove(&self, id: &OrderId) -> io::Result<bool> {
        match std::fs::remove_file(self.file(id)?) {
            Ok(()) => sync_folder(&self.folder).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn file(&self, id: &OrderId) -> io::Result<PathBuf> {
        file_of(&self.folder, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shelved_survives_and_what_is_damaged_does_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let shelf = Shelf::of(&state);
        assert!(shelf.all().is_empty());
        let one = |seed| Shelved {
            id: OrderId::from_bytes([seed; 16]),
            envelope: "{}".to_owned(),
            taken: Timestamp::UNIX_EPOCH,
            approved: false,
            began_ms: None,
        };
        shelf.put(&one(2)).unwrap();
        shelf.put(&one(1)).unwrap();
        std::fs::write(folder.path().join(FOLDER).join("broken.json"), "{").unwrap();
        // A file under another order's name is nobody's.
        std::fs::copy(shelf.file(&one(1).id).unwrap(), shelf.file(&one(3).id).unwrap()).unwrap();
        assert_eq!(Shelf::of(&state).all(), [one(1), one(2)]);
        assert!(shelf.remove(&one(1).id).unwrap() && !shelf.remove(&one(1).id).unwrap());
        assert!(shelf.has(&one(2).id) && !shelf.has(&one(1).id));
    }

    #[test]
    fn what_is_no_id_names_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let (shelf, kept) = (Shelf::of(&state), folder.path().join("kept.json"));
        create_private_folder(&shelf.folder).unwrap();
        std::fs::write(&kept, "{}").unwrap();
        let absolute = folder.path().join("kept");
        for text in [absolute.to_str().unwrap(), "../kept", "./../kept", ""] {
            let id = OrderId::new(text);
            assert!(!shelf.has(&id) && shelf.remove(&id).is_err() && kept.exists(), "{text}");
        }
    }
}
