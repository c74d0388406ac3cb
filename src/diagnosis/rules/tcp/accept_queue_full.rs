use super::at_once::Numbers;
use crate::candidate::Candidate;
use crate::evidence::{Attempt, Endpoint, Evidence, Order, Share};
use crate::rule::Rule;
use crate::rules::path::loss;
use crate::spot::Spot;
use crate::wording::{duration, named};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some(
        "the server's listen queue (`ss -ltn`: Recv-Q at Send-Q) and its count of listen drops (`nstat TcpExtListenDrops`): where they do not grow, a firewall limits how many connections begin in a second",
    ),
    ..Rule::new(
        "tcp.accept_queue_full",
        &["tcp.filtered", "path.loss", "path.ecmp_member_bad", "service.refused_by_policy"],
        evaluate,
    )
};

/// Pings show that the way loses nothing, and only first packets stay without an answer.
const WITHOUT_LOSS: f64 = 0.7;
/// Nothing but a trace shows that the way loses nothing.
const BY_TRACE: f64 = 0.7;
/// Pings and probes of traces that all came back: of a way that loses a fifth one of so many would have been lost, 99 times in 100. Fewer do
/// not show that the way loses nothing.
const ENOUGH: u32 = 20;
/// So many connections were late, and so many pings came back, that no loss of the way explains both (their 95 % intervals lie apart). A firewall
/// that limits how many connections begin in a second drops the same packets.
const APART: f64 = 0.75;

/// Nothing but the connections themselves shows it: nearly all first packets stayed without an answer, and nearly all that were sent again
/// got one. Loss of the way takes no account of which packet it is; a limit on new connections in a second does.
const BY_RETRIES: f64 = 0.65;

/// A hung program takes what its queue holds. A firewall that shuts out whoever connects too often, and a translator without ports, look
/// the same.
const HUNG: f64 = 0.7;
/// From so long after on, the connections that stood have ended.
const AFTERWARDS_US: u64 = 2_000_000;
/// One of two ways would have let one of so many through, but once in some hundred times.
const LEAST_AFTERWARDS: usize = 8;
/// Of those that begin at the same moment a later one may come first: then it takes more, which two ways let through but once in thousands.
const LEAST_OUT_OF_ORDER: usize = 14;

/// So many connections stood late; one of them may have lost its first packet by chance.
const LEAST_LATE: usize = 2;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut endpoints = evidence.endpoints();
    // What takes every one of them one after the other accepts them, and its queue has room.
    endpoints.retain(|endpoint| !Numbers::of(evidence, endpoint).is_some_and(|numbers| numbers.are_limited()));
    let busy = endpoints.iter().filter_map(|endpoint| full(evidence, endpoint));
    busy.chain(endpoints.iter().filter_map(|endpoint| hung(evidence, endpoint))).collect()
}

/// Some connections stood at once and all that began well after them were silent: how many stood.
pub(in crate::rules) fn stopped(endpoint: &Endpoint<'_>) -> Option<usize> {
    let by_check = || endpoint.attempts.iter().filter(|attempt| attempt.by_tcp_check);
    let stood: Vec<&Attempt<'_>> = by_check().filter(|attempt| attempt.connected()).collect();
    let last_us = stood.iter().map(|attempt| attempt.at_us).max()?;
    let silent: Vec<u64> = by_check().filter(|attempt| attempt.silent()).map(|attempt| attempt.at_us).collect();
    let plain = stood.iter().all(|attempt| !attempt.connected_late()) && stood.len() + silent.len() == by_check().count();
    let afterwards = silent.iter().filter(|at_us| **at_us >= last_us.saturating_add(AFTERWARDS_US)).count();
    let in_order = silent.iter().all(|at_us| *at_us > last_us);
    let least = if in_order { LEAST_AFTERWARDS } else { LEAST_OUT_OF_ORDER };
    (plain && afterwards >= least).then_some(stood.len())
}

