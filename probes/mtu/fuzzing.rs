//! The parser of what answers the segments that search for the path MTU.

use super::tcp;

pub(crate) fn heard(bytes: &[u8]) {
    tcp::fuzz(bytes);
}
