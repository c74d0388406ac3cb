//! What the zone's own name servers say, and where the resolver says something else.

use super::resolver;
use crate::candidate::Candidate;
use crate::evidence::{Answer, Evidence, NameView, Seen, is_private};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Lookup, Record, ZoneServer};
use std::net::{IpAddr, SocketAddr};

pub(in crate::rules) const LAME_RULE: Rule = Rule {
    settled_by: Some("asking each of the zone's name servers for its SOA record (`dig +norecurse SOA ZONE @SERVER`)"),
    ..Rule::new("dns.lame_delegation", &["dns.servfail"], lame)
};

pub(in crate::rules) const STALE_RULE: Rule = Rule {
    refines: &["dns.unexpected_address"],
    settled_by: Some("asking the resolver again when the record's time is over"),
    ..Rule::new("dns.stale_record", &["dns.split_horizon"], stale)
};

pub(in crate::rules) const SPLIT_RULE: Rule = Rule {
    refines: &["dns.unexpected_address"],
    settled_by: Some("asking whoever runs the network whether the name has an address of its own inside"),
    ..Rule::new("dns.split_horizon", &["dns.stale_record"], split_horizon)
};

/// It answers, and not for the zone.
const NOT_SERVED: f64 = 0.94;
/// It does not answer while others of the zone do; the way to it may be what fails.
const SILENT: f64 = 0.75;
/// Every server of the zone agrees, and the resolver gives what none of them does. Answers by place or load look the same.
const ALL_AGREE: f64 = 0.75;
/// Private here, public there.
const PRIVATE_HERE: f64 = 0.88;

/// Names of servers in a sentence.
const SHOWN: usize = 4;

fn lame(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let mut zones: Vec<&str> = Vec::new();
    for server in &evidence.zone_servers {
        if !zones.contains(&server.fact.zone.as_str()) {
            zones.push(&server.fact.zone);
        }
    }
    zones.into_iter().filter_map(|zone| lame_in(evidence, zone)).collect()
}

fn lame_in(evidence: &Evidence<'_>, zone: &str) -> Option<Candidate> {
    let servers: Vec<&Seen<'_, ZoneServer>> = evidence.zone_servers.iter().filter(|server| server.zone == zone).collect();
    let good: Vec<_> = servers.iter().filter(|server| server.authoritative == Some(true)).collect();
    let unserved: Vec<_> = servers.iter().filter(|server| server.authoritative == Some(false)).copied().collect();
    // Where none answers, the way out is the likelier reason.
    let silent = servers.iter().filter(|server| server.authoritative.is_none() && server.failure.is_some() && !good.is_empty());
    let bad: Vec<_> = if unserved.is_empty() { silent.copied().collect() } else { unserved.clone() };
    let first = bad.first()?;
    let shown: Vec<String> = bad.iter().take(SHOWN).map(|server| name_of(server)).collect();
    let verb = if unserved.is_empty() { "does not answer" } else { "does not serve it" };
    let felt = if good.is_empty() {
        "no other one does either, so that its names cannot be found".to_owned()
    } else {
        format!("{} of {} do, and every question that meets the others waits or fails", good.len(), servers.len())
    };
    let shown_zone = if zone == "." { "the root" } else { zone };
    let candidate = Candidate::new(
        if good.is_empty() { Severity::Problem } else { Severity::Degraded },
        if unserved.is_empty() { SILENT } else { NOT_SERVED },
        format!("The zone {shown_zone} names {} as its name server, which {verb}; {felt}.", list(&shown)),
    )
    .at(Place {
        name: Some(zone.to_owned()),
        address: Some(first.address.ip()),
        port: Some(first.address.port()),
        ..Place::default()
    })
    .resting_on(bad.iter().map(|server| server.id))
    .rejecting("dns.servfail", "The zone's other servers answer for it.", good.iter().map(|server| server.id))
    .next(Who::Server, format!("Whoever runs the zone {shown_zone} sets the zone up on {}, or takes it off the list at the zone and at the registrar.", list(&shown)));
    Some(candidate)
}

