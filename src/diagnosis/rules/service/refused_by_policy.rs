use super::place;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::Service;

pub(in crate::rules) const RULE: Rule = Rule::new("service.refused_by_policy", &["tcp.reset_midstream"], evaluate);

/// The service says so itself.
const CONFIDENCE: f64 = 0.95;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.services.iter().filter_map(refused).collect()
}

fn refused(service: &Seen<'_, Service>) -> Option<Candidate> {
    let refusal = service.refusal.as_ref()?;
    let (host, port, label) = (&service.host, service.address.port(), service.protocol.label());
    // A service without codes closes with a sentence, and `closed` stands in the code's place.
    let code = (refusal.code != "closed").then_some(refusal.code.as_str());
    let words = match (code, refusal.text.is_empty()) {
        (Some(code), true) => code.to_owned(),
        (Some(code), false) => format!("{code} \"{}\"", refusal.text),
        (None, true) => "it closes the connection".to_owned(),
        (None, false) => format!("\"{}\"", refusal.text),
    };
    let look_up = code.map_or_else(|| words.clone(), str::to_owned);
    let sentence = format!("The {label} service at port {port} of {host} refuses this client before any sign-in: {words}.");
    let candidate = Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .at(place(service))
        .about(Spot::Endpoint(service.address))
        .resting_on([service.id])
        .rejecting("tcp.reset_midstream", "The service answered in its own protocol.", [service.id])
        .next(
            Who::Server,
            format!("Look up {look_up} for {label}: allow this client's address, raise the limit that it ran into, or use TLS where the service wants it."),
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, failure, service};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::ServiceRefusal;

    fn scene(refusal: Option<ServiceRefusal>) -> Scene {
        let fact = service(|service| {
            service.refusal = refusal;
            service.failure = Some(failure(FailureCode::Other("service_refused".into()), Step::Receive));
        });
        Scene::new("shop.example").check(Kind::Service, [fact])
    }

    #[test]
    fn the_services_own_words_are_the_finding() {
        let refusal = ServiceRefusal { code: "554".into(), text: "5.7.1 no service for you".into() };
        let finding = scene(Some(refusal)).finds("service.refused_by_policy");
        assert!(finding.sentence.contains("554 \"5.7.1 no service for you\""), "{}", finding.sentence);
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "tcp.reset_midstream"));
    }

    #[test]
    fn a_service_without_codes_is_quoted() {
        let refusal = ServiceRefusal { code: "closed".into(), text: "Exceeded MaxStartups".into() };
        let finding = scene(Some(refusal)).finds("service.refused_by_policy");
        assert!(finding.sentence.ends_with("before any sign-in: \"Exceeded MaxStartups\"."), "{}", finding.sentence);
        assert!(finding.next_step.action.starts_with("Look up \"Exceeded MaxStartups\" for"), "{}", finding.next_step.action);
    }

    #[test]
    fn a_failure_without_a_refusal_is_none() {
        scene(None).is_unexplained();
    }
}
