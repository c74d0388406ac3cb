//! The route to one address as the kernel itself would choose it, the table entry that it comes from, and the rule of policy routing that
//! led to the table (rtnetlink(7), ip-rule(8)).

use super::host_linux::address;
use super::netlink::{Answer, Request, attributes, number};
use netsonde_contract::observation::{Route, RoutingRule};
use nix::libc;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The sizes of `rtmsg` and `fib_rule_hdr`.
const ROUTE_HEADER_BYTES: usize = 12;
const RULE_HEADER_BYTES: usize = 12;
/// `RTA_VIA` (linux/rtnetlink.h): a next hop of the other family.
const VIA: u16 = 18;
/// `RTAX_MTU` among the metrics.
const METRIC_MTU: u16 = 2;
/// Asks for the number of the table, and for the table's entry instead of the result (linux/rtnetlink.h).
const LOOKUP_TABLE: u32 = 0x1000;
const ENTRY: u32 = 0x2000;
/// Attributes of a rule (linux/fib_rules.h).
const RULE_TO: u16 = 1;
const RULE_FROM: u16 = 2;
const RULE_INPUT: u16 = 3;
const RULE_PRIORITY: u16 = 6;
const RULE_MARK: u16 = 10;
const RULE_TABLE: u16 = 15;
const RULE_OUTPUT: u16 = 17;
/// The rule leads to a table.
const TO_TABLE: u8 = 1;
/// The rule holds for all that its selectors do not name.
const INVERTED: u32 = 0x2;

/// Who makes routes (linux/rtnetlink.h, `/etc/iproute2/rt_protos`).
const MAKERS: [(u8, &str); 12] = [
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (9, "ra"),
    (11, "zebra"),
    (12, "bird"),
    (16, "dhcp"),
    (18, "keepalived"),
    (42, "babel"),
    (186, "bgp"),
    (188, "ospf"),
];

/// The route that a packet to `target` would take now.
///
/// # Errors
/// The kernel's answer where there is none: ENETUNREACH, or what a reject route says (EHOSTUNREACH, EACCES, EINVAL).
pub(crate) fn route(target: IpAddr) -> io::Result<Route> {
    let mut route = read_route(target, &ask(target, LOOKUP_TABLE)?);
    // A kernel too old to show the entry answers without it; the route stands all the same.
    if let Ok(entry) = ask(target, LOOKUP_TABLE | ENTRY) {
        describe(&mut route, &entry);
    }
    route.rule = route.table.and_then(|table| rule(target, route.source, table));
    Ok(route)
}

/// What the kernel's choice says.
pub(super) fn read_route(target: IpAddr, answer: &Answer) -> Route {
    let mut route = Route::to(target);
    for (kind, data) in answer.attributes(ROUTE_HEADER_BYTES) {
        match kind {
            libc::RTA_GATEWAY => route.gateway = address(data),
            // Two bytes of family stand before the address.
            VIA => route.gateway = data.get(2..).and_then(address),
            libc::RTA_PREFSRC => route.source = address(data),
            libc::RTA_OIF => route.interface = number(data, 0).map(interface_name),
            libc::RTA_TABLE => route.table = number(data, 0),
            libc::RTA_METRICS => route.mtu = path_mtu(data),
            _ => {}
        }
    }
    route
}

/// The default routes of every table, the preferred one of each family first. None carries a rule: which packets it is for is not asked.
pub(crate) fn default_routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
        let mut header = [0; ROUTE_HEADER_BYTES];
        header[0] = family(any);
        let answers = Request::new(libc::RTM_GETROUTE, true, &header).answers().unwrap_or_default();
        let mut found: Vec<Route> =
            answers.iter().filter(|answer| is_default(answer)).map(|answer| default(any, answer)).collect();
        found.sort_by_key(|route| route.metric.unwrap_or(0));
        routes.append(&mut found);
    }
    routes
}

/// An entry for every address that leads somewhere, and does not refuse.
pub(super) fn is_default(answer: &Answer) -> bool {
    let (length, kind) = (answer.body.get(1), answer.body.get(7));
    answer.kind == libc::RTM_NEWROUTE && length == Some(&0) && kind == Some(&libc::RTN_UNICAST)
}

fn default(any: IpAddr, answer: &Answer) -> Route {
    let mut route = read_route(any, answer);
    describe(&mut route, answer);
    route
}

