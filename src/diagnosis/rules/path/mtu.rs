//! Paths that pass only smaller packets than usual: with a word, or without.

use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, Share};
use crate::rule::Rule;
use crate::rules::path::mtu_spared::{Spared, spared};
use crate::rules::path::{loss, mtu_segments, udp_blocked};
use crate::spot::Spot;
use crate::threshold::USUAL_MTU_BYTES;
use crate::wording::named;
use netsonde_contract::failure::{Failure, FailureCode, IcmpError, IcmpMeaning, Step};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Echo, Mtu, MtuAnswer, MtuLimit, MtuTransport};
use netsonde_contract::outcome::Outcome;
use std::net::IpAddr;

pub(in crate::rules) const LOWERED_RULE: Rule = Rule::new("path.mtu_lowered", &["path.mtu_blackhole"], lowered);

pub(in crate::rules) const BLACKHOLE_RULE: Rule = Rule {
    // A transfer that goes on in small segments only, after long pauses, looks as even as one below a limit.
    refines: &["http.timeout", "tls.handshake_timeout", "tls.large_hello_blocked", "path.policed"],
    settled_by: Some("the same transfer with the interface's MTU set to the size that passes: if it works, this is the cause"),
    ..Rule::new(
        "path.mtu_blackhole",
        &[
            "path.mtu_lowered",
            "http.slow_server",
            "path.loss",
            "tls.handshake_timeout",
            "tls.large_hello_blocked",
            "http.timeout",
        ],
        blackhole,
    )
};

/// A router named the size, and packets of that size pass.
const TOLD: f64 = 0.95;
/// Large packets vanish, small ones sent after them are answered, and an exchange came to a halt.
const WITH_STALL: f64 = 0.92;
/// The same, and everything that was tried works, because it is small.
const WITHOUT_STALL: f64 = 0.85;

/// Only routers on the way were asked, which answer with errors that may be limited.
pub(super) const BY_TRACE: f64 = 0.75;

/// Pings show the large answers lost; TCP's own were not seen.
const ON_THE_WAY_BACK: f64 = 0.85;

/// The same over UDP and over TCP.
const BOTH_WAYS: f64 = 0.95;

/// Large pings alone were seen to vanish, which a filter that drops nothing else does as well: with an exchange that came to a halt, and without.
const BY_PINGS_WITH_STALL: f64 = 0.85;
const BY_PINGS: f64 = 0.6;

/// Why what came to a halt is not the server's doing.
const ANY_LARGE: &str = "Large packets vanish on the way, whatever they carry and whatever the server does with them.";
const LARGE_PINGS_TOO: &str = "The target's answers to large pings are lost as well, which no server program has a part in.";
const PINGS_TOO: &str = "Large pings, or the answers to them, are lost as well, which no server program has a part in.";

/// Large packets that vanish together are no chance where that happens in one case of so many: of a path that loses a quarter of all six
/// have to, of one that loses a third eight.
pub(super) const ONE_CASE_IN: f64 = 4_000.0;
/// Packets of which the share that is lost is known well enough to reckon with.
const MANY: u32 = 20;

fn lowered(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_mtu = |mtu: &Seen<'_, Mtu>| {
        let told = mtu.told.as_ref().filter(|_| mtu.limit == MtuLimit::Told)?;
        let passed = mtu.passed_bytes.filter(|bytes| *bytes < USUAL_MTU_BYTES)?;
        let sentence = format!(
            "Packets to {} may be {passed} bytes at most, less than the usual {USUAL_MTU_BYTES}: the router {} says so, and programs adapt to it.",
            named(&mtu.host, mtu.address),
            told.offender
        );
        let candidate = Candidate::new(Severity::Notice, TOLD, sentence)
            .at(Place { hop: evidence.hop_of(mtu.address, told.offender), address: Some(told.offender), ..Place::default() })
            .resting_on([mtu.id])
            .rejecting("path.mtu_blackhole", "The limit is told with an ICMP error, as it should be.", [mtu.id])
            .next(Who::Customer, "Nothing has to be done, as long as ICMP errors are not filtered on the way.");
        Some(candidate)
    };
    let mut found = first_of_each_address(evidence, |mtu| of_mtu(mtu));
    let measured: Vec<IpAddr> = evidence.mtus.iter().map(|mtu| mtu.address).collect();
    let pinged = evidence.addresses().into_iter().filter(|address| !measured.contains(address));
    found.extend(pinged.filter_map(|address| too_large_a_ping(evidence, address)));
    found
}

