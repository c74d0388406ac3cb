//! Servers that answer with an error: SERVFAIL, REFUSED, and the rest.

use crate::candidate::Candidate;
use crate::evidence::{Answer, Evidence, NXDOMAIN, NameView, REFUSED, SERVFAIL, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{ExtendedError, Lookup, LookupSource};
use std::net::IpAddr;

const CHECKING_DISABLED: &str =
    "asking the same question with checking disabled (CD=1): an answer then means that DNSSEC is broken";

pub(in crate::rules) const SERVFAIL_RULE: Rule =
    Rule { settled_by: Some(CHECKING_DISABLED), ..Rule::new("dns.servfail", &["dns.dnssec_bogus"], servfail) };

pub(in crate::rules) const REFUSED_RULE: Rule = Rule::new("dns.refused", &["dns.servfail"], refused);

pub(in crate::rules) const OTHER_RULE: Rule = Rule {
    settled_by: Some("asking another name server, and the same one without EDNS"),
    ..Rule::new("dns.other_rcode", &["dns.servfail"], other)
};

/// The server says why it failed, and the reason is none of DNSSEC's.
const WITH_REASON: f64 = 0.95;
/// It fails with checking disabled as well, so that no signature is the reason.
const UNCHECKED_TOO: f64 = 0.92;
/// It gives no reason: broken DNSSEC would look the same.
const WITHOUT_REASON: f64 = 0.75;
/// Its reason is one of DNSSEC's; only CD=1 would show that the data itself is there.
const DNSSEC_REASON: f64 = 0.55;
/// The response code says it all.
const PLAIN: f64 = 0.95;

/// Extended errors about DNSSEC validation: RFC 8914 sections 4.2, 4.3 and 4.6 to 4.13.
const DNSSEC_ERRORS: [u16; 10] = [1, 2, 5, 6, 7, 8, 9, 10, 11, 12];

fn servfail(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_view = |view: &NameView<'_>| {
        let (candidate, replies) = with_code(view, |code| code == SERVFAIL)?;
        let reasons: Vec<&ExtendedError> =
            replies.iter().flat_map(|lookup| lookup.fact.reply.iter().flat_map(|reply| &reply.extended_errors)).collect();
        let ids = || replies.iter().map(|lookup| lookup.id);
        let servers = servers(&replies);
        let mut candidate = candidate;
        candidate.sentence = format!(
            "The name server {} could not find out what {} is: it, or a server that it asks in turn, is not working.",
            list(&servers),
            asked_for(view)
        );
        if let Some(reason) = reasons.first() {
            let text = if reason.text.is_empty() { String::new() } else { format!(" ({})", reason.text) };
            candidate.sentence.push_str(&format!(" Its own reason: {}{text}.", reason.name));
        }
        let about_dnssec = |reason: &&&ExtendedError| DNSSEC_ERRORS.contains(&reason.code);
        candidate.confidence = match reasons.iter().find(about_dnssec) {
            Some(_) => DNSSEC_REASON,
            None if reasons.is_empty() => WITHOUT_REASON,
            None => {
                candidate = candidate.rejecting(
                    "dns.dnssec_bogus",
                    "The server names another reason than a failed signature check.",
                    ids(),
                );
                WITH_REASON
            }
        };
        let unchecked: Vec<_> = fails_unchecked(evidence, view, &servers).collect();
        if !unchecked.is_empty() {
            candidate.confidence = candidate.confidence.max(UNCHECKED_TOO);
            candidate = candidate.rejecting("dns.dnssec_bogus", "It fails with checking disabled as well.", unchecked);
        }
        Some(candidate.next(
            Who::Network,
            format!("Ask the operator of the name server {} why it cannot resolve {}.", list(&servers), view.name),
        ))
    };
    evidence.names().iter().filter_map(of_view).collect()
}

/// The same name at one of these servers with checking disabled, which failed in the same way.
fn fails_unchecked<'a>(
    evidence: &Evidence<'a>,
    view: &NameView<'_>,
    servers: &[IpAddr],
) -> impl Iterator<Item = &'a ObservationId> {
    let fails = move |lookup: &&Seen<'_, Lookup>| {
        lookup.name == view.name
            && server_of(lookup.fact).is_some_and(|server| servers.contains(&server.ip()))
            && lookup.reply.as_ref().is_some_and(|reply| reply.rcode_number == SERVFAIL)
    };
    evidence.unchecked.iter().filter(fails).map(|lookup| lookup.id)
}

