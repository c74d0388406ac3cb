use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Handshake, Service, ServiceReach};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same question from the server itself: whether the service answers there"),
    ..Rule::new("service.no_greeting", &["tcp.filtered", "http.slow_server"], evaluate)
};

/// Connected, and silence. Whether the service hangs or something on the way took the connection is not seen.
const SILENT: f64 = 0.85;
/// Connected and closed without a word: some services so refuse clients that they do not like.
const CLOSED: f64 = 0.7;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let before_tls = evidence.handshakes.iter().filter_map(no_greeting_before_tls);
    evidence.services.iter().filter_map(no_greeting).chain(before_tls).collect()
}

/// Where a protocol has to be spoken before TLS, and the server never spoke it: no TLS was tried, and nothing is known about it.
fn no_greeting_before_tls(handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let talk = handshake.starttls.as_ref().filter(|talk| !talk.agreed && talk.received_bytes == Some(0))?;
    let (confidence, how) = silence(handshake.failure.as_ref()?)?;
    let (host, port, label) = (&handshake.host, handshake.address.port(), label(&talk.protocol));
    let sentence = format!(
        "Port {port} of {host} accepts the connection and {how}, where {label} was to be spoken before TLS: it may be no port for {label}."
    );
    let place = Place { address: Some(handshake.address.ip()), port: Some(port), name: Some(host.clone()), ..Place::default() };
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place)
        .about(Spot::Endpoint(handshake.address))
        .stopping()
        .resting_on([handshake.id])
        .rejecting("tcp.filtered", "The connection was made.", [handshake.id])
        .rejecting("http.slow_server", "No byte of an answer came.", [handshake.id])
        .next(
            Who::Server,
            format!(
                "Check that {port} is the port for {label}, and leave out `--starttls` where TLS begins at once there; else look at the service behind it: whether it hangs, has no worker free, or drops clients by address."
            ),
        );
    Some(candidate)
}

/// The protocol's name as people write it.
fn label(protocol: &str) -> &str {
    match protocol {
        "smtp" => "SMTP",
        "imap" => "IMAP",
        "postgres" => "PostgreSQL",
        "mysql" => "MySQL",
        "ldap" => "LDAP",
        other => other,
    }
}

/// How a connection ended on which nothing came.
fn silence(failure: &Failure) -> Option<(f64, &'static str)> {
    if !matches!(failure.during, Step::Receive | Step::Send) {
        return None;
    }
    match failure.code {
        FailureCode::TimedOut => Some((SILENT, "then says nothing")),
        FailureCode::Closed => Some((CLOSED, "closes it without a word")),
        FailureCode::Reset => Some((CLOSED, "resets it without a word")),
        _ => None,
    }
}

fn no_greeting(service: &Seen<'_, Service>) -> Option<Candidate> {
    if service.reached != ServiceReach::Connected || service.received_bytes > 0 {
        return None;
    }
    let (host, port, label) = (&service.host, service.address.port(), service.protocol.label());
    let (confidence, how) = silence(service.failure.as_ref()?)?;
    let sentence = format!("Port {port} of {host} accepts the connection and {how}, where {label} was to be spoken.");
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(service))
        .about(Spot::Endpoint(service.address))
        .resting_on([service.id])
        .rejecting("tcp.filtered", "The connection was made.", [service.id])
        .rejecting("http.slow_server", "No byte of an answer came.", [service.id])
        .next(
            Who::Server,
            format!(
                "Look at the service behind port {port} of {host}: its log, whether it hangs, has no worker free, or drops clients by address."
            ),
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, failure, handshake, service};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::ServiceReach;

    fn scene(code: FailureCode, received: u32) -> Scene {
        let fact = service(|service| {
            (service.greeting, service.received_bytes) = (None, received);
            service.reached = if received == 0 { ServiceReach::Connected } else { ServiceReach::Understood };
            service.failure = Some(failure(code, Step::Receive));
        });
        Scene::new("shop.example").check(Kind::Service, [fact])
    }

    #[test]
    fn a_connection_without_a_word_is_a_silent_service() {
        let silent = scene(FailureCode::TimedOut, 0).finds("service.no_greeting");
        assert!(silent.rejected.iter().any(|rejected| rejected.cause == "tcp.filtered"));
        let closed = scene(FailureCode::Closed, 0).finds("service.no_greeting");
        assert!(closed.confidence < silent.confidence && closed.sentence.contains("closes it"), "{}", closed.sentence);
        let reset = scene(FailureCode::Reset, 0).finds("service.no_greeting");
        assert!(reset.sentence.contains("resets it without a word"), "{}", reset.sentence);
    }

    #[test]
    fn a_port_that_stays_silent_where_a_protocol_comes_before_tls_never_met_a_hello() {
        let silent_after = |bytes: u32| {
            let fact = handshake(|handshake| {
                (handshake.chain, handshake.trust, handshake.name, handshake.took_us) = (Vec::new(), Vec::new(), None, 0);
                handshake.starttls = serde_json::from_value(
                    serde_json::json!({"protocol": "smtp", "received_bytes": bytes, "agreed": false, "took_us": 1_000_000}),
                )
                .unwrap();
                handshake.failure = Some(failure(FailureCode::TimedOut, Step::Receive));
            });
            Scene::new("shop.example").check(Kind::Tls, [fact])
        };
        let finding = silent_after(0).finds("service.no_greeting");
        assert!(finding.sentence.contains("it may be no port for SMTP."), "{}", finding.sentence);
        assert!(finding.could_not_separate.iter().all(|open| !open.cause.contains("hello") && !open.cause.contains("mtu")));
        silent_after(9).is_unexplained();
    }

    #[test]
    fn a_service_that_greets_and_then_hangs_is_another_thing() {
        scene(FailureCode::TimedOut, 80).is_unexplained();
    }
}
