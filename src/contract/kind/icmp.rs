use super::targets;
use super::{ParameterError, TargetSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IcmpParams {
    /// The host name or address to send echo requests to.
    pub host: String,
    /// Further targets at the same time: names, addresses, ranges (192.0.2.1-192.0.2.9) and prefixes (192.0.2.0/24); at most 9,999.
    /// Every name and address has to answer, and of each range and prefix any address.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Echo requests to send to each address.
    #[serde(default = "count")]
    #[schemars(range(min = 1, max = 1_000))]
    pub count: u32,
    /// Milliseconds between two requests to one address.
    #[serde(default = "interval_ms")]
    #[schemars(range(min = 10, max = 10_000))]
    pub interval_ms: u64,
    /// Milliseconds to wait for a reply.
    #[serde(default = "timeout_ms")]
    #[schemars(range(min = 50, max = 10_000))]
    pub timeout_ms: u64,
    /// Payload bytes of each request. Beyond the MTU they go in fragments, or not at all with `dont_fragment`.
    #[serde(default = "size_bytes")]
    #[schemars(range(min = 16, max = 9_000))]
    pub size_bytes: u32,
    /// Requests a second to all addresses together.
    #[serde(default = "rate")]
    #[schemars(range(min = 1, max = 50_000))]
    pub rate: u32,
    /// Send every request whole, whatever path MTU the machine remembers, and forbid routers to fragment it.
    #[serde(default)]
    pub dont_fragment: bool,
    /// The differentiated services code point of each request (RFC 2474); 46 is expedited forwarding.
    #[serde(default)]
    #[schemars(range(min = 0, max = 63))]
    pub dscp: u8,
    /// What sends: `auto` takes timestamps of the kernel where there are any, `portable` never does.
    #[serde(default)]
    pub engine: EchoEngine,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum EchoEngine {
    #[default]
    Auto,
    Portable,
}

impl IcmpParams {
    /// Addresses in one check, `host` among them: a large site, and still one run's worth of packets.
    pub const MAX_ADDRESSES: usize = 10_000;

    /// Only `host`, and everything else as it is by default.
    pub fn of(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            targets: Vec::new(),
            count: count(),
            interval_ms: interval_ms(),
            timeout_ms: timeout_ms(),
            size_bytes: size_bytes(),
            rate: rate(),
            dont_fragment: false,
            dscp: 0,
            engine: EchoEngine::Auto,
        }
    }

    /// What `targets` stand for, in their order.
    ///
    /// # Errors
    /// Where an entry is malformed, or all together are more than [`Self::MAX_ADDRESSES`].
    pub fn spans(&self) -> Result<Vec<TargetSpan>, ParameterError> {
        targets::parse("targets", &self.targets, Self::MAX_ADDRESSES - 1)
    }

    pub(super) fn validate(&self) -> Result<(), ParameterError> {
        self.spans().map(|_| ())
    }
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

/// A tenth of what a small router's control plane answers, and ten seconds for the largest sweep.
fn rate() -> u32 {
    1_000
}
