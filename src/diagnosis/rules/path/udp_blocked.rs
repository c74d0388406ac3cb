use super::admin_prohibited::says_nobody;
use super::udp_unanswered;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::wording::named;
use netsonde_contract::failure::{FailureCode, IcmpError, IcmpMeaning};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Exchange, Mtu, MtuLimit, MtuTransport, Quic};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same QUIC handshake from another network: where it succeeds, a filter on this way drops UDP"),
    ..Rule::new(
        "path.udp_blocked",
        &["path.target_silent", "path.admin_prohibited", "path.mtu_blackhole", "udp.refused"],
        evaluate,
    )
};

/// A filter says itself that it lets the packets not pass.
pub(super) const TOLD: f64 = 0.95;
/// It says that there is no way or no machine, and the address answers otherwise.
pub(super) const TOLD_IN_OTHER_WORDS: f64 = 0.85;
/// The server says over TCP that it speaks QUIC at this port, and nothing comes back over UDP, in which packets of that size pass elsewhere.
const CLAIMED: f64 = 0.9;
/// Whether it is UDP that does not pass, or packets as large as QUIC's first ones, was not looked at.
const OF_ANY_SIZE: f64 = 0.85;
/// Smaller packets over UDP pass, and TCP carries larger ones: what drops them looks at both.
const BY_SIZE: f64 = 0.85;
/// The first packets of QUIC have this many bytes at least, headers aside (RFC 9000 section 14.1).
const FIRST_BYTES: u32 = 1_200;
/// A server without QUIC behind a filter of its own is as silent.
const NOT_CLAIMED: f64 = 0.5;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_quic = evidence.quics.iter().filter_map(|quic| blocked(evidence, quic));
    of_quic.chain(udp_unanswered::candidates(evidence)).collect()
}

fn blocked(evidence: &Evidence<'_>, quic: &Seen<'_, Quic>) -> Option<Candidate> {
    let failure = quic.failure.as_ref()?;
    let address = quic.address.ip();
    let filter = failure.icmp.as_ref().filter(|icmp| is_filter(icmp, address));
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
    if let Some(mtu) = evidence.mtus.iter().find(|mtu| mtu.address == address && is_too_narrow(mtu)) {
        return by_size(evidence, quic, mtu, &connected);
    }
    let (host, port) = (named(&quic.host, address), quic.address.port());
    let seen = match (filter, claims.is_empty()) {
        (Some(icmp), _) => format!("{} answers instead: {}", icmp.offender, icmp.words()),
        (None, false) => "nothing comes back, although the server says that it speaks QUIC there".to_owned(),
        (None, true) => "nothing comes back, so that either UDP is blocked or no QUIC server is behind the port".to_owned(),
    };
    let sentence = format!(
        "UDP does not get through to {host} on port {port}, where TCP connects: {seen}. Applications fall back to TCP, if they can."
    );
    let large =
        evidence.mtus.iter().filter(|mtu| mtu.address == address && passes_quic(mtu)).map(|mtu| mtu.id).collect::<Vec<_>>();
    let told = filter.map(|_| quic.id);
    let confidence = match (filter, claims.is_empty()) {
        (Some(icmp), _) if says_nobody(icmp.meaning()) => TOLD_IN_OTHER_WORDS,
        (Some(_), _) => TOLD,
        (None, false) if large.is_empty() => OF_ANY_SIZE,
        (None, false) => CLAIMED,
        (None, true) => NOT_CLAIMED,
    };
    let severity = severity(evidence, quic);
    let place = Place { address: Some(filter.map_or(address, |icmp| icmp.offender)), port: Some(port), ..Place::default() };
    let action = format!("Allow UDP port {port} to {address} and the answers to it: firewalls for the web often pass TCP only.");
    Some(
        Candidate::new(severity, confidence, sentence)
            .at(place)
            .resting_on([quic.id])
            .resting_on(connected.iter().copied())
            .resting_on(claims.iter().copied())
            .rejecting(
                "udp.refused",
                "The server says over TCP that it takes QUIC there.",
                claims.into_iter().filter(|_| told.is_none()),
            )
            .rejecting("udp.refused", "The answer is a filter's, and not the target's own.", told)
            .rejecting(
                "path.admin_prohibited",
                "It is UDP alone that is forbidden: TCP connects to the same port.",
                connected.iter().copied().filter(|_| told.is_some()),
            )
            .rejecting("path.target_silent", "TCP connects to the same port.", connected)
            .rejecting("path.mtu_blackhole", "A filter answers, and not silence.", told)
            .rejecting(
                "path.mtu_blackhole",
                "Packets as large over UDP reach the address.",
                large.into_iter().filter(|_| filter.is_none()),
            )
            .next(Who::Network, action),
    )
}

/// Less where another address of the host takes QUIC: programs try the next one.
fn severity(evidence: &Evidence<'_>, quic: &Seen<'_, Quic>) -> Severity {
    let other =
        |seen: &Seen<'_, Quic>| seen.failure.is_none() && seen.host == quic.host && seen.address.ip() != quic.address.ip();
    let works = evidence.quics.iter().any(other);
    if quic.outcome.required && !works { Severity::Problem } else { Severity::Degraded }
}

