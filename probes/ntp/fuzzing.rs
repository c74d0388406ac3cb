//! The parser of time servers' answers.

use super::packet;

/// A packet as the answer to the question whose cookie it carries.
pub(crate) fn answer(bytes: &[u8]) {
    let cookie = bytes.get(24..32).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_be_bytes);
    if let Ok(answer) = packet::read(bytes, cookie) {
        assert!(!answer.server.reference_id.chars().any(char::is_control));
    }
}
