//! Resets between connections that stand: a server behind the address that is not in order, or a box on the way that lets only some
//! connections through. Where the resets began, beside the packets of the connections that stand, tells.

use super::rejected_by_middlebox::{Origin, answered_before, asking_further, origin, router_at};
use crate::candidate::Candidate;
use crate::evidence::{Attempt, Endpoint, Evidence};
use crate::spot::Spot;
use crate::threshold::{RTT_NOISE_US, TOO_EARLY_FOR_TARGET};
use crate::wording::{count, duration, named};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;

/// The resets began nearer than whoever lets connections stand, by two hops and more, or somebody answers SYNs that end before it.
const NEARER_BY_FAR: f64 = 0.88;
/// Both, or nearer and too early.
const NEARER_AND_MORE: f64 = 0.95;
/// By one hop: a firewall in front of the servers, or one server that stands nearer than the others.
const NEARER_BY_ONE: f64 = 0.7;
/// They came earlier than any connection stood.
const TOO_EARLY: f64 = 0.75;
/// Their TTL is that of a sender farther away than servers behind one address are from each other.
const ANOTHER_TTL: f64 = 0.65;
/// So many routers more than the packets of the connections that stand.
const FARTHER_BY: u8 = 6;

/// The connection was refused or reset as soon as it stood.
pub(super) fn fails(attempt: &Attempt<'_>) -> bool {
    attempt.refused_by_reset() || attempt.reset_at_once()
}

/// What the resets show of a sender that is not the server.
struct Shown<'a> {
    confidence: f64,
    why: String,
    hop: Option<u8>,
    by: &'a ObservationId,
}

