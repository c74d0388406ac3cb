use super::at_proxy::{AtProxy, is_with_proxy};
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
/// The host behind a proxy may have sent them.
const PERHAPS_HANDED_ON: f64 = 0.75;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut last = last_exchanges(evidence);
    last.retain(|exchange| !is_with_proxy(exchange));
    let at_proxy = AtProxy::all(evidence);
    last.iter().filter_map(broken).chain(at_proxy.iter().filter_map(no_proxy)).collect()
}

/// What answers at the proxy's port speaks another protocol, or HTTP that is broken.
fn no_proxy(at_proxy: &AtProxy<'_>) -> Option<Candidate> {
    if at_proxy.failure.code != FailureCode::ProtocolError {
        return None;
    }
    let (proxy, host) = (at_proxy.proxy, at_proxy.host());
    let what = match at_proxy.reply {
        Some(reply) => format!("its answer begins \"{reply}\""),
        None => plain(&at_proxy.failure.text),
    };
    let sentence =
        format!("What answers at the proxy {proxy} does not speak {}: {what}. {host} was not reached.", at_proxy.protocol());
    // A proxy that hands on a plain request may hand on what the host answers.
    let confidence = if at_proxy.to_connect { CONFIDENCE } else { PERHAPS_HANDED_ON };
    let ids = || at_proxy.ids.iter().copied();
    let candidate = at_proxy
        .candidate(confidence, sentence)
        .rejecting("tcp.closed_early", "Bytes of an answer came.", ids())
        .rejecting("tls.not_tls", "No handshake with the host had begun.", ids())
        .settled_by("connecting to the proxy's port by hand: what greets there")
        .next(
            Who::Customer,
            "Check the proxy's address and port in the settings of this machine; if they are right, whoever runs the proxy has to look at what listens there.",
        );
    Some(candidate)
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
        .rejecting("tls.not_tls", no_matter_of_tls(exchange), [exchange.id])
        .next(
            Who::Server,
            format!("Check that the port is the one of the web server of {host}; if it is, look at what stands in front of it and writes the answer."),
        );
    Some(candidate)
}

/// Such a failure is one of the conversation, which began with no handshake or after a complete one.
fn no_matter_of_tls(exchange: &Exchange) -> &'static str {
    match exchange.phases.tls_us {
        Some(_) => "The TLS handshake was complete.",
        None => "No TLS was asked for: the request was plain HTTP.",
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, exchange, failure};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Who;
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
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "tls.not_tls"), "{finding:?}");
    }

    #[test]
    fn another_protocol_at_the_proxys_port_is_the_proxys_and_not_the_hosts() {
        let fact = exchange("https://shop.example/", |exchange| {
            (exchange.method, exchange.proxy) = ("CONNECT".into(), Some("http://proxy.example:3128".into()));
            (exchange.status, exchange.plain_reply) = (None, Some("SSH-2.0-example".into()));
            exchange.failure = Some(failure(FailureCode::ProtocolError, Step::Receive));
        });
        let finding = Scene::new("https://shop.example/").check(Kind::Http, [fact]).finds("http.protocol_error");
        assert!(finding.sentence.starts_with("What answers at the proxy http://proxy.example:3128"), "{}", finding.sentence);
        assert_eq!((finding.next_step.who, finding.place.name.as_deref()), (Who::Customer, Some("proxy.example")));
    }

    #[test]
    fn silence_breaks_no_protocol() {
        assert!(!scene(FailureCode::TimedOut).names("http.protocol_error"));
    }
}
