use super::some_rejected::{self, fails};
use crate::candidate::Candidate;
use crate::evidence::{Attempt, Endpoint, Evidence};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some(
        "as many connections one after the other: a limit of connections at once takes all of them, and a bad server fails some; then the load balancer's own view of its servers",
    ),
    ..Rule::new(
        "tcp.backend_unhealthy",
        &["path.ecmp_member_bad", "tcp.refused", "tcp.snat_exhausted", "service.refused_by_policy", "tcp.rejected_by_middlebox"],
        evaluate,
    )
};

/// Some fail and others stand, in no order: two servers, or one that comes and goes.
const MIXED: f64 = 0.75;
/// How far away the resets began is not known: whatever is on the way may have sent them.
const UNTOLD: f64 = 0.6;
/// The first ones stood and all after them failed, or only one failed: a limit, or chance in who is asked, looks the same.
const LIKE_A_LIMIT: f64 = 0.6;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.endpoints().iter().filter_map(|endpoint| unhealthy(evidence, endpoint)).collect()
}

fn unhealthy<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'a>) -> Option<Candidate> {
    // What a request met may have been another moment; the attempts of one check are side by side.
    let attempts: Vec<&Attempt<'_>> = endpoint.attempts.iter().filter(|attempt| attempt.by_tcp_check).collect();
    let address = endpoint.address.ip();
    let by_itself = |attempt: &Attempt<'_>| attempt.rejected_by().is_some_and(|error| error.offender == address);
    let fails = |attempt: &Attempt<'_>| fails(attempt) || (by_itself(attempt) && !evidence.is_own(address));
    let failed: Vec<&ObservationId> = attempts.iter().filter(|attempt| fails(attempt)).map(|attempt| attempt.id).collect();
    let stood: Vec<&ObservationId> = attempts.iter().filter(|attempt| attempt.connected()).map(|attempt| attempt.id).collect();
    if failed.is_empty() || stood.is_empty() || only_bare_ones_stood(endpoint) {
        return None;
    }
    // Named there, with where they began.
    if some_rejected::candidate(evidence, endpoint).is_some() {
        return None;
    }
    // An ICMP error that carries the address itself was sent by whoever stands for it.
    let told_itself = attempts.iter().find(|attempt| by_itself(attempt)).map(|attempt| attempt.id);
    let from_servers = some_rejected::from_servers(evidence, endpoint).or(told_itself);
    let port = endpoint.address.port();
    let how = match attempts.iter().filter(|attempt| attempt.reset_at_once()).count() {
        0 => "refused",
        resets if resets == failed.len() => "reset as soon as they stand",
        _ => "refused or reset as soon as they stand",
    };
    let by_reset = if told_itself.is_none() { " with a reset" } else { "" };
    let told = if from_servers.is_none() { ", at the server or on the way" } else { "" };
    let sentence = format!(
        "{} of {} connections to {} on port {port} are {how}, and the others stand: one of several servers behind this address is not in order, or something limits the connections of one client{told}.",
        failed.len(),
        attempts.len(),
        named(endpoint.host(), address)
    );
    let confidence = match from_servers {
        _ if is_like_a_limit(&attempts, fails) => LIKE_A_LIMIT,
        Some(_) => MIXED,
        None => UNTOLD,
    };
    let candidate = Candidate::new(Severity::Degraded, confidence, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(failed.iter().copied())
        .resting_on(stood.iter().copied())
        .rejecting("tcp.refused", "Other connections to the same port stand.", stood)
        .rejecting("path.ecmp_member_bad", format!("The failed ones are answered{by_reset}, and not lost."), failed)
        .rejecting(
            "tcp.rejected_by_middlebox",
            match told_itself {
                Some(_) => "The refusals carry the address of the target.",
                None => "The resets came from no nearer than the packets of the connections that stand (by their TTL).",
            },
            from_servers,
        )
        .next(
            Who::Server,
            "Connect as often one after the other: where all of them stand, look for a limit of connections of one client at the server or a firewall. Where some still fail, take the server that fails out of the load balancer, and look at its health check, which should have seen it.",
        );
    Some(candidate)
}

/// The first to be made stood, and all made later failed; or a single one failed.
fn is_like_a_limit(attempts: &[&Attempt<'_>], fails: impl Fn(&Attempt<'_>) -> bool) -> bool {
    let mut in_order: Vec<&&Attempt<'_>> = attempts.iter().collect();
    in_order.sort_by_key(|attempt| attempt.at_us);
    let failed = in_order.iter().filter(|attempt| fails(attempt)).count();
    failed == 1 || in_order.iter().skip_while(|attempt| !fails(attempt)).all(|attempt| fails(attempt))
}

/// Every connection that was used was reset at once, so that the bare ones that stood were only over before their reset came.
fn only_bare_ones_stood(endpoint: &Endpoint<'_>) -> bool {
    let mut used = endpoint.attempts.iter().filter(|attempt| !attempt.by_tcp_check).peekable();
    used.peek().is_some() && used.all(Attempt::reset_at_once)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connect, connected, failure, refused};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;

    const AT: &str = "192.0.2.1:443";

    #[test]
    fn refusals_between_connections_that_stand_are_one_server_of_several() {
        let facts = [connected(AT), refused(AT, 20_000), connected(AT), refused(AT, 20_000)];
        let finding = Scene::new("shop.example").check(Kind::Tcp, facts).finds("tcp.backend_unhealthy");
        assert!(finding.sentence.starts_with("2 of 4 connections"), "{}", finding.sentence);
    }

    #[test]
    fn resets_between_connections_that_stand_count_like_refusals() {
        let reset = connect(AT, 900, Some(failure(FailureCode::Reset, Step::Connect)));
        let finding =
            Scene::new("shop.example").check(Kind::Tcp, [connected(AT), reset, connected(AT)]).finds("tcp.backend_unhealthy");
        assert!(finding.sentence.contains("1 of 3") && finding.sentence.contains("are reset as soon as"), "{}", finding.sentence);
    }

    #[test]
    fn the_first_that_stand_before_all_others_fail_may_be_a_limit() {
        let facts = [connected(AT), connected(AT), refused(AT, 20_000), refused(AT, 20_000)];
        let finding = Scene::new("shop.example").check(Kind::Tcp, facts).finds("tcp.backend_unhealthy");
        let open = finding.could_not_separate.iter().any(|open| open.cause == "service.refused_by_policy");
        assert!(finding.confidence < 0.7 && open && finding.sentence.contains("limits the connections"), "{finding:?}");
    }

    #[test]
    fn a_port_that_always_refuses_has_no_server_at_all() {
        Scene::new("shop.example").check(Kind::Tcp, [refused(AT, 20_000), refused(AT, 20_000)]).finds("tcp.refused");
    }
}
