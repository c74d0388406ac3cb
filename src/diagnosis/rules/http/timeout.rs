use super::{last_exchanges, place};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::Exchange;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the request on the wire: whether the target acknowledges it, and a large ping that may not be split"),
    ..Rule::new("http.timeout", &["path.mtu_blackhole", "http.slow_server", "tls.handshake_timeout"], evaluate)
};

/// Connected and asked, and no answer. Whether the request was acknowledged is not seen.
const CONFIDENCE: f64 = 0.75;
/// Large packets to the target pass: no path swallows the request.
const LARGE_PASS: f64 = 0.9;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    last_exchanges(evidence).iter().filter_map(|exchange| timeout(evidence, exchange)).collect()
}

fn timeout(evidence: &Evidence<'_>, exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let failure = exchange.failure.as_ref()?;
    if failure.code != FailureCode::TimedOut || failure.during != Step::Receive || exchange.status.is_some() {
        return None;
    }
    let host = host_of(&exchange.url);
    let through = exchange.proxy.as_ref().map_or(String::new(), |proxy| format!(" through the proxy {proxy}"));
    let sentence = format!("{host} accepts the connection and the request{through}, and then does not answer within the limit.");
    let secured = exchange.phases.tls_us.map(|_| exchange.id);
    let direct = exchange.address.filter(|_| exchange.proxy.is_none());
    let large = direct.map(|address| evidence.passes_large(address.ip())).unwrap_or_default();
    let confidence = if large.is_empty() { CONFIDENCE } else { LARGE_PASS };
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("tls.handshake_timeout", "The TLS handshake was complete.", secured)
        .rejecting("http.slow_server", "No answer came at all.", [exchange.id])
        .rejecting("path.mtu_blackhole", "Large packets to the target pass.", large)
        .next(
            Who::Server,
            format!("Look at what {host} does with the request: a service behind it that hangs, or all its workers busy."),
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange, failure, mtu};
    use netsonde_contract::failure::{FailureCode, Step};
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
    fn large_packets_that_pass_leave_only_the_server() {
        let passes = mtu(MtuLimit::None, 1_500, None);
        let finding = scene(Step::Receive, None).check(Kind::Mtu, [passes]).finds("http.timeout");
        assert!(finding.confidence >= 0.9 && finding.rejected.iter().any(|not| not.cause == "path.mtu_blackhole"), "{finding:?}");
    }

    #[test]
    fn silence_in_the_handshake_is_another_cause() {
        assert!(!scene(Step::Handshake, None).names("http.timeout"));
    }

    #[test]
    fn an_answer_that_stops_in_its_body_is_not_called_unanswered() {
        scene(Step::Receive, Some(200)).is_unexplained();
    }
}
