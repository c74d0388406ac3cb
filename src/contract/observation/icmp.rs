use crate::failure::{Failure, IcmpError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A series of echo requests to one address (RFC 792, RFC 4443 section 4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Echo {
    /// The host as it was asked for.
    pub host: String,
    /// The address that was asked or measured.
    pub address: IpAddr,
    /// Requests sent.
    pub sent: u32,
    /// The first reply to each request that came in time, by sequence number.
    pub replies: Vec<EchoReply>,
    /// ICMP errors that answered requests of this series.
    #[serde(default)]
    pub errors: Vec<IcmpError>,
    /// Payload bytes of each request.
    pub size_bytes: u32,
    /// Where the RTTs were stamped: `kernel_rx_tx` (both ends in the kernel), `kernel_rx` (only the reply) or `process` (in the
    /// program, after the wake-up). A reply that was stamped otherwise says so itself.
    pub clock: String,
    /// What sent them: `raw` or `ping` (datagram ICMP) sockets, or `system`, the ICMP interface of Windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// The requests were forbidden to be fragmented.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dont_fragment: bool,
    /// The differentiated services code point of the requests (RFC 2474).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dscp: u8,
    /// Replies beyond the first, and replies that came after the time-out, in their order; the first hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<ExtraReply>,
    /// What follows from the replies, where there were requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Box<EchoStatistics>>,
    /// Why the series could not be sent, or stopped early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EchoReply {
    /// From 0.
    pub sequence: u16,
    /// The round-trip time, in microseconds.
    pub rtt_us: u64,
    /// TTL or hop limit of the reply, where the socket tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    /// The payload that came back is not the one that was sent.
    #[serde(default, skip_serializing_if = "is_false")]
    pub corrupt: bool,
    /// The address that answered, where it is not the one that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// Where this RTT was stamped, where that is not what the series says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<EchoClock>,
    /// The round trip as Windows itself tells it, cut to whole milliseconds: the true one lies between it and `rtt_us`, which the program
    /// stamped around the call and which holds the waking of its thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_rtt_ms: Option<u32>,
}

/// Where an RTT was stamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EchoClock {
    /// From the packet's way out of the kernel to its way in.
    KernelRxTx,
    /// From the program's call to the reply's way into the kernel: a few microseconds too long.
    KernelRx,
    /// From the program's call to the program's wake-up: too long by what the scheduler takes.
    Process,
}

impl EchoClock {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KernelRxTx => "kernel_rx_tx",
            Self::KernelRx => "kernel_rx",
            Self::Process => "process",
        }
    }
}

/// A reply that does not count as the answer to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExtraReply {
    /// The request that it answers, from 0.
    pub sequence: u16,
    /// What was odd about it.
    pub kind: ExtraKind,
    /// The round-trip time, in microseconds.
    pub rtt_us: u64,
    /// The TTL or hop limit that it had left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExtraKind {
    /// The request had been answered already.
    Duplicate,
    /// The request's time-out had passed.
    Late,
    /// Another one, which this version has no word for.
    #[serde(other)]
    Other,
}

/// What follows from a series' replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EchoStatistics {
    /// How many replies came in time.
    pub received: u32,
    /// Requests without an answer in time.
    pub lost: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RttDistribution>,
    /// The interarrival jitter after the last reply (RFC 3550 section 6.4.1), of two replies at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_us: Option<u64>,
    /// Replies beyond the first to the same request.
    #[serde(default)]
    pub duplicates: u32,
    /// Replies that came after the limit.
    #[serde(default)]
    pub late: u32,
    /// Replies whose content was not what was sent.
    #[serde(default)]
    pub corrupt: u32,
    /// Replies that came after one to a later request (RFC 4737 section 3.3).
    #[serde(default)]
    pub reordered: u32,
    /// Runs of consecutive losses (loss periods, RFC 3357 section 4.4).
    #[serde(default)]
    pub loss_periods: u32,
    /// Requests in the longest loss period.
    #[serde(default)]
    pub longest_loss: u32,
    /// The smallest distance between two losses (loss distance, RFC 3357 section 4.3): 1 within a burst.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_loss_distance: Option<u32>,
    /// The program's own socket buffer dropped so many packets: losses up to this number may be of netsonde's making.
    #[serde(default)]
    pub dropped_here: u32,
    /// Replies whose kernel stamps were not used, because the wall clock was set meanwhile or a stamp did not fit.
    #[serde(default)]
    pub stamps_refused: u32,
}

/// Round-trip times in microseconds. Percentiles are of the nearest rank: each is an RTT that was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RttDistribution {
    /// The smallest, in microseconds.
    pub min_us: u64,
    /// The arithmetic mean, in microseconds.
    pub mean_us: u64,
    /// The standard deviation.
    pub deviation_us: u64,
    /// The middle value, in microseconds.
    pub median_us: u64,
    /// 90 % of the values are no larger, in microseconds.
    pub p90_us: u64,
    /// 95 % of the values are no larger, in microseconds.
    pub p95_us: u64,
    /// 99 % of the values are no larger, in microseconds.
    pub p99_us: u64,
    /// The largest, in microseconds.
    pub max_us: u64,
}

/// Echo requests to many addresses at once, summed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sweep {
    /// Addresses that were to be asked.
    pub targets: u32,
    /// Addresses that at least one request was sent to.
    pub asked: u32,
    /// Addresses that answered at least one request in time.
    pub answered: u32,
    /// Requests sent.
    pub sent: u64,
    /// How many replies came in time.
    pub received: u64,
    /// Addresses that were asked and answered no request, in their order; the first thousand of `asked − answered`.
    #[serde(default)]
    pub silent: Vec<IpAddr>,
    /// Addresses that answered a request in time, in their order: all of them, as no check asks more than ten thousand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answering: Vec<SweepTarget>,
    /// Each ICMP error with how often it came; the hundred that came first.
    #[serde(default)]
    pub errors: Vec<SweepError>,
    /// Of all replies in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RttDistribution>,
    /// The addresses with the largest smallest RTT, slowest first; ten at most.
    #[serde(default)]
    pub slowest: Vec<SweepTarget>,
    /// Replies beyond the first to the same request.
    #[serde(default)]
    pub duplicates: u64,
    /// Replies that came after the limit.
    #[serde(default)]
    pub late: u64,
    /// Replies whose content was not what was sent.
    #[serde(default)]
    pub corrupt: u64,
    /// The program's own socket buffer dropped so many packets: losses up to this number are of netsonde's making.
    #[serde(default)]
    pub dropped_here: u64,
    /// Payload bytes of each request.
    pub size_bytes: u32,
    /// As in a series to one address.
    pub clock: String,
    /// As in a series to one address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// From the first request to the last.
    pub sending_us: u64,
    /// From the first request to the end of the wait for replies.
    pub took_us: u64,
    /// Why not everything could be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// One ICMP error and how often it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SweepError {
    #[serde(flatten)]
    pub error: IcmpError,
    /// How many targets failed so.
    pub count: u32,
    /// The first target whose request it answered.
    pub first: IpAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SweepTarget {
    /// The address that was asked or measured.
    pub address: IpAddr,
    /// The smallest round-trip time, in microseconds.
    pub min_rtt_us: u64,
    /// TTL or hop limit of the quickest reply, where the socket tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
}

impl Echo {
    /// The smallest RTT seen.
    pub fn min_rtt_us(&self) -> Option<u64> {
        self.replies.iter().map(|reply| reply.rtt_us).min()
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u8) -> bool {
    *value == 0
}