fn ask(target: IpAddr, flags: u32) -> io::Result<Answer> {
    let bytes = octets(target);
    let mut header = [0; ROUTE_HEADER_BYTES];
    header[0] = family(target);
    header[1] = u8::try_from(bytes.len() * 8).unwrap_or_default();
    header[8..].copy_from_slice(&flags.to_ne_bytes());
    let answers = Request::new(libc::RTM_GETROUTE, false, &header).attribute(libc::RTA_DST, &bytes).answers()?;
    let found = answers.into_iter().find(|answer| answer.kind == libc::RTM_NEWROUTE);
    found.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Adds what the table's entry says.
pub(super) fn describe(route: &mut Route, entry: &Answer) {
    let (Some(prefix), Some(maker)) = (entry.body.get(1), entry.body.get(5)) else { return };
    let any = if route.target.is_ipv4() { "0.0.0.0" } else { "::" };
    let mut network = any.to_owned();
    for (kind, data) in entry.attributes(ROUTE_HEADER_BYTES) {
        match kind {
            libc::RTA_DST => network = address(data).map_or(network, |address| address.to_string()),
            libc::RTA_PRIORITY => route.metric = number(data, 0),
            libc::RTA_TABLE => route.table = number(data, 0),
            libc::RTA_METRICS => route.mtu = route.mtu.or_else(|| path_mtu(data)),
            _ => {}
        }
    }
    route.matched = Some(format!("{network}/{prefix}"));
    let named = MAKERS.iter().find(|(number, _)| number == maker);
    route.made_by = Some(named.map_or_else(|| maker.to_string(), |(_, name)| (*name).to_owned()));
}

fn path_mtu(metrics: &[u8]) -> Option<u32> {
    attributes(metrics).find(|(kind, _)| *kind == METRIC_MTU).and_then(|(_, data)| number(data, 0))
}

/// The first rule that fits a packet of this machine to the target and leads to the table.
fn rule(target: IpAddr, source: Option<IpAddr>, table: u32) -> Option<RoutingRule> {
    let mut header = [0; RULE_HEADER_BYTES];
    header[0] = family(target);
    let answers = Request::new(libc::RTM_GETRULE, true, &header).answers().ok()?;
    let rules = answers.iter().filter(|answer| answer.kind == libc::RTM_NEWRULE).filter_map(read_rule);
    let mut fitting: Vec<RoutingRule> = rules
        .filter(|rule| rule.table == table)
        .filter(|rule| rule.to.as_deref().is_none_or(|prefix| holds(prefix, target)))
        .filter(|rule| rule.from.as_deref().is_none_or(|prefix| source.is_some_and(|source| holds(prefix, source))))
        .collect();
    fitting.sort_by_key(|rule| rule.priority);
    fitting.into_iter().next()
}

/// A rule for plain packets of this machine: those for marked packets, other users' or single interfaces are left out.
pub(super) fn read_rule(answer: &Answer) -> Option<RoutingRule> {
    let (to_bits, from_bits) = (answer.body.get(1)?, answer.body.get(2)?);
    let flags = number(&answer.body, 8)?;
    if *answer.body.get(7)? != TO_TABLE || flags & INVERTED != 0 {
        return None;
    }
    let mut rule = RoutingRule { priority: 0, from: None, to: None, table: u32::from(*answer.body.get(4)?) };
    for (kind, data) in answer.attributes(RULE_HEADER_BYTES) {
        match kind {
            RULE_TO => rule.to = address(data).map(|address| format!("{address}/{to_bits}")),
            RULE_FROM => rule.from = address(data).map(|address| format!("{address}/{from_bits}")),
            RULE_PRIORITY => rule.priority = number(data, 0)?,
            RULE_TABLE => rule.table = number(data, 0)?,
            RULE_MARK if number(data, 0) != Some(0) => return None,
            RULE_INPUT | RULE_OUTPUT => return None,
            _ => {}
        }
    }
    Some(rule)
}

/// Whether the address lies within `network/bits`.
fn holds(prefix: &str, inner: IpAddr) -> bool {
    let Some((Ok(network), Ok(bits))) = prefix.split_once('/').map(|(network, bits)| (network.parse(), bits.parse::<u32>()))
    else {
        return false;
    };
    match (network, inner) {
        (IpAddr::V4(network), IpAddr::V4(inner)) => (network.to_bits() ^ inner.to_bits()).leading_zeros() >= bits.min(32),
        (IpAddr::V6(network), IpAddr::V6(inner)) => (network.to_bits() ^ inner.to_bits()).leading_zeros() >= bits.min(128),
        _ => false,
    }
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    u8::try_from(family).unwrap_or_default()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

pub(super) fn interface_name(index: u32) -> String {
    let name = nix::net::if_::if_indextoname(index).ok();
    name.map_or_else(|| format!("#{index}"), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel keeps the local table within the main one until somebody adds a rule, and then calls it by either number.
    #[test]
    fn loopback_is_led_to_its_table_by_a_rule_for_all() {
        let found = route("127.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(found.interface.as_deref(), Some("lo"));
        let rule = found.rule.clone().unwrap();
        assert_eq!((Some(rule.table), rule.from, rule.to), (found.table, None, None));
        assert!(rule.priority == if rule.table == 255 { 0 } else { 32_766 }, "{}", rule.priority);
        assert!(found.matched.is_some_and(|matched| matched.starts_with("127.")), "the entry is shown");
        assert_eq!(found.made_by.as_deref(), Some("kernel"));
    }

    #[test]
    fn an_address_lies_in_its_prefix_and_not_in_the_next() {
        let inner: IpAddr = "192.0.2.130".parse().unwrap();
        assert!(holds("192.0.2.128/25", inner) && holds("0.0.0.0/0", inner));
        assert!(!holds("192.0.2.0/25", inner) && !holds("::/0", inner) && !holds("nonsense", inner));
    }
}
