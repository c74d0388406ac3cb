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
/// Where a signature is not its named key's, so many of the other keys are tried for all of an envelope's signatures together: enough for an
/// organisation whose tools name no keys, and no more than a forger may cost.
const MAX_GUESSES: usize = 128;

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

    /// Those of `keys` that signed a payload of type `payload_type`, each once however often it signed and in the order of `keys`, and the
    /// payload. Each signature is held against the key that it names, and then, within [`MAX_GUESSES`], against the others.
    ///
    /// # Errors
    /// Where the type is another. That too few keys signed, or none, is for the caller to judge.
    pub fn signers<'k>(
        &self,
        payload_type: &str,
        keys: impl IntoIterator<Item = &'k VerifyingKey>,
    ) -> Result<(&[u8], Vec<&'k VerifyingKey>), DsseError> {
        self.require_type(payload_type)?;
        let message = self.to_be_signed();
        let mut keys: Vec<(&VerifyingKey, String, bool)> =
            keys.into_iter().map(|key| (key, crate::bundle::key_id(key), false)).collect();
        let mut unnamed = Vec::new();
        for one in &self.signatures {
            match keys.iter_mut().find(|(_, id, _)| *id == one.key_id) {
                Some((key, _, signed)) if one.is_by(key, &message) => *signed = true,
                _ => unnamed.push(one),
            }
        }
        let mut guesses = 0..MAX_GUESSES;
        for one in unnamed {
            let open = keys.iter_mut().filter(|(_, id, signed)| !signed && *id != one.key_id);
            if let Some((.., signed)) =
                open.zip(guesses.by_ref()).map(|(open, _)| open).find(|(key, ..)| one.is_by(key, &message))
            {
                *signed = true;
            }
        }
        let mut signers: Vec<&VerifyingKey> = Vec::new();
        for (key, _, signed) in keys {
            if signed && !signers.contains(&key) {
                signers.push(key);
            }
        }
        Ok((&self.payload, signers))
    }

    /// The payload, once it is of type `payload_type` and signed by `key`.
    ///
    /// # Errors
    /// Where the type is another, or no signature is that key's by the strict rules (RFC 8032 section 5.1.7, and no small-order keys).
    pub fn verify(&self, payload_type: &str, key: &VerifyingKey) -> Result<&[u8], DsseError> {
        self.require_type(payload_type)?;
        let message = self.to_be_signed();
        if self.signatures.iter().any(|one| one.is_by(key, &message)) { Ok(&self.payload) } else { Err(DsseError::NotSigned) }
    }

    fn require_type(&self, payload_type: &str) -> Result<(), DsseError> {
        if self.payload_type == payload_type {
            return Ok(());
        }
        Err(DsseError::OtherType { expected: payload_type.to_owned(), found: self.payload_type.clone() })
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

#[cfg(test)]
thread_local! {
    /// What the tests of this thread have cost.
    pub(crate) static VERIFICATIONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl EnvelopeSignature {
    fn is_by(&self, key: &VerifyingKey, message: &[u8]) -> bool {
        #[cfg(test)]
        VERIFICATIONS.with(|count| count.set(count.get() + 1));
        Signature::from_slice(&self.signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
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
    use std::cell::Cell;

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
    fn a_forged_envelope_costs_little_however_many_keys_there_are() {
        let seeds: Vec<SigningKey> =
            (0..2_000_u16).map(|seed| SigningKey::from_bytes(&std::array::from_fn(|at| seed.to_le_bytes()[at % 2]))).collect();
        let keys: Vec<VerifyingKey> = seeds.iter().map(SigningKey::verifying_key).collect();
        let counted = |envelope: &Envelope| {
            VERIFICATIONS.with(|count| count.set(0));
            let (_, signers) = envelope.signers("text/plain", &keys).unwrap();
            (signers.len(), VERIFICATIONS.with(Cell::get))
        };
        // Named in turn, and by no name at all.
        let mut forged = Envelope::unsigned("text/plain", b"facts".to_vec());
        keys.iter().take(MAX_SIGNATURES).for_each(|key| forged.add_signature(key, [7; 64]));
        assert_eq!(counted(&forged), (0, MAX_SIGNATURES + MAX_GUESSES));
        forged.signatures.iter_mut().for_each(|one| one.key_id.clear());
        assert_eq!(counted(&forged), (0, MAX_GUESSES));
        // The last key of all, behind forged ones, is found by its name.
        let message = forged.to_be_signed();
        forged.signatures.pop();
        forged.add_signature(&keys[1_999], seeds[1_999].sign(&message).to_bytes());
        assert_eq!(counted(&forged), (1, 1 + MAX_GUESSES));
        // A key that is not named is found among few.
        let mut unnamed = Envelope::sign("text/plain", b"facts".to_vec(), &seeds[100]);
        unnamed.signatures[0].key_id.clear();
        assert_eq!(counted(&unnamed), (1, 101));
        unnamed.signatures[0].key_id = crate::bundle::key_id(&keys[3]);
        assert_eq!(counted(&unnamed), (1, 101), "the key that is named is not tried twice");
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
