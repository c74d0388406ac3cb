use super::WatchedRow;
use ed25519_dalek::VerifyingKey;
use jiff::Timestamp;
use netsonde_contract::bundle::Scheduled;
use netsonde_contract::finding::{Diagnosis, State};
use netsonde_contract::id::{AgentId, BundleId, CaseId, OrderId, TicketId};
use netsonde_contract::ticket::ProofKey;
use std::collections::BTreeMap;

/// A value of which there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setting {
    /// The pages' password as an argon2 PHC string.
    PasswordHash,
    /// SHA-256 of the desk token, in hexadecimal.
    DeskTokenDigest,
    /// What tells this installation's database from another's; the data directory has the same.
    Installation,
    /// Where the server was last reached, as JSON, for whoever makes a new desk token beside it.
    Place,
}

impl Setting {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PasswordHash => "password_hash",
            Self::DeskTokenDigest => "desk_token_digest",
            Self::Installation => "installation",
            Self::Place => "place",
        }
    }
}

/// A ticket without its secret, of which only the key for checking proofs is kept.
#[derive(Clone)]
pub(crate) struct TicketRow {
    pub(crate) id: TicketId,
    pub(crate) case: CaseId,
    pub(crate) set: String,
    pub(crate) set_sha256: String,
    pub(crate) targets: Vec<String>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) proof_key: ProofKey,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) status: TicketStatus,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TicketStatus {
    Open,
    Used { by: BundleId },
    Revoked,
}

/// Who may send something: whoever holds a ticket, or an enrolled agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Ticket(TicketId),
    Agent(AgentId),
}

/// What a bundle answers, which is also why its key is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Ticket(TicketId),
    Order {
        order: OrderId,
        agent: AgentId,
    },
    /// An enrolled agent made it by itself.
    Scheduled {
        agent: AgentId,
        scheduled: Scheduled,
    },
    /// An engineer brought the file and named the case. Nothing says whose key signed it.
    Brought,
}

impl Origin {
    pub(crate) fn ticket(&self) -> Option<&TicketId> {
        match self {
            Self::Ticket(ticket) => Some(ticket),
            Self::Order { .. } | Self::Scheduled { .. } | Self::Brought => None,
        }
    }

    /// The enrolled agent that sent it.
    pub(crate) fn agent(&self) -> Option<&AgentId> {
        match self {
            Self::Order { agent, .. } | Self::Scheduled { agent, .. } => Some(agent),
            Self::Ticket(_) | Self::Brought => None,
        }
    }
}

/// An upload that has begun. Its bytes are in the staging folder; `offset` of them are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UploadRow {
    pub(crate) id: String,
    pub(crate) bundle: BundleId,
    pub(crate) sender: Sender,
    /// The key that the sender showed, and that the bundle must be signed with.
    pub(crate) key: VerifyingKey,
    pub(crate) length: u64,
    pub(crate) offset: u64,
    pub(crate) touched: Timestamp,
}

/// A bundle that was acknowledged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BundleRow {
    pub(crate) id: BundleId,
    /// SHA-256 of the file, in hexadecimal: where its bytes are found.
    pub(crate) file_sha256: String,
    pub(crate) size_bytes: u64,
    pub(crate) key: VerifyingKey,
    pub(crate) origin: Origin,
    pub(crate) case: CaseId,
    pub(crate) set: String,
    pub(crate) received: Timestamp,
    /// The signed envelope that was given to the sender, byte for byte.
    pub(crate) receipt: Vec<u8>,
    /// What the agent concluded.
    pub(crate) agent: Diagnosis,
    /// What this program concluded of the same observations, and the version that did.
    pub(crate) backend: Diagnosis,
    pub(crate) diagnosed_by: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CaseRow {
    pub(crate) id: CaseId,
    pub(crate) opened: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) bundles: u32,
    /// State and first cause of the latest bundle.
    pub(crate) state: Option<State>,
    pub(crate) cause: Option<String>,
    /// Where it was opened by itself.
    pub(crate) watched: Option<WatchedRow>,
}

/// Somebody signed in. The token itself is only in their browser.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) digest: [u8; 32],
    /// What the forms of this session carry.
    pub(crate) form_token: String,
    pub(crate) expires: Timestamp,
}

/// What became of [`super::Store::accept`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Accepted {
    /// With the agents whose turn came with it.
    Stored(Vec<AgentId>),
    /// The same bundle was accepted before; nothing changed.
    Already(Box<BundleRow>),
    /// The ticket was used, revoked or ran out in the meantime, or the order has a bundle of this agent already; nothing changed.
    NotOpen,
}
