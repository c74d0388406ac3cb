//! The parsers of what the kernel and the system's files say, one function each.

use super::{hardware_address, host_linux, netlink, nftables, tcp};
use netsonde_contract::observation::Chain;

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
    }
    hardware_address::text(bytes);
    tcp::layout::read(bytes);
}

/// resolv.conf(5).
pub(crate) fn resolv_conf(bytes: &[u8]) {
    host_linux::parse_resolv_conf(bytes);
}
