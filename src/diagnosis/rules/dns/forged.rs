//! Answers that somebody other than the zone's servers made.

use super::nxdomain::zone;
use super::resolver;
use crate::candidate::Candidate;
use crate::evidence::{Answer, Evidence, NXDOMAIN, NameView, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{DnsReply, Lookup, LookupSource, OtherMessage};
use std::net::{IpAddr, SocketAddr};

pub(in crate::rules) const INJECTED_RULE: Rule = Rule {
    refines: &["dns.nxdomain"],
    settled_by: Some("asking the zone's own name servers, over TCP and from another network"),
    ..Rule::new("dns.nxdomain_injected", &["dns.nxdomain"], injected)
};

pub(in crate::rules) const SPOOFED_RULE: Rule = Rule {
    settled_by: Some("a capture of port 53 on this machine: where the two replies come from, and which is first"),
    ..Rule::new("dns.spoofed", &["dns.split_horizon"], spoofed)
};

pub(in crate::rules) const BOGON_RULE: Rule = Rule {
    refines: &["dns.unexpected_address"],
    settled_by: Some("asking the zone's own name servers, or another name server, for the name"),
    ..Rule::new("dns.bogon_answer", &["dns.split_horizon"], bogon)
};

/// The same server gives the data over TCP, which nobody on the way can answer in its place as easily.
const BY_TCP: f64 = 0.9;
/// A server of the zone itself gives the data.
const BY_AUTHORITY: f64 = 0.93;
/// A server that was asked for comparison gives the data.
const BY_CONTROL: f64 = 0.85;
/// Another of the system's servers gives the data; it may serve another view of the zone.
const BY_ANOTHER: f64 = 0.72;
/// Two different replies to one query, by the TTL of their packets from two places.
const TWO_PLACES: f64 = 0.93;
/// Two different replies to one query.
const TWO_REPLIES: f64 = 0.85;
/// Nobody can use the address.
const UNUSABLE: f64 = 0.93;

/// Endings of names that are private by their nature, where any address may be meant (RFC 6761, RFC 6762, RFC 8375, RFC 9476).
const PRIVATE_ENDINGS: [&str; 12] =
    ["localhost", "local", "internal", "lan", "home", "home.arpa", "corp", "intranet", "private", "test", "invalid", "alt"];

fn injected(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.names().iter().filter_map(|view| of_injected(evidence, view)).collect()
}

fn of_injected(evidence: &Evidence<'_>, view: &NameView<'_>) -> Option<Candidate> {
    let denied = view.answers(|answer| answer == Answer::Code(NXDOMAIN));
    let denied: Vec<_> = denied.into_iter().filter(|(_, lookup)| zone(lookup).is_none()).collect();
    let (server, _) = *denied.first()?;
    let (confidence, who, id) = contradiction(evidence, view, server)?;
    let name = view.name;
    let ids: Vec<&ObservationId> = denied.iter().map(|(_, lookup)| lookup.id).collect();
    let severity = if view.resolved() { Severity::Degraded } else { Severity::Problem };
    let sentence = format!(
        "{} is said not to exist, but it does: {who} gives its address. The denial names no zone, as a real one does, so that somebody on the way or the name server {} itself made it up.",
        name,
        server.ip()
    );
    let mut candidate = Candidate::new(severity, confidence, sentence)
        .at(resolver(name, server.ip()))
        .resting_on(ids.iter().copied())
        .resting_on([id])
        .rejecting("dns.nxdomain", format!("The name exists: {who} gives its address."), [id])
        .next(Who::Network, format!("Ask whoever runs the network or the name server {} whether a filter blocks {name}; a name server over TLS or HTTPS goes past what is injected on the way.", server.ip()));
    if severity == Severity::Problem {
        candidate = candidate.about(Spot::Name(name.to_owned())).stopping().resting_on(view.system_failures());
    }
    Some(candidate)
}

/// Who gives the data that the server denies, and how much that proves.
fn contradiction<'a>(
    evidence: &Evidence<'a>,
    view: &NameView<'a>,
    denying: SocketAddr,
) -> Option<(f64, String, &'a ObservationId)> {
    let authority = evidence.authority_for(view.name).into_iter().next();
    if let Some((server, _)) = authority {
        return Some((BY_AUTHORITY, format!("the zone's own server {}", server.address.ip()), server.id));
    }
    let data = view.answers(|answer| answer == Answer::Data);
    if let Some((_, lookup)) = data.iter().find(|(server, _)| *server == denying) {
        return Some((BY_TCP, "the same name server, asked over TCP,".to_owned(), lookup.id));
    }
    if let Some(control) = evidence.control_for(view.name).into_iter().find(|lookup| !lookup.addresses.is_empty()) {
        return Some((BY_CONTROL, "the name server that was asked for comparison".to_owned(), control.id));
    }
    data.first().map(|(server, lookup)| (BY_ANOTHER, format!("the name server {}", server.ip()), lookup.id))
}

