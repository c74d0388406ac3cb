//! The headers of an upload, read strictly: structured fields (RFC 9651), Content-Digest (RFC 9530 section 2).

use crate::problem::Refused;
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use netsonde_contract::api::{DRAFT_INTEROP_VERSION, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, Refused> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(value)), None) => Ok(value.trim()),
        (None, _) => Err(Refused::malformed(format!("The header {name} is missing."))),
        _ => Err(Refused::malformed(format!("The header {name} cannot be read."))),
    }
}

/// A byte count, in digits only.
pub(super) fn count(headers: &HeaderMap, name: &'static str) -> Result<u64, Refused> {
    let text = text(headers, name)?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| Refused::malformed(format!("The header {name} is not a number of bytes.")))
}

/// `Upload-Complete: ?1` or `?0`.
pub(super) fn complete(headers: &HeaderMap) -> Result<bool, Refused> {
    match text(headers, header::UPLOAD_COMPLETE)? {
        "?1" => Ok(true),
        "?0" => Ok(false),
        _ => Err(Refused::malformed("The header upload-complete must be ?0 or ?1.")),
    }
}

pub(super) fn interop(headers: &HeaderMap) -> Result<(), Refused> {
    let given = text(headers, header::DRAFT_INTEROP)?;
    if given == DRAFT_INTEROP_VERSION {
        return Ok(());
    }
    Err(Refused::malformed(format!("This backend speaks interop version {DRAFT_INTEROP_VERSION} of resumable uploads."))
        .next_step("Use a netsonde whose version is near the backend's."))
}

/// 32 bytes in base64.
pub(super) fn key(headers: &HeaderMap) -> Result<VerifyingKey, Refused> {
    let refused = || Refused::malformed("The header netsonde-key is not an Ed25519 key in base64.");
    let bytes = STANDARD.decode(text(headers, header::KEY)?).map_err(|_| refused())?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| refused())?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| refused())
}

/// The SHA-256 that `Content-Digest` names; other algorithms beside it are passed over.
pub(super) fn digest(headers: &HeaderMap) -> Result<[u8; 32], Refused> {
    let refused = || Refused::malformed("The header content-digest must name a sha-256.");
    let member = text(headers, header::CONTENT_DIGEST)?
        .split(',')
        .find_map(|member| member.trim().strip_prefix("sha-256=:")?.strip_suffix(':'))
        .ok_or_else(refused)?;
    STANDARD.decode(member).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(refused)
}

pub(super) fn digest_fits(digest: &[u8; 32], bytes: &[u8]) -> bool {
    let actual: [u8; 32] = Sha256::digest(bytes).into();
    actual.ct_eq(digest).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        [(axum::http::HeaderName::from_static(name), HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn a_digest_is_found_among_others_and_a_damaged_one_is_refused() {
        let sha256 = "sha-512=:AAAA:, sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        let digest_of_nothing = digest(&headers(header::CONTENT_DIGEST, sha256)).ok().unwrap();
        assert!(digest_fits(&digest_of_nothing, b""));
        assert!(!digest_fits(&digest_of_nothing, b"x"));
        for damaged in ["", "sha-256=47DE", "sha-256=:47DE:", "md5=:AAAA:"] {
            assert!(digest(&headers(header::CONTENT_DIGEST, damaged)).is_err(), "{damaged}");
        }
    }

    #[test]
    fn a_signed_or_empty_number_is_no_byte_count() {
        assert_eq!(count(&headers(header::UPLOAD_LENGTH, "42"), header::UPLOAD_LENGTH).ok(), Some(42));
        for wrong in ["", "-1", "+1", "1.0", "99999999999999999999"] {
            assert!(count(&headers(header::UPLOAD_LENGTH, wrong), header::UPLOAD_LENGTH).is_err(), "{wrong}");
        }
    }
}
