//! Strings that a person copies from a message into a command.
//!
//! `PREFIX_` and base64url (RFC 4648 section 5, no padding) of a JSON payload followed by the first four bytes of its SHA-256, so that a
//! paste that lost its end or was changed by an editor is told apart from a forged or expired one. White space, which mail programs
//! insert, is ignored. The prefix ends in the version of the layout; keys that this version does not know are ignored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Enough for 32 targets and every parameter; keeps a pasted page out of the decoder.
const MAX_CHARS: usize = 32 * 1024;
const CHECKSUM_BYTES: usize = 4;

/// Why a pasted string cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasteError {
    #[error("it does not begin with the expected letters: copy the whole string, from the first letter on")]
    OtherPrefix,
    #[error("it was made for a newer version of netsonde: update the program")]
    NewerVersion,
    #[error("it is damaged, most likely cut off or changed on the way: copy the whole string again")]
    Damaged,
    #[error("its parts do not make sense: ask for a new one")]
    Malformed,
}

/// The string that stands for `payload`; `prefix` such as `nst1_`.
pub(crate) fn encode(prefix: &str, payload: &impl Serialize) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(crate::bundle::json_bytes(payload));
    let checksum = Sha256::digest(&*bytes);
    bytes.extend_from_slice(&checksum[..CHECKSUM_BYTES]);
    Zeroizing::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(&*bytes)))
}

pub(crate) fn decode<T: DeserializeOwned>(prefix: &str, text: &str) -> Result<T, PasteError> {
    if text.len() > MAX_CHARS {
        return Err(PasteError::Malformed);
    }
    let text: Zeroizing<String> = Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect());
    let Some(encoded) = text.strip_prefix(prefix) else {
        let family = prefix.trim_end_matches(|c: char| c == '_' || c.is_ascii_digit());
        let newer = text.strip_prefix(family).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        return Err(if newer { PasteError::NewerVersion } else { PasteError::OtherPrefix });
    };
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| PasteError::Damaged)?);
    let (payload, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(PasteError::Damaged)?;
    if Sha256::digest(payload)[..CHECKSUM_BYTES] != *checksum {
        return Err(PasteError::Damaged);
    }
    serde_json::from_slice(payload).map_err(|_| PasteError::Malformed)
}

/// A backend's base URL in the one form that paths are appended to: http or https, no final slash, no user information, no query.
pub(crate) fn base_url(text: &str) -> Option<String> {
    let target = crate::target::Target::parse(text, crate::target::TargetForm::Url).ok()?;
    let has_scheme = text.contains("://");
    let plain = !text.contains(['?', '#']);
    (has_scheme && plain).then(|| text.trim_end_matches('/').to_owned()).filter(|_| target.url().is_some())
}