fn spoofed(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.lookups.iter().filter_map(of_spoofed).collect()
}

fn of_spoofed(lookup: &Seen<'_, Lookup>) -> Option<Candidate> {
    let LookupSource::Server { server, .. } = lookup.fact.source else { return None };
    let reply = lookup.fact.reply.as_deref()?;
    // A query that was sent twice may honestly get two replies, and a network may double a packet: those say the same.
    let differs =
        |other: &&OtherMessage| other.second_reply && other.reply.as_ref().is_some_and(|second| !says_same(reply, second));
    let second = lookup.fact.others.iter().find(differs)?;
    if lookup.fact.attempts > 1 {
        return None;
    }
    let elsewhere = reply.ip_ttl.zip(second.ip_ttl).is_some_and(|(first, second)| first != second);
    let places = if elsewhere { " Their packets came from different distances." } else { "" };
    let name = &lookup.fact.name;
    let sentence = format!(
        "One question to the name server {} for {name} was answered twice, with different answers: {} and then {}.{places} Somebody on the way forges replies.",
        server.ip(),
        said(reply),
        second.reply.as_ref().map_or_else(String::new, said)
    );
    let candidate = Candidate::new(Severity::Problem, if elsewhere { TWO_PLACES } else { TWO_REPLIES }, sentence)
        .at(resolver(name, server.ip()))
        .about(Spot::Name(name.clone()))
        .resting_on([lookup.id])
        .rejecting("dns.split_horizon", "Both came to one question of this machine.", [lookup.id])
        .next(
            Who::Network,
            format!(
                "Ask whoever runs the network what answers DNS in place of {}; a name server over TLS or HTTPS goes past it.",
                server.ip()
            ),
        );
    Some(candidate)
}

/// Servers give the records of one answer in changing order.
fn says_same(left: &DnsReply, right: &DnsReply) -> bool {
    let data = |reply: &DnsReply| {
        let mut data: Vec<String> =
            reply.answers.iter().map(|record| format!("{} {}", record.record_type, record.data)).collect();
        data.sort();
        data
    };
    left.rcode_number == right.rcode_number && data(left) == data(right)
}

fn said(reply: &DnsReply) -> String {
    let data: Vec<&str> = reply.answers.iter().map(|record| record.data.as_str()).take(3).collect();
    if data.is_empty() { reply.rcode.clone() } else { list(&data) }
}

fn bogon(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.names().iter().filter_map(of_bogon).collect()
}

fn of_bogon(view: &NameView<'_>) -> Option<Candidate> {
    if is_private_name(view.name) {
        return None;
    }
    let data = view.answers(|answer| answer == Answer::Data);
    let given = |lookup: &Seen<'_, Lookup>| !lookup.addresses.is_empty();
    let data: Vec<_> = data.into_iter().filter(|(_, lookup)| given(lookup)).collect();
    let (server, first) = data.first()?;
    // One usable address is enough for programs; what else stands beside it is skipped by them.
    if !data.iter().all(|(_, lookup)| lookup.addresses.iter().all(|address| unusable(*address).is_some())) {
        return None;
    }
    let address = *first.addresses.first()?;
    let why = unusable(address)?;
    let name = view.name;
    let ids: Vec<&ObservationId> = data.iter().map(|(_, lookup)| lookup.id).collect();
    let of_system = view.system.iter().filter(|lookup| lookup.addresses.iter().all(|address| unusable(*address).is_some()));
    let felt = !view.system_gave_address() || of_system.clone().any(|lookup| !lookup.addresses.is_empty());
    let mut candidate = Candidate::new(
        if felt { Severity::Problem } else { Severity::Notice },
        UNUSABLE,
        format!("The public name {name} is said to have the address {address}, {why}: so says the name server {}. Filters answer so for names that they block.", server.ip()),
    )
    .at(resolver(name, server.ip()))
    .about(Spot::Name(name.to_owned()))
    .resting_on(ids.iter().copied())
    .resting_on(of_system.map(|lookup| lookup.id))
    .rejecting("dns.split_horizon", "No private network uses such an address either.", ids)
    .next(Who::Network, format!("Ask the operator of the name server {} whether it blocks {name}; if not, whoever runs the zone of {name} has to correct the record.", server.ip()));
    for (_, lookup) in &data {
        candidate = lookup.addresses.iter().fold(candidate, |candidate, address| candidate.about(Spot::Address(*address)));
    }
    Some(candidate.stopping())
}

