//! The parsers of what the kernel and the system's files say, one function each.

use super::{hardware_address, host_linux, netlink, nftables, routes_linux, tcp};
use netsonde_contract::observation::Chain;
use std::net::{IpAddr, Ipv6Addr};

/// Datagrams of netlink: links, addresses, chains and rules of the packet filter.
pub(crate) fn netlink(bytes: &[u8]) {
    let mut answers = Vec::new();
    // An error is one of the kernel's own answers.
    let _ = netlink::read_messages(bytes, &mut answers);
    for answer in &answers {
        host_linux::interface(answer);
        host_linux::address_text(answer);
        nftables::chain(answer);
        nftables::count(&mut Chain::default(), &answer.body);
        for target in [IpAddr::from([192, 0, 2, 1]), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let mut route = routes_linux::read_route(target, answer);
            routes_linux::describe(&mut route, answer);
        }
        routes_linux::read_rule(answer);
    }
    hardware_address::text(bytes);
    tcp::layout::read(bytes);
}

/// resolv.conf(5).
pub(crate) fn resolv_conf(bytes: &[u8]) {
    host_linux::parse_resolv_conf(bytes);
}
