use crate::candidate::Candidate;
use crate::evidence::{ENOUGH_MOMENTS, Evidence, Order, Share};
use crate::rule::Rule;
use crate::rules::dns::over_udp;
use crate::rules::path::loss_begins::{self, Begins};
use crate::rules::path::loss_of_connections;
use crate::rules::path::loss_one_way;
use crate::rules::path::mtu;
use crate::rules::path::pings::{self, Pings};
use crate::spot::Spot;
use crate::threshold::BAD_SHARE;
use crate::wording::named;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::TraceProtocol;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a longer trace, `netsonde run path` with ten rounds: loss that begins at a hop and stays until the target"),
    ..Rule::new(
        "path.loss",
        &["path.icmp_rate_limited", "host.interface_errors", "dns.resolver_unreachable", "tcp.accept_queue_full"],
        evaluate,
    )
};

/// Pings of the target are lost at a pace that no common limit explains.
const BY_PINGS: f64 = 0.85;
/// They came so fast that the strictest limits explain it, and nothing slower or other was sent.
const BY_QUICK_PINGS: f64 = 0.7;
/// A part of the pings is limited for sure, and the slow ones are lost as well.
const BESIDE_A_LIMIT: f64 = 0.6;
/// All that was lost was lost while netsonde itself filled the line with what it fetched.
const BESIDE_OWN_LOAD: f64 = 0.6;
/// So many pings at another time, none of them lost, show that it was its own doing.
pub(crate) const LEAST_QUIET: u32 = 15;
/// Connections had to send again as well, so that it is not only ICMP.
const BY_CONNECTIONS_TOO: f64 = 0.95;
/// A trace shows from where on: before it nothing is lost, and all behind it have the loss, which no limit of one router's does.
const BEGINS_ON_THE_WAY: f64 = 0.92;
/// Only pings that came fast show it: a limit on their answers looks the same.
const FAST_ALONE: f64 = 0.5;

/// Milliseconds between pings that meet none of the usual limits: the strictest let five a second through.
const UNHURRIED_MS: u64 = 200;
/// Percent of all packets: a connection that loses so many doubles its waiting some times in a row within the ten seconds of a request.
const STALLING_PERCENT: f64 = 15.0;

/// Rounds of a trace that show from which hop on packets are lost.
const LONG_TRACE: usize = 10;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_address = |address: IpAddr| {
        let all = towards(evidence, address).or_else(|| loss_one_way::towards(evidence, address));
        all.or_else(|| only_fast(evidence, address)).or_else(|| loss_of_connections::towards(evidence, address))
    };
    let of_resolvers = over_udp::lossy(evidence);
    evidence.addresses().into_iter().filter_map(of_address).chain(of_resolvers).collect()
}