pub(in crate::rules) fn is_private_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let ends = |ending: &str| name == ending || name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.'));
    !name.contains('.') || PRIVATE_ENDINGS.iter().any(|ending| ends(ending))
}

/// Why no server can be reached at the address (RFC 6890).
fn unusable(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80),
    };
    let reserved = matches!(address, IpAddr::V4(v4) if v4.octets()[0] >= 240 || v4.octets()[0] == 0);
    if address.is_loopback() {
        Some("which is every machine's own")
    } else if address.is_unspecified() || reserved {
        Some("which is no machine's")
    } else if address.is_multicast() {
        Some("which is that of a group and not of a machine")
    } else {
        link_local.then_some("which counts on one link only")
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, beside, other_message, over_tcp, rcode, refused, system, with_lookup, with_reply};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Purpose};

    const NAME: &str = "shop.example";
    const SERVER: &str = "10.0.0.53";

    fn scene(facts: impl IntoIterator<Item = Fact>) -> Scene {
        Scene::new(NAME).check(Kind::Dns, facts)
    }

    fn denied(authority: &[(&str, &str)]) -> Fact {
        rcode(SERVER, NAME, "A", 3, authority)
    }

    #[test]
    fn a_denial_without_a_zone_that_tcp_contradicts_is_made_up() {
        let whole = over_tcp(answer(SERVER, NAME, &["192.0.2.1"]));
        let finding = scene([denied(&[]), whole, system(NAME, &[])]).finds("dns.nxdomain_injected");
        assert!(finding.sentence.contains("over TCP") && finding.confidence >= 0.9, "{}", finding.sentence);
    }

    #[test]
    fn a_control_server_contradicts_as_well() {
        let control = beside(answer("10.9.9.9", NAME, &["192.0.2.1"]), Purpose::Control);
        scene([denied(&[]), control, system(NAME, &[])]).finds("dns.nxdomain_injected");
    }

    #[test]
    fn a_denial_with_its_zone_is_a_servers_own_view() {
        let whole = over_tcp(answer(SERVER, NAME, &["192.0.2.1"]));
        assert!(!scene([denied(&[("example", "SOA")]), whole, system(NAME, &[])]).names("dns.nxdomain_injected"));
        assert!(!scene([denied(&[]), system(NAME, &[])]).names("dns.nxdomain_injected"));
    }

    fn twice(second: &str, attempts: u32, ttl: Option<u8>) -> Scene {
        let Fact::Lookup(other) = answer(SERVER, NAME, &[second]) else { unreachable!() };
        let first = with_reply(answer(SERVER, NAME, &["198.51.100.9"]), |reply| reply.ip_ttl = Some(250));
        let first = with_lookup(first, |lookup| {
            let mut message = other_message(true, other.reply.map(|reply| *reply), "it came second");
            message.ip_ttl = ttl;
            (lookup.others, lookup.attempts) = (vec![message], attempts);
        });
        scene([first, system(NAME, &["198.51.100.9"])])
    }

    #[test]
    fn two_different_replies_to_one_query_are_one_too_many() {
        let finding = twice("192.0.2.1", 1, Some(57)).finds("dns.spoofed");
        assert!(finding.confidence > 0.9 && finding.sentence.contains("198.51.100.9 and then 192.0.2.1"), "{}", finding.sentence);
    }

    #[test]
    fn a_reply_that_came_twice_the_same_or_to_two_queries_is_no_forgery() {
        assert!(twice("198.51.100.9", 1, Some(250)).is_healthy().is_empty());
        assert!(twice("192.0.2.1", 2, Some(250)).is_healthy().is_empty());
    }

    #[test]
    fn a_public_name_at_an_address_that_nobody_can_use_explains_the_failed_connection() {
        for address in ["127.0.0.1", "0.0.0.0", "240.0.0.1"] {
            let scene = scene([answer(SERVER, NAME, &[address]), system(NAME, &[address])]);
            let finding = scene.check(Kind::Tcp, [refused(&format!("{address}:443"), 100)]).finds("dns.bogon_answer");
            assert_eq!(finding.severity, Severity::Problem);
        }
    }

    #[test]
    fn a_private_address_or_a_private_name_is_no_bogon() {
        assert!(scene([answer(SERVER, NAME, &["10.1.2.3"]), system(NAME, &["10.1.2.3"])]).is_healthy().is_empty());
        let private = Scene::new("box.local")
            .check(Kind::Dns, [answer(SERVER, "box.local", &["169.254.1.1"]), system("box.local", &["169.254.1.1"])]);
        assert!(private.is_healthy().is_empty());
    }
}
