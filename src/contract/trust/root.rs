use super::{PublicKey, TrustError};
use crate::bundle::hexadecimal;
use crate::dsse::Envelope;
use crate::harmless::is_clean;
use crate::id::OrganisationId;
use ed25519_dalek::VerifyingKey;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The DSSE payload type of a root statement.
pub const ROOT_MEDIA_TYPE: &str = "application/vnd.netsonde.root+json";
/// More keys than an organisation has people who keep one offline.
const MAX_ROOT_KEYS: usize = 16;

/// The keys that stand for an organisation, and how many of them must agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RootStatement {
    /// The organisation's name, for people.
    pub name: String,
    /// Which organisation this is: absent in the first root, whose digest it is in all later ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrganisationId>,
    /// Counts the roots, from 1.
    pub version: u64,
    pub issued: Timestamp,
    pub keys: Vec<PublicKey>,
    /// So many of the keys must sign a list of keys, or the next root.
    pub threshold: usize,
}

impl RootStatement {
    /// The statement's own digest, which an enrolment string pins: lower-case hexadecimal.
    pub fn fingerprint(payload: &[u8]) -> String {
        hexadecimal(&Sha256::digest(payload))
    }

    /// Without a signature yet.
    pub fn envelope(&self) -> Envelope {
        Envelope::unsigned(ROOT_MEDIA_TYPE, crate::bundle::json_bytes(self))
    }

    /// The statement that `envelope` holds, once as many of its own keys signed it as it asks for. That these are the right keys is for
    /// the fingerprint, or for the root before this one, to say.
    ///
    /// # Errors
    /// Where it is something else, impossible, or signed by too few.
    pub(super) fn read(envelope: &Envelope) -> Result<(Self, OrganisationId, String), TrustError> {
        let read = Self::unverified(envelope)?;
        read.0.require_signatures(envelope, ROOT_MEDIA_TYPE)?;
        Ok(read)
    }

    /// The same before anybody's signature was looked at.
    ///
    /// # Errors
    /// Where it is something else, or impossible.
    pub(super) fn unverified(envelope: &Envelope) -> Result<(Self, OrganisationId, String), TrustError> {
        let root: Self =
            serde_json::from_slice(envelope.unverified()).map_err(|error| TrustError::Malformed(error.to_string()))?;
        root.check().map_err(|what| TrustError::Malformed(what.to_owned()))?;
        let fingerprint = Self::fingerprint(envelope.unverified());
        let organisation = root.organisation.clone().unwrap_or_else(|| OrganisationId::new(fingerprint.clone()));
        Ok((root, organisation, fingerprint))
    }

    /// # Errors
    /// Where fewer of this root's keys signed the envelope than it asks for.
    pub(super) fn require_signatures(&self, envelope: &Envelope, payload_type: &str) -> Result<(), TrustError> {
        let (_, signers) = envelope.signers(payload_type, self.verifying_keys())?;
        let signed = signers.len();
        if signed >= self.threshold { Ok(()) } else { Err(TrustError::TooFewSignatures { signed, needed: self.threshold }) }
    }

    fn verifying_keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter().map(PublicKey::key)
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.keys.is_empty() || self.keys.len() > MAX_ROOT_KEYS {
            return Err("a root has 1 to 16 keys");
        }
        if self.threshold == 0 || self.threshold > self.keys.len() {
            return Err("the threshold is not between 1 and the number of keys");
        }
        if self.keys.iter().enumerate().any(|(place, key)| self.keys[..place].iter().any(|other| other.key() == key.key())) {
            return Err("a key stands twice in the root");
        }
        if (self.version == 1) != self.organisation.is_none() || self.version == 0 {
            return Err("only the first root has version 1, and only the first names no organisation");
        }
        if self.organisation.as_ref().is_some_and(|id| OrganisationId::parse(id.as_str()).is_none()) || !is_clean(&self.name) {
            return Err("the organisation's name or id is impossible");
        }
        Ok(())
    }
}
