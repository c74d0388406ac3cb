//! Loss that no ping shows, as nobody answers to any: connections that stand only after their first packet was sent again, by chance among
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

/// One connection that stood late says nothing: its packet, or the answer, was lost once.
const LEAST_LATE: usize = 2;
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
}

fn lossy<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<Lossy<'a>> {
    if address.is_loopback() || evidence.lost_calmly(address).of + evidence.lost_in_bursts(address).of >= ENOUGH_PINGS {
        return None;
    }
    let again = evidence.sent_again(address);
    // Silence of connections beside others that all stand at once goes with their way, their number or a filter.
    if again.late.len() < LEAST_LATE
        || again.silent.len() > again.late.len()
        || again.at_once < LEAST_AT_ONCE
        || !again.firsts.exceeds(BAD_SHARE)
    {
        return None;
    }
    let questions = evidence.lost_questions_to(address);
    let elsewhere = again.ports.len() > 1 || questions.cases > 0;
    let mut besides: Vec<&ObservationId> = again.resent_by.clone();
    besides.extend(questions.ids.into_iter().filter(|_| questions.cases > 0));
    besides.extend(again.late.iter().copied().filter(|_| again.ports.len() > 1));
    let confidence = match (again.order(), besides.is_empty()) {
        (Order::Mixed, false) => BY_MORE_THAN_FIRSTS,
        (Order::Mixed, true) if accept_queue_full::spares_retries_at(evidence, address) => return None,
        (Order::Mixed, true) => BY_CHANCE,
        (Order::Unknown, false) => OF_FEW,
        (Order::Unknown, true) => LATE_ALONE,
        // A full queue also loses segments of connections that it had no place for; nothing of another port.
        (Order::FirstServed, _) if elsewhere => OF_FEW,
        (Order::FirstServed, _) => return None,
    };
    Some(Lossy { again, besides, confidence })
}

/// First packets without an answer, of all.
pub(super) fn share<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<Share<'a>> {
    lossy(evidence, address).map(|lossy| lossy.again.firsts)
}

pub(super) fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let Lossy { again, besides, confidence } = lossy(evidence, address)?;
    let one_port = again.ports.first().copied().filter(|_| besides.is_empty());
    let segments = match again.segments {
        0 => String::new(),
        segments => {
            format!(", and {} with data of connections that stood had to be sent again", count(segments.into(), "segment"))
        }
    };
    let chance = if again.order() == Order::Mixed { " Which of those that began together it met was chance." } else { "" };
    let sentence = format!(
        "Packets to {} are lost on the way: {} of the first packets of connections got no answer{segments}.{chance} No pings tell more. Programs feel it as pauses and slow transfers.",
        named(&evidence.host_at(address), address),
        again.firsts.words()
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
        .settled_by(
            "leave for the target to answer pings for a moment, or many connections to another port of it: where they stand at once, the listen queue of the one port is full",
        )
        .next(
            Who::Network,
            "Look for errors, drops and full queues on the links to the target, the nearest first: a bad cable or radio link, a duplex mismatch, a line at its limit. If they are clean, look at the target's listen queue (`ss -ltn`).",
        );
    Some(candidate)
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

    #[test]
    fn pings_that_are_answered_tell_more() {
        let scene = dark("+l++l+++").check(Kind::Icmp, [echo_series("192.0.2.1", 20, 0, |_| {})]);
        assert!(!scene.names("path.loss"));
    }
}
