//! Bodies of what enrolled agents and the desk exchange with the backend about agents and orders.
//!
//! An agent signs each request ([`crate::request_signature`]) with its transport key. Nothing in these bodies makes an agent send a packet but an
//! order's envelope, which it verifies by itself.

use super::protocol::Protocol;
use crate::harmless::{clean_up_to, is_clean};
use crate::id::{AgentId, BundleId, CaseId, OrderId, TicketId};
use crate::kind::Kind;
use crate::order::{Addressee, Epoch, MerkleProof};
use crate::outcome::Outcome;
use crate::trust::PublicKey;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest that a request for work is held, in seconds.
pub const MAX_WAIT_SECONDS: u32 = 50;
/// At most so many orders in one answer.
pub const MAX_WORK: usize = 16;
/// At most so many cancellations in one answer; more come with the next. An agent takes no more of one answer either.
pub const MAX_CANCELLED: usize = 64;
/// So many roots an organisation may have had; an agent looks at no more of one answer.
pub const MAX_ROOTS: usize = 256;
/// A link is a line of so many bytes at most.
pub const MAX_LINK_BYTES: usize = 128;
/// A report's code is a word of so many characters at most …
pub const MAX_CODE_CHARS: usize = 64;
/// … and its detail a sentence.
pub const MAX_DETAIL_CHARS: usize = 1024;
/// The body of any request of an agent's, a report of progress with its outcomes above all.
pub const MAX_AGENT_BODY: usize = 256 * 1024;
/// The body of an order with the list of its addressees: an envelope and about 20,000 agents.
pub const MAX_SUBMIT_BYTES: usize = 4 * 1024 * 1024;
/// Labels that the desk gives an agent, such as `site=oslo`.
pub type Labels = BTreeMap<String, String>;

/// Whether a backend takes `text` as the link of a check-in; an agent keeps no other.
pub fn is_link(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_LINK_BYTES && is_clean(text)
}

/// `POST /v1/enrolments`, by the desk: asks for a one-time code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrolmentCodeRequest {
    /// So many agents may enrol with it: more than one for fleets and images.
    pub uses: u32,
    pub hours: u32,
    /// The agents that enrol with it get these labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

/// The answer: the code is shown this once. No `Debug`, for its sake.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct EnrolmentCodeIssued {
    pub id: TicketId,
    /// [`crate::enrolment::EnrolmentCode::to_text`].
    pub code: String,
    pub expires: Timestamp,
}

/// `POST /v1/agents`, by an agent: its introduction, in a DSSE envelope as JSON text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Introduce {
    pub introduction: String,
    pub check_in: CheckIn,
}

/// What the agent is told when it enrols. It holds the root against the fingerprint of its enrolment string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Introduced {
    pub agent: AgentId,
    /// Envelopes as JSON text.
    pub trust: TrustDocuments,
    pub server_time: Timestamp,
    /// See [`CheckIn::link`].
    pub link: String,
    /// See [`CheckedIn::protocol`].
    #[serde(default, skip_serializing_if = "Protocol::is_unnamed")]
    pub protocol: Protocol,
}

/// `PUT /v1/trust` by the desk, `GET /v1/trust` by anyone: the organisation's signed documents, as JSON text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrustDocuments {
    /// Every root from the first on, so that an agent that slept through a rotation can follow.
    pub roots: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
}

/// `GET /v1/receipt-key`, by anyone: the key that signs the backend's receipts, for a person at the desk to compare and pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptKey {
    pub key: PublicKey,
}

/// What an agent says of itself: when it enrols, when something changes, and every hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckIn {
    pub epoch: Epoch,
    pub version: String,
    /// The Rust target triple.
    pub platform: String,
    /// What the policy allows, in words that the desk shows.
    pub policy: PolicySummary,
    /// What this agent can measure here.
    pub kinds: Vec<Kind>,
    /// Drawn anew whenever the agent's process starts.
    pub instance: String,
    /// The newest version of the exchange that the agent speaks.
    #[serde(default, skip_serializing_if = "Protocol::is_unnamed")]
    pub protocol: Protocol,
    /// The link that the backend gave with its last answer. Two machines with one identity hold different ones soon, which is how they are
    /// noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicySummary {
    /// `deny`, `ask` or `allow`.
    pub remote: String,
    pub paused: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// `POST /v1/agents/self`: a check-in, or with a changed key an introduction too. The former transport key or the new one signs the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OwnReport {
    Introduce(Introduce),
    CheckIn(CheckIn),
}

