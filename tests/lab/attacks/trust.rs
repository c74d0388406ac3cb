use super::case::{Enrolled, ForgedList, ForgedRoot};
use anyhow::{Context, Result, bail};
use ed25519_dalek::{Signer, SigningKey};
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::dsse::Envelope;
use netsonde_contract::enrolment::{Enrolment, EnrolmentCode};
use netsonde_contract::id::{OrganisationId, TicketId};
use netsonde_contract::pin::Pin;
use netsonde_contract::trust::{KeyList, PublicKey, RoleKeys, RootStatement};

/// Two of these must sign for the root.
const ROOT: [u8; 3] = [1, 2, 3];
const NEXT_ROOT: [u8; 2] = [4, 5];
const MALLORYS_ROOT: [u8; 2] = [6, 7];
/// Also signs receipts.
const RECEIPT: u8 = 20;

/// Everybody whose key stands in a case, by name.
const PEOPLE: [(&str, u8); 7] =
    [("asha", 10), ("ben", 11), ("carol", 12), ("mallory", 13), ("root", 1), ("receipt", RECEIPT), ("next_root", 4)];

/// A support organisation as it is at one time of its own.
pub(super) struct Organisation {
    pub id: OrganisationId,
    /// What it takes for now.
    pub now: Timestamp,
    /// The list of keys has expired.
    expired: bool,
    /// It has published a list.
    pub has_list: bool,
}

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// # Errors
/// Where nobody has that name.
pub(super) fn key_of(name: &str) -> Result<SigningKey> {
    PEOPLE
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, seed)| key(*seed))
        .with_context(|| format!("nobody is called {name}"))
}

pub(super) fn receipt_key() -> SigningKey {
    key(RECEIPT)
}

fn public(seed: u8) -> PublicKey {
    let name = PEOPLE.iter().find(|(_, known)| *known == seed).map_or("root", |(name, _)| name);
    PublicKey::new(key(seed).verifying_key(), name)
}

fn signed(mut envelope: Envelope, seeds: &[u8]) -> String {
    for seed in seeds {
        let signature = key(*seed).sign(&envelope.to_be_signed()).to_bytes();
        envelope.add_signature(&key(*seed).verifying_key(), signature);
    }
    String::from_utf8_lossy(&envelope.to_json()).into_owned()
}

impl Organisation {
    /// As an agent meets it that enrolled so; `now` is the real time.
    pub(super) fn of(enrolled: Enrolled, now: Timestamp) -> Self {
        let year = SignedDuration::from_hours(365 * 24);
        let now = match enrolled {
            Enrolled::ClockSlow => now + year,
            Enrolled::ClockFast => now - year,
            _ => now,
        };
        let expired = enrolled == Enrolled::ExpiredList;
        let mut organisation = Self { id: OrganisationId::new(""), now, expired, has_list: enrolled != Enrolled::NoList };
        organisation.id = OrganisationId::new(organisation.fingerprint());
        organisation
    }

    fn issued(&self) -> Timestamp {
        self.now - SignedDuration::from_hours(60 * 24)
    }

    fn root(&self) -> RootStatement {
        let keys = ROOT.map(public).to_vec();
        RootStatement {
            name: "Contoso support".into(),
            organisation: None,
            version: 1,
            issued: self.issued(),
            keys,
            threshold: 2,
        }
    }

    pub(super) fn fingerprint(&self) -> String {
        RootStatement::fingerprint(self.root().envelope().unverified())
    }

    pub(super) fn root_json(&self) -> String {
        signed(self.root().envelope(), &ROOT[..2])
    }

    /// One signature instead of two.
    pub(super) fn unsigned_root_json(&self) -> String {
        signed(self.root().envelope(), &ROOT[..1])
    }

    /// Version 3: asha and ben may sign, carol no longer may.
    fn list(&self) -> KeyList {
        let issued =
            if self.expired { self.now - SignedDuration::from_hours(50 * 24) } else { self.now - SignedDuration::from_hours(1) };
        let life = if self.expired { 49 } else { 30 };
        KeyList {
            organisation: self.id.clone(),
            root: 1,
            version: 3,
            issued,
            expires: issued + SignedDuration::from_hours(life * 24),
            order: RoleKeys { threshold: 1, keys: vec![public(10), public(11)] },
            receipt: RoleKeys { threshold: 1, keys: vec![public(RECEIPT)] },
            revoked: vec![public(12)],
        }
    }

