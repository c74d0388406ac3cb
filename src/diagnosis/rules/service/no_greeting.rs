use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Service, ServiceReach};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same question from the server itself: whether the service answers there"),
    ..Rule::new("service.no_greeting", &["tcp.filtered", "http.slow_server"], evaluate)
};

/// Connected, and silence. Whether the service hangs or something on the way took the connection is not seen.
const SILENT: f64 = 0.85;
/// Connected and closed without a word: some services so refuse clients that they do not like.
const CLOSED: f64 = 0.7;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.services.iter().filter_map(no_greeting).collect()
}

fn no_greeting(service: &Seen<'_, Service>) -> Option<Candidate> {
    let failure = service.failure.as_ref().filter(|failure| matches!(failure.during, Step::Receive | Step::Send))?;
    if service.reached != ServiceReach::Connected || service.received_bytes > 0 {
        return None;
    }
    let (host, port, label) = (&service.host, service.address.port(), service.protocol.label());
    let (confidence, how) = match failure.code {
        FailureCode::TimedOut => (SILENT, "then says nothing"),
        FailureCode::Closed | FailureCode::Reset => (CLOSED, "closes it without a word"),
        _ => return None,
    };
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
    use crate::scene::{Scene, failure, service};
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
    }

    #[test]
    fn a_service_that_greets_and_then_hangs_is_another_thing() {
        scene(FailureCode::TimedOut, 80).is_unexplained();
    }
}
