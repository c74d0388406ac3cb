//! HTTP message signatures (RFC 9421) of an agent's requests: Ed25519 over method, authority, path, query and the body's digest.
//!
//! TLS alone would not do: inspecting proxies, which the agent has to live with, end it. Only the one form that [`sign`] writes is read, so
//! that there is nothing to choose for whoever sends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// The header with what is covered (RFC 9421 section 4.1).
pub const SIGNATURE_INPUT: &str = "signature-input";
/// The header with the signature (RFC 9421 section 4.2).
pub const SIGNATURE: &str = "signature";
/// A signature counts this long before and after its time; a nonce has to be remembered twice as long.
pub const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

const LABEL: &str = "netsonde";
const COMPONENTS: &str = r#"("@method" "@authority" "@path" "@query" "content-digest")"#;
/// A nonce is 16 to 64 characters of base64url or hexadecimal.
const NONCE_CHARS: std::ops::RangeInclusive<usize> = 16..=64;

/// What of a request is signed.
#[derive(Clone, Copy, Debug)]
pub struct Covered<'a> {
    /// In upper case.
    pub method: &'a str,
    /// Host and, unless it is the scheme's own, port, in lower case.
    pub authority: &'a str,
    pub path: &'a str,
    /// Without the question mark; empty where there is none.
    pub query: &'a str,
    /// [`content_digest`] of the body, of an empty one too.
    pub content_digest: &'a str,
}

/// The two headers' values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    pub input: String,
    pub signature: String,
}

/// Whose signature it says it is, read before anything is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub key_id: String,
    pub created: Timestamp,
    pub nonce: String,
}

/// Why a request's signature is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the request is not signed in the form that agents use")]
    Malformed,
    #[error("the request's signature is by another key, or over another request")]
    NotSigned,
    #[error("the request was signed at {created}, and it is {now} here")]
    ClockSkew { created: Timestamp, now: Timestamp },
}

/// `Content-Digest` of a body (RFC 9530 section 2).
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

/// Signs a request. Agents name their transport key by [`crate::bundle::key_id`]. `nonce` must be fresh: 16 to 64 letters, digits, `-` and `_`.
pub fn sign(covered: &Covered<'_>, key_id: &str, created: Timestamp, nonce: &str, key: &SigningKey) -> Headers {
    let parameters = parameters(&Claim { key_id: key_id.to_owned(), created, nonce: nonce.to_owned() });
    let signature = key.sign(base(covered, &parameters).as_bytes()).to_bytes();
    Headers { input: format!("{LABEL}={parameters}"), signature: format!("{LABEL}=:{}:", STANDARD.encode(signature)) }
}

impl Headers {
    /// Whose key to look up.
    ///
    /// # Errors
    /// `Malformed` where the header is not of the form that [`sign`] writes.
    pub fn claim(&self) -> Result<Claim, SignatureError> {
        read_claim(&self.input).ok_or(SignatureError::Malformed)
    }

    /// The claim, once `key` is seen to have signed `covered` at about `now`. That the nonce is fresh is for the caller to see to.
    ///
    /// # Errors
    /// Where it is malformed, by another key, over another request, or of another time.
    pub fn verify(&self, covered: &Covered<'_>, key: &VerifyingKey, now: Timestamp) -> Result<Claim, SignatureError> {
        let claim = self.claim()?;
        let encoded = self.signature.strip_prefix(LABEL).and_then(|rest| rest.strip_prefix("=:")?.strip_suffix(':'));
        let bytes = encoded.and_then(|text| STANDARD.decode(text).ok()).ok_or(SignatureError::Malformed)?;
        let signature = Signature::from_slice(&bytes).map_err(|_| SignatureError::Malformed)?;
        let base = base(covered, &parameters(&claim));
        key.verify_strict(base.as_bytes(), &signature).map_err(|_| SignatureError::NotSigned)?;
        // The time is looked at last, so that only who holds the key is told the server's.
        if now.duration_since(claim.created).abs() > TOLERANCE {
            return Err(SignatureError::ClockSkew { created: claim.created, now });
        }
        Ok(claim)
    }
}

