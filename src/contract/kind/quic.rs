use super::{ParameterError, alpn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuicParams {
    /// The host name or address to make the QUIC handshake with.
    pub host: String,
    /// The UDP port to send to.
    #[serde(default = "port")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// The server name to send and to look for in the certificate; none takes the host.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Application protocols to offer (ALPN), the preferred first, at most 16; QUIC has no handshake without one.
    #[serde(default = "protocols")]
    pub alpn: Vec<String>,
    /// Milliseconds to wait for the end of the handshake.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 30_000))]
    pub timeout_ms: u64,
    /// Also ask which versions the server speaks, with one packet of a version that nobody speaks.
    #[serde(default = "yes")]
    pub versions: bool,
}

impl QuicParams {
    /// Packets to one address at most: a handshake takes ten, the search for the largest packet some twenty, and the rest is for what is
    /// lost on the way.
    pub const MAX_PACKETS: u32 = 100;
    /// Addresses of a host at most, each of which gets a handshake of its own.
    pub const MAX_ADDRESSES: usize = 8;

    pub(super) fn validate(&self) -> Result<(), ParameterError> {
        alpn::check(&self.alpn, 1)
    }
}

fn port() -> u16 {
    443
}

fn protocols() -> Vec<String> {
    vec!["h3".into()]
}

fn timeout_ms() -> u64 {
    5_000
}

fn yes() -> bool {
    true
}
