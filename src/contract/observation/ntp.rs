use crate::failure::Failure;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What one time server says of the machine's clock (RFC 5905, RFC 4330).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimeOffset {
    /// The host as it was asked for.
    pub host: String,
    /// The address and port of the time server.
    pub address: SocketAddr,
    /// Questions sent.
    pub sent: u32,
    /// Every valid answer in the order of the questions.
    #[serde(default)]
    pub samples: Vec<TimeSample>,
    /// The offset of the sample with the smallest delay, in microseconds: what has to be added to the machine's clock. Negative where
    /// the machine's clock is ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_us: Option<i64>,
    /// The round trip of that sample without the server's own time; the offset is wrong by half of it at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_us: Option<u64>,
    /// What the server says of itself, in its last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<TimeServer>,
    /// Messages that came from the server's address and port and answer no question, the first [`TimeOffset::MAX_OTHERS`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<TimeMessage>,
    /// The machine's wall clock when the first question was sent.
    pub wall: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl TimeOffset {
    /// An honest server sends none; this bounds what a flood of forged ones leaves in the bundle.
    pub const MAX_OTHERS: usize = 8;
}

/// A message from a time server's address and port that is no answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeMessage {
    /// After the question that was open when it came.
    pub after_us: u64,
    /// Its size, in bytes.
    pub size_bytes: u32,
    /// Why it is no answer.
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeSample {
    /// What has to be added to the machine's clock, in microseconds.
    pub offset_us: i64,
    /// The round trip without the server's own time, in microseconds.
    pub delay_us: u64,
}

/// The fields of an answer's header (RFC 5905 section 7.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeServer {
    /// The version of NTP.
    pub version: u8,
    /// 1 has a clock of its own, 2 to 15 are that far from one, 16 is not synchronised, 0 refuses (see `kiss`).
    pub stratum: u8,
    /// Whether a leap second is due.
    pub leap: Leap,
    /// Of stratum 1 the kind of clock, such as `GPS`; below it the address, or for IPv6 a part of the digest of the address, of the server's own server.
    pub reference_id: String,
    /// The round trip from the server to its clock, in microseconds.
    pub root_delay_us: u64,
    /// How far the server's own time may be off, in microseconds.
    pub root_dispersion_us: u64,
    /// The precision of the server's clock, as a power of two of seconds.
    pub precision_log2_s: i8,
    /// When the server's clock was last set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_time: Option<Timestamp>,
    /// The code with which the server refuses, such as `RATE` or `DENY` (RFC 5905 section 7.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kiss: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Leap {
    /// No leap second is due.
    None,
    /// The day's last minute has 61 seconds.
    Insert,
    /// The day's last minute has 59 seconds.
    Delete,
    /// The server's clock is not synchronised.
    #[serde(other)]
    Unsynchronised,
}
