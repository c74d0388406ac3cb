use crate::candidate::Candidate;
use crate::evidence::{Attempt, Endpoint, Evidence, IcmpSeen, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::threshold::ADDRESS_RESOLUTION_US;
use crate::wording::{list, named};
use netsonde_contract::failure::{IcmpError, IcmpMeaning};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::PortSweep;
use std::net::{IpAddr, SocketAddr};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a trace with TCP packets to the same port"),
    ..Rule::new("path.admin_prohibited", &["tcp.filtered", "tcp.refused", "path.no_route", "path.target_down"], evaluate)
};

/// The error answered the connection itself.
const ANSWERED_SYN: f64 = 0.95;
/// It answered the very question over UDP, and no connection was tried.
const ANSWERED_QUESTION: f64 = 0.95;
/// The error says that there is no way or no machine, for this port alone: the address answers otherwise, so that a filter says so.
const IN_OTHER_WORDS: f64 = 0.85;
/// As late as a router's error is that searched for a machine: the port may be forwarded to one that is gone.
const AFTER_A_SEARCH: f64 = 0.6;
/// The error answered pings or traceroute, and connections stay silent: most likely the same filter.
const ANSWERED_OTHERS: f64 = 0.8;
/// The same, and nobody looked whether other ports of the address are open: what forbids pings or traceroute may be another filter.
const NOT_ASKED_FURTHER: f64 = 0.6;
/// A filter rejects some connections to the port, and lets others through: a limit, or one of several ways that has another filter.
const SOME: f64 = 0.7;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let connections = evidence.endpoints();
    let mut candidates: Vec<Candidate> = connections.iter().filter_map(|endpoint| of_connection(evidence, endpoint)).collect();
    candidates.extend(evidence.broken_off().into_iter().filter_map(|server| of_server(evidence, server)));
    candidates.extend(evidence.addresses().into_iter().filter_map(|address| of_address(evidence, address)));
    candidates.extend(evidence.port_sweeps.iter().filter_map(|sweep| of_sweep(evidence, sweep)));
    candidates
}

/// The error is a filter's reject of a SYN. A closed port answers with a reset, never with port unreachable (RFC 9293 section 3.10.7.1).
fn rejects(meaning: IcmpMeaning) -> bool {
    matches!(meaning, IcmpMeaning::AdministrativelyProhibited | IcmpMeaning::PortUnreachable)
}

/// The error says that nothing can be delivered there. A filter may be told to answer so (`reject with icmp type host-unreachable`).
pub(super) fn says_nobody(meaning: IcmpMeaning) -> bool {
    matches!(meaning, IcmpMeaning::NetworkUnreachable | IcmpMeaning::HostUnreachable)
}

/// A filter's reject in answer to a SYN.
fn of_connection(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let answered = evidence.answered(address);
    let by_filter = |meaning| rejects(meaning) || (says_nobody(meaning) && !answered.is_empty());
    let rejected: Vec<&Attempt<'_>> =
        endpoint.attempts.iter().filter(|attempt| attempt.icmp_meaning().is_some_and(by_filter)).collect();
    let error = rejected.first()?.failure?.icmp.as_ref()?;
    if evidence.is_own(error.offender) {
        return None;
    }
    if endpoint.connected() {
        return of_some(evidence, endpoint);
    }
    let in_other_words = !rejected.iter().filter_map(|attempt| attempt.icmp_meaning()).any(rejects);
    let severity = if evidence.connected_elsewhere(endpoint).is_some() { Severity::Degraded } else { Severity::Problem };
    let ids: Vec<&ObservationId> = rejected.iter().map(|attempt| attempt.id).collect();
    let port = endpoint.address.port();
    let host = named(endpoint.host(), address);
    let filter = filter(evidence, address, error.offender);
    let place = Place {
        hop: evidence.hop_of_offender(address, error.offender),
        address: Some(error.offender),
        port: Some(port),
        ..Place::default()
    };
    let sentence = format!("{filter} forbids connections to {host} on port {port}: it answers them with \"{}\".", error.words());
    let candidate = Candidate::new(severity, ANSWERED_SYN, sentence)
        .at(place)
        .about(Spot::Endpoint(endpoint.address))
        .stopping()
        .resting_on(ids.iter().copied())
        .rejecting("tcp.filtered", "The filter does not drop silently: it says that it forbids.", ids.iter().copied())
        .rejecting("tcp.refused", "An ICMP error answered, and not a reset of the target.", ids)
        .next(
            Who::Network,
            format!("Ask whoever runs {} to allow TCP port {port} to {address} from this machine.", error.offender),
        );
    Some(match (in_other_words, answered.as_slice()) {
        (true, _) => for_the_port_alone(candidate, &rejected, &answered),
        // Where nothing else of the address answers either, the filter is what silences it.
        (false, []) => candidate.about(Spot::Address(address)),
        (false, _) => candidate,
    })
}

