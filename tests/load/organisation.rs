use anyhow::{Context, Result};
use ed25519_dalek::{Signer, SigningKey};
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::api::fleet::{SubmitOrder, TrustDocuments};
use netsonde_contract::dsse::Envelope;
use netsonde_contract::id::{CaseId, OrderId, OrganisationId};
use netsonde_contract::order::{Addressee, Addressees, Order};
use netsonde_contract::set::find_built_in;
use netsonde_contract::trust::{KeyList, PublicKey, RoleKeys, RootStatement};

/// An order holds this long before and after now, so that agents whose clocks are wrong by an hour take it too.
const WINDOW: SignedDuration = SignedDuration::from_hours(3);

/// An organisation whose keys protect nothing: they are the same in every run.
pub(crate) struct Organisation {
    now: Timestamp,
}

impl Organisation {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { now }
    }

    fn root(&self) -> RootStatement {
        RootStatement {
            name: "Load".into(),
            organisation: None,
            version: 1,
            issued: self.now - WINDOW * 3,
            keys: vec![public(1)],
            threshold: 1,
        }
    }

    /// What an enrolment string pins.
    pub(crate) fn fingerprint(&self) -> String {
        RootStatement::fingerprint(self.root().envelope().unverified())
    }

    pub(crate) fn documents(&self) -> TrustDocuments {
        let issued = self.now - WINDOW * 2;
        let list = KeyList {
            organisation: OrganisationId::new(self.fingerprint()),
            root: 1,
            version: 1,
            issued,
            expires: issued + SignedDuration::from_hours(30 * 24),
            order: RoleKeys { threshold: 1, keys: vec![public(2), public(3)] },
            receipt: RoleKeys { threshold: 1, keys: vec![public(4)] },
            revoked: Vec::new(),
        };
        TrustDocuments { roots: vec![signed(self.root().envelope(), &[1])], list: Some(signed(list.envelope(), &[1])) }
    }

    /// An order of the set `web`, signed by two engineers.
    pub(crate) fn order(&self, number: u32, agents: Vec<Addressee>) -> Result<SubmitOrder> {
        let order = Order {
            organisation: OrganisationId::new(self.fingerprint()),
            id: order_id(number),
            set: find_built_in("web").context("the set web is missing")?.parse().context("the set web does not parse")?.text,
            targets: vec!["https://shop.example/".into()],
            parameters: [].into(),
            agents: Addressees::of(&agents).0,
            not_before: self.now - WINDOW,
            expires: self.now + WINDOW,
            case: CaseId::new("load"),
            requester: "cargo load".into(),
            reason: "to see how fast it comes".into(),
            signatures: 1,
            serve: None,
            repeat: None,
            bytes: None,
            deep: None,
            spread_seconds: None,
        };
        let envelope = signed(order.envelope(), &[2, 3]);
        Ok(SubmitOrder { envelope, agents, waves: Vec::new(), stop_at_failed_percent: None, draft: None })
    }
}

/// The id of the order of this number.
pub(crate) fn order_id(number: u32) -> OrderId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    OrderId::from_bytes(id)
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::new(key(seed).verifying_key(), &format!("load {seed}"))
}

fn signed(mut envelope: Envelope, seeds: &[u8]) -> String {
    for seed in seeds {
        let signature = key(*seed).sign(&envelope.to_be_signed()).to_bytes();
        envelope.add_signature(&key(*seed).verifying_key(), signature);
    }
    String::from_utf8_lossy(&envelope.to_json()).into_owned()
}
