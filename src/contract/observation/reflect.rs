use super::RttDistribution;
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A series to one STAMP reflector (RFC 8762, with extensions of RFC 8972), each direction by itself.
///
/// Times of one direction are differences of two machines' clocks: `least_delay_us` holds the clocks' offset and is no delay, while what
/// lies above it, `variation`, is of the network alone, as long as nobody sets a clock meanwhile. Round-trip times leave out the
/// reflector's own time and need no common clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reflection {
    /// The host as it was asked for.
    pub host: String,
    /// The address and port of the reflector.
    pub address: SocketAddr,
    /// Packets and replies carry an HMAC (RFC 8762 section 4.4).
    #[serde(default)]
    pub authenticated: bool,
    /// How times are written: `ntp` or `ptp`.
    pub timestamps: String,
    /// What stamped replies when they came in: `kernel_rx` or `program`.
    pub clock: String,
    /// UDP payload of each packet of the series.
    pub payload_bytes: u32,
    /// Packets of the series that were sent.
    pub sent: u32,
    /// Packets of the series that were answered at least once.
    pub received: u32,
    /// Unanswered packets of which nothing told which way they were lost.
    #[serde(default)]
    pub lost_unknown: u32,
    pub reflector: ReflectorKind,
    /// From here to the reflector.
    pub forward: ReflectDirection,
    /// From the reflector to here.
    pub reverse: ReflectDirection,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<RttDistribution>,
    /// Interarrival jitter of the round trip (RFC 3550 section 6.4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_jitter_us: Option<u64>,
    /// The reflector's own time between a packet and its reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turnaround: Option<RttDistribution>,
    /// The reflector's clock minus this machine's, at the fastest round trip; wrong by half of that round trip at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_us: Option<i64>,
    /// The offset is wrong by this much at most, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_bound_us: Option<u64>,
    /// The reflector says that its clock is synchronised to UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reflector_synchronised: Option<bool>,
    /// The reflector's estimate of its clock's error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reflector_error_us: Option<u64>,
    /// This machine's wall clock was set, or ran differently, by so much during the series: one-way figures are wrong by it.
    #[serde(default)]
    pub clock_moved_us: u64,
    /// Datagrams that were no reply to anything sent.
    #[serde(default)]
    pub strays: u32,
    /// The reply to each packet in the order of arrival, duplicates included.
    #[serde(default)]
    pub samples: Vec<ReflectSample>,
    /// How long it took, in microseconds.
    pub took_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Whether the reflector counts what it receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReflectorKind {
    /// It counts (RFC 8762 section 4.3, or by the direct measurement TLV of RFC 8972): losses are known for each direction.
    Stateful,
    /// Not told: its numbers were those of the packets, which a counting reflector's are, too, where nothing is lost on the way to it.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What was seen in one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReflectDirection {
    /// None where the reflector does not count, or nothing came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u32>,
    /// Replies beyond the first to the same request.
    #[serde(default)]
    pub duplicates: u32,
    /// Packets that came after a later one (RFC 4737 section 3.3).
    #[serde(default)]
    pub reordered: u32,
    /// The smallest difference of the two clocks' readings; holds their offset, and may be negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_delay_us: Option<i64>,
    /// Delay above the smallest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variation: Option<RttDistribution>,
    /// Jitter in this direction, in microseconds (RFC 3550 section 6.4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_us: Option<u64>,
    /// The TTL or hop limit that packets had left on arrival, each value once; they set out with 255.
    #[serde(default)]
    pub ttls: Vec<u8>,
    /// The code points with which packets arrived, each once; in the forward direction where the reflector tells.
    #[serde(default)]
    pub dscps: Vec<u8>,
    /// Congestion marks (RFC 3168) with which packets arrived, each value once.
    #[serde(default)]
    pub ecns: Vec<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<DirectionMtu>,
}

/// The largest packet of one direction, by packets that no router may cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DirectionMtu {
    /// The largest size that passed, in bytes of the whole IP packet.
    pub passed_bytes: u32,
    /// The smallest size that did not pass; none where the largest that could be tried passed. Replies are as large as requests, so that
    /// none larger than what passes forward can be tried in reverse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_bytes: Option<u32>,
    /// This machine's own interface sends nothing larger.
    #[serde(default)]
    pub own_interface: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReflectSample {
    /// Which packet, from 0.
    pub sequence: u32,
    /// The reflector's own number.
    pub reflector_sequence: u32,
    /// The reflector's clock at reception minus this machine's at sending.
    pub forward_us: i64,
    /// This machine's clock at reception minus the reflector's at sending.
    pub reverse_us: i64,
    /// The round trip without the reflector's own time, in microseconds.
    pub round_trip_us: u64,
}
