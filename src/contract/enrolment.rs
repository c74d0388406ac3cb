//! Enrolment.
//!
//! The string `nse1_…` is composed at the desk from the desk's own pinned root; the backend supplies only the one-time code in it. An agent
//! answers with a statement that its bundle key signs: its keys, and a proof of the code by HMAC over its key and the backend's receipt
//! key. Neither a broken-into backend nor whoever reads the traffic can put another root in the string's place.

use crate::dsse::Envelope;
use crate::harmless::is_clean;
use crate::id::{AgentId, TicketId};
use crate::pasted::{self, PasteError};
use crate::pin::Pin;
use crate::ticket::tag;
use crate::trust::{PublicKey, fingerprint};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{SigningKey, VerifyingKey};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The DSSE payload type of [`Introduction`].
pub const MEDIA_TYPE: &str = "application/vnd.netsonde.introduction+json";
const PREFIX: &str = "nse1_";
const PROOF_KEY_LABEL: &[u8] = b"netsonde enrolment proof key v1";
const PROOF_LABEL: &[u8] = b"netsonde enrolment proof v1";
/// A code lives this long unless the desk says otherwise, in hours.
pub const DEFAULT_LIFE_HOURS: u32 = 72;
/// Texts about the machine are a line each.
const MAX_WORDS: usize = 256;

/// What an agent needs to enrol. It has no `Debug`, for the code's sake.
#[derive(Clone)]
pub struct Enrolment {
    /// The code's public name; the same form as a ticket's.
    pub id: TicketId,
    /// The backend's base URL, without a final slash.
    pub backend: String,
    /// The backend's TLS key, where its certificate is a private one.
    pub tls_pin: Option<Pin>,
    /// The organisation's name, for the person at the machine; the fingerprint is what counts.
    pub organisation: String,
    /// [`crate::trust::RootStatement::fingerprint`] of the root that the desk holds.
    pub root: String,
    /// The key that signs receipts, from the desk's own list of keys.
    pub receipt_key: VerifyingKey,
    pub expires: Timestamp,
    pub code: EnrolmentCode,
}

impl Enrolment {
    /// The two keys that the string pins, as desk and machine both show them to be compared: a line each, the same on either side.
    pub fn fingerprints(&self) -> String {
        format!("  root      {}\n  receipts  {}\n", self.root, fingerprint(&self.receipt_key))
    }
}

/// The 128 secret bits of an enrolment.
#[derive(Clone)]
pub struct EnrolmentCode(Zeroizing<[u8; 16]>);

/// Why an enrolment string cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a usable enrolment string (nse1_…): {0}")]
pub struct EnrolmentError(#[from] pub PasteError);

#[derive(Serialize, Deserialize)]
struct Wire {
    id: TicketId,
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<Pin>,
    name: String,
    root: String,
    key: String,
    /// Seconds since 1970.
    expires: i64,
    code: Zeroizing<String>,
}

impl Enrolment {
    /// The string `nse1_…`, in characters that need no quoting in any shell.
    pub fn encode(&self) -> Zeroizing<String> {
        let wire = Wire {
            id: self.id.clone(),
            url: self.backend.clone(),
            pin: self.tls_pin.clone(),
            name: self.organisation.clone(),
            root: self.root.clone(),
            key: URL_SAFE_NO_PAD.encode(self.receipt_key.as_bytes()),
            expires: self.expires.as_second(),
            code: self.code.to_text(),
        };
        pasted::encode(PREFIX, &wire)
    }

    /// # Errors
    /// Where the string is something else, damaged, of a newer version, or its parts are impossible.
    pub fn parse(text: &str) -> Result<Self, EnrolmentError> {
        Self::from_wire(&pasted::decode(PREFIX, text)?).ok_or(EnrolmentError(PasteError::Malformed))
    }

    fn from_wire(wire: &Wire) -> Option<Self> {
        let key = URL_SAFE_NO_PAD.decode(&wire.key).ok()?;
        if !is_clean(&wire.name) || wire.name.len() > MAX_WORDS || !is_clean(&wire.url) {
            return None;
        }
        Some(Self {
            id: TicketId::parse(wire.id.as_str())?,
            backend: pasted::base_url(&wire.url)?,
            tls_pin: wire.pin.clone(),
            organisation: wire.name.clone(),
            root: crate::id::OrganisationId::parse(&wire.root)?.as_str().to_owned(),
            receipt_key: VerifyingKey::from_bytes(key.as_slice().try_into().ok()?).ok()?,
            expires: Timestamp::from_second(wire.expires).ok()?,
            code: EnrolmentCode::parse(&wire.code)?,
        })
    }
}

impl EnrolmentCode {
    /// The bytes must come from the system's random number generator.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// As the backend hands it to the desk, once.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(*self.0))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        Some(Self::from_bytes(bytes.as_slice().try_into().ok()?))
    }

    /// What the backend keeps of the code: enough to check a proof, too little to make the string again.
    pub fn proof_key(&self) -> CodeProofKey {
        CodeProofKey(Zeroizing::new(tag(&*self.0, &[PROOF_KEY_LABEL]).finalize_bytes()))
    }
}

