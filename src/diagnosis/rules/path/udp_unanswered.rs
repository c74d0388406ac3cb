//! Questions over UDP to a time server or a VPN gateway that nothing answers, or a filter alone, while the address answers otherwise.

use super::admin_prohibited::says_nobody;
use super::udp_blocked::{TOLD, TOLD_IN_OTHER_WORDS, is_filter};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, replies};
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::failure::{Failure, FailureCode, IcmpError, IcmpMeaning};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::kind::{ServiceProtocol, ServiceTransport};
use netsonde_contract::observation::{Fact, MtuTransport, ReplyKind, TraceProtocol};
use netsonde_contract::outcome::{Outcome, Status};
use std::net::{IpAddr, SocketAddr};

/// Its closed ports say that they are closed, and this one does not.
const OTHERS_CLOSED: f64 = 0.6;
/// A service that does not run, on a machine that says nothing of closed ports, is as silent.
const SILENT: f64 = 0.5;

/// One question that was not answered.
struct Question<'a> {
    outcome: &'a Outcome,
    id: &'a ObservationId,
    host: &'a str,
    address: SocketAddr,
    /// What is asked for there.
    what: &'static str,
    failure: &'a Failure,
}

pub(super) fn candidates(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let questions: Vec<Question<'_>> = evidence.outcomes.iter().flat_map(|outcome| of_check(outcome)).collect();
    let mut ports: Vec<SocketAddr> = questions.iter().map(|question| question.address).collect();
    ports.sort_unstable();
    ports.dedup();
    ports.into_iter().filter_map(|port| unanswered(evidence, &questions, port)).collect()
}

fn of_check(outcome: &Outcome) -> impl Iterator<Item = Question<'_>> {
    outcome.observations.iter().filter_map(move |observation| {
        let (host, address, what, failure) = asked(&observation.fact)?;
        Some(Question { outcome, id: &observation.id, host, address, what, failure })
    })
}

/// Host, port, service and failure. What DHCP asks is for no address, and QUIC is held against TCP to the same port.
fn asked(fact: &Fact) -> Option<(&str, SocketAddr, &'static str, &Failure)> {
    match fact {
        Fact::TimeOffset(offset) => Some((&offset.host, offset.address, "time (NTP)", offset.failure.as_ref()?)),
        Fact::Service(service) if is_asked_there(service.protocol) => {
            Some((&service.host, service.address, service.protocol.label(), service.failure.as_ref()?))
        }
        _ => None,
    }
}

fn is_asked_there(protocol: ServiceProtocol) -> bool {
    protocol.transport() == ServiceTransport::Udp && protocol != ServiceProtocol::Dhcp
}

fn unanswered(evidence: &Evidence<'_>, questions: &[Question<'_>], port: SocketAddr) -> Option<Candidate> {
    let address = port.ip();
    let here: Vec<&Question<'_>> = questions.iter().filter(|question| question.address == port).collect();
    let silent = |failure: &Failure| failure.code == FailureCode::TimedOut && failure.icmp.is_none();
    let told = |failure| filter_of(failure, address).filter(|icmp| !evidence.is_own(icmp.offender));
    let unheard = here.iter().all(|question| silent(question.failure) || told(question.failure).is_some());
    let answered = evidence.answered(address);
    if !unheard || evidence.heard_over_udp(port) || answered.is_empty() || address.is_loopback() || evidence.is_own(address) {
        return None;
    }
    let first = here.first()?;
    let closed = closed_ports(evidence, address);
    let filter = here.iter().find_map(|question| told(question.failure));
    let (host, number, what) = (named(first.host, address), port.port(), first.what);
    let sentence = match (filter, closed.as_slice()) {
        (Some(icmp), _) => format!(
            "UDP does not get through to {host} on port {number}, where {what} is asked for: {} answers instead: {}.",
            icmp.offender,
            icmp.words()
        ),
        (None, []) => format!(
            "Nothing comes back from {host} over UDP on port {number}, where {what} is asked for, and the address answers otherwise: a filter on the way drops it, or the service ignores the question. A service that does not run looks the same where a filter on the machine keeps it from saying so."
        ),
        (None, _) => format!(
            "Nothing comes back from {host} over UDP on port {number}, where {what} is asked for, and the address answers otherwise: a filter drops it, or the service ignores the question. That it does not run is not likely: closed UDP ports of the machine say that they are closed."
        ),
    };
    let confidence = match (filter, closed.as_slice()) {
        (Some(icmp), _) if says_nobody(icmp.meaning()) => TOLD_IN_OTHER_WORDS,
        (Some(_), _) => TOLD,
        (None, []) => SILENT,
        (None, _) => OTHERS_CLOSED,
    };
    let ids = || here.iter().map(|question| question.id);
    let dropped = filter.is_none();
    let candidate = Candidate::new(severity(&here), confidence, sentence)
        .at(Place { address: Some(filter.map_or(address, |icmp| icmp.offender)), port: Some(number), ..Place::default() })
        .about(Spot::Endpoint(port))
        .resting_on(ids())
        .resting_on(answered.iter().copied())
        .resting_on(closed.iter().copied())
        .rejecting("path.target_silent", "The address answers otherwise.", answered)
        .rejecting("path.mtu_blackhole", "The question is a small packet.", ids())
        .rejecting("path.admin_prohibited", "No filter says that it forbids.", ids().filter(|_| dropped))
        .rejecting("udp.refused", "Closed ports of the machine say so, and this one does not.", closed.into_iter().filter(|_| dropped))
        .rejecting("udp.refused", "The answer is not the machine's own.", ids().filter(|_| !dropped))
        .settled_by(format!("a capture at the server, `tcpdump -n udp port {number}`: whether the question arrives, and an answer leaves"))
        .next(
            Who::Network,
            format!("Allow UDP port {number} to {address} and the answers to it. On the server see that the service runs (`ss -lnup`) and answers this machine's address."),
        );
    Some(candidate)
}

