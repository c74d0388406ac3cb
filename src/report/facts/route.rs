use super::route_depth::{address_notes, hop_notes, paths};
use super::{failure, of};
use crate::units;
use netsonde_contract::observation::{Fact, Hop, ReplyKind, Trace, TraceIds, TraceProtocol};
use netsonde_contract::outcome::Outcome;

pub(super) fn outcome(outcome: &Outcome) -> String {
    let hops = of(outcome, |fact| if let Fact::Hop(hop) = fact { Some(hop) } else { None });
    let traces = of(outcome, |fact| if let Fact::Trace(trace) = fact { Some(trace) } else { None });
    if traces.is_empty() && !hops.is_empty() {
        return format!("{} seen before the time was over", units::counted(hops.len(), "hop", "hops"));
    }
    let one = |trace: &&Trace| {
        let last = hops
            .iter()
            .copied()
            .filter(|hop| hop.target == trace.target && !hop.addresses().is_empty())
            .max_by_key(|hop| hop.ttl);
        summary(trace, last)
    };
    traces.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn summary(trace: &Trace, last: Option<&Hop>) -> String {
    let target = trace.target;
    match (trace.arrived, trace.distance, last) {
        (true, Some(distance), _) => format!("{target} reached at hop {distance}"),
        (true, None, _) => format!("{target} reached"),
        (false, _, Some(hop)) => {
            let from = hop.addresses().first().map(ToString::to_string).unwrap_or_default();
            let within = match hop.ttl == trace.max_ttl {
                true => format!(" within the {} asked for", units::counted(hop.ttl.into(), "hop", "hops")),
                false => String::new(),
            };
            format!("{target} not reached{within}, last answer from {from} at hop {}", hop.ttl)
        }
        (false, _, None) => match &trace.failure {
            Some(found) => format!("{target} not reached, {}", failure::short(found)),
            None => format!("{target} not reached, no hop answered"),
        },
    }
}

pub(super) fn trace(trace: &Trace) -> String {
    let with = match trace.protocol {
        TraceProtocol::Udp => "UDP",
        TraceProtocol::Icmp => "ICMP",
        TraceProtocol::Tcp => "TCP SYN",
        TraceProtocol::TcpSession => "segments of a TCP connection",
    };
    let right = if trace.privileged { "raw sockets" } else { "unprivileged" };
    let flow = if trace.ids == Some(TraceIds::Classic) { ", each probe a flow of its own" } else { "" };
    let end = match (trace.arrived, trace.distance) {
        (true, Some(distance)) => format!("reached at hop {distance}"),
        (true, None) => "reached".to_owned(),
        (false, _) => format!("not reached within {} hops", trace.max_ttl),
    };
    let rounds = units::counted(trace.rounds.into(), "round", "rounds");
    format!("path to {} by {with}, {right}{flow}, {rounds}: {end}, {}", trace.target, units::duration(trace.took_us))
}

/// What a trace found beyond its hops.
pub(super) fn details(trace: &Trace) -> Vec<String> {
    let mut lines = paths(trace);
    for change in &trace.changes {
        let (before, after) = (change.before, change.after);
        lines.push(format!("route changed at hop {}: {before}, from round {} on {after}", change.ttl, change.round + 1));
    }
    if trace.unmatched > 0 {
        let errors = units::counted(trace.unmatched.try_into().unwrap_or(usize::MAX), "error", "errors");
        lines.push(format!("{errors} quoted too little to tell which probe they answer; --flow each tells"));
    }
    if !trace.lacks.is_empty() {
        let lacks: Vec<&str> = trace.lacks.iter().map(|lacks| super::route_depth::lacks(*lacks)).collect();
        lines.push(format!("without raw sockets: {}", lacks.join(", ")));
    }
    lines.extend(failure::details(trace.failure.as_ref()));
    lines
}

/// One distance: `hop 3: 198.51.100.1 10 ms, 11 ms`, or silence.
pub(super) fn hop(hop: &Hop) -> String {
    let addresses = hop.addresses();
    let notes = hop_notes(hop);
    if addresses.is_empty() {
        return format!("hop {}: silent ({}){notes}", hop.ttl, units::counted(hop.probes.len(), "probe", "probes"));
    }
    let one = |address: &std::net::IpAddr| {
        let replies = hop.probes.iter().filter_map(|probe| probe.reply.as_ref()).filter(|reply| reply.from == *address);
        let rtts: Vec<String> = replies.clone().map(|reply| units::duration(reply.rtt_us)).collect();
        let refusal = replies.filter(|reply| reply.kind == ReplyKind::Unreachable).find_map(|reply| reply.icmp.as_ref());
        let refusal = refusal.map_or(String::new(), |icmp| format!(" ({})", icmp.words()));
        format!("{address}{} {}{refusal}", address_notes(hop, *address), rtts.join(", "))
    };
    format!("hop {}: {}{notes}", hop.ttl, addresses.iter().map(one).collect::<Vec<_>>().join("; "))
}
