use crate::candidate::Candidate;
use crate::evidence::{Answer, Evidence, NameView};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("asking for both address types, A and AAAA"),
    ..Rule::new("dns.no_data", &["dns.nxdomain"], evaluate)
};

/// Every reply says that the name exists and has no such record.
const CONFIDENCE: f64 = 0.95;
/// Only one of the two address types was asked for, so that the other may be there.
const ONE_FAMILY: f64 = 0.85;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.names().iter().filter_map(no_data).collect()
}

/// One address type without a record, AAAA for most names, is as it should be: only a name that gives nothing is a fault.
fn no_data(view: &NameView<'_>) -> Option<Candidate> {
    let replies = view.answers(|answer| answer == Answer::NoData);
    let (server, _) = replies.first()?;
    if view.resolved()
        || !view.answers(|answer| !matches!(answer, Answer::NoData | Answer::Referral | Answer::Truncated)).is_empty()
    {
        return None;
    }
    // Nobody knows what the other type has while the question for it stays without an answer.
    let replied = |of: &str| replies.iter().any(|(_, lookup)| lookup.record_type == of);
    let asked = |of: &str| view.servers.iter().flat_map(|server| &server.lookups).any(|lookup| lookup.record_type == of);
    if [("A", "AAAA"), ("AAAA", "A")].iter().any(|(one, other)| replied(one) && !replied(other) && asked(other)) {
        return None;
    }
    let ids: Vec<&ObservationId> = replies.iter().map(|(_, lookup)| lookup.id).collect();
    let mut types: Vec<&str> = Vec::new();
    for (_, lookup) in &replies {
        if !types.contains(&lookup.fact.record_type.as_str()) {
            types.push(&lookup.fact.record_type);
        }
    }
    let both_families = types.contains(&"A") && types.contains(&"AAAA");
    let one_family = types.len() == 1 && matches!(types.first(), Some(&"A" | &"AAAA"));
    let name = view.name;
    let sentence = if both_families {
        format!("The name {name} exists, but it has no address: its zone holds neither an A nor an AAAA record for it.")
    } else {
        format!("The name {name} exists, but its zone holds no record of type {} for it.", list(&types))
    };
    let candidate = Candidate::new(Severity::Problem, if one_family { ONE_FAMILY } else { CONFIDENCE }, sentence)
        .at(Place { name: Some(name.to_owned()), resolver: Some(server.ip()), ..Place::default() })
        .about(Spot::Name(name.to_owned()))
        .stopping()
        .resting_on(ids.iter().copied())
        .resting_on(view.system_failures())
        .rejecting("dns.nxdomain", "The reply says that the name exists (NOERROR).", ids)
        .next(Who::Customer, format!("Check that {name} is the name meant, and not a domain without a host; if it is, whoever runs its zone has to add the record."));
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, dns_silent, rcode, system, with_reply};
    use netsonde_contract::kind::Kind;

    fn none(record_type: &str, authority: &[(&str, &str)]) -> netsonde_contract::observation::Fact {
        rcode("10.0.0.53", "shop.example", record_type, 0, authority)
    }

    #[test]
    fn a_name_without_any_address_exists_but_cannot_be_used() {
        let soa = &[("example", "SOA")][..];
        let scene = Scene::new("shop.example").check(Kind::Dns, [none("A", soa), none("AAAA", soa), system("shop.example", &[])]);
        let finding = scene.finds("dns.no_data");
        assert!(finding.sentence.contains("neither an A nor an AAAA"), "{}", finding.sentence);
    }

    #[test]
    fn a_type_that_stays_unanswered_may_hold_the_address() {
        for (told, silent) in [("A", "AAAA"), ("AAAA", "A")] {
            let facts = [none(told, &[("example", "SOA")]), dns_silent("10.0.0.53", "shop.example", silent)];
            let scene = Scene::new("shop.example").check(Kind::Dns, facts.into_iter().chain([system("shop.example", &[])]));
            assert!(!scene.names("dns.no_data"), "{silent}");
        }
    }

    #[test]
    fn a_name_without_ipv6_is_no_finding_at_all() {
        let a = answer("10.0.0.53", "shop.example", &["192.0.2.1"]);
        let scene = Scene::new("shop.example").check(Kind::Dns, [a, none("AAAA", &[]), system("shop.example", &["192.0.2.1"])]);
        assert!(scene.is_healthy().is_empty());
    }

    #[test]
    fn a_name_of_the_hosts_file_needs_no_record() {
        let scene = Scene::new("shop.example").check(Kind::Dns, [none("A", &[]), system("shop.example", &["192.0.2.1"])]);
        assert!(scene.is_healthy().is_empty());
    }

    #[test]
    fn a_referral_is_no_answer() {
        let scene = Scene::new("shop.example").check(Kind::Dns, [none("A", &[("example", "NS")]), system("shop.example", &[])]);
        scene.is_unexplained();
    }

    #[test]
    fn a_reply_that_was_cut_is_no_answer() {
        let cut = with_reply(none("A", &[]), |reply| reply.flags.tc = true);
        Scene::new("shop.example").check(Kind::Dns, [cut, system("shop.example", &[])]).is_unexplained();
    }
}
