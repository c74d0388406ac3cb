use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Service, ServiceReach};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("speaking the other protocol to the port"),
    ..Rule::new("service.wrong_protocol", &["tls.not_tls"], evaluate)
};

/// The answer is known and belongs to another protocol.
const RECOGNISED: f64 = 0.97;
/// It is not the protocol that was asked for; what it is instead is open.
const UNRECOGNISED: f64 = 0.85;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.services.iter().filter_map(wrong_protocol).collect()
}

fn wrong_protocol(service: &Seen<'_, Service>) -> Option<Candidate> {
    let failure = service.failure.as_ref()?;
    let broken = failure.code == FailureCode::ProtocolError && service.reached == ServiceReach::Answered;
    if service.spoke.is_none() && !broken {
        return None;
    }
    let (host, port, label) = (&service.host, service.address.port(), service.protocol.label());
    let sentence = match (&service.spoke, &service.greeting) {
        (Some(spoke), _) => format!("Port {port} of {host} does not speak {label}: it answers in {spoke}."),
        (None, Some(greeting)) => format!("Port {port} of {host} does not speak {label}: it answers \"{greeting}\"."),
        (None, None) => format!("Port {port} of {host} does not speak {label}: its answer is something else."),
    };
    let confidence = if service.spoke.is_some() { RECOGNISED } else { UNRECOGNISED };
    let candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(place(service))
        .about(Spot::Endpoint(service.address))
        .resting_on([service.id])
        .rejecting("tls.not_tls", "TLS was not what the port was asked for.", [service.id])
        .next(
            Who::Customer,
            format!(
                "Check the port: {port} of {host} is not the port of {label}. If it should be, another program has taken it."
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

    fn scene(spoke: Option<&str>, reached: ServiceReach) -> Scene {
        let fact = service(|service| {
            (service.spoke, service.reached) = (spoke.map(str::to_owned), reached);
            service.greeting = Some("HELLO from a lathe".into());
            service.failure = Some(failure(FailureCode::ProtocolError, Step::Receive));
        });
        Scene::new("shop.example").check(Kind::Service, [fact])
    }

    #[test]
    fn the_other_protocol_is_named_or_quoted() {
        let named = scene(Some("HTTP"), ServiceReach::Answered).finds("service.wrong_protocol");
        assert!(named.sentence.ends_with("does not speak SMTP: it answers in HTTP."), "{}", named.sentence);
        let quoted = scene(None, ServiceReach::Answered).finds("service.wrong_protocol");
        assert!(quoted.sentence.contains("\"HELLO from a lathe\"") && quoted.confidence < named.confidence);
    }

    #[test]
    fn a_service_that_breaks_its_own_protocol_later_is_not_another_protocol() {
        scene(None, ServiceReach::Understood).is_unexplained();
    }
}
