use super::{last_exchanges, place};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::plain;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::Exchange;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the first bytes of the answer: what protocol they belong to"),
    ..Rule::new("http.protocol_error", &["tls.not_tls", "tcp.closed_early"], evaluate)
};

/// Bytes came, and they are not HTTP; whose they are is mostly plain.
const CONFIDENCE: f64 = 0.9;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    last_exchanges(evidence).iter().filter_map(broken).collect()
}

fn broken(exchange: &Seen<'_, Exchange>) -> Option<Candidate> {
    let failure = exchange.failure.as_ref()?;
    let conversing = matches!(failure.during, Step::Send | Step::Receive);
    if failure.code != FailureCode::ProtocolError || !conversing {
        return None;
    }
    let host = host_of(&exchange.url);
    let what = match &exchange.plain_reply {
        Some(reply) => format!("it begins \"{reply}\""),
        None => plain(&failure.text),
    };
    let sentence = format!("{host} answers, but what it sends is not proper HTTP: {what}.");
    let candidate = Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id])
        .rejecting("tcp.closed_early", "Bytes of an answer came.", [exchange.id])
        .rejecting("tls.not_tls", "The TLS handshake was complete.", exchange.phases.tls_us.map(|_| exchange.id))
        .next(
            Who::Server,
            format!("Check that the port is the one of the web server of {host}; if it is, look at what stands in front of it and writes the answer."),
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange, failure};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;

    const URL: &str = "http://shop.example:2222/";

    fn scene(code: FailureCode) -> Scene {
        let fact = exchange(URL, |exchange| {
            (exchange.status, exchange.plain_reply) = (None, Some("SSH-2.0-example".into()));
            exchange.failure = Some(failure(code, Step::Receive));
        });
        Scene::new(URL).check(Kind::Http, [fact])
    }

    #[test]
    fn an_answer_that_is_not_http_is_told_with_how_it_begins() {
        let finding = scene(FailureCode::ProtocolError).finds("http.protocol_error");
        assert!(finding.sentence.contains("SSH-2.0-example"), "{}", finding.sentence);
    }

    #[test]
    fn silence_breaks_no_protocol() {
        assert!(!scene(FailureCode::TimedOut).names("http.protocol_error"));
    }
}
