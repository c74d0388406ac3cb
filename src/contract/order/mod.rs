//! Orders: what an engineer asks of enrolled agents.
//!
//! An order is a DSSE envelope, signed at an engineer's desk by keys that the organisation's root lists. It carries the exact text of the
//! set, so that nothing else can be run under its name; the agents that it is for, each with the *epoch* that this agent published
//! lately; and a window of at most a day. [`verify`] decides, purely, whether an order is what it says and meant for this agent now;
//! whether the customer allows it is for [`crate::policy`].
//!
//! Freshness comes from the epoch, 128 random bits that the agent itself draws and forgets: whoever kept an old order cannot make its epoch
//! current again. Clocks may only refuse: a machine whose clock stands before anything that it has seen signed takes no orders, and says why.

mod addressees;
mod deep;
mod epoch;
mod merkle;
mod refusal;
mod repeat;
mod serve;
mod spread;
mod verify;

pub use addressees::{Addressee, Addressees, MAX_LISTED};
pub use deep::Deep;
pub use epoch::{EPOCH_LIFE, Epoch, Epochs};
pub use merkle::{MerkleProof, MerkleTree};
pub use refusal::{Refusal, RefusalCode};
pub use repeat::{LONGEST_LIFE, LONGEST_REPEAT, Repeat, SHORTEST_REPEAT, schedule_name};
pub use serve::{MAX_PEERS, MAX_SERVE_SECONDS, SERVING, Serve};
pub use spread::SPREAD;
pub use verify::{Situation, Verified, signed, verify};

use crate::dsse::Envelope;
use crate::id::{CaseId, OrderId, OrganisationId};
use crate::set::{MAX_BUDGET, ProbeSet, Request};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The DSSE payload type of an order.
pub const MEDIA_TYPE: &str = "application/vnd.netsonde.order+json";
/// From not-before to expiry.
pub const MAX_WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// An envelope may be this large: the largest set and a deep one, a hundred listed agents and their signatures fit.
pub const MAX_BYTES: usize = 512 * 1024;
/// An order to more agents than this needs the signatures of two engineers.
pub const AGENTS_OF_ONE_SIGNATURE: u64 = 20;
/// What the backend says of a run whose time is over, and of which the agent says nothing.
pub const AGENT_SILENT: &str = "agent_silent";
/// No order asks for more signatures than this.
pub const MAX_SIGNATURES: usize = 4;

/// One order, as it is signed. A key that this version does not know is a demand that it cannot keep, so that an order with one is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub organisation: OrganisationId,
    pub id: OrderId,
    /// The set's exact text (TOML).
    pub set: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// Values of the set's parameters; the set gives them their types and bounds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// What each agent may send and receive for it at most; where absent, what the set and the agent's policy allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    pub agents: Addressees,
    pub not_before: Timestamp,
    pub expires: Timestamp,
    pub case: CaseId,
    /// Who asks, in words, for the person at the machine.
    pub requester: String,
    /// Why, in words, for the person at the machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// So many different engineers must have signed; the desk asks for two where a target is none of the case's.
    pub signatures: usize,
    /// One agent answers the others' test packets while they measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serve: Option<Serve>,
    /// The order is a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// The exact text (TOML) of the set that is run at once for a target of the schedule that becomes failing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deep: Option<String>,
    /// Each agent begins within so many seconds of taking the order, at a moment of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_seconds: Option<u32>,
}

impl Order {
    /// Without a signature yet.
    pub fn envelope(&self) -> Envelope {
        Envelope::unsigned(MEDIA_TYPE, crate::bundle::json_bytes(self))
    }

    /// How many different engineers must sign: as many as the order says, and two where it is for many agents.
    pub fn needed_signatures(&self) -> usize {
        let many = if self.agents.count() > AGENTS_OF_ONE_SIGNATURE { 2 } else { 1 };
        self.signatures.max(many)
    }

    /// How long an agent may be busy with one run of it: the plan's budget, and the time of answering. Of what makes no plan, the longest that any may
    /// take.
    pub fn longest_run(&self) -> Duration {
        let request = Request { targets: self.targets.clone(), parameters: self.parameters.clone(), ..Request::default() };
        let plan = ProbeSet::parse("the order's set", &self.set).ok().and_then(|set| set.plan(&request).ok());
        plan.map_or(MAX_BUDGET, |plan| plan.budget) + self.serve.as_ref().map_or(Duration::ZERO, Serve::time)
    }

    /// The order in an envelope that nobody has vouched for: for showing it.
    ///
    /// # Errors
    /// Where it is no order, in words.
    pub fn unverified(envelope: &Envelope) -> Result<Self, String> {
        serde_json::from_slice(envelope.unverified()).map_err(|error| error.to_string())
    }
}