/// What checks the proof of a code.
#[derive(Clone)]
pub struct CodeProofKey(Zeroizing<[u8; 32]>);

impl CodeProofKey {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub fn to_bytes(&self) -> [u8; 32] {
        *self.0
    }

    /// The proof, in base64, that whoever holds `agent` was given the code `id` of the backend that signs with `receipt`.
    pub fn proof(&self, id: &TicketId, agent: &VerifyingKey, receipt: &VerifyingKey) -> String {
        STANDARD.encode(self.message(id, agent, receipt).finalize_bytes())
    }

    /// Compares in constant time.
    pub fn verify(&self, id: &TicketId, agent: &VerifyingKey, receipt: &VerifyingKey, proof: &str) -> bool {
        STANDARD.decode(proof).is_ok_and(|proof| self.message(id, agent, receipt).matches(&proof))
    }

    fn message(&self, id: &TicketId, agent: &VerifyingKey, receipt: &VerifyingKey) -> crate::ticket::Tag {
        tag(&*self.0, &[PROOF_LABEL, id.as_str().as_bytes(), b"\0", agent.as_bytes(), receipt.as_bytes()])
    }
}

/// What an agent says of itself when it enrols, and again when it changes a key. Signed by the bundle key, and by the former one where it
/// replaces that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Introduction {
    pub bundle_key: PublicKey,
    /// Signs requests; the bundle key vouches for it here.
    pub transport_key: PublicKey,
    /// Counts the agent's introductions, from 1: an older one never replaces a newer.
    pub number: u64,
    /// The agent that this one was until now, where it changes its bundle key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<AgentId>,
    /// The enrolment's code and the proof of it; absent once the agent is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeProof>,
    /// What the machine calls itself, where the customer lets that be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CodeProof {
    pub id: TicketId,
    /// [`CodeProofKey::proof`], in base64.
    pub proof: String,
}

impl Introduction {
    pub fn sign(&self, key: &SigningKey) -> Envelope {
        Envelope::sign(MEDIA_TYPE, crate::bundle::json_bytes(self), key)
    }

    pub fn agent(&self) -> AgentId {
        AgentId::of(self.bundle_key.key())
    }

