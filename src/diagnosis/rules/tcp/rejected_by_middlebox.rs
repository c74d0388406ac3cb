use super::{refused_in_sweep, some_rejected};
use crate::candidate::Candidate;
use crate::evidence::{Attempt, Endpoint, Evidence, passed, replies};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::threshold::{RTT_NOISE_US, TOO_EARLY_FOR_TARGET};
use crate::wording::{count, duration, named};
use netsonde_contract::finding::{Place, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{HopReply, ReplyKind, SeenSegment};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["tcp.refused"],
    settled_by: Some(
        "a trace with TCP packets to the port, `netsonde probe traceroute --protocol tcp`: the reset comes at a shorter TTL than the target's",
    ),
    // Without the reset's TTL only its time tells, and ICMP may be slow on the way.
    unprivileged_cap: 0.75,
    ..Rule::new("tcp.rejected_by_middlebox", &["tcp.refused", "tcp.filtered", "tcp.backend_unhealthy"], evaluate)
};

/// The reset began nearer than the target by two hops and more: no two ways back differ so by chance.
const NEARER_BY_FAR: f64 = 0.93;
/// By one hop: most likely a firewall in front of the target; a way back that is one router shorter does the same.
const NEARER_BY_ONE: f64 = 0.75;
/// It came earlier than the target could answer.
const TOO_EARLY: f64 = 0.75;
/// Both.
const NEARER_AND_EARLY: f64 = 0.96;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_endpoint = |endpoint: &Endpoint<'_>| match endpoint.connected() {
        true => some_rejected::candidate(evidence, endpoint),
        false => rejected(evidence, endpoint),
    };
    let mut candidates: Vec<Candidate> = evidence.endpoints().iter().filter_map(of_endpoint).collect();
    candidates.extend(refused_in_sweep::rejected(evidence));
    candidates
}

/// What the reset itself says of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin<'a> {
    /// As far away as other replies of the target; where one of these was seen.
    Target(&'a ObservationId),
    /// So many routers passed, and how many a reply of the target passed.
    Nearer { passed: u8, targets: u8, shown_by: &'a ObservationId },
    /// So many routers passed, and a router on the way to the target that is farther away than its sender.
    Before { passed: u8, router: u8, shown_by: &'a ObservationId },
    /// It passed no router, and the own route to the target leads over this one; nothing else of the target was seen.
    OnTheLink { gateway: IpAddr, shown_by: &'a ObservationId },
    /// It passed more routers than any other reply of the target, which a server behind the address does.
    Farther { passed: u8, targets: u8, shown_by: &'a ObservationId },
    /// Nothing to compare with.
    Untold,
}

/// Somebody answered SYNs that do not reach as far as the target answers other packets: at which distance, the target's, and what shows it.
pub(super) fn answered_before<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'_>) -> Option<(u8, u8, &'a ObservationId)> {
    let (syns, targets) = (evidence.syn_trace(endpoint.address)?, evidence.plain_distance(endpoint.address.ip())?);
    let hop = syns.arrived.filter(|hop| *hop < targets)?;
    own_distance(evidence, endpoint.address.ip()).is_none_or(|(own, _)| own > hop).then_some((hop, targets, syns.id))
}

/// How far away the target itself stands where it is a router, which passes on to others what is sent to it: the first distance at which
/// time was up at its own address. What is behind it answers in its name.
fn own_distance<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<(u8, &'a ObservationId)> {
    let is_its_own = |reply: &HopReply| reply.kind == ReplyKind::TimeExceeded && reply.from == address;
    let hops = evidence.plain_hops(address).filter(|hop| replies(hop.fact).any(is_its_own));
    hops.map(|hop| (hop.ttl, hop.id)).min_by_key(|(ttl, _)| *ttl)
}

/// SYNs that reach as far as the last router before the target, and nobody answered them.
pub(super) fn nobody_before<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'_>) -> Option<&'a ObservationId> {
    let (syns, targets) = (evidence.syn_trace(endpoint.address)?, evidence.plain_distance(endpoint.address.ip())?);
    syns.arrived.is_none_or(|hop| hop >= targets).then_some(syns.id)
}

/// Compares the resets from one port with all other replies from its address.
pub(super) fn origin<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Origin<'a> {
    let of_port: Vec<u8> = resets(endpoint).map(|(_, reset)| passed(reset.ttl)).collect();
    match origin_of(evidence, endpoint.address.ip(), &of_port) {
        Origin::Untold if of_port.iter().all(|routers| *routers == 0) => on_the_link(endpoint),
        origin => origin,
    }
}

/// Compares resets that passed so many routers with all other replies from the address.
pub(super) fn origin_of<'a>(evidence: &Evidence<'a>, address: IpAddr, of_port: &[u8]) -> Origin<'a> {
    // Resets from different distances come from different machines: nothing is claimed of these.
    let Some(first) = of_port.first().copied().filter(|first| of_port.iter().all(|other| other == first)) else {
        return Origin::Untold;
    };
    if let Some((_, id)) = own_distance(evidence, address).filter(|(own, _)| *own <= first.saturating_add(1)) {
        return Origin::Target(id);
    }
    let others = evidence.distances_of(address);
    if let Some((_, id)) = others.iter().find(|(distance, _)| *distance == first) {
        return Origin::Target(id);
    }
    match others.iter().min_by_key(|(distance, _)| *distance) {
        Some((targets, shown_by)) if *targets > first => Origin::Nearer { passed: first, targets: *targets, shown_by },
        Some((targets, shown_by)) => Origin::Farther { passed: first, targets: *targets, shown_by },
        // The target answers nothing else; but it is behind every router that a trace to it found.
        None => match evidence.farthest_router(address) {
            Some((router, shown_by)) if router > first => Origin::Before { passed: first, router, shown_by },
            _ => Origin::Untold,
        },
    }
}

