//! The parser of captured headers.

use super::headers::{Transport, read};

/// A captured packet, and the one that it quotes.
pub(crate) fn packet(bytes: &[u8]) {
    let Some(headers) = read(bytes) else { return };
    assert!(headers.length <= bytes.len(), "more headers than packet");
    if let Transport::IcmpError { quoted_at } = headers.transport {
        bytes.get(quoted_at..).and_then(read);
    }
    super::is_loopback(bytes);
}
