//! Servers that answer some questions and stay silent for others.

use super::resolver;
use crate::candidate::Candidate;
use crate::evidence::{Answer, Evidence, NameView, Seen, ServerView};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::threshold::SLOW_LOOKUP_US;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Lookup, LookupSource, Transport};

pub(in crate::rules) const AAAA_RULE: Rule = Rule {
    settled_by: Some("asking the server for AAAA records of another name"),
    ..Rule::new("dns.aaaa_dropped", &["dns.resolver_unreachable"], aaaa_dropped)
};

pub(in crate::rules) const NAME_RULE: Rule = Rule {
    refines: &["dns.resolver_unreachable"],
    settled_by: Some("asking another name server for the name, and this one for a name beside it"),
    ..Rule::new("dns.name_unanswered", &["dns.resolver_unreachable"], name_unanswered)
};

/// The same server answered for A at once, and every query for AAAA was lost.
const ONE_TYPE: f64 = 0.9;
/// The same, by so few packets that a path which loses some could have lost just these.
const ONE_TYPE_BY_FEW: f64 = 0.85;
const MANY_PACKETS: usize = 5;
/// The same, where questions that it answers were lost as well.
const ONE_TYPE_OR_CHANCE: f64 = 0.7;
/// The server answers other questions.
const ONE_NAME: f64 = 0.88;
/// It stayed silent for the name in two checks, one after the other.
const ONE_NAME_AGAIN: f64 = 0.92;

fn evaluate(
    evidence: &Evidence<'_>,
    of: impl Fn(&[NameView<'_>], &NameView<'_>, &ServerView<'_>) -> Option<Candidate>,
) -> Vec<Candidate> {
    let names = evidence.names();
    let each = names.iter().flat_map(|view| view.servers.iter().map(move |server| (view, server)));
    each.filter_map(|(view, server)| of(&names, view, server)).collect()
}

/// Nothing at all came back, though the question was sent as often as it may be.
fn silent(lookup: &Lookup) -> bool {
    let timed_out =
        lookup.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut && failure.icmp.is_none());
    lookup.reply.is_none() && lookup.others.is_empty() && timed_out
}

fn over_udp(lookup: &Lookup) -> bool {
    matches!(lookup.source, LookupSource::Server { transport: Transport::Udp, .. })
}

fn aaaa_dropped(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evaluate(evidence, |_, view, server| {
        let told = |answer| matches!(answer, Answer::Data | Answer::NoData);
        let (answered, answer) =
            server.answers().into_iter().find(|(lookup, answer)| lookup.record_type == "A" && told(*answer))?;
        let asked: Vec<&Seen<'_, Lookup>> = server.lookups.iter().filter(|lookup| lookup.record_type == "AAAA").collect();
        if asked.is_empty() || !asked.iter().all(|lookup| silent(lookup.fact)) || !answered_alike(server, &asked) {
            return None;
        }
        let waited = view.system.iter().any(|lookup| lookup.took_us.is_some_and(|took_us| took_us > SLOW_LOOKUP_US));
        let severity = match (view.resolved(), waited) {
            (false, _) => Severity::Problem,
            (true, true) => Severity::Degraded,
            (true, false) => Severity::Notice,
        };
        let address = server.server.ip();
        let felt = match severity {
            Severity::Problem => "so that programs, which ask for both, get nothing",
            Severity::Degraded => "and programs, which ask for both, wait for it",
            Severity::Notice => "though no program had to wait for it here",
        };
        let name = view.name;
        let sentence = match answer {
            Answer::Data => {
                format!(
                    "The name server {address} answers for the IPv4 address of {name} and never for its IPv6 address, {felt}."
                )
            }
            _ => format!(
                "The name server {address} says that {name} has no IPv4 address, and never answers for its IPv6 address, {felt}."
            ),
        };
        let lost: usize = asked.iter().map(|lookup| lookup.sent.len().max(lookup.attempts as usize)).sum();
        let confidence = match (server.lost_questions().cases, lost >= MANY_PACKETS) {
            (0, true) => ONE_TYPE,
            (0, false) => ONE_TYPE_BY_FEW,
            _ => ONE_TYPE_OR_CHANCE,
        };
        let mut candidate = Candidate::new(severity, confidence, sentence)
            .at(resolver(name, address))
            .resting_on(asked.iter().map(|lookup| lookup.id))
            .resting_on([answered.id])
            .rejecting("dns.resolver_unreachable", "It answers for the IPv4 address.", [answered.id])
            .next(Who::Network, format!("Have the name server {address}, or the firewall in front of it, answer AAAA questions (with no record where there is none) instead of dropping them."));
        if severity == Severity::Problem {
            candidate = candidate.about(Spot::Name(name.to_owned())).stopping().resting_on(view.system_failures());
        }
        Some(candidate)
    })
}

/// The server answered for A in one of the ways in which AAAA was lost: what comes over TCP says nothing of a question over UDP.
fn answered_alike(server: &ServerView<'_>, asked: &[&Seen<'_, Lookup>]) -> bool {
    let transport = |lookup: &Lookup| match lookup.source {
        LookupSource::Server { transport, .. } => Some(transport),
        _ => None,
    };
    let replies = server.lookups.iter().filter(|lookup| lookup.record_type == "A" && lookup.reply.is_some());
    replies.map(|lookup| transport(lookup.fact)).any(|way| asked.iter().any(|lookup| transport(lookup.fact) == way))
}

