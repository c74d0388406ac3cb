use super::at_once::Numbers;
use crate::candidate::Candidate;
use crate::evidence::{Endpoint, Evidence};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some(
        "the translator's own count of used ports, or the same number of connections from a machine that does not go through it",
    ),
    ..Rule::new(
        "tcp.snat_exhausted",
        &["host.ephemeral_ports_exhausted", "path.ecmp_member_bad", "tcp.accept_queue_full"],
        evaluate,
    )
};

/// A server that stops to accept after so many looks the same from here: without another place to try from, no more may be said.
const CONFIDENCE: f64 = 0.6;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.endpoints().iter().filter_map(|endpoint| towards(evidence, endpoint)).collect()
}

fn towards(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let limit = Numbers::of(evidence, endpoint)?.limit()?;
    let free = evidence.sockets.iter().find_map(|sockets| {
        let ports = sockets.fact.ephemeral.as_ref()?;
        (ports.in_use.saturating_mul(2) < ports.size()).then_some(sockets.id)
    });
    let (address, port) = (endpoint.address.ip(), endpoint.address.port());
    let one_by_one = match &limit.in_turn {
        Some(in_turn) => format!(", while {} that were made one after the other all stand", in_turn.stood),
        None => String::new(),
    };
    let sentence = format!(
        "Only {} connections to {} on port {port} stand at the same time: {} more stay without any answer{one_by_one}. Most likely an address translator on the way (NAT gateway, firewall, load balancer) has no port left for this place, or a firewall lets only so many of one client stand.",
        limit.stood,
        named(endpoint.host(), address),
        limit.silent
    );
    let pings = evidence.lost_calmly(address);
    let clean = pings.of > 0 && pings.cases == 0;
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(limit.ids.iter().copied())
        .resting_on(pings.ids.into_iter().filter(|_| clean))
        .rejecting("host.ephemeral_ports_exhausted", "Most of this machine's own local ports are free.", free)
        .next(
            Who::Network,
            "Look at the translator's used ports towards this address and port (in Azure: SNAT connection count of the load balancer or NAT gateway), and give it more addresses; look for a limit of connections of one client in the firewalls on the way; let programs reuse their connections.",
        );
    let candidate = match &limit.in_turn {
        Some(in_turn) => candidate
            .rejecting(
                "path.ecmp_member_bad",
                "One after the other, connections of as many flows all stand.",
                in_turn.ids.iter().copied(),
            )
            .rejecting(
                "tcp.accept_queue_full",
                "One after the other, the server takes all of them at once.",
                in_turn.ids.iter().copied(),
            )
            .resting_on(in_turn.ids.iter().copied()),
        None => candidate.rejecting(
            "path.ecmp_member_bad",
            "The silent connections come after those that stand, in an order that chance hardly makes.",
            limit.ids,
        ),
    };
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, ports, silent};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    const AT: &str = "192.0.2.1:443";

    /// Attempts in their order, `+` for one that stood and `-` for a silent one, so many kept open at once.
    fn scene(attempts: &str, concurrent: u64) -> Scene {
        let fact = |(at, mark): (usize, char)| {
            let mut fact = if mark == '+' { connected(AT) } else { silent(AT) };
            if let Fact::Connect(connect) = &mut fact {
                connect.attempt = at as u32 + 1;
            }
            fact
        };
        let scene = Scene::new("shop.example").check(Kind::Host, [ports(28_000, 12, 0)]);
        let mut scene = scene.check(Kind::Tcp, attempts.chars().enumerate().map(fact));
        scene.outcomes_mut().last_mut().unwrap().parameters = serde_json::json!({"concurrent": concurrent});
        scene
    }

    #[test]
    fn connections_that_stand_only_up_to_a_number_are_the_translators() {
        let finding = scene("++++++++------", 14).finds("tcp.snat_exhausted");
        assert!(finding.confidence <= 0.6 && finding.sentence.starts_with("Only 8 connections"), "{finding:#?}");
        assert_eq!(finding.rejected.len(), 2);
    }

    #[test]
    fn silence_between_connections_that_stand_goes_with_the_flow() {
        for attempts in ["+-+-+-+-++-+-+", "++-+"] {
            assert!(!scene(attempts, 14).names("tcp.snat_exhausted"), "{attempts}");
        }
    }

    #[test]
    fn a_few_attempts_or_one_after_the_other_say_nothing() {
        assert!(!scene("++++--", 6).names("tcp.snat_exhausted"));
        assert!(!scene("++++++++------", 1).names("tcp.snat_exhausted"));
    }

    #[test]
    fn a_translator_that_missed_its_last_free_ports_once_or_twice_is_still_seen() {
        let seen = |attempts: &str| scene(attempts, 30).names("tcp.snat_exhausted");
        assert!(seen("++++-++--++---------"));
        for other in ["+-+-+-+-+-+-+-+-+-+-", "--------++++++++++++", "++++", "----"] {
            assert!(!seen(other), "{other}");
        }
    }

    /// A few at once, and then the same one after the other.
    fn then_in_turn(at_once: &str, in_turn: &str) -> Scene {
        let first = scene(at_once, 16);
        let marks = in_turn.chars().map(|mark| if mark == '+' { connected(AT) } else { silent(AT) });
        let mut both = first.check(Kind::Tcp, marks);
        both.outcomes_mut().last_mut().unwrap().parameters = serde_json::json!({"concurrent": 1});
        both
    }

    #[test]
    fn a_few_that_are_silent_at_once_and_stand_one_after_the_other_are_limited_in_number() {
        for at_once in ["++----", "+++-------", "+-+---"] {
            let finding = then_in_turn(at_once, "+++++").finds("tcp.snat_exhausted");
            assert!(finding.sentence.contains("5 that were made one after the other all stand"), "{}", finding.sentence);
            for neighbour in ["path.ecmp_member_bad", "tcp.accept_queue_full"] {
                assert!(finding.rejected.iter().any(|rejected| rejected.cause == neighbour), "{finding:#?}");
            }
        }
    }

    #[test]
    fn what_lets_in_connections_that_ask_again_beside_those_that_stand_does_not_count_them() {
        let mut scene = scene("++--------", 10);
        let facts = (0..5).map(|_| connected(AT));
        if let Fact::Connect(connect) = &mut scene.outcomes_mut().last_mut().unwrap().observations[1].fact {
            connect.syn_retransmits = Some(1);
        }
        assert!(!scene.check(Kind::Tcp, facts.collect::<Vec<_>>()).names("tcp.snat_exhausted"));
    }

    #[test]
    fn where_some_are_silent_one_after_the_other_as_well_flows_differ() {
        let finding = then_in_turn("++----", "+-+--+-+").finds("path.ecmp_member_bad");
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "tcp.snat_exhausted"), "{finding:#?}");
    }

    #[test]
    fn a_limit_that_nothing_but_the_order_shows_stays_open_beside_a_broken_way() {
        let finding = scene("++----", 6).finds("path.ecmp_member_bad");
        let open = finding.could_not_separate.iter().any(|open| open.cause == "tcp.snat_exhausted");
        assert!(open && finding.confidence <= 0.5, "{finding:#?}");
    }

    #[test]
    fn three_of_ten_that_stand_before_all_others_are_a_limit() {
        let finding = scene("+++-------", 10).finds("tcp.snat_exhausted");
        let open = finding.could_not_separate.iter().any(|open| open.cause == "tcp.accept_queue_full");
        assert!(open && finding.confidence <= 0.6, "{finding:#?}");
    }
}
