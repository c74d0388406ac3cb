use super::runs_in;
use crate::candidate::Candidate;
use crate::evidence::{Attempt, Endpoint, Evidence};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Place, Severity, Who};

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["tcp.filtered"],
    settled_by: Some("a connection to port 25 of a third party's mail server, and the same from outside this network"),
    ..Rule::new("cloud.smtp_blocked", &["path.blackhole", "tcp.filtered", "tcp.refused"], evaluate)
};

/// Mail servers pass mail to each other here (RFC 5321 section 4.5.4.2); clouds and providers block it against spam.
const RELAY: u16 = 25;
/// Mail is handed in here with a sign-in (RFC 6409, RFC 8314), which nobody blocks.
const SUBMISSION: [u16; 2] = [587, 465];
/// One host's silence may be its own filter; two parties seldom drop the same machine.
const SEVERAL_HOSTS: usize = 2;
/// The machine is known to be in a cloud, and most clouds block the port.
const IN_CLOUD: f64 = 0.92;
/// Access providers and firewalls of companies do so too.
const ELSEWHERE: f64 = 0.8;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    blocked(evidence).into_iter().collect()
}

fn blocked(evidence: &Evidence<'_>) -> Option<Candidate> {
    let here: Vec<Endpoint<'_>> = evidence.endpoints().into_iter().filter(|one| one.address.port() == RELAY).collect();
    let all = || evidence.attempts().iter().chain(evidence.attempts_elsewhere());
    let relay: Vec<&Attempt<'_>> = all().filter(|attempt| attempt.address.port() == RELAY).collect();
    let mut hosts: Vec<&str> = Vec::new();
    let mut addresses = Vec::new();
    for attempt in &relay {
        // The same server under two names is one.
        if !hosts.contains(&attempt.host) && !addresses.contains(&attempt.address) {
            hosts.push(attempt.host);
        }
        addresses.push(attempt.address);
    }
    if here.is_empty() || hosts.len() < SEVERAL_HOSTS || !relay.iter().all(|attempt| attempt.silent()) {
        return None;
    }
    let submission = |attempt: &&Attempt<'_>| {
        attempt.connected()
            && SUBMISSION.contains(&attempt.address.port())
            && relay.iter().any(|other| other.address.ip() == attempt.address.ip())
    };
    let open: Vec<&Attempt<'_>> = all().filter(submission).collect();
    let works = open.first()?;
    let port = works.address.port();
    let (confidence, whose, known) = match runs_in(evidence) {
        Some((cloud, known)) => (IN_CLOUD, format!("this machine runs in {cloud}, which blocks mail between servers"), known),
        None => (ELSEWHERE, "clouds and providers block mail between servers".to_owned(), Vec::new()),
    };
    let sentence = format!(
        "Port 25 is blocked on the way out of this network: connections to {} stay without any answer, while port {port} of {} connects; {whose}.",
        list(&hosts),
        works.host
    );
    let silent: Vec<_> = relay.iter().map(|attempt| attempt.id).collect();
    let reached: Vec<_> = open.iter().map(|attempt| attempt.id).collect();
    let mut candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(Place { address: here.first().map(|one| one.address.ip()), port: Some(RELAY), ..Place::default() })
        .resting_on(silent.iter().copied())
        .resting_on(reached.iter().copied())
        .resting_on(known)
        .rejecting("path.blackhole", format!("Port {port} of the same address connects: the way to it is open."), reached)
        .rejecting("tcp.filtered", "Several parties' servers are silent at the same port.", silent.iter().copied())
        .rejecting("tcp.refused", "No refusal came back.", silent)
        .next(
            Who::Customer,
            format!("Hand mail in at port {port} of a mail service with a sign-in, or ask whoever runs this network's way out to open port 25."),
        );
    for endpoint in &here {
        candidate = candidate.about(Spot::Endpoint(endpoint.address));
    }
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, cloud_machine, connected, failure, refused, service, silent};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, ServiceReach};

    const CAUSE: &str = "cloud.smtp_blocked";

    /// A mail server that stays silent at this port, or answers there.
    fn mail(host: &str, address: &str, silent: bool) -> Fact {
        service(|service| {
            (service.host, service.address) = (host.into(), address.parse().unwrap());
            if silent {
                (service.reached, service.greeting, service.received_bytes) = (ServiceReach::Nothing, None, 0);
                service.failure = Some(failure(FailureCode::TimedOut, Step::Connect));
            }
        })
    }

    fn first() -> Scene {
        let facts = |fact| Scene::new("mx.example").check(Kind::Service, [fact]);
        facts(mail("mx.example", "192.0.2.1:25", true)).check(Kind::Service, [mail("mx.example", "192.0.2.1:587", false)])
    }

    #[test]
    fn two_parties_servers_silent_at_25_while_587_answers_are_a_block_on_the_way_out() {
        let finding = first().check(Kind::Service, [mail("mx.other.example", "192.0.2.9:25", true)]).finds(CAUSE);
        assert!(finding.sentence.contains("mx.example and mx.other.example"), "{}", finding.sentence);
        assert!(finding.confidence < 0.9);
        let cloud = first().check(Kind::Service, [mail("mx.other.example", "192.0.2.9:25", true)]);
        let finding = cloud.check(Kind::Host, [cloud_machine("azure")]).finds(CAUSE);
        assert!(finding.confidence > 0.9 && finding.sentence.contains("runs in Azure"), "{}", finding.sentence);
    }

    #[test]
    fn another_target_of_the_run_counts_as_the_second_party() {
        let scene = first().target("mx.other.example").check(Kind::Tcp, [silent("192.0.2.9:25")]);
        assert!(scene.diagnose().findings.iter().any(|finding| finding.cause == CAUSE), "{:#?}", scene.diagnose());
    }

    #[test]
    fn one_server_alone_may_filter_by_itself() {
        first().finds("tcp.filtered");
        first().check(Kind::Service, [mail("mx2.example", "192.0.2.1:25", true)]).finds("tcp.filtered");
    }

    #[test]
    fn a_second_server_that_answers_at_25_clears_the_network() {
        let answers = first().check(Kind::Service, [mail("mx.other.example", "192.0.2.9:25", false)]);
        assert!(!answers.names(CAUSE));
        let refuses = first().check(Kind::Tcp, [refused("192.0.2.9:25", 9_000)]);
        assert!(!refuses.names(CAUSE));
    }

    #[test]
    fn without_a_way_in_at_587_nothing_is_known_of_the_network() {
        let scene = Scene::new("mx.example").check(Kind::Service, [mail("mx.example", "192.0.2.1:25", true)]);
        let scene = scene.check(Kind::Service, [mail("mx.other.example", "192.0.2.9:25", true)]);
        assert!(!scene.check(Kind::Tcp, [connected("192.0.2.7:587")]).names(CAUSE));
    }
}
