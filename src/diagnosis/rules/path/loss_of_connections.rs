//! Loss that no ping shows, as nobody answers to any, or none is lost: connections that stand only after their first packet was sent again, by chance among
//! those that begin together, and segments that were sent again once they stood.

use crate::candidate::Candidate;
use crate::evidence::{Evidence, Order, SentAgain, Share};
use crate::rules::tcp::accept_queue_full;
use crate::spot::Spot;
use crate::threshold::BAD_SHARE;
use crate::wording::{count, named};
use netsonde_contract::finding::{Place, Who};
use netsonde_contract::id::ObservationId;
use std::net::IpAddr;

/// First packets that are lost by chance, and something else that no listen queue drops.
const BY_MORE_THAN_FIRSTS: f64 = 0.9;
/// The same where too few connections began together to say that it was chance.
const OF_FEW: f64 = 0.75;
/// Which of the connections stood late was chance; a queue that others fill and empty would look the same.
const BY_CHANCE: f64 = 0.7;
/// Connections stood late, and nothing tells what they waited for.
const LATE_ALONE: f64 = 0.55;

/// Pings lose clearly less: TCP alone is dropped, or pings take another of several ways. A queue that others fill and empty would look the
/// same where only first packets were lost.
const NO_PINGS: f64 = 0.6;
const NO_PINGS_BUT_SEGMENTS: f64 = 0.75;

/// One connection that stood late says nothing: its packet, or the answer, was lost once.
const LEAST_LATE: usize = 2;
/// Fewer segments out of their order may have overtaken each other.
const LEAST_GAPS: u32 = 5;
/// Where half of all is lost, twice as many never stand as stand late at the most.
const MOST_SILENT: usize = 2;
/// So many stood at once: where none did, the round trip may be longer than the wait.
const LEAST_AT_ONCE: usize = 2;
/// So many pings of which some were answered tell more than connections do.
const ENOUGH_PINGS: u32 = 15;

/// What connections to the address lose, where no pings tell.
struct Lossy<'a> {
    again: SentAgain<'a>,
    /// What was lost that no listen queue drops.
    besides: Vec<&'a ObservationId>,
    confidence: f64,
    /// Pings, where so many were sent that they tell, and clearly less of them is lost.
    pings: Option<Share<'a>>,
}

fn lossy<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<Lossy<'a>> {
    if address.is_loopback() {
        return None;
    }
    let again = evidence.sent_again(address);
    let by_chance = again.order_at_once() == Order::Mixed;
    // No queue for new connections makes gaps in what others receive.
    let has_gaps = again.behind_a_gap >= LEAST_GAPS;
    let pings = evidence.lost_calmly(address).and(evidence.lost_in_bursts(address));
    let pings = Some(pings).filter(|pings| pings.of >= ENOUGH_PINGS);
    if let Some(pings) = &pings {
        let fare_worse = again.firsts.least_above(pings) > 0.0;
        let is_chance = by_chance && !accept_queue_full::spares_retries_at(evidence, address);
        if !fare_worse || !(is_chance || has_gaps) {
            return None;
        }
    }
    // Silence of connections beside others that all stand at once goes with their way, their number or a filter.
    let most_silent = again.late.len() * if by_chance { MOST_SILENT } else { 1 };
    if again.late.len() < LEAST_LATE
        || again.silent.len() > most_silent
        || again.at_once < if has_gaps { 1 } else { LEAST_AT_ONCE }
        || !again.firsts.exceeds(BAD_SHARE)
    {
        return None;
    }
    let questions = evidence.lost_questions_to(address);
    let elsewhere = again.ports.len() > 1 || questions.cases > 0;
    let mut besides: Vec<&ObservationId> = again.resent_by.clone();
    besides.extend(questions.ids.into_iter().filter(|_| questions.cases > 0));
    besides.extend(again.late.iter().copied().filter(|_| again.ports.len() > 1));
    // What came with gaps before it lost what was there.
    if has_gaps {
        besides.extend(again.with_gaps.iter().copied());
    }
    let confidence = match (again.order(), besides.is_empty()) {
        (_, true) if pings.is_some() => NO_PINGS,
        (_, false) if pings.is_some() => NO_PINGS_BUT_SEGMENTS,
        (Order::Mixed, false) => BY_MORE_THAN_FIRSTS,
        (Order::Mixed, true) if accept_queue_full::spares_retries_at(evidence, address) => return None,
        (Order::Mixed, true) => BY_CHANCE,
        (Order::Unknown, false) => OF_FEW,
        (Order::Unknown, true) => LATE_ALONE,
        // A full queue also loses segments of connections that it had no place for; nothing of another port.
        (Order::FirstServed, _) if elsewhere => OF_FEW,
        (Order::FirstServed, _) => return None,
    };
    Some(Lossy { again, besides, confidence, pings })
}

