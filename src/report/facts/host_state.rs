//! What the machine counts and how full it is, in words.

use crate::units;
use netsonde_contract::observation::{
    AddressProbe, Capacity, Chain, Counters, Firewall, Machine, Neighbours, Sockets, StateCount, SystemLoad,
};

/// Figures shown of a long list; the whole stands in the bundle.
const MAX_SHOWN: usize = 6;

pub(super) fn neighbours(neighbours: &Neighbours) -> String {
    let known = units::counted(neighbours.total.try_into().unwrap_or(usize::MAX), "neighbour", "neighbours");
    let gateways = neighbours.entries.iter().filter(|entry| entry.gateway);
    let shown: Vec<String> =
        gateways.map(|entry| format!("next hop {} on {}: {}", entry.address, entry.interface, entry.state)).collect();
    if shown.is_empty() { known } else { format!("{known}; {}", shown.join(", ")) }
}

pub(super) fn sockets(sockets: &Sockets) -> String {
    let mut parts = vec![format!("TCP sockets: {}", states(&sockets.tcp)), format!("{} UDP", sockets.udp)];
    for towards in &sockets.towards_target {
        parts.push(format!("to {}: {}", towards.address, states(&towards.states)));
    }
    if let Some(ports) = &sockets.ephemeral {
        parts.push(format!("{} of {} ephemeral ports used", ports.in_use, ports.size()));
    }
    if sockets.udp_drops > 0 {
        parts.push(format!("{} datagrams dropped", sockets.udp_drops));
    }
    parts.join("; ")
}

