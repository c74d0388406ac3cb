use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::wording::named;
use netsonde_contract::failure::{Failure, FailureCode, IcmpError, IcmpMeaning};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::kind::ServiceTransport;
use netsonde_contract::observation::Fact;
use netsonde_contract::outcome::{Outcome, Status};
use std::net::SocketAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some(
        "the list of listening UDP ports on the server itself (ss -lnup): where the service is in it, a filter there rejects",
    ),
    ..Rule::new("udp.refused", &["path.udp_blocked", "path.admin_prohibited"], evaluate)
};

/// The target itself says that nobody has the port open; a filter on the target may say so, too.
const FROM_TARGET: f64 = 0.9;
/// The system says that the port was refused, and not by whom.
const WITHOUT_ICMP: f64 = 0.7;

/// One question over UDP that a port of the target refused.
struct Refusal<'a> {
    outcome: &'a Outcome,
    id: &'a ObservationId,
    host: &'a str,
    address: SocketAddr,
    icmp: Option<&'a IcmpError>,
}

/// A filter on the way that refuses answers from an address of its own, and is another cause.
fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let refusals: Vec<Refusal<'_>> = evidence.outcomes.iter().flat_map(|outcome| of_check(outcome)).collect();
    let mut addresses: Vec<SocketAddr> = refusals.iter().map(|refusal| refusal.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into_iter().filter_map(|address| refused(&refusals, address)).collect()
}

fn of_check(outcome: &Outcome) -> impl Iterator<Item = Refusal<'_>> {
    outcome.observations.iter().filter_map(move |observation| {
        let (host, address, failure) = asked_over_udp(&observation.fact)?;
        let icmp = failure.icmp.as_ref();
        let closed = |icmp: &IcmpError| icmp.meaning() == IcmpMeaning::PortUnreachable && icmp.offender == address.ip();
        let refused = failure.code == FailureCode::Refused && icmp.is_none_or(closed);
        refused.then_some(Refusal { outcome, id: &observation.id, host, address, icmp })
    })
}

/// Host, address and failure of what asked a server over UDP.
fn asked_over_udp(fact: &Fact) -> Option<(&str, SocketAddr, &Failure)> {
    match fact {
        Fact::Quic(quic) => Some((&quic.host, quic.address, quic.failure.as_ref()?)),
        Fact::TimeOffset(offset) => Some((&offset.host, offset.address, offset.failure.as_ref()?)),
        Fact::Reflection(reflection) => Some((&reflection.host, reflection.address, reflection.failure.as_ref()?)),
        Fact::Service(service) if service.protocol.transport() == ServiceTransport::Udp => {
            Some((&service.host, service.address, service.failure.as_ref()?))
        }
        _ => None,
    }
}

fn refused(refusals: &[Refusal<'_>], address: SocketAddr) -> Option<Candidate> {
    let here: Vec<&Refusal<'_>> = refusals.iter().filter(|refusal| refusal.address == address).collect();
    let first = here.first()?;
    // Of a host with several addresses one that answers is enough: the check itself says so by how it ended.
    let required = here.iter().any(|refusal| refusal.outcome.required);
    let works = here.iter().all(|refusal| refusal.outcome.status == Status::Succeeded);
    if works && address.ip().is_loopback() {
        // A server on one of the two loopback addresses is how most of them are set up.
        return None;
    }
    let severity = match (works, required) {
        (true, _) => Severity::Notice,
        (false, true) => Severity::Problem,
        (false, false) => Severity::Degraded,
    };
    let told = here.iter().any(|refusal| refusal.icmp.is_some());
    let (host, port) = (named(first.host, address.ip()), address.port());
    let sentence = format!(
        "{host} refuses UDP on port {port}: the machine answers \"port unreachable\", so that nothing there takes what is sent to the port."
    );
    let place = Place { address: Some(address.ip()), port: Some(port), ..Place::default() };
    let ids: Vec<&ObservationId> = here.iter().map(|refusal| refusal.id).collect();
    let candidate = Candidate::new(severity, if told { FROM_TARGET } else { WITHOUT_ICMP }, sentence)
        .at(place)
        .resting_on(ids.iter().copied())
        .next(
            Who::Server,
            format!("Start the service on UDP port {port} of {host}, let it listen on that address, or correct the port that is asked."),
        );
    if !told {
        return Some(candidate);
    }
    Some(
        candidate
            .rejecting("path.udp_blocked", "The target itself answered: the packets reach it.", ids.iter().copied())
            .rejecting(
                "path.admin_prohibited",
                "The answer comes from the target's own address and says that the port is closed.",
                ids,
            ),
    )
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, failure, icmp, quic, service, time_refused};
    use netsonde_contract::failure::{Failure, FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::{Kind, ServiceProtocol};

    const AT: &str = "192.0.2.1:443";

    fn closed(offender: &str) -> Failure {
        failure(FailureCode::Refused, Step::Handshake).with_icmp(icmp(offender, 3, 3))
    }

    #[test]
    fn a_closed_udp_port_is_named_whichever_check_met_it() {
        for (kind, fact) in [
            (Kind::Quic, quic(AT, |quic| quic.failure = Some(closed("192.0.2.1")))),
            (Kind::Ntp, time_refused(AT, closed("192.0.2.1"))),
            (
                Kind::Service,
                service(|service| {
                    (service.protocol, service.address) = (ServiceProtocol::Ike, AT.parse().unwrap());
                    service.failure = Some(closed("192.0.2.1"));
                }),
            ),
        ] {
            let finding = Scene::new("shop.example").check(kind, [fact]).finds("udp.refused");
            assert_eq!((finding.place.port, finding.confidence, finding.severity), (Some(443), 0.9, Severity::Problem));
            assert!(finding.rejected.iter().any(|rejected| rejected.cause == "path.udp_blocked"), "{kind:?}");
        }
    }

    #[test]
    fn a_refusal_of_which_the_system_tells_no_sender_is_less_certain() {
        let fact = quic(AT, |quic| quic.failure = Some(failure(FailureCode::Refused, Step::Handshake)));
        let finding = Scene::new("shop.example").check(Kind::Quic, [fact]).finds("udp.refused");
        assert!(finding.confidence == 0.7 && finding.rejected.is_empty() && finding.settled_by.is_some(), "{finding:?}");
    }

    #[test]
    fn a_box_on_the_way_that_refuses_is_another_cause() {
        let fact = quic(AT, |quic| quic.failure = Some(closed("10.0.0.1")));
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected(AT)]).check(Kind::Quic, [fact]);
        assert!(!scene.names("udp.refused") && scene.names("path.udp_blocked"));
    }

    #[test]
    fn silence_and_a_refused_tcp_port_are_no_refusal_over_udp() {
        let silent = quic(AT, |quic| quic.failure = Some(failure(FailureCode::TimedOut, Step::Handshake)));
        assert!(!Scene::new("shop.example").check(Kind::Quic, [silent]).names("udp.refused"));
        let tcp = service(|service| service.failure = Some(failure(FailureCode::Refused, Step::Connect)));
        assert!(!Scene::new("shop.example").check(Kind::Service, [tcp]).names("udp.refused"));
    }
}
