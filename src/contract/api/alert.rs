//! What a receiver of alerts is sent: the JSON body of a webhook, and what an e-mail is made of.
//!
//! The shape is that of Standard Webhooks: `type`, `timestamp`, `data`. New fields may come; a type that a receiver does not know is to be answered
//! with success and passed over. The header `webhook-id` is the same however often an alert is sent, so that a receiver tells a repetition by it.

use super::fleet::Labels;
use crate::history::{Changed, Health};
use crate::id::{AgentId, BundleId, CaseId};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    #[serde(rename = "type")]
    pub event: String,
    /// When it happened, by the clock of whoever noticed it.
    pub timestamp: Timestamp,
    pub data: AlertData,
}

/// What happened, to what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertData {
    /// In words, for people.
    pub summary: String,
    /// What the agent said of it, with its reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
    pub agent: AgentId,
    /// What the machine calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// What it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Changed>,
    /// When what led to it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseId>,
    /// The case's page, or the fleet's where it is no case's.
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleId>,
}

/// The events, by their names.
pub mod event {
    /// A check began to fail and a case was opened for it.
    pub const CASE_OPENED: &str = "case.opened";
    /// It began to fail again, in the case that was open.
    pub const CASE_FAILING: &str = "case.failing";
    /// All of the case's required checks are well again; an engineer closes it.
    pub const CASE_RECOVERED: &str = "case.recovered";
    /// What failed in the case is measured no more: its schedule, or its target, was removed on the machine. How it is now is unknown.
    pub const CASE_REMOVED: &str = "case.removed";
    /// An agent was not heard for twice as long as it had said: of its checks nothing is known.
    pub const AGENT_SILENT: &str = "agent.silent";
    pub const AGENT_HEARD: &str = "agent.heard";
    /// Another change of a check: degraded, a new path or chain, an expiry, another round-trip time. Not sent unless asked for.
    pub const CHECK_CHANGED: &str = "check.changed";

    pub const ALL: [&str; 7] =
        [CASE_OPENED, CASE_FAILING, CASE_RECOVERED, CASE_REMOVED, AGENT_SILENT, AGENT_HEARD, CHECK_CHANGED];
}
