use crate::candidate::Candidate;
use crate::evidence::{Endpoint, Evidence};
use crate::rule::Rule;
use crate::threshold::{RTT_NOISE_US, TOO_EARLY_FOR_TARGET};
use crate::wording::{duration, named};
use netsonde_contract::finding::{Place, Severity, Who};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a trace with TCP packets to the port: it ends at the box that takes the connection"),
    ..Rule::new("tcp.transparent_proxy", &["tcp.rejected_by_middlebox"], evaluate)
};

/// No connection can stand before its packets were at the target; that ICMP is slowed down on the way is the other possibility.
const CONFIDENCE: f64 = 0.8;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.endpoints().iter().filter_map(|endpoint| intercepted(evidence, endpoint)).collect()
}

fn intercepted(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let (rtt_us, id) = evidence.path_rtt(address)?;
    let stood = endpoint.attempts.iter().filter(|attempt| attempt.connected() && attempt.took_us > 0);
    // The slowest counts: all of them came too early, so that none is a mistake of the clock.
    let slowest = stood.max_by_key(|attempt| attempt.took_us)?;
    if rtt_us < RTT_NOISE_US || slowest.took_us as f64 >= rtt_us as f64 * TOO_EARLY_FOR_TARGET {
        return None;
    }
    let (host, port) = (named(endpoint.host(), address), endpoint.address.port());
    let sentence = format!(
        "Something on the way takes connections to {host} on port {port} in the target's place: they stand after {}, and the target is {} away.",
        duration(slowest.took_us),
        duration(rtt_us)
    );
    let candidate = Candidate::new(Severity::Notice, CONFIDENCE, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .resting_on([slowest.id, id])
        .rejecting("tcp.rejected_by_middlebox", "The connection stands.", [slowest.id])
        .next(
            Who::Network,
            "Ask whoever runs the network whether a proxy or firewall is meant to take these connections; what it does with them, this machine cannot see.",
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connect, echo};
    use netsonde_contract::kind::Kind;

    fn scene(took_us: u64) -> Scene {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connect("192.0.2.1:443", took_us, None)]);
        scene.check(Kind::Icmp, [echo("192.0.2.1", &[40_000, 41_000])])
    }

    #[test]
    fn a_connection_that_stands_before_its_packets_can_have_arrived_is_taken_on_the_way() {
        assert_eq!(scene(3_000).is_healthy(), ["tcp.transparent_proxy"]);
    }

    #[test]
    fn a_connection_that_takes_the_paths_round_trip_is_the_targets() {
        assert!(scene(40_500).is_healthy().is_empty());
    }
}
