use super::{KEY_LIST_MEDIA_TYPE, KeyList, ROOT_MEDIA_TYPE, Role, RootStatement, TrustError};
use crate::dsse::Envelope;
use crate::id::OrganisationId;
use ed25519_dalek::VerifyingKey;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What an agent holds of its organisation: the root that it was given, and the newest list of keys that this root signed. It is kept as
/// the very bytes that were signed, and is verified again whenever it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Anchor {
    organisation: OrganisationId,
    root: RootStatement,
    root_envelope: Envelope,
    list: Option<(KeyList, Envelope)>,
    /// It is no earlier than this, by time that passed since the list was taken; kept by whoever counts it.
    earliest: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    root: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    list: Option<String>,
}

impl Anchor {
    /// The root whose statement has the fingerprint that the enrolment string pins.
    ///
    /// # Errors
    /// Where the envelope holds another statement, whoever signed it, or is not signed by enough of its own keys.
    pub fn pinned(root_json: &[u8], fingerprint: &str) -> Result<Self, TrustError> {
        let envelope = Envelope::from_json(root_json)?;
        let found = RootStatement::fingerprint(envelope.unverified());
        if found != fingerprint {
            return Err(TrustError::OtherRoot { expected: fingerprint.to_owned(), found });
        }
        let (root, organisation, _) = RootStatement::read(&envelope)?;
        Ok(Self { organisation, root, root_envelope: envelope, list: None, earliest: None })
    }

    pub fn organisation(&self) -> &OrganisationId {
        &self.organisation
    }

    pub fn root(&self) -> &RootStatement {
        &self.root
    }

    /// The newest list of keys, expired or not.
    pub fn list(&self) -> Option<&KeyList> {
        self.list.as_ref().map(|(list, _)| list)
    }

    /// Versions of root and list, for asking whether there is something newer; the list's is 0 before there is one.
    pub fn versions(&self) -> (u64, u64) {
        (self.root.version, self.list().map_or(0, |list| list.version))
    }

    /// Takes the next root. The list of keys stays until the new root has signed another.
    ///
    /// # Errors
    /// Where it is not the one after the root that is held, or not signed by enough keys of both. A root that is held already is `Ok(false)`.
    pub fn accept_root(&mut self, json: &[u8]) -> Result<bool, TrustError> {
        let envelope = Envelope::from_json(json)?;
        // Signatures cost far more than all else, and anybody can make a root with many: what can be said without them is said first.
        let (root, organisation, fingerprint) = RootStatement::unverified(&envelope)?;
        if organisation != self.organisation {
            return Err(TrustError::OtherOrganisation);
        }
        let (held, given) = (self.root.version, root.version);
        if given == held {
            let own = RootStatement::fingerprint(self.root_envelope.unverified());
            return if own == fingerprint { Ok(false) } else { Err(TrustError::Mixed(given)) };
        }
        if given < held {
            return Err(TrustError::Rollback { held, given });
        }
        if given != held + 1 {
            return Err(TrustError::NotTheNext { held, given });
        }
        self.root.require_signatures(&envelope, ROOT_MEDIA_TYPE)?;
        root.require_signatures(&envelope, ROOT_MEDIA_TYPE)?;
        (self.root, self.root_envelope) = (root, envelope);
        Ok(true)
    }

    /// Takes a newer list of keys.
    ///
    /// # Errors
    /// Where it is another organisation's, older than the one that is held, another one of the same version, or not signed by enough of the
    /// root's keys. A list that is held already is `Ok(false)`. An expired one is taken: it still says what was revoked.
    pub fn accept_list(&mut self, json: &[u8]) -> Result<bool, TrustError> {
        let envelope = Envelope::from_json(json)?;
        let list = self.read_list(&envelope)?;
        if let Some((held, held_envelope)) = &self.list {
            if list.version < held.version {
                return Err(TrustError::Rollback { held: held.version, given: list.version });
            }
            if list.version == held.version {
                let same = held_envelope.unverified() == envelope.unverified();
                return if same { Ok(false) } else { Err(TrustError::Mixed(list.version)) };
            }
        }
        (self.list, self.earliest) = (Some((list, envelope)), None);
        Ok(true)
    }

    /// Says for how long the list is held already, on a clock that nobody sets: it lives no longer than that, whatever the wall clock says.
    pub fn held_for(&mut self, passed: Duration) {
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        self.earliest = self.list().map(|list| list.issued.checked_add(passed).unwrap_or(Timestamp::MAX));
    }

    /// The list, as long as it lives and the root that signed it stands. Its life ends by the wall clock or by the time that passed
    /// ([`Self::held_for`]), whichever is sooner.
    ///
    /// # Errors
    /// Where there is none, or it has expired by `now`.
    pub fn live_list(&self, now: Timestamp) -> Result<&KeyList, TrustError> {
        let list = self.list().filter(|list| list.root == self.root.version).ok_or(TrustError::NoList)?;
        let now = self.earliest.map_or(now, |earliest| now.max(earliest));
        if list.expires <= now { Err(TrustError::Expired(list.expires)) } else { Ok(list) }
    }

    /// The key that signed a receipt must be one of these. An expired list still tells: a receipt sends nobody a packet.
    pub fn receipt_keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.list().into_iter().flat_map(|list| list.keys(Role::Receipt))
    }

    /// No clock of this machine can rightly show a time before this one, at which what it holds was signed.
    pub fn latest_issue(&self) -> Timestamp {
        self.list().map_or(self.root.issued, |list| list.issued.max(self.root.issued))
    }

    fn read_list(&self, envelope: &Envelope) -> Result<KeyList, TrustError> {
        let list = KeyList::read(envelope.unverified())?;
        if list.organisation != self.organisation {
            return Err(TrustError::OtherOrganisation);
        }
        self.root.require_signatures(envelope, KEY_LIST_MEDIA_TYPE)?;
        if list.root != self.root.version {
            return Err(TrustError::NotTheNext { held: self.root.version, given: list.root });
        }
        Ok(list)
    }
}

impl TryFrom<Stored> for Anchor {
    type Error = TrustError;

    /// The file is the machine's own, so the root in it is the pin; what it signed is verified again.
    fn try_from(stored: Stored) -> Result<Self, TrustError> {
        let envelope = Envelope::from_json(stored.root.as_bytes())?;
        let (root, organisation, _) = RootStatement::read(&envelope)?;
        let mut anchor = Self { organisation, root, root_envelope: envelope, list: None, earliest: None };
        if let Some(list) = stored.list {
            let envelope = Envelope::from_json(list.as_bytes())?;
            // A list of the root before this one is kept for its version: what follows must be newer.
            let list = KeyList::read(envelope.unverified())?;
            let list = if list.root < anchor.root.version { list } else { anchor.read_list(&envelope)? };
            anchor.list = Some((list, envelope));
        }
        Ok(anchor)
    }
}

impl From<Anchor> for Stored {
    fn from(anchor: Anchor) -> Self {
        let text = |envelope: &Envelope| String::from_utf8_lossy(&envelope.to_json()).into_owned();
        Self { root: text(&anchor.root_envelope), list: anchor.list.map(|(_, envelope)| text(&envelope)) }
    }
}