fn states(states: &[StateCount]) -> String {
    let shown: Vec<String> = states.iter().map(|state| format!("{} {}", state.count, state.state.replace('_', " "))).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

pub(super) fn firewall(firewall: &Firewall) -> String {
    let older = match firewall.legacy_tables.len() {
        0 => String::new(),
        count => format!(", {} of the older iptables", units::counted(count, "table", "tables")),
    };
    if let Some(note) = &firewall.unread {
        return format!("firewall not read: {}{older}", note.why);
    }
    let chains: Vec<&Chain> = firewall.tables.iter().flat_map(|table| &table.chains).collect();
    let sum = |pick: fn(&Chain) -> u64| chains.iter().map(|chain| pick(chain)).fold(0, u64::saturating_add);
    let closed: Vec<&str> =
        chains.iter().filter(|chain| chain.policy.as_deref() == Some("drop")).filter_map(|chain| chain.hook.as_deref()).collect();
    let closed =
        if closed.is_empty() { String::new() } else { format!(", {} closed unless a rule opens it", closed.join(" and ")) };
    format!(
        "firewall: {}, {} rules{closed}, {} packets dropped and {} rejected by counting rules{older}",
        units::counted(firewall.tables.len(), "table", "tables"),
        sum(|chain| chain.rules.into()),
        sum(|chain| chain.dropped),
        sum(|chain| chain.rejected)
    )
}

pub(super) fn capacity(capacity: &Capacity) -> String {
    let mut parts = Vec::new();
    if let Some(conntrack) = &capacity.conntrack {
        let dropped =
            conntrack.dropped.filter(|dropped| *dropped > 0).map_or(String::new(), |dropped| format!(", {dropped} dropped"));
        parts.push(format!("{} of {} tracked connections{dropped}", conntrack.count, conntrack.max));
    }
    if let Some(own) = &capacity.own_descriptors {
        parts.push(format!("{} of {} own descriptors", own.used, own.limit));
    }
    if let Some(system) = &capacity.system_descriptors {
        parts.push(format!("{} descriptors in the system", system.used));
    }
    parts.join(", ")
}

pub(super) fn counters(counters: &Counters) -> String {
    let mut largest = counters.counters.clone();
    largest.sort_by_key(|counter| std::cmp::Reverse(counter.value));
    let mut parts: Vec<String> =
        largest.iter().take(MAX_SHOWN).map(|counter| format!("{} {}", counter.name, counter.value)).collect();
    let lost = counters.interfaces.iter().filter(|interface| interface.counters.lost() > 0);
    parts.extend(lost.map(|interface| format!("{} errors and drops on {}", interface.counters.lost(), interface.name)));
    if let Some(cpu) = counters.cpu.filter(|cpu| cpu.steal_ms > 0) {
        parts.push(format!("{} ms of processor time taken by the hypervisor", cpu.steal_ms));
    }
    let what = if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
    match counters.over_us {
        Some(over_us) => format!("counted in {}: {what}", units::duration(over_us)),
        None => format!("counted since the system began: {what}"),
    }
}

pub(super) fn load(load: &SystemLoad) -> String {
    let mut parts = vec![units::counted(load.processors.try_into().unwrap_or(usize::MAX), "processor", "processors")];
    if let Some([one, five, fifteen]) = load.average {
        parts.push(format!("load {one:.2} {five:.2} {fifteen:.2}"));
    }
    for pressure in load.pressure.iter().filter(|pressure| pressure.some_10_s > 0.0) {
        parts.push(format!("{} waited for {:.0} % of 10 s", pressure.of, pressure.some_10_s));
    }
    if let Some((available, total)) = load.memory_available_bytes.zip(load.memory_total_bytes) {
        parts.push(format!("{} of {} MB memory available", available / 1_000_000, total / 1_000_000));
    }
    parts.join(", ")
}

pub(super) fn machine(machine: &Machine) -> String {
    let named = [&machine.vendor, &machine.product, &machine.cloud];
    let mut parts: Vec<String> = named.into_iter().flatten().cloned().collect();
    match machine.hypervisor {
        Some(true) => parts.push("virtual".to_owned()),
        Some(false) => parts.push("no hypervisor seen".to_owned()),
        None => {}
    }
    parts.extend(machine.container.as_ref().map(|kind| format!("in a container ({kind})")));
    parts.join(", ")
}

pub(super) fn address_probe(probe: &AddressProbe) -> String {
    let who = format!("{} on {}", probe.address, probe.interface);
    if let Some(note) = &probe.unasked {
        return format!("{who}: not asked for, {}", note.why);
    }
    if let Some(failure) = &probe.failure {
        return format!("{who}: {}", super::failure::short(failure));
    }
    match &probe.answers[..] {
        [] => format!("{who}: nobody else answers"),
        answers => {
            let others: Vec<&str> = answers.iter().map(|answer| answer.hardware_address.as_str()).collect();
            format!("{who}: also used by {}", others.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_machine_with_the_same_address_is_named() {
        let probe = json!({"address": "192.0.2.7", "interface": "eth0", "sent": 3, "answers": [{"hardware_address": "02:00:00:00:00:02", "after_us": 9}]});
        assert_eq!(address_probe(&serde_json::from_value(probe).unwrap()), "192.0.2.7 on eth0: also used by 02:00:00:00:00:02");
    }

    #[test]
    fn growth_during_the_run_is_told_from_totals() {
        let counters = |over: serde_json::Value| {
            let fact = json!({"over_us": over, "counters": [{"name": "Tcp.RetransSegs", "value": 3}]});
            super::counters(&serde_json::from_value(fact).unwrap())
        };
        assert_eq!(counters(json!(2_000_000)), "counted in 2.00 s: Tcp.RetransSegs 3");
        assert_eq!(counters(serde_json::Value::Null), "counted since the system began: Tcp.RetransSegs 3");
    }

    #[test]
    fn a_closed_chain_is_said_to_be_closed_and_a_missing_right_is_said() {
        let chain = json!({"name": "in", "hook": "input", "policy": "drop", "rules": 2, "drop_rules": 1, "dropped": 5, "reject_rules": 0});
        let read = json!({"tables": [{"family": "inet", "name": "f", "chains": [chain]}]});
        let shown = firewall(&serde_json::from_value(read).unwrap());
        assert_eq!(
            shown,
            "firewall: 1 table, 2 rules, input closed unless a rule opens it, 5 packets dropped and 0 rejected by counting rules"
        );
        let unread = json!({"tables": [], "unread": {"why": "no right"}});
        assert_eq!(firewall(&serde_json::from_value(unread).unwrap()), "firewall not read: no right");
    }
}
