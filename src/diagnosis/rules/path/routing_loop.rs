use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::threshold::{LONGEST_LOOP, LOOP_REPEATS};
use crate::wording::{list, named};
use netsonde_contract::failure::IcmpMeaning;
use netsonde_contract::finding::{Place, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::Hop;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a traceroute with its hops, which shows the circle itself"),
    ..Rule::new("path.routing_loop", &["path.blackhole"], evaluate)
};

/// The trace shows the circle, and packets with the usual TTL die of it.
const SEEN_TWICE: f64 = 0.97;
/// The trace shows the circle.
const SEEN: f64 = 0.93;
/// One router answers at every other distance, or more seldom, and nobody between: most likely the others of the circle are silent.
const ONE_ANSWERS: f64 = 0.85;
/// A packet with the usual TTL ran out of it: a circle, or a path of more than 64 routers, which does not exist in practice.
const EXPIRED: f64 = 0.85;

/// Where a trace goes round.
struct Circle<'a> {
    first_ttl: u8,
    routers: Vec<IpAddr>,
    ids: Vec<&'a ObservationId>,
}

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.destinations().into_iter().filter_map(|address| towards(evidence, address)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    if !evidence.answered(address).is_empty() {
        return None;
    }
    let circle = circle(&evidence.hops_of(address));
    let expired = evidence.icmp_errors(address, IcmpMeaning::TimeExceeded);
    let expired_ids: Vec<&ObservationId> = expired.iter().map(|seen| seen.id).collect();
    let host = named(&evidence.host_at(address), address);
    let (confidence, sentence, place) = match (&circle, expired.first()) {
        (None, None) => return None,
        (Some(circle), expired) => {
            let confidence = match (expired, circle.routers.len()) {
                (Some(_), _) => SEEN_TWICE,
                (None, 1) => ONE_ANSWERS,
                (None, _) => SEEN,
            };
            let among = match circle.routers.as_slice() {
                [alone] => format!("through the router {alone} and others that do not answer"),
                routers => format!("between the routers {}", list(routers)),
            };
            let sentence =
                format!("Packets to {host} go round in a circle {among}, from hop {} on, and never arrive.", circle.first_ttl);
            (
                confidence,
                sentence,
                Place { hop: Some(circle.first_ttl), address: circle.routers.first().copied(), ..Place::default() },
            )
        }
        (None, Some(expired)) => {
            let router = expired.error.offender;
            let sentence = format!(
                "Packets to {host} go round in a circle until their hop limit is used up; the router {router} dropped the last one."
            );
            (EXPIRED, sentence, Place { hop: evidence.hop_of(address, router), address: Some(router), ..Place::default() })
        }
    };
    let circle_ids = circle.map(|circle| circle.ids).unwrap_or_default();
    let candidate = Candidate::new(evidence.severity_at(address), confidence, sentence)
        .at(place)
        .about(Spot::Address(address))
        .stopping()
        .resting_on(circle_ids.iter().copied())
        .resting_on(expired_ids.iter().copied())
        .rejecting(
            "path.blackhole",
            "Packets are not lost without a trace: routers keep answering until the hop limit is used up.",
            circle_ids,
        )
        .next(
            Who::Network,
            format!("Whoever runs these routers has to correct their routes to {address}: each sends it back to the other."),
        );
    Some(candidate)
}

/// Whether the way to the address shows a circle.
pub(in crate::rules) fn goes_round(evidence: &Evidence<'_>, address: IpAddr) -> bool {
    circle(&evidence.hops_of(address)).is_some()
}

/// One distance, as all traces together saw it.
struct Distance<'a> {
    ttl: u8,
    routers: Vec<IpAddr>,
    ids: Vec<&'a ObservationId>,
}

/// The first stretch of routers that repeats until the end of the trace. Silent hops neither prove nor disprove it.
fn circle<'a>(hops: &[Seen<'a, Hop>]) -> Option<Circle<'a>> {
    let mut way: Vec<Distance<'a>> = Vec::new();
    for hop in hops {
        if way.last().is_none_or(|last| last.ttl != hop.ttl) {
            way.push(Distance { ttl: hop.ttl, routers: Vec::new(), ids: Vec::new() });
        }
        if let Some(last) = way.last_mut() {
            last.routers.extend(hop.addresses());
            last.ids.push(hop.id);
        }
    }
    let starts = (0..way.len()).filter(|start| !way[*start].routers.is_empty());
    starts
        .flat_map(|start| (2..=LONGEST_LOOP).map(move |period| (start, period)))
        .find_map(|(start, period)| repeats(&way[start..], period))
}

