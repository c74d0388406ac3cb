use super::{PublicKey, TrustError};
use crate::dsse::Envelope;
use crate::id::OrganisationId;
use ed25519_dalek::VerifyingKey;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The DSSE payload type of a list of keys.
pub const KEY_LIST_MEDIA_TYPE: &str = "application/vnd.netsonde.keys+json";
/// A list lives this long at most: how long a key that was taken off stays dangerous where the new list is withheld.
pub const MAX_LIST_LIFE: SignedDuration = SignedDuration::from_hours(100 * 24);
/// More than any support organisation has engineers who sign.
const MAX_KEYS: usize = 1_000;

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Order,
    Receipt,
}

/// The keys of one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleKeys {
    /// So many different keys must sign.
    pub threshold: usize,
    pub keys: Vec<PublicKey>,
}

/// Whose orders and receipts count, until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyList {
    pub organisation: OrganisationId,
    /// The version of the root that signs the list.
    pub root: u64,
    /// Counts the lists, from 1.
    pub version: u64,
    pub issued: Timestamp,
    pub expires: Timestamp,
    pub order: RoleKeys,
    pub receipt: RoleKeys,
    /// Keys that counted once, so that a refusal can say so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<PublicKey>,
}

impl KeyList {
    /// Without a signature yet.
    pub fn envelope(&self) -> Envelope {
        Envelope::unsigned(KEY_LIST_MEDIA_TYPE, crate::bundle::json_bytes(self))
    }

    pub fn role(&self, role: Role) -> &RoleKeys {
        match role {
            Role::Order => &self.order,
            Role::Receipt => &self.receipt,
        }
    }

    /// The keys of `role`, each of which may sign.
    pub fn keys(&self, role: Role) -> impl Iterator<Item = &VerifyingKey> {
        self.role(role).keys.iter().map(PublicKey::key)
    }

    /// Reads a list that nobody has vouched for.
    pub(super) fn read(payload: &[u8]) -> Result<Self, TrustError> {
        let list: Self = serde_json::from_slice(payload).map_err(|error| TrustError::Malformed(error.to_string()))?;
        list.check().map_err(|what| TrustError::Malformed(what.to_owned()))?;
        Ok(list)
    }

    fn check(&self) -> Result<(), &'static str> {
        for role in [&self.order, &self.receipt] {
            if role.keys.len() > MAX_KEYS || self.revoked.len() > MAX_KEYS {
                return Err("it has more than 1,000 keys");
            }
            // A role without keys is one that nobody has yet.
            if role.threshold == 0 || role.threshold > role.keys.len().max(1) {
                return Err("a role's threshold is not between 1 and the number of its keys");
            }
            if role.keys.iter().enumerate().any(|(place, key)| role.keys[..place].iter().any(|other| other.key() == key.key())) {
                return Err("a key stands twice in one role");
            }
        }
        let counts = |gone: &PublicKey| {
            [&self.order, &self.receipt].iter().any(|role| role.keys.iter().any(|key| key.key() == gone.key()))
        };
        if self.revoked.iter().any(counts) {
            return Err("a key is both listed and revoked");
        }
        let life = self.expires.duration_since(self.issued);
        if life.is_negative() || life > MAX_LIST_LIFE {
            return Err("it does not expire within 100 days of its issue");
        }
        if self.version == 0 {
            return Err("lists count from 1");
        }
        Ok(())
    }
}
