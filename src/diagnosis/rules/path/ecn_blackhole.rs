use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, Share};
use crate::rule::Rule;
use crate::rules::path::pings;
use crate::threshold::BAD_SHARE;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Hop, ReplyKind, Trace, TraceProtocol};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same trace again with and without the mark (`netsonde probe traceroute HOST --ecn true`)"),
    ..Rule::new("path.ecn_blackhole", &["tcp.filtered", "path.loss"], evaluate)
};

/// One trace with the mark was lost, and one without it was not.
const ONE_ROUND: f64 = 0.75;
/// Several rounds each.
const SEVERAL_ROUNDS: f64 = 0.9;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.addresses().into_iter().filter_map(|address| towards(evidence, address)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let marked: Vec<&Seen<'_, Trace>> =
        evidence.marked_traces.iter().filter(|trace| trace.target == address && trace.failure.is_none()).collect();
    let lost = marked.iter().find(|trace| !trace.arrived)?;
    // The same kind of packet, of which the mark is all that differs.
    let plain = evidence.traces_of(address).find(|plain| plain.arrived && plain.protocol == lost.protocol)?;
    if marked.iter().any(|trace| trace.arrived) || !by_the_mark(evidence, lost, plain) {
        return None;
    }
    let last = evidence
        .marked_hops
        .iter()
        .filter(|hop| hop.target == address)
        .filter_map(|hop| Some((hop.ttl, hop.addresses().into_iter().next()?, hop.id)))
        .max_by_key(|(ttl, _, _)| *ttl);
    let beyond = last.map_or_else(String::new, |(ttl, router, _)| format!(" behind {router} (hop {ttl})"));
    let sentence = format!(
        "Packets to {} that announce congestion marks (ECN) vanish{beyond}, and the same packets without the announcement arrive.",
        named(&evidence.host_at(address), address)
    );
    let confidence = if lost.rounds > 1 && plain.rounds > 1 { SEVERAL_ROUNDS } else { ONE_ROUND };
    let arrived: Vec<&ObservationId> = evidence
        .hops_of(address)
        .into_iter()
        .filter(|hop| hop.probes.iter().filter_map(|probe| probe.reply.as_ref()).any(|reply| reply.kind == ReplyKind::Arrived))
        .map(|hop| hop.id)
        .collect();
    let connected: Vec<&ObservationId> = evidence.answered_tcp(address);
    let candidate = Candidate::new(Severity::Degraded, confidence, sentence)
        .at(Place { hop: last.map(|(ttl, _, _)| ttl), address: Some(address), ..Place::default() })
        .resting_on([lost.id, plain.id])
        .resting_on(last.map(|(_, _, id)| id))
        .rejecting("path.loss", "Packets without the announcement arrive.", arrived)
        .rejecting("tcp.filtered", "Connections without the announcement are answered.", connected)
        .next(Who::Network, "Whoever runs the router or firewall there lets packets with ECN bits pass; until then ECN can be switched off on machines that use it (`sysctl net.ipv4.tcp_ecn=0`).");
    Some(candidate)
}

/// Where packets without the mark are lost as well, by the path or by a limit on pings, only clearly more of those with it are lost to it.
fn by_the_mark(evidence: &Evidence<'_>, lost: &Seen<'_, Trace>, plain: &Seen<'_, Trace>) -> bool {
    let address = lost.target;
    let hops = evidence.hops_of(address);
    let arrives = |hop: &&Seen<'_, Hop>| {
        let mut replies = hop.probes.iter().filter_map(|probe| probe.reply.as_ref());
        hop.protocol == plain.protocol && replies.any(|reply| reply.kind == ReplyKind::Arrived)
    };
    let mut without = counted(hops.iter().filter(arrives));
    if plain.protocol == TraceProtocol::Icmp {
        // A limit on pings drops whichever come while others use it up.
        let pings = pings::of(evidence, address);
        if pings.limited() || pings.faster.exceeds(BAD_SHARE) {
            return false;
        }
        without = without.and(evidence.lost_calmly(address)).and(evidence.lost_in_bursts(address));
    }
    let distance = hops.iter().filter(arrives).map(|hop| hop.ttl).min().unwrap_or_default();
    let behind = |hop: &&Seen<'_, Hop>| hop.target == address && hop.ttl >= distance;
    without.cases == 0 || counted(evidence.marked_hops.iter().filter(behind)).least_above(&without) > 0.0
}