/// The answer to `POST /v1/agents/self`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckedIn {
    pub server_time: Timestamp,
    pub link: String,
    /// The version that is spoken: the lower of both sides' newest.
    #[serde(default, skip_serializing_if = "Protocol::is_unnamed")]
    pub protocol: Protocol,
}

/// The answer to `GET /v1/work?after=CURSOR&wait=SECONDS&root=N&list=N`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Work {
    /// What to ask after next time.
    pub cursor: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<WorkItem>,
    /// Orders that are to end at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancelled: Vec<OrderId>,
    /// Where the agent's are older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustDocuments>,
    /// Why it is answered before its time, where that is the agent's own doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    pub server_time: Timestamp,
}

/// One order on its way to one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkItem {
    pub id: OrderId,
    /// The DSSE envelope as JSON text.
    pub envelope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<MerkleProof>,
}

/// What has become of an order at one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Queued,
    Delivered,
    /// Somebody at the machine is being asked.
    Asked,
    Accepted,
    Running,
    Uploaded,
    Refused,
    Failed,
    Expired,
    Cancelled,
}

impl DeliveryState {
    pub const ALL: [(&'static str, Self); 10] = [
        ("queued", Self::Queued),
        ("delivered", Self::Delivered),
        ("asked", Self::Asked),
        ("accepted", Self::Accepted),
        ("running", Self::Running),
        ("uploaded", Self::Uploaded),
        ("refused", Self::Refused),
        ("failed", Self::Failed),
        ("expired", Self::Expired),
        ("cancelled", Self::Cancelled),
    ];

    /// What an engineer looks for first: what went wrong, then what goes on, what waits, and what is done.
    pub const BY_URGENCY: [Self; 10] = [
        Self::Failed,
        Self::Refused,
        Self::Expired,
        Self::Running,
        Self::Accepted,
        Self::Asked,
        Self::Delivered,
        Self::Queued,
        Self::Cancelled,
        Self::Uploaded,
    ];

    /// Its place in [`Self::BY_URGENCY`].
    pub fn urgency(self) -> usize {
        Self::BY_URGENCY.iter().position(|state| *state == self).unwrap_or(Self::BY_URGENCY.len())
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, state)| *state == self).map_or("", |(name, _)| name)
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, state)| *state)
    }

    /// Nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Uploaded | Self::Refused | Self::Failed | Self::Expired | Self::Cancelled)
    }

    /// Whether a report of `next` is news: states go forward only, so that a late or repeated report changes nothing.
    pub fn may_become(self, next: Self) -> bool {
        let place = |state: Self| Self::ALL.iter().position(|(_, known)| *known == state);
        !self.is_final() && place(next) > place(self)
    }
}

/// `POST /v1/work/{order}/state`, by the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateReport {
    pub state: DeliveryState,
    /// Of a refusal or failure: [`crate::order::RefusalCode`] as text, or a code of this report's own. With another one a state is told again, such as of
    /// a schedule that the policy lets run no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// In one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleId>,
}

impl StateReport {
    /// The same in words that everybody takes: nothing hides in them, and what is too long is cut and ends in `…`. A refusal quotes what it refuses, so that
    /// others choose some of its words.
    pub fn harmless(self) -> Self {
        Self {
            code: self.code.map(|code| clean_up_to(&code, MAX_CODE_CHARS).into_owned()),
            detail: self.detail.map(|detail| clean_up_to(&detail, MAX_DETAIL_CHARS).into_owned()),
            ..self
        }
    }
}

/// `POST /v1/work/{order}/progress`, by the agent: outcomes as they come, redacted as the bundle will be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Counts the agent's reports on this order, from 1; a repeated one is dropped.
    pub sequence: u64,
    pub checks_planned: u32,
    pub checks_done: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Outcome>,
}

/// `POST /v1/orders`, by the desk: a signed order for the agents that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubmitOrder {
    /// The DSSE envelope as JSON text.
    pub envelope: String,
    /// All addressees, in the order of the tree's leaves.
    pub agents: Vec<Addressee>,
    /// How many agents get it at first, then; all the others come last. Empty for all at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<u32>,
    /// The next wave waits where more than this share of the last one failed, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_at_failed_percent: Option<u8>,
    /// The draft that it was signed from, which is over with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<String>,
}