fn name_of(server: &ZoneServer) -> String {
    let address = server.address.ip().to_string();
    if server.server.is_empty() { address } else { format!("{} ({address})", server.server.trim_end_matches('.')) }
}

/// The resolver's answers for the name that hold addresses, by family: the other one must not be taken for a difference.
fn data<'a>(view: &NameView<'a>) -> Vec<(SocketAddr, Seen<'a, Lookup>)> {
    let data = view.answers(|answer| answer == Answer::Data);
    data.into_iter().filter(|(_, lookup)| !lookup.addresses.is_empty()).collect()
}

fn addresses_of(records: &[Record], record_type: &str) -> Vec<IpAddr> {
    records.iter().filter(|record| record.record_type == record_type).filter_map(|record| record.data.parse().ok()).collect()
}

fn stale(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.names().iter().filter_map(|view| of_stale(evidence, view)).collect()
}

fn of_stale(evidence: &Evidence<'_>, view: &NameView<'_>) -> Option<Candidate> {
    let authority = evidence.authority_for(view.name);
    let (server, lookup, current) = data(view).into_iter().find_map(|(server, lookup)| {
        let each = authority.iter().map(|(_, reply)| addresses_of(&reply.answers, &lookup.fact.record_type));
        let each: Vec<Vec<IpAddr>> = each.filter(|addresses| !addresses.is_empty()).collect();
        let current: Vec<IpAddr> = each.first()?.clone();
        let agree =
            each.iter().all(|other| other.len() == current.len() && other.iter().all(|address| current.contains(address)));
        let other = lookup.fact.addresses.iter().all(|address| !current.contains(address) && !is_private(*address));
        (agree && other).then_some((server, lookup, current))
    })?;
    let left = lookup.fact.reply.as_ref()?.answers.iter().map(|record| record.ttl_s).min()?;
    let name = view.name;
    let candidate = Candidate::new(
        Severity::Degraded,
        ALL_AGREE,
        format!("The name server {} still gives {} for {name}, while the zone's own servers give {}: it keeps the old answer for another {left} seconds.", server.ip(), list(&lookup.fact.addresses), list(&current)),
    )
    .at(resolver(name, server.ip()))
    .about(Spot::Name(name.to_owned()))
    .resting_on([lookup.id])
    .resting_on(authority.iter().map(|(server, _)| server.id))
    .rejecting("dns.split_horizon", "Both addresses are public.", [lookup.id])
    .next(Who::Network, format!("Wait {left} seconds, or empty the cache of the name server {} for {name}; before the next change, lower the record's time to live.", server.ip()));
    Some(candidate)
}

fn split_horizon(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.names().iter().filter_map(|view| of_split(evidence, view)).collect()
}

