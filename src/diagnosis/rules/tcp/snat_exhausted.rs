use crate::candidate::Candidate;
use crate::evidence::{Endpoint, Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::Connect;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some(
        "the translator's own count of used ports, or the same number of connections from a machine that does not go through it",
    ),
    ..Rule::new("tcp.snat_exhausted", &["host.ephemeral_ports_exhausted", "path.ecmp_member_bad"], evaluate)
};

/// A server that stops to accept after so many looks the same from here: without another place to try from, no more may be said.
const CONFIDENCE: f64 = 0.6;

/// Of all pairs of a silent attempt and one that stood, at most one in so many may have the silent one first: translators look for a
/// free port at random, and miss the last ones now and then.
const LEAST_IN_ORDER: u64 = 8;
/// So many standard deviations from what chance gives (Mann and Whitney's U): less than once in two hundred times.
const DEVIATIONS: f64 = 2.6;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.endpoints().iter().filter_map(|endpoint| towards(evidence, endpoint)).collect()
}

/// How many stood, and all attempts of the one check at the endpoint, which were kept open at once: the first ones stood and the
/// later ones stayed silent.
pub(in crate::rules) fn in_order<'a>(
    evidence: &Evidence<'a>,
    endpoint: &Endpoint<'_>,
) -> Option<(usize, Vec<&'a ObservationId>)> {
    let mut attempts: Vec<Seen<'a, Connect>> =
        evidence.connects.iter().filter(|seen| seen.fact.address == endpoint.address).copied().collect();
    let check = attempts.first()?.outcome;
    let at_once = check.parameters.get("concurrent").and_then(serde_json::Value::as_u64).unwrap_or(1);
    attempts.sort_by_key(|seen| seen.fact.attempt);
    let is_silent = |seen: &Seen<'_, Connect>| {
        seen.fact.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut && failure.icmp.is_none())
    };
    let silent: Vec<bool> = attempts.iter().map(is_silent).collect();
    let told = attempts.iter().zip(&silent).all(|(seen, silent)| *silent || seen.fact.failure.is_none());
    let alone = attempts.iter().all(|seen| seen.outcome.check == check.check) && at_once >= attempts.len() as u64;
    let stood = silent.iter().filter(|silent| !**silent).count();
    (told && alone && goes_with_number(&silent)).then(|| (stood, attempts.iter().map(|seen| seen.id).collect()))
}

/// The silent attempts come after those that stood, more clearly than chance orders them.
fn goes_with_number(silent: &[bool]) -> bool {
    let mut silent_before = 0_u64;
    let mut out_of_order = 0_u64;
    for is_silent in silent {
        if *is_silent {
            silent_before += 1;
        } else {
            out_of_order += silent_before;
        }
    }
    let stood = silent.len() as u64 - silent_before;
    let pairs = stood * silent_before;
    let deviation = (pairs as f64 * (silent.len() as f64 + 1.0) / 12.0).sqrt();
    pairs > 0 && out_of_order * LEAST_IN_ORDER <= pairs && pairs as f64 / 2.0 - out_of_order as f64 >= DEVIATIONS * deviation
}

fn towards(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let (stood, ids) = in_order(evidence, endpoint)?;
    let free = evidence.sockets.iter().find_map(|sockets| {
        let ports = sockets.fact.ephemeral.as_ref()?;
        (ports.in_use.saturating_mul(2) < ports.size()).then_some(sockets.id)
    });
    let (address, port) = (endpoint.address.ip(), endpoint.address.port());
    let sentence = format!(
        "Only {stood} connections to {} on port {port} stand at the same time: {} more stay without any answer. Most likely an address translator on the way (NAT gateway, firewall, load balancer) has no port left for this place.",
        named(endpoint.host(), address),
        ids.len() - stood
    );
    let pings = evidence.lost_calmly(address);
    let clean = pings.of > 0 && pings.cases == 0;
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(ids.iter().copied())
        .resting_on(pings.ids.into_iter().filter(|_| clean))
        .rejecting("host.ephemeral_ports_exhausted", "Most of this machine's own local ports are free.", free)
        .rejecting("path.ecmp_member_bad", "The silent connections come after those that stand, in an order that chance hardly makes.", ids)
        .next(
            Who::Network,
            "Look at the translator's used ports towards this address and port (in Azure: SNAT connection count of the load balancer or NAT gateway), and give it more addresses; let programs reuse their connections.",
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use super::goes_with_number;
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
        let seen = |text: &str| goes_with_number(&text.chars().map(|mark| mark == '-').collect::<Vec<_>>());
        assert!(seen("++++-++--++---------"));
        assert!(!seen("+-+-+-+-+-+-+-+-+-+-") && !seen("--------++++++++++++") && !seen("++++") && !seen("----"));
    }
}