fn repeats<'a>(way: &[Distance<'a>], period: usize) -> Option<Circle<'a>> {
    let same = |near: &Distance<'_>, far: &Distance<'_>| near.routers.iter().any(|router| far.routers.contains(router));
    let pairs = way.iter().zip(way.iter().skip(period)).filter(|(near, far)| !near.routers.is_empty() && !far.routers.is_empty());
    let (mut ids, mut count) = (Vec::new(), 0);
    for (near, far) in pairs {
        if !same(near, far) {
            return None;
        }
        count += 1;
        ids.extend(near.ids.iter().chain(&far.ids).copied());
    }
    let mut routers: Vec<IpAddr> = Vec::new();
    for router in way.iter().take(period).flat_map(|distance| &distance.routers) {
        if !routers.contains(router) {
            routers.push(*router);
        }
    }
    let first_repeats = way.get(period).is_some_and(|far| same(&way[0], far));
    // One router that answers at every distance is none; one that answers each time that the others of the circle would have passed
    // the packet on, with nobody between, goes round with silent ones.
    let silent_between = || way.iter().enumerate().all(|(at, distance)| at % period == 0 || distance.routers.is_empty());
    let others = routers.len() >= 2 || silent_between();
    (count >= LOOP_REPEATS && others && first_repeats).then(|| Circle { first_ttl: way[0].ttl, routers, ids })
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, icmp, icmp_ended, silent, trace};
    use netsonde_contract::failure::FailureCode;
    use netsonde_contract::kind::Kind;

    fn scene(hops: &[&str]) -> Scene {
        Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443")]).check(Kind::Traceroute, trace("192.0.2.1", hops))
    }

    const CIRCLE: [&str; 10] =
        ["10.0.1.1", "10.0.2.1", "10.0.3.1", "10.0.4.1", "10.0.3.1", "10.0.4.1", "*", "10.0.4.1", "10.0.3.1", "10.0.4.1"];

    #[test]
    fn two_routers_that_send_to_each_other_are_a_circle_and_the_silent_port_its_consequence() {
        let finding = scene(&CIRCLE).finds("path.routing_loop");
        assert_eq!(finding.place.hop, Some(3));
        assert!(finding.sentence.contains("10.0.3.1 and 10.0.4.1"), "{}", finding.sentence);
        assert_eq!(finding.rejected[0].cause, "path.blackhole");
    }

    #[test]
    fn three_routers_can_go_round_as_well() {
        let round = ["10.0.1.1", "10.0.2.1", "10.0.3.1", "10.0.4.1", "10.0.2.1", "10.0.3.1", "10.0.4.1", "10.0.2.1", "10.0.3.1"];
        assert_eq!(scene(&round).finds("path.routing_loop").place.hop, Some(2));
    }

    #[test]
    fn a_connection_that_ran_out_of_hops_went_round() {
        let error = icmp("10.0.4.1", 11, 0);
        let scene = Scene::new("shop.example");
        let scene = scene.check(Kind::Tcp, [icmp_ended("192.0.2.1:443", 80_000, FailureCode::HostUnreachable, error)]);
        assert_eq!(scene.finds("path.routing_loop").confidence, 0.85);
    }

    #[test]
    fn one_router_seen_twice_is_two_paths_of_unequal_length() {
        scene(&["10.0.1.1", "10.0.2.1", "10.0.3.1", "10.0.2.1", "10.0.5.1", "*", "*", "*"]).finds("path.target_silent");
    }

    #[test]
    fn one_return_before_silence_is_no_circle_yet() {
        scene(&["10.0.1.1", "10.0.2.1", "10.0.3.1", "10.0.2.1", "*", "*", "*"]).finds("path.target_silent");
    }

    #[test]
    fn a_circle_of_which_every_other_router_is_silent_is_one() {
        let finding = scene(&["10.0.1.1", "*", "10.0.3.1", "*", "10.0.3.1", "*", "10.0.3.1", "*", "10.0.3.1", "*"]);
        let finding = finding.finds("path.routing_loop");
        assert_eq!((finding.place.hop, finding.confidence), (Some(3), 0.85));
        assert!(finding.sentence.contains("10.0.3.1 and others that do not answer"), "{}", finding.sentence);
    }

    #[test]
    fn two_traces_of_the_same_circle_are_one() {
        let hops = ["10.0.1.1", "*", "10.0.3.1", "*", "10.0.3.1", "*", "10.0.3.1", "*", "10.0.3.1", "*"];
        let finding = scene(&hops).check(Kind::Traceroute, trace("192.0.2.1", &hops)).finds("path.routing_loop");
        assert_eq!(finding.place.hop, Some(3));
    }

    #[test]
    fn one_router_that_comes_back_at_odd_distances_is_no_circle() {
        let hops = ["10.0.1.1", "10.0.3.1", "*", "10.0.3.1", "10.0.3.1", "*", "*", "10.0.3.1", "*", "10.0.3.1"];
        assert!(!scene(&hops).names("path.routing_loop"));
    }

    #[test]
    fn a_router_that_answers_at_every_distance_is_no_circle() {
        assert!(!scene(&["10.0.1.1", "10.0.2.1", "10.0.2.1", "10.0.2.1", "10.0.2.1", "10.0.2.1"]).names("path.routing_loop"));
    }
}