/// A program that accepts nobody: what its queue holds stands, and nothing gets in any more.
fn hung(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let stood = stopped(endpoint)?;
    let address = endpoint.address.ip();
    let (host, port) = (named(endpoint.host(), address), endpoint.address.port());
    let silent: Vec<&ObservationId> =
        endpoint.attempts.iter().filter(|attempt| attempt.silent()).map(|attempt| attempt.id).collect();
    let pings = evidence.lost_calmly(address);
    let clean = pings.of > 0 && pings.cases == 0;
    let sentence = format!(
        "{host} took the first {stood} connections on port {port} and none of the {} that followed, also after those had ended: the program there most likely accepts nobody any more, and its queue is full.",
        silent.len()
    );
    let candidate = Candidate::new(Severity::Problem, HUNG, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(endpoint.ids())
        .rejecting("tcp.filtered", "The first connections stand.", endpoint.ids())
        .rejecting("path.ecmp_member_bad", "Not one connection that began well after those which stand got through.", silent)
        .next(Who::Server, format!("Look whether the program behind port {port} hangs, and restart it. If its queue is empty, look for a firewall in front of it that shuts out who connects too often."));
    Some(if clean { candidate.rejecting("path.loss", "No ping was lost.", pings.ids) } else { candidate })
}

/// Whether first packets that stay unanswered are told as a full queue's.
pub(in crate::rules) fn is_full(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> bool {
    full(evidence, endpoint).is_some()
}

fn full(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let late: Vec<&Attempt<'_>> = endpoint.attempts.iter().filter(|attempt| attempt.connected_late()).collect();
    let silent = endpoint.attempts.iter().filter(|attempt| attempt.silent()).count();
    let (pings, probes) = (evidence.lost_calmly(address), evidence.lost_at_target(address));
    let not_at_once = Share { cases: count(late.len() + silent), of: count(endpoint.attempts.len()), ids: Vec::new() };
    // A queue takes those that begin first, and segments of connections that stand are none of its business.
    let again = evidence.sent_again(address);
    // One that found a place just freed stands at once among the last, too; retries that are spared show it all the same.
    let by_chance = again.order() == Order::Mixed && !spares_retries(endpoint, &not_at_once);
    if pings.of + probes.of < ENOUGH && (by_chance || again.ports.len() > 1) {
        return None;
    }
    // A queue with room takes all that come at that moment, and not so many of them.
    if evidence.let_in_by_number(endpoint).is_some() {
        return None;
    }
    // Which of those that begin together are late is chance, and what is sent again fares no better: that is no queue.
    let by_chance_at_once = again.order_at_once() == Order::Mixed && !spares_retries(endpoint, &not_at_once);
    if by_chance_at_once || (pings.of > 0 && loss::share_of_connections(evidence, address).is_some()) {
        return None;
    }
    let (clean, confidence) = match (pings.of, probes.of) {
        (0, ENOUGH..) => (probes, BY_TRACE),
        (0, _) if probes.cases == 0 && spares_retries(endpoint, &not_at_once) => (Share::default(), BY_RETRIES),
        (0, _) => return None,
        _ => (pings.clone(), WITHOUT_LOSS),
    };
    if late.is_empty() || late.len() + silent < LEAST_LATE || clean.cases > 0 {
        return None;
    }
    let apart = pings.of > 0 && not_at_once.interval().0 > pings.interval().1;
    let confidence = if apart { APART } else { confidence };
    let slowest = late.iter().map(|attempt| attempt.took_us).max()?;
    let (host, port) = (named(endpoint.host(), address), endpoint.address.port());
    let and_silent = if silent > 0 { format!(", and {silent} not at all") } else { String::new() };
    let ids: Vec<&ObservationId> = late.iter().map(|attempt| attempt.id).collect();
    let (meanwhile, lossless, witnesses) = match clean.ids.is_empty() {
        true => (
            "and nearly every packet that was sent again was answered",
            "A way that loses so many first packets would lose as many of those that are sent again.",
            ids.clone(),
        ),
        false => ("while the way loses nothing", "No other packet to the address was lost.", clean.ids.clone()),
    };
    let sentence = format!(
        "{host} does not accept connections on port {port} as fast as they come: {} of {} stood only after they had asked again (up to {}){and_silent}, {meanwhile}. A firewall that limits how many connections begin in a second looks the same.",
        late.len(),
        endpoint.attempts.len(),
        duration(slowest)
    );
    let candidate = Candidate::new(Severity::Degraded, confidence, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(endpoint.ids())
        .resting_on(clean.ids.iter().copied())
        .rejecting("tcp.filtered", "Some connections stand.", ids.iter().copied())
        .rejecting("path.ecmp_member_bad", "Connections stand on a later try of the same flow.", ids)
        .rejecting("path.loss", lossless, witnesses)
        .next(
            Who::Server,
            format!("Look at the program behind port {port}: it accepts too slowly (overload, too few workers), or its listen backlog is too short. If its listen drops do not grow, look for a firewall in front of it that limits new connections in a second."),
        );
    Some(candidate)
}

/// Whether a way that loses packets by chance, whichever they are, is ruled out for some endpoint of the address.
pub(in crate::rules) fn spares_retries_at(evidence: &Evidence<'_>, address: IpAddr) -> bool {
    evidence.endpoints().iter().filter(|endpoint| endpoint.address.ip() == address).any(|endpoint| {
        let uneven = endpoint.attempts.iter().filter(|attempt| attempt.silent() || attempt.connected_late()).count();
        spares_retries(endpoint, &Share { cases: count(uneven), of: count(endpoint.attempts.len()), ids: Vec::new() })
    })
}

/// First packets stay unanswered far more often than those that are sent again: their 95 % intervals lie apart.
fn spares_retries(endpoint: &Endpoint<'_>, not_at_once: &Share<'_>) -> bool {
    let again: u32 = endpoint.attempts.iter().map(|attempt| attempt.sent_again()).sum();
    let answered = count(endpoint.attempts.iter().filter(|attempt| attempt.connected_late()).count());
    let lost_again = Share { cases: again.saturating_sub(answered), of: again, ids: Vec::new() };
    again > 0 && not_at_once.interval().0 > lost_again.interval().1
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, connected_late, echo_series, silent, trace_rounds};
    use netsonde_contract::kind::Kind;

    const AT: &str = "192.0.2.1:443";

    fn busy() -> Scene {
        let facts = [connected(AT), connected(AT), connected_late(AT), connected_late(AT), silent(AT)];
        Scene::new("shop.example").check(Kind::Tcp, facts)
    }

    #[test]
    fn connections_that_stand_on_a_later_try_while_pings_lose_nothing_met_a_full_queue() {
        let finding = busy().check(Kind::Icmp, [echo_series("192.0.2.1", 20, 0, |_| {})]).finds("tcp.accept_queue_full");
        assert!(
            finding.sentence.contains("2 of 5 stood only after") && finding.sentence.contains("1 not at all"),
            "{}",
            finding.sentence
        );
    }

    #[test]
    fn a_trace_that_arrives_whole_shows_it_with_less_confidence() {
        let rounds = "+".repeat(20);
        let way = [("10.0.1.1", rounds.as_str()), ("192.0.2.1", rounds.as_str())];
        let finding = busy().check(Kind::Traceroute, trace_rounds("192.0.2.1", &way)).finds("tcp.accept_queue_full");
        assert_eq!(finding.confidence, 0.7);
    }

    #[test]
    fn on_a_path_that_loses_pings_too_the_server_is_not_blamed() {
        busy().check(Kind::Icmp, [echo_series("192.0.2.1", 20, 5, |_| {})]).finds("path.loss");
    }

    /// A burst of connections with nothing beside it.
    fn burst(at_once: usize, late: usize, never: usize) -> Scene {
        let facts = (0..at_once).map(|_| connected(AT)).chain((0..late).map(|_| connected_late(AT)));
        Scene::new("shop.example").check(Kind::Tcp, facts.chain((0..never).map(|_| silent(AT))).collect::<Vec<_>>())
    }

    #[test]
    fn a_burst_that_stands_almost_wholly_on_its_second_try_needs_no_pings_beside_it() {
        let finding = burst(3, 47, 0).finds("tcp.accept_queue_full");
        assert!(finding.sentence.contains("47 of 50") && !finding.sentence.contains("loses nothing"), "{}", finding.sentence);
        assert!(finding.confidence < 0.7 && finding.rejected.iter().any(|other| other.cause == "path.loss"));
        assert!(finding.settled_by.unwrap().contains("limits how many connections"));
    }

    #[test]
    fn where_what_is_sent_again_is_lost_as_often_the_way_may_lose_it() {
        assert!(!burst(20, 15, 15).names("tcp.accept_queue_full"));
        assert!(!burst(47, 3, 0).names("tcp.accept_queue_full"));
    }

    /// Of the first connections so many stand; those that follow, a few seconds later, do not.
    fn then_none(
        stood: usize,
        order: impl Fn(Vec<netsonde_contract::observation::Fact>) -> Vec<netsonde_contract::observation::Fact>,
    ) -> Scene {
        let first = order((0..stood).map(|_| connected(AT)).chain([silent(AT), silent(AT)]).collect());
        Scene::new("shop.example").check(Kind::Tcp, first.into_iter().chain((0..10).map(|_| silent(AT))).collect::<Vec<_>>())
    }

    #[test]
    fn a_server_that_takes_the_first_and_nobody_after_them_hangs() {
        let finding = then_none(2, |facts| facts).finds("tcp.accept_queue_full");
        assert!(finding.sentence.contains("first 2 connections") && finding.confidence < 0.8, "{finding:?}");
        let open: Vec<_> = finding.could_not_separate.iter().map(|open| open.cause.as_str()).collect();
        assert!(open.contains(&"service.refused_by_policy"), "{open:?}");
    }

    #[test]
    fn where_one_stands_after_one_was_silent_ways_differ() {
        let scene = then_none(2, |mut facts| {
            facts.swap(1, 2);
            facts
        });
        scene.finds("path.ecmp_member_bad");
    }

    #[test]
    fn two_probes_of_a_trace_do_not_show_that_the_way_loses_nothing() {
        let mixed = [connected_late(AT), connected(AT), connected(AT), connected_late(AT), connected(AT), silent(AT)];
        let scene = Scene::new("shop.example").check(Kind::Tcp, mixed);
        let way = [("10.0.1.1", "++"), ("192.0.2.1", "++")];
        scene.check(Kind::Traceroute, trace_rounds("192.0.2.1", &way)).finds("path.loss");
    }

    #[test]
    fn one_late_connection_is_chance() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected(AT), connected(AT), connected_late(AT)]);
        assert!(scene.check(Kind::Icmp, [echo_series("192.0.2.1", 20, 0, |_| {})]).is_healthy().is_empty());
    }
}
