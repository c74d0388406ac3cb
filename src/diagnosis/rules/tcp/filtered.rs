use crate::candidate::Candidate;
use crate::evidence::{Endpoint, Evidence};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::{list, named};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a trace with TCP packets to the port, which shows the last router that lets them pass, and more attempts"),
    ..Rule::new("tcp.filtered", &["path.blackhole", "tcp.accept_queue_full", "tcp.refused"], evaluate)
};

/// Every one of several attempts is silent while the address answers otherwise.
const SEVERAL_ATTEMPTS: f64 = 0.9;
/// One attempt: its SYNs may have been lost, or met a full queue.
const ONE_ATTEMPT: f64 = 0.8;

/// From so many silent attempts on, a full accept queue would have let one through: each sends several SYNs over seconds.
const MANY: usize = 3;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.endpoints().iter().filter_map(|endpoint| filtered(evidence, endpoint)).collect()
}

fn filtered(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let answers = evidence.answered(address);
    if !endpoint.silent() || answers.is_empty() {
        return None;
    }
    let elsewhere = evidence.connected_elsewhere(endpoint);
    let severity = if elsewhere.is_some() { Severity::Degraded } else { Severity::Problem };
    let attempts = endpoint.attempts.len();
    let (host, port) = (named(endpoint.host(), address), endpoint.address.port());
    let ids: Vec<&ObservationId> = endpoint.ids().collect();
    let sentence = format!(
        "A filter drops connections to {host} on port {port}: they stay without any answer, while the same address answers to {}.",
        others(evidence, endpoint)
    );
    let candidate = Candidate::new(severity, if attempts > 1 { SEVERAL_ATTEMPTS } else { ONE_ATTEMPT }, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .stopping()
        .resting_on(ids.iter().copied())
        .resting_on(answers.iter().copied())
        .rejecting("path.blackhole", "The address answers on another port or protocol: the way to it is open.", answers)
        .rejecting("tcp.refused", "No refusal came back.", ids.iter().copied())
        .next(Who::Network, format!("Allow TCP port {port} to {address} from this machine: look at the firewalls and security groups before the target, and at its own."));
    if attempts >= MANY {
        Some(candidate.rejecting("tcp.accept_queue_full", format!("Not one of {attempts} attempts got through."), ids))
    } else {
        Some(candidate)
    }
}

/// What the same address answers to: `ping`, `traceroute`, `port 22`.
fn others(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> String {
    let address = endpoint.address.ip();
    let mut others: Vec<String> = Vec::new();
    let same_address =
        evidence.attempts().iter().filter(|attempt| attempt.address.ip() == address && attempt.address != endpoint.address);
    for attempt in same_address.filter(|attempt| attempt.connected() || attempt.refused_by_reset()) {
        let port = format!("port {}", attempt.address.port());
        if !others.contains(&port) {
            others.push(port);
        }
    }
    for (port, _) in evidence.answering_sweeps(address) {
        let port = format!("port {port}");
        if !others.contains(&port) {
            others.push(port);
        }
    }
    if !evidence.echoed(address).is_empty() {
        others.push("ping".to_owned());
    }
    if !evidence.arrived(address).is_empty() {
        others.push("traceroute".to_owned());
    }
    list(&others)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo, failure, refused, silent, trace};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::State;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    fn dropped() -> Scene {
        Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443"), silent("192.0.2.1:443"), silent("192.0.2.1:443")])
    }

    #[test]
    fn a_silent_port_of_an_address_that_answers_to_ping_is_filtered() {
        let finding = dropped().check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]).finds("tcp.filtered");
        assert!(finding.confidence >= 0.9 && finding.sentence.contains("answers to ping"), "{}", finding.sentence);
        let causes: Vec<_> = finding.rejected.iter().map(|rejected| rejected.cause.as_str()).collect();
        assert_eq!(causes, ["path.blackhole", "tcp.refused", "tcp.accept_queue_full"]);
    }

    #[test]
    fn without_the_right_to_ping_the_arrival_of_a_trace_or_another_port_tells() {
        dropped().check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "192.0.2.1"])).finds("tcp.filtered");
        let finding = dropped().check(Kind::Tcp, [connected("192.0.2.1:22")]).finds("tcp.filtered");
        assert!(finding.sentence.contains("answers to port 22"), "{}", finding.sentence);
    }

    #[test]
    fn a_trace_that_arrived_before_it_could_send_no_more_counts() {
        let mut facts = trace("192.0.2.1", &["10.0.1.1", "192.0.2.1"]);
        if let Some(Fact::Trace(trace)) = facts.last_mut() {
            trace.failure = Some(failure(FailureCode::BudgetExhausted, Step::Send));
        }
        dropped().check(Kind::Traceroute, facts).finds("tcp.filtered");
    }

    #[test]
    fn an_address_that_answers_nothing_is_not_known_to_be_filtered() {
        dropped().check(Kind::Icmp, [echo("192.0.2.1", &[])]).is_unexplained();
    }

    #[test]
    fn another_address_that_answers_proves_nothing() {
        let diagnosis = dropped().check(Kind::Icmp, [echo("192.0.2.2", &[9_000])]).diagnose();
        assert_eq!(diagnosis.state, State::Unexplained);
    }

    #[test]
    fn another_target_of_the_run_proves_nothing_either() {
        let scene = dropped().target("other.example").check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]);
        assert!(!scene.names("tcp.filtered"));
    }

    #[test]
    fn one_refusal_among_silence_is_not_called_filtered() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443"), refused("192.0.2.1:443", 9_000)]);
        assert_eq!(scene.check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]).finds("tcp.refused").confidence, 0.7);
    }
}
