use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TracerouteParams {
    /// The host name or address to trace the way to.
    pub host: String,
    /// What to send: `auto` takes ICMP with raw sockets and UDP without; `tcp` sends SYNs, `tcp_session` segments of a connection.
    /// With `multipath`, `auto` takes TCP with raw sockets or where another port than 443 is given, and else UDP: routers spread flows by
    /// their ports, which ICMP lacks.
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
    /// The UDP destination port of the first flow; each further flow adds one.
    #[serde(default = "first_port")]
    #[schemars(range(min = 1_024, max = 64_000))]
    pub first_port: u16,
    /// The TCP port to send to.
    #[serde(default = "tcp_port")]
    #[schemars(range(min = 1, max = 65_535))]
    pub tcp_port: u16,
    /// Whether all probes are one flow, so that routers that share load send them one way, or each is another.
    #[serde(default)]
    pub flow: FlowChoice,
    /// The DSCP that the probes carry (RFC 2474), to see who changes it.
    #[serde(default)]
    #[schemars(range(min = 0, max = 63))]
    pub dscp: u8,
    /// Sends probes as ECN-capable (ECT(0), RFC 3168), to see who clears or marks it.
    #[serde(default)]
    pub ecn: bool,
    /// Looks for all paths that flows are spread over (the MDA stopping rule of Veitch and Augustin).
    #[serde(default)]
    pub multipath: bool,
    /// Percent of certainty that no way out of a router was missed.
    #[serde(default = "confidence")]
    #[schemars(range(min = 80, max = 99))]
    pub confidence: u8,
    /// Probes to the target along each path found, for its loss and round-trip times. With UDP at most 8 for all paths together, beside
    /// those of the search, as the target may answer one a second: that takes 1 to 10 s, and TCP half a second.
    #[serde(default = "path_probes")]
    #[schemars(range(min = 0, max = 200))]
    pub path_probes: u8,
    /// Asks each router slowly and quickly, to tell a limit on its answers from loss; takes about 12 s and 1 s for each router.
    #[serde(default)]
    pub rate_test: bool,
    /// Finds the largest packet that passes up to each hop, of at most 9000 bytes, with UDP or with raw sockets.
    #[serde(default)]
    pub hop_mtu: bool,
    /// Asks the system's name servers for the names of the hops.
    #[serde(default)]
    pub hop_names: bool,
}

impl TracerouteParams {
    /// The largest packet that `hop_mtu` tries, in bytes: what links with jumbo frames usually take.
    pub const LARGEST_HOP_MTU: u16 = 9_000;

    /// Another TCP port than the default was given.
    pub fn names_tcp_port(&self) -> bool {
        self.tcp_port != tcp_port()
    }
}

/// Which flows the probes are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum FlowChoice {
    /// All probes of a trace agree in what routers hash.
    #[default]
    Constant,
    /// Each probe is a flow of its own: for routers that quote too little to tell the probes of one flow apart.
    Each,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum TracerouteProtocol {
    #[default]
    Auto,
    Udp,
    Icmp,
    Tcp,
    TcpSession,
}

fn tcp_port() -> u16 {
    443
}

fn confidence() -> u8 {
    95
}

fn path_probes() -> u8 {
    20
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
