//! When the backend last heard of the checks, on the disk, for whoever asks how the agent is.

use crate::disk::{read_json, write_json};
use crate::state::StateDirectory;
use crate::state_names;
use jiff::Timestamp;
use std::io;

const FILE: &str = state_names::CONTACT;

/// # Errors
/// Where the disk refuses.
pub(crate) fn note(state: &StateDirectory, at: Timestamp) -> io::Result<()> {
    write_json(&state.path().join(FILE), &at)
}

/// None where it never did, or nobody can tell.
pub(crate) fn last(state: &StateDirectory) -> Option<Timestamp> {
    read_json(&state.path().join(FILE)).ok().flatten()
}