/// Pings that no router may cut, none of which was answered, as a router says that they are too big.
fn too_large_a_ping(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let unanswered = |echo: &&Seen<'_, Echo>| echo.fact.dont_fragment && echo.fact.replies.is_empty();
    let told = |echo: &&'_ Seen<'_, Echo>| {
        let too_big = |error: &&IcmpError| error.meaning() == IcmpMeaning::PacketTooBig && error.mtu.is_some_and(|mtu| mtu > 0);
        echo.fact.errors.iter().find(too_big).cloned()
    };
    let (echo, error) = evidence.echoes_of(address).filter(unanswered).find_map(|echo| Some((echo, told(&echo)?)))?;
    let headers = if address.is_ipv4() { 20 + 8 } else { 40 + 8 };
    let (sent, mtu) = (echo.fact.size_bytes + headers, error.mtu?);
    let sentence = format!(
        "The pings of {sent} bytes to {} may not be cut and are too big for the way: the router {} says that it takes {mtu} bytes at most. Programs that hear such a message adapt to it.",
        named(&echo.fact.host, address),
        error.offender
    );
    let candidate = Candidate::new(Severity::Degraded, TOLD, sentence)
        .at(Place { hop: evidence.hop_of(address, error.offender), address: Some(error.offender), ..Place::default() })
        .about(Spot::Address(address))
        .resting_on([echo.id])
        .rejecting("path.mtu_blackhole", "The limit is told with an ICMP error, as it should be.", [echo.id])
        .next(
            Who::Customer,
            format!("Nothing has to be done as long as ICMP errors are not filtered on the way; netsonde probe mtu {address} shows whether packets of {mtu} bytes pass."),
        );
    Some(candidate)
}

fn blackhole(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut found = first_of_each_address(evidence, |mtu| swallowed(evidence, mtu));
    let measured: Vec<IpAddr> =
        evidence.mtus.iter().filter(|mtu| swallowed(evidence, mtu).is_some()).map(|mtu| mtu.address).collect();
    let of_traces = evidence.addresses().into_iter().filter(|address| !measured.contains(address));
    found.extend(of_traces.filter_map(|address| swallowed_on_the_way(evidence, address)));
    if found.is_empty() {
        found.extend(evidence.addresses().into_iter().filter_map(|address| swallowed_on_the_way_back(evidence, address)));
    }
    if found.is_empty() {
        found.extend(evidence.addresses().into_iter().filter_map(|address| mtu_segments::swallowed(evidence, address)));
    }
    found
}

/// Large packets to the address vanish, which brings exchanges to a halt by itself.
pub(super) fn swallows(evidence: &Evidence<'_>, address: IpAddr) -> bool {
    blackhole(evidence).iter().any(|candidate| candidate.about.contains(&Spot::Address(address)))
}

