use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::duration;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Exchange, Handshake};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same handshake with a small ClientHello and small segments, and a large ping that may not be split"),
    ..Rule::new("tls.handshake_timeout", &["path.mtu_blackhole", "tls.large_hello_blocked", "tls.not_tls"], evaluate)
};

/// The connection stands and the server is silent. That larger packets vanish on the way looks the same until small ones were tried.
const CONFIDENCE: f64 = 0.7;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let by_handshake = evidence.handshakes.iter().filter_map(of_handshake);
    // Where the set makes no handshake of its own, the request's tells as much.
    let by_exchange = evidence.exchanges.iter().filter(|_| evidence.handshakes.is_empty()).filter_map(of_exchange);
    by_handshake.chain(by_exchange).collect()
}

fn is_silence(failure: &Failure) -> bool {
    failure.code == FailureCode::TimedOut && failure.during == Step::Handshake
}

fn of_handshake(handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    handshake.failure.as_ref().filter(|failure| is_silence(failure))?;
    let waited = duration(handshake.took_us);
    let sentence = format!(
        "{} accepts the connection on port {}, but stays silent when the TLS handshake begins: nothing came within {waited}.",
        handshake.host,
        handshake.address.port()
    );
    Some(candidate(sentence, &handshake.host).at(place(handshake)).about(Spot::Endpoint(handshake.address)).resting_on([handshake.id]))
}

fn of_exchange(exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    exchange.failure.as_ref().filter(|failure| is_silence(failure))?;
    let address = exchange.address.filter(|_| exchange.proxy.is_none())?;
    let host = crate::evidence::host_of(&exchange.fact.url);
    let sentence = format!("{host} accepts the connection on port {}, but stays silent when the TLS handshake begins.", address.port());
    let place = netsonde_contract::finding::Place {
        address: Some(address.ip()),
        port: Some(address.port()),
        name: Some(host.to_owned()),
        ..Default::default()
    };
    Some(candidate(sentence, host).at(place).about(Spot::Endpoint(address)).resting_on([exchange.id]))
}

fn candidate(sentence: String, host: &str) -> Candidate {
    Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .stopping()
        .next(Who::Server, format!("Look at the load and the log of the TLS server of {host}; if they are clean, large packets may vanish on the way."))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, exchange, failure, handshake};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;

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
    fn a_request_without_a_handshake_check_tells_as_much() {
        let fact = exchange("https://shop.example/", |exchange| exchange.failure = Some(failure(FailureCode::TimedOut, Step::Handshake)));
        Scene::new("https://shop.example").check(Kind::Http, [fact]).finds("tls.handshake_timeout");
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
