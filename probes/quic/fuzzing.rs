//! The parsers of what a QUIC library does not show, one function each.

use super::{close, messages, versions};

/// Messages of a handshake with transport parameters.
pub(crate) fn handshake(bytes: &[u8]) {
    messages::read(bytes);
}

/// Version negotiation, Retry, and the reason of a close.
pub(crate) fn packet(bytes: &[u8]) {
    if let Some(listed) = versions::negotiation(bytes) {
        assert!(listed.len() <= versions::MAX_VERSIONS);
        versions::names(&listed);
    }
    versions::is_retry(bytes);
    assert!(close::reason(bytes).len() <= close::MAX_REASON_BYTES);
}