/// Fast pings are lost, and no slow ones tell whether that is a limit on their answers or loss of the path.
fn only_fast(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let pings = pings::of(evidence, address);
    let burst = evidence.lost_in_bursts(address);
    if !burst.exceeds(BAD_SHARE) || pings.faster.of > 0 || pings.calm.cases > 0 || pings.limited() {
        return None;
    }
    let known = if pings.calm.of == 0 { "no slower ones were sent" } else { "too few slower ones were sent" };
    let sentence = format!(
        "Packets to {} are lost: {} of the pings that came fast got no answer, and {known} to tell whether the path loses them or a limit on ping answers does.",
        named(&evidence.host_at(address), address),
        burst.words()
    );
    let candidate = Candidate::new(Severity::Degraded, FAST_ALONE, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .resting_on(burst.ids)
        .resting_on(pings.calm.ids)
        .settled_by("the same pings slowly, with --interval-ms 200: a limit on ping answers then answers them all")
        .next(
            Who::Customer,
            "Ping again with --interval-ms 200 before anybody looks for a fault: what is lost then is lost by the path.",
        );
    Some(candidate)
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let pings = pings::of(evidence, address);
    let lost = pings.lost()?;
    let (own_load, quiet) = evidence.lost_beside_own_load(address);
    let own_doing = own_load.cases > 0 && quiet.cases == 0 && pings.even.cases == own_load.cases;
    // Whoever fills a line loses pings in its queue, which is no fault of the path.
    if own_doing && quiet.of >= LEAST_QUIET {
        return None;
    }
    let host = named(&evidence.host_at(address), address);
    // At ports where none stands a filter drops them, and where those that begin last are late a queue or a limit does.
    let by_loss = evidence.sent_again(address);
    let again: Vec<&ObservationId> = match by_loss.order() {
        Order::FirstServed => Vec::new(),
        Order::Mixed | Order::Unknown => by_loss.late.into_iter().chain(by_loss.silent).collect(),
    };
    let begins = loss_begins::begins(evidence, address);
    let on_the_way = begins.as_ref().filter(|begins| begins.after.is_some() && begins.upto.1 != address);
    // A limit on pings on the way drops those of a trace as well, from there on.
    let on_the_way = on_the_way.filter(|_| pings.whatever_pace || !traced_by_pings(evidence, address));
    let confidence = confidence(&pings, !again.is_empty(), on_the_way.is_some());
    let confidence = if own_doing && again.is_empty() { confidence.min(BESIDE_OWN_LOAD) } else { confidence };
    let sentence = format!(
        "Packets to {host} are lost on the way: {}{}{} Programs feel it as pauses and slow transfers.",
        what_is_lost(&pings, &lost),
        damaged(evidence, address),
        begins.as_ref().map(where_it_begins).unwrap_or_default()
    );
    let all_behind = on_the_way.iter().flat_map(|begins| begins.ids.iter().copied()).collect::<Vec<_>>();
    let at_every_pace = lost.ids.iter().copied().filter(|_| pings.whatever_pace).collect::<Vec<_>>();
    let stalled = stalled(evidence, address);
    let severity = severity(evidence, address, &lost, &stalled);
    let candidate = Candidate::new(severity, confidence, sentence)
        .at(Place { hop: begins.as_ref().and_then(one_hop), address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .resting_on(begins.iter().flat_map(|begins| begins.ids.iter().copied()))
        .resting_on(lost.ids.iter().copied())
        .resting_on(again.iter().copied())
        .resting_on(stalled)
        .settled_by(settled_by(evidence, address, &pings));
    let reasons = [
        ("Connections had to send their first packet again as well.", again),
        ("Every hop behind the place where it begins has the loss as well.", all_behind),
        ("Pings that came much faster are lost no more often.", at_every_pace),
    ];
    let candidate = match reasons.into_iter().find(|(_, ids)| !ids.is_empty()) {
        Some((reason, ids)) => candidate.rejecting("path.icmp_rate_limited", reason, ids),
        None => candidate,
    };
    let candidate = candidate
        .rejecting(
            "host.interface_errors",
            "This machine's own interface counted no error and dropped nothing during the run.",
            interface_is_clean(evidence, address),
        )
        .next(
            Who::Network,
            "Look for errors, drops and full queues on the links to the target, the nearest first: a bad cable or radio link, a duplex mismatch, a line at its limit.",
        );
    Some(candidate)
}

fn confidence(pings: &Pings<'_>, connections_too: bool, on_the_way: bool) -> f64 {
    if connections_too && (!pings.limited() || pings.beside.carried.exceeds(BAD_SHARE)) {
        return BY_CONNECTIONS_TOO;
    }
    if pings.limited() || (pings.faster.of > 0 && pings.slowest_ms < UNHURRIED_MS) {
        return BESIDE_A_LIMIT;
    }
    match (on_the_way, pings.whatever_pace || pings.slowest_ms >= UNHURRIED_MS) {
        (true, _) => BEGINS_ON_THE_WAY,
        (false, true) => BY_PINGS,
        (false, false) => BY_QUICK_PINGS,
    }
}

/// `25 % (5 of 20; …) of the pings got no answer.`
fn what_is_lost(pings: &Pings<'_>, lost: &Share<'_>) -> String {
    match (pings.of_connections(), pings.faster.of > 0) {
        (Some(carried), _) => format!(
            "{} of the packets of connections had to be sent again. Of the pings even {} got no answer: something limits those beside it.",
            carried.words(),
            pings.even.words()
        ),
        (None, true) => format!(
            "{} of the slow pings got no answer. Of those that came fast even {} got none: something limits them beside it.",
            lost.words(),
            pings.faster.words()
        ),
        (None, false) => format!("{} of the pings got no answer.", lost.words()),
    }
}

/// ` 3 more came back damaged.` They arrived, and count among those that were answered.
fn damaged(evidence: &Evidence<'_>, address: IpAddr) -> String {
    let damaged = evidence.echoes_of(address).flat_map(|echo| &echo.fact.replies).filter(|reply| reply.corrupt).count();
    match damaged {
        0 => String::new(),
        _ => format!(" {damaged} more came back damaged: they arrived, and something on the way changes what packets carry."),
    }
}

/// What would tell more and was not measured yet.
fn settled_by(evidence: &Evidence<'_>, address: IpAddr, pings: &Pings<'_>) -> &'static str {
    if !evidence.hops_of(address).iter().any(|hop| hop.probes.len() >= LONG_TRACE) {
        "a longer trace, `netsonde run path` with ten rounds: loss that begins at a hop and stays until the target"
    } else if pings.beside.moments < ENOUGH_MOMENTS {
        "many connections, one after the other, to a port that is open (`netsonde probe tcp HOST PORT --attempts 20 --concurrent 20 --spread-ms 60`): a limit on pings leaves them alone"
    } else if pings.slowest_ms < UNHURRIED_MS {
        "the same pings slowly, with --interval-ms 200: a limit on ping answers then answers them all"
    } else {
        "captures at both ends at the same time, or the counters of each link on the way: what was sent and did not arrive"
    }
}

fn traced_by_pings(evidence: &Evidence<'_>, address: IpAddr) -> bool {
    evidence.hops_of(address).iter().any(|hop| hop.protocol == TraceProtocol::Icmp)
}

/// The counters of the interface that leads to the address, where they were read at both ends of the run and stood still.
fn interface_is_clean<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<&'a ObservationId> {
    let counters = evidence.grown()?;
    let name = evidence.route_of(address)?.fact.interface.as_deref()?;
    let growth = counters.fact.interfaces.iter().find(|growth| growth.name == name)?;
    let of = &growth.counters;
    let total = [of.rx_errors, of.tx_errors, of.rx_dropped, of.tx_dropped].into_iter().fold(0_u64, u64::saturating_add);
    (total == 0).then_some(counters.id)
}

/// The hop at which the loss begins, where the counts leave only one.
fn one_hop(begins: &Begins<'_>) -> Option<u8> {
    let (hop, _) = begins.upto;
    let next = begins.after.map_or(1, |(before, _)| before + 1);
    (hop == next).then_some(hop)
}

/// ` It begins between 10.0.2.1 (hop 2) and 10.0.3.1 (hop 3).`
fn where_it_begins(begins: &Begins<'_>) -> String {
    let (hop, router) = begins.upto;
    match begins.after {
        Some((before, last_whole)) => format!(" It begins between {last_whole} (hop {before}) and {router} (hop {hop})."),
        None => format!(" It begins before {router} (hop {hop})."),
    }
}

/// Exchanges with the address that came to a halt, which is what loss does.
pub(super) fn stalled<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Vec<&'a ObservationId> {
    let halted = evidence.exchanges.iter().filter(|exchange| {
        let timed_out = exchange.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut);
        timed_out && exchange.address.is_some_and(|at| at.ip() == address) && exchange.proxy.is_none()
    });
    halted.map(|exchange| exchange.id).collect()
}

