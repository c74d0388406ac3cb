use crate::candidate::Candidate;
use crate::evidence::{Attempt, Endpoint, Evidence};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("more connections, counted by which server answered, and the load balancer's own view of its servers"),
    ..Rule::new("tcp.backend_unhealthy", &["path.ecmp_member_bad", "tcp.refused", "tcp.snat_exhausted"], evaluate)
};

/// Some are refused and others stand at the same address and port: two servers, or one that comes and goes.
const CONFIDENCE: f64 = 0.75;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.endpoints().iter().filter_map(unhealthy).collect()
}

fn unhealthy(endpoint: &Endpoint<'_>) -> Option<Candidate> {
    // What a request met may have been another moment; the attempts of one check are side by side.
    let attempts: Vec<&Attempt<'_>> = endpoint.attempts.iter().filter(|attempt| attempt.by_tcp_check).collect();
    let refused: Vec<&ObservationId> =
        attempts.iter().filter(|attempt| attempt.refused_by_reset()).map(|attempt| attempt.id).collect();
    let stood: Vec<&ObservationId> = attempts.iter().filter(|attempt| attempt.connected()).map(|attempt| attempt.id).collect();
    if refused.is_empty() || stood.is_empty() {
        return None;
    }
    let (address, port) = (endpoint.address.ip(), endpoint.address.port());
    let sentence = format!(
        "{} of {} connections to {} on port {port} are refused, and the others stand: behind this address are several servers, and one of them is not in order.",
        refused.len(),
        attempts.len(),
        named(endpoint.host(), address)
    );
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(refused.iter().copied())
        .resting_on(stood.iter().copied())
        .rejecting("tcp.refused", "Other connections to the same port stand.", stood)
        .rejecting("path.ecmp_member_bad", "The failed ones are refused, and not lost.", refused)
        .next(
            Who::Server,
            "Take the server that refuses out of the load balancer, and look at its health check, which should have seen it.",
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, refused};
    use netsonde_contract::kind::Kind;

    const AT: &str = "192.0.2.1:443";

    #[test]
    fn refusals_between_connections_that_stand_are_one_server_of_several() {
        let facts = [connected(AT), refused(AT, 20_000), connected(AT), refused(AT, 20_000)];
        let finding = Scene::new("shop.example").check(Kind::Tcp, facts).finds("tcp.backend_unhealthy");
        assert!(finding.sentence.starts_with("2 of 4 connections"), "{}", finding.sentence);
    }

    #[test]
    fn a_port_that_always_refuses_has_no_server_at_all() {
        Scene::new("shop.example").check(Kind::Tcp, [refused(AT, 20_000), refused(AT, 20_000)]).finds("tcp.refused");
    }
}
