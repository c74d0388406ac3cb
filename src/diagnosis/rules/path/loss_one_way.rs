//! Loss of one direction, as a reflector that counts what it receives tells it (RFC 8762 section 4.3).

use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, Share};
use crate::spot::Spot;
use crate::threshold::BAD_SHARE;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Reflection, ReflectorKind};
use std::net::IpAddr;

/// Both ends counted: it is neither ping alone nor a limit of a router.
const COUNTED: f64 = 0.95;
/// The reflector does not count, so that only the loss of both directions together is known.
const UNCOUNTED: f64 = 0.85;

/// The loss of the series to the address with the most of it; none where it is too small to matter, or nothing came back.
pub(super) fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let of_address = evidence.reflections.iter().filter(|seen| seen.address.ip() == address && seen.received > 0);
    of_address.filter_map(lost).max_by(|left, right| left.2.total_cmp(&right.2)).map(|(seen, sentence, _, confidence)| {
        let host = named(&seen.host, address);
        let candidate = Candidate::new(Severity::Degraded, confidence, format!("Packets {sentence}").replace("{host}", &host));
        let candidate = candidate
            .at(Place { address: Some(address), port: Some(seen.address.port()), ..Place::default() })
            .about(Spot::Endpoint(seen.address))
            .resting_on([seen.id])
            .next(
                Who::Network,
                "Look for errors, drops and full queues in that direction on the links in between: the two directions may take different ways.",
            );
        candidate
            .rejecting("path.icmp_rate_limited", "The packets are UDP to a service that answers each of them.", [seen.id])
            .rejecting("tcp.accept_queue_full", "The packets are UDP, which waits in no listen queue.", [seen.id])
    })
}

/// What is lost in words, its share, and how sure that is.
fn lost<'s, 'a>(seen: &'s Seen<'a, Reflection>) -> Option<(&'s Seen<'a, Reflection>, String, f64, f64)> {
    let share = |cases: u32, of: u32| {
        let mut share = Share::default();
        share.add(cases, of, seen.id);
        Some(share).filter(|share| share.exceeds(BAD_SHARE))
    };
    if seen.reflector != ReflectorKind::Stateful {
        let both = share(seen.sent.saturating_sub(seen.received), seen.sent)?;
        let sentence = format!(
            "to {{host}} and back are lost: {} got no answer. The reflector does not count, so that nothing tells in which direction.",
            both.words()
        );
        return Some((seen, sentence, both.percent(), UNCOUNTED));
    }
    let forward = seen.forward.lost.and_then(|lost| share(lost, seen.sent));
    let arrived = seen.sent.saturating_sub(seen.forward.lost.unwrap_or_default());
    let reverse = seen.reverse.lost.and_then(|lost| share(lost, arrived));
    let (sentence, percent) = match (forward, reverse) {
        (Some(forward), Some(reverse)) => (
            format!(
                "are lost in both directions: {} on the way to {{host}}, and {} on the way back.",
                forward.words(),
                reverse.words()
            ),
            forward.percent() + reverse.percent(),
        ),
        (Some(forward), None) => {
            (format!("are lost on the way to {{host}}: {}. On the way back they arrive.", forward.words()), forward.percent())
        }
        (None, Some(reverse)) => (
            format!("are lost on the way back from {{host}}: {}. On the way there they arrive.", reverse.words()),
            reverse.percent(),
        ),
        (None, None) => return None,
    };
    Some((seen, sentence, percent, COUNTED))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, reflection};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::ReflectorKind;

    fn series(forward: u32, reverse: u32) -> Scene {
        Scene::new("shop.example").check(Kind::Reflect, [reflection("192.0.2.1:862", forward, reverse, |_| {})])
    }

    #[test]
    fn loss_on_the_way_back_alone_is_told_with_its_direction() {
        let finding = series(0, 32).finds("path.loss");
        assert!(
            finding.sentence.starts_with("Packets are lost on the way back from shop.example (192.0.2.1): 32 %"),
            "{}",
            finding.sentence
        );
        assert!(finding.confidence > 0.9);
    }

    #[test]
    fn loss_on_the_way_there_is_told_apart_and_both_are_told_together() {
        assert!(series(20, 0).finds("path.loss").sentence.contains("lost on the way to shop.example"));
        assert!(series(20, 20).finds("path.loss").sentence.contains("in both directions: 20 %"));
    }

    #[test]
    fn a_reflector_that_does_not_count_tells_no_direction() {
        let fact = reflection("192.0.2.1:862", 0, 30, |fact| {
            fact.reflector = ReflectorKind::Unknown;
            (fact.forward.lost, fact.reverse.lost) = (None, None);
        });
        let finding = Scene::new("shop.example").check(Kind::Reflect, [fact]).finds("path.loss");
        assert!(finding.sentence.contains("nothing tells in which direction"), "{}", finding.sentence);
    }

    #[test]
    fn a_single_lost_packet_is_no_loss_of_the_path() {
        assert!(!series(0, 1).names("path.loss"));
    }
}
