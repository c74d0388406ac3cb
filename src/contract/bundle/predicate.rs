use crate::document::SetReference;
use crate::id::{BundleId, CaseId, OrderId, RunId, TicketId};
use crate::redaction::RedactionReport;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why an agent ran a set by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scheduled {
    /// The schedule's name in `agent.toml`.
    pub schedule: String,
    pub why: ScheduledFor,
    /// The target of the change, where it is one target's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduledFor {
    /// Its time had come.
    Slot,
    /// A target of it became failing: the deep set, with the history before it.
    Failing,
}

/// What a bundle's manifest says of the run as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Predicate {
    /// The signing key's [`super::key_id`]; [`super::pack`] fills it in.
    pub key_id: String,
    pub build: Build,
    pub run: RunId,
    pub set: SetReference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketProof>,
    /// The order that the run answers, where an enrolled agent made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
    /// The schedule that the run was made for, where an agent made it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Scheduled>,
    /// SHA-256 of the policy file in force, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_sha256: Option<String>,
    pub consent: Consent,
    pub redaction: RedactionReport,
    /// Counts the bundles of this key, from 1.
    pub sequence: u64,
    /// The key's bundle before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<BundleId>,
    /// SHA-256 of the last line of the machine's audit log when the bundle was signed, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_head: Option<String>,
    pub clocks: Clocks,
    /// Bounds that were reached, in words.
    #[serde(default)]
    pub limits_hit: Vec<String>,
}

/// The program that made the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    pub program: String,
    pub version: String,
    /// The Rust target triple that it was built for.
    pub target: String,
}

/// The ticket that the run answers, and the proof that the signer was given it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicketProof {
    pub id: TicketId,
    /// [`crate::ticket::ProofKey::proof`], in base64.
    pub proof: String,
}

/// What the person agreed to as far as uploading goes, when the bundle was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// They ran a ticket, which says what it sends.
    Ticket,
    /// They gave `--upload`.
    Flag,
    /// They said yes when asked.
    Prompt,
    /// The machine's policy allows it.
    Policy,
    /// They agreed to none; the file was handed over by other means.
    None,
    /// A way that this version does not know.
    #[serde(other)]
    Other,
}

/// The clocks that a reader can hold against each other. A wrong one annotates the bundle and never invalidates it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clocks {
    /// By the machine's wall clock.
    pub began: Timestamp,
    /// By the machine's wall clock.
    pub ended: Timestamp,
    /// Between the two, by the monotonic clock.
    pub elapsed_us: u64,
    /// The backend's clock, where the run heard of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Timestamp>,
}
