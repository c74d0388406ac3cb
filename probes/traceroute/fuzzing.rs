//! The parsers of routers' errors and of targets' answers, one function each.

use crate::packet::{self, Body, extension, segment};
use std::net::Ipv6Addr;

/// ICMP and ICMPv6 with quoted packets and extensions.
pub(crate) fn message(bytes: &[u8]) {
    for message in [packet::parse_v4(bytes), packet::parse_v6(bytes, Ipv6Addr::LOCALHOST)].into_iter().flatten() {
        if let Body::Error { quote, labels, .. } = message.body {
            assert!(labels.len() <= extension::MAX_LABELS && quote.transport.len() < bytes.len());
            packet::word(quote.transport, 2);
        }
    }
}

/// An extension structure by itself (RFC 4884 section 7), whatever its checksum says.
pub(crate) fn extension(bytes: &[u8]) {
    let mut structure = bytes.to_vec();
    if let Some(sum) = structure.get_mut(2..4) {
        sum.fill(0);
    }
    assert!(extension::labels(&structure).len() <= extension::MAX_LABELS);
    extension::labels(bytes);
}

/// TCP segments.
pub(crate) fn segment(bytes: &[u8]) {
    segment::parse(bytes, true);
    segment::parse(bytes, false);
}
