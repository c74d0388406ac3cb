use crate::candidate::Candidate;
use crate::evidence::{Attempt, Endpoint, Evidence};
use crate::rule::Rule;
use crate::rules::path::{ecmp_no_way, loss, lossy_way};
use crate::rules::tcp::accept_queue_full;
use crate::rules::tcp::at_once::Numbers;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::TracePath;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some(
        "connecting again from the same source ports: the same ones stay silent where a flow always takes the same way",
    ),
    ..Rule::new(
        "path.ecmp_member_bad",
        &["path.loss", "tcp.accept_queue_full", "tcp.backend_unhealthy", "tcp.snat_exhausted"],
        evaluate,
    )
};

/// Several connections stay silent however often they ask, and the others stand at once: what is lost goes with the connection.
const SEVERAL: f64 = 0.75;
/// A search for all parallel ways found one that loses everything while another loses nothing.
const BY_WAYS: f64 = 0.93;
/// The silent ones are those that were made last: a limit on their number does the same, until they are made one after the other.
const MAY_BE_LIMITED: f64 = 0.5;
/// Only one did, and pings show that chance does not explain it.
const ONE: f64 = 0.6;

/// Below so many attempts, one that is silent and one that stands say nothing of a pattern.
const LEAST_ATTEMPTS: usize = 4;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_endpoint = |endpoint: &Endpoint<'_>| {
        let candidate = towards(evidence, endpoint).or_else(|| ecmp_no_way::towards(evidence, endpoint))?;
        Some((endpoint.address.ip(), candidate))
    };
    let by_connections: Vec<(IpAddr, Candidate)> = evidence.endpoints().iter().filter_map(of_endpoint).collect();
    let known: Vec<IpAddr> = by_connections.iter().map(|(address, _)| *address).collect();
    let by_ways = lossy_way::candidates(evidence).into_iter().filter(|(address, _)| !known.contains(address));
    by_connections.into_iter().chain(by_ways).map(|(_, candidate)| candidate).collect::<Vec<_>>()
}