/// None where nothing stands, nothing was reset, or nothing tells the resets' sender from the servers.
pub(super) fn candidate<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let failed: Vec<&Attempt<'a>> = endpoint.attempts.iter().filter(|attempt| fails(attempt)).collect();
    let stood: Vec<&Attempt<'a>> = endpoint.attempts.iter().filter(|attempt| attempt.connected()).collect();
    let (first, _) = (failed.first()?, stood.first()?);
    if address.is_loopback() || evidence.is_own(address) {
        return None;
    }
    let Shown { confidence, why, hop, by } = shown(evidence, endpoint, &failed, &stood)?;
    let router = hop.and_then(|hop| router_at(evidence, address, hop));
    let at = match (hop, router) {
        (Some(hop), Some((router, _))) => format!(" at hop {hop} ({router})"),
        (Some(hop), None) => format!(" at about hop {hop}"),
        (None, _) => String::new(),
    };
    let (host, port) = (named(endpoint.host(), address), endpoint.address.port());
    let sentence = format!(
        "Something on the way{at}, and not {host} itself, resets {} of {} connections on port {port}, and the others stand: {why}.",
        failed.len(),
        endpoint.attempts.len()
    );
    let candidate = Candidate::new(Severity::Degraded, confidence, sentence)
        .at(Place { hop, address: Some(router.map_or(address, |(router, _)| router)), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(failed.iter().map(|attempt| attempt.id))
        .resting_on(stood.iter().map(|attempt| attempt.id))
        .resting_on([by])
        .resting_on(router.map(|(_, id)| id))
        .rejecting("tcp.refused", "Other connections to the same port stand.", stood.iter().map(|attempt| attempt.id))
        .rejecting("tcp.filtered", "A reset came back; a filter that drops packets would stay silent.", [first.id])
        .next(
            Who::Network,
            format!("Ask whoever runs the firewall or load balancer{at} why it resets some connections to {host} on port {port}: a limit for one client, a list of sessions that is full, or a rule that takes turns."),
        );
    // A server that is one hop nearer than its neighbours, or sends with another first TTL, remains possible.
    let by_far = confidence > TOO_EARLY;
    Some(asking_further(evidence, endpoint, candidate).rejecting(
        "tcp.backend_unhealthy",
        "The resets did not come from as far away as the packets of the connections that stand.",
        Some(by).filter(|_| by_far),
    ))
}

fn shown<'a>(
    evidence: &Evidence<'a>,
    endpoint: &Endpoint<'a>,
    failed: &[&Attempt<'a>],
    stood: &[&Attempt<'a>],
) -> Option<Shown<'a>> {
    let early = too_early(evidence, endpoint, failed, stood);
    let routers = |passed: u8| count(passed.into(), "router");
    let passes = |passed: u8, targets: u8| {
        let (passed, targets) = (routers(passed), routers(targets));
        format!("the resets passed {passed} on their way here, and the packets of the connections that stand pass {targets}")
    };
    match origin(evidence, endpoint) {
        Origin::Nearer { passed, targets, shown_by } => {
            let confidence = match (early.is_some(), targets - passed) {
                (true, _) => NEARER_AND_MORE,
                (false, 1) => NEARER_BY_ONE,
                (false, _) => NEARER_BY_FAR,
            };
            let confidence = if answered_before(evidence, endpoint).is_some() { NEARER_AND_MORE } else { confidence };
            Some(Shown { confidence, why: passes(passed, targets), hop: Some(passed + 1), by: shown_by })
        }
        // Whoever writes the server's TTL into its resets answers all the same where no SYN reaches the server.
        _ if let Some((hop, targets, by)) = answered_before(evidence, endpoint) => {
            let (hops, targets) = (count(hop.into(), "hop"), count(targets.into(), "hop"));
            let why = format!("it answers packets too that end {hops} away, and the target is {targets} away");
            Some(Shown { confidence: NEARER_BY_FAR, why, hop: Some(hop.saturating_sub(1).max(1)), by })
        }
        Origin::Farther { passed, targets, shown_by } if passed - targets >= FARTHER_BY => {
            let why = passes(passed, targets) + ", farther apart than servers behind one address are";
            Some(Shown { confidence: ANOTHER_TTL, why, hop: None, by: shown_by })
        }
        _ => early.map(|(took_us, least_us, by)| {
            let why =
                format!("the resets came within {}, and the fastest connection took {}", duration(took_us), duration(least_us));
            Shown { confidence: TOO_EARLY, why, hop: None, by }
        }),
    }
}

/// The slowest reset came in less than half of the shortest time that anything of the address took: both times, and what shows the latter.
fn too_early<'a>(
    evidence: &Evidence<'a>,
    endpoint: &Endpoint<'a>,
    failed: &[&Attempt<'a>],
    stood: &[&Attempt<'a>],
) -> Option<(u64, u64, &'a ObservationId)> {
    let took_us = failed.iter().map(|attempt| attempt.took_us).max()?;
    let connections = stood.iter().map(|attempt| (attempt.took_us, attempt.id));
    let (least_us, by) = connections.chain(evidence.path_rtt(endpoint.address.ip())).min_by_key(|(us, _)| *us)?;
    // A connection that is reset as soon as it stands was let in first.
    let refused = failed.iter().all(|attempt| attempt.refused_by_reset());
    (refused && least_us >= RTT_NOISE_US && (took_us as f64) < least_us as f64 * TOO_EARLY_FOR_TARGET)
        .then_some((took_us, least_us, by))
}

/// The resets passed as many routers as the servers' own packets, or more, so that nothing on the way sent them: where that was seen.
pub(super) fn from_servers<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Option<&'a ObservationId> {
    match origin(evidence, endpoint) {
        Origin::Target(id) | Origin::Farther { shown_by: id, .. } => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answered_with, connect, connected, echo, refused, syn_trace, trace, with_ttl};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, ReplyKind};

    const AT: &str = "192.0.2.1:443";
    const HOPS: [&str; 4] = ["10.0.0.1", "10.9.0.1", "10.9.1.1", "192.0.2.1"];

    /// Every third of six connections is reset, with this TTL; the SYN-ACKs of the others have 61.
    fn every_third(reset_ttl: u8) -> Scene {
        let stood = || answered_with(connected(AT), 61);
        let reset = || answered_with(refused(AT, 20_000), reset_ttl);
        let mut scene = Scene::new("shop.example");
        scene.be_privileged();
        scene.check(Kind::Tcp, [stood(), stood(), reset(), stood(), stood(), reset()])
    }

    #[test]
    fn resets_from_nearer_than_the_connections_that_stand_are_of_a_box_on_the_way() {
        let finding = every_third(63).check(Kind::Traceroute, trace("192.0.2.1", &HOPS)).finds("tcp.rejected_by_middlebox");
        assert_eq!((finding.severity, finding.place.hop), (Severity::Degraded, Some(2)));
        assert!(finding.sentence.contains("at hop 2 (10.9.0.1)") && finding.sentence.contains("2 of 6"), "{}", finding.sentence);
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "tcp.backend_unhealthy"), "{finding:?}");
    }

    #[test]
    fn syns_of_a_trace_that_the_box_answers_make_it_surer_and_are_no_proxys() {
        let mut answered = syn_trace("192.0.2.1", &["10.0.0.1", "10.9.0.1", "192.0.2.1"]);
        for fact in &mut answered {
            if let Fact::Hop(hop) = fact {
                let replies = hop.probes.iter_mut().filter_map(|probe| probe.reply.as_mut());
                replies.filter(|reply| reply.kind == ReplyKind::Arrived).for_each(|reply| reply.reply_ttl = Some(63));
            }
        }
        let hops = ["10.0.0.1", "10.9.0.1", "10.9.1.1", "192.0.2.1"];
        let scene = every_third(63).check(Kind::Traceroute, trace("192.0.2.1", &hops)).check(Kind::Traceroute, answered);
        let finding = scene.finds("tcp.rejected_by_middlebox");
        assert!(finding.confidence == 0.95 && finding.sentence.contains("passed 1 router"), "{finding:?}");
        assert!(!scene.names("tcp.transparent_proxy"));
    }

    #[test]
    fn a_trace_that_was_made_is_not_asked_for() {
        let asks = |scene: Scene| scene.finds("tcp.rejected_by_middlebox").settled_by.unwrap();
        assert!(asks(every_third(62)).contains("a trace with TCP packets"));
        let traced = every_third(62).check(Kind::Traceroute, syn_trace("192.0.2.1", &HOPS[..3]));
        assert!(asks(traced).contains("a capture at the target"));
    }

    #[test]
    fn a_box_that_sends_with_another_first_ttl_is_told_as_well() {
        for ttl in [127, 254] {
            assert_eq!(every_third(ttl).finds("tcp.rejected_by_middlebox").place.hop, Some(2));
        }
        let finding = every_third(40).finds("tcp.rejected_by_middlebox");
        assert!(finding.confidence < 0.7 && finding.place.hop.is_none(), "{finding:?}");
    }

    #[test]
    fn one_hop_nearer_leaves_a_nearer_server_open() {
        let finding = every_third(62).finds("tcp.rejected_by_middlebox");
        let open = finding.could_not_separate.iter().any(|open| open.cause == "tcp.backend_unhealthy");
        assert!(finding.confidence == 0.7 && open, "{finding:?}");
    }

    #[test]
    fn a_single_reset_from_nearer_is_enough() {
        let facts = [answered_with(connected(AT), 61), answered_with(refused(AT, 20_000), 63), answered_with(connected(AT), 61)];
        Scene::new("shop.example").check(Kind::Tcp, facts).finds("tcp.rejected_by_middlebox");
    }

    #[test]
    fn resets_from_as_far_away_as_the_connections_are_a_servers() {
        for ttl in [61, 60, 59] {
            every_third(ttl).finds("tcp.backend_unhealthy");
        }
        let finding = every_third(61).finds("tcp.backend_unhealthy");
        assert!(finding.confidence == 0.75 && finding.rejected.iter().any(|other| other.cause == "tcp.rejected_by_middlebox"));
    }

    #[test]
    fn the_balancers_own_machine_that_refuses_is_no_box_on_the_way() {
        // The address answers pings from nearer than the servers behind it, and its resets are as near.
        let scene = every_third(62).check(Kind::Icmp, [with_ttl(echo("192.0.2.1", &[20_000]), 62)]);
        scene.finds("tcp.backend_unhealthy");
    }

    fn after(took_us: u64) -> Fact {
        connect(AT, took_us, None)
    }

    #[test]
    fn without_a_ttl_resets_that_come_before_any_server_could_answer_tell() {
        let facts = [after(40_000), refused(AT, 3_000), after(41_000), refused(AT, 4_000)];
        let finding = Scene::new("shop.example").check(Kind::Tcp, facts).finds("tcp.rejected_by_middlebox");
        assert!(finding.confidence == 0.75 && finding.sentence.contains("within 4.0 ms"), "{finding:?}");
        let as_late = [after(40_000), refused(AT, 3_000), after(41_000), refused(AT, 39_000)];
        let finding = Scene::new("shop.example").check(Kind::Tcp, as_late).finds("tcp.backend_unhealthy");
        let open = finding.could_not_separate.iter().any(|open| open.cause == "tcp.rejected_by_middlebox");
        assert!(finding.confidence == 0.6 && open, "{finding:?}");
    }
}