/// How much it is felt. Where large packets vanish as well, that is what halts an exchange.
pub(super) fn severity(evidence: &Evidence<'_>, address: IpAddr, lost: &Share<'_>, stalled: &[&ObservationId]) -> Severity {
    let halted = !stalled.is_empty() && stalls(lost) && !mtu::swallows(evidence, address);
    if halted { Severity::Problem } else { Severity::Degraded }
}

/// So much is lost that exchanges come to a halt.
fn stalls(lost: &Share<'_>) -> bool {
    lost.percent() >= STALLING_PERCENT
}

/// Why an exchange with the address that came to a halt shows nothing of the server: the way loses that much.
pub(in crate::rules) fn halts(evidence: &Evidence<'_>, address: IpAddr) -> bool {
    share(evidence, address).is_some_and(|lost| stalls(&lost))
}

/// The share of packets that the path loses, as far as pings show it, or connections where no pings do; none where it is too small, or a
/// limit on pings explains it.
pub(in crate::rules) fn share<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<Share<'a>> {
    share_of_pings(evidence, address).or_else(|| loss_of_connections::share(evidence, address))
}

/// The same as far as connections show it, where no pings do.
pub(in crate::rules) fn share_of_connections<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<Share<'a>> {
    loss_of_connections::share(evidence, address)
}

