use crate::candidate::Candidate;
use crate::evidence::{Evidence, is_barred};
use crate::rule::Rule;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::Fact;
use netsonde_contract::outcome::{Outcome, Status};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the system's audit log at the time of the refusal, which names the security policy that refused"),
    ..Rule::new("host.permission_denied", &["host.firewall_local"], evaluate)
};

/// The socket itself was refused: no address was known to the system yet, so that no packet filter can be the reason.
const AT_OPENING: f64 = 0.95;
/// The socket was opened and the connection refused: a security policy, though a local filter may also answer so.
const AT_CONNECTING: f64 = 0.6;

const ACTION: &str = "Run netsonde with the rights that it names, or allow it in the security policy (container, AppArmor, SELinux) that confines it.";

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    // Where the routing table itself bars the way, that is the reason, and not a right.
    let barred = evidence.addresses().into_iter().any(|address| !evidence.without_route(address).is_empty());
    let lookups = || evidence.names().into_iter().flat_map(|view| view.servers).flat_map(|server| server.lookups);
    let resolvers_barred = lookups().next().is_some() && lookups().all(|lookup| lookup.failure.as_ref().is_some_and(is_barred));
    if barred || resolvers_barred {
        Vec::new()
    } else {
        evidence.outcomes.iter().filter_map(|outcome| refused(outcome)).collect()
    }
}

fn refused(outcome: &Outcome) -> Option<Candidate> {
    // What an ordinary user may not do is said as not measured, with what grants it, and is no fault of the machine.
    if outcome.status == Status::NotMeasured {
        return None;
    }
    let with_failure = outcome.observations.iter().filter(|observation| !matches!(observation.fact, Fact::Route(_)));
    let with_failure = with_failure.filter_map(|observation| Some((observation, observation.fact.failure()?)));
    let (observation, failure, confidence) =
        with_failure.filter_map(|(observation, failure)| Some((observation, failure, confidence(failure)?))).next()?;
    let severity = if outcome.required { Severity::Problem } else { Severity::Notice };
    let sentence = format!(
        "The system did not let netsonde use the network for its {} check ({}): nothing was sent.",
        outcome.kind.name(),
        failure.words()
    );
    let mut candidate = Candidate::new(severity, confidence, sentence).resting_on([&observation.id]).next(Who::Customer, ACTION);
    if failure.during == Step::Open {
        candidate = candidate.rejecting(
            "host.firewall_local",
            "The socket itself was refused, before any address was named.",
            [&observation.id],
        );
    }
    Some(candidate)
}

fn confidence(failure: &Failure) -> Option<f64> {
    match (&failure.code, failure.during) {
        (FailureCode::PermissionDenied, Step::Open) => Some(AT_OPENING),
        (FailureCode::PermissionDenied, Step::Connect) if failure.icmp.is_none() => Some(AT_CONNECTING),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connect, connected, echo_failed, failure, service};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::State;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::outcome::Status;

    #[test]
    fn a_socket_that_may_not_be_opened_stops_the_check() {
        let refused = failure(FailureCode::PermissionDenied, Step::Open);
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connect("192.0.2.1:443", 20, Some(refused))]);
        assert_eq!(scene.finds("host.permission_denied").confidence, 0.95);
    }

    #[test]
    fn a_ping_socket_that_may_not_be_opened_is_a_notice() {
        let refused = failure(FailureCode::PermissionDenied, Step::Open);
        let scene = Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]);
        let scene = scene.check(Kind::Icmp, [echo_failed("192.0.2.1", refused)]);
        assert_eq!(scene.is_healthy(), ["host.permission_denied"]);
    }

    #[test]
    fn a_right_that_an_ordinary_user_lacks_is_no_fault_of_the_machine() {
        let refused = failure(FailureCode::PermissionDenied, Step::Open);
        let fact = service(|service| service.failure = Some(refused));
        let scene = Scene::new("shop.example").ended(Kind::Service, Status::NotMeasured, [fact]);
        assert!(!scene.names("host.permission_denied"));
        assert_eq!(scene.diagnose().state, State::Indeterminate);
    }

    #[test]
    fn a_packet_refused_at_sending_is_the_firewalls() {
        let refused = failure(FailureCode::PermissionDenied, Step::Send);
        let scene = Scene::new("shop.example").check(Kind::Icmp, [echo_failed("192.0.2.1", refused)]);
        assert!(!scene.names("host.permission_denied"));
        assert!(scene.names("host.firewall_local"));
    }
}
