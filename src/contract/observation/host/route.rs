use crate::failure::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The route that the system takes to one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// The address that the route leads to; where the check has no target, the unspecified address, for the default route.
    pub target: IpAddr,
    /// The next hop; none where the target is on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The interface's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The source address that would be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// The entry of the routing table that matched, such as `10.0.0.0/8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<String>,
    /// The number of that table; 254 is the main one, 255 the local one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// The rule of policy routing that chose the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RoutingRule>,
    /// The lower one wins where several entries match equally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// Who made the entry, such as `kernel`, `static`, `dhcp`, `ra`, `bgp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// A packet size in bytes that the entry or the kernel's memory of this path sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The kind of the tunnel that the interface is, such as `wireguard`; none where it is no tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// Why there is no route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// A rule of policy routing (ip-rule(8)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoutingRule {
    /// Rules are tried from the lowest on.
    pub priority: u32,
    /// The source addresses that it is for; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The targets that it is for; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The table that it leads to.
    pub table: u32,
}

impl Route {
    /// A route of which nothing is known yet.
    pub fn to(target: IpAddr) -> Self {
        Self {
            target,
            gateway: None,
            interface: None,
            source: None,
            matched: None,
            table: None,
            rule: None,
            metric: None,
            made_by: None,
            mtu: None,
            tunnel: None,
            failure: None,
        }
    }
}
