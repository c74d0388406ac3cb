//! The machine's own network where no code of our own reads it: what the portable libraries tell.

use super::host::{DNS_PORT, SystemResolvers};
#[cfg(not(target_os = "macos"))]
use netsonde_contract::observation::Route;
use netsonde_contract::observation::{Interface, InterfaceCounters, Neighbour};
use std::io;
use std::net::SocketAddr;
#[cfg(not(target_os = "macos"))]
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// The machine's interfaces.
///
/// # Errors
/// None; the library leaves out what it cannot read.
pub(crate) fn interfaces() -> io::Result<Vec<Interface>> {
    Ok(netdev::get_interfaces().iter().map(interface).collect())
}

fn interface(found: &netdev::Interface) -> Interface {
    let v4 = found.ipv4.iter().map(ToString::to_string);
    let v6 = found.ipv6.iter().map(ToString::to_string);
    Interface {
        name: found.name.clone(),
        up: found.is_up(),
        carrier: found.is_up().then(|| found.is_running()),
        mtu: found.mtu,
        addresses: v4.chain(v6).collect(),
        loopback: found.is_loopback(),
        tunnel: found.is_tun(),
        ..Interface::default()
    }
}

/// The source address that a packet to `target` would have, from a UDP socket that sends nothing. Gateway and interface stay unknown.
///
/// # Errors
/// The system's own, where there is no route.
#[cfg(not(target_os = "macos"))]
pub(crate) fn route(target: IpAddr) -> io::Result<Route> {
    let any: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((target, DNS_PORT))?;
    Ok(Route { source: Some(socket.local_addr()?.ip()), ..Route::to(target) })
}

/// The default route of each family, by the interface that the library takes for the default one.
#[cfg(not(target_os = "macos"))]
pub(crate) fn default_routes() -> Vec<Route> {
    let Ok(interface) = netdev::get_default_interface() else { return Vec::new() };
    let Some(gateway) = &interface.gateway else { return Vec::new() };
    let v4 = gateway.ipv4.first().copied().map(|address| (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(address)));
    let v6 = gateway.ipv6.first().copied().map(|address| (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(address)));
    let route = |(any, gateway)| Route { gateway: Some(gateway), interface: Some(interface.name.clone()), ..Route::to(any) };
    v4.into_iter().chain(v6).map(route).collect()
}

/// What the system's own configuration names. Blocks.
pub(crate) fn system_resolvers() -> SystemResolvers {
    const READ_FROM: &str = "system configuration";
    match hickory_resolver::system_conf::read_system_conf() {
        Ok((config, _)) => SystemResolvers {
            servers: config.name_servers.iter().map(|server| SocketAddr::new(server.ip, DNS_PORT)).collect(),
            search: config.search.iter().map(|name| name.to_ascii()).collect(),
            read_from: READ_FROM.into(),
            ..SystemResolvers::default()
        },
        Err(error) => SystemResolvers { read_from: format!("{READ_FROM} ({error})"), ..SystemResolvers::default() },
    }
}

/// # Errors
/// `Unsupported`: no code of this program reads them here.
pub(crate) fn interface_counters() -> io::Result<Vec<(String, InterfaceCounters)>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// # Errors
/// `Unsupported`: no code of this program reads them here.
pub(crate) fn neighbours() -> io::Result<Vec<Neighbour>> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn os_release() -> Option<String> {
    None
}
