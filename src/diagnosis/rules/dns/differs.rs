//! What programs get for a name is not what its name servers say.

use super::resolver;
use crate::candidate::Candidate;
use crate::evidence::{Evidence, NameView, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Lookup, NameSources, Purpose};
use std::net::IpAddr;

pub(in crate::rules) const SYSTEM_RULE: Rule = Rule {
    settled_by: Some("asking the system again after its cache was emptied (`resolvectl flush-caches`, `ipconfig /flushdns`)"),
    ..Rule::new("dns.system_differs", &["host.hosts_file_override", "dns.search_suffix"], system_differs)
};

pub(in crate::rules) const SEARCH_RULE: Rule = Rule {
    refines: &["dns.system_differs"],
    ..Rule::new("dns.search_suffix", &["dns.nxdomain", "dns.system_differs"], search_suffix)
};

/// No address is common to both; names with many addresses give other ones to every question.
const DISJOINT: f64 = 0.7;
/// No server gives any address, and the hosts file does not either.
const FROM_NOWHERE: f64 = 0.8;
/// The suffixed name has the very addresses that programs get, and the name itself has others.
const SAME_ADDRESSES: f64 = 0.95;

fn addresses<'a>(lookups: impl Iterator<Item = &'a Seen<'a, Lookup>>) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    for address in lookups.flat_map(|lookup| lookup.fact.addresses.iter()) {
        if !all.contains(address) {
            all.push(*address);
        }
    }
    all
}

fn of_servers(view: &NameView<'_>) -> Vec<IpAddr> {
    addresses(view.servers.iter().flat_map(|server| server.lookups.iter()))
}

fn sources<'e, 'a>(evidence: &'e Evidence<'a>, view: &NameView<'_>) -> Option<&'e Seen<'a, NameSources>> {
    let plain = view.name.trim_end_matches('.');
    evidence.name_sources.iter().find(|sources| sources.name.trim_end_matches('.').eq_ignore_ascii_case(plain))
}

/// Every server that was asked answered for both kinds of address, so that nothing it knows is missing.
fn answered_fully(view: &NameView<'_>) -> bool {
    let of_type =
        |wanted: &str| view.servers.iter().any(|server| server.answers().iter().any(|(lookup, _)| lookup.record_type == wanted));
    of_type("A") && of_type("AAAA") && view.servers.iter().all(|server| !server.answers().is_empty())
}

fn system_differs(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.names().iter().filter_map(|view| of_system(evidence, view)).collect()
}

fn of_system(evidence: &Evidence<'_>, view: &NameView<'_>) -> Option<Candidate> {
    // Without the hosts file's word, it may be the reason.
    let sources = sources(evidence, view).filter(|sources| sources.hosts.is_empty() && !sources.hosts_file.contains('('))?;
    let system = addresses(view.system.iter());
    let servers = of_servers(view);
    if system.is_empty() || !answered_fully(view) || system.iter().any(|address| servers.contains(address)) {
        return None;
    }
    // What is this machine's own by its nature is answered by every system itself (RFC 6761 section 6.3).
    if system.iter().all(IpAddr::is_loopback) || evidence.is_short(view.name) {
        return None;
    }
    let name = view.name;
    let unreachable = system.iter().all(|address| evidence.tried_tcp(*address))
        && evidence
            .attempts()
            .iter()
            .filter(|attempt| system.contains(&attempt.address.ip()))
            .all(|attempt| !attempt.connected());
    let ids: Vec<&ObservationId> = view.servers.iter().flat_map(|server| server.ids()).collect();
    let (confidence, instead) = match servers.as_slice() {
        [] => (FROM_NOWHERE, "while its name servers know none".to_owned()),
        several => (DISJOINT, format!("while its name servers say {}", list(several))),
    };
    let candidate = Candidate::new(
        if unreachable { Severity::Degraded } else { Severity::Notice },
        confidence,
        format!("Programs on this machine get the address {} for {name}, {instead}: a cache, a rule for this name (NRPT, systemd-resolved) or another source answers them.", list(&system)),
    )
    .at(resolver(name, view.servers.first()?.server.ip()))
    .about(Spot::Name(name.to_owned()))
    .resting_on(view.system.iter().map(|lookup| lookup.id))
    .resting_on(ids.iter().copied())
    .rejecting("host.hosts_file_override", "The hosts file does not name it.", [sources.id])
    .next(Who::Customer, format!("Empty this machine's cache of names and look at the sources that it asks for {name} ({}).", order(sources)));
    Some(candidate)
}