/// First packets without an answer, of all.
pub(super) fn share<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<Share<'a>> {
    lossy(evidence, address).map(|lossy| lossy.again.firsts)
}

pub(super) fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let Lossy { again, besides, confidence, pings } = lossy(evidence, address)?;
    let one_port = again.ports.first().copied().filter(|_| besides.is_empty());
    let segments = match again.segments {
        0 => String::new(),
        segments => {
            format!(", and {} with data of connections that stood had to be sent again", count(segments.into(), "segment"))
        }
    };
    let chance = if again.order() == Order::Mixed { " Which of those that began together it met was chance." } else { "" };
    let sentence = format!(
        "Packets to {} are lost on the way: {} of the first packets of connections got no answer{segments}.{chance} {} Programs feel it as pauses and slow transfers.",
        named(&evidence.host_at(address), address),
        again.firsts.words(),
        told_by_pings(pings.as_ref())
    );
    let stalled = super::loss::stalled(evidence, address);
    let severity = super::loss::severity(evidence, address, &again.firsts, &stalled);
    let uneven: Vec<&ObservationId> = again.late.iter().chain(&again.silent).copied().collect();
    let candidate = Candidate::new(severity, confidence, sentence)
        .at(Place { address: Some(address), port: one_port, ..Place::default() })
        .about(Spot::Address(address))
        .resting_on(uneven.iter().copied())
        .resting_on(besides.iter().copied())
        .resting_on(stalled)
        .rejecting("path.icmp_rate_limited", "It is packets of connections that were lost.", uneven)
        .rejecting("tcp.accept_queue_full", "No listen queue drops packets of connections that stand, of other ports or over UDP.", besides)
        .resting_on(pings.iter().flat_map(|pings| pings.ids.iter().copied()))
        .settled_by(match pings {
            None => "leave for the target to answer pings for a moment, or many connections to another port of it: where they stand at once, the listen queue of the one port is full",
            Some(_) => "a trace over all parallel ways with packets of TCP (`netsonde probe traceroute --multipath --protocol tcp`), and many connections to another port of the target: where they stand at once, the listen queue of the one port is full",
        })
        .next(
            Who::Network,
            "Look for errors, drops and full queues on the links to the target, the nearest first: a bad cable or radio link, a duplex mismatch, a line at its limit. If they are clean, look at the target's listen queue (`ss -ltn`).",
        );
    Some(candidate)
}

