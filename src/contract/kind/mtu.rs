use crate::observation::MtuTransport;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MtuParams {
    /// The host name or address to measure the way to.
    pub host: String,
    /// What to send: `udp` to a closed port, in whose place Windows sends echo requests; `tcp` within a connection, as data that the host has
    /// had already, which needs raw sockets; or `icmp`, echo requests, on Windows alone.
    #[serde(default)]
    pub transport: MtuTransport,
    /// The first UDP port to send to (33434 if none is given), each packet adds one, and nothing should listen there, so that the host answers
    /// "port unreachable"; or the TCP port to connect to (443), where something does listen.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    /// The largest packet to try, in bytes with its IP header.
    #[serde(default = "max_bytes")]
    #[schemars(range(min = 1_280, max = 9_216))]
    pub max_bytes: u32,
    /// Milliseconds to wait for the answer to one packet.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 5_000))]
    pub timeout_ms: u64,
    /// Packets of one size that stay without an answer before the size counts as lost.
    #[serde(default = "tries")]
    #[schemars(range(min = 1, max = 5))]
    pub tries: u8,
}

impl MtuParams {
    /// Packets to one address at most: some eleven sizes settle the largest to the byte, each with a few losses and comparisons.
    pub const MAX_PACKETS: u32 = 80;
    /// Connections to one address at most: servers end one that says nothing, many after 5 s, and the longest search takes half a minute.
    pub const MAX_CONNECTIONS: u32 = 6;
    /// As traceroute programs begin.
    const FIRST_UDP_PORT: u16 = 33_434;
    const TCP_PORT: u16 = 443;

    /// The port to begin with, or to connect to. Echo requests have none.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.transport {
            MtuTransport::Udp | MtuTransport::Icmp => Self::FIRST_UDP_PORT,
            MtuTransport::Tcp => Self::TCP_PORT,
        })
    }
}

fn max_bytes() -> u32 {
    1_500
}

fn timeout_ms() -> u64 {
    1_000
}

fn tries() -> u8 {
    2
}