fn filter_of(failure: &Failure, address: IpAddr) -> Option<&IcmpError> {
    failure.icmp.as_ref().filter(|icmp| is_filter(icmp, address))
}

/// Observations in which a closed UDP port of the address said that it is closed: the end of a trace, or of a search for sizes.
fn closed_ports<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Vec<&'a ObservationId> {
    let says_so = |icmp: &IcmpError| icmp.meaning() == IcmpMeaning::PortUnreachable && icmp.offender == address;
    let hops = evidence.hops_of(address).into_iter().filter(|hop| {
        let arrived = |reply: &netsonde_contract::observation::HopReply| reply.kind == ReplyKind::Arrived;
        hop.fact.protocol == TraceProtocol::Udp && replies(hop.fact).any(arrived)
    });
    let mtus = evidence.mtus_of(address).filter(|mtu| mtu.transport == MtuTransport::Udp && mtu.passed_bytes.is_some());
    let refused = evidence
        .outcomes
        .iter()
        .flat_map(|outcome| of_check(outcome))
        .filter(|question| question.address.ip() == address && question.failure.icmp.as_ref().is_some_and(says_so));
    let refused: Vec<&'a ObservationId> = refused.map(|question| question.id).collect();
    hops.map(|hop| hop.id).chain(mtus.map(|mtu| mtu.id)).chain(refused).collect()
}

/// Of a host with several addresses one that answers is enough: the check itself says so by how it ended.
fn severity(here: &[&Question<'_>]) -> Severity {
    let works = here.iter().all(|question| question.outcome.status == Status::Succeeded);
    match (works, here.iter().any(|question| question.outcome.required)) {
        (true, _) => Severity::Notice,
        (false, true) => Severity::Problem,
        (false, false) => Severity::Degraded,
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, echo, failure, icmp, mtu, service, time_refused};
    use netsonde_contract::failure::{Failure, FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::{Kind, ServiceProtocol};
    use netsonde_contract::observation::{Fact, MtuLimit};
    use netsonde_contract::outcome::Status;

    fn silence() -> Failure {
        failure(FailureCode::TimedOut, Step::Receive)
    }

    fn ike(failure: Failure) -> Fact {
        service(|service| {
            (service.protocol, service.address) = (ServiceProtocol::Ike, "192.0.2.1:500".parse().unwrap());
            (service.connect_us, service.first_byte_us, service.failure) = (None, None, Some(failure));
        })
    }

    fn ntp(failure: Failure) -> Fact {
        let mut fact = time_refused("192.0.2.1:123", failure);
        if let Fact::TimeOffset(offset) = &mut fact {
            offset.host = "shop.example".into();
        }
        fact
    }

    fn pinged() -> Scene {
        Scene::new("shop.example").check(Kind::Icmp, [echo("192.0.2.1", &[9_000])])
    }

    #[test]
    fn silence_over_udp_of_an_address_that_answers_pings_is_a_block_or_a_service_that_ignores() {
        for (kind, fact, port) in [(Kind::Ntp, ntp(silence()), 123), (Kind::Service, ike(silence()), 500)] {
            let finding = pinged().check(kind, [fact]).finds("path.udp_blocked");
            assert_eq!((finding.confidence, finding.severity, finding.place.port), (0.5, Severity::Problem, Some(port)));
            assert!(finding.sentence.contains("does not run looks the same"), "{}", finding.sentence);
            assert!(finding.could_not_separate.iter().any(|open| open.cause == "udp.refused"), "{finding:?}");
        }
    }

    #[test]
    fn closed_ports_that_say_so_leave_a_service_that_does_not_run_unlikely() {
        let scene = pinged().check(Kind::Ntp, [ntp(silence())]).check(Kind::Mtu, [mtu(MtuLimit::None, 1_500, None)]);
        let finding = scene.finds("path.udp_blocked");
        assert!(finding.confidence == 0.6 && finding.rejected.iter().any(|other| other.cause == "udp.refused"), "{finding:?}");
    }

    #[test]
    fn a_filter_that_says_so_is_named() {
        for (code, confidence) in [(13, 0.95), (1, 0.85), (3, 0.95)] {
            let told = failure(FailureCode::HostUnreachable, Step::Receive).with_icmp(icmp("10.0.2.1", 3, code));
            let finding = pinged().check(Kind::Ntp, [ntp(told)]).finds("path.udp_blocked");
            assert_eq!((finding.confidence, finding.place.address), (confidence, Some("10.0.2.1".parse().unwrap())));
        }
    }

    #[test]
    fn where_nothing_else_answers_it_is_not_a_matter_of_udp() {
        let scene = Scene::new("shop.example").check(Kind::Icmp, [echo("192.0.2.1", &[])]).check(Kind::Ntp, [ntp(silence())]);
        assert!(!scene.names("path.udp_blocked"));
    }

    #[test]
    fn one_of_two_addresses_that_answers_is_enough() {
        let scene = pinged().ended(Kind::Ntp, Status::Succeeded, [ntp(silence())]);
        assert_eq!(scene.is_healthy(), ["path.udp_blocked"]);
    }

    #[test]
    fn a_question_of_dhcp_is_for_no_address() {
        let fact = service(|service| {
            (service.protocol, service.address) = (ServiceProtocol::Dhcp, "192.0.2.1:67".parse().unwrap());
            (service.connect_us, service.first_byte_us, service.failure) = (None, None, Some(silence()));
        });
        assert!(!pinged().check(Kind::Service, [fact]).names("path.udp_blocked"));
    }
}
