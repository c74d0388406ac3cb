//! The machine's own network as Linux tells it: links, addresses and routes by netlink, the rest from files in `/etc`.

use super::host::{ClockState, SystemResolvers};
use super::netlink::{self, Request, number};
use netsonde_contract::observation::{Interface, Route};
use nix::libc;
use resolv_conf::ScopedIp;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The sizes of `ifinfomsg`, `ifaddrmsg` and `rtmsg` (rtnetlink(7)).
const LINK_HEADER_BYTES: usize = 16;
const ADDRESS_HEADER_BYTES: usize = 8;
const ROUTE_HEADER_BYTES: usize = 12;

/// `IFLA_CARRIER` and `IFLA_INFO_KIND` (linux/if_link.h).
const LINK_CARRIER: u16 = 33;
const LINK_INFO_KIND: u16 = 1;

/// `RTA_VIA` (linux/rtnetlink.h): a next hop of the other family.
const ROUTE_VIA: u16 = 18;

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
    Ok(interfaces.into_values().collect())
}

fn interface(link: &netlink::Answer) -> Interface {
    let flags = number(&link.body, 8).unwrap_or_default().cast_signed();
    let mut interface = Interface {
        name: String::new(),
        up: flags & libc::IFF_UP != 0,
        carrier: None,
        mtu: None,
        addresses: Vec::new(),
        loopback: flags & libc::IFF_LOOPBACK != 0,
        tunnel: false,
    };
    for (kind, data) in link.attributes(LINK_HEADER_BYTES) {
        match kind {
            libc::IFLA_IFNAME => interface.name = text(data),
            libc::IFLA_MTU => interface.mtu = number(data, 0),
            LINK_CARRIER => interface.carrier = data.first().map(|carrier| *carrier != 0),
            libc::IFLA_LINKINFO => {
                let named = netlink::attributes(data).find(|(kind, _)| *kind == LINK_INFO_KIND);
                interface.tunnel |= named.is_some_and(|(_, name)| TUNNEL_KINDS.contains(&text(name).as_str()));
            }
            _ => {}
        }
    }
    // A link that is switched off carries nothing, whatever its cable says.
    interface.carrier = interface.carrier.filter(|_| interface.up);
    interface
}

/// Address and prefix length. The peer of a point-to-point link stands in the place of the address there; the own one is `IFA_LOCAL`.
fn address_text(answer: &netlink::Answer) -> Option<String> {
    let prefix = answer.body.get(1)?;
    let find =
        |wanted| answer.attributes(ADDRESS_HEADER_BYTES).find(|(kind, _)| *kind == wanted).and_then(|(_, data)| address(data));
    let own = find(libc::IFA_LOCAL).or_else(|| find(libc::IFA_ADDRESS))?;
    Some(format!("{own}/{prefix}"))
}

/// The route that a packet to `target` would take now.
///
/// # Errors
/// The kernel's answer where there is none: ENETUNREACH, or what a reject route says (EHOSTUNREACH, EACCES, EINVAL).
pub(crate) fn route(target: IpAddr) -> io::Result<Route> {
    let (family, bytes) = match target {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
    };
    let mut header = [0; ROUTE_HEADER_BYTES];
    header[0] = u8::try_from(family).unwrap_or_default();
    header[1] = u8::try_from(bytes.len() * 8).unwrap_or_default();
    let answers = Request::new(libc::RTM_GETROUTE, false, &header).attribute(libc::RTA_DST, &bytes).answers()?;
    let answer = answers.iter().find(|answer| answer.kind == libc::RTM_NEWROUTE).ok_or(io::ErrorKind::InvalidData)?;
    let mut route = Route { target, gateway: None, interface: None, source: None, failure: None };
    for (kind, data) in answer.attributes(ROUTE_HEADER_BYTES) {
        match kind {
            libc::RTA_GATEWAY => route.gateway = address(data),
            // Two bytes of family stand before the address.
            ROUTE_VIA => route.gateway = data.get(2..).and_then(address),
            libc::RTA_PREFSRC => route.source = address(data),
            libc::RTA_OIF => route.interface = number(data, 0).map(interface_name),
            _ => {}
        }
    }
    Ok(route)
}

fn interface_name(index: u32) -> String {
    let name = nix::net::if_::if_indextoname(index).ok();
    name.map_or_else(|| format!("#{index}"), |name| name.to_string_lossy().into_owned())
}

/// What `/etc/resolv.conf` names. Blocks on the file.
pub(crate) fn system_resolvers() -> SystemResolvers {
    match std::fs::read(RESOLV_CONF) {
        Ok(text) => parse_resolv_conf(&text),
        Err(error) => SystemResolvers { read_from: format!("{RESOLV_CONF} ({error})"), ..SystemResolvers::default() },
    }
}

/// Lines that make no sense are passed over, as the C library does.
fn parse_resolv_conf(text: &[u8]) -> SystemResolvers {
    let (parsed, _) = resolv_conf::Config::parse_with_errors(text);
    SystemResolvers {
        servers: parsed.nameservers.iter().map(server).collect(),
        search: parsed.get_last_search_or_domain().cloned().collect(),
        read_from: RESOLV_CONF.into(),
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

/// What the kernel says of its clock (adjtimex(2)); none where it may not be asked.
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
    let synchronised = state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0;
    Some(ClockState { synchronised, max_error_us: u64::try_from(timex.maxerror).ok() })
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

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into()))
}

/// Text up to its final zero byte.
fn text(bytes: &[u8]) -> String {
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