/// The same as far as pings show it.
pub(in crate::rules) fn share_of_pings<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<Share<'a>> {
    pings::of(evidence, address).lost()
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, connected_late, echo_series, exchange, failure, mtu, paced, trace_rounds};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, MtuAnswer, MtuLimit, MtuProbe};

    fn pings(lost: u32) -> Scene {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]);
        scene.check(Kind::Icmp, [echo_series("192.0.2.1", 20, lost, |_| {})])
    }

    #[test]
    fn a_fifth_of_the_pings_without_an_answer_is_loss_with_its_interval() {
        let finding = pings(4).finds("path.loss");
        assert!(finding.sentence.contains("20 % (4 of 20; 95 % interval 8 to 42 %)"), "{}", finding.sentence);
        assert!(finding.confidence < 0.9 && finding.rejected.is_empty());
    }

    #[test]
    fn replies_that_came_back_damaged_arrived_and_are_told_beside_those_that_did_not() {
        let mut series = echo_series("192.0.2.1", 20, 4, |_| {});
        if let Fact::Echo(echo) = &mut series {
            echo.replies.iter_mut().take(3).for_each(|reply| reply.corrupt = true);
        }
        let sentence = Scene::new("shop.example").check(Kind::Icmp, [series]).finds("path.loss").sentence;
        assert!(sentence.contains("(4 of 20;") && sentence.contains("3 more came back damaged: they arrived"), "{sentence}");
    }

    #[test]
    fn connections_that_sent_again_show_that_it_is_not_ping_alone() {
        let finding = pings(4).check(Kind::Tcp, [connected_late("192.0.2.1:443")]).finds("path.loss");
        assert!(finding.confidence > 0.9 && finding.rejected[0].cause == "path.icmp_rate_limited");
    }

    #[test]
    fn where_pings_are_limited_as_well_the_share_is_that_of_connections() {
        let late = (0..2).map(|_| connected_late("192.0.2.1:443"));
        let six = pings(17).check(Kind::Tcp, late.chain((0..4).map(|_| connected("192.0.2.1:443"))));
        let sentence = six.finds("path.loss").sentence;
        assert!(sentence.contains("22 % (2 of 9;") && sentence.contains("packets of connections"), "{sentence}");
        assert!(sentence.contains("pings even 85 % (17 of 20;"), "{sentence}");
    }

    #[test]
    fn a_trace_that_loses_from_a_hop_on_names_it() {
        let (clean, lossy) = ("++++++++++++++++++++", "-+++--+++-++-+++-++-");
        let way = [("10.0.1.1", clean), ("10.0.2.1", clean), ("10.0.3.1", lossy), ("192.0.2.1", lossy)];
        let finding = pings(4).check(Kind::Traceroute, trace_rounds("192.0.2.1", &way)).finds("path.loss");
        assert_eq!(finding.place.hop, Some(3));
        assert!(finding.sentence.contains("between 10.0.2.1 (hop 2) and 10.0.3.1 (hop 3)"), "{}", finding.sentence);
        assert!(finding.confidence > 0.9 && finding.rejected.iter().any(|not| not.cause == "path.icmp_rate_limited"));
    }

    #[test]
    fn an_exchange_that_halts_makes_it_a_problem_but_where_large_packets_vanish_as_well() {
        let halted = exchange("http://shop.example/", |exchange| {
            exchange.status = None;
            exchange.failure = Some(failure(FailureCode::TimedOut, Step::Receive));
        });
        let of =
            |scene: Scene| scene.diagnose().findings.into_iter().map(|found| (found.cause, found.severity)).collect::<Vec<_>>();
        let severely = of(pings(4).check(Kind::Http, [halted.clone()]));
        assert_eq!(severely, [("path.loss".to_owned(), Severity::Problem)]);
        let Fact::Mtu(mut measured) = mtu(MtuLimit::Untold, 1_300, Some(1_301)) else { unreachable!("this is what it makes") };
        let silent = MtuProbe { size_bytes: 1_400, answer: MtuAnswer::Silent, took_us: None };
        measured.probes = vec![silent; 8];
        let both = of(pings(4).check(Kind::Http, [halted]).check(Kind::Mtu, [Fact::Mtu(measured)]));
        assert_eq!(both[0].0, "path.mtu_blackhole");
        assert!(both.contains(&("path.loss".to_owned(), Severity::Degraded)) && both.len() == 2, "{both:?}");
    }

    #[test]
    fn a_single_lost_ping_is_no_loss_of_the_path() {
        assert!(pings(1).is_healthy().is_empty());
    }

    #[test]
    fn loss_in_fast_series_alone_is_a_limit_on_pings() {
        let scene = pings(0).check(Kind::Icmp, [echo_series("192.0.2.1", 50, 20, |_| {})]);
        assert_eq!(paced(scene, 10).is_healthy(), ["path.icmp_rate_limited"]);
    }

    #[test]
    fn loss_of_fast_pings_alone_is_named_and_not_told_from_a_limit() {
        let scene = Scene::new("shop.example").check(Kind::Icmp, [echo_series("192.0.2.1", 50, 35, |_| {})]);
        let finding = paced(scene, 20).finds("path.loss");
        assert!(finding.confidence < 0.6 && finding.sentence.contains("70 % (35 of 50"), "{finding:?}");
        let open = finding.could_not_separate.iter().find(|open| open.cause == "path.icmp_rate_limited").unwrap();
        assert!(open.would_take.contains("--interval-ms 200"), "{open:?}");
    }

    #[test]
    fn few_slow_pings_do_not_make_a_limit_of_fast_ones_that_are_lost() {
        let scene = Scene::new("shop.example").check(Kind::Icmp, [echo_series("192.0.2.1", 4, 0, |_| {})]);
        let scene = scene.check(Kind::Icmp, [echo_series("192.0.2.1", 50, 10, |_| {})]);
        assert!(paced(scene, 20).finds("path.loss").sentence.contains("too few slower ones"));
    }

    #[test]
    fn a_target_that_answers_nothing_loses_nothing() {
        assert!(pings(20).is_healthy().contains(&"path.icmp_unsupported".to_owned()));
    }

    #[test]
    fn what_came_late_or_was_dropped_here_was_not_lost_on_the_way() {
        let series = echo_series("192.0.2.1", 20, 4, |statistics| (statistics.late, statistics.dropped_here) = (2, 2));
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]).check(Kind::Icmp, [series]);
        assert!(scene.is_healthy().is_empty());
    }
}
