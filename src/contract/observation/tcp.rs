use crate::failure::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// One attempt at a TCP connection to one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connect {
    /// The host as it was asked for.
    pub host: String,
    pub address: SocketAddr,
    /// Which attempt at this address, from 1.
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    /// How long the attempt took to succeed or fail.
    pub took_us: u64,
    /// The kernel's smoothed RTT at connect, where the system tells it (TCP_INFO).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_rtt_us: Option<u64>,
    /// SYNs sent again before the answer, where the system tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syn_retransmits: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}
