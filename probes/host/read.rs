//! Bounded reads of the files in which a system tells of itself.

use std::fs::File;
use std::io::{self, Read};

/// The largest is the list of sockets, of which this holds some hundred thousand.
pub(super) const MAX_BYTES: u64 = 16 << 20;

/// The file's text, at most [`MAX_BYTES`] of it; bytes that are no text are replaced.
///
/// # Errors
/// The system's own.
pub(super) fn text(path: &str) -> io::Result<String> {
    // On Windows such a path would be one of the current drive, which anybody may have made.
    if cfg!(windows) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first word of the file as a number.
pub(super) fn number(path: &str) -> Option<u64> {
    text(path).ok()?.split_whitespace().next()?.parse().ok()
}