/// `Of 60 pings none was lost: …`
fn told_by_pings(pings: Option<&Share<'_>>) -> String {
    match pings {
        None => "No pings tell more.".to_owned(),
        Some(pings) => {
            let lost = if pings.cases == 0 { "none".to_owned() } else { pings.cases.to_string() };
            format!(
                "Of {} pings {lost} was lost: something drops packets of TCP alone, or one of several ways or servers behind the address is out of order.",
                pings.of
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, connected_late, echo, echo_series, exchange, silent};
    use netsonde_contract::finding::Finding;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, TcpState};

    const AT: &str = "192.0.2.1:443";
    const URL: &str = "https://shop.example/";

    /// Connections of one check to a port: `+` at once, `l` late, `-` silent.
    fn made(at: &str, marks: &str) -> Vec<Fact> {
        let fact = |mark| match mark {
            '+' => connected(at),
            'l' => connected_late(at),
            _ => silent(at),
        };
        marks.chars().map(fact).collect()
    }

    fn dark(marks: &str) -> Scene {
        Scene::new(URL).check(Kind::Tcp, made(AT, marks))
    }

    /// An exchange that sent some of its segments again.
    fn page(resent: u32) -> Fact {
        exchange(URL, |exchange| {
            let bytes = 76 * u64::from(resent);
            exchange.at_close = Some(Box::new(TcpState {
                retransmits: resent,
                mss_bytes: 1_448,
                bytes_sent: Some(76 + bytes),
                bytes_resent: Some(bytes),
                ..TcpState::default()
            }));
        })
    }

    fn opens(finding: &Finding, cause: &str) -> bool {
        finding.could_not_separate.iter().any(|open| open.cause == cause)
    }

    #[test]
    fn connections_that_are_late_by_chance_are_loss_and_a_full_queue_stays_open() {
        let finding = dark("+l++l+++l+++-+l+").finds("path.loss");
        assert!(finding.sentence.contains("first packets of connections"), "{}", finding.sentence);
        assert!(finding.confidence < 0.9 && opens(&finding, "tcp.accept_queue_full"), "{finding:?}");
        assert!(!opens(&finding, "path.icmp_rate_limited"));
    }

    #[test]
    fn segments_of_connections_that_stood_prove_it() {
        let finding = dark("+l++l+++l+++-+l+").check(Kind::Http, [page(2)]).finds("path.loss");
        assert!(finding.confidence >= 0.9 && finding.sentence.contains("2 segments with data"), "{finding:?}");
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "tcp.accept_queue_full"));
    }

    #[test]
    fn connections_that_are_late_at_another_port_too_prove_it() {
        let scene = dark("+l++l+++").check(Kind::Tcp, made("192.0.2.1:80", "++l+++l+"));
        assert!(scene.finds("path.loss").confidence >= 0.9);
    }

    #[test]
    fn unanswered_pings_change_nothing() {
        assert!(dark("+l++l+++").check(Kind::Icmp, [echo("192.0.2.1", &[])]).names("path.loss"));
    }

    #[test]
    fn one_late_connection_is_chance_and_so_is_one_segment() {
        assert!(dark("+++l++++").is_healthy().is_empty());
        assert!(dark("++++++").check(Kind::Http, [page(1)]).is_healthy().is_empty());
    }

    #[test]
    fn those_that_begin_last_and_are_late_met_a_queue() {
        assert!(!dark("+++lllll").names("path.loss"));
        assert!(
            !dark("+++lllll").check(Kind::Http, [page(2)]).names("path.loss"),
            "it also drops the last packet of a handshake"
        );
    }

    #[test]
    fn where_every_connection_is_late_the_way_may_be_that_long() {
        assert!(!dark("llllllll").names("path.loss"));
    }

    fn pinged(scene: Scene) -> Scene {
        scene.check(Kind::Icmp, [echo_series("192.0.2.1", 60, 0, |_| {})])
    }

    #[test]
    fn connections_that_are_late_by_chance_while_no_ping_is_lost_are_loss_of_tcp_alone() {
        let finding = pinged(dark("+ll+l-+l+l+l++l+")).finds("path.loss");
        assert!(finding.confidence < 0.7 && finding.sentence.contains("Of 60 pings none was lost"), "{finding:?}");
        let finding = pinged(dark("+ll+l-+l+l+l++l+").check(Kind::Http, [page(2)])).finds("path.loss");
        assert!(finding.confidence > 0.7 && finding.confidence < 0.9, "{finding:?}");
    }

    #[test]
    fn segments_with_gaps_before_them_are_as_good_as_those_that_were_sent_again() {
        let received = |out_of_order| {
            exchange(URL, |exchange| {
                exchange.at_close =
                    Some(Box::new(TcpState { out_of_order: Some(out_of_order), mss_bytes: 1_448, ..TcpState::default() }));
            })
        };
        let confidence =
            |gaps| pinged(dark("+ll+l-+l+l+l++l+").check(Kind::Http, [received(gaps)])).finds("path.loss").confidence;
        assert!(confidence(20) > confidence(2));
        // Late ones that began last may have met a queue, which makes no gaps in what others receive.
        let in_order = |gaps| pinged(dark("+++++++++++lllll").check(Kind::Http, [received(gaps)]));
        in_order(20).finds("path.loss");
        in_order(0).finds("tcp.accept_queue_full");
    }

    #[test]
    fn the_first_that_stand_while_no_ping_is_lost_met_a_queue() {
        pinged(dark("++llllllllllllll")).finds("tcp.accept_queue_full");
    }

    #[test]
    fn which_of_those_that_begin_in_turn_are_late_tells_nothing() {
        let mut scene = pinged(Scene::new(URL));
        scene = scene.check(Kind::Tcp, made(AT, "++lll+lll+ll+lll"));
        scene.outcomes_mut().last_mut().unwrap().parameters = serde_json::json!({"concurrent": 16, "spread_ms": 60});
        assert!(!scene.names("path.loss"), "a queue that empties meanwhile takes some of the later ones");
    }

    #[test]
    fn where_half_of_all_is_lost_more_never_stand_than_stand_late() {
        let scene = dark("l---l+").check(Kind::Tcp, made(AT, "+l+l--l--l---l+-"));
        assert!(scene.finds("path.loss").sentence.contains("first packets of connections"));
    }

    #[test]
    fn pings_that_are_answered_tell_more() {
        let scene = dark("+l++l+++").check(Kind::Icmp, [echo_series("192.0.2.1", 20, 0, |_| {})]);
        assert!(!scene.names("path.loss"));
    }
}
