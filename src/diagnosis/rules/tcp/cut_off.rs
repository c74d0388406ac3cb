//! Connections that stood, carried a request, and ended before its answer was complete: reset, or closed.

use super::cut_hello;
use super::idle_timeout::LEAST_IDLE_US;
use crate::candidate::Candidate;
use crate::evidence::{Endpoint, Evidence, Seen, host_of};
use crate::rule::Rule;
use crate::rules::http::at_proxy::{AtProxy, is_with_proxy};
use crate::rules::http::{last_exchanges, place};
use crate::spot::Spot;
use crate::wording::{duration, named};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Connect, Exchange, Hold};

pub(in crate::rules) const RESET_RULE: Rule = Rule {
    settled_by: Some(
        "a capture at the server at the time of the run: whether the reset leaves it, or comes from a box on the way",
    ),
    // Without the reset's TTL nothing tells the server from a box on the way.
    unprivileged_cap: 0.85,
    ..Rule::new(
        "tcp.reset_midstream",
        &[
            "tls.sni_blocked",
            "tls.large_hello_blocked",
            "tls.handshake_timeout",
            "tcp.idle_timeout",
            "tcp.closed_early",
            "service.refused_by_policy",
            "tcp.backend_unhealthy",
        ],
        reset,
    )
};

pub(in crate::rules) const CLOSED_RULE: Rule = Rule {
    settled_by: Some("the server's log for this request, and the same request with TLS where the port may expect it"),
    ..Rule::new(
        "tcp.closed_early",
        &[
            "http.protocol_error",
            "tcp.reset_midstream",
            "tcp.idle_timeout",
            "tls.sni_blocked",
            "tls.large_hello_blocked",
            "tls.handshake_timeout",
        ],
        closed,
    )
};

/// The connection's end was seen; who ended it, and why, was not.
const CONFIDENCE: f64 = 0.85;
/// The reset came before anything was said; who sent it, and why, is open.
const AT_ONCE: f64 = 0.75;
/// A plain request on a port that may expect TLS ends in the same way.
const MAY_BE_TLS: f64 = 0.75;

fn reset(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_exchange = |exchange: &Seen<'_, Exchange>| {
        let failure = ended(exchange).filter(|failure| failure.code == FailureCode::Reset)?;
        let host = host_of(&exchange.url);
        let sentence = format!("The connection to {host} is reset {}.{}", phase(exchange), hint(exchange, failure));
        let candidate = found(exchange, failure, sentence)
            .rejecting("tcp.idle_timeout", "The connection was in use.", [exchange.id])
            .rejecting("tcp.closed_early", "A reset ended it, and not a close.", [exchange.id])
            .next(
                Who::Server,
                format!("Look at the log of {host} at the time of the run: a crash or a limit of the server; if it saw nothing, a firewall or proxy on the way reset the connection."),
            );
        Some(candidate)
    };
    let at_proxy = by_proxy(
        evidence,
        |code| *code == FailureCode::Reset,
        "resets",
        "tcp.closed_early",
        "A reset ended it, and not a close.",
    );
    let at_once = evidence.endpoints().iter().filter_map(|endpoint| reset_at_once(endpoint)).collect::<Vec<_>>();
    let held =
        ended_while_held(evidence, &FailureCode::Reset, "resets", "tcp.closed_early", "A reset ended it, and not a close.");
    let in_handshakes = cut_hello::ended(evidence, &FailureCode::Reset);
    with_servers(evidence)
        .iter()
        .filter_map(of_exchange)
        .chain(at_once)
        .chain(held)
        .chain(in_handshakes)
        .chain(at_proxy)
        .collect()
}