/// A filter on the way rejects some connections and lets others pass. What the target itself rejects, and a router that says that it has no way,
/// are told otherwise.
fn of_some(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let all: Vec<&Attempt<'_>> = endpoint.attempts.iter().filter(|attempt| attempt.by_tcp_check).collect();
    let by_filter = |attempt: &&&Attempt<'_>| {
        attempt.rejected_by().is_some_and(|error| rejects(error.meaning()) && error.offender != address)
    };
    let rejected: Vec<&Attempt<'_>> = all.iter().filter(by_filter).copied().collect();
    let stood: Vec<&ObservationId> = all.iter().filter(|attempt| attempt.connected()).map(|attempt| attempt.id).collect();
    let error = rejected.first()?.rejected_by()?;
    stood.first()?;
    let (host, port) = (named(endpoint.host(), address), endpoint.address.port());
    let sentence = format!(
        "{} forbids {} of {} connections to {host} on port {port} and lets others pass: it answers them with \"{}\". It limits how many there may be, or only one of several ways leads through it.",
        filter(evidence, address, error.offender),
        rejected.len(),
        all.len(),
        error.words()
    );
    let ids: Vec<&ObservationId> = rejected.iter().map(|attempt| attempt.id).collect();
    let place = Place {
        hop: evidence.hop_of(address, error.offender),
        address: Some(error.offender),
        port: Some(port),
        ..Place::default()
    };
    let candidate = Candidate::new(Severity::Degraded, SOME, sentence)
        .at(place)
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(endpoint.ids())
        .rejecting("tcp.filtered", "The filter does not drop silently: it says that it forbids.", ids.iter().copied())
        .rejecting("tcp.refused", "An ICMP error answered, and not a reset of the target.", ids)
        .rejecting("path.no_route", "Other connections stand.", stood.iter().copied())
        .rejecting("path.target_down", "Other connections stand.", stood)
        .settled_by("the rules of the filter that answers; as many connections one after the other, which a limit of connections at once lets pass")
        .next(
            Who::Network,
            format!("Ask whoever runs {} why it forbids some connections to {host} on port {port}: a limit for one client, or a rule that only one of several ways has.", error.offender),
        );
    Some(candidate)
}

