//! The machine's own network as Linux tells it: links and addresses by netlink, the rest from files in `/etc`.

use super::ethtool;
use super::host::{ClockState, SystemResolvers};
use super::netlink::{self, Request, number};
use netsonde_contract::observation::{Interface, InterfaceCounters};
use nix::libc;
use resolv_conf::ScopedIp;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The sizes of `ifinfomsg` and `ifaddrmsg` (rtnetlink(7)).
const LINK_HEADER_BYTES: usize = 16;
const ADDRESS_HEADER_BYTES: usize = 8;

/// `IFLA_STATS64`, `IFLA_CARRIER`, `IFLA_CARRIER_CHANGES` and `IFLA_INFO_KIND` (linux/if_link.h).
const LINK_COUNTERS: u16 = 23;
const LINK_CARRIER: u16 = 33;
const LINK_CARRIER_CHANGES: u16 = 35;
const LINK_INFO_KIND: u16 = 1;

/// Kinds of link that lead through something else: an encrypted or encapsulating tunnel to one peer.
const TUNNEL_KINDS: [&str; 16] = [
    "tun",
    "wireguard",
    "ppp",
    "ipip",
    "sit",
    "ip6tnl",
    "gre",
    "gretap",
    "ip6gre",
    "ip6gretap",
    "erspan",
    "vti",
    "vti6",
    "xfrm",
    "ipsec",
    "l2tp",
];

/// The values that adjtimex(2) returns, in their order.
const CLOCK_STATES: [&str; 6] = ["ok", "insert", "delete", "leap", "wait", "error"];
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

const RESOLV_CONF: &str = "/etc/resolv.conf";
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// The interfaces of the process's network namespace, by their index.
///
/// # Errors
/// The kernel's own, where it does not answer.
pub(crate) fn interfaces() -> io::Result<Vec<Interface>> {
    let mut interfaces = BTreeMap::new();
    for link in Request::new(libc::RTM_GETLINK, true, &[0; LINK_HEADER_BYTES]).answers()? {
        if let (libc::RTM_NEWLINK, Some(index)) = (link.kind, number(&link.body, 4)) {
            interfaces.insert(index, interface(&link));
        }
    }
    for address in Request::new(libc::RTM_GETADDR, true, &[0; ADDRESS_HEADER_BYTES]).answers()? {
        let index = number(&address.body, 4).unwrap_or_default();
        if let (Some(interface), Some(text)) = (interfaces.get_mut(&index), address_text(&address)) {
            interface.addresses.push(text);
        }
    }
    let mut interfaces: Vec<Interface> = interfaces.into_values().collect();
    ethtool::fill_in(&mut interfaces);
    Ok(interfaces)
}

/// What the interfaces count, by name.
///
/// # Errors
/// The kernel's own, where it does not answer.
pub(crate) fn interface_counters() -> io::Result<Vec<(String, InterfaceCounters)>> {
    let links = Request::new(libc::RTM_GETLINK, true, &[0; LINK_HEADER_BYTES]).answers()?;
    let counted = links.iter().filter(|link| link.kind == libc::RTM_NEWLINK).map(interface);
    Ok(counted.filter_map(|found| Some((found.name, found.counters?))).collect())
}

pub(super) fn interface(link: &netlink::Answer) -> Interface {
    let flags = number(&link.body, 8).unwrap_or_default().cast_signed();
    let mut interface =
        Interface { up: flags & libc::IFF_UP != 0, loopback: flags & libc::IFF_LOOPBACK != 0, ..Interface::default() };
    let mut carrier_changes = None;
    for (kind, data) in link.attributes(LINK_HEADER_BYTES) {
        match kind {
            libc::IFLA_IFNAME => interface.name = text(data),
            libc::IFLA_MTU => interface.mtu = number(data, 0),
            libc::IFLA_ADDRESS => interface.hardware_address = super::hardware_address::text(data),
            LINK_CARRIER => interface.carrier = data.first().map(|carrier| *carrier != 0),
            LINK_CARRIER_CHANGES => carrier_changes = number(data, 0).map(u64::from),
            LINK_COUNTERS => interface.counters = counters(data),
            libc::IFLA_LINKINFO => {
                let named = netlink::attributes(data).find(|(kind, _)| *kind == LINK_INFO_KIND);
                interface.kind = named.map(|(_, name)| text(name));
            }
            _ => {}
        }
    }
    interface.tunnel = interface.kind.as_deref().is_some_and(|kind| TUNNEL_KINDS.contains(&kind));
    // A link that is switched off carries nothing, whatever its cable says.
    interface.carrier = interface.carrier.filter(|_| interface.up);
    if let Some(counters) = &mut interface.counters {
        counters.carrier_changes = carrier_changes;
    }
    interface
}