/// Packets over UDP that are as large as QUIC's first ones vanish, and smaller ones pass.
fn by_size(
    evidence: &Evidence<'_>,
    quic: &Seen<'_, Quic>,
    mtu: &Seen<'_, Mtu>,
    connected: &[&ObservationId],
) -> Option<Candidate> {
    let (passed, stopped) = (mtu.passed_bytes?, mtu.stopped_bytes?);
    // Where nothing as large is known to pass, it is the path that is too narrow.
    if !evidence.carries(mtu.address, stopped) {
        return None;
    }
    let (host, address) = (named(&quic.host, mtu.address), mtu.address);
    let sentence = format!(
        "UDP packets as large as QUIC's do not get through to {host}: {passed} bytes pass, {stopped} do not, and no router says so, while TCP carries packets as large. Applications fall back to TCP, if they can."
    );
    let candidate = Candidate::new(severity(evidence, quic), BY_SIZE, sentence)
        .at(Place { address: Some(address), port: Some(quic.address.port()), ..Place::default() })
        .resting_on([quic.id, mtu.id])
        .resting_on(connected.iter().copied())
        .rejecting("path.target_silent", "TCP connects to the same port.", connected.iter().copied())
        .rejecting("path.mtu_blackhole", "Packets as large pass over TCP.", [mtu.id])
        .rejecting("udp.refused", "Nothing came back from the port.", [quic.id])
        .next(
            Who::Network,
            format!("Look for a filter that drops large UDP packets on the way to {address}: a guard against floods or amplification, whose limit has to be 1,280 bytes or more for QUIC."),
        );
    Some(candidate)
}

/// Unanswered handshakes of QUIC that a path on which packets of so many bytes pass is too narrow for.
pub(super) fn too_large<'a>(evidence: &Evidence<'a>, mtu: &Mtu) -> Vec<&'a ObservationId> {
    let silent = |quic: &Quic| {
        let timed_out = quic.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut);
        timed_out && quic.first_reply_us.is_none() && quic.address.ip() == mtu.address
    };
    let narrow = is_too_narrow(mtu);
    evidence.quics.iter().filter(|quic| narrow && silent(quic)).map(|quic| quic.id).collect()
}

/// The first packets of QUIC with the headers of IP and UDP.
fn of_quic_bytes(mtu: &Mtu) -> u32 {
    FIRST_BYTES + if mtu.address.is_ipv4() { 28 } else { 48 }
}

fn is_too_narrow(mtu: &Mtu) -> bool {
    let passed = mtu.passed_bytes.is_some_and(|bytes| bytes < of_quic_bytes(mtu));
    mtu.transport == MtuTransport::Udp && mtu.limit == MtuLimit::Untold && passed
}

fn passes_quic(mtu: &Mtu) -> bool {
    mtu.transport == MtuTransport::Udp && mtu.passed_bytes.is_some_and(|bytes| bytes >= of_quic_bytes(mtu))
}

/// An error that a filter sends, of an address that answers otherwise. A closed port of a machine answers "port unreachable" itself, from
/// its own address.
pub(super) fn is_filter(icmp: &IcmpError, address: IpAddr) -> bool {
    match icmp.meaning() {
        IcmpMeaning::AdministrativelyProhibited => true,
        IcmpMeaning::PortUnreachable => icmp.offender != address,
        meaning => says_nobody(meaning),
    }
}

/// RFC 7838: the server names HTTP/3 among its alternatives.
fn offers_quic(exchange: &Exchange) -> bool {
    exchange.header("alt-svc").is_some_and(|value| value.split(',').any(|one| one.trim_start().starts_with("h3")))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, exchange, failure, header, icmp, mtu, quic, silent, tcp_mtu};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{MtuLimit, Quic};

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
        assert!(finding.confidence > 0.8 && finding.place.port == Some(443));
    }

    #[test]
    fn whether_it_is_udp_or_the_size_of_its_packets_is_open_until_sizes_were_tried() {
        let silent = || offering().check(Kind::Quic, [quic(AT, unanswered)]);
        let open = silent().finds("path.udp_blocked").could_not_separate;
        assert!(open.iter().any(|open| open.cause == "path.mtu_blackhole"), "{open:?}");
        let finding = silent().check(Kind::Mtu, [mtu(MtuLimit::None, 1_500, None)]).finds("path.udp_blocked");
        assert!(finding.confidence >= 0.9 && finding.rejected.iter().any(|other| other.cause == "path.mtu_blackhole"));
    }

    #[test]
    fn small_packets_over_udp_that_pass_show_that_the_large_ones_are_dropped() {
        let narrow =
            || offering().check(Kind::Quic, [quic(AT, unanswered)]).check(Kind::Mtu, [mtu(MtuLimit::Untold, 1_220, Some(1_221))]);
        let finding = narrow().finds("path.mtu_blackhole");
        assert!(finding.sentence.contains("QUIC, whose first packets are larger"), "{}", finding.sentence);
        assert!(!narrow().names("path.udp_blocked"));
        let finding = narrow().check(Kind::Mtu, [tcp_mtu(MtuLimit::None, 1_500, None, 1_460)]).finds("path.udp_blocked");
        assert!(finding.sentence.contains("1220 bytes pass, 1221 do not"), "{}", finding.sentence);
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
    fn one_family_that_is_blocked_beside_one_that_works_is_felt_less() {
        let at_v6 = "[2001:db8::1]:443";
        let scene = Scene::new("https://shop.example/").check(Kind::Tcp, [connected(AT), connected(at_v6)]);
        let scene = scene.check(Kind::Quic, [quic(AT, |_| {}), quic(at_v6, unanswered)]);
        assert_eq!(scene.finds("path.udp_blocked").severity, Severity::Degraded);
    }

    #[test]
    fn a_filter_that_says_host_unreachable_for_udp_alone_is_named() {
        let turned_away = |quic: &mut Quic| {
            quic.failure = Some(failure(FailureCode::HostUnreachable, Step::Handshake).with_icmp(icmp("10.0.2.1", 3, 1)));
        };
        let finding = offering().check(Kind::Quic, [quic(AT, turned_away)]).finds("path.udp_blocked");
        assert_eq!((finding.confidence, finding.place.address), (0.85, Some("10.0.2.1".parse().unwrap())));
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
