//! What else is known of the machine: all that the one line of a fact has no room for.

use crate::units;
use netsonde_contract::observation::{
    Chain, Clock, Counters, Firewall, Interface, InterfaceCounters, Listener, Neighbour, Neighbours, Route, RoutingRule, Sockets,
};
use netsonde_contract::outcome::Note;
use std::net::SocketAddr;

/// Entries listed of a long list; the whole stands in the bundle.
const MAX_LISTED: usize = 32;

pub(super) fn interface(interface: &Interface) -> Vec<String> {
    let mut link = Vec::new();
    link.extend(interface.kind.as_ref().map(|kind| format!("of kind {kind}")));
    link.extend(interface.hardware_address.as_ref().map(|address| format!("hardware address {address}")));
    link.extend(interface.speed_mbit.map(|speed| format!("{speed} Mbit/s")));
    link.extend(interface.full_duplex.map(|full| if full { "full duplex" } else { "half duplex" }.to_owned()));
    let mut lines = Vec::new();
    if !link.is_empty() {
        lines.push(link.join(", "));
    }
    if !interface.offloads.is_empty() {
        lines.push(format!("offloads on: {}", interface.offloads.join(", ")));
    }
    lines.extend(interface.counters.as_ref().map(|counted| format!("since it exists: {}", traffic(counted))));
    lines
}

/// `received 12 packets (900 bytes, 0 errors, 1 dropped); sent 9 packets (700 bytes, 0 errors, 0 dropped)`.
fn traffic(counted: &InterfaceCounters) -> String {
    let way = |verb: &str, packets: u64, bytes: u64, errors: u64, dropped: u64| {
        format!("{verb} {packets} packets ({bytes} bytes, {errors} errors, {dropped} dropped)")
    };
    let received = way("received", counted.rx_packets, counted.rx_bytes, counted.rx_errors, counted.rx_dropped);
    let sent = way("sent", counted.tx_packets, counted.tx_bytes, counted.tx_errors, counted.tx_dropped);
    let changes = counted.carrier_changes.map(|count| format!("; the link came or went {count} times")).unwrap_or_default();
    format!("{received}; {sent}{changes}")
}

pub(super) fn clock(clock: &Clock) -> Vec<String> {
    let mut parts = Vec::new();
    parts.extend(clock.source.as_ref().map(|source| format!("counted by {source}")));
    parts.extend(clock.state.as_ref().map(|state| format!("state {state}")));
    parts.extend(clock.offset_us.map(|offset_us| format!("{offset_us} µs still to be added")));
    parts.extend(clock.rate_correction_ppb.map(|ppb| format!("rate corrected by {ppb} ppb")));
    if parts.is_empty() { Vec::new() } else { vec![parts.join(", ")] }
}

/// The entry and the rule that the route comes from.
pub(super) fn route(route: &Route) -> Vec<String> {
    let mut parts = Vec::new();
    parts.extend(route.source.map(|source| format!("from {source}")));
    parts.extend(route.matched.as_ref().map(|matched| format!("by the entry {matched}")));
    parts.extend(route.table.map(|table| format!("of table {}", table_name(table))));
    parts.extend(route.made_by.as_ref().map(|maker| format!("made by {maker}")));
    parts.extend(route.metric.map(|metric| format!("metric {metric}")));
    parts.extend(route.mtu.map(|mtu| format!("packets of at most {mtu} bytes")));
    parts.extend(route.rule.as_ref().map(rule));
    if parts.is_empty() { Vec::new() } else { vec![parts.join(", ")] }
}

/// The names of the tables that every Linux has (linux/rtnetlink.h).
fn table_name(table: u32) -> String {
    match table {
        253 => "default".to_owned(),
        254 => "main".to_owned(),
        255 => "local".to_owned(),
        other => other.to_string(),
    }
}

fn rule(rule: &RoutingRule) -> String {
    let from = rule.from.as_deref().unwrap_or("all");
    let to = rule.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    format!("chosen by rule {}: from {from}{to} lookup {}", rule.priority, table_name(rule.table))
}

pub(super) fn neighbours(neighbours: &Neighbours) -> Vec<String> {
    let entry = |entry: &Neighbour| {
        let hardware = entry.hardware_address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
        let gateway = if entry.gateway { ", next hop to the target" } else { "" };
        format!("{} on {}: {}{hardware}{gateway}", entry.address, entry.interface, entry.state)
    };
    listed(&neighbours.entries, entry, neighbours.total)
}

pub(super) fn sockets(sockets: &Sockets) -> Vec<String> {
    let mut lines = Vec::new();
    let mut list = |what: &str, entries: Vec<String>| {
        let total = entries.len();
        let shown = entries.into_iter().take(MAX_LISTED).collect::<Vec<_>>().join(", ");
        if total > 0 {
            let more = total.checked_sub(MAX_LISTED).filter(|more| *more > 0);
            lines.push(format!("{what}: {shown}{}", more.map(|more| format!(", and {more} more")).unwrap_or_default()));
        }
    };
    let owner = |own: bool| if own { " (the user that ran this)" } else { "" };
    let owners = sockets.owners.iter().map(|user| format!("user {}{} {}", user.user_id, owner(user.own), user.count));
    list("by owner", owners.collect());
    list("by program", sockets.processes.iter().map(|each| format!("{} {}", each.process, each.count)).collect());
    list("by remote port", sockets.remote_ports.iter().map(|each| format!("{} {}", each.port, each.count)).collect());
    let listener = |each: &Listener| {
        let program = each.process.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        format!("{} {}{program}", each.protocol, SocketAddr::new(each.address, each.port))
    };
    list("listening", sockets.listening.iter().map(listener).collect());
    if let Some(ports) = &sockets.ephemeral {
        lines.push(format!("the system chooses local ports from {} to {}", ports.low, ports.high));
        lines.extend(ports.towards.iter().take(MAX_LISTED).map(|each| {
            format!(
                "{} used towards port {} of {}",
                units::counted(each.in_use as usize, "of them is", "of them are"),
                each.port,
                each.address
            )
        }));
    }
    if let Some(Note { why, grant }) = &sockets.unseen {
        let grant = grant.as_ref().map(|grant| format!("; to see it, {grant}")).unwrap_or_default();
        lines.push(format!("not seen: {why}{grant}"));
    }
    if !sockets.complete {
        lines.push("there are more sockets than were read".to_owned());
    }
    lines
}

