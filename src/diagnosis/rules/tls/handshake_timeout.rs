use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::duration;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Handshake, HandshakeVariant, Variant};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same handshake with a small ClientHello and small segments, and a large ping that may not be split"),
    ..Rule::new("tls.handshake_timeout", &["path.mtu_blackhole", "tls.large_hello_blocked", "tls.not_tls"], evaluate)
};

/// The connection stands and the server is silent. That larger packets vanish on the way looks the same until small ones were tried.
const CONFIDENCE: f64 = 0.7;
/// A hello that fits one packet met with silence as well; the server's own first packets, which are large, may still vanish.
const SMALL_TOO: f64 = 0.8;
/// And large packets to the server pass, so that the path swallows neither its size nor the answer's.
const LARGE_PASS: f64 = 0.92;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.handshakes.iter().filter_map(|handshake| silence(evidence, handshake)).collect()
}

fn silence(evidence: &Evidence<'_>, handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let failure = handshake.failure.as_ref()?;
    if failure.code != FailureCode::TimedOut || failure.during != Step::Handshake {
        return None;
    }
    // A check that its deadline cut off did not note how long it had waited.
    let waited =
        if handshake.took_us > 0 { format!(": nothing came within {}", duration(handshake.took_us)) } else { String::new() };
    let (host, port) = (&handshake.host, handshake.address.port());
    let sentence =
        format!("{host} accepts the connection on port {port}, but stays silent when the TLS handshake begins{waited}.");
    let action = format!(
        "Look at the load and the log of the TLS server of {host}; if they are clean, large packets may vanish on the way."
    );
    let is_small = |other: &&Seen<'_, HandshakeVariant>| {
        other.address == handshake.address
            && other.variant == Variant::ClassicGroups
            && other.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut)
    };
    let small: Vec<_> = evidence.variants.iter().filter(is_small).map(|other| other.id).collect();
    let large = evidence.passes_large(handshake.address.ip());
    let confidence = match (small.is_empty(), large.is_empty()) {
        (true, _) => CONFIDENCE,
        (false, true) => SMALL_TOO,
        (false, false) => LARGE_PASS,
    };
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(handshake))
        .about(Spot::Endpoint(handshake.address))
        .stopping()
        .resting_on([handshake.id])
        .rejecting("tls.large_hello_blocked", "A hello that fits one packet meets with silence as well.", small)
        .rejecting("path.mtu_blackhole", "Large packets to the server pass.", large)
        .next(Who::Server, action);
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, failure, handshake, mtu, variant};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{MtuLimit, Variant};

    fn scene(code: FailureCode, during: Step) -> Scene {
        let fact = handshake(|handshake| {
            (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
            (handshake.took_us, handshake.failure) = (5_000_000, Some(failure(code, during)));
        });
        Scene::new("https://shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]).check(Kind::Tls, [fact])
    }

    #[test]
    fn a_server_that_is_silent_after_the_client_hello_is_told_with_the_wait() {
        let finding = scene(FailureCode::TimedOut, Step::Handshake).finds("tls.handshake_timeout");
        assert!(finding.sentence.contains("within 5.0 seconds") && finding.confidence < 0.9);
    }

    #[test]
    fn silence_to_a_small_hello_as_well_rules_its_size_out() {
        let failed = || Some(failure(FailureCode::TimedOut, Step::Handshake));
        let small = variant(Variant::ClassicGroups, Some("shop.example"), failed());
        let finding = scene(FailureCode::TimedOut, Step::Handshake)
            .check(
                Kind::Tls,
                [
                    handshake(|handshake| {
                        (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
                        handshake.failure = failed();
                    }),
                    small,
                ],
            )
            .finds("tls.handshake_timeout");
        assert_eq!(finding.rejected[0].cause, "tls.large_hello_blocked");
    }

    #[test]
    fn silence_to_a_small_hello_where_large_packets_pass_is_the_servers_own() {
        let failed = || Some(failure(FailureCode::TimedOut, Step::Handshake));
        let small = variant(Variant::ClassicGroups, Some("shop.example"), failed());
        let passes = mtu(MtuLimit::None, 1_500, None);
        let dead = handshake(|handshake| {
            (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
            handshake.failure = failed();
        });
        let finding = Scene::new("https://shop.example").check(Kind::Tls, [dead, small]).check(Kind::Mtu, [passes]);
        let finding = finding.finds("tls.handshake_timeout");
        assert!(finding.confidence >= 0.9 && finding.rejected.iter().any(|not| not.cause == "path.mtu_blackhole"), "{finding:?}");
        let lone = scene(FailureCode::TimedOut, Step::Handshake).check(Kind::Mtu, [mtu(MtuLimit::None, 1_500, None)]);
        assert!(lone.finds("tls.handshake_timeout").confidence < 0.9, "the hello itself may be too large");
    }

    #[test]
    fn a_connection_that_never_stood_is_no_silent_handshake() {
        assert!(!scene(FailureCode::TimedOut, Step::Connect).names("tls.handshake_timeout"));
    }

    #[test]
    fn a_reset_is_no_silence() {
        scene(FailureCode::Reset, Step::Handshake).is_unexplained();
    }
}