    /// The introduction in an envelope that its own bundle key signed; `former` must have signed it too where it replaces a key.
    ///
    /// # Errors
    /// In words: where it is something else, not so signed, or its texts are impossible.
    pub fn verify(json: &[u8], former: Option<&VerifyingKey>) -> Result<Self, String> {
        let envelope = Envelope::from_json(json).map_err(|error| error.to_string())?;
        let introduction: Self = serde_json::from_slice(envelope.unverified()).map_err(|error| error.to_string())?;
        for key in [Some(introduction.bundle_key.key()), former].into_iter().flatten() {
            envelope.verify(MEDIA_TYPE, key).map_err(|error| error.to_string())?;
        }
        if introduction.replaces.is_some() != former.is_some() {
            return Err("the key that it replaces is not the one it was held against".to_owned());
        }
        if introduction.host_name.as_deref().is_some_and(|name| !is_clean(name) || name.len() > MAX_WORDS) {
            return Err("the host name is impossible".to_owned());
        }
        Ok(introduction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn sample() -> Enrolment {
        Enrolment {
            id: TicketId::from_bytes([7; 10]),
            backend: "https://support.example:8443".into(),
            tls_pin: None,
            organisation: "Contoso support".into(),
            root: "ab".repeat(32),
            receipt_key: key(1).verifying_key(),
            expires: Timestamp::from_second(1_800_000_000).unwrap(),
            code: EnrolmentCode::from_bytes([9; 16]),
        }
    }

    #[test]
    fn an_enrolment_survives_its_string_and_a_cut_one_is_told() {
        let text = sample().encode();
        let read = Enrolment::parse(&format!(" {}\n", *text)).ok().unwrap();
        assert_eq!(read.encode(), text);
        assert_eq!(read.root, sample().root);
        for end in PREFIX.len()..text.len() {
            assert_eq!(Enrolment::parse(&text[..end]).err(), Some(EnrolmentError(PasteError::Damaged)), "cut at {end}");
        }
    }

    #[test]
    fn a_name_that_would_steer_a_terminal_is_refused() {
        let bad = Enrolment { organisation: "a\u{1b}[2J".into(), ..sample() };
        assert_eq!(Enrolment::parse(&bad.encode()).err(), Some(EnrolmentError(PasteError::Malformed)));
    }

    #[test]
    fn a_proof_holds_for_one_code_one_agent_and_one_backend_only() {
        let enrolment = sample();
        let (agent, receipt) = (key(2).verifying_key(), key(1).verifying_key());
        let kept = CodeProofKey::from_bytes(enrolment.code.proof_key().to_bytes());
        let proof = enrolment.code.proof_key().proof(&enrolment.id, &agent, &receipt);
        assert!(kept.verify(&enrolment.id, &agent, &receipt, &proof));
        assert!(!kept.verify(&enrolment.id, &key(3).verifying_key(), &receipt, &proof));
        assert!(!kept.verify(&enrolment.id, &agent, &key(3).verifying_key(), &proof));
        assert!(!kept.verify(&TicketId::from_bytes([8; 10]), &agent, &receipt, &proof));
    }

    #[test]
    fn an_introduction_counts_with_the_signatures_of_the_new_and_the_former_key() {
        let public = |seed: u8| PublicKey::new(key(seed).verifying_key(), "");
        let first = Introduction {
            bundle_key: public(1),
            transport_key: public(2),
            number: 1,
            replaces: None,
            code: None,
            host_name: None,
        };
        assert_eq!(Introduction::verify(&first.sign(&key(1)).to_json(), None), Ok(first.clone()));
        assert!(Introduction::verify(&first.sign(&key(2)).to_json(), None).is_err(), "the transport key vouches for nobody");
        let next = Introduction { bundle_key: public(3), number: 2, replaces: Some(first.agent()), ..first };
        let mut envelope = next.sign(&key(3));
        let former = key(1).verifying_key();
        assert!(Introduction::verify(&envelope.to_json(), Some(&former)).is_err());
        let signature = ed25519_dalek::Signer::sign(&key(1), &envelope.to_be_signed()).to_bytes();
        envelope.add_signature(&former, signature);
        assert_eq!(Introduction::verify(&envelope.to_json(), Some(&former)), Ok(next));
        assert!(
            Introduction::verify(&envelope.to_json(), None).is_err(),
            "a replacement is held against the key that it replaces"
        );
    }
}
