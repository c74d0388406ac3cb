use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TracerouteParams {
    /// The host name or address to trace the way to.
    pub host: String,
    /// What to send: `auto` takes ICMP with raw sockets and UDP without.
    #[serde(default)]
    pub protocol: TracerouteProtocol,
    /// The largest distance to look at.
    #[serde(default = "max_ttl")]
    #[schemars(range(min = 1, max = 64))]
    pub max_ttl: u8,
    /// Probes for each distance.
    #[serde(default = "rounds")]
    #[schemars(range(min = 1, max = 10))]
    pub rounds: u8,
    /// Milliseconds to wait for a reply to one probe.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 5_000))]
    pub timeout_ms: u64,
    /// The first UDP destination port; each probe adds one.
    #[serde(default = "first_port")]
    #[schemars(range(min = 1_024, max = 64_000))]
    pub first_port: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum TracerouteProtocol {
    #[default]
    Auto,
    Udp,
    Icmp,
}

fn max_ttl() -> u8 {
    30
}

fn rounds() -> u8 {
    2
}

fn timeout_ms() -> u64 {
    1_000
}

fn first_port() -> u16 {
    33_434
}
