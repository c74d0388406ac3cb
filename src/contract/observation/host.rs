use crate::failure::Failure;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A network interface of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interface {
    pub name: String,
    pub up: bool,
    /// The link carries a signal; none where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Address and prefix length, such as `192.0.2.7/24`.
    pub addresses: Vec<String>,
    pub loopback: bool,
    /// A tunnel or VPN interface, judged by its type or name.
    pub tunnel: bool,
}

/// The route that the system takes to one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    pub target: IpAddr,
    /// The next hop; none where the target is on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The source address that would be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Why there is no route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The resolvers that the system is configured with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resolvers {
    pub servers: Vec<IpAddr>,
    pub search: Vec<String>,
    /// Where the configuration was read.
    pub read_from: String,
}

/// Proxies in force for this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proxies {
    pub settings: Vec<ProxySetting>,
    /// `NO_PROXY`, as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProxySetting {
    /// `http`, `https` or `all`.
    pub scheme: String,
    /// The proxy's URL without credentials.
    pub url: String,
    /// The variable or setting it came from.
    pub set_by: String,
}

/// The machine's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clock {
    pub wall: Timestamp,
    /// The kernel says that its clock is synchronised; none where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronised: Option<bool>,
    /// The kernel's estimate of the maximum error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_error_us: Option<u64>,
}