/// Routers of clouds and containers may leave the TTL as it is, so that this alone proves no other sender.
fn on_the_link<'a>(endpoint: &Endpoint<'a>) -> Origin<'a> {
    let seen = resets(endpoint).find_map(|(attempt, _)| Some((attempt.gateway?, attempt.id)));
    seen.map_or(Origin::Untold, |(gateway, shown_by)| Origin::OnTheLink { gateway, shown_by })
}

/// The resets that answered, whichever check met them.
pub(super) fn resets<'e, 'a>(endpoint: &'e Endpoint<'a>) -> impl Iterator<Item = (&'e Attempt<'a>, SeenSegment)> {
    let refused = endpoint.attempts.iter().filter(|attempt| !attempt.connected());
    refused.filter_map(|attempt| Some((attempt, attempt.reset?)))
}

fn rejected<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let refusals: Vec<&Attempt<'_>> = endpoint.attempts.iter().filter(|attempt| attempt.refused_by_reset()).collect();
    let slowest = refusals.iter().max_by_key(|attempt| attempt.took_us)?;
    if address.is_loopback() || evidence.is_own(address) {
        return None;
    }
    // The slowest counts: all of them came too early.
    let early = evidence
        .path_rtt(address)
        .filter(|(rtt_us, _)| *rtt_us >= RTT_NOISE_US && (slowest.took_us as f64) < *rtt_us as f64 * TOO_EARLY_FOR_TARGET);
    let (host, port) = (named(endpoint.host(), address), endpoint.address.port());
    let origin = origin(evidence, endpoint);
    let before = answered_before(evidence, endpoint);
    let (confidence, why, hop, shown_by) = match (origin, early) {
        (Origin::Target(_) | Origin::Farther { .. } | Origin::Untold | Origin::OnTheLink { .. }, _)
            if let Some((hop, targets, id)) = before =>
        {
            let why = format!(
                "it refuses packets too that end {} away, and the target is {} away",
                count(hop.into(), "hop"),
                count(targets.into(), "hop")
            );
            // A router looks at a packet's time before its rules for what it forwards: the last that passed it on may be the one.
            (nearer(early.is_some(), targets - hop), why, Some(hop.saturating_sub(1).max(1)), id)
        }
        (Origin::Target(_), _) | (Origin::Farther { .. } | Origin::Untold | Origin::OnTheLink { .. }, None) => return None,
        (Origin::Nearer { passed, targets, shown_by }, _) => {
            let why = format!(
                "the refusal passed {} on its way here, and the target's own replies pass {}",
                count(passed.into(), "router"),
                count(targets.into(), "router")
            );
            (nearer(early.is_some(), targets - passed), why, Some(passed + 1), shown_by)
        }
        (Origin::Before { passed, router, shown_by }, _) => {
            let why = format!(
                "the refusal passed {} on its way here, and the way to the target leads over {} at least",
                count(passed.into(), "router"),
                count(router.into(), "router")
            );
            (nearer(early.is_some(), router - passed), why, Some(passed + 1), shown_by)
        }
        (Origin::Farther { .. } | Origin::Untold | Origin::OnTheLink { .. }, Some((rtt_us, id))) => {
            let why =
                format!("the refusal came after {}, and the target is {} away", duration(slowest.took_us), duration(rtt_us));
            (TOO_EARLY, why, None, id)
        }
    };
    let router = hop.and_then(|hop| router_at(evidence, address, hop));
    let by_syns = before.is_some_and(|(_, _, id)| id == shown_by);
    let at = match (hop, router) {
        (Some(hop), Some((router, _))) if by_syns => format!(" at hop {hop} ({router}) or right behind it"),
        (Some(hop), Some((router, _))) => format!(" at hop {hop} ({router})"),
        (Some(hop), None) => format!(" at about hop {hop}"),
        (None, _) => String::new(),
    };
    let sentence = format!("Something on the way{at}, and not {host} itself, refuses connections on port {port}: {why}.");
    let candidate = Candidate::new(evidence.severity_at(address), confidence, sentence)
        .at(Place { hop, address: Some(router.map_or(address, |(router, _)| router)), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .stopping()
        .resting_on(refusals.iter().map(|attempt| attempt.id))
        .resting_on([shown_by])
        .resting_on(early.map(|(_, id)| id))
        .resting_on(router.map(|(_, id)| id))
        .rejecting("tcp.refused", "The refusal did not come from as far away as the target.", [shown_by])
        .rejecting("tcp.filtered", "A refusal came back; a filter that drops packets would stay silent.", [slowest.id])
        .rejecting("tcp.backend_unhealthy", "No connection to the port stands.", refusals.iter().map(|attempt| attempt.id))
        .next(
            Who::Network,
            format!("Ask whoever runs the firewall{at} to allow connections to {host} on port {port}, or why it refuses them."),
        );
    Some(asking_further(evidence, endpoint, candidate))
}

/// Where SYNs were traced, the trace is not what would tell more.
pub(super) fn asking_further(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>, candidate: Candidate) -> Candidate {
    match evidence.syn_trace(endpoint.address) {
        Some(_) => {
            candidate.settled_by("a capture at the target: whether the SYNs arrive there, and whether the resets leave it")
        }
        None => candidate,
    }
}

/// How sure it is that the reset came from somebody nearer, by how many hops nearer.
fn nearer(early: bool, hops: u8) -> f64 {
    match (early, hops) {
        (true, _) => NEARER_AND_EARLY,
        (false, 1) => NEARER_BY_ONE,
        (false, _) => NEARER_BY_FAR,
    }
}

/// The only router that answered at the distance on the way there.
pub(super) fn router_at<'a>(evidence: &Evidence<'a>, address: IpAddr, distance: u8) -> Option<(IpAddr, &'a ObservationId)> {
    let hop = evidence.hops_of(address).into_iter().find(|hop| hop.ttl == distance)?;
    match hop.addresses().as_slice() {
        [router] if *router != address => Some((*router, hop.id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answered_with, connected, echo, refused, syn_trace, trace, with_ttl};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, ReplyKind};

    const AT: &str = "192.0.2.1:443";
    const HOPS: [&str; 4] = ["10.0.0.1", "10.9.0.1", "10.9.1.1", "192.0.2.1"];

    fn scene(reset_ttl: u8, took_us: u64) -> Scene {
        Scene::new("shop.example")
            .check(Kind::Tcp, [answered_with(refused(AT, took_us), reset_ttl)])
            .check(Kind::Icmp, [with_ttl(echo("192.0.2.1", &[20_000, 21_000]), 61)])
            .check(Kind::Traceroute, trace("192.0.2.1", &HOPS))
    }

    #[test]
    fn a_reset_from_nearer_than_the_target_names_the_router_that_sent_it() {
        let finding = scene(63, 20_500).finds("tcp.rejected_by_middlebox");
        assert_eq!((finding.place.hop, finding.place.address), (Some(2), Some("10.9.0.1".parse().unwrap())));
        assert!(
            finding.sentence.contains("passed 1 router on its way here, and the target's own replies pass 3 routers"),
            "{finding:#?}"
        );
    }

    #[test]
    fn a_translators_own_address_refuses_by_itself_and_passes_pings_on() {
        // Of what is translated routers behind it speak in its name, as the server does.
        let mut way = trace("192.0.2.1", &["10.0.0.1", "192.0.2.1", "192.0.2.1", "192.0.2.1"]);
        for fact in way.iter_mut().skip(1).take(2) {
            if let Fact::Hop(hop) = fact {
                hop.probes[0].reply.as_mut().unwrap().kind = ReplyKind::TimeExceeded;
            }
        }
        let scene = Scene::new("shop.example")
            .check(Kind::Tcp, [answered_with(refused(AT, 20_500), 63)])
            .check(Kind::Icmp, [with_ttl(echo("192.0.2.1", &[20_000, 21_000]), 61)])
            .check(Kind::Traceroute, way);
        scene.finds("tcp.refused");
        scene.check(Kind::Traceroute, syn_trace("192.0.2.1", &["10.0.0.1", "192.0.2.1"])).finds("tcp.refused");
    }

    #[test]
    fn a_reset_from_before_a_router_on_the_way_is_not_the_targets() {
        let refused_from = |ttl| {
            let scene = Scene::new("shop.example").check(Kind::Tcp, [answered_with(refused(AT, 20_500), ttl)]);
            scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.0.1", "10.9.0.1", "10.9.1.1", "*", "*"]))
        };
        let finding = refused_from(63).finds("tcp.rejected_by_middlebox");
        assert_eq!(finding.place.hop, Some(2));
        assert!(finding.sentence.contains("leads over 3 routers at least"), "{}", finding.sentence);
        refused_from(61).finds("tcp.refused");
    }

    #[test]
    fn a_refusal_faster_than_the_path_was_not_the_targets() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [refused(AT, 4_000)]);
        let finding = scene.check(Kind::Icmp, [echo("192.0.2.1", &[20_000])]).finds("tcp.rejected_by_middlebox");
        assert_eq!(finding.confidence, 0.75);
        assert!(finding.settled_by.is_some());
    }

    #[test]
    fn a_reset_to_a_syn_that_does_not_reach_the_target_is_from_before_it_whatever_its_ttl_says() {
        let disguised = |syns: &[&str]| scene(61, 20_500).check(Kind::Traceroute, syn_trace("192.0.2.1", syns));
        let finding = disguised(&["10.0.0.1", "10.9.0.1", "192.0.2.1"]).finds("tcp.rejected_by_middlebox");
        assert!(finding.place.hop == Some(2) && finding.sentence.contains("end 3 hops away"), "{finding:#?}");
        assert!(finding.sentence.contains("at hop 2 (10.9.0.1) or right behind it"), "{}", finding.sentence);
        let finding = disguised(&["10.0.0.1", "10.9.0.1", "10.9.1.1"]).finds("tcp.refused");
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "tcp.rejected_by_middlebox"));
    }

    #[test]
    fn a_reset_from_as_far_away_as_the_target_is_the_targets() {
        let finding = scene(61, 20_500).finds("tcp.refused");
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "tcp.rejected_by_middlebox"));
    }

    #[test]
    fn other_systems_begin_with_other_ttls_and_servers_behind_the_address_are_farther() {
        for ttl in [125, 252, 60, 250] {
            scene(ttl, 20_500).finds("tcp.refused");
        }
    }

    #[test]
    fn a_port_forwarded_to_a_server_behind_does_not_make_the_router_a_middlebox() {
        // The address is a router's own: it answers pings and refuses by itself, and one port leads further.
        let facts = [answered_with(refused(AT, 20_500), 61), answered_with(connected("192.0.2.1:80"), 60)];
        let scene = Scene::new("shop.example").check(Kind::Tcp, facts);
        scene.check(Kind::Icmp, [with_ttl(echo("192.0.2.1", &[20_000]), 61)]).finds("tcp.refused");
    }
}