fn refused(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_view = |view: &NameView<'_>| {
        let (mut candidate, replies) = with_code(view, |code| code == REFUSED)?;
        let servers = list(&servers(&replies));
        candidate.sentence = format!(
            "The name server {servers} refuses to answer for {}: it does not serve this machine, or not this name.",
            asked_for(view)
        );
        let reason = "The server answered that it will not, not that it could not.";
        let candidate = candidate.rejecting("dns.servfail", reason, replies.iter().map(|lookup| lookup.id));
        Some(candidate.next(
            Who::Network,
            format!("Allow this machine on the name server {servers}, or give the machine the name server that is meant for it."),
        ))
    };
    evidence.names().iter().filter_map(of_view).collect()
}

fn other(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_view = |view: &NameView<'_>| {
        let (mut candidate, replies) = with_code(view, |code| !matches!(code, SERVFAIL | NXDOMAIN | REFUSED))?;
        let servers = list(&servers(&replies));
        let code = replies.first().and_then(|lookup| lookup.fact.reply.as_ref()).map_or("an error", |reply| reply.rcode.as_str());
        candidate.sentence =
            format!("The name server {servers} answered the question for {} with the error {code}.", asked_for(view));
        candidate.confidence = WITHOUT_REASON;
        let reason = format!("The code is {code}.");
        let candidate = candidate.rejecting("dns.servfail", reason, replies.iter().map(|lookup| lookup.id));
        Some(candidate.next(
            Who::Network,
            format!("Ask the operator of the name server {servers} why it answers {code} to an ordinary question."),
        ))
    };
    evidence.names().iter().filter_map(of_view).collect()
}

/// The candidate for a name whose servers answered with such a code, still without words, and the replies it rests on.
fn with_code<'a>(view: &NameView<'a>, wanted: impl Fn(u16) -> bool) -> Option<(Candidate, Vec<Seen<'a, Lookup>>)> {
    let replies = view.answers(|answer| matches!(answer, Answer::Code(code) if wanted(code)));
    let resolver = replies.first()?.0.ip();
    let replies: Vec<Seen<'a, Lookup>> = replies.into_iter().map(|(_, lookup)| lookup).collect();
    let mut missed: Vec<&str> = view.unanswered_types();
    missed.retain(|record_type| replies.iter().any(|lookup| lookup.record_type == **record_type));
    // The name may well have its addresses: whoever asks for the other records gets nothing.
    let severity = if missed.is_empty() { severity(view, &servers(&replies))? } else { Severity::Problem };
    let mut candidate = Candidate::new(severity, PLAIN, "")
        .at(Place { name: Some(view.name.to_owned()), resolver: Some(resolver), ..Place::default() })
        .resting_on(replies.iter().map(|lookup| lookup.id));
    if severity == Severity::Problem && !view.resolved() {
        candidate = candidate.about(Spot::Name(view.name.to_owned())).stopping().resting_on(view.system_failures());
    }
    Some((candidate, replies))
}

/// `shop.example`, or `the MX record of shop.example` where the name is known otherwise.
fn asked_for(view: &NameView<'_>) -> String {
    match view.unanswered_types().as_slice() {
        [] => view.name.to_owned(),
        _ if !view.resolved() => view.name.to_owned(),
        types => format!("the {} record of {}", list(types), view.name),
    }
}

/// How much is felt of servers that answer with an error: all of it where no other server helps out, nothing where the system
/// did not need them.
fn severity(view: &NameView<'_>, failing: &[IpAddr]) -> Option<Severity> {
    let useful = view.answers(|answer| matches!(answer, Answer::Data | Answer::NoData | Answer::Code(NXDOMAIN)));
    let another = useful.iter().any(|(server, _)| !failing.contains(&server.ip()));
    let same_gave_data = view.answers(|answer| answer == Answer::Data).iter().any(|(server, _)| failing.contains(&server.ip()));
    match (view.resolved(), another) {
        (true, _) if same_gave_data => Some(Severity::Notice),
        (true, true) => view.server_with_data().map(|_| Severity::Degraded),
        (true, false) => None,
        (false, true) => Some(Severity::Degraded),
        (false, false) => Some(Severity::Problem),
    }
}

fn servers(replies: &[Seen<'_, Lookup>]) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for from in replies.iter().filter_map(|lookup| Some(server_of(lookup.fact)?.ip())) {
        if !servers.contains(&from) {
            servers.push(from);
        }
    }
    servers
}

