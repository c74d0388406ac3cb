//! The machine's own network, as each system tells it.

use netsonde_contract::observation::Resolvers;
use std::net::SocketAddr;

#[cfg(target_os = "linux")]
pub(crate) use super::host_linux::{clock_state, interface_counters, interfaces, os_release, system_resolvers};
#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) use super::host_other::{
    default_routes, interface_counters, interfaces, neighbours, os_release, route, system_resolvers,
};
#[cfg(not(target_os = "linux"))]
pub(crate) use super::host_unread::{clock_state, firewall};
#[cfg(target_os = "linux")]
pub(crate) use super::neighbours_linux::neighbours;
#[cfg(target_os = "linux")]
pub(crate) use super::nftables::firewall;
#[cfg(target_os = "linux")]
pub(crate) use super::routes_linux::{default_routes, route};
#[cfg(windows)]
pub(crate) use super::windows::{
    default_routes, interface_counters, interfaces, neighbours, os_release, route, system_resolvers,
};

/// Where name servers listen (RFC 1035 section 4.2).
pub(crate) const DNS_PORT: u16 = 53;

/// The name servers that the system is configured with, in the order in which it asks them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SystemResolvers {
    /// With the scope of a link-local address.
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) search: Vec<String>,
    /// Where this was read, and why nothing was found where it could not be.
    pub(crate) read_from: String,
}

impl From<SystemResolvers> for Resolvers {
    fn from(found: SystemResolvers) -> Self {
        Self {
            servers: found.servers.iter().map(SocketAddr::ip).collect(),
            search: found.search,
            read_from: found.read_from,
            behind: Vec::new(),
        }
    }
}

/// What the kernel says of its own clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClockState {
    pub(crate) synchronised: bool,
    pub(crate) max_error_us: Option<u64>,
    pub(crate) state: Option<String>,
    pub(crate) offset_us: Option<i64>,
    pub(crate) rate_correction_ppb: Option<i64>,
    pub(crate) source: Option<String>,
}