/// Large packets reach the address, small pings come back, and no large one does, where an exchange came to a halt as well. That the
/// host answers no large pings would look alike, but for the halt.
fn swallowed_on_the_way_back(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let (lost, stalled) = (evidence.large_answers_lost(address), stalled(evidence, address));
    if lost.is_empty() || stalled.is_empty() {
        return None;
    }
    let sentence = format!(
        "Large answers of {} are lost on the way back without a word: large packets reach it and small ones come back, and none of its large ones does. That is why the connection stands and then comes to a halt.",
        named(&evidence.host_at(address), address)
    );
    let small = evidence.echoed(address);
    let candidate = Candidate::new(Severity::Problem, ON_THE_WAY_BACK, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .resting_on(lost.iter().copied())
        .resting_on(stalled)
        .resting_on(evidence.passes_large(address))
        .rejecting("path.loss", "Small pings come back.", small.iter().copied())
        .rejecting("http.slow_server", "The target answers small packets at once.", small)
        .rejecting("http.timeout", LARGE_PINGS_TOO, lost.iter().copied())
        .rejecting("tls.handshake_timeout", LARGE_PINGS_TOO, lost.iter().copied())
        .rejecting("tls.large_hello_blocked", "Packets as large as such a hello reach the target.", evidence.passes_large(address))
        .settled_by("the same transfer with the interface's MTU at 1000 bytes, which makes the server send small segments: if it works, this is the cause")
        .next(
            Who::Network,
            format!("Look at what {address} sends back: a tunnel, a VPN or a firewall near it that drops large packets, or filters the \"packet too big\" messages that should tell it (ICMP 3/4, ICMPv6 2); until then clamp the MSS there."),
        );
    Some(candidate)
}

/// A trace that asked each hop for the largest packet it gets, and met silence at one.
fn swallowed_on_the_way(evidence: &Evidence<'_>, target: IpAddr) -> Option<Candidate> {
    let hops = evidence.hops_of(target);
    let (hop, passed, silent) = hops.iter().find_map(|hop| Some((hop, hop.mtu_bytes?, hop.mtu_silent_bytes?)))?;
    if evidence.carries(target, silent) || loss::share(evidence, target).is_some() {
        return None;
    }
    let router = hop.addresses().first().copied();
    let spared = spared(evidence, target, passed);
    let severity = if spared.is_some() { Severity::Notice } else { Severity::Degraded };
    let before = hops.iter().rev().find(|other| other.ttl < hop.ttl && other.mtu_bytes.is_some_and(|bytes| bytes >= silent));
    let sentence = format!(
        "Large packets to {} vanish without a word before hop {}: there is no answer above {passed} bytes, and no router says so. {}",
        named(&evidence.host_at(target), target),
        hop.ttl,
        effect(false, spared.as_ref())
    );
    let candidate = Candidate::new(severity, BY_TRACE, sentence)
        .at(Place { hop: Some(hop.ttl), address: router.or(Some(target)), ..Place::default() })
        .about(Spot::Address(target))
        .resting_on([hop.id])
        .resting_on(before.map(|other| other.id))
        .resting_on(spared.into_iter().flat_map(|spared| spared.ids))
        .rejecting("path.mtu_lowered", "No router tells the limit.", [hop.id])
        .rejecting("path.loss", "Smaller packets to the same distance are answered.", [hop.id])
        .rejecting("http.slow_server", "It is a router on the way that larger packets do not reach.", [hop.id])
        .rejecting("http.timeout", ANY_LARGE, [hop.id])
        .rejecting("tls.handshake_timeout", ANY_LARGE, [hop.id])
        .rejecting("tls.large_hello_blocked", ANY_LARGE, [hop.id])
        .settled_by(format!("measuring the sizes that the target itself answers to: netsonde probe mtu {target}"))
        .next(
            Who::Network,
            format!(
                "Let \"packet too big\" messages (ICMP 3/4, ICMPv6 2) pass on the way to {target}; until then set the MTU of this machine or of the tunnel to {passed}, or clamp the MSS."
            ),
        );
    Some(candidate)
}

/// What is found at an address over UDP is not told again for TCP.
fn first_of_each_address<'a>(evidence: &Evidence<'a>, propose: impl Fn(&Seen<'a, Mtu>) -> Option<Candidate>) -> Vec<Candidate> {
    let mut proposed: Vec<(IpAddr, Candidate)> = Vec::new();
    for mtu in &evidence.mtus {
        if proposed.iter().all(|(address, _)| *address != mtu.address) {
            proposed.extend(propose(mtu).map(|candidate| (mtu.address, candidate)));
        }
    }
    proposed.into_iter().map(|(_, candidate)| candidate).collect()
}

/// The part of all packets that the path loses; as many as it may well be, where few were counted.
pub(super) fn likely(lost: &Share<'_>) -> f64 {
    if lost.of >= MANY { lost.percent() / 100.0 } else { lost.interval().1 }
}

fn swallowed(evidence: &Evidence<'_>, mtu: &Seen<'_, Mtu>) -> Option<Candidate> {
    let (passed, stopped) = (mtu.passed_bytes?, mtu.stopped_bytes?);
    // What drops packets of one kind by their size, and not those of another, is no path that is too narrow.
    if mtu.limit != MtuLimit::Untold || evidence.carries(mtu.address, stopped) {
        return None;
    }
    // On a path that loses packets some sizes vanish by chance: then more of them must, and not one of them may have passed.
    let vanished = mtu.probes.iter().filter(|probe| probe.size_bytes > passed && probe.answer == MtuAnswer::Silent).count();
    let by_chance = |lost: &Share<'_>| likely(lost).powi(i32::try_from(vanished).unwrap_or(i32::MAX)) > 1.0 / ONE_CASE_IN;
    if loss::share(evidence, mtu.address).as_ref().is_some_and(by_chance) {
        return None;
    }
    let mut stalled = stalled(evidence, mtu.address);
    let only_quic = stalled.is_empty();
    stalled.extend(udp_blocked::too_large(evidence, mtu));
    let again: Vec<&Seen<'_, Mtu>> = evidence.mtus_of(mtu.address).filter(|other| other.limit == MtuLimit::Untold).collect();
    let both = again.iter().any(|other| other.transport != mtu.transport);
    // Segments that fit keep connections going, and what else is large may be sent by nobody here.
    let spared = spared(evidence, mtu.address, passed).filter(|_| stalled.is_empty());
    let pings_alone = mtu.transport == MtuTransport::Icmp && !both;
    let (severity, confidence) = match (stalled.is_empty(), &spared) {
        (false, _) if pings_alone => (Severity::Problem, BY_PINGS_WITH_STALL),
        (true, _) if pings_alone => (Severity::Notice, BY_PINGS),
        (false, _) => (Severity::Problem, WITH_STALL),
        (true, None) => (Severity::Degraded, WITHOUT_STALL),
        (true, Some(_)) => (Severity::Notice, WITHOUT_STALL),
    };
    let confidence = if both { BOTH_WAYS } else { confidence };
    let effect = match only_quic && !stalled.is_empty() {
        true => "That is why QUIC, whose first packets are larger, gets no answer.".to_owned(),
        false if pings_alone && stalled.is_empty() => {
            "A filter that drops large pings alone looks the same, and nothing came to a halt here.".to_owned()
        }
        false => effect(!stalled.is_empty(), spared.as_ref()),
    };
    let (what, any_large) = match pings_alone {
        true => ("pings to", PINGS_TOO),
        false => ("packets to", ANY_LARGE),
    };
    let sentence = format!(
        "Large {what} {} vanish without a word: {passed} bytes pass, {stopped} do not, and no router says so. {effect}",
        named(&evidence.host_at(mtu.address), mtu.address)
    );
    let answered = evidence.answered(mtu.address);
    let candidate = Candidate::new(severity, confidence, sentence)
        .at(Place { address: Some(mtu.address), ..Place::default() })
        .about(Spot::Address(mtu.address))
        .resting_on([mtu.id])
        .resting_on(again.into_iter().map(|other| other.id))
        .resting_on(stalled)
        .resting_on(spared.into_iter().flat_map(|spared| spared.ids))
        .rejecting("path.mtu_lowered", "No router tells the limit.", [mtu.id])
        .rejecting("path.loss", "Small packets sent right after the large ones are answered.", [mtu.id])
        .rejecting("http.slow_server", "The target answers small packets at once.", answered)
        .rejecting("http.timeout", any_large, [mtu.id])
        .rejecting("tls.handshake_timeout", any_large, [mtu.id])
        .rejecting("tls.large_hello_blocked", any_large, [mtu.id])
        .next(
            Who::Network,
            format!(
                "Let \"packet too big\" messages (ICMP 3/4, ICMPv6 2) pass on the way to {}; until then set the MTU of this machine or of the tunnel to {passed}, or clamp the MSS.",
                mtu.address
            ),
        );
    Some(candidate)
}

/// What whoever uses the path feels of it.
fn effect(stalled: bool, spared: Option<&Spared<'_>>) -> String {
    match spared {
        _ if stalled => "That is why the connection stands and then comes to a halt.".to_owned(),
        Some(Spared { packet_bytes, body_bytes: Some(whole), .. }) => format!(
            "TCP connections keep to packets of {packet_bytes} bytes, and {whole} bytes arrived whole; QUIC, VPNs and other large packets do not."
        ),
        Some(Spared { packet_bytes, body_bytes: None, .. }) => {
            format!("TCP connections are held to {packet_bytes} bytes and go on; QUIC, VPNs and other large packets do not.")
        }
        None => "Connections come to a halt as soon as they send more than a little.".to_owned(),
    }
}

/// Exchanges and handshakes with the address that stood, and then came to a halt.
fn stalled<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Vec<&'a ObservationId> {
    stalled_of(evidence, address, &|_| true)
}

