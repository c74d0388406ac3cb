use super::{last_exchanges, place};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of, small_segments};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::Exchange;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some(
        "the same request over small segments (the interface's MTU at 1000 bytes, or an MSS clamp for a moment): if it is answered then, large packets are lost on the way back",
    ),
    ..Rule::new("http.timeout", &["path.mtu_blackhole", "http.slow_server", "tls.handshake_timeout"], evaluate)
};

/// Connected and asked, and no answer. Whether the request was acknowledged is not seen.
const CONFIDENCE: f64 = 0.75;
/// Large packets to the target pass: no path swallows the request. The way back may still swallow the answer.
const LARGE_OUT: f64 = 0.8;
/// Large answers of the target come back as well; a filter for large segments of TCP alone is left.
const LARGE_BACK: f64 = 0.88;
/// Small segments, of which nothing on the way drops one for its size, met with silence as well.
const SMALL_TOO: f64 = 0.93;
/// The head came, and then nothing: what stopped is the body's sender, or packets of its size.
const STALLED: f64 = 0.7;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    last_exchanges(evidence).iter().filter_map(|exchange| timeout(evidence, exchange)).collect()
}

fn timeout(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let failure = exchange.failure.as_ref()?;
    if failure.code != FailureCode::TimedOut || failure.during != Step::Receive {
        return None;
    }
    if let Some(status) = exchange.status {
        return Some(stalled(evidence, exchange, status));
    }
    let host = host_of(&exchange.url);
    let through = exchange.proxy.as_ref().map_or(String::new(), |proxy| format!(" through the proxy {proxy}"));
    let sentence = format!("{host} accepts the connection and the request{through}, and then does not answer within the limit.");
    let secured = exchange.phases.tls_us.map(|_| exchange.id);
    let direct = exchange.address.filter(|_| exchange.proxy.is_none());
    let out = direct.map(|address| evidence.passes_large(address.ip())).unwrap_or_default();
    let back = direct.map(|address| evidence.large_came_back(address.ip())).unwrap_or_default();
    let small = over_small_segments(evidence, exchange);
    let confidence = match (small.is_empty(), out.is_empty(), back.is_empty()) {
        (false, _, _) => SMALL_TOO,
        (true, true, _) => CONFIDENCE,
        (true, false, true) => LARGE_OUT,
        (true, false, false) => LARGE_BACK,
    };
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("tls.handshake_timeout", "The TLS handshake was complete.", secured)
        .rejecting("http.slow_server", "No answer came at all.", [exchange.id])
        .rejecting("path.mtu_blackhole", SMALL_SILENT, small)
        .next(
            Who::Server,
            format!("Look at what {host} does with the request: a service behind it that hangs, or all its workers busy. If its log shows that it answered, large packets are lost on the way back."),
        );
    Some(candidate.resting_on(out).resting_on(back))
}

const SMALL_SILENT: &str = "Over small segments, which no path is too narrow for, the same came to a halt.";

/// The same request held to small segments, which came to a halt at the same place.
fn over_small_segments<'a>(evidence: &Evidence<'a>, exchange: &Seen<'_, Exchange>) -> Vec<&'a ObservationId> {
    let halted = |other: &&Seen<'_, Exchange>| {
        let timed_out = |failure: &Failure| failure.code == FailureCode::TimedOut && failure.during == Step::Receive;
        small_segments(other.outcome).is_some()
            && other.url == exchange.url
            && other.address == exchange.address
            && other.status == exchange.status
            && other.failure.as_ref().is_some_and(timed_out)
    };
    evidence.exchanges.iter().filter(halted).map(|other| other.id).collect()
}

/// The answer began and stopped in its body.
fn stalled(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>, status: u16) -> Candidate {
    let small = over_small_segments(evidence, exchange);
    let (host, bytes) = (host_of(&exchange.url), exchange.body_bytes);
    let sentence = format!(
        "{host} begins its answer (status {status}), and after {bytes} bytes of its body nothing more comes within the limit."
    );
    Candidate::new(Severity::Problem, if small.is_empty() { STALLED } else { SMALL_TOO }, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("http.slow_server", "The answer does not go on at all.", [exchange.id])
        .rejecting("tls.handshake_timeout", "The answer had begun.", [exchange.id])
        .rejecting("path.mtu_blackhole", SMALL_SILENT, small)
        .next(
            Who::Server,
            format!("Look at the log of {host} for this request: what made the body stop. If it sent all of it, packets are lost on the way back, the large ones first."),
        )
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, echo, echo_series, exchange, failure, mtu, sized};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Finding;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::MtuLimit;

    const URL: &str = "https://shop.example/";

    fn scene(during: Step, status: Option<u16>) -> Scene {
        let fact = exchange(URL, |exchange| {
            exchange.status = status;
            exchange.phases.tls_us = Some(30_000);
            exchange.failure = Some(failure(FailureCode::TimedOut, during));
        });
        Scene::new(URL).check(Kind::Http, [fact])
    }

    #[test]
    fn a_request_without_an_answer_is_the_servers_silence() {
        let finding = scene(Step::Receive, None).finds("http.timeout");
        assert!(finding.confidence < 0.9 && finding.rejected.iter().any(|rejected| rejected.cause == "tls.handshake_timeout"));
    }

    #[test]
    fn large_packets_that_pass_one_way_leave_the_way_back_open() {
        let passes = || mtu(MtuLimit::None, 1_500, None);
        let finding = scene(Step::Receive, None).check(Kind::Mtu, [passes()]).finds("http.timeout");
        let open = |finding: &Finding| finding.could_not_separate.iter().any(|open| open.cause == "path.mtu_blackhole");
        assert!(finding.confidence < 0.9 && open(&finding), "{finding:?}");
        let back = sized(echo("192.0.2.1", &[9_000; 5]), 1_400);
        let surer = scene(Step::Receive, None).check(Kind::Mtu, [passes()]).check(Kind::Icmp, [back]).finds("http.timeout");
        assert!(surer.confidence > finding.confidence && open(&surer), "{surer:?}");
    }

    #[test]
    fn large_answers_that_never_come_back_are_the_paths() {
        let large = sized(echo_series("192.0.2.1", 5, 5, |_| {}), 1_400);
        let scene = scene(Step::Receive, None).check(Kind::Mtu, [mtu(MtuLimit::None, 1_500, None)]);
        let finding = scene.check(Kind::Icmp, [echo("192.0.2.1", &[9_000; 5]), large]).finds("path.mtu_blackhole");
        assert!(finding.sentence.contains("answers"), "{}", finding.sentence);
    }

    #[test]
    fn silence_in_the_handshake_is_another_cause() {
        assert!(!scene(Step::Handshake, None).names("http.timeout"));
    }

    #[test]
    fn an_answer_that_stops_in_its_body_says_how_far_it_came() {
        let finding = scene(Step::Receive, Some(200)).finds("http.timeout");
        assert!(finding.sentence.contains("after 10 bytes of its body") && finding.confidence < 0.8, "{}", finding.sentence);
    }
}
