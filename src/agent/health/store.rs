use super::HealthBook;
use crate::disk::replace_file;
use crate::state::{StateDirectory, put_aside};
use crate::state_names;
use std::fs::File;
use std::io::{self, Read};

const FILE: &str = state_names::HEALTH;
/// A check takes some two kilobytes, with its usual times; sixty-four schedules with thirty checks each stay below this.
const MAX_BYTES: u64 = 8 << 20;

/// What was known. A damaged file is put aside as `health.damaged`: states begin anew as unknown.
///
/// # Errors
/// Where there is a file and it cannot be read or put aside.
pub(crate) fn load(state: &StateDirectory) -> io::Result<HealthBook> {
    let path = state.path().join(FILE);
    let mut bytes = Vec::new();
    match File::open(&path) {
        Ok(file) => file.take(MAX_BYTES).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HealthBook::default()),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice(&bytes) {
        Ok(book) => Ok(book),
        Err(_) => put_aside(&path, "the states of all checks begin anew as unknown").map(|()| HealthBook::default()),
    }
}

/// # Errors
/// Where the disk refuses.
pub(crate) fn save(state: &StateDirectory, book: &HealthBook) -> io::Result<()> {
    replace_file(&state.path().join(FILE), &serde_json::to_vec(book).map_err(io::Error::other)?)
}
