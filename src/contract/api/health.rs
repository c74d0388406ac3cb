//! Bodies by which an enrolled agent tells how its scheduled checks are: their states, and what changed.
//!
//! The agent signs the request ([`crate::request_signature`]) as every other of its own. What changed is told until it is heard, and may so be told twice:
//! the backend knows a change by the agent and its number.

use crate::history::{Change, Health, Series};
use crate::id::BundleId;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// States of so many checks are told at most: 64 schedules with 64 checks each, in one body of [`super::fleet::MAX_AGENT_BODY`].
pub const MAX_CHECKS: usize = 1_024;
/// So many changes in one report; the oldest go first, and what is left follows with the next report.
pub const MAX_CHANGES: usize = 64;
/// Schedules that [`HealthReport::partial`] names at most: those of a whole `agent.toml`, and as many again that engineers signed.
pub const MAX_PARTIAL: usize = 128;
/// Between two reports of an agent where nothing changes, in seconds; after twice this it is silent, and its checks are unknown.
pub const LONGEST_SILENCE_SECONDS: u32 = 3_600;

/// `POST /v1/agents/self/health`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReport {
    pub at: Timestamp,
    /// The next report comes within so many seconds, 10 to [`LONGEST_SILENCE_SECONDS`]; an agent that is silent for twice as long is one of which
    /// nothing is known.
    pub next_within_seconds: u32,
    /// Every check that schedules measure, whether it changed or not: what is not here is not measured any more, but for the checks of `partial`.
    pub checks: Vec<CheckState>,
    /// Names of the schedules, [`MAX_PARTIAL`] at most, of which not every check is in `checks`: the report was cut to its length, or the agent has not measured them
    /// yet since it lost its states. A check of theirs that is missing is as it was told before, with what `changes` say of it since. None of an agent of an
    /// older version, which does not say: what is missing in its reports is told no more, which ends no case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Vec<String>>,
    /// What was not heard yet, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<NumberedChange>,
}

/// How one check is, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckState {
    #[serde(flatten)]
    pub series: Series,
    pub health: Health,
    pub since: Timestamp,
    /// When it was measured last; agents of older versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Timestamp>,
    /// Known maintenance: nobody is told.
    #[serde(default)]
    pub silenced: bool,
}

/// A change and its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NumberedChange {
    /// Counts the agent's changes from 1, without gaps, and never begins again.
    pub number: u64,
    pub change: Change,
    /// The bundle of the run that was made because of it, where there is one by now. It may come later than the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleId>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthHeard {
    /// Changes up to this number are kept and need not be told again.
    pub heard: u64,
    pub server_time: Timestamp,
}
