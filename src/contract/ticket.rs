//! Tickets.
//!
//! A ticket string carries everything that the customer's agent needs, and a 128-bit secret. The agent never sends the secret: it
//! proves it with HMAC-SHA-256 (RFC 2104) over the ticket's id, its own key and the backend's receipt key. The backend keeps only the key that is derived from
//! the secret, so that its database does not contain tickets that someone could run.

use crate::harmless::is_clean;
use crate::id::{CaseId, TicketId};
use crate::pasted::{self, PasteError};
use crate::pin::Pin;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::VerifyingKey;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

const PREFIX: &str = "nst1_";
/// Separates this use of the secret from any other that a later version may add.
const PROOF_KEY_LABEL: &[u8] = b"netsonde ticket proof key v1";
const PROOF_LABEL: &[u8] = b"netsonde ticket proof v1";

/// A one-off invitation to run one set for one case. It has no `Debug`, for the secret's sake.
#[derive(Clone)]
pub struct Ticket {
    pub id: TicketId,
    /// The backend's base URL, without a final slash.
    pub backend: String,
    /// The backend's TLS key, where its certificate is a private one.
    pub tls_pin: Option<Pin>,
    /// The key that signs the receipt.
    pub receipt_key: VerifyingKey,
    pub set: String,
    /// SHA-256 of the set's text, lower-case hexadecimal.
    pub set_sha256: String,
    pub targets: Vec<String>,
    pub parameters: BTreeMap<String, String>,
    pub case: CaseId,
    pub expires: Timestamp,
    pub secret: TicketSecret,
}

/// The ticket's 128 secret bits.
#[derive(Clone)]
pub struct TicketSecret(Zeroizing<[u8; 16]>);

impl TicketSecret {
    /// The bytes must come from the system's random number generator.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// Why a ticket string cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a usable ticket (nst1_…): {0}")]
pub struct TicketError(#[from] pub PasteError);

#[derive(Serialize, Deserialize)]
struct Wire {
    id: TicketId,
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<Pin>,
    key: String,
    set: String,
    sha256: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    targets: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<String, String>,
    case: CaseId,
    /// Seconds since 1970.
    expires: i64,
    secret: Zeroizing<String>,
}

impl Ticket {
    /// The string `nst1_…`, in characters that need no quoting in any shell.
    pub fn encode(&self) -> Zeroizing<String> {
        let wire = Wire {
            id: self.id.clone(),
            url: self.backend.clone(),
            pin: self.tls_pin.clone(),
            key: URL_SAFE_NO_PAD.encode(self.receipt_key.as_bytes()),
            set: self.set.clone(),
            sha256: self.set_sha256.clone(),
            targets: self.targets.clone(),
            params: self.parameters.clone(),
            case: self.case.clone(),
            expires: self.expires.as_second(),
            secret: Zeroizing::new(URL_SAFE_NO_PAD.encode(*self.secret.0)),
        };
        pasted::encode(PREFIX, &wire)
    }

    /// # Errors
    /// Where the string is something else, damaged, of a newer version, or its parts are impossible.
    pub fn parse(text: &str) -> Result<Self, TicketError> {
        Self::from_wire(pasted::decode(PREFIX, text)?).ok_or(TicketError(PasteError::Malformed))
    }

    pub fn proof_key(&self) -> ProofKey {
        ProofKey::from_bytes(tag(&*self.secret.0, &[PROOF_KEY_LABEL]).finalize_bytes())
    }

    /// Every text of a ticket is shown to the person who is to run it, so none may hide or disguise anything.
    fn from_wire(wire: Wire) -> Option<Self> {
        let mut texts = wire.targets.iter().chain(wire.params.keys()).chain(wire.params.values());
        if !is_clean(&wire.set) || !is_clean(&wire.url) || !texts.all(|text| is_clean(text)) {
            return None;
        }
        let key = URL_SAFE_NO_PAD.decode(&wire.key).ok()?;
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.decode(&*wire.secret).ok()?);
        Some(Self {
            id: TicketId::parse(wire.id.as_str())?,
            backend: pasted::base_url(&wire.url)?,
            tls_pin: wire.pin,
            receipt_key: VerifyingKey::from_bytes(key.as_slice().try_into().ok()?).ok()?,
            set: wire.set,
            set_sha256: crate::id::BundleId::parse(&wire.sha256)?.as_str().to_owned(),
            targets: wire.targets,
            parameters: wire.params,
            case: CaseId::parse(wire.case.as_str())?,
            expires: Timestamp::from_second(wire.expires).ok()?,
            secret: TicketSecret::from_bytes(secret.as_slice().try_into().ok()?),
        })
    }
}

/// What the backend keeps of a ticket's secret: enough to check a proof.
#[derive(Clone)]
pub struct ProofKey(Zeroizing<[u8; 32]>);

impl ProofKey {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub fn to_bytes(&self) -> [u8; 32] {
        *self.0
    }

    /// The proof, in base64, that whoever holds `agent` was given the ticket `id` of the backend that signs with `receipt`.
    pub fn proof(&self, id: &TicketId, agent: &VerifyingKey, receipt: &VerifyingKey) -> String {
        STANDARD.encode(self.tag(id, agent, receipt).finalize_bytes())
    }

