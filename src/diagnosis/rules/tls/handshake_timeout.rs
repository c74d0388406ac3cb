use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, small_segments};
use crate::rule::Rule;
use crate::rules::host::overloaded;
use crate::rules::path::loss;
use crate::spot::Spot;
use crate::wording::duration;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{Handshake, HandshakeVariant, TcpState, Variant};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same handshake with a small ClientHello and small segments, and a large ping that may not be split"),
    ..Rule::new(
        "tls.handshake_timeout",
        &["path.mtu_blackhole", "tls.large_hello_blocked", "tls.not_tls", "tcp.data_dropped"],
        evaluate,
    )
};

/// The connection stands and the server is silent. That larger packets vanish on the way looks the same until small ones were tried.
const CONFIDENCE: f64 = 0.7;
/// A hello that fits one packet met with silence as well; the server's own first packets, which are large, may still vanish.
const SMALL_TOO: f64 = 0.8;
/// And large packets to the server pass; the certificate's large packets may still be lost on the way back.
const LARGE_OUT: f64 = 0.82;
/// And large answers come back as well; a filter for large segments of TCP alone is left.
const LARGE_BACK: f64 = 0.88;
/// The same held to small segments met with silence as well: no packet of either side can have been lost for its size.
const SMALL_SEGMENTS_TOO: f64 = 0.93;
/// The handshake completes, and late: what it waited for is not seen.
const SLOW: f64 = 0.75;
/// A handshake that takes so much longer than its round trips, each time, makes every visitor wait.
const SLOW_US: u64 = 1_000_000;
/// A machine whose processors others want may itself take some of it, and no whole seconds twice.
const SLOW_WHERE_BUSY_US: u64 = 2_500_000;
/// Round trips of a handshake at most: TLS 1.2 with a large chain, and one segment sent again.
const ROUND_TRIPS: u64 = 5;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let silent = evidence.handshakes.iter().filter_map(|handshake| silence(evidence, handshake));
    silent.chain(slow(evidence)).collect()
}

/// The endpoint whose handshakes all complete late: the quickest of them counts, so that one pause is no finding.
fn slow(evidence: &Evidence<'_>) -> Option<Candidate> {
    let took = |handshake: &Seen<'_, Handshake>| handshake.took_us.saturating_sub(handshake.connect_us);
    let complete =
        || evidence.handshakes.iter().filter(|handshake| handshake.failure.is_none() && handshake.outcome.kind != Kind::Quic);
    let slowest = complete().max_by_key(|handshake| took(handshake))?;
    let address = slowest.address;
    let quickest = complete().filter(|other| other.address == address).min_by_key(|other| took(other))?;
    let by_connections = evidence.attempts().iter().filter(|attempt| attempt.connected() && attempt.address == address);
    let by_path = evidence.path_rtt(address.ip()).map(|(rtt_us, _)| rtt_us);
    let rtt_us = by_connections.map(|attempt| attempt.took_us).chain(by_path).min()?;
    let took_us = took(quickest);
    let limit_us = if overloaded::is_wanted_by_many(evidence) { SLOW_WHERE_BUSY_US } else { SLOW_US };
    if took_us < limit_us + ROUND_TRIPS * rtt_us || loss::share(evidence, address.ip()).is_some() {
        return None;
    }
    let (host, port) = (&quickest.host, address.port());
    let sentence = format!(
        "The TLS handshake with {host} on port {port} takes {}, while a round trip takes {}: the server waits before it answers the hello, and every new connection with it.",
        duration(took_us),
        duration(rtt_us)
    );
    let candidate = Candidate::new(Severity::Degraded, SLOW, sentence)
        .at(place(quickest))
        .about(Spot::Endpoint(address))
        .resting_on([slowest.id, quickest.id])
        .rejecting("tls.not_tls", "The handshake completes.", [quickest.id])
        .rejecting("tcp.data_dropped", "The handshake completes.", [quickest.id])
        .next(
            Who::Server,
            format!("Look for what the TLS server of {host} waits for in a handshake: a key store or signing service, a lookup of the client's name, an overloaded processor, too few workers."),
        );
    Some(candidate)
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
    let out = evidence.passes_large(handshake.address.ip());
    let back = evidence.large_came_back(handshake.address.ip());
    let halted = |other: &&Seen<'_, Handshake>| {
        let timed_out = other.failure.as_ref().is_some_and(|other| other.code == failure.code && other.during == failure.during);
        timed_out && other.address == handshake.address && small_segments(other.outcome).is_some()
    };
    let over_small: Vec<_> = evidence.handshakes.iter().filter(halted).map(|other| other.id).collect();
    let confidence = match (small.is_empty(), out.is_empty(), back.is_empty()) {
        _ if !over_small.is_empty() => SMALL_SEGMENTS_TOO,
        (true, _, _) => CONFIDENCE,
        (false, true, _) => SMALL_TOO,
        (false, false, true) => LARGE_OUT,
        (false, false, false) => LARGE_BACK,
    };
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(handshake))
        .about(Spot::Endpoint(handshake.address))
        .stopping()
        .resting_on([handshake.id])
        .rejecting("tls.large_hello_blocked", "A hello that fits one packet meets with silence as well.", small)
        .rejecting(
            "path.mtu_blackhole",
            "Over small segments, which no path is too narrow for, it is silent as well.",
            over_small,
        )
        .rejecting(
            "tcp.data_dropped",
            "The server's system acknowledged the whole hello.",
            handshake.at_close.as_deref().filter(|state| is_acknowledged(state)).map(|_| handshake.id),
        )
        .resting_on(out)
        .resting_on(back)
        .next(Who::Server, action);
    Some(candidate)
}

