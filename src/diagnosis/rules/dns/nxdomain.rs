use crate::candidate::Candidate;
use crate::evidence::{Answer, Evidence, NXDOMAIN, NameView, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Lookup, LookupSource, Transport};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("asking the zone's own name servers for the name"),
    ..Rule::new("dns.nxdomain", &["dns.nxdomain_injected", "dns.search_suffix"], evaluate)
};

/// The reply names the zone that was searched, as RFC 2308 section 2.1 wants it; the zone's own servers were not asked.
const WITH_ZONE: f64 = 0.92;
/// Without the zone's record anybody on the way may have made the reply.
const WITHOUT_ZONE: f64 = 0.6;
/// The same over TCP, on which nobody on the way makes up an answer as easily; the name server itself may.
const WITHOUT_ZONE_BOTH_WAYS: f64 = 0.75;
/// One server says no and another knows the name.
const DISPUTED: f64 = 0.55;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.names().iter().filter_map(nxdomain).collect()
}

/// A name that the system resolves all the same, from its hosts file or another server, troubles nobody.
fn nxdomain(view: &NameView<'_>) -> Option<Candidate> {
    let replies = view.answers(|answer| answer == Answer::Code(NXDOMAIN));
    let (first_server, first) = replies.first()?;
    if view.resolved() {
        return None;
    }
    let mut servers: Vec<IpAddr> = Vec::new();
    for (server, _) in &replies {
        if !servers.contains(&server.ip()) {
            servers.push(server.ip());
        }
    }
    let zones: Vec<Option<&str>> = replies.iter().map(|(_, lookup)| zone(lookup)).collect();
    let ids: Vec<&ObservationId> = replies.iter().map(|(_, lookup)| lookup.id).collect();
    let zone = zones.iter().copied().all(|zone| zone.is_some()).then(|| zones.first().copied().flatten()).flatten();
    let dispute = view.server_with_data();
    let over_tcp = |lookup: &Lookup| matches!(lookup.source, LookupSource::Server { transport: Transport::Tcp, .. });
    let confidence = match (zone, dispute) {
        (_, Some(_)) => DISPUTED,
        (Some(_), None) => WITH_ZONE,
        (None, None) if replies.iter().any(|(_, lookup)| over_tcp(lookup.fact)) => WITHOUT_ZONE_BOTH_WAYS,
        (None, None) => WITHOUT_ZONE,
    };
    let missing = alias(first).unwrap_or(view.name);
    let mut sentence = if missing == view.name {
        format!("The name {missing} does not exist: so says the name server {}.", list(&servers))
    } else {
        format!(
            "The name {} is an alias of {missing}, and that name does not exist: so says the name server {}.",
            view.name,
            list(&servers)
        )
    };
    if dispute.is_some() {
        sentence.push_str(" Another name server knows it.");
    }
    let keeper = zone.map_or_else(|| "whoever runs the zone".to_owned(), |zone| format!("whoever runs the zone {zone}"));
    let mut candidate = Candidate::new(Severity::Problem, confidence, sentence)
        .at(Place { name: Some(missing.to_owned()), resolver: Some(first_server.ip()), ..Place::default() })
        .about(Spot::Name(view.name.to_owned()))
        .stopping()
        .resting_on(ids.iter().copied())
        .resting_on(view.system_failures())
        .next(Who::Customer, format!("Check the spelling of {missing}; if it is right, {keeper} has to add the name."));
    if let Some(zone) = zone {
        candidate = candidate.rejecting(
            "dns.nxdomain_injected",
            format!("The reply carries the record of the zone {zone}, as a real one does."),
            ids.iter().copied(),
        );
    }
    if view.name.contains('.') {
        candidate = candidate.rejecting("dns.search_suffix", "The complete name was asked for, without a search suffix.", ids);
    }
    Some(candidate)
}

/// The zone whose SOA record came with the reply, where it is one that the missing name lies in.
pub(crate) fn zone<'a>(lookup: &Seen<'a, Lookup>) -> Option<&'a str> {
    let missing = alias(lookup).unwrap_or(&lookup.fact.name);
    let soa = lookup.fact.reply.as_ref()?.authority.iter().find(|record| record.record_type == "SOA")?;
    is_within(missing, &soa.name).then_some(soa.name.as_str())
}

/// The end of the chain of aliases that the reply shows, where there is one.
fn alias<'a>(lookup: &Seen<'a, Lookup>) -> Option<&'a str> {
    let reply = lookup.fact.reply.as_ref()?;
    let last = reply.answers.iter().rev().find(|record| record.record_type == "CNAME")?;
    Some(last.data.trim_end_matches('.'))
}

fn is_within(name: &str, zone: &str) -> bool {
    let (name, zone) = (name.trim_end_matches('.').to_ascii_lowercase(), zone.trim_end_matches('.').to_ascii_lowercase());
    zone.is_empty() || name == zone || name.ends_with(&format!(".{zone}"))
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, over_tcp, rcode, system};
    use netsonde_contract::kind::Kind;

    fn missing(authority: &[(&str, &str)]) -> Scene {
        let reply = |record_type| rcode("10.0.0.53", "shpo.example", record_type, 3, authority);
        Scene::new("shpo.example").check(Kind::Dns, [reply("A"), reply("AAAA"), system("shpo.example", &[])])
    }

    #[test]
    fn a_name_that_its_zone_does_not_have_is_told_with_the_zone() {
        let finding = missing(&[("example", "SOA")]).finds("dns.nxdomain");
        assert!(finding.confidence > 0.9);
        assert!(finding.next_step.action.contains("the zone example"), "{}", finding.next_step.action);
        assert!(finding.rejected.iter().any(|rejected| rejected.cause == "dns.nxdomain_injected"));
    }

    #[test]
    fn a_reply_with_a_foreign_zone_may_have_been_made_on_the_way() {
        for authority in [&[][..], &[("other.test", "SOA")]] {
            let finding = missing(authority).finds("dns.nxdomain");
            assert!(finding.confidence < 0.7 && finding.settled_by.is_some());
            assert!(finding.rejected.iter().all(|rejected| rejected.cause != "dns.nxdomain_injected"));
        }
    }

    #[test]
    fn a_denial_without_a_zone_that_tcp_repeats_is_likelier_to_be_the_servers_own() {
        let again = over_tcp(rcode("10.0.0.53", "shpo.example", "A", 3, &[]));
        let (once, twice) = (missing(&[]).finds("dns.nxdomain"), missing(&[]).check(Kind::Dns, [again]).finds("dns.nxdomain"));
        assert!(once.confidence < twice.confidence && twice.confidence < 0.9, "{twice:?}");
    }

    #[test]
    fn a_name_of_the_hosts_file_need_not_exist_in_dns() {
        let reply = rcode("10.0.0.53", "localhost", "A", 3, &[("", "SOA")]);
        let scene = Scene::new("localhost").check(Kind::Dns, [reply, system("localhost", &["127.0.0.1"])]);
        assert!(scene.is_healthy().is_empty());
    }

    #[test]
    fn servers_that_disagree_leave_doubt() {
        let reply = rcode("10.0.0.53", "db.corp.example", "A", 3, &[("example", "SOA")]);
        let other = answer("10.0.0.54", "db.corp.example", &["10.1.1.1"]);
        let finding =
            Scene::new("db.corp.example").check(Kind::Dns, [reply, other, system("db.corp.example", &[])]).finds("dns.nxdomain");
        assert!(finding.confidence < 0.6 && finding.sentence.ends_with("Another name server knows it."));
    }
}