fn order(sources: &NameSources) -> String {
    if sources.order.is_empty() {
        "its settings for name resolution".to_owned()
    } else {
        format!("nsswitch.conf: {}", sources.order.join(" "))
    }
}

fn search_suffix(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.names().iter().filter_map(|view| of_search(evidence, view)).collect()
}

/// A name that was given without a suffix means itself where it exists; that a short name is completed is what the list is for.
fn of_search(evidence: &Evidence<'_>, view: &NameView<'_>) -> Option<Candidate> {
    let system = addresses(view.system.iter());
    let own = of_servers(view);
    if system.is_empty() || own.is_empty() || system.iter().any(|address| own.contains(address)) {
        return None;
    }
    let suffixed = evidence.lookups_beside.iter().filter(|lookup| lookup.purpose == Purpose::Search);
    let prefix = format!("{}.", view.name.trim_end_matches('.').to_ascii_lowercase());
    let suffixed = suffixed.filter(|lookup| lookup.fact.name.to_ascii_lowercase().starts_with(&prefix));
    let taken = suffixed.into_iter().find(|lookup| lookup.addresses.iter().any(|address| system.contains(address)))?;
    let name = view.name;
    let suffix = taken.fact.name.get(prefix.len()..).unwrap_or_default();
    let ids: Vec<&ObservationId> = view.servers.iter().flat_map(|server| server.ids()).collect();
    let candidate = Candidate::new(
        Severity::Degraded,
        SAME_ADDRESSES,
        format!("Programs that ask for {name} end up at {}: this machine appends the suffix {suffix} first, and that name exists too, at {}. The name itself is at {}.", taken.fact.name, list(&system), list(&own)),
    )
    .at(resolver(name, view.servers.first()?.server.ip()))
    .about(Spot::Name(name.to_owned()))
    .resting_on([taken.id])
    .resting_on(view.system.iter().map(|lookup| lookup.id))
    .resting_on(ids.iter().copied())
    .rejecting("dns.nxdomain", "The complete name exists.", ids)
    .rejecting("dns.system_differs", "The suffixed name explains the address.", [taken.id])
    .next(Who::Customer, format!("Write the name with a final dot ({name}.), or take the suffix {suffix} off the search list or `ndots` down to 1 (/etc/resolv.conf, DHCP, Kubernetes dnsConfig)."));
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, beside, name_sources, rcode, system};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Purpose};

    const NAME: &str = "shop.example";
    const SERVER: &str = "10.0.0.53";

    fn scene(more: impl IntoIterator<Item = Fact>) -> Scene {
        let facts = [answer(SERVER, NAME, &["192.0.2.1"]), rcode(SERVER, NAME, "AAAA", 0, &[("example", "SOA")])];
        Scene::new(NAME).check(Kind::Dns, facts.into_iter().chain(more))
    }

    #[test]
    fn an_address_that_no_server_gives_comes_from_somewhere_else() {
        let scene = scene([system(NAME, &["198.51.100.7"]), name_sources(NAME, &[], &[])]);
        assert_eq!(scene.is_healthy(), ["dns.system_differs"]);
        let finding = scene.diagnose().findings.remove(0);
        assert_eq!(finding.rejected[0].cause, "host.hosts_file_override");
    }

    #[test]
    fn the_hosts_file_or_one_common_address_leaves_nothing_open() {
        for facts in [
            [system(NAME, &["198.51.100.7"]), name_sources(NAME, &["198.51.100.7"], &[])],
            [system(NAME, &["198.51.100.7", "192.0.2.1"]), name_sources(NAME, &[], &[])],
        ] {
            assert!(!scene(facts).names("dns.system_differs"));
        }
    }

    #[test]
    fn a_suffix_that_makes_another_name_of_it_is_told_with_both() {
        let suffixed = beside(answer(SERVER, "shop.example.corp.test", &["198.51.100.7"]), Purpose::Search);
        let finding = scene([system(NAME, &["198.51.100.7"]), suffixed, name_sources(NAME, &[], &["corp.test"])])
            .finds("dns.search_suffix");
        assert!(finding.sentence.contains("appends the suffix corp.test"), "{}", finding.sentence);
    }

    #[test]
    fn a_short_name_that_the_suffix_completes_is_what_the_list_is_for() {
        let facts = [
            rcode(SERVER, "shop", "A", 3, &[("", "SOA")]),
            system("shop", &["198.51.100.7"]),
            beside(answer(SERVER, "shop.corp.test", &["198.51.100.7"]), Purpose::Search),
            name_sources("shop", &[], &["corp.test"]),
        ];
        assert!(Scene::new("shop").check(Kind::Dns, facts).is_healthy().is_empty());
    }
}