/// Probes of these distances that got no answer.
fn counted<'a: 's, 's>(hops: impl Iterator<Item = &'s Seen<'a, Hop>>) -> Share<'a> {
    let mut share = Share::default();
    for hop in hops {
        let lost = hop.probes.iter().filter(|probe| probe.reply.is_none()).count();
        share.add(u32::try_from(lost).unwrap_or(u32::MAX), u32::try_from(hop.probes.len()).unwrap_or(u32::MAX), hop.id);
    }
    share
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, echo_series, paced, trace, trace_rounds};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, TraceProtocol};

    const AT: &str = "192.0.2.1";

    fn scene(marked: &[&str], plain: &[&str]) -> Scene {
        let scene = Scene::new("shop.example").check(Kind::Traceroute, trace(AT, plain));
        let mut scene = scene.check(Kind::Traceroute, trace(AT, marked));
        scene.outcomes_mut()[1].parameters = serde_json::json!({"ecn": true});
        scene
    }

    #[test]
    fn packets_that_vanish_with_the_mark_alone_are_lost_to_it() {
        let finding =
            scene(&["10.0.0.1", "10.1.0.1", "*", "*"], &["10.0.0.1", "10.1.0.1", "10.2.0.1", AT]).finds("path.ecn_blackhole");
        assert_eq!(finding.place.hop, Some(2), "{finding:#?}");
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "path.loss"));
    }

    #[test]
    fn a_few_marked_packets_that_are_lost_where_others_are_lost_too_are_not_lost_to_the_mark() {
        let marked = ["10.0.0.1", "10.1.0.1", "10.2.0.1", "*"];
        let plain = |rounds| {
            let way = [("10.0.0.1", "+++"), ("10.1.0.1", "+++"), ("10.2.0.1", rounds), (AT, rounds)];
            let scene = Scene::new("shop.example").check(Kind::Traceroute, trace_rounds(AT, &way));
            let mut scene = scene.check(Kind::Traceroute, trace(AT, &marked));
            scene.outcomes_mut()[1].parameters = serde_json::json!({"ecn": true});
            scene
        };
        assert!(plain("+++").names("path.ecn_blackhole"));
        assert!(!plain("+--").names("path.ecn_blackhole"));
    }

    #[test]
    fn a_limit_on_pings_may_have_taken_every_marked_one() {
        let paced_pings = |lost| {
            let way = ["10.0.0.1", "10.1.0.1", "10.2.0.1", AT];
            let mut scene = scene(&["10.0.0.1", "10.1.0.1", "*", "*"], &way);
            for observation in scene.outcomes_mut().iter_mut().flat_map(|outcome| &mut outcome.observations) {
                match &mut observation.fact {
                    Fact::Hop(hop) => hop.protocol = TraceProtocol::Icmp,
                    Fact::Trace(trace) => trace.protocol = TraceProtocol::Icmp,
                    _ => {}
                }
            }
            let scene = paced(scene.check(Kind::Icmp, [echo_series(AT, 50, lost, |_| {})]), 10);
            paced(scene.check(Kind::Icmp, [echo_series(AT, 25, 0, |_| {})]), 250)
        };
        assert!(paced_pings(0).names("path.ecn_blackhole"));
        assert_eq!(paced_pings(45).is_healthy(), ["path.icmp_rate_limited"]);
    }

    #[test]
    fn packets_that_vanish_with_and_without_it_are_lost_to_something_else() {
        let lost = ["10.0.0.1", "*", "*"];
        assert!(!scene(&lost, &lost).names("path.ecn_blackhole"));
        let whole = ["10.0.0.1", "10.1.0.1", AT];
        assert!(scene(&whole, &whole).is_healthy().is_empty());
    }
}
