use super::Persisted;
use crate::disk::replace_file;
use crate::state::{StateDirectory, put_aside};
use crate::state_names;
use std::fs::File;
use std::io::{self, Read};

const FILE: &str = state_names::SCHEDULES;
/// Sixty-four schedules need some ten kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// What was kept, or nothing: a file that is damaged is put aside as `schedules.damaged`, and the schedules begin anew.
///
/// # Errors
/// Where there is a file and it cannot be read or put aside.
pub(crate) fn load(state: &StateDirectory) -> io::Result<Option<Persisted>> {
    let path = state.path().join(FILE);
    let mut bytes = Vec::new();
    match File::open(&path) {
        Ok(file) => file.take(MAX_BYTES).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice(&bytes) {
        Ok(persisted) => Ok(Some(persisted)),
        Err(_) => put_aside(&path, "slots are counted anew").map(|()| None),
    }
}

/// # Errors
/// Where the disk refuses; the slots that were taken must not be run then.
pub(crate) fn save(state: &StateDirectory, persisted: &Persisted) -> io::Result<()> {
    replace_file(&state.path().join(FILE), &serde_json::to_vec(persisted).map_err(io::Error::other)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_damaged_file_is_put_aside_and_costs_no_start() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        assert!(load(&state).unwrap().is_none());
        fs::write(folder.path().join(FILE), "{\"elapsed\":").unwrap();
        assert!(load(&state).unwrap().is_none());
        assert!(folder.path().join("schedules.damaged").exists() && !folder.path().join(FILE).exists());
    }
}
