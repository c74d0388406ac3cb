use super::icmp::RttDistribution;
use super::tcp::{ConnectAttempt, TcpState};
use super::transfer::Transfer;
use crate::failure::Failure;
use crate::kind::{LatencyBy, LoadDirection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The delay of a path while idle and while it carries as much as it can.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// The URL that was asked for.
    pub url: String,
    /// Where load and measurements went: the proxy's where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// From the first attempt until a connection stood or all had failed, in microseconds; none from versions before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    /// Every attempt at a connection, where more than one address was tried or one failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<ConnectAttempt>,
    /// The proxy that was used, without its credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// What the delay was measured by.
    pub latency: LatencyBy,
    /// Before any load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<LatencySeries>,
    /// Under load, a direction each; where the check's time was over first, as far as it had come.
    #[serde(default)]
    pub loaded: Vec<LoadedPhase>,
    /// Bytes of load in all.
    pub bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// One direction under load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadedPhase {
    /// Download or upload.
    pub direction: LoadDirection,
    /// Connections that transferred at once.
    pub connections: u32,
    /// Requests that carried the load.
    pub requests: u32,
    /// All connections together; its rate is the goodput.
    pub transfer: Transfer,
    pub latency: LatencySeries,
    /// The median under load minus the idle median: what the queues on the way add (bufferbloat).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub increase_us: Option<i64>,
    /// The same of the 95th percentiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub increase_p95_us: Option<i64>,
    /// What the kernel knew of each connection at its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_close: Vec<TcpState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Delays measured at an interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencySeries {
    /// Measurements that were begun.
    pub sent: u32,
    /// Measurements that were answered.
    pub answered: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RttDistribution>,
    /// How late the machine's own timers woke the measuring: an overloaded machine measures itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer_late: Option<RttDistribution>,
    /// Round trips within the machine at the same times, where policy allows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loopback: Option<RttDistribution>,
}