/// One order, as the desk and the case page see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderSummary {
    pub id: OrderId,
    pub case: CaseId,
    pub set: String,
    pub targets: Vec<String>,
    pub requester: String,
    pub submitted: Timestamp,
    pub expires: Timestamp,
    pub cancelled: bool,
    /// Too many of a wave failed, so that the next one waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// How many agents are in each state, by the state's name.
    pub states: BTreeMap<String, u32>,
    /// Why so many of them are in a state, by its name and the agents' own codes: the most frequent ones. A cancellation without a code is support's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub codes: BTreeMap<String, BTreeMap<String, u32>>,
}

/// `GET /v1/orders/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderDetail {
    pub order: OrderSummary,
    /// As the order has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_seconds: Option<u32>,
    /// All of them; where `?since=` was asked, those that changed since.
    pub deliveries: Vec<Delivery>,
    /// Where `?since=` was asked; a backend that knows no such question tells all of them, and nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
}

/// Where the answer to `GET /v1/orders/{id}?since=CURSOR` ends. The first question is after 0, and is answered with all deliveries, some at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changes {
    /// What to ask after next.
    pub cursor: u64,
    /// There is more already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    pub agent: AgentId,
    pub state: DeliveryState,
    pub changed: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleId>,
    pub checks_planned: u32,
    pub checks_done: u32,
}

/// One agent of `GET /v1/agents`; with `?named=TEXT` those alone whose id begins so, or that have this host name, and with `?labels={"site":"oslo"}`
/// those that carry each of the labels. A backend that knows neither question tells all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentSummary {
    pub id: AgentId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    pub labels: Labels,
    pub enrolled: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// It holds a request for work just now.
    pub online: bool,
    pub check_in: CheckIn,
    /// Two machines were seen to share the identity.
    pub cloned: bool,
    pub revoked: bool,
}

/// `POST /v1/drafts`, by a page or the desk: an order that nobody has signed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Draft {
    pub set: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Agents by id, or all that carry these labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentId>,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    pub case: CaseId,
    pub requester: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Each agent begins at a moment of its own within so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_seconds: Option<u32>,
}

/// A draft that the backend keeps: the answer to `POST /v1/drafts`, to `GET /v1/drafts/{id}`, and one of `GET /v1/drafts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptDraft {
    /// 16 lower-case base32 characters, as `netsonde-desk sign` takes them.
    pub id: String,
    pub made: Timestamp,
    #[serde(flatten)]
    pub draft: Draft,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_go_forward_and_end() {
        use DeliveryState as State;
        assert!(State::Queued.may_become(State::Delivered) && State::Delivered.may_become(State::Refused));
        assert!(!State::Running.may_become(State::Delivered) && !State::Running.may_become(State::Running));
        for (name, state) in State::ALL {
            assert_eq!(State::from_name(name), Some(state));
            assert!(!state.is_final() || State::ALL.iter().all(|(_, next)| !state.may_become(*next)), "{name}");
            assert_eq!(State::BY_URGENCY.get(state.urgency()), Some(&state), "{name} is listed");
        }
    }

    #[test]
    fn a_problems_words_fill_no_log() {
        use crate::api::{Problem, ProblemCode};
        let problem = Problem { code: "x".repeat(1 << 20), ..Problem::new(ProblemCode::Internal, "\u{202e}y".repeat(1 << 20)) };
        let text = problem.to_string();
        assert!(
            text.chars().count() < MAX_DETAIL_CHARS + MAX_CODE_CHARS + 10 && crate::harmless::is_clean(&text),
            "{}",
            text.len()
        );
    }

    #[test]
    fn a_reports_words_hide_nothing_and_are_no_longer_than_anybody_takes() {
        let report = |detail: &str| StateReport {
            state: DeliveryState::Refused,
            code: Some("unusable_set".into()),
            detail: Some(detail.into()),
            bundle: None,
        };
        let long = report(&"\u{202e}".repeat(400)).harmless().detail.unwrap();
        assert_eq!(long.chars().count(), MAX_DETAIL_CHARS);
        assert!(crate::harmless::is_clean(&long) && long.starts_with("\\u{202e}") && long.ends_with('…'), "{long}");
        let plain = report("line 2, column 5: Zürich");
        assert_eq!(plain.clone().harmless(), plain);
    }
}