/// The beginning of `rtnl_link_stats64` (linux/if_link.h).
fn counters(data: &[u8]) -> Option<InterfaceCounters> {
    let number = |at: usize| data.get(at * 8..at * 8 + 8)?.try_into().ok().map(u64::from_ne_bytes);
    Some(InterfaceCounters {
        rx_packets: number(0)?,
        tx_packets: number(1)?,
        rx_bytes: number(2)?,
        tx_bytes: number(3)?,
        rx_errors: number(4)?,
        tx_errors: number(5)?,
        rx_dropped: number(6)?,
        tx_dropped: number(7)?,
        carrier_changes: None,
    })
}

/// Address and prefix length. The peer of a point-to-point link stands in the place of the address there; the own one is `IFA_LOCAL`.
pub(super) fn address_text(answer: &netlink::Answer) -> Option<String> {
    let prefix = answer.body.get(1)?;
    let find =
        |wanted| answer.attributes(ADDRESS_HEADER_BYTES).find(|(kind, _)| *kind == wanted).and_then(|(_, data)| address(data));
    let own = find(libc::IFA_LOCAL).or_else(|| find(libc::IFA_ADDRESS))?;
    Some(format!("{own}/{prefix}"))
}

/// What `/etc/resolv.conf` names. Blocks on the file.
pub(crate) fn system_resolvers() -> SystemResolvers {
    match std::fs::read(RESOLV_CONF) {
        Ok(text) => parse_resolv_conf(&text),
        Err(error) => SystemResolvers { read_from: format!("{RESOLV_CONF} ({error})"), ..SystemResolvers::default() },
    }
}

/// Lines that make no sense are passed over, as the C library does.
pub(super) fn parse_resolv_conf(text: &[u8]) -> SystemResolvers {
    let (parsed, _) = resolv_conf::Config::parse_with_errors(text);
    SystemResolvers {
        servers: parsed.nameservers.iter().map(server).collect(),
        search: parsed.get_last_search_or_domain().cloned().collect(),
        read_from: RESOLV_CONF.into(),
        ..SystemResolvers::default()
    }
}

fn server(address: &ScopedIp) -> SocketAddr {
    let scope = |name: &str| name.parse().ok().or_else(|| nix::net::if_::if_nametoindex(name).ok());
    match address {
        ScopedIp::V4(v4) => SocketAddr::from((*v4, super::host::DNS_PORT)),
        ScopedIp::V6(v6, name) => {
            SocketAddrV6::new(*v6, super::host::DNS_PORT, 0, name.as_deref().and_then(scope).unwrap_or_default()).into()
        }
    }
}

/// What the kernel says of its clock (adjtimex(2)); none where it may not be asked. Blocks on a file.
pub(crate) fn clock_state() -> Option<ClockState> {
    #[expect(unsafe_code, reason = "the C library's adjtimex has no safe wrapper")]
    // SAFETY: all-zero bytes are a valid `timex`, whose `modes` of zero only reads; the kernel writes within the structure.
    let (state, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex)
    };
    if state < 0 {
        return None;
    }
    let offset = timex.offset;
    Some(ClockState {
        synchronised: state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0,
        max_error_us: u64::try_from(timex.maxerror).ok(),
        state: usize::try_from(state).ok().and_then(|state| CLOCK_STATES.get(state)).map(|name| (*name).to_owned()),
        offset_us: Some(if timex.status & libc::STA_NANO == 0 { offset } else { offset / 1_000 }),
        // The kernel's unit is parts of a million with 16 bits behind the point.
        rate_correction_ppb: Some(timex.freq.saturating_mul(1_000) >> 16),
        source: std::fs::read_to_string(CLOCK_SOURCE).ok().map(|name| name.trim().to_owned()),
    })
}

/// The distribution's name and release (os-release(5)). Blocks on the file.
pub(crate) fn os_release() -> Option<String> {
    let text = OS_RELEASE.iter().find_map(|path| std::fs::read_to_string(path).ok())?;
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches(['"', '\'']).to_owned())
    };
    value("PRETTY_NAME").or_else(|| value("NAME"))
}

pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into()))
}

/// Text up to its final zero byte.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_name_server_keeps_its_scope() {
        let found = parse_resolv_conf(b"nonsense\nnameserver 192.0.2.53\nnameserver fe80::1%lo\nsearch a.example b.example\n");
        let lo = nix::net::if_::if_nametoindex("lo").unwrap();
        let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, lo).into();
        assert_eq!(found.servers, ["192.0.2.53:53".parse().unwrap(), scoped]);
        assert_eq!(found.search, ["a.example", "b.example"]);
    }

    /// `/proc/net` shows the same network namespace by another way.
    #[test]
    fn every_interface_that_proc_knows_is_seen() {
        let mut names: Vec<_> = interfaces().unwrap().into_iter().map(|interface| interface.name).collect();
        let proc = std::fs::read_to_string("/proc/self/net/dev").unwrap();
        let mut expected: Vec<_> =
            proc.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect();
        names.sort();
        expected.sort();
        assert_eq!(names, expected);
    }
}