fn of_split(evidence: &Evidence<'_>, view: &NameView<'_>) -> Option<Candidate> {
    let data = data(view);
    let (server, lookup) = data.iter().find(|(_, lookup)| lookup.fact.addresses.iter().all(|address| is_private(*address)))?;
    let control = evidence.control_for(view.name);
    let outside = control.iter().map(|lookup| (lookup.id, lookup.fact.addresses.clone()));
    let authority = evidence.authority_for(view.name);
    let by_authority = authority.iter().map(|(server, reply)| {
        (server.id, ["A", "AAAA"].iter().flat_map(|kind| addresses_of(&reply.answers, kind)).collect::<Vec<_>>())
    });
    let (id, public) = outside
        .chain(by_authority)
        .find(|(_, addresses)| !addresses.is_empty() && !addresses.iter().any(|address| is_private(*address)))?;
    let inside = &lookup.fact.addresses;
    let tried = inside.iter().filter(|address| evidence.tried_tcp(**address));
    let dead: Vec<&ObservationId> =
        tried.filter(|address| evidence.answered(**address).is_empty()).flat_map(|address| evidence.sent_to(*address)).collect();
    let felt = if dead.is_empty() { "" } else { " The one inside does not answer from here." };
    let name = view.name;
    let candidate = Candidate::new(
        if dead.is_empty() { Severity::Notice } else { Severity::Problem },
        PRIVATE_HERE,
        format!("{name} has two faces: the name server {} gives the private address {}, and outside it has {}.{felt}", server.ip(), list(inside), list(&public)),
    )
    .at(resolver(name, server.ip()))
    .about(Spot::Name(name.to_owned()))
    .resting_on([lookup.id, id])
    .resting_on(dead)
    .rejecting("dns.stale_record", "The address inside is private, and was never one outside.", [lookup.id])
    .next(Who::Network, format!("If this machine is meant to use the inside of {name}, open the way to {}; if not, give it a name server that knows the outside.", list(inside)));
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, beside, silent, system, zone_server};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Purpose};

    const NAME: &str = "shop.example";
    const SERVER: &str = "10.0.0.53";

    fn scene(given: &str, more: impl IntoIterator<Item = Fact>) -> Scene {
        let facts = [answer(SERVER, NAME, &[given]), system(NAME, &[given])];
        Scene::new(NAME).check(Kind::Dns, facts.into_iter().chain(more))
    }

    #[test]
    fn a_listed_server_that_does_not_serve_the_zone_is_named() {
        let servers = [zone_server("198.51.100.1", Some(true), &["192.0.2.1"]), zone_server("198.51.100.2", Some(false), &[])];
        let finding = scene("192.0.2.1", servers).finds("dns.lame_delegation");
        assert!(finding.severity == Severity::Degraded && finding.sentence.contains("198.51.100.2"), "{}", finding.sentence);
    }

    #[test]
    fn servers_of_which_none_answers_are_not_lame() {
        let servers = [zone_server("198.51.100.1", None, &[]), zone_server("198.51.100.2", None, &[])];
        assert!(scene("192.0.2.1", servers).is_healthy().is_empty());
    }

    #[test]
    fn an_answer_that_no_server_of_the_zone_gives_any_more_is_old() {
        let servers =
            || [zone_server("198.51.100.1", Some(true), &["192.0.2.1"]), zone_server("198.51.100.2", Some(true), &["192.0.2.1"])];
        let finding = scene("203.0.113.9", servers()).finds("dns.stale_record");
        assert!(finding.sentence.contains("another 60 seconds"), "{}", finding.sentence);
        assert!(scene("192.0.2.1", servers()).is_healthy().is_empty());
    }

    #[test]
    fn a_zone_whose_servers_disagree_tells_no_age() {
        let servers =
            [zone_server("198.51.100.1", Some(true), &["192.0.2.1"]), zone_server("198.51.100.2", Some(true), &["192.0.2.2"])];
        assert!(scene("203.0.113.9", servers).is_healthy().is_empty());
    }

    #[test]
    fn a_private_address_inside_is_a_notice_until_it_does_not_answer() {
        let control = || beside(answer("10.9.9.9", NAME, &["192.0.2.1"]), Purpose::Control);
        assert_eq!(scene("10.1.2.3", [control()]).is_healthy(), ["dns.split_horizon"]);
        let dead = scene("10.1.2.3", [control()]).check(Kind::Tcp, [silent("10.1.2.3:443")]);
        assert!(dead.names("dns.split_horizon"));
        let finding = dead.diagnose().findings.into_iter().find(|finding| finding.cause == "dns.split_horizon").unwrap();
        assert_eq!(finding.severity, Severity::Problem);
    }

    #[test]
    fn a_private_address_that_everybody_gives_has_one_face() {
        assert!(scene("10.1.2.3", [beside(answer("10.9.9.9", NAME, &["10.1.2.3"]), Purpose::Control)]).is_healthy().is_empty());
    }
}
