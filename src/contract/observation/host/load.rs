use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How busy the machine is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SystemLoad {
    /// Processors that programs may use.
    pub processors: u32,
    /// Processes that ran or waited to, on average over 1, 5 and 15 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<[f64; 3]>,
    /// Processes that run or wait for a processor now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runnable: Option<u32>,
    /// Time in which work waited (pressure stall information).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pressure: Vec<Pressure>,
    /// Main memory, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// What programs could get without swapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_available_bytes: Option<u64>,
    /// Swap in use, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_used_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pressure {
    /// `cpu`, `memory` or `io`.
    pub of: String,
    /// Per cent of the last 10 and 60 seconds in which at least one process waited.
    pub some_10_s: f64,
    /// Share of the last 60 seconds in which some task waited, in percent.
    pub some_60_s: f64,
}
