use super::route_depth::{
    HopName, HopOrigin, MplsLabel, Multipath, Quoted, RateTest, RouteChange, TraceClock, TraceIds, TraceLacks,
};
use crate::failure::{Failure, IcmpError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One distance on the way to a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    /// The address that it is about.
    pub target: IpAddr,
    /// What the probes were.
    pub protocol: TraceProtocol,
    /// TTL or hop limit of the probes, from 1.
    pub ttl: u8,
    /// Every probe of this distance, in the order of sending.
    pub probes: Vec<HopProbe>,
    /// The names that the system's name servers give for its addresses, where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<HopName>,
    /// Whose its addresses are, by the file that the user gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<HopOrigin>,
    /// The largest packet, IP header included, that reached this distance whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu_bytes: Option<u32>,
    /// The smallest packet, IP header included, that this distance did not answer to though it answered to smaller ones, and no router said
    /// why: something swallows what is larger than `mtu_bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu_silent_bytes: Option<u32>,
    /// What it answers to slow and to quick questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateTest>,
}

impl Hop {
    /// The addresses that answered at this distance, each once, in order of arrival.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut seen = Vec::new();
        for reply in self.probes.iter().filter_map(|probe| probe.reply.as_ref()) {
            if !seen.contains(&reply.from) {
                seen.push(reply.from);
            }
        }
        seen
    }
}

/// One probe and the first reply to it; no reply within the limit is silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HopProbe {
    /// Which round, from 0.
    pub round: u8,
    /// The first reply in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<HopReply>,
    /// Replies to the same probe after the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duplicates: u32,
    /// The time after which the first reply came, where that was beyond the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_us: Option<u64>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HopReply {
    /// Who replied.
    pub from: IpAddr,
    /// The round-trip time, in microseconds.
    pub rtt_us: u64,
    /// What the reply says.
    pub kind: ReplyKind,
    /// The ICMP error as received; none for an echo reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpError>,
    /// TTL or hop limit that the reply had left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_ttl: Option<u8>,
    /// The distance that the reply came, taking it that it was sent with a TTL of 64, 128 or 255, the nearest above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_hops: Option<u8>,
    /// The label stack that the probe arrived with at the router, the outermost first (RFC 4950).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<MplsLabel>,
    /// What the router quotes of the probe's headers; none where it quotes nothing or this process may not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted: Option<Quoted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplyKind {
    /// A router on the way: TTL exceeded.
    TimeExceeded,
    /// The target itself: echo reply, or port unreachable from the target's address.
    Arrived,
    /// A router that will not or cannot forward.
    Unreachable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceProtocol {
    /// UDP packets to ports that nobody is expected at.
    Udp,
    /// ICMP echo requests.
    Icmp,
    /// SYN segments.
    Tcp,
    /// Segments of an established connection.
    TcpSession,
}

/// A whole path as one traceroute saw it. Its hops are observations of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    /// The host as it was asked for.
    pub host: String,
    /// The address that it is about.
    pub target: IpAddr,
    /// What the probes were.
    pub protocol: TraceProtocol,
    /// The target answered.
    pub arrived: bool,
    /// The distance at which the target answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<u8>,
    /// The largest TTL that was tried.
    pub max_ttl: u8,
    /// Rounds of probes.
    pub rounds: u8,
    /// Raw sockets were used; without them echo replies and duplicates cannot be seen.
    pub privileged: bool,
    /// How long it took, in microseconds.
    pub took_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// How the probes are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<TraceIds>,
    /// Where times were taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<TraceClock>,
    /// What could not be had for want of a right, which sudo gives, or, on Windows, of the system's means.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<TraceLacks>,
    /// ICMP errors about the trace that quote too little to tell which probe they answer; `flow = "each"` helps.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unmatched: u32,
    /// Where another router answered to the same flow than a round before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<RouteChange>,
    /// The paths that flows are spread over, where they were looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multipath: Option<Multipath>,
}
