use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::wording::named;
use netsonde_contract::failure::{FailureCode, IcmpError, IcmpMeaning};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Exchange, Quic};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same QUIC handshake from another network: where it succeeds, a filter on this way drops UDP"),
    ..Rule::new("path.udp_blocked", &["path.target_silent", "path.admin_prohibited"], evaluate)
};

/// A filter says itself that it lets the packets not pass.
const TOLD: f64 = 0.95;
/// The server says over TCP that it speaks QUIC at this port, and nothing comes back over UDP.
const CLAIMED: f64 = 0.9;
/// A server without QUIC behind a filter of its own is as silent.
const NOT_CLAIMED: f64 = 0.5;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.quics.iter().filter_map(|quic| blocked(evidence, quic)).collect()
}

fn blocked(evidence: &Evidence<'_>, quic: &Seen<'_, Quic>) -> Option<Candidate> {
    let failure = quic.failure.as_ref()?;
    let address = quic.address.ip();
    let filter = failure.icmp.as_ref().filter(|icmp| is_filter(icmp, quic));
    let silent = failure.code == FailureCode::TimedOut && failure.icmp.is_none();
    let answered = quic.first_reply_us.is_some() || quic.server_versions.is_some();
    if answered || !(silent || filter.is_some()) {
        return None;
    }
    // Whatever is silent over TCP as well is not a matter of UDP.
    let connected: Vec<&ObservationId> = evidence
        .attempts()
        .iter()
        .filter(|attempt| attempt.address == quic.address && attempt.connected())
        .map(|attempt| attempt.id)
        .collect();
    connected.first()?;
    let claims: Vec<&ObservationId> =
        evidence.exchanges.iter().filter(|exchange| offers_quic(exchange)).map(|exchange| exchange.id).collect();
    let (host, port) = (named(&quic.host, address), quic.address.port());
    let seen = match (filter, claims.is_empty()) {
        (Some(icmp), _) => format!("{} answers instead: {}", icmp.offender, icmp.words()),
        (None, false) => "nothing comes back, although the server says that it speaks QUIC there".to_owned(),
        (None, true) => "nothing comes back, so that either UDP is blocked or no QUIC server is behind the port".to_owned(),
    };
    let sentence = format!(
        "UDP does not get through to {host} on port {port}, where TCP connects: {seen}. Applications fall back to TCP, if they can."
    );
    let confidence = match (filter, claims.is_empty()) {
        (Some(_), _) => TOLD,
        (None, false) => CLAIMED,
        (None, true) => NOT_CLAIMED,
    };
    let severity = if quic.outcome.required { Severity::Problem } else { Severity::Degraded };
    let place = Place { address: Some(filter.map_or(address, |icmp| icmp.offender)), port: Some(port), ..Place::default() };
    let action = format!("Allow UDP port {port} to {address} and the answers to it: firewalls for the web often pass TCP only.");
    Some(
        Candidate::new(severity, confidence, sentence)
            .at(place)
            .resting_on([quic.id])
            .resting_on(connected.iter().copied())
            .resting_on(claims)
            .rejecting("path.target_silent", "TCP connects to the same port.", connected)
            .next(Who::Network, action),
    )
}

/// An error that a filter sends. A closed port of a machine answers "port unreachable" itself, from its own address.
fn is_filter(icmp: &IcmpError, quic: &Quic) -> bool {
    match icmp.meaning() {
        IcmpMeaning::AdministrativelyProhibited => true,
        IcmpMeaning::PortUnreachable => icmp.offender != quic.address.ip(),
        _ => false,
    }
}

/// RFC 7838: the server names HTTP/3 among its alternatives.
fn offers_quic(exchange: &Exchange) -> bool {
    exchange.header("alt-svc").is_some_and(|value| value.split(',').any(|one| one.trim_start().starts_with("h3")))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, exchange, failure, header, icmp, quic, silent};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Quic;

    const AT: &str = "192.0.2.1:443";

    fn unanswered(quic: &mut Quic) {
        quic.failure = Some(failure(FailureCode::TimedOut, Step::Handshake));
    }

    fn offering() -> Scene {
        let offer = |exchange: &mut netsonde_contract::observation::Exchange| {
            exchange.headers.push(header("alt-svc", "h3=\":443\"; ma=60"));
        };
        let scene = Scene::new("https://shop.example/").check(Kind::Tcp, [connected(AT)]);
        scene.check(Kind::Http, [exchange("https://shop.example/", offer)])
    }

    #[test]
    fn silence_over_udp_at_a_port_that_offers_quic_over_tcp_is_a_block() {
        let finding = offering().check(Kind::Quic, [quic(AT, unanswered)]).finds("path.udp_blocked");
        assert_eq!((finding.confidence, finding.place.port), (0.9, Some(443)));
    }

    #[test]
    fn a_server_that_does_not_offer_quic_leaves_it_open() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected(AT)]).check(Kind::Quic, [quic(AT, unanswered)]);
        let finding = scene.finds("path.udp_blocked");
        assert!(finding.confidence == 0.5 && finding.settled_by.is_some(), "{finding:?}");
    }

    #[test]
    fn a_filter_that_says_so_is_named() {
        let forbidden = |quic: &mut Quic| {
            quic.failure = Some(failure(FailureCode::HostUnreachable, Step::Handshake).with_icmp(icmp("10.0.2.1", 3, 13)));
        };
        let finding = offering().check(Kind::Quic, [quic(AT, forbidden)]).finds("path.udp_blocked");
        assert_eq!((finding.confidence, finding.place.address), (0.95, Some("10.0.2.1".parse().unwrap())));
    }

    #[test]
    fn a_closed_port_of_the_server_itself_is_no_block() {
        let closed = |quic: &mut Quic| {
            quic.failure = Some(failure(FailureCode::Refused, Step::Handshake).with_icmp(icmp("192.0.2.1", 3, 3)));
        };
        assert!(!offering().check(Kind::Quic, [quic(AT, closed)]).names("path.udp_blocked"));
    }

    #[test]
    fn a_server_that_answers_and_then_stalls_is_reached() {
        let stalls = |quic: &mut Quic| {
            unanswered(quic);
            quic.first_reply_us = Some(20_000);
        };
        assert!(!offering().check(Kind::Quic, [quic(AT, stalls)]).names("path.udp_blocked"));
    }

    #[test]
    fn where_tcp_is_silent_too_it_is_not_a_matter_of_udp() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [silent(AT)]).check(Kind::Quic, [quic(AT, unanswered)]);
        assert!(!scene.names("path.udp_blocked"));
    }

    #[test]
    fn a_handshake_that_completes_is_healthy() {
        assert!(offering().check(Kind::Quic, [quic(AT, |_| {})]).is_healthy().is_empty());
    }
}
