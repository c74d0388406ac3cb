//! The container: plain ustar (POSIX.1-1988) in one gzip member (RFC 1952), written so that the same files give the same bytes, and
//! read so that nothing but such an archive passes.

mod header;
mod read;
mod write;

pub(super) use read::{is_plain_name, read};
#[cfg(any(test, feature = "fuzzing"))]
pub(super) use write::compress;
#[cfg(test)]
pub(super) use write::tar;
pub(super) use write::write;

/// Headers and contents fill whole blocks.
const BLOCK: usize = 512;
