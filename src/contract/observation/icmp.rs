use crate::failure::{Failure, IcmpError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A series of echo requests to one address (RFC 792, RFC 4443 section 4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Echo {
    pub host: String,
    pub address: IpAddr,
    pub sent: u32,
    /// The replies that came in time, by sequence number.
    pub replies: Vec<EchoReply>,
    /// ICMP errors that answered requests of this series.
    #[serde(default)]
    pub errors: Vec<IcmpError>,
    /// Payload bytes of each request.
    pub size_bytes: u32,
    /// Where the RTTs were stamped: `process` (in the program, after the wake-up) or `kernel`.
    pub clock: String,
    /// Why the series could not be sent, or stopped early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EchoReply {
    /// From 0.
    pub sequence: u16,
    pub rtt_us: u64,
    /// TTL or hop limit of the reply, where the socket tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
}

impl Echo {
    /// The smallest RTT seen.
    pub fn min_rtt_us(&self) -> Option<u64> {
        self.replies.iter().map(|reply| reply.rtt_us).min()
    }
}