/// What the error says is not so: the address answers otherwise.
fn for_the_port_alone(mut candidate: Candidate, rejected: &[&Attempt<'_>], answered: &[&ObservationId]) -> Candidate {
    const OTHERWISE: &str = "The address answers otherwise, so that there is a way to it.";
    let began_us = rejected.iter().map(|attempt| attempt.at_us).min().unwrap_or_default();
    let came_us = rejected.iter().map(|attempt| attempt.at_us + attempt.took_us).min().unwrap_or_default();
    candidate.sentence.push_str(" The same address answers otherwise, so that it is a filter for this port that says so.");
    candidate = candidate.resting_on(answered.iter().copied()).rejecting("path.no_route", OTHERWISE, answered.iter().copied());
    if came_us.saturating_sub(began_us) < ADDRESS_RESOLUTION_US {
        candidate.confidence = IN_OTHER_WORDS;
        return candidate.rejecting("path.target_down", OTHERWISE, answered.iter().copied());
    }
    candidate.confidence = AFTER_A_SEARCH;
    candidate.sentence.push_str(
        " Or the port is forwarded to another machine, which is gone: the error came as late as after a search for one.",
    );
    candidate.settled_by("the rules of the machine that sent the error: whether it forwards the port, and to whom")
}

/// A further target of which no port is open, and a filter answered for it. An address that a connection went to by itself is
/// [`of_connection`]'s.
fn of_sweep(evidence: &Evidence<'_>, sweep: &Seen<'_, PortSweep>) -> Option<Candidate> {
    let address = sweep.address;
    if evidence.tried_tcp(address) || sweep.fact.ports.iter().any(|state| state.failure.is_none()) {
        return None;
    }
    let errors = sweep.fact.ports.iter().filter_map(|state| Some((state.port, state.failure.as_ref()?.icmp.as_ref()?)));
    let errors: Vec<(u16, &IcmpError)> = errors.filter(|(_, error)| rejects(error.meaning())).collect();
    let (port, error) = *errors.first()?;
    if evidence.is_own(error.offender) {
        return None;
    }
    let ports: Vec<u16> = errors.iter().map(|(port, _)| *port).collect();
    let ports = format!("{} {}", if ports.len() == 1 { "port" } else { "ports" }, list(&ports));
    let sentence = format!(
        "{} forbids connections to {} on {ports}: it answers them with \"{}\".",
        filter(evidence, address, error.offender),
        named(&sweep.fact.host, address),
        error.words()
    );
    let candidate = Candidate::new(evidence.severity_at(address), ANSWERED_SYN, sentence)
        .at(Place {
            hop: evidence.hop_of_offender(address, error.offender),
            address: Some(error.offender),
            port: Some(port),
            ..Place::default()
        })
        .about(Spot::Address(address))
        .stopping()
        .resting_on([sweep.id])
        .rejecting("tcp.filtered", "The filter does not drop silently: it says that it forbids.", [sweep.id])
        .rejecting("tcp.refused", "An ICMP error answered, and not a reset of the target.", [sweep.id])
        .next(Who::Network, format!("Ask whoever runs {} to allow TCP {ports} to {address} from this machine.", error.offender));
    Some(candidate)
}

/// A filter's word in answer to the very packets that a name server or a proxy was sent, whatever else its machine answers.
fn of_server(evidence: &Evidence<'_>, server: SocketAddr) -> Option<Candidate> {
    let address = server.ip();
    let mut errors = evidence.icmp_errors(address, IcmpMeaning::AdministrativelyProhibited);
    errors.retain(|seen| !evidence.is_own(seen.error.offender) && seen.ttl.is_none());
    let first = errors.first()?;
    let ids: Vec<&ObservationId> = errors.iter().map(|seen: &IcmpSeen<'_>| seen.id).collect();
    let offender = first.error.offender;
    let sentence = format!(
        "{} forbids traffic to {} on port {}: it answers with \"{}\".",
        filter(evidence, address, offender),
        named(&evidence.host_at(address), address),
        server.port(),
        first.error.words()
    );
    let candidate = Candidate::new(evidence.severity_at(address), ANSWERED_SYN, sentence)
        .at(Place {
            hop: evidence.hop_of_error(address, first),
            address: Some(offender),
            port: Some(server.port()),
            ..Place::default()
        })
        .about(Spot::Endpoint(server))
        .stopping()
        .resting_on(ids.iter().copied())
        .rejecting("tcp.filtered", "The filter does not drop silently: it says that it forbids.", ids.iter().copied())
        .rejecting("tcp.refused", "An ICMP error of a filter answered.", ids)
        .next(Who::Network, format!("Ask whoever runs {offender} to allow port {} of {address} to this machine.", server.port()));
    Some(candidate)
}

/// Nothing of the address answers, and a filter on the way says that it forbids: of the very questions over UDP, or of other packets.
fn of_address(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let of_address = |attempt: &&Attempt<'_>| attempt.address.ip() == address;
    let silent = evidence.attempts().iter().filter(of_address).all(|attempt| attempt.silent());
    if !silent
        || evidence.refuses_over_udp(address)
        || !evidence.answered(address).is_empty()
        || !evidence.silence_matters(address)
    {
        return None;
    }
    let mut errors = evidence.icmp_errors(address, IcmpMeaning::AdministrativelyProhibited);
    errors.retain(|seen| !evidence.is_own(seen.error.offender));
    // A question over UDP is all that was to reach the address: what turned it away is what is felt.
    let turned_away = if evidence.tried_tcp(address) { Vec::new() } else { evidence.turned_away_over_udp(address) };
    let forbidden = turned_away.iter().any(|seen| seen.error.meaning() == IcmpMeaning::AdministrativelyProhibited);
    errors.extend(turned_away.into_iter().filter(|seen| seen.error.meaning() == IcmpMeaning::PortUnreachable));
    let first = errors.first()?;
    let ids: Vec<&ObservationId> = errors.iter().map(|seen: &IcmpSeen<'_>| seen.id).collect();
    let offender = first.error.offender;
    let filter = filter(evidence, address, offender);
    let sentence = format!(
        "{filter} forbids traffic to {}: it answers with \"{}\".",
        named(&evidence.host_at(address), address),
        first.error.words()
    );
    let in_doubt = evidence.contradicted_by_silence(address, &errors) && !evidence.was_swept(address);
    let confidence = match (in_doubt, forbidden) {
        (true, _) => NOT_ASKED_FURTHER,
        (false, true) => ANSWERED_QUESTION,
        (false, false) => ANSWERED_OTHERS,
    };
    let candidate = Candidate::new(evidence.severity_at(address), confidence, sentence)
        .at(Place { hop: evidence.hop_of_error(address, first), address: Some(offender), ..Place::default() })
        .about(Spot::Address(address))
        .stopping()
        .resting_on(ids.iter().copied())
        .resting_on(evidence.sent_to(address))
        .rejecting(
            "tcp.filtered",
            "Nothing else of the address answers, and the filter says that it forbids.",
            ids.iter().copied(),
        )
        .rejecting("path.no_route", "The error says that it is forbidden.", ids.iter().copied())
        .rejecting("path.target_down", "The error says that it is forbidden.", ids)
        .next(Who::Network, format!("Ask whoever runs {offender} to allow traffic to {address} from this machine."));
    Some(candidate)
}

/// `A filter at 10.0.3.1 (hop 3)`, or on the target itself.
fn filter(evidence: &Evidence<'_>, address: IpAddr, offender: IpAddr) -> String {
    if offender == address {
        return "A firewall on the target machine itself".to_owned();
    }
    let hop = evidence.hop_of_offender(address, offender).map_or(String::new(), |hop| format!(" (hop {hop})"));
    format!("A filter at {offender}{hop}")
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo, echo_error, failure, icmp, icmp_ended, interface, silent, time_refused, trace};
    use netsonde_contract::failure::{Failure, FailureCode, IcmpError, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    fn rejected(offender: &str, code: u8) -> Scene {
        let error = icmp(offender, 3, code);
        Scene::new("shop.example").check(Kind::Tcp, [icmp_ended("192.0.2.1:443", 15_000, FailureCode::Refused, error)])
    }

    #[test]
    fn a_filters_reject_of_a_connection_is_named_with_its_hop() {
        for code in [3, 9, 10, 13] {
            let scene = rejected("10.0.3.1", code)
                .check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "10.0.3.1", "192.0.2.1"]));
            let finding = scene.finds("path.admin_prohibited");
            assert_eq!((finding.place.hop, finding.place.port), (Some(3), Some(443)));
            assert!(finding.suppressed.is_empty(), "an ICMP error is never taken for a reset");
        }
    }

    #[test]
    fn a_reject_with_the_targets_address_is_a_firewall_on_the_target() {
        let finding = rejected("192.0.2.1", 3).check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]).finds("path.admin_prohibited");
        assert!(finding.sentence.starts_with("A firewall on the target machine itself"), "{}", finding.sentence);
    }

    #[test]
    fn a_filter_that_forbids_the_whole_address_explains_silent_pings_too() {
        let scene = rejected("10.0.3.1", 13).check(Kind::Icmp, [echo("192.0.2.1", &[])]);
        let scene = scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "*", "*"]));
        assert_eq!(scene.finds("path.admin_prohibited").place.hop, Some(3));
        assert!(scene.diagnose().unexplained.is_empty());
    }

    #[test]
    fn a_filter_that_forbids_pings_explains_silent_connections() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443")]);
        let finding = scene.check(Kind::Icmp, [echo_error("192.0.2.1", icmp("10.0.3.1", 3, 13))]).finds("path.admin_prohibited");
        assert!(finding.confidence < 0.9 && finding.settled_by.is_some());
    }

    #[test]
    fn a_filter_that_forbids_traces_alone_need_not_be_what_drops_connections() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, (0..6).map(|_| silent("192.0.2.1:443")));
        let scene = scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.1.1 !3/13"]));
        assert_eq!(scene.finds("path.admin_prohibited").confidence, 0.6);
        let closed = swept("192.0.2.1", &[(22, None)]);
        scene.clone().check(Kind::Tcp, [silent("192.0.2.1:443"), closed]).finds("tcp.filtered");
        let forbidden = swept("192.0.2.1", &[(22, Some(icmp("10.0.1.1", 3, 13)))]);
        assert_eq!(scene.check(Kind::Tcp, [silent("192.0.2.1:443"), forbidden]).finds("path.admin_prohibited").confidence, 0.8);
    }

    /// A time server's question that ended so, and nothing else that answers.
    fn asked_for_the_time(code: FailureCode, error: IcmpError) -> Scene {
        let target = if error.offender.is_ipv4() { "192.0.2.1" } else { "2001:db8::1" };
        let at = if error.offender.is_ipv4() { "192.0.2.1:123" } else { "[2001:db8::1]:123" };
        let mut fact = time_refused(at, failure(code, Step::Receive).with_icmp(error));
        if let Fact::TimeOffset(offset) = &mut fact {
            offset.host = "shop.example".into();
        }
        Scene::new("shop.example").check(Kind::Ntp, [fact]).check(Kind::Icmp, [echo(target, &[])])
    }

    #[test]
    fn a_question_over_udp_that_a_filter_turns_away_is_explained_by_it() {
        for (code, error) in [
            (FailureCode::HostUnreachable, icmp("10.0.2.1", 3, 13)),
            (FailureCode::PermissionDenied, icmp("2001:db8:2::1", 1, 1)),
        ] {
            let finding = asked_for_the_time(code, error.clone()).finds("path.admin_prohibited");
            assert_eq!((finding.confidence, finding.place.address), (0.95, Some(error.offender)), "{finding:?}");
        }
        let scene = asked_for_the_time(FailureCode::Refused, icmp("10.0.2.1", 3, 3));
        let scene = scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "*", "*"]));
        let finding = scene.finds("path.admin_prohibited");
        assert_eq!((finding.confidence, finding.place.hop), (0.8, Some(2)), "an address of the target's own may say so as well");
    }

    #[test]
    fn a_question_over_udp_that_the_target_or_this_machine_turns_away_is_forbidden_by_no_filter_on_the_way() {
        asked_for_the_time(FailureCode::Refused, icmp("192.0.2.1", 3, 3)).finds("udp.refused");
        let closed = asked_for_the_time(FailureCode::Refused, icmp("192.0.2.1", 3, 3));
        closed.check(Kind::Icmp, [echo_error("192.0.2.1", icmp("10.0.2.1", 3, 13))]).finds("udp.refused");
        let own = asked_for_the_time(FailureCode::HostUnreachable, icmp("10.0.0.100", 3, 13));
        assert!(!own.check(Kind::Host, [interface("10.0.0.100/24")]).names("path.admin_prohibited"));
        let reached = asked_for_the_time(FailureCode::HostUnreachable, icmp("10.0.2.1", 3, 13));
        reached.check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]).finds("path.udp_blocked");
        let no_route = asked_for_the_time(FailureCode::NetworkUnreachable, icmp("10.0.2.1", 3, 0));
        no_route.finds("path.no_route");
    }

    /// A trace whose replies came back over so many hops, in the order of the distances.
    fn came_back(hops: &[&str], back: &[u8]) -> Vec<Fact> {
        let mut facts = trace("192.0.2.1", hops);
        for (fact, back) in facts.iter_mut().zip(back) {
            let Fact::Hop(hop) = fact else { unreachable!() };
            if let Some(reply) = &mut hop.probes[0].reply {
                reply.return_hops = Some(*back);
            }
        }
        facts
    }

    #[test]
    fn a_router_that_is_silent_where_time_is_up_is_as_near_as_its_error_says() {
        let hop = |hops: &[&str], back: &[u8]| {
            let scene = Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443")]);
            scene.check(Kind::Traceroute, came_back(hops, back)).finds("path.admin_prohibited").place.hop
        };
        let way = ["10.0.1.1", "*", "10.0.2.1 !3/13", "10.0.2.1 !3/13"];
        assert_eq!(hop(&way, &[1, 0, 2, 2]), Some(2));
        assert_eq!(hop(&way[1..], &[0, 1, 1]), Some(1), "next door");
        assert_eq!(hop(&["10.0.1.1", "*", "*", "*", "10.0.2.1 !3/13"], &[1, 0, 0, 0, 2]), Some(2), "one error a second");
        // Another router is the silent one, or the way back is another than the way there, or nothing tells.
        assert_eq!(hop(&way, &[1, 0, 3, 3]), Some(3));
        assert_eq!(hop(&way, &[2, 0, 2, 2]), Some(3));
        assert_eq!(hop(&["*", "*", "10.0.2.1 !3/13"], &[0, 0, 2]), Some(3));
        assert_eq!(hop(&["10.0.1.1", "10.0.9.1", "10.0.2.1 !3/13"], &[1, 2, 2]), Some(3));
    }

    /// Connections to one port that meet this error after so long, while pings are answered.
    fn turned_away(kind: u8, code: u8, took_us: u64) -> Scene {
        let (at, offender, pinged) = match kind {
            1 => ("[2001:db8::1]:443", "2001:db8:3::1", "2001:db8::1"),
            _ => ("192.0.2.1:443", "10.0.3.1", "192.0.2.1"),
        };
        let error = icmp(offender, kind, code);
        Scene::new("shop.example")
            .check(Kind::Tcp, [icmp_ended(at, took_us, FailureCode::HostUnreachable, error)])
            .check(Kind::Icmp, [echo(pinged, &[9_000])])
    }

    #[test]
    fn a_filter_that_says_host_or_network_unreachable_for_one_port_is_named() {
        for (kind, code, offender) in [(3, 0, "10.0.3.1"), (3, 1, "10.0.3.1"), (1, 0, "2001:db8:3::1"), (1, 3, "2001:db8:3::1")] {
            let finding = turned_away(kind, code, 15_000).finds("path.admin_prohibited");
            assert_eq!((finding.confidence, finding.place.address), (0.85, Some(offender.parse().unwrap())));
            assert!(finding.sentence.contains(&format!("at {offender}")), "{}", finding.sentence);
            let open: Vec<&str> = finding.could_not_separate.iter().map(|open| open.cause.as_str()).collect();
            assert!(open.is_empty(), "{open:?}");
        }
    }

    #[test]
    fn such_an_error_that_comes_late_may_be_of_a_machine_behind_a_forwarded_port() {
        let finding = turned_away(3, 1, 3_060_000).finds("path.admin_prohibited");
        let open = finding.could_not_separate.iter().any(|open| open.cause == "path.target_down");
        assert!(finding.confidence == 0.6 && open && finding.sentence.contains("forwarded"), "{finding:?}");
    }

    #[test]
    fn where_nothing_else_answers_the_same_error_is_of_a_router_without_a_way() {
        let error = icmp("10.0.3.1", 3, 1);
        let scene = Scene::new("shop.example")
            .check(Kind::Tcp, [icmp_ended("192.0.2.1:443", 15_000, FailureCode::HostUnreachable, error)])
            .check(Kind::Icmp, [echo("192.0.2.1", &[])]);
        scene.finds("path.no_route");
    }

    /// What a sweep found at a further target: each port with the ICMP error that answered it, or a reset where there is none.
    fn swept(address: &str, ports: &[(u16, Option<netsonde_contract::failure::IcmpError>)]) -> Fact {
        let state = |(port, icmp): &(u16, Option<netsonde_contract::failure::IcmpError>)| {
            let failure = Failure { icmp: icmp.clone(), ..crate::scene::failure(FailureCode::Refused, Step::Connect) };
            serde_json::json!({"port": port, "took_us": 900, "failure": failure})
        };
        let ports: Vec<_> = ports.iter().map(state).collect();
        serde_json::from_value(serde_json::json!({
            "fact": "port_sweep", "host": address, "address": address, "asked": ports.len(), "ports": ports, "took_us": 1_000,
        }))
        .unwrap()
    }

    #[test]
    fn a_sweeps_further_target_that_a_filter_answers_for_is_explained() {
        let reject = || Some(icmp("10.0.3.1", 3, 13));
        let scene = Scene::new("shop.example")
            .check(Kind::Tcp, [connected("192.0.2.1:443"), swept("192.0.2.7", &[(443, reject()), (8443, reject())])]);
        let finding = scene.finds("path.admin_prohibited");
        assert!(finding.sentence.contains("192.0.2.7 on ports 443 and 8443"), "{}", finding.sentence);
        assert_eq!(finding.place.address, Some("10.0.3.1".parse().unwrap()));
        assert!(scene.diagnose().unexplained.is_empty());
    }

    #[test]
    fn a_sweeps_further_target_that_refuses_by_a_reset_is_forbidden_by_nobody() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443"), swept("192.0.2.7", &[(443, None)])]);
        assert!(scene.diagnose().findings.iter().all(|finding| finding.cause != "path.admin_prohibited"));
    }

    #[test]
    fn a_filter_that_forbids_only_traceroute_is_no_fault() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]);
        let scene = scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.2.1 !3/13"]));
        assert_eq!(scene.is_healthy(), ["path.icmp_unsupported"]);
    }
}
