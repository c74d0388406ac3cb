use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsParams {
    /// The host name or address to make the handshake with.
    pub host: String,
    /// The port to connect to.
    #[serde(default = "port")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// The server name to send and to look for in the certificate; none takes the host.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Application protocols to offer (ALPN), the preferred first.
    #[serde(default = "alpn")]
    pub alpn: Vec<String>,
    /// Milliseconds to wait for the connection, and again for the handshake.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 30_000))]
    pub timeout_ms: u64,
}

fn port() -> u16 {
    443
}

fn alpn() -> Vec<String> {
    vec!["h2".into(), "http/1.1".into()]
}

fn timeout_ms() -> u64 {
    5_000
}
