use crate::failure::{Failure, IcmpError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One distance on the way to a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    pub target: IpAddr,
    pub protocol: TraceProtocol,
    /// TTL or hop limit of the probes, from 1.
    pub ttl: u8,
    pub probes: Vec<HopProbe>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<HopReply>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HopReply {
    pub from: IpAddr,
    pub rtt_us: u64,
    pub kind: ReplyKind,
    /// The ICMP error as received; none for an echo reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpError>,
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
    Udp,
    Icmp,
}

/// A whole path as one traceroute saw it. Its hops are observations of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    pub host: String,
    pub target: IpAddr,
    pub protocol: TraceProtocol,
    /// The target answered.
    pub arrived: bool,
    /// The distance at which the target answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<u8>,
    pub max_ttl: u8,
    pub rounds: u8,
    /// Raw sockets were used; without them echo replies and duplicates cannot be seen.
    pub privileged: bool,
    pub took_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}
