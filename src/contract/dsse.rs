//! DSSE version 1 envelopes (secure-systems-lab/dsse, protocol and envelope documents) with Ed25519.
//!
//! What is signed is the pre-authentication encoding of type and payload, never the JSON around them, so that no canonical form of JSON
//! is needed: the exact bytes are verified first and parsed afterwards.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// More signatures than this are refused: each one costs a verification.
const MAX_SIGNATURES: usize = 16;

/// A payload, what it is, and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct EnvelopeSignature {
    /// A hint, never trusted.
    key_id: String,
    signature: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DsseError {
    #[error("the envelope is not DSSE JSON: {0}")]
    Malformed(String),
    #[error("the envelope holds `{found}` where `{expected}` is expected")]
    OtherType { expected: String, found: String },
    #[error("no signature of the envelope was made by the expected key over these bytes")]
    NotSigned,
}

impl Envelope {
    /// The payload of type `payload_type`, signed by `key`. The same input gives the same envelope.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Self {
        let mut envelope = Self::unsigned(payload_type, payload);
        let signature = key.sign(&envelope.to_be_signed()).to_bytes();
        envelope.add_signature(&key.verifying_key(), signature);
        envelope
    }

    /// The payload without a signature, for keys that sign elsewhere, such as in an ssh-agent.
    pub fn unsigned(payload_type: &str, payload: Vec<u8>) -> Self {
        Self { payload_type: payload_type.to_owned(), payload, signatures: Vec::new() }
    }

    /// The bytes that a key signs: the pre-authentication encoding of type and payload.
    pub fn to_be_signed(&self) -> Vec<u8> {
        pre_authentication_encoding(&self.payload_type, &self.payload)
    }

    /// Adds what `key` made of [`Self::to_be_signed`]; a signature of the same key is replaced.
    pub fn add_signature(&mut self, key: &VerifyingKey, signature: [u8; 64]) {
        let key_id = crate::bundle::key_id(key);
        self.signatures.retain(|one| one.key_id != key_id);
        self.signatures.push(EnvelopeSignature { key_id, signature: signature.to_vec() });
    }

    /// What the envelope holds, which nobody has vouched for: for showing it before it is signed, and for finding out whose keys to
    /// [`Self::verify`] it with.
    pub fn unverified(&self) -> &[u8] {
        &self.payload
    }

    /// Those of `keys` that signed a payload of type `payload_type`, each once however often it signed, and the payload.
    ///
    /// # Errors
    /// Where the type is another. That too few keys signed, or none, is for the caller to judge.
    pub fn signers<'k>(
        &self,
        payload_type: &str,
        keys: impl IntoIterator<Item = &'k VerifyingKey>,
    ) -> Result<(&[u8], Vec<&'k VerifyingKey>), DsseError> {
        let mut signers: Vec<&VerifyingKey> = Vec::new();
        for key in keys {
            match self.verify(payload_type, key) {
                Ok(_) if !signers.contains(&key) => signers.push(key),
                Ok(_) | Err(DsseError::NotSigned) => {}
                Err(other) => return Err(other),
            }
        }
        Ok((&self.payload, signers))
    }

    /// The payload, once it is of type `payload_type` and signed by `key`.
    ///
    /// # Errors
    /// Where the type is another, or no signature is that key's by the strict rules (RFC 8032 section 5.1.7, and no small-order keys).
    pub fn verify(&self, payload_type: &str, key: &VerifyingKey) -> Result<&[u8], DsseError> {
        if self.payload_type != payload_type {
            return Err(DsseError::OtherType { expected: payload_type.to_owned(), found: self.payload_type.clone() });
        }
        let message = pre_authentication_encoding(&self.payload_type, &self.payload);
        let is_signature = |candidate: &EnvelopeSignature| {
            Signature::from_slice(&candidate.signature).is_ok_and(|signature| key.verify_strict(&message, &signature).is_ok())
        };
        if self.signatures.iter().any(is_signature) { Ok(&self.payload) } else { Err(DsseError::NotSigned) }
    }

    /// The names of the keys that are said to have signed: hints, which are worth nothing before [`Self::verify`].
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|one| one.key_id.as_str())
    }

    /// The JSON form, on one line.
    pub fn to_json(&self) -> Vec<u8> {
        let signatures = self.signatures.iter();
        crate::bundle::json_bytes(&Wire {
            payload: STANDARD.encode(&self.payload),
            payload_type: self.payload_type.clone(),
            signatures: signatures
                .map(|one| WireSignature { keyid: one.key_id.clone(), sig: STANDARD.encode(&one.signature) })
                .collect(),
        })
    }

    /// Reads the JSON form; nothing is verified yet. Standard and URL-safe base64 are both accepted, as the specification demands.
    ///
    /// # Errors
    /// Where it is not JSON of that shape, or its base64 is broken.
    pub fn from_json(json: &[u8]) -> Result<Self, DsseError> {
        let malformed = |error: &dyn std::fmt::Display| DsseError::Malformed(error.to_string());
        let wire: Wire = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
        if wire.signatures.is_empty() || wire.signatures.len() > MAX_SIGNATURES {
            return Err(malformed(&format_args!("it has {} signatures, not 1 to {MAX_SIGNATURES}", wire.signatures.len())));
        }
        let decode = |text: &str| STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|error| malformed(&error));
        let mut signatures = Vec::new();
        for one in &wire.signatures {
            signatures.push(EnvelopeSignature { key_id: one.keyid.clone(), signature: decode(&one.sig)? });
        }
        Ok(Self { payload: decode(&wire.payload)?, payload_type: wire.payload_type, signatures })
    }
}

/// `DSSEv1 LENGTH TYPE LENGTH PAYLOAD`, lengths in bytes and decimal: what is signed.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoding = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoding.extend_from_slice(payload);
    encoding
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    payload: String,
    payload_type: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    /// The example of the DSSE protocol document.
    #[test]
    fn the_encoding_is_the_published_example() {
        let encoding = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoding, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        assert_eq!(pre_authentication_encoding("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn an_envelope_survives_its_json_and_says_who_signed() {
        let envelope = Envelope::sign("text/plain", b"facts".to_vec(), &key(1));
        let read = Envelope::from_json(&envelope.to_json()).unwrap();
        assert_eq!(read, envelope);
        assert_eq!(read.verify("text/plain", &key(1).verifying_key()), Ok(&b"facts"[..]));
        assert_eq!(read.verify("text/plain", &key(2).verifying_key()), Err(DsseError::NotSigned));
        assert!(matches!(read.verify("text/html", &key(1).verifying_key()), Err(DsseError::OtherType { .. })));
    }

    #[test]
    fn a_changed_payload_is_not_signed() {
        let envelope = Envelope::sign("text/plain", b"facts".to_vec(), &key(1));
        let json = String::from_utf8(envelope.to_json()).unwrap();
        let changed = json.replace(&STANDARD.encode("facts"), &STANDARD.encode("factz"));
        assert_ne!(json, changed);
        let read = Envelope::from_json(changed.as_bytes()).unwrap();
        assert_eq!(read.verify("text/plain", &key(1).verifying_key()), Err(DsseError::NotSigned));
    }

    #[test]
    fn an_envelope_without_a_signature_is_malformed() {
        let json = br#"{"payload":"","payloadType":"text/plain","signatures":[]}"#;
        assert!(matches!(Envelope::from_json(json), Err(DsseError::Malformed(_))));
    }
}