/// The same of checks of this sort.
pub(super) fn stalled_of<'a>(
    evidence: &Evidence<'a>,
    address: IpAddr,
    sort: &dyn Fn(&Outcome) -> bool,
) -> Vec<&'a ObservationId> {
    let halted = |failure: &Option<Failure>| {
        let later = |step| matches!(step, Step::Handshake | Step::Send | Step::Receive);
        failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut && later(failure.during))
    };
    let direct = |at: Option<std::net::SocketAddr>| at.is_some_and(|at| at.ip() == address);
    let exchanges = evidence.exchanges.iter().filter(|exchange| exchange.proxy.is_none() && direct(exchange.address));
    let exchanges = exchanges.filter(|exchange| halted(&exchange.failure) && sort(exchange.outcome)).map(|exchange| exchange.id);
    let handshakes = evidence.handshakes.iter().filter(|handshake| handshake.address.ip() == address && sort(handshake.outcome));
    exchanges.chain(handshakes.filter(|handshake| halted(&handshake.failure)).map(|handshake| handshake.id)).collect()
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, echo_mtu, echo_series, exchange, failure, icmp, mtu, sized, tcp_mtu, trace};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{MtuLimit, TcpState};

    const URL: &str = "http://shop.example/";

    fn halted(status: Option<u16>) -> Scene {
        let fact = exchange(URL, |exchange| {
            exchange.status = status;
            exchange.failure = Some(failure(FailureCode::TimedOut, Step::Receive));
        });
        Scene::new(URL).check(Kind::Http, [fact])
    }

    #[test]
    fn large_packets_that_vanish_explain_an_exchange_that_came_to_a_halt() {
        for status in [None, Some(200)] {
            let finding =
                halted(status).check(Kind::Mtu, [mtu(MtuLimit::Untold, 1_300, Some(1_301))]).finds("path.mtu_blackhole");
            assert_eq!(finding.severity, Severity::Problem);
            assert!(["http.timeout", "path.policed"].iter().all(|code| finding.refines.iter().any(|refined| refined == code)));
            assert!(finding.sentence.contains("1300 bytes pass, 1301 do not"), "{}", finding.sentence);
        }
    }

    #[test]
    fn a_hop_that_does_not_answer_above_a_size_shows_a_black_hole_before_it() {
        let mut facts = trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "192.0.2.1"]);
        for fact in &mut facts {
            if let netsonde_contract::observation::Fact::Hop(hop) = fact {
                (hop.mtu_bytes, hop.mtu_silent_bytes) = match hop.ttl {
                    1 => (Some(1_500), None),
                    2 => (Some(1_300), Some(1_301)),
                    _ => (Some(1_300), None),
                };
            }
        }
        let scene = Scene::new(URL).check(Kind::Traceroute, facts.clone());
        let finding = scene.finds("path.mtu_blackhole");
        assert_eq!((finding.place.hop, finding.evidence.len()), (Some(2), 2));
        assert!(finding.sentence.contains("no answer above 1300 bytes"), "{}", finding.sentence);
        let carried = Scene::new(URL).check(Kind::Traceroute, facts).check(Kind::Mtu, [mtu(MtuLimit::None, 1_500, None)]);
        assert!(!carried.names("path.mtu_blackhole"), "the target itself gets larger ones");
    }

    #[test]
    fn where_nothing_came_to_a_halt_it_is_felt_only_later() {
        let scene = Scene::new(URL).check(Kind::Http, [exchange(URL, |_| {})]);
        let finding = scene.check(Kind::Mtu, [mtu(MtuLimit::Untold, 1_300, Some(1_301))]).finds("path.mtu_blackhole");
        assert_eq!(finding.severity, Severity::Degraded);
    }

    #[test]
    fn sizes_that_vanish_by_chance_on_a_lossy_path_are_no_black_hole() {
        let scene = Scene::new(URL).check(Kind::Mtu, [mtu(MtuLimit::Untold, 1_300, Some(1_301))]);
        let diagnosis = scene.check(Kind::Icmp, [echo_series("192.0.2.1", 20, 5, |_| {})]).diagnose();
        assert_eq!(diagnosis.findings.iter().map(|finding| finding.cause.as_str()).collect::<Vec<_>>(), ["path.loss"]);
    }

    #[test]
    fn what_vanishes_over_udp_and_tcp_is_one_finding_that_rests_on_both() {
        let scene = Scene::new(URL).check(Kind::Mtu, [mtu(MtuLimit::Untold, 1_300, Some(1_301))]);
        let finding = scene.check(Kind::Mtu, [tcp_mtu(MtuLimit::Untold, 1_300, Some(1_301), 1_460)]).finds("path.mtu_blackhole");
        assert_eq!(finding.evidence.len(), 2);
        assert!(finding.confidence > 0.9 && finding.sentence.contains("come to a halt"), "{finding:?}");
    }

    #[test]
    fn large_pings_that_vanish_explain_a_halt_and_are_a_notice_where_nothing_came_to_one() {
        let vanish = || echo_mtu(MtuLimit::Untold, 1_300, Some(1_301));
        let finding = halted(None).check(Kind::Mtu, [vanish()]).finds("path.mtu_blackhole");
        assert_eq!((finding.severity, finding.confidence), (Severity::Problem, super::BY_PINGS_WITH_STALL));
        assert!(finding.sentence.starts_with("Large pings to") && finding.sentence.contains("comes to a halt"), "{finding:?}");
        let scene = Scene::new(URL).check(Kind::Http, [exchange(URL, |_| {})]).check(Kind::Mtu, [vanish()]);
        assert_eq!(scene.is_healthy(), ["path.mtu_blackhole"], "a filter of large pings harms nobody");
        let finding = scene.diagnose().findings.remove(0);
        assert!(finding.confidence < 0.7 && finding.sentence.contains("large pings alone looks the same"), "{finding:?}");
        let carried = Scene::new(URL).check(Kind::Mtu, [vanish()]).check(Kind::Mtu, [mtu(MtuLimit::None, 1_500, None)]);
        assert!(!carried.names("path.mtu_blackhole"), "other packets of that size pass");
        for quiet in [MtuLimit::Unknown, MtuLimit::Interface, MtuLimit::Told] {
            let scene = halted(None).check(Kind::Mtu, [echo_mtu(quiet, 1_300, Some(1_301))]);
            assert!(!scene.names("path.mtu_blackhole") && !scene.names("path.mtu_lowered"), "{quiet:?}");
        }
    }

    #[test]
    fn pings_too_large_for_a_router_that_says_so_are_told_of_it_though_no_size_is_named() {
        let mut fact = echo_mtu(MtuLimit::Told, 1_400, Some(1_401));
        if let netsonde_contract::observation::Fact::Mtu(mtu) = &mut fact {
            mtu.told = Some(icmp("10.0.3.1", 3, 4));
        }
        let scene = Scene::new(URL).check(Kind::Mtu, [fact]);
        assert_eq!(scene.is_healthy(), ["path.mtu_lowered"]);
        let finding = scene.diagnose().findings.remove(0);
        assert!(finding.sentence.contains("1400 bytes at most") && finding.sentence.contains("10.0.3.1"), "{finding:?}");
    }

    #[test]
    fn large_datagrams_that_vanish_where_large_segments_pass_are_no_black_hole() {
        let scene = Scene::new(URL).check(Kind::Mtu, [mtu(MtuLimit::Untold, 1_300, Some(1_301))]);
        let diagnosis = scene.check(Kind::Mtu, [tcp_mtu(MtuLimit::None, 1_500, None, 1_460)]).diagnose();
        assert!(diagnosis.findings.iter().all(|finding| finding.cause.as_str() != "path.mtu_blackhole"), "{diagnosis:?}");
    }

    #[test]
    fn a_host_that_is_silent_over_udp_is_measured_over_tcp() {
        let silent = mtu(MtuLimit::Unknown, 576, None);
        let scene = Scene::new(URL).check(Kind::Mtu, [silent, tcp_mtu(MtuLimit::Untold, 1_300, Some(1_301), 1_240)]);
        assert_eq!(scene.is_healthy(), ["path.mtu_blackhole"], "connections go on");
        let finding = scene.diagnose().findings.remove(0);
        assert!(finding.sentence.contains("held to 1280 bytes"), "{}", finding.sentence);
    }

    /// A page that arrived whole over segments of this size, where packets above 1300 bytes vanish.
    fn page_over(mss_bytes: u32, body: u64) -> Scene {
        let fact = exchange(URL, |exchange| {
            exchange.body_bytes = body;
            exchange.at_close = Some(Box::new(TcpState { mss_bytes, timestamps: true, ..TcpState::default() }));
        });
        Scene::new(URL).check(Kind::Http, [fact]).check(Kind::Mtu, [mtu(MtuLimit::Untold, 1_300, Some(1_301))])
    }

    #[test]
    fn connections_that_a_router_clamps_are_in_order_where_larger_packets_vanish() {
        let clamped = page_over(1_188, 200_000);
        assert_eq!(clamped.is_healthy(), ["path.mtu_blackhole"]);
        let finding = clamped.diagnose().findings.remove(0);
        assert!(finding.sentence.contains("packets of 1240 bytes, and 200000 bytes arrived whole"), "{}", finding.sentence);
        assert_eq!(
            page_over(1_288, 200_000).finds("path.mtu_blackhole").severity,
            Severity::Degraded,
            "segments that do not fit"
        );
        assert_eq!(page_over(1_188, 900).finds("path.mtu_blackhole").severity, Severity::Degraded, "too little to tell");
    }

    #[test]
    fn what_a_black_hole_is_mistaken_for_is_ruled_out_in_each_way_of_telling_it() {
        let by_size = halted(None).check(Kind::Mtu, [mtu(MtuLimit::Untold, 1_300, Some(1_301))]);
        let back = halted(None)
            .check(Kind::Mtu, [mtu(MtuLimit::None, 1_500, None)])
            .check(Kind::Icmp, [echo_series("192.0.2.1", 5, 0, |_| {}), sized(echo_series("192.0.2.1", 5, 5, |_| {}), 1_400)]);
        for scene in [by_size, back] {
            let finding = scene.finds("path.mtu_blackhole");
            for neighbour in super::BLACKHOLE_RULE.neighbours {
                let rejected = finding.rejected.iter().any(|rejected| rejected.cause == *neighbour);
                let open = finding.could_not_separate.iter().any(|open| open.cause == *neighbour);
                assert!(rejected || open, "{neighbour} beside {finding:#?}");
            }
        }
    }

    #[test]
    fn a_limit_that_is_told_is_worth_knowing_and_no_fault() {
        let mut fact = mtu(MtuLimit::Told, 1_300, Some(1_301));
        if let netsonde_contract::observation::Fact::Mtu(mtu) = &mut fact {
            mtu.told = Some(icmp("10.0.3.1", 3, 4));
        }
        assert_eq!(Scene::new(URL).check(Kind::Mtu, [fact]).is_healthy(), ["path.mtu_lowered"]);
    }

    fn large_ping(error: Option<netsonde_contract::failure::IcmpError>) -> Scene {
        let mut fact = sized(echo_series("192.0.2.1", 2, 2, |_| {}), 1_472);
        if let netsonde_contract::observation::Fact::Echo(echo) = &mut fact {
            echo.dont_fragment = true;
            echo.errors.extend(error);
        }
        Scene::new("192.0.2.1").check(Kind::Icmp, [fact])
    }

    #[test]
    fn pings_that_a_router_calls_too_big_are_explained_by_the_size_that_it_tells() {
        let told = netsonde_contract::failure::IcmpError { mtu: Some(1_400), ..icmp("10.0.3.1", 3, 4) };
        let finding = large_ping(Some(told)).finds("path.mtu_lowered");
        assert!(finding.sentence.contains("pings of 1500 bytes") && finding.sentence.contains("takes 1400 bytes"), "{finding:?}");
        assert!(!large_ping(None).names("path.mtu_lowered"), "nobody said why");
    }

    #[test]
    fn a_path_of_the_usual_size_is_worth_no_word() {
        assert!(Scene::new(URL).check(Kind::Mtu, [mtu(MtuLimit::None, 1_500, None)]).is_healthy().is_empty());
    }

    #[test]
    fn a_server_that_hangs_on_a_wide_path_is_not_a_black_hole() {
        halted(None).check(Kind::Mtu, [mtu(MtuLimit::None, 1_500, None)]).finds("http.timeout");
    }
}