/// Connections that stood and were reset before a request was sent. Bare connections of a tcp check may be over before their reset comes.
fn reset_at_once(endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let reset: Vec<_> = endpoint.attempts.iter().filter(|attempt| attempt.reset_at_once()).collect();
    let used = || endpoint.attempts.iter().filter(|attempt| !attempt.by_tcp_check);
    let (bare, stood) = (used().next().is_none(), endpoint.connected());
    let all_used = used().all(|attempt| attempt.reset_at_once());
    if reset.is_empty() || !all_used || (bare && stood) {
        return None;
    }
    let (address, port) = (endpoint.address.ip(), endpoint.address.port());
    let host = named(endpoint.host(), address);
    let sentence = format!("{host} accepts connections on port {port} and resets them at once, before anything is asked.");
    let ids: Vec<_> = reset.iter().map(|attempt| attempt.id).collect();
    let candidate = Candidate::new(Severity::Problem, AT_ONCE, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .stopping()
        .resting_on(endpoint.ids());
    let candidate = without_hello(candidate, "It ends before a hello is sent.", &ids)
        .rejecting("tcp.idle_timeout", "It ends at once.", ids.iter().copied())
        .rejecting("tcp.closed_early", "A reset ended it, and not a close.", ids)
        .next(
            Who::Server,
            format!("Look at the log of {host} and of what stands in front of it: a service that ends as soon as it is asked, a list of allowed addresses, a limit of connections, or a load balancer without a server behind it."),
        );
    Some(candidate)
}

fn closed(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_exchange = |exchange: &Seen<'_, Exchange>| {
        let cut = |failure: &&Failure| matches!(failure.code, FailureCode::Closed | FailureCode::Incomplete);
        let failure = ended(exchange).filter(cut)?;
        let host = host_of(&exchange.url);
        let sentence = format!("{host} closes the connection {}.{}", phase(exchange), hint(exchange, failure));
        let proper = exchange.status.map(|_| exchange.id);
        let candidate = found(exchange, failure, sentence)
            .rejecting("tcp.reset_midstream", "It was closed in order, and not reset.", [exchange.id])
            .rejecting("http.protocol_error", "The head of the answer was proper HTTP.", proper)
            .next(
                Who::Server,
                format!(
                    "Look at the log of {host} at the time of the run: a worker that ends, a time-out or a limit in front of it."
                ),
            );
        Some(candidate)
    };
    let in_order = "It was closed in order, and not reset.";
    let cut = |code: &FailureCode| matches!(code, FailureCode::Closed | FailureCode::Incomplete);
    let at_proxy = by_proxy(evidence, cut, "closes", "tcp.reset_midstream", in_order);
    let held = ended_while_held(evidence, &FailureCode::Closed, "closes", "tcp.reset_midstream", in_order);
    let in_handshakes = cut_hello::ended(evidence, &FailureCode::Closed);
    with_servers(evidence).iter().filter_map(of_exchange).chain(held).chain(in_handshakes).chain(at_proxy).collect()
}

/// The last exchanges of the checks but those that a proxy itself had to answer.
fn with_servers<'a>(evidence: &Evidence<'a>) -> Vec<Seen<'a, Exchange>> {
    let mut last = last_exchanges(evidence);
    last.retain(|exchange| !is_with_proxy(exchange));
    last
}

/// The proxy took the connection and the request, and ended it without a word.
fn by_proxy(
    evidence: &Evidence<'_>,
    is_end: impl Fn(&FailureCode) -> bool,
    does: &str,
    neighbour: &'static str,
    reason: &'static str,
) -> Vec<Candidate> {
    let all = AtProxy::all(evidence);
    let of_proxy = |at_proxy: &AtProxy<'_>| {
        let (proxy, host) = (at_proxy.proxy, at_proxy.host());
        let sentence = format!(
            "The proxy {proxy} accepts the connection, and {does} it without a word when it is asked for {host}. {host} itself was not reached."
        );
        let candidate = at_proxy
            .candidate(CONFIDENCE, sentence)
            .rejecting(neighbour, reason, at_proxy.ids.iter().copied())
            .rejecting("tcp.idle_timeout", "The connection was in use.", at_proxy.ids.iter().copied())
            .next(
                Who::Network,
                format!("Look at the log of the proxy at the time of the run: whether it lets in this machine's address, and what it does when it is asked for {host}; and whether the port is the proxy's."),
            );
        without_hello(candidate, "No handshake with the host had begun.", &at_proxy.ids)
    };
    all.iter().filter(|at_proxy| is_end(&at_proxy.failure.code)).map(of_proxy).collect()
}

