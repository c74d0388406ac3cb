use super::{failure, of};
use crate::units;
use netsonde_contract::observation::{Fact, Hop, ReplyKind, Trace, TraceProtocol};
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
            format!("{target} not reached, last answer from {from} at hop {}", hop.ttl)
        }
        (false, _, None) => match &trace.failure {
            Some(found) => format!("{target} not reached, {}", failure::short(found)),
            None => format!("{target} not reached, no hop answered"),
        },
    }
}

pub(super) fn trace(trace: &Trace) -> String {
    let with = match (trace.protocol, trace.privileged) {
        (TraceProtocol::Udp, true) => "UDP, raw sockets",
        (TraceProtocol::Udp, false) => "UDP, unprivileged",
        (TraceProtocol::Icmp, true) => "ICMP, raw sockets",
        (TraceProtocol::Icmp, false) => "ICMP, unprivileged",
    };
    let end = match (trace.arrived, trace.distance) {
        (true, Some(distance)) => format!("reached at hop {distance}"),
        (true, None) => "reached".to_owned(),
        (false, _) => format!("not reached within {} hops", trace.max_ttl),
    };
    let rounds = units::counted(trace.rounds.into(), "round", "rounds");
    format!("path to {} by {with}, {rounds}: {end}, {}", trace.target, units::duration(trace.took_us))
}

/// One distance: `hop 3: 198.51.100.1 10 ms, 11 ms`, or silence.
pub(super) fn hop(hop: &Hop) -> String {
    let addresses = hop.addresses();
    if addresses.is_empty() {
        return format!("hop {}: silent ({})", hop.ttl, units::counted(hop.probes.len(), "probe", "probes"));
    }
    let one = |address: &std::net::IpAddr| {
        let replies = hop.probes.iter().filter_map(|probe| probe.reply.as_ref()).filter(|reply| reply.from == *address);
        let rtts: Vec<String> = replies.clone().map(|reply| units::duration(reply.rtt_us)).collect();
        let refusal = replies.filter(|reply| reply.kind == ReplyKind::Unreachable).find_map(|reply| reply.icmp.as_ref());
        let refusal = refusal.map_or(String::new(), |icmp| format!(" ({})", icmp.words()));
        format!("{address} {}{refusal}", rtts.join(", "))
    };
    format!("hop {}: {}", hop.ttl, addresses.iter().map(one).collect::<Vec<_>>().join("; "))
}
