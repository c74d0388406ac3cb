//! The machine's own network, as each system tells it.

use netsonde_contract::observation::Resolvers;
use std::net::{IpAddr, SocketAddr};

#[cfg(target_os = "linux")]
use super::host_linux::system_resolvers as configured_resolvers;
#[cfg(target_os = "linux")]
pub(crate) use super::host_linux::{clock_state, interface_counters, interfaces, os_release};
#[cfg(not(any(target_os = "linux", windows)))]
use super::host_other::system_resolvers as configured_resolvers;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
pub(crate) use super::host_other::{default_routes, route};
#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) use super::host_other::{interface_counters, interfaces, neighbours, os_release};
#[cfg(not(target_os = "linux"))]
pub(crate) use super::host_unread::{clock_state, firewall};
#[cfg(target_os = "macos")]
pub(crate) use super::macos::{default_routes, route};
#[cfg(target_os = "linux")]
pub(crate) use super::neighbours_linux::neighbours;
#[cfg(target_os = "linux")]
pub(crate) use super::nftables::firewall;
#[cfg(target_os = "linux")]
pub(crate) use super::routes_linux::{default_routes, route};
#[cfg(windows)]
use super::windows::system_resolvers as configured_resolvers;
#[cfg(windows)]
pub(crate) use super::windows::{default_routes, interface_counters, interfaces, neighbours, os_release, route};

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
    /// How many were left out because no server has their address.
    pub(crate) placeholders: u32,
}

/// The system's name servers, without the places that are kept for some. Blocks on files.
pub(crate) fn system_resolvers() -> SystemResolvers {
    configured_resolvers().without_placeholders()
}

/// What Windows names for an adapter without a name server, and what WSL writes into `/etc/resolv.conf` from there: addresses that were once meant
/// for any name server of a site, and that none has (RFC 3879 took site-local addresses out of use).
pub(crate) fn is_placeholder(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if matches!(v6.segments(), [0xfec0, 0, 0, 0xffff, 0, 0, 0, 1..=3]))
}

/// The addresses of servers that may be some.
#[cfg(any(windows, test))]
pub(crate) fn without_placeholders(servers: &[SocketAddr]) -> Vec<IpAddr> {
    servers.iter().map(SocketAddr::ip).filter(|server| !is_placeholder(*server)).collect()
}

/// The metric that Windows compares routes by: of the route itself it tells what comes on top of the interface's.
#[cfg(any(windows, test))]
pub(crate) fn whole_metric(of_route: u32, of_interface: Option<u32>) -> u32 {
    of_route.saturating_add(of_interface.unwrap_or_default())
}

impl SystemResolvers {
    fn without_placeholders(mut self) -> Self {
        let before = self.servers.len();
        self.servers.retain(|server| !is_placeholder(server.ip()));
        self.placeholders = u32::try_from(before - self.servers.len()).unwrap_or(u32::MAX);
        self
    }
}

impl From<SystemResolvers> for Resolvers {
    fn from(found: SystemResolvers) -> Self {
        Self {
            servers: found.servers.iter().map(SocketAddr::ip).collect(),
            search: found.search,
            read_from: found.read_from,
            behind: Vec::new(),
            placeholders: found.placeholders,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_no_name_server_has_are_left_out_and_counted() {
        let configured = |servers: &[&str]| SystemResolvers {
            servers: servers.iter().map(|server| SocketAddr::new(server.parse().unwrap(), DNS_PORT)).collect(),
            ..SystemResolvers::default()
        };
        let found =
            configured(&["192.0.2.53", "fec0:0:0:ffff::1", "fec0:0:0:ffff::2", "fec0:0:0:ffff::3"]).without_placeholders();
        assert_eq!((found.servers, found.placeholders), (configured(&["192.0.2.53"]).servers, 3));
        for real in ["fec0:0:0:ffff::4", "fec0::1", "fd00::1", "::1"] {
            assert!(!is_placeholder(real.parse().unwrap()), "{real}");
        }
    }

    #[test]
    fn an_adapter_without_a_name_server_names_none() {
        let of = |servers: &[&str]| {
            let servers: Vec<SocketAddr> =
                servers.iter().map(|server| SocketAddr::new(server.parse().unwrap(), DNS_PORT)).collect();
            without_placeholders(&servers).iter().map(IpAddr::to_string).collect::<Vec<_>>()
        };
        assert!(of(&["fec0:0:0:ffff::1", "fec0:0:0:ffff::2", "fec0:0:0:ffff::3"]).is_empty());
        assert_eq!(of(&["fec0:0:0:ffff::1", "192.0.2.53"]), ["192.0.2.53"]);
    }

    /// A VPN's default route of metric 1 on an interface of 35 loses against the network card's of 0 on one of 25.
    #[test]
    fn routes_of_windows_are_compared_with_the_metric_of_their_interface() {
        assert!(whole_metric(0, Some(25)) < whole_metric(1, Some(35)));
        assert!(whole_metric(256, Some(5)) > whole_metric(0, Some(75)));
        assert_eq!((whole_metric(7, None), whole_metric(u32::MAX, Some(5))), (7, u32::MAX));
    }
}