/// Connections that were to be held open without traffic and were ended sooner than anything forgets them, one of each address.
fn ended_while_held(
    evidence: &Evidence<'_>,
    code: &FailureCode,
    does: &str,
    neighbour: &'static str,
    reason: &'static str,
) -> Vec<Candidate> {
    let hasty = |hold: &Hold| hold.idle_us < LEAST_IDLE_US && hold.failure.as_ref().is_some_and(|failure| failure.code == *code);
    let mut found: Vec<&Seen<'_, Connect>> = Vec::new();
    for connect in &evidence.connects {
        if connect.hold.as_deref().is_some_and(hasty) && found.iter().all(|known| known.address != connect.address) {
            found.push(connect);
        }
    }
    let candidate = |connect: &&Seen<'_, Connect>| {
        let (address, port) = (connect.address.ip(), connect.address.port());
        let host = named(&connect.host, address);
        let after = connect.hold.as_ref().map_or(0, |hold| hold.idle_us);
        let sentence = format!(
            "{host} accepts connections on port {port} and {does} them after {}, before anything is asked.",
            duration(after)
        );
        let candidate = Candidate::new(Severity::Degraded, AT_ONCE, sentence)
            .at(Place { address: Some(address), port: Some(port), ..Place::default() })
            .about(Spot::Endpoint(connect.address))
            .resting_on([connect.id]);
        without_hello(candidate, "Nothing was sent on it.", &[connect.id])
            .rejecting("tcp.idle_timeout", "It ends too soon to have been forgotten.", [connect.id])
            .rejecting(neighbour, reason, [connect.id])
            .next(
                Who::Server,
                format!("Look at the log of {host} for port {port} at the time of the run: a list of allowed addresses, a limit of connections, or a time that a client has to speak first."),
            )
    };
    found.iter().map(candidate).collect()
}

/// The failure of an exchange whose request was on its way, handshake included.
fn ended<'a>(exchange: &'a Seen<'_, Exchange>) -> Option<&'a Failure> {
    exchange.failure.as_ref().filter(|failure| matches!(failure.during, Step::Send | Step::Receive))
}

/// `after the request and before any answer`, `after 4096 bytes of the answer's body`.
fn phase(exchange: &Exchange) -> String {
    match (exchange.status, exchange.body_bytes) {
        (None, _) => "after the request, before any answer".to_owned(),
        (Some(status), 0) => format!("after the head of the answer (status {status}), before its body"),
        (Some(status), bytes) => format!("in the midst of the answer (status {status}), after {bytes} bytes of its body"),
    }
}

/// A plain request without any answer on a port that is not the usual one for it.
fn may_be_tls(exchange: &Exchange, failure: &Failure) -> bool {
    exchange.url.starts_with("http://")
        && exchange.status.is_none()
        && failure.during == Step::Receive
        && exchange.address.is_some_and(|address| address.port() != 80)
}

fn hint(exchange: &Exchange, failure: &Failure) -> &'static str {
    if may_be_tls(exchange, failure) { " A port that expects TLS does so to plain HTTP: try https." } else { "" }
}

fn found(exchange: &Seen<'_, Exchange>, failure: &Failure, sentence: String) -> Candidate {
    let confidence = if may_be_tls(exchange, failure) { MAY_BE_TLS } else { CONFIDENCE };
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(exchange))
        .about(Spot::Url(exchange.url.clone()))
        .resting_on([exchange.id]);
    without_hello(candidate, "The TLS handshake was complete, or none was made.", &[exchange.id])
}

