use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReflectParams {
    /// The host where a STAMP reflector listens, such as `netsonde reflect`.
    pub host: String,
    /// The UDP port of the reflector.
    #[serde(default = "port")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// Packets in the series to each address.
    #[serde(default = "count")]
    #[schemars(range(min = 1, max = 1_000))]
    pub count: u32,
    /// Milliseconds between two packets.
    #[serde(default = "interval_ms")]
    #[schemars(range(min = 5, max = 10_000))]
    pub interval_ms: u64,
    /// Milliseconds to wait for the last reply.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 10_000))]
    pub timeout_ms: u64,
    /// Payload bytes of each packet of the series; the reply is as large.
    #[serde(default = "payload_bytes")]
    #[schemars(range(min = 160, max = 1_400))]
    pub payload_bytes: u32,
    /// The differentiated services code point of each packet, asked of the reflector for its replies, too (RFC 8972 section 4.4).
    #[serde(default)]
    #[schemars(range(min = 0, max = 63))]
    pub dscp: u8,
    /// Write times as IEEE 1588 does, in seconds and nanoseconds, in place of NTP's format.
    #[serde(default)]
    pub ptp: bool,
    /// Find the largest packet of each direction, after the series.
    #[serde(default = "mtu")]
    pub mtu: bool,
    /// The largest packet to try, in bytes with its IP header.
    #[serde(default = "max_bytes")]
    #[schemars(range(min = 1_280, max = 9_216))]
    pub max_bytes: u32,
}

impl ReflectParams {
    /// Packets beside the series to one address at most: sizes to try with their repetitions, and packets that settle which way the
    /// last losses went.
    pub const MAX_FURTHER_PACKETS: u32 = 200;
}

/// Registered for TWAMP and STAMP (RFC 8762 section 4.1).
fn port() -> u16 {
    862
}

fn count() -> u32 {
    50
}

fn interval_ms() -> u64 {
    50
}

fn timeout_ms() -> u64 {
    1_000
}

/// Holds the largest packet without padding, with authentication and all that is asked.
fn payload_bytes() -> u32 {
    172
}

fn mtu() -> bool {
    true
}

fn max_bytes() -> u32 {
    1_500
}
