use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::{count, named};
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Connect, Hold};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same connection held with keepalive probes: if it lives, something forgets idle connections"),
    ..Rule::new("tcp.idle_timeout", &["tcp.reset_midstream", "path.loss"], evaluate)
};

/// It died while it was idle, and one that was kept alive did not.
const CURED: f64 = 0.95;
/// It died while it was idle; a path that broke meanwhile looks the same.
const IDLE: f64 = 0.75;

/// Nothing forgets a connection sooner than this: the shortest limits that firewalls and servers are given have a few seconds. An end
/// that comes earlier is a decision of whoever ended it.
pub(super) const LEAST_IDLE_US: u64 = 2_000_000;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for connect in &evidence.connects {
        let about = Spot::Endpoint(connect.address);
        if candidates.iter().all(|known| !known.about.contains(&about)) {
            candidates.extend(forgotten(evidence, connect));
        }
    }
    candidates
}

fn forgotten(evidence: &Evidence<'_>, connect: &Seen<'_, Connect>) -> Option<Candidate> {
    let hold = connect.hold.as_deref().filter(|hold| hold.keepalive_s == 0 && lost(hold))?;
    let same = || evidence.connects.iter().filter(|other| other.address == connect.address);
    // One that died sooner after as long a wait would show another reason than idleness.
    let cured: Vec<&ObservationId> = same()
        .filter(|other| {
            let lived = |kept: &Hold| kept.keepalive_s > 0 && kept.failure.is_none() && kept.idle_us >= hold.idle_us;
            other.hold.as_deref().is_some_and(lived)
        })
        .map(|other| other.id)
        .collect();
    let seconds = i64::try_from(hold.idle_us / 1_000_000).unwrap_or(i64::MAX);
    let (host, port) = (named(&connect.host, connect.address.ip()), connect.address.port());
    let how = hold.failure.as_ref().map_or_else(String::new, |failure| format!(" ({})", failure.words()));
    let rescued = if cured.is_empty() { "" } else { " One that sends keepalive probes lives." };
    let idle = count(seconds, "second");
    let in_order = closed_in_order(hold);
    let sentence = match in_order {
        true => format!(
            "{host} closes a connection on port {port} after {idle} without traffic, in order: the server, or what stands in its place, has a limit of its own for idle connections.{rescued}"
        ),
        false => format!(
            "A connection to {host} on port {port} that is idle for {idle} is dead afterwards{how}: something on the way, or the server, forgets idle connections.{rescued}"
        ),
    };
    // Whoever closes in order counts what the application sends: a keepalive probe is nothing to it, unless one was seen to help.
    let next = match in_order && cured.is_empty() {
        true => (
            Who::Server,
            format!(
                "Raise the limit for idle connections at port {port} of {host}, or let the application send something of its own more often than every {idle}."
            ),
        ),
        false => (
            Who::Customer,
            format!(
                "Let the application send keepalives more often than every {idle}, or ask whoever runs the firewall or load balancer to remember connections for longer."
            ),
        ),
    };
    let candidate = Candidate::new(Severity::Degraded, if cured.is_empty() { IDLE } else { CURED }, sentence)
        .at(Place { address: Some(connect.address.ip()), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(connect.address))
        .resting_on([connect.id])
        .resting_on(cured.iter().copied())
        .rejecting("tcp.reset_midstream", "Nothing was sent when it ended.", [connect.id])
        .rejecting("path.loss", "A connection that is kept busy for as long lives.", cured)
        .next(next.0, next.1);
    Some(candidate)
}

/// It did not survive the wait: reset or closed meanwhile, though not at once, or nobody answered afterwards.
fn lost(hold: &Hold) -> bool {
    let died = |code: &FailureCode| match code {
        FailureCode::Reset | FailureCode::Closed => hold.idle_us >= LEAST_IDLE_US,
        code => *code == FailureCode::TimedOut,
    };
    hold.failure.as_ref().is_some_and(|failure| died(&failure.code)) || (hold.failure.is_none() && hold.answered == Some(false))
}

fn closed_in_order(hold: &Hold) -> bool {
    hold.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::Closed)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, held};
    use netsonde_contract::failure::FailureCode;
    use netsonde_contract::kind::Kind;

    const AT: &str = "192.0.2.1:443";

    #[test]
    fn a_connection_that_dies_idle_and_lives_with_keepalives_was_forgotten() {
        let facts = [held(AT, 0, 60, Some(FailureCode::TimedOut)), held(AT, 10, 60, None)];
        let finding = Scene::new("shop.example").check(Kind::Tcp, facts).finds("tcp.idle_timeout");
        assert!(finding.confidence > 0.9 && finding.sentence.contains("idle for 60 seconds"), "{}", finding.sentence);
    }

    #[test]
    fn without_a_comparison_it_is_less_sure() {
        let facts = [held(AT, 0, 60, Some(FailureCode::Reset))];
        assert_eq!(Scene::new("shop.example").check(Kind::Tcp, facts).finds("tcp.idle_timeout").confidence, 0.75);
    }

    #[test]
    fn a_connection_that_dies_in_spite_of_keepalives_is_no_idle_one() {
        let facts = [held(AT, 10, 60, Some(FailureCode::Reset))];
        assert!(!Scene::new("shop.example").check(Kind::Tcp, facts).names("tcp.idle_timeout"));
    }

    #[test]
    fn a_server_that_closes_idle_connections_in_order_forgets_nothing() {
        let finding =
            Scene::new("shop.example").check(Kind::Tcp, [held(AT, 0, 60, Some(FailureCode::Closed))]).finds("tcp.idle_timeout");
        assert!(
            finding.sentence.contains("closes a connection on port 443 after 60 seconds")
                && !finding.sentence.contains("forgets")
        );
        assert_eq!(finding.next_step.who, netsonde_contract::finding::Who::Server);
    }

    #[test]
    fn what_ends_before_anything_could_be_forgotten_was_ended_on_purpose() {
        for (code, cause) in [(FailureCode::Closed, "tcp.closed_early"), (FailureCode::Reset, "tcp.reset_midstream")] {
            let finding = Scene::new("shop.example").check(Kind::Tcp, [held(AT, 0, 0, Some(code))]).finds(cause);
            assert!(
                finding.sentence.contains("after 0 µs") && finding.rejected.iter().any(|other| other.cause == "tcp.idle_timeout")
            );
        }
    }

    #[test]
    fn a_connection_that_lives_is_no_fault() {
        assert!(Scene::new("shop.example").check(Kind::Tcp, [held(AT, 0, 60, None)]).is_healthy().is_empty());
    }
}