    pub(super) fn list_json(&self) -> Option<String> {
        self.has_list.then(|| signed(self.list().envelope(), &ROOT[..2]))
    }

    pub(super) fn forged_list(&self, how: ForgedList) -> String {
        let list = self.list();
        let with_mallory = RoleKeys { threshold: 1, keys: vec![public(10), public(11), public(13)] };
        let next = KeyList { version: 4, order: with_mallory.clone(), ..list.clone() };
        let root = &ROOT[..2];
        match how {
            ForgedList::RolledBack => {
                let with_carol = RoleKeys { threshold: 1, keys: vec![public(10), public(12)] };
                signed(KeyList { version: 2, order: with_carol, revoked: Vec::new(), ..list }.envelope(), root)
            }
            ForgedList::Mixed => signed(KeyList { order: with_mallory, ..list }.envelope(), root),
            ForgedList::OtherOrganisation => {
                signed(KeyList { organisation: OrganisationId::new("0".repeat(64)), ..next }.envelope(), root)
            }
            ForgedList::ByMallory => signed(next.envelope(), &[13, 6]),
            ForgedList::ByOne => signed(next.envelope(), &ROOT[..1]),
            ForgedList::OneKeyTwice => {
                let once = signed(next.envelope(), &ROOT[..1]);
                let mut value: serde_json::Value = serde_json::from_str(&once).unwrap_or_default();
                if let Some(signatures) = value["signatures"].as_array_mut() {
                    let again = serde_json::json!({"keyid": "sha256:other", "sig": signatures[0]["sig"]});
                    signatures.push(again);
                }
                value.to_string()
            }
            ForgedList::LongLived => {
                let expires = next.issued + SignedDuration::from_hours(365 * 24);
                signed(KeyList { expires, ..next }.envelope(), root)
            }
            ForgedList::OfNextRoot => signed(KeyList { root: 2, ..next }.envelope(), root),
            ForgedList::TwoMustSign => {
                let order = RoleKeys { threshold: 2, keys: vec![public(10), public(11)] };
                signed(KeyList { version: 4, order, ..list }.envelope(), root)
            }
            ForgedList::WithoutAsha => {
                let order = RoleKeys { threshold: 1, keys: vec![public(11)] };
                signed(KeyList { version: 4, order, revoked: vec![public(10), public(12)], ..list }.envelope(), root)
            }
        }
    }

    pub(super) fn forged_root(&self, how: ForgedRoot) -> String {
        let next = RootStatement {
            organisation: Some(self.id.clone()),
            version: 2,
            keys: NEXT_ROOT.map(public).to_vec(),
            threshold: 1,
            ..self.root()
        };
        let mallorys = RootStatement { keys: MALLORYS_ROOT.map(public).to_vec(), ..next.clone() };
        match how {
            ForgedRoot::Substituted => {
                let first = RootStatement { organisation: None, version: 1, ..mallorys };
                signed(first.envelope(), &MALLORYS_ROOT)
            }
            ForgedRoot::ByNewOnly => signed(mallorys.envelope(), &MALLORYS_ROOT),
            ForgedRoot::ByOldOnly => signed(next.envelope(), &ROOT[..2]),
            ForgedRoot::Skips => signed(RootStatement { version: 3, ..next }.envelope(), &[ROOT[0], ROOT[1], NEXT_ROOT[0]]),
            ForgedRoot::Rotated => signed(next.envelope(), &[ROOT[0], ROOT[1], NEXT_ROOT[0]]),
        }
    }

    /// The string that the agent enrols with.
    ///
    /// # Errors
    /// Where a backend over TLS is asked for without its pin.
    pub(super) fn enrolment(&self, backend: &str, tls_pin: Option<Pin>) -> Result<String> {
        if backend.starts_with("https:") && tls_pin.is_none() {
            bail!("a private certificate needs a pin");
        }
        let enrolment = Enrolment {
            id: TicketId::from_bytes([7; 10]),
            backend: backend.to_owned(),
            tls_pin,
            organisation: "Contoso support".into(),
            root: self.fingerprint(),
            receipt_key: receipt_key().verifying_key(),
            expires: self.now + SignedDuration::from_hours(24),
            code: EnrolmentCode::from_bytes([9; 16]),
        };
        Ok(enrolment.encode().to_string())
    }
}