fn name_unanswered(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evaluate(evidence, |names, view, server| {
        let (by_udp, others): (Vec<&Seen<'_, Lookup>>, Vec<&Seen<'_, Lookup>>) =
            server.lookups.iter().partition(|lookup| over_udp(lookup.fact));
        // Over TCP a server that has no answer closes the connection, if it serves TCP at all.
        if by_udp.is_empty()
            || !by_udp.iter().all(|lookup| silent(lookup.fact))
            || others.iter().any(|lookup| lookup.reply.is_some())
        {
            return None;
        }
        let of_other_names = names.iter().filter(|other| other.name != view.name);
        let same = of_other_names.flat_map(|other| other.servers.iter().filter(|other| other.server == server.server));
        let answered = same.flat_map(|other| {
            other.answers().into_iter().filter(|(lookup, _)| over_udp(lookup.fact)).map(|(lookup, _)| lookup.id)
        });
        let beside = evidence.beside_of(server.server).into_iter();
        let beside = beside.filter(|lookup| over_udp(lookup.fact) && lookup.reply.is_some()).map(|lookup| lookup.id);
        let answered: Vec<&ObservationId> = answered.chain(beside).collect();
        if answered.is_empty() {
            return None;
        }
        let severity = match (view.resolved(), view.server_with_data()) {
            (true, _) => Severity::Notice,
            (false, Some(_)) => Severity::Degraded,
            (false, None) => Severity::Problem,
        };
        let address = server.server.ip();
        let again = by_udp.iter().any(|lookup| lookup.outcome.check != by_udp[0].outcome.check);
        let name = view.name;
        let mut candidate = Candidate::new(
            severity,
            if again { ONE_NAME_AGAIN } else { ONE_NAME },
            format!("The name server {address} answers other questions, but stays silent for {name}: it waits in vain for the servers of that name, or somebody on the way drops the question."),
        )
        .at(resolver(name, address))
        .resting_on(server.ids())
        .resting_on(answered.iter().copied())
        .rejecting("dns.resolver_unreachable", "It answers other questions.", answered)
        .next(Who::Network, format!("Ask the operator of the name server {address} what it waits for when asked for {name}, and whether a filter names it; look at the zone's own name servers."));
        if severity == Severity::Problem {
            candidate = candidate.about(Spot::Name(name.to_owned())).stopping().resting_on(view.system_failures());
        }
        Some(candidate)
    })
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, beside, dns_silent, over_tcp, rcode, slowly, system};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Purpose};

    const NAME: &str = "shop.example";
    const SERVER: &str = "10.0.0.53";

    fn without_aaaa(system: Fact) -> Scene {
        let facts = [answer(SERVER, NAME, &["192.0.2.1"]), dns_silent(SERVER, NAME, "AAAA"), system];
        Scene::new(NAME).check(Kind::Dns, facts)
    }

    #[test]
    fn a_server_silent_for_ipv6_addresses_is_felt_as_far_as_programs_wait() {
        assert_eq!(without_aaaa(slowly(system(NAME, &["192.0.2.1"]))).finds("dns.aaaa_dropped").severity, Severity::Degraded);
        assert_eq!(without_aaaa(system(NAME, &[])).finds("dns.aaaa_dropped").severity, Severity::Problem);
        assert_eq!(without_aaaa(system(NAME, &["192.0.2.1"])).is_healthy(), ["dns.aaaa_dropped"]);
    }

    #[test]
    fn a_server_that_is_silent_over_udp_and_answers_over_tcp_drops_no_type() {
        for reply in [answer(SERVER, NAME, &["192.0.2.1"]), rcode(SERVER, NAME, "A", 0, &[("example", "SOA")])] {
            let over_udp = [dns_silent(SERVER, NAME, "A"), dns_silent(SERVER, NAME, "AAAA"), system(NAME, &[])];
            let scene = Scene::new(NAME).check(Kind::Dns, over_udp).check(Kind::Dns, [over_tcp(reply)]);
            scene.finds("dns.resolver_unreachable");
        }
    }

    #[test]
    fn a_name_without_an_ipv4_address_may_have_one_of_ipv6_that_the_server_drops() {
        let facts = [rcode(SERVER, NAME, "A", 0, &[("example", "SOA")]), dns_silent(SERVER, NAME, "AAAA"), system(NAME, &[])];
        let finding = Scene::new(NAME).check(Kind::Dns, facts).finds("dns.aaaa_dropped");
        assert!(finding.sentence.contains("has no IPv4 address"), "{}", finding.sentence);
    }

    #[test]
    fn a_server_that_says_that_there_is_no_ipv6_address_drops_nothing() {
        let facts = [answer(SERVER, NAME, &["192.0.2.1"]), rcode(SERVER, NAME, "AAAA", 0, &[]), system(NAME, &["192.0.2.1"])];
        assert!(Scene::new(NAME).check(Kind::Dns, facts).is_healthy().is_empty());
    }

    #[test]
    fn a_server_that_says_who_it_is_and_nothing_of_the_name_is_there() {
        let who = beside(rcode(SERVER, "version.bind", "TXT", 5, &[]), Purpose::Identity);
        let finding = Scene::new(NAME)
            .check(Kind::Dns, [dns_silent(SERVER, NAME, "A"), who, system(NAME, &[])])
            .finds("dns.name_unanswered");
        assert_eq!((finding.severity, finding.refines), (Severity::Problem, vec!["dns.resolver_unreachable".to_owned()]));
    }

    #[test]
    fn silence_for_the_name_in_a_second_check_settles_it() {
        let who = beside(rcode(SERVER, "version.bind", "TXT", 5, &[]), Purpose::Identity);
        let finding = Scene::new(NAME)
            .check(Kind::Dns, [dns_silent(SERVER, NAME, "A"), system(NAME, &[])])
            .check(Kind::Dns, [dns_silent(SERVER, NAME, "A"), who])
            .finds("dns.name_unanswered");
        assert!(finding.confidence >= 0.9, "{finding:?}");
    }

    #[test]
    fn a_server_that_is_there_over_tcp_only_is_not_silent_for_one_name() {
        let who = beside(over_tcp(rcode(SERVER, "version.bind", "TXT", 5, &[])), Purpose::Identity);
        let scene = Scene::new(NAME).check(Kind::Dns, [dns_silent(SERVER, NAME, "A"), who, system(NAME, &[])]);
        assert!(!scene.names("dns.name_unanswered"));
    }

    #[test]
    fn a_server_that_answers_nothing_is_unreachable() {
        let who = beside(dns_silent(SERVER, "version.bind", "TXT"), Purpose::Identity);
        let scene = Scene::new(NAME).check(Kind::Dns, [dns_silent(SERVER, NAME, "A"), who, system(NAME, &[])]);
        scene.finds("dns.resolver_unreachable");
    }
}
