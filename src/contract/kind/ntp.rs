use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NtpParams {
    /// The time server to ask.
    pub host: String,
    /// More time servers to compare with, at most 8.
    #[serde(default)]
    pub others: Vec<String>,
    /// The UDP port to ask at.
    #[serde(default = "port")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// Questions to each server; the one that was answered fastest counts.
    #[serde(default = "samples")]
    #[schemars(range(min = 1, max = 8))]
    pub samples: u8,
    /// Milliseconds between two questions; public servers refuse clients that ask more often than every 2 seconds.
    #[serde(default = "interval_ms")]
    #[schemars(range(min = 100, max = 10_000))]
    pub interval_ms: u64,
    /// Milliseconds to wait for an answer.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 10_000))]
    pub timeout_ms: u64,
    /// Milliseconds that the machine's clock may be off, by more than half of the servers, and still be as expected.
    #[serde(default = "max_offset_ms")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub max_offset_ms: u64,
}

impl NtpParams {
    /// Servers of `others` at most: enough to outvote a wrong one.
    pub const MAX_OTHERS: usize = 8;
}

fn port() -> u16 {
    123
}

fn samples() -> u8 {
    1
}

fn interval_ms() -> u64 {
    2_000
}

fn timeout_ms() -> u64 {
    2_000
}

/// Tickets and one-time passwords begin to fail beyond a minute or five; logs of two machines are hard to compare beyond one second.
fn max_offset_ms() -> u64 {
    1_000
}
