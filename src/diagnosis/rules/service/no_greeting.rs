use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Handshake, Service, ServiceReach, TcpState};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same question from the server itself: whether the service answers there"),
    ..Rule::new("service.no_greeting", &["tcp.filtered", "tcp.data_dropped", "http.slow_server"], evaluate)
};

/// The server's system took what it was asked, and silence. Whether the service hangs or something on the way took the connection is not
/// seen.
const SILENT: f64 = 0.85;
/// Whether anything that was sent arrived is not known: data may be dropped in either direction.
const SILENT_UNHEARD: f64 = 0.6;
/// Connected and closed without a word: some services so refuse clients that they do not like.
const CLOSED: f64 = 0.7;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let before_tls = evidence.handshakes.iter().filter_map(no_greeting_before_tls);
    evidence.services.iter().filter_map(no_greeting).chain(before_tls).collect()
}

/// Where a protocol has to be spoken before TLS, and the server never spoke it: no TLS was tried, and nothing is known about it.
fn no_greeting_before_tls(handshake: &Seen<'_, Handshake>) -> Option<Candidate> {
    let talk = handshake.starttls.as_ref().filter(|talk| !talk.agreed && talk.received_bytes == Some(0))?;
    let kernel = handshake.at_close.as_deref();
    let (confidence, how) = silence(handshake.failure.as_ref()?, kernel)?;
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
        .rejecting("tcp.data_dropped", TAKEN, Some(handshake.id).filter(|_| was_taken(kernel)))
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

const TAKEN: &str = "The server's system acknowledged all that was sent to it.";

/// The server's system acknowledged all that was sent to it, and that was something.
fn was_taken(kernel: Option<&TcpState>) -> bool {
    let Some(state) = kernel else { return false };
    let sent = state.bytes_sent.unwrap_or_default().saturating_sub(state.bytes_resent.unwrap_or_default());
    sent > 0 && state.bytes_acknowledged.is_some_and(|acknowledged| acknowledged >= sent)
}

/// How a connection ended on which nothing came.
fn silence(failure: &Failure, kernel: Option<&TcpState>) -> Option<(f64, &'static str)> {
    if !matches!(failure.during, Step::Receive | Step::Send) {
        return None;
    }
    match failure.code {
        FailureCode::TimedOut => Some((if was_taken(kernel) { SILENT } else { SILENT_UNHEARD }, "then says nothing")),
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
    let kernel = service.at_close.as_deref();
    let (confidence, how) = silence(service.failure.as_ref()?, kernel)?;
    let sentence = format!("Port {port} of {host} accepts the connection and {how}, where {label} was to be spoken.");
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(service))
        .about(Spot::Endpoint(service.address))
        .resting_on([service.id])
        .rejecting("tcp.filtered", "The connection was made.", [service.id])
        .rejecting("tcp.data_dropped", TAKEN, Some(service.id).filter(|_| was_taken(kernel)))
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
    use netsonde_contract::observation::{ServiceReach, TcpState};

    /// A conversation that ended like this, with what the kernel knew of its connection.
    fn ended(code: FailureCode, received: u32, kernel: Option<TcpState>) -> Scene {
        let fact = service(|service| {
            service.at_close = kernel.map(Box::new);
            (service.greeting, service.received_bytes) = (None, received);
            service.reached = if received == 0 { ServiceReach::Connected } else { ServiceReach::Understood };
            service.failure = Some(failure(code, Step::Receive));
        });
        Scene::new("shop.example").check(Kind::Service, [fact])
    }

    fn scene(code: FailureCode, received: u32) -> Scene {
        ended(code, received, Some(asked(21)))
    }

    /// Of 21 bytes so many were acknowledged; the rest was sent three times more.
    fn asked(acknowledged: u64) -> TcpState {
        let missing = 21 - acknowledged;
        TcpState {
            retransmits: if missing > 0 { 3 } else { 0 },
            bytes_sent: Some(21 + 3 * missing),
            bytes_resent: Some(3 * missing),
            bytes_acknowledged: Some(acknowledged),
            bytes_received: Some(0),
            ..TcpState::default()
        }
    }

    #[test]
    fn a_service_whose_system_took_the_question_is_silent_itself_and_without_that_data_may_be_dropped() {
        let rejects = |finding: &netsonde_contract::finding::Finding| {
            finding.rejected.iter().any(|rejected| rejected.cause == "tcp.data_dropped")
        };
        let taken = scene(FailureCode::TimedOut, 0).finds("service.no_greeting");
        assert!(rejects(&taken) && taken.confidence > 0.8, "{taken:#?}");
        let unasked = TcpState { bytes_sent: Some(0), bytes_acknowledged: Some(0), ..TcpState::default() };
        for kernel in [None, Some(unasked)] {
            let open = ended(FailureCode::TimedOut, 0, kernel).finds("service.no_greeting");
            assert!(open.confidence <= 0.6 && !rejects(&open), "{open:#?}");
            assert!(open.could_not_separate.iter().any(|open| open.cause == "tcp.data_dropped"), "{open:#?}");
        }
    }

    #[test]
    fn a_question_that_was_never_acknowledged_is_dropped_on_the_way() {
        let finding = ended(FailureCode::TimedOut, 0, Some(asked(0))).finds("tcp.data_dropped");
        assert!(finding.sentence.contains("21 bytes were sent 4 times"), "{}", finding.sentence);
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
        assert!(finding.confidence <= 0.6, "nothing was sent, and nothing known of what arrives: {finding:#?}");
        assert!(finding.sentence.contains("it may be no port for SMTP."), "{}", finding.sentence);
        assert!(finding.could_not_separate.iter().all(|open| !open.cause.contains("hello") && !open.cause.contains("mtu")));
        silent_after(9).is_unexplained();
    }

    #[test]
    fn a_service_that_greets_and_then_hangs_is_another_thing() {
        scene(FailureCode::TimedOut, 80).is_unexplained();
    }
}
