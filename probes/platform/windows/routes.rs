//! Routes by GetBestRoute2 and GetIpForwardTable2.

use super::adapters;
use super::address::{inet, of_inet};
use super::table::rows;
use crate::platform::host::{DNS_PORT, whole_metric};
use crate::zone;
use netsonde_contract::observation::Route;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use windows_sys::Win32::Foundation::{ERROR_CALL_NOT_IMPLEMENTED, ERROR_NOT_SUPPORTED};
use windows_sys::Win32::NetworkManagement::IpHelper::{GetBestRoute2, GetIpForwardTable2, MIB_IPFORWARD_ROW2};
use windows_sys::Win32::Networking::WinSock::{AF_UNSPEC, SOCKADDR_INET};

/// The route that the system would take to `target`, and the source that it would send from.
///
/// # Errors
/// The system's own, where there is no route.
pub(crate) fn route(target: IpAddr) -> io::Result<Route> {
    let destination = inet(zone::socket(target, 0));
    let (mut best, mut source) = (MIB_IPFORWARD_ROW2::default(), SOCKADDR_INET::default());
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: all structures outlive the call; without interface and source the system chooses both.
    let error = unsafe {
        let (none, any) = (std::ptr::null(), std::ptr::null());
        GetBestRoute2(none, 0, any, &raw const destination, 0, &raw mut best, &raw mut source)
    };
    if matches!(error, ERROR_NOT_SUPPORTED | ERROR_CALL_NOT_IMPLEMENTED) {
        return by_socket(target);
    }
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error.cast_signed()));
    }
    let source = of_inet(&source).filter(|source| !source.is_unspecified());
    Ok(Route { source, ..described(target, &best, &adapters::read().unwrap_or_default()) })
}

/// The source alone, from a UDP socket that sends nothing: for a system that cannot be asked for more.
fn by_socket(target: IpAddr) -> io::Result<Route> {
    let any: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(zone::socket(target, DNS_PORT))?;
    Ok(Route { source: Some(socket.local_addr()?.ip()), ..Route::to(target) })
}

/// The routes to everything that no other entry is for, the best first.
pub(crate) fn default_routes() -> Vec<Route> {
    let adapters = adapters::read().unwrap_or_default();
    let mut found: Vec<Route> = all()
        .unwrap_or_default()
        .iter()
        .filter_map(|row| {
            let any: IpAddr = match of_inet(&row.DestinationPrefix.Prefix)? {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            (row.DestinationPrefix.PrefixLength == 0).then(|| described(any, row, &adapters))
        })
        .collect();
    found.sort_by_key(|route| route.metric);
    found
}

fn all() -> io::Result<Vec<MIB_IPFORWARD_ROW2>> {
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the table is null or as the system allotted it, and is given back by `rows` alone.
    unsafe {
        let mut table = std::ptr::null_mut();
        let error = GetIpForwardTable2(AF_UNSPEC, &raw mut table);
        let (count, first) =
            if table.is_null() { (0, std::ptr::null()) } else { ((*table).NumEntries, (&raw const (*table).Table).cast()) };
        rows(error, table.cast_const().cast(), count, first)
    }
}

fn described(target: IpAddr, row: &MIB_IPFORWARD_ROW2, adapters: &[adapters::Adapter]) -> Route {
    let adapter = adapters.iter().find(|adapter| [adapter.index, adapter.index_v6].contains(&row.InterfaceIndex));
    let matched = of_inet(&row.DestinationPrefix.Prefix).map(|prefix| format!("{prefix}/{}", row.DestinationPrefix.PrefixLength));
    Route {
        gateway: of_inet(&row.NextHop).filter(|hop| !hop.is_unspecified()),
        interface: adapter.map(|adapter| adapter.interface.name.clone()),
        matched,
        metric: Some(whole_metric(row.Metric, adapter.map(|adapter| adapter.metric(target.is_ipv4())))),
        made_by: made_by(row.Protocol).map(str::to_owned),
        mtu: adapter.and_then(|adapter| adapter.interface.mtu),
        ..Route::to(target)
    }
}

/// Who made an entry (`NL_ROUTE_PROTOCOL`).
fn made_by(protocol: i32) -> Option<&'static str> {
    Some(match protocol {
        2 => "kernel",
        3 | 10_006 | 10_007 => "static",
        4 => "redirect",
        8 => "rip",
        13 => "ospf",
        14 => "bgp",
        19 => "dhcp",
        _ => return None,
    })
}
