use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Whom the machine knows on its own links (ARP, RFC 826; neighbour discovery, RFC 4861).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbours {
    /// The next hops to the target first.
    pub entries: Vec<Neighbour>,
    /// Of how many the entries are a part.
    pub total: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbour {
    /// The IP address.
    pub address: IpAddr,
    /// The interface's name.
    pub interface: String,
    /// `reachable`, `stale`, `delay`, `probe`, `incomplete`, `failed` or `permanent`.
    pub state: String,
    /// The hardware (MAC) address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_address: Option<String>,
    /// It is a next hop to the target.
    #[serde(default)]
    pub gateway: bool,
}
