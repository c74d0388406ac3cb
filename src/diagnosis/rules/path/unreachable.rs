//! Routers that say that they cannot forward: no route to the network, or no machine at the address.

use crate::candidate::Candidate;
use crate::evidence::{Evidence, IcmpSeen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::threshold::ADDRESS_RESOLUTION_US;
use crate::wording::{duration, named};
use netsonde_contract::failure::IcmpMeaning;
use netsonde_contract::finding::{Place, Who};
use netsonde_contract::id::ObservationId;
use std::net::IpAddr;

const BY_TIME: &str =
    "a single packet after a minute of quiet, and the time that the router takes for its error: at once, or after seconds";

pub(in crate::rules) const NO_ROUTE_RULE: Rule = Rule {
    settled_by: Some(BY_TIME),
    ..Rule::new("path.no_route", &["host.no_route", "host.gateway_unresolved", "path.target_down"], no_route)
};

pub(in crate::rules) const TARGET_DOWN_RULE: Rule = Rule {
    settled_by: Some(BY_TIME),
    ..Rule::new("path.target_down", &["path.no_route", "host.gateway_unresolved"], target_down)
};

/// The message itself says which of the two it is.
const SAID: f64 = 0.95;
/// The error came to the first packet at once, too soon for a search.
const AT_ONCE: f64 = 0.85;
/// The error came late, from a router that forwards other packets of the same kind.
const LATE_FROM_LAST_ROUTER: f64 = 0.8;
/// The error came late; what else held it back is open.
const LATE: f64 = 0.65;
/// Nothing tells how long the router took.
const UNTOLD: f64 = 0.55;
/// This machine itself looked for the target on its own link.
const ON_LINK: f64 = 0.9;

/// The errors answered pings alone, and not one connection, all of which stay silent: something else may drop those, and whoever rejects
/// pings may be told to answer so.
const PINGS_ALONE: f64 = 0.5;
/// The same, and other ports of the address are as silent.
const PINGS_ALONE_OF_ALL: f64 = 0.6;

/// What a router's error means, and how sure that is.
enum Reading {
    NoRoute(f64),
    TargetDown(f64),
}

impl Reading {
    fn at_most(self, most: f64) -> Self {
        match self {
            Self::NoRoute(confidence) => Self::NoRoute(confidence.min(most)),
            Self::TargetDown(confidence) => Self::TargetDown(confidence.min(most)),
        }
    }
}

fn no_route(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_address = |address: IpAddr| {
        let (errors, reading) = errors(evidence, address)?;
        let Reading::NoRoute(confidence) = reading else { return None };
        let first = errors.first()?;
        let router = router(evidence, address, first);
        let sentence = format!(
            "Packets to {} get no further than {router}, which has no route to it.",
            named(&evidence.host_at(address), address)
        );
        let candidate = candidate(evidence, address, &errors, confidence, sentence)
            .next(Who::Network, format!("Whoever runs {router} has to look at its route to {address}."))
            .rejecting("host.no_route", "The error came from a router: packets left this machine.", ids(&errors))
            .rejecting("host.gateway_unresolved", "The error carries a router's address, not this machine's own.", ids(&errors));
        let candidate = if confidence > UNTOLD {
            candidate.rejecting(
                "path.target_down",
                took(evidence, address, &errors, "too soon for a search for the target on its last link"),
                ids(&errors),
            )
        } else {
            candidate
        };
        Some(candidate)
    };
    evidence.destinations().into_iter().filter_map(of_address).collect()
}

fn target_down(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_address = |address: IpAddr| on_own_link(evidence, address).or_else(|| behind_router(evidence, address));
    evidence.destinations().into_iter().filter_map(of_address).collect()
}

fn behind_router(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let (errors, reading) = errors(evidence, address)?;
    let Reading::TargetDown(confidence) = reading else { return None };
    let router = router(evidence, address, errors.first()?);
    let host = named(&evidence.host_at(address), address);
    let sentence =
        format!("{host} does not exist on its network or is switched off: {router} looked for it there and got no answer.");
    let candidate = candidate(evidence, address, &errors, confidence, sentence)
        .next(Who::Server, format!("Check that {host} is switched on and that {address} is its address."))
        .rejecting("host.gateway_unresolved", "The error carries a router's address, not this machine's own.", ids(&errors));
    let told = confidence > UNTOLD;
    Some(if told {
        candidate.rejecting(
            "path.no_route",
            took(evidence, address, &errors, "long enough for a search on the last link"),
            ids(&errors),
        )
    } else {
        candidate
    })
}

/// The target is on this machine's own link, and this machine found nobody with its address.
fn on_own_link(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    if evidence.on_link(address) != Some(true) || !evidence.answered(address).is_empty() {
        return None;
    }
    let ids: Vec<&ObservationId> = evidence.next_hop_unresolved(address);
    ids.first()?;
    let host = named(&evidence.host_at(address), address);
    let sentence = format!(
        "No machine on this machine's own network answers for the address of {host}: it is switched off, gone, or on another network."
    );
    let route = evidence.route_of(address).map(|route| route.id);
    let candidate = Candidate::new(evidence.severity_at(address), ON_LINK, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .stopping()
        .resting_on(ids.iter().copied())
        .rejecting("path.no_route", "The error came from this machine itself, not from a router.", ids)
        .rejecting("host.gateway_unresolved", "The target is on this machine's own network: no gateway lies between.", route)
        .next(Who::Server, format!("Check that {host} is switched on, connected, and that {address} is its address."));
    Some(candidate)
}

/// The unreachable messages of routers for the address, and what they mean together; none where the address answers otherwise.
fn errors<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<(Vec<IcmpSeen<'a>>, Reading)> {
    if !evidence.answered(address).is_empty() {
        return None;
    }
    let foreign = |seen: &IcmpSeen<'_>| !evidence.is_own(seen.error.offender);
    let mut network = evidence.icmp_errors(address, IcmpMeaning::NetworkUnreachable);
    network.retain(foreign);
    let (errors, reading) = match network.is_empty() {
        false => (network, Reading::NoRoute(SAID)),
        true => {
            let mut host = evidence.icmp_errors(address, IcmpMeaning::HostUnreachable);
            host.retain(foreign);
            let reading = reading_of(evidence, address, &host)?;
            (host, reading)
        }
    };
    let most = if evidence.contradicted_by_silence(address, &errors) {
        if evidence.was_swept(address) { PINGS_ALONE_OF_ALL } else { PINGS_ALONE }
    } else {
        SAID
    };
    Some((errors, reading.at_most(most)))
}

/// ICMPv6 has a message of its own for an address that nobody answers for (RFC 4443 section 3.1, code 3). ICMPv4's host unreachable
/// is sent for either reason, and time tells them apart: a route is missing at once, a machine is missing after a search. What
/// counts is the time from the first packet of all to the first error, since every packet that waits for the same search is
/// answered at its end, the last one at once.
fn reading_of(evidence: &Evidence<'_>, address: IpAddr, errors: &[IcmpSeen<'_>]) -> Option<Reading> {
    let offender = errors.first()?.error.offender;
    if offender.is_ipv6() {
        return Some(Reading::TargetDown(SAID));
    }
    let rtt_us = evidence.rtt_of_router(address, offender);
    Some(match waited_us(evidence, address, errors) {
        None => Reading::TargetDown(UNTOLD),
        Some(waited_us) if waited_us < rtt_us.unwrap_or(0) + ADDRESS_RESOLUTION_US => Reading::NoRoute(AT_ONCE),
        Some(_) => Reading::TargetDown(if rtt_us.is_some() { LATE_FROM_LAST_ROUTER } else { LATE }),
    })
}

/// From the first packet to the address to the first error that answers one.
fn waited_us(evidence: &Evidence<'_>, address: IpAddr, errors: &[IcmpSeen<'_>]) -> Option<u64> {
    let first_error = errors.iter().filter_map(|seen| seen.came_us).min()?;
    Some(first_error.saturating_sub(evidence.first_sent_us(address)?))
}