pub(super) fn firewall(firewall: &Firewall) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(firewall.unread.as_ref().and_then(|note| note.grant.clone()).map(|grant| format!("to read it: {grant}")));
    for table in &firewall.tables {
        let of_table = |chain: &Chain| {
            let hook = chain.hook.as_ref().map(|hook| format!(" at {hook}")).unwrap_or_default();
            let policy = chain.policy.as_ref().map(|policy| format!(", else {policy}")).unwrap_or_default();
            format!(
                "{} {}, chain {}{hook}: {}{policy}; {} packets dropped, {} rejected",
                table.family,
                table.name,
                chain.name,
                units::counted(chain.rules.try_into().unwrap_or(usize::MAX), "rule", "rules"),
                chain.dropped,
                chain.rejected
            )
        };
        lines.extend(table.chains.iter().take(MAX_LISTED).map(of_table));
    }
    lines.truncate(MAX_LISTED);
    lines
}

pub(super) fn counters(counters: &Counters) -> Vec<String> {
    let moved = counters.interfaces.iter().filter(|each| each.counters.rx_packets + each.counters.tx_packets > 0);
    let mut lines: Vec<String> =
        moved.take(MAX_LISTED).map(|each| format!("{}: {}", each.name, traffic(&each.counters))).collect();
    lines.extend(counters.cpu.map(|cpu| {
        format!("processors: {} ms in use, {} ms without work, {} ms stolen", cpu.busy_ms, cpu.idle_ms, cpu.steal_ms)
    }));
    let all: Vec<String> = counters.counters.iter().map(|each| format!("{} {}", each.name, each.value)).collect();
    lines.extend(all.chunks(8).map(|some| some.join(", ")));
    lines.truncate(MAX_LISTED);
    lines
}

/// Each entry on a line of its own, and how many there are beyond.
fn listed<T>(entries: &[T], words: impl Fn(&T) -> String, total: u32) -> Vec<String> {
    let mut lines: Vec<String> = entries.iter().take(MAX_LISTED).map(words).collect();
    let more = usize::try_from(total).unwrap_or(usize::MAX).saturating_sub(lines.len());
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_links_speed_offloads_and_counters_are_listed() {
        let counted = json!({"rx_packets": 12, "tx_packets": 9, "rx_bytes": 900, "tx_bytes": 700, "rx_errors": 0, "tx_errors": 0, "rx_dropped": 1, "tx_dropped": 0});
        let fact = json!({"name": "eth0", "up": true, "addresses": [], "loopback": false, "tunnel": false, "speed_mbit": 1000, "full_duplex": true,
            "hardware_address": "02:00:5e:10:00:01", "offloads": ["tso", "gro"], "counters": counted});
        assert_eq!(
            interface(&serde_json::from_value(fact).unwrap()),
            [
                "hardware address 02:00:5e:10:00:01, 1000 Mbit/s, full duplex",
                "offloads on: tso, gro",
                "since it exists: received 12 packets (900 bytes, 0 errors, 1 dropped); sent 9 packets (700 bytes, 0 errors, 0 dropped)",
            ]
        );
    }

    #[test]
    fn owners_of_sockets_and_neighbours_are_listed() {
        let fact = json!({"tcp": [], "udp": 0, "owners": [{"user_id": 1000, "own": true, "count": 3}],
            "processes": [{"process": "sshd", "count": 2}], "remote_ports": [{"port": 443, "count": 5}], "complete": true});
        let expected = ["by owner: user 1000 (the user that ran this) 3", "by program: sshd 2", "by remote port: 443 5"];
        assert_eq!(sockets(&serde_json::from_value(fact).unwrap()), expected);
        let fact = json!({"tcp": [], "udp": 0, "owners": [], "complete": true,
            "unseen": {"why": "Landlock hides it", "grant": "start it otherwise"}});
        assert_eq!(
            sockets(&serde_json::from_value(fact).unwrap()),
            ["not seen: Landlock hides it; to see it, start it otherwise"]
        );
        let fact = json!({"entries": [{"address": "192.0.2.1", "interface": "eth0", "state": "reachable", "hardware_address": "02:00:00:00:00:01",
            "gateway": true}], "total": 3});
        let expected = ["192.0.2.1 on eth0: reachable at 02:00:00:00:00:01, next hop to the target", "and 2 more"];
        assert_eq!(neighbours(&serde_json::from_value(fact).unwrap()), expected);
    }

    #[test]
    fn what_counts_the_clock_is_named_and_so_is_what_lets_a_firewall_be_read() {
        let fact = json!({"wall": "2026-01-01T00:00:00Z", "source": "kvm-clock", "state": "ok"});
        assert_eq!(clock(&serde_json::from_value(fact).unwrap()), ["counted by kvm-clock, state ok"]);
        let fact = json!({"tables": [], "unread": {"why": "no right", "grant": "run netsonde with sudo"}});
        assert_eq!(firewall(&serde_json::from_value(fact).unwrap()), ["to read it: run netsonde with sudo"]);
    }
}