fn towards(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let (silent, stood): (Vec<&Attempt<'_>>, Vec<&Attempt<'_>>) = endpoint.attempts.iter().partition(|attempt| attempt.silent());
    // A server that is busy lets connections in late; chance loses some first packets and not others.
    let all_at_once = stood.iter().all(|attempt| attempt.connected() && !attempt.connected_late());
    let pings = evidence.lost_calmly(address);
    let clean = pings.of > 0 && pings.cases == 0;
    let enough = silent.len() >= 2 || (silent.len() == 1 && clean);
    if stood.is_empty() || !all_at_once || !enough || endpoint.attempts.len() < LEAST_ATTEMPTS {
        return None;
    }
    let numbers = Numbers::of(evidence, endpoint);
    // Silence of all after the last that stood goes with their number, not with their flow.
    if loss::share(evidence, address).is_some()
        || numbers.as_ref().is_some_and(|numbers| numbers.clone().limit().is_some())
        || accept_queue_full::stopped(endpoint).is_some()
    {
        return None;
    }
    let sentence = format!(
        "{} of {} connections to {} on port {} stay without any answer, and the others stand at once: one of several parallel ways is most likely broken, and which way a connection takes depends on its source port.",
        silent.len(),
        endpoint.attempts.len(),
        named(endpoint.host(), address),
        endpoint.address.port()
    );
    let ids: Vec<&ObservationId> = silent.iter().map(|attempt| attempt.id).collect();
    let ways = dead_way(evidence, address);
    let confidence = match (ways, silent.len()) {
        (Some(_), _) => BY_WAYS,
        (None, _) if numbers.as_ref().is_some_and(Numbers::may_be_limited) => MAY_BE_LIMITED,
        (None, 1) => ONE,
        (None, _) => SEVERAL,
    };
    let in_turn = numbers.filter(|_| ways.is_none()).map(|numbers| numbers.silent_in_turn()).unwrap_or_default();
    let reason = "Of the parallel ways one loses every packet and another none.";
    let candidate = Candidate::new(Severity::Degraded, confidence, sentence)
        .at(Place { address: Some(address), port: Some(endpoint.address.port()), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .about(Spot::Address(address))
        .resting_on(endpoint.ids())
        .resting_on(ways)
        .rejecting("tcp.backend_unhealthy", reason, ways)
        .rejecting("tcp.snat_exhausted", reason, ways)
        .rejecting("tcp.snat_exhausted", "One after the other, some stay silent as well.", in_turn)
        .rejecting("tcp.accept_queue_full", "The connections that stand do so at once, none on a later try.", endpoint.ids())
        .next(
            Who::Network,
            "Look for one dead or wrongly configured member among parallel links, routers or load balancers on the way; take it out of service.",
        );
    let candidate = if clean { candidate.rejecting("path.loss", "No ping was lost.", pings.ids) } else { candidate };
    Some(candidate.resting_on(ids))
}

/// A trace that found a way on which nothing arrives beside one on which everything does.
fn dead_way<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<&'a ObservationId> {
    /// Fewer probes may all be lost, or all arrive, by chance.
    const LEAST_PROBES: u32 = 5;
    let splits = |paths: &[TracePath]| {
        let judged = || paths.iter().filter(|path| path.sent >= LEAST_PROBES);
        judged().any(|path| path.answered == 0) && judged().any(|path| path.answered == path.sent)
    };
    let of_address = evidence.traces.iter().filter(|trace| trace.target == address);
    of_address.filter(|trace| trace.multipath.as_ref().is_some_and(|ways| splits(&ways.paths))).map(|trace| trace.id).next()
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, connected_late, echo_series, silent, trace};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Multipath, TracePath};

    const AT: &str = "192.0.2.1:443";

    fn attempts(facts: &[fn(&str) -> Fact]) -> Scene {
        Scene::new("shop.example").check(Kind::Tcp, facts.iter().map(|fact| fact(AT)))
    }

    #[test]
    fn connections_that_stand_at_once_or_never_take_different_ways() {
        let finding = attempts(&[connected, silent, connected, silent, silent, connected]).finds("path.ecmp_member_bad");
        assert!(finding.sentence.starts_with("3 of 6 connections"), "{}", finding.sentence);
    }

    #[test]
    fn a_single_silent_one_counts_where_pings_show_no_loss() {
        let scene = attempts(&[connected, connected, silent, connected]);
        assert!(!scene.names("path.ecmp_member_bad"));
        let scene = scene.check(Kind::Icmp, [echo_series("192.0.2.1", 20, 0, |_| {})]);
        assert_eq!(scene.finds("path.ecmp_member_bad").confidence, 0.6);
    }

    #[test]
    fn a_search_that_finds_a_dead_way_beside_a_whole_one_settles_it() {
        let way = |answered| TracePath {
            flow: 0,
            flows: 4,
            hops: Vec::new(),
            sent: 10,
            answered,
            loss: None,
            doubtful: None,
            rtt: None,
        };
        let mut facts = trace("192.0.2.1", &["10.0.1.1", "192.0.2.1"]);
        if let Some(Fact::Trace(trace)) = facts.last_mut() {
            let paths = vec![way(10), way(0)];
            trace.multipath = Some(Multipath { confidence: 80, complete: true, flows: 8, probes: 40, paths });
        }
        let scene = attempts(&[connected, silent, connected, silent, silent, connected]).check(Kind::Traceroute, facts);
        assert!(scene.finds("path.ecmp_member_bad").confidence > 0.9);
    }

    #[test]
    fn where_pings_are_lost_too_it_is_chance() {
        let scene = attempts(&[connected, silent, silent, connected]);
        scene.check(Kind::Icmp, [echo_series("192.0.2.1", 20, 5, |_| {})]).finds("path.loss");
    }

    #[test]
    fn connections_that_stand_on_a_later_try_met_a_full_queue() {
        assert!(!attempts(&[connected, silent, silent, connected_late]).names("path.ecmp_member_bad"));
    }
}