fn candidate(evidence: &Evidence<'_>, address: IpAddr, errors: &[IcmpSeen<'_>], confidence: f64, sentence: String) -> Candidate {
    let offender = errors.first().map(|seen| seen.error.offender);
    let hop = errors.iter().find_map(|seen| evidence.hop_of_error(address, seen));
    Candidate::new(evidence.severity_at(address), confidence, sentence)
        .at(Place { hop, address: offender, ..Place::default() })
        .about(Spot::Address(address))
        .stopping()
        .resting_on(ids(errors))
}

/// `the router 10.0.3.1 (hop 3)`.
fn router(evidence: &Evidence<'_>, address: IpAddr, seen: &IcmpSeen<'_>) -> String {
    let hop = evidence.hop_of_error(address, seen).map_or(String::new(), |hop| format!(" (hop {hop})"));
    format!("the router {}{hop}", seen.error.offender)
}

fn took(evidence: &Evidence<'_>, address: IpAddr, errors: &[IcmpSeen<'_>], meaning: &str) -> String {
    let ipv4_host =
        errors.iter().any(|seen| seen.error.offender.is_ipv4() && seen.error.meaning() == IcmpMeaning::HostUnreachable);
    match waited_us(evidence, address, errors).filter(|_| ipv4_host) {
        Some(waited_us) => format!("The first error came {} after the first packet: {meaning}.", duration(waited_us)),
        None => "The message itself says which of the two it is.".to_owned(),
    }
}

