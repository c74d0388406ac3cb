use crate::candidate::Candidate;
use crate::evidence::{Evidence, Share};
use crate::rule::Rule;
use crate::rules::dns::over_udp;
use crate::rules::path::loss_begins::{self, Begins};
use crate::rules::path::loss_one_way;
use crate::spot::Spot;
use crate::threshold::BAD_SHARE;
use crate::wording::named;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a longer trace, `netsonde run path` with ten rounds: loss that begins at a hop and stays until the target"),
    ..Rule::new("path.loss", &["path.icmp_rate_limited", "host.interface_errors", "dns.resolver_unreachable"], evaluate)
};

/// Pings of the target are lost at a pace that no limit explains.
const BY_PINGS: f64 = 0.85;
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

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_address = |address: IpAddr| {
        let all = towards(evidence, address).or_else(|| loss_one_way::towards(evidence, address));
        all.or_else(|| only_fast(evidence, address))
    };
    let of_resolvers = over_udp::lossy(evidence);
    evidence.addresses().into_iter().filter_map(of_address).chain(of_resolvers).collect()
}

/// Fast pings are lost, and no slow ones tell whether that is a limit on their answers or loss of the path.
fn only_fast(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let (calm, burst) = (evidence.lost_calmly(address), evidence.lost_in_bursts(address));
    if !burst.exceeds(BAD_SHARE) || grows_with_rate(&calm, &burst) {
        return None;
    }
    let known = if calm.of == 0 { "no slower ones were sent" } else { "too few slower ones were sent" };
    let sentence = format!(
        "Packets to {} are lost: {} of the pings that came fast got no answer, and {known} to tell whether the path loses them or a limit on ping answers does.",
        named(&evidence.host_at(address), address),
        burst.words()
    );
    let candidate = Candidate::new(Severity::Degraded, FAST_ALONE, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .resting_on(burst.ids)
        .resting_on(calm.ids)
        .settled_by("the same pings slowly, with --interval-ms 200: a limit on ping answers then answers them all")
        .next(
            Who::Customer,
            "Ping again with --interval-ms 200 before anybody looks for a fault: what is lost then is lost by the path.",
        );
    Some(candidate)
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let lost = share(evidence, address)?;
    let (own_load, quiet) = evidence.lost_beside_own_load(address);
    let own_doing = own_load.cases > 0 && quiet.cases == 0 && lost.cases == own_load.cases;
    // Whoever fills a line loses pings in its queue, which is no fault of the path.
    if own_doing && quiet.of >= LEAST_QUIET {
        return None;
    }
    let host = named(&evidence.host_at(address), address);
    let again: Vec<&ObservationId> = evidence
        .attempts()
        .iter()
        .filter(|attempt| attempt.address.ip() == address && (attempt.silent() || attempt.connected_late()))
        .map(|attempt| attempt.id)
        .collect();
    let begins = loss_begins::begins(evidence, address);
    let on_the_way = begins.as_ref().filter(|begins| begins.after.is_some() && begins.upto.1 != address);
    let confidence = match (again.is_empty(), on_the_way) {
        (false, _) => BY_CONNECTIONS_TOO,
        (true, Some(_)) => BEGINS_ON_THE_WAY,
        (true, None) => BY_PINGS,
    };
    let confidence = if own_doing && again.is_empty() { confidence.min(BESIDE_OWN_LOAD) } else { confidence };
    let sentence = format!(
        "Packets to {host} are lost on the way: {} of the pings got no answer.{} Programs feel it as pauses and slow transfers.",
        lost.words(),
        begins.as_ref().map(where_it_begins).unwrap_or_default()
    );
    let all_behind = on_the_way.iter().flat_map(|begins| begins.ids.iter().copied()).collect::<Vec<_>>();
    // An exchange that came to a halt is what such loss does.
    let stalled = evidence.exchanges.iter().filter(|exchange| {
        let timed_out = exchange.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut);
        timed_out && exchange.address.is_some_and(|at| at.ip() == address) && exchange.proxy.is_none()
    });
    let candidate = Candidate::new(Severity::Degraded, confidence, sentence)
        .at(Place { hop: begins.as_ref().and_then(one_hop), address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .resting_on(begins.iter().flat_map(|begins| begins.ids.iter().copied()))
        .resting_on(lost.ids.iter().copied())
        .resting_on(again.iter().copied())
        .resting_on(stalled.map(|exchange| exchange.id))
        .rejecting("path.icmp_rate_limited", "Connections had to send their first packet again as well.", again)
        .rejecting("path.icmp_rate_limited", "Every hop behind the place where it begins has the loss as well.", all_behind)
        .next(
            Who::Network,
            "Look for errors, drops and full queues on the links to the target, the nearest first: a bad cable or radio link, a duplex mismatch, a line at its limit.",
        );
    Some(candidate)
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

/// The share of pings that is lost; none where it is too small, or a limit on ICMP explains it.
pub(in crate::rules) fn share<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<Share<'a>> {
    let calm = evidence.lost_calmly(address);
    let burst = evidence.lost_in_bursts(address);
    if calm.cases == 0 || grows_with_rate(&calm, &burst) {
        return None;
    }
    Some(calm.and(burst)).filter(|share| share.exceeds(BAD_SHARE))
}

/// More is lost the faster it is sent: a limit.
pub(in crate::rules) fn grows_with_rate(calm: &Share<'_>, burst: &Share<'_>) -> bool {
    burst.cases >= 2 && burst.interval().0 > calm.interval().1
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, connected_late, echo_series, paced, trace_rounds};
    use netsonde_contract::kind::Kind;

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
    fn connections_that_sent_again_show_that_it_is_not_ping_alone() {
        let finding = pings(4).check(Kind::Tcp, [connected_late("192.0.2.1:443")]).finds("path.loss");
        assert!(finding.confidence > 0.9 && finding.rejected[0].cause == "path.icmp_rate_limited");
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
