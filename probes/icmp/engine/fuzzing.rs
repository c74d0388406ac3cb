//! The parser of echo replies and of errors about echo requests.

use super::packet::{Signature, queued_sequence};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Seeds answer requests with this signature.
const OURS: Signature = Signature { identifier: 0x4e53, nonce: *b"8 bytes!", size: 56 };

/// What any of the sockets may get.
pub(crate) fn message(bytes: &[u8]) {
    OURS.parse_raw_v4(bytes);
    for from in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        OURS.parse(bytes, from, true);
        OURS.parse(bytes, from, false);
    }
    queued_sequence(bytes);
}