fn server_of(lookup: &Lookup) -> Option<std::net::SocketAddr> {
    match lookup.source {
        LookupSource::Server { server, .. } => Some(server),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, rcode, system, unchecked, with_reply};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{ExtendedError, Fact};
    use netsonde_contract::outcome::Status;

    const NAME: &str = "shop.example";

    fn failing(number: u16) -> Fact {
        rcode("10.0.0.53", NAME, "A", number, &[])
    }

    fn with_reason(code: u16, name: &str) -> Fact {
        with_reply(failing(2), |reply| reply.extended_errors.push(ExtendedError { code, name: name.into(), text: "".into() }))
    }

    fn unresolved(fact: Fact) -> Scene {
        Scene::new(NAME).check(Kind::Dns, [fact, system(NAME, &[])])
    }

    #[test]
    fn each_code_has_its_own_cause() {
        for (number, cause) in [(2, "dns.servfail"), (5, "dns.refused"), (4, "dns.other_rcode"), (1, "dns.other_rcode")] {
            unresolved(failing(number)).finds(cause);
        }
    }

    #[test]
    fn a_reason_other_than_dnssec_rules_dnssec_out() {
        let finding = unresolved(with_reason(22, "No Reachable Authority")).finds("dns.servfail");
        assert!(finding.confidence > 0.9 && finding.sentence.contains("No Reachable Authority"));
        assert_eq!(finding.rejected[0].cause, "dns.dnssec_bogus");
    }

    #[test]
    fn failing_with_checking_disabled_as_well_rules_dnssec_out() {
        let scene = Scene::new(NAME).check(Kind::Dns, [failing(2), unchecked(failing(2)), system(NAME, &[])]);
        let finding = scene.finds("dns.servfail");
        assert!(finding.confidence > 0.9 && finding.rejected[0].cause == "dns.dnssec_bogus", "{finding:?}");
    }

    #[test]
    fn a_dnssec_reason_leaves_it_to_checking_disabled() {
        let finding = unresolved(with_reason(6, "DNSSEC Bogus")).finds("dns.servfail");
        assert!(finding.confidence < 0.6 && finding.rejected.is_empty());
        assert!(finding.settled_by.unwrap().contains("CD=1"));
    }

    #[test]
    fn a_second_server_that_answers_makes_it_a_delay() {
        let facts = [failing(2), answer("10.0.0.54", NAME, &["192.0.2.1"]), system(NAME, &["192.0.2.1"])];
        assert_eq!(Scene::new(NAME).check(Kind::Dns, facts).finds("dns.servfail").severity, Severity::Degraded);
    }

    #[test]
    fn a_server_that_fails_for_ipv6_only_is_worth_a_notice() {
        let broken = rcode("10.0.0.53", NAME, "AAAA", 2, &[]);
        let facts = [answer("10.0.0.53", NAME, &["192.0.2.1"]), broken, system(NAME, &["192.0.2.1"])];
        assert_eq!(Scene::new(NAME).check(Kind::Dns, facts).is_healthy(), ["dns.servfail"]);
    }

    #[test]
    fn records_that_nobody_answered_for_are_a_problem_though_the_name_has_its_address() {
        let mail = rcode("10.0.0.53", NAME, "MX", 2, &[]);
        let asked = |with_system: bool| {
            let system = with_system.then(|| system(NAME, &["192.0.2.1"]));
            let facts = [answer("10.0.0.53", NAME, &["192.0.2.1"]), mail.clone()].into_iter().chain(system);
            Scene::new(NAME).ended(Kind::Dns, Status::Failed, facts).finds("dns.servfail")
        };
        for with_system in [false, true] {
            let finding = asked(with_system);
            assert_eq!(finding.severity, Severity::Problem);
            assert!(finding.sentence.contains("what the MX record of shop.example is"), "{}", finding.sentence);
        }
    }

    #[test]
    fn records_that_a_second_server_gave_are_missed_by_nobody() {
        let mail = |server: &str, number: u16| rcode(server, NAME, "MX", number, &[]);
        let facts =
            [mail("10.0.0.53", 2), mail("10.0.0.54", 0), answer("10.0.0.54", NAME, &["192.0.2.1"]), system(NAME, &["192.0.2.1"])];
        assert_eq!(Scene::new(NAME).check(Kind::Dns, facts).finds("dns.servfail").severity, Severity::Degraded);
    }

    #[test]
    fn a_name_of_the_hosts_file_does_not_need_the_server() {
        let facts = [failing(5), system(NAME, &["192.0.2.1"])];
        assert!(Scene::new(NAME).check(Kind::Dns, facts).is_healthy().is_empty());
    }
}
