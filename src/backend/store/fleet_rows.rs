use ed25519_dalek::VerifyingKey;
use jiff::Timestamp;
use netsonde_contract::api::fleet::{CheckIn, DeliveryState, KeptDraft, Labels, Progress, StateReport};
use netsonde_contract::api::protocol::Protocol;
use netsonde_contract::enrolment::CodeProofKey;
use netsonde_contract::id::{AgentId, BundleId, CaseId, OrderId, TicketId};
use netsonde_contract::order::MerkleProof;
use netsonde_contract::outcome::Outcome;

/// A one-time code without its secret, of which only the key for checking proofs is kept.
#[derive(Clone)]
pub(crate) struct EnrolmentRow {
    pub(crate) id: TicketId,
    pub(crate) proof_key: CodeProofKey,
    /// So many agents may enrol with it.
    pub(crate) uses: u32,
    pub(crate) labels: Labels,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
}

/// The digest of a link, which is all that is kept of it.
pub(crate) type LinkDigest = [u8; 32];

/// An enrolled agent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AgentRow {
    pub(crate) id: AgentId,
    pub(crate) bundle_key: VerifyingKey,
    pub(crate) transport_key: VerifyingKey,
    /// Of its latest introduction.
    pub(crate) number: u64,
    /// The signed envelope, byte for byte.
    pub(crate) introduction: Vec<u8>,
    pub(crate) host_name: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) enrolled: Timestamp,
    pub(crate) last_seen: Option<Timestamp>,
    pub(crate) check_in: CheckIn,
    /// The link that it was given last, and the one before, which an agent shows once more where the answer was lost. None takes any.
    pub(crate) link: Option<LinkDigest>,
    pub(crate) link_before: Option<LinkDigest>,
    pub(crate) cloned: bool,
    pub(crate) revoked: bool,
    /// The agent that took its place with a new bundle key, and when.
    pub(crate) replaced: Option<(AgentId, Timestamp)>,
}

impl AgentRow {
    pub(crate) fn standing(&self) -> Standing {
        let replaced = self.replaced.as_ref().map(|(_, at)| *at);
        Standing { cloned: self.cloned, revoked: self.revoked, replaced, protocol: self.check_in.protocol }
    }
}

/// Whether an enrolled agent is still answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Two machines share its identity.
    pub(crate) cloned: bool,
    pub(crate) revoked: bool,
    /// When another agent took its place.
    pub(crate) replaced: Option<Timestamp>,
    /// The newest version of the exchange that it spoke when it said last what it is.
    pub(crate) protocol: Protocol,
}

/// What every request of an enrolled agent needs to know of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) id: AgentId,
    pub(crate) bundle_key: [u8; 32],
    pub(crate) transport_key: VerifyingKey,
    pub(crate) standing: Standing,
}

/// An agent that asks for what it was not told after `after`.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) agent: AgentId,
    pub(crate) after: u64,
}

/// What became of [`super::FleetStore::enrol`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Enrolled {
    Done,
    UsedUp,
    Expired,
    /// The same key was enrolled before and its enrolment was ended.
    Revoked,
}

/// The link that an agent shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShownLink {
    pub(crate) digest: LinkDigest,
    /// When it was given, where this backend gave it.
    pub(crate) given: Option<Timestamp>,
}

/// What became of [`super::FleetStore::check_in`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkShown {
    Taken,
    /// It was superseded already: two machines share the identity, which is marked now.
    Superseded,
}

/// An order as it was signed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OrderRow {
    pub(crate) id: OrderId,
    pub(crate) case: CaseId,
    pub(crate) set: String,
    pub(crate) set_sha256: String,
    pub(crate) targets: Vec<String>,
    pub(crate) requester: String,
    pub(crate) reason: String,
    /// Fingerprints of the keys that signed it.
    pub(crate) signers: Vec<String>,
    /// The DSSE envelope as JSON text.
    pub(crate) envelope: String,
    pub(crate) submitted: Timestamp,
    pub(crate) not_before: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) cancelled: bool,
    /// Too many of a wave failed, so that the next one waits.
    pub(crate) stopped: bool,
    pub(crate) stop_at_failed: Option<u8>,
}

/// One order at one agent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeliveryRow {
    pub(crate) order: OrderId,
    pub(crate) agent: AgentId,
    /// From 0.
    pub(crate) wave: u32,
    pub(crate) proof: Option<MerkleProof>,
    pub(crate) state: DeliveryState,
    pub(crate) changed: Timestamp,
    pub(crate) code: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) bundle: Option<BundleId>,
    pub(crate) checks_planned: u32,
    pub(crate) checks_done: u32,
}

/// Deliveries that changed, in the order in which they did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RevisedRows {
    pub(crate) rows: Vec<DeliveryRow>,
    /// What to ask after next.
    pub(crate) cursor: u64,
    /// There may be more by now.
    pub(crate) more: bool,
}

/// What waits for one agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WorkRow {
    pub(crate) cursor: u64,
    pub(crate) orders: Vec<(OrderId, String, Option<MerkleProof>)>,
    pub(crate) cancelled: Vec<OrderId>,
}

/// Small writes that come often. Many are kept in one transaction, so that ten thousand agents do not cost ten thousand flushes of the disk.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// A request's nonce; to be refused where it is known.
    Nonce {
        agent: AgentId,
        nonce: String,
        until: Timestamp,
    },
    Seen {
        agent: AgentId,
        at: Timestamp,
    },
    State {
        order: OrderId,
        agent: AgentId,
        report: StateReport,
        at: Timestamp,
    },
    Progress {
        order: OrderId,
        agent: AgentId,
        progress: Progress,
    },
}

/// What became of a [`Note`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It was news and is kept.
    Kept,
    /// It was known, or came too late to matter; nothing changed.
    Old,
    /// There is no such delivery.
    Unknown,
}

/// Where a delivery's bundle goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryPlace {
    pub(crate) case: CaseId,
    pub(crate) set: String,
    pub(crate) set_sha256: String,
}

/// The outcomes that an agent reported so far, in their order.
pub(crate) type Reported = Vec<Outcome>;
pub(crate) type DraftRow = KeptDraft;
