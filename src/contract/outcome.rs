use crate::id::CheckId;
use crate::kind::Kind;
use crate::observation::Observation;
use crate::target::Target;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of one check, with everything it observed. Nothing observed is lost when a check fails or runs out of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    pub check: CheckId,
    pub kind: Kind,
    pub required: bool,
    /// The target that the check was made for, where its set has targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The check's parameters as they were in force, defaults included.
    pub parameters: serde_json::Value,
    pub status: Status,
    /// Why it was skipped, not measured or aborted; what would grant a missing right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// In microseconds since the run began.
    pub began_us: u64,
    pub took_us: u64,
    /// Of a follow-up: the causes between which it was taken to decide. The plan's own checks have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub separates: Vec<String>,
    pub observations: Vec<Observation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It measured, and what it measured is as the check expects.
    Succeeded,
    /// It measured, and what it measured is not as the check expects.
    Failed,
    /// Its deadline or the run's budget came first; what was seen until then is kept.
    TimedOut,
    /// It could not measure: a missing right, a missing facility, a fault of the program. Neither a pass nor a fail.
    NotMeasured,
    /// It was not meant to run: a condition did not hold, or a check that it needs did not succeed.
    Skipped,
}

/// Why a check, or a part of it, has no measurement, and what would change that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// Why, in words.
    pub why: String,
    /// The one command or step that grants what was missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}
