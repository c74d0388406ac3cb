use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IcmpParams {
    /// The host name or address to send echo requests to.
    pub host: String,
    /// Echo requests to send to each address.
    #[serde(default = "count")]
    #[schemars(range(min = 1, max = 1_000))]
    pub count: u32,
    /// Milliseconds between two requests.
    #[serde(default = "interval_ms")]
    #[schemars(range(min = 10, max = 10_000))]
    pub interval_ms: u64,
    /// Milliseconds to wait for a reply.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 10_000))]
    pub timeout_ms: u64,
    /// Payload bytes of each request.
    #[serde(default = "size_bytes")]
    #[schemars(range(min = 16, max = 1_472))]
    pub size_bytes: u32,
}

fn count() -> u32 {
    5
}

fn interval_ms() -> u64 {
    200
}

fn timeout_ms() -> u64 {
    1_000
}

fn size_bytes() -> u32 {
    56
}
