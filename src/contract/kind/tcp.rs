use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpParams {
    /// The host name or address to connect to.
    pub host: String,
    /// The port to connect to.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// Milliseconds to wait for one connection.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 30_000))]
    pub timeout_ms: u64,
    /// Connections to try at each address.
    #[serde(default = "attempts")]
    #[schemars(range(min = 1, max = 20))]
    pub attempts: u32,
}

fn timeout_ms() -> u64 {
    3_000
}

fn attempts() -> u32 {
    1
}