fn ids<'a>(errors: &[IcmpSeen<'a>]) -> Vec<&'a ObservationId> {
    errors.iter().map(|seen| seen.id).collect()
}

#[cfg(test)]
mod tests {
    use crate::follow_up::follow_ups;
    use crate::scene::{Scene, connected, echo, echo_error, failure, icmp, icmp_ended, mtu, silent, trace, trace_after};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, MtuAnswer, MtuLimit, MtuProbe};
    use netsonde_contract::outcome::Status;

    #[test]
    fn a_router_without_a_route_is_named_with_its_hop() {
        let error = icmp("10.0.3.1", 3, 0);
        let scene = Scene::new("shop.example")
            .check(Kind::Tcp, [icmp_ended("192.0.2.1:443", 15_000, FailureCode::NetworkUnreachable, error)])
            .check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "10.0.3.1 !3/0"]));
        let finding = scene.finds("path.no_route");
        assert_eq!((finding.place.hop, finding.place.address), (Some(3), Some("10.0.3.1".parse().unwrap())));
        assert!(finding.confidence > 0.9);
    }

    #[test]
    fn host_unreachable_at_once_is_a_missing_route() {
        let hops = trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "10.0.3.1 !3/1"]);
        Scene::new("shop.example")
            .check(Kind::Tcp, [silent("192.0.2.1:443")])
            .check(Kind::Traceroute, hops)
            .finds("path.no_route");
    }

    #[test]
    fn host_unreachable_after_a_search_is_a_missing_machine() {
        let hops = trace_after("192.0.2.1", &["10.0.1.1", "10.0.2.1", "10.0.3.1 !3/1"], 300_000);
        Scene::new("shop.example")
            .check(Kind::Tcp, [silent("192.0.2.1:443")])
            .check(Kind::Traceroute, hops)
            .finds("path.target_down");
    }

    #[test]
    fn an_error_that_comes_only_to_the_second_connection_ended_the_search_of_the_first() {
        let second = icmp_ended("192.0.2.1:443", 10_000, FailureCode::HostUnreachable, icmp("10.0.3.1", 3, 1));
        Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443"), second]).finds("path.target_down");
    }

    #[test]
    fn an_error_to_the_first_packet_is_a_missing_route_though_later_ones_are_held_back() {
        let first = icmp_ended("192.0.2.1:443", 300, FailureCode::HostUnreachable, icmp("10.0.3.1", 3, 1));
        let scene = Scene::new("shop.example").check(Kind::Tcp, [first, silent("192.0.2.1:443")]);
        let finding =
            scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "*", "*"])).finds("path.no_route");
        assert_eq!(finding.place.hop, Some(3));
    }

    #[test]
    fn a_search_for_the_path_mtu_that_a_router_ends_tells_of_a_missing_machine() {
        let mut fact = mtu(MtuLimit::Unknown, 576, None);
        if let Fact::Mtu(mtu) = &mut fact {
            mtu.passed_bytes = None;
            mtu.took_us = 3_060_000;
            mtu.probes = vec![MtuProbe { size_bytes: 576, answer: MtuAnswer::Refused, took_us: Some(40_000) }];
            let ended = failure(FailureCode::HostUnreachable, Step::Receive);
            mtu.failure = Some(ended.with_icmp(icmp("10.0.3.1", 3, 1)));
        }
        let finding = Scene::new("192.0.2.1").check(Kind::Mtu, [fact]).finds("path.target_down");
        assert_eq!(finding.place.address, Some("10.0.3.1".parse().unwrap()));
    }

    #[test]
    fn ipv6_has_a_message_of_its_own_for_each() {
        for (code, cause) in [(0, "path.no_route"), (3, "path.target_down")] {
            let error = icmp("2001:db8:3::1", 1, code);
            let scene = Scene::new("shop.example");
            scene.check(Kind::Tcp, [icmp_ended("[2001:db8::1]:443", 9_000, FailureCode::HostUnreachable, error)]).finds(cause);
        }
    }

    #[test]
    fn a_listed_address_that_is_missing_is_not_said_to_be_the_targets() {
        let mut missing = echo_error("192.0.2.77", icmp("10.0.3.1", 3, 1));
        if let Fact::Echo(echo) = &mut missing {
            echo.host = "192.0.2.77".into();
        }
        let scene = Scene::new("192.0.2.1").ended(Kind::Icmp, Status::Failed, [echo("192.0.2.1", &[9_000]), missing]);
        let finding = scene.finds("path.target_down");
        assert!(finding.sentence.starts_with("192.0.2.77 does not exist"), "{}", finding.sentence);
        assert!(!finding.next_step.action.contains("192.0.2.1 "), "{}", finding.next_step.action);
    }

    /// Six silent connections, and a router's word about pings and a trace alone.
    fn only_pings_rejected(port: u16) -> Scene {
        let scene = Scene::new("shop.example").check(Kind::Tcp, (0..6).map(|_| silent(&format!("192.0.2.1:{port}"))));
        let scene = scene.check(Kind::Icmp, [echo_error("192.0.2.1", icmp("10.0.3.1", 3, 1))]);
        scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "10.0.3.1", "10.0.3.1 !3/1"]))
    }

    /// Further ports of the address: open, or silent.
    fn swept(open: bool) -> Fact {
        let failure = (!open).then(|| failure(FailureCode::TimedOut, Step::Connect));
        serde_json::from_value(serde_json::json!({
            "fact": "port_sweep", "host": "shop.example", "address": "192.0.2.1", "asked": 1,
            "ports": [{"port": 22, "took_us": 900, "failure": failure}], "took_us": 1_000,
        }))
        .unwrap()
    }

    #[test]
    fn a_word_about_pings_alone_beside_silent_connections_leaves_a_filter_possible() {
        let scene = only_pings_rejected(5432);
        let finding = scene.finds("path.no_route");
        assert_eq!(finding.confidence, 0.5);
        let asked = follow_ups(scene.outcomes(), &scene.environment(), &scene.diagnose());
        assert!(asked.iter().any(|ask| ask.params.to_value().get("ports").is_some()), "{asked:#?}");
    }

    #[test]
    fn another_port_that_is_open_shows_that_there_is_a_way() {
        let scene = only_pings_rejected(5432).check(Kind::Tcp, [silent("192.0.2.1:5432"), swept(true)]);
        scene.finds("tcp.filtered");
        let scene = only_pings_rejected(5432).check(Kind::Tcp, [silent("192.0.2.1:5432"), swept(false)]);
        assert_eq!(scene.finds("path.no_route").confidence, 0.6);
    }

    #[test]
    fn a_word_about_a_connection_is_no_filters_of_pings() {
        let second = icmp_ended("192.0.2.1:443", 300, FailureCode::HostUnreachable, icmp("10.0.3.1", 3, 1));
        assert!(only_pings_rejected(443).check(Kind::Tcp, [second]).finds("path.no_route").confidence > 0.8);
    }

    #[test]
    fn an_unreachable_message_for_pings_is_no_fault_where_tcp_works() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]);
        let scene = scene.check(Kind::Icmp, [echo_error("192.0.2.1", icmp("10.0.3.1", 3, 1))]);
        assert_eq!(scene.is_healthy(), ["path.icmp_unsupported"]);
    }
}