/// All that was sent arrived at the other side's system.
fn is_acknowledged(state: &TcpState) -> bool {
    let sent = state.bytes_sent.unwrap_or_default().saturating_sub(state.bytes_resent.unwrap_or_default());
    sent > 0 && state.bytes_acknowledged.is_some_and(|bytes| bytes >= sent)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, failure, handshake, mtu, variant};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Severity;
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
    fn silence_to_a_small_hello_where_large_packets_pass_leaves_the_way_back_open() {
        let failed = || Some(failure(FailureCode::TimedOut, Step::Handshake));
        let small = variant(Variant::ClassicGroups, Some("shop.example"), failed());
        let passes = mtu(MtuLimit::None, 1_500, None);
        let dead = handshake(|handshake| {
            (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
            handshake.failure = failed();
        });
        let finding = Scene::new("https://shop.example").check(Kind::Tls, [dead, small]).check(Kind::Mtu, [passes]);
        let finding = finding.finds("tls.handshake_timeout");
        let open = finding.could_not_separate.iter().any(|open| open.cause == "path.mtu_blackhole");
        assert!(open && finding.confidence > 0.8 && finding.confidence < 0.9, "{finding:?}");
        let lone = scene(FailureCode::TimedOut, Step::Handshake).check(Kind::Mtu, [mtu(MtuLimit::None, 1_500, None)]);
        assert!(lone.finds("tls.handshake_timeout").confidence < 0.9, "the hello itself may be too large");
    }

    #[test]
    fn a_connection_that_never_stood_is_no_silent_handshake() {
        assert!(!scene(FailureCode::TimedOut, Step::Connect).names("tls.handshake_timeout"));
    }

    fn complete(took_us: u64, again_us: u64) -> Scene {
        let late = |took_us| handshake(move |handshake| handshake.took_us = 20_000 + took_us);
        let scene = Scene::new("https://shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]);
        scene.check(Kind::Tls, [late(took_us)]).check(Kind::Tls, [late(again_us)])
    }

    #[test]
    fn a_handshake_that_completes_late_each_time_is_the_servers_wait() {
        let finding = complete(3_090_000, 3_020_000).finds("tls.handshake_timeout");
        assert!(finding.severity == Severity::Degraded && finding.sentence.contains("takes 3.0 seconds"), "{finding:?}");
    }

    #[test]
    fn one_late_handshake_of_two_is_a_pause() {
        assert!(complete(3_090_000, 40_000).is_healthy().is_empty());
    }

    #[test]
    fn a_reset_is_no_silence() {
        assert!(!scene(FailureCode::Reset, Step::Handshake).names("tls.handshake_timeout"));
    }
}