    /// Compares in constant time.
    pub fn verify(&self, id: &TicketId, agent: &VerifyingKey, receipt: &VerifyingKey, proof: &str) -> bool {
        STANDARD.decode(proof).is_ok_and(|proof| self.tag(id, agent, receipt).matches(&proof))
    }

    fn tag(&self, id: &TicketId, agent: &VerifyingKey, receipt: &VerifyingKey) -> Tag {
        // Label and keys have fixed lengths, so the id in between, ended by a zero byte, leaves one way to read the message.
        tag(&*self.0, &[PROOF_LABEL, id.as_str().as_bytes(), b"\0", agent.as_bytes(), receipt.as_bytes()])
    }
}

/// HMAC-SHA-256 over some parts (RFC 2104), not finished yet.
pub(crate) struct Tag(Hmac<Sha256>);

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
pub(crate) fn tag(key: &[u8], parts: &[&[u8]]) -> Tag {
    let mut tag = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| tag.update(part));
    Tag(tag)
}

impl Tag {
    pub(crate) fn finalize_bytes(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }

    /// Compares in constant time.
    pub(crate) fn matches(self, given: &[u8]) -> bool {
        self.0.verify_slice(given).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;

    fn key(seed: u8) -> VerifyingKey {
        SigningKey::from_bytes(&[seed; 32]).verifying_key()
    }

    fn sample() -> Ticket {
        Ticket {
            id: TicketId::from_bytes([7; 10]),
            backend: "https://support.example:8443".into(),
            tls_pin: Some(Pin::of_public_key_info(b"anything")),
            receipt_key: key(1),
            set: "web".into(),
            set_sha256: "ab".repeat(32),
            targets: vec!["https://shop.example/".into()],
            parameters: [("count".to_owned(), "3".to_owned())].into(),
            case: CaseId::new("4711"),
            expires: Timestamp::from_second(1_800_000_000).unwrap(),
            secret: TicketSecret::from_bytes([9; 16]),
        }
    }

    #[test]
    fn a_ticket_survives_its_string() {
        let text = sample().encode();
        assert!(text.starts_with("nst1_") && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        let read = Ticket::parse(&format!("  {}\n", *text)).ok().unwrap();
        assert_eq!(read.encode(), text);
        assert_eq!(read.targets, sample().targets);
        assert_eq!(read.expires, sample().expires);
        assert_eq!(read.tls_pin, sample().tls_pin);
    }

    #[test]
    fn a_cut_or_changed_paste_is_told_as_damage() {
        let text = sample().encode();
        for end in PREFIX.len()..text.len() {
            assert_eq!(Ticket::parse(&text[..end]).err(), Some(TicketError(PasteError::Damaged)), "cut at {end}");
        }
        let mut changed = text.to_string();
        changed.replace_range(40..41, if &changed[40..41] == "A" { "B" } else { "A" });
        assert_eq!(Ticket::parse(&changed).err(), Some(TicketError(PasteError::Damaged)));
    }

    #[test]
    fn a_ticket_that_would_steer_or_deceive_a_terminal_is_refused() {
        type Change = fn(&mut Ticket, &str);
        let changes: [Change; 5] = [
            |ticket, bad| ticket.backend = format!("https://support.example/{bad}"),
            |ticket, bad| ticket.set = bad.into(),
            |ticket, bad| ticket.targets = vec![bad.into()],
            |ticket, bad| ticket.parameters = [(bad.to_owned(), "3".to_owned())].into(),
            |ticket, bad| ticket.parameters = [("count".to_owned(), bad.to_owned())].into(),
        ];
        for change in changes {
            for bad in ["a\u{1b}[2J", "a\nb", "a\u{202e}b", "a\u{200b}", "\u{9b}31m"] {
                let mut ticket = sample();
                change(&mut ticket, bad);
                assert_eq!(Ticket::parse(&ticket.encode()).err(), Some(TicketError(PasteError::Malformed)), "{bad:?}");
            }
        }
    }

    #[test]
    fn a_proof_holds_for_one_ticket_one_agent_and_one_backend_only() {
        let ticket = sample();
        let proof = ticket.proof_key().proof(&ticket.id, &key(2), &key(1));
        let stored = ProofKey::from_bytes(ticket.proof_key().to_bytes());
        assert!(stored.verify(&ticket.id, &key(2), &key(1), &proof));
        assert!(!stored.verify(&TicketId::from_bytes([8; 10]), &key(2), &key(1), &proof), "another ticket");
        assert!(!stored.verify(&ticket.id, &key(3), &key(1), &proof), "another agent");
        assert!(!stored.verify(&ticket.id, &key(2), &key(3), &proof), "another backend");
        assert!(!stored.verify(&ticket.id, &key(2), &key(1), ""), "no proof");
        assert!(!stored.verify(&ticket.id, &key(2), &key(1), &proof[..20]), "a cut proof");
    }

    #[test]
    fn an_id_of_random_bytes_is_an_id() {
        assert_eq!(TicketId::from_bytes([0; 10]).as_str(), "aaaaaaaaaaaaaaaa");
        assert_eq!(TicketId::from_bytes([255; 10]).as_str(), "7777777777777777");
        assert!(TicketId::parse("AAAAAAAAAAAAAAAA").is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_parsing_panic(text in ".*", tail in "[A-Za-z0-9_-]{0,600}") {
            assert!(Ticket::parse(&text).is_err());
            assert!(Ticket::parse(&format!("{PREFIX}{tail}")).is_err());
        }
    }
}