/// It did not end over a ClientHello, so that nothing in one is the reason.
fn without_hello(candidate: Candidate, reason: &str, ids: &[&ObservationId]) -> Candidate {
    ["tls.sni_blocked", "tls.large_hello_blocked", "tls.handshake_timeout"]
        .into_iter()
        .fold(candidate, |candidate, cause| candidate.rejecting(cause, reason, ids.iter().copied()))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, exchange, failure};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;

    const URL: &str = "https://shop.example/";

    fn ended(url: &str, code: FailureCode, during: Step, status: Option<u16>, bytes: u64) -> Scene {
        let fact = exchange(url, |exchange| {
            (exchange.status, exchange.body_bytes) = (status, bytes);
            exchange.failure = Some(failure(code, during));
        });
        Scene::new(url).check(Kind::Http, [fact])
    }

    #[test]
    fn a_reset_is_told_with_how_far_the_exchange_had_come() {
        let finding = ended(URL, FailureCode::Reset, Step::Receive, None, 0).finds("tcp.reset_midstream");
        assert!(finding.sentence.contains("after the request, before any answer"), "{}", finding.sentence);
        let finding = ended(URL, FailureCode::Reset, Step::Receive, Some(200), 4_096).finds("tcp.reset_midstream");
        assert!(finding.sentence.contains("after 4096 bytes of its body"), "{}", finding.sentence);
    }

    #[test]
    fn a_plain_request_that_is_reset_on_another_port_may_have_met_tls() {
        let finding = ended("http://shop.example:443/", FailureCode::Reset, Step::Receive, None, 0).finds("tcp.reset_midstream");
        assert!(finding.confidence < 0.8 && finding.sentence.ends_with("try https."), "{}", finding.sentence);
    }

    #[test]
    fn a_close_without_an_answer_and_one_within_the_body_are_the_servers() {
        let finding = ended(URL, FailureCode::Closed, Step::Receive, None, 0).finds("tcp.closed_early");
        assert!(finding.rejected.iter().all(|rejected| rejected.cause != "http.protocol_error"));
        let finding = ended(URL, FailureCode::Incomplete, Step::Receive, Some(200), 100).finds("tcp.closed_early");
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "http.protocol_error"));
    }

    #[test]
    fn a_connection_that_is_reset_as_soon_as_it_stands_is_told_as_such() {
        let fact = exchange("http://shop.example/", |exchange| {
            (exchange.status, exchange.failure) = (None, Some(failure(FailureCode::Reset, Step::Connect)));
        });
        let scene = Scene::new("http://shop.example/").check(Kind::Tcp, [connected("192.0.2.1:443")]).check(Kind::Http, [fact]);
        let finding = scene.finds("tcp.reset_midstream");
        assert!(finding.sentence.contains("resets them at once"), "{}", finding.sentence);
        let open: Vec<_> = finding.could_not_separate.iter().map(|open| open.cause.as_str()).collect();
        assert_eq!(open, ["service.refused_by_policy", "tcp.backend_unhealthy"]);
    }

    #[test]
    fn a_proxy_that_ends_the_connection_without_a_word_is_named_and_not_the_host() {
        for (code, cause) in [(FailureCode::Reset, "tcp.reset_midstream"), (FailureCode::Closed, "tcp.closed_early")] {
            for (url, method) in [(URL, "CONNECT"), ("http://shop.example/", "GET")] {
                let fact = exchange(url, |exchange| {
                    (exchange.method, exchange.status) = (method.into(), None);
                    exchange.proxy = Some("http://proxy.example:3128".into());
                    exchange.failure = Some(failure(code.clone(), Step::Receive));
                });
                let finding = Scene::new(url).check(Kind::Http, [fact]).finds(cause);
                assert!(finding.sentence.starts_with("The proxy http://proxy.example:3128 accepts"), "{}", finding.sentence);
                assert_eq!(finding.place.name.as_deref(), Some("proxy.example"));
            }
        }
    }

    #[test]
    fn an_end_behind_an_open_tunnel_is_the_hosts() {
        let fact = exchange(URL, |exchange| {
            (exchange.status, exchange.proxy) = (None, Some("http://proxy.example:3128".into()));
            exchange.failure = Some(failure(FailureCode::Reset, Step::Receive));
        });
        let finding = Scene::new(URL).check(Kind::Http, [fact]).finds("tcp.reset_midstream");
        assert!(finding.sentence.starts_with("The connection to shop.example"), "{}", finding.sentence);
    }

    #[test]
    fn a_reset_within_the_handshake_is_another_matter() {
        assert!(!ended(URL, FailureCode::Reset, Step::Handshake, None, 0).names("tcp.reset_midstream"));
    }
}