fn parameters(claim: &Claim) -> String {
    let Claim { key_id, created, nonce } = claim;
    format!(r#"{COMPONENTS};created={};nonce="{nonce}";keyid="{key_id}";alg="ed25519""#, created.as_second())
}

/// The signature base (RFC 9421 section 2.5).
fn base(covered: &Covered<'_>, parameters: &str) -> String {
    let Covered { method, authority, path, query, content_digest } = covered;
    format!(
        "\"@method\": {method}\n\"@authority\": {authority}\n\"@path\": {path}\n\"@query\": ?{query}\n\"content-digest\": {content_digest}\n\"@signature-params\": {parameters}"
    )
}

/// Reads the header, and takes it only where it is written to the letter as [`parameters`] writes it.
fn read_claim(input: &str) -> Option<Claim> {
    let written = input.strip_prefix(LABEL)?.strip_prefix('=')?;
    let rest = written.strip_prefix(COMPONENTS)?.strip_prefix(";created=")?;
    let (created, rest) = rest.split_once(";nonce=\"")?;
    let (nonce, rest) = rest.split_once("\";keyid=\"")?;
    let key_id = rest.strip_suffix("\";alg=\"ed25519\"")?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':'));
    if !NONCE_CHARS.contains(&nonce.len()) || key_id.len() > 128 || !plain(nonce) || !plain(key_id) {
        return None;
    }
    let created = Timestamp::from_second(created.parse().ok()?).ok()?;
    let claim = Claim { key_id: key_id.to_owned(), created, nonce: nonce.to_owned() };
    (parameters(&claim) == written).then_some(claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    fn covered<'a>(digest: &'a str) -> Covered<'a> {
        Covered {
            method: "GET",
            authority: "support.example:8443",
            path: "/v1/work",
            query: "after=7&wait=50",
            content_digest: digest,
        }
    }

    #[test]
    fn a_request_verifies_with_its_own_key_and_time_only() {
        let digest = content_digest(b"");
        let covered = covered(&digest);
        let headers = sign(&covered, "sha256:ab", now(), NONCE, &key(1));
        let claim = headers.verify(&covered, &key(1).verifying_key(), now()).unwrap();
        assert_eq!((claim.key_id.as_str(), claim.nonce.as_str()), ("sha256:ab", NONCE));
        assert_eq!(headers.verify(&covered, &key(2).verifying_key(), now()), Err(SignatureError::NotSigned));
        for minutes in [6, -6] {
            let there = now() + SignedDuration::from_mins(minutes);
            let result = headers.verify(&covered, &key(1).verifying_key(), there);
            assert!(matches!(result, Err(SignatureError::ClockSkew { .. })), "{minutes}");
        }
    }

    #[test]
    fn every_covered_part_is_covered() {
        let digest = content_digest(b"");
        let other_digest = content_digest(b"x");
        let covered = covered(&digest);
        let headers = sign(&covered, "a", now(), NONCE, &key(1));
        for changed in [
            Covered { method: "POST", ..covered },
            Covered { authority: "evil.example", ..covered },
            Covered { path: "/v1/other", ..covered },
            Covered { query: "after=8&wait=50", ..covered },
            Covered { content_digest: &other_digest, ..covered },
        ] {
            assert_eq!(headers.verify(&changed, &key(1).verifying_key(), now()), Err(SignatureError::NotSigned), "{changed:?}");
        }
        let other_nonce = Headers { input: headers.input.replace("0123", "0124"), ..headers.clone() };
        assert_eq!(other_nonce.verify(&covered, &key(1).verifying_key(), now()), Err(SignatureError::NotSigned));
        let fewer = Headers { input: headers.input.replace(" \"content-digest\"", ""), ..headers };
        assert_eq!(fewer.verify(&covered, &key(1).verifying_key(), now()), Err(SignatureError::Malformed));
    }

    #[test]
    fn the_base_is_that_of_the_standard() {
        let text = base(&covered("sha-256=:x:"), "(\"@method\");created=1");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "\"@method\": GET");
        assert_eq!(lines[3], "\"@query\": ?after=7&wait=50");
        assert_eq!(lines[5], "\"@signature-params\": (\"@method\");created=1");
        assert_eq!(content_digest(b""), "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
    }
}
