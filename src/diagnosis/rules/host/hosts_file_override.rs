use crate::candidate::Candidate;
use crate::evidence::{Evidence, NameView, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::NameSources;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule =
    Rule::new("host.hosts_file_override", &["dns.unexpected_address", "dns.system_differs"], evaluate);

/// The hosts file has the very addresses that programs get, and the name servers have others.
const CONFIDENCE: f64 = 0.95;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.names().iter().filter_map(|view| overridden(evidence, view)).collect()
}

fn overridden(evidence: &Evidence<'_>, view: &NameView<'_>) -> Option<Candidate> {
    let sources = sources(evidence, view)?;
    let lines = || sources.fact.hosts.iter();
    let system = distinct(view.system.iter().flat_map(|lookup| lookup.fact.addresses.iter()));
    let servers = distinct(view.servers.iter().flat_map(|server| &server.lookups).flat_map(|lookup| &lookup.fact.addresses));
    let from_file = !system.is_empty() && system.iter().all(|address| lines().any(|line| line.address == *address));
    // What is this machine's own by its nature stands in every hosts file (RFC 6761 section 6.3).
    if !from_file || system.iter().any(|address| address.is_loopback() || servers.contains(address)) {
        return None;
    }
    let tried: Vec<_> = evidence.attempts().iter().filter(|attempt| system.contains(&attempt.address.ip())).collect();
    let fails = !tried.is_empty() && tried.iter().all(|attempt| !attempt.connected());
    // A name that no server knows is what a hosts file is for.
    if servers.is_empty() && !fails {
        return None;
    }
    let name = view.name;
    let numbers: Vec<u32> = lines().filter(|line| system.contains(&line.address)).map(|line| line.line).collect();
    let which = if numbers.len() == 1 { "line" } else { "lines" };
    let instead = match servers.as_slice() {
        [] => "its name servers know no address".to_owned(),
        several => format!("its name servers say {}", list(several)),
    };
    let felt = if fails { ", and nothing can be connected to there" } else { "" };
    let sentence = format!(
        "Programs on this machine get the address {} for {name} from the hosts file ({}, {which} {}), while {instead}{felt}.",
        list(&system),
        sources.fact.hosts_file,
        list(&numbers)
    );
    let asked: Vec<&ObservationId> = view.servers.iter().flat_map(|server| server.ids()).collect();
    let mut candidate = Candidate::new(if fails { Severity::Problem } else { Severity::Notice }, CONFIDENCE, sentence)
        .at(Place { name: Some(name.to_owned()), address: system.first().copied(), ..Place::default() })
        .resting_on([sources.id])
        .resting_on(view.system.iter().map(|lookup| lookup.id))
        .resting_on(asked)
        .resting_on(tried.iter().filter(|_| fails).map(|attempt| attempt.id))
        .rejecting("dns.unexpected_address", "The address stands in this machine's own hosts file.", [sources.id])
        .rejecting("dns.system_differs", "The hosts file explains the difference.", [sources.id])
        .next(
            Who::Customer,
            format!("Take the {which} off the hosts file unless somebody put it there on purpose; then {name} is looked up as everywhere else."),
        );
    if fails {
        for address in &system {
            candidate = candidate.about(Spot::Address(*address));
        }
        candidate = candidate.stopping();
    }
    Some(candidate)
}

fn sources<'e, 'a>(evidence: &'e Evidence<'a>, view: &NameView<'_>) -> Option<&'e Seen<'a, NameSources>> {
    let plain = view.name.trim_end_matches('.');
    let fits = |sources: &&Seen<'_, NameSources>| sources.name.trim_end_matches('.').eq_ignore_ascii_case(plain);
    evidence.name_sources.iter().filter(fits).find(|sources| !sources.hosts.is_empty())
}

fn distinct<'f>(addresses: impl Iterator<Item = &'f IpAddr>) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if !all.contains(address) {
            all.push(*address);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answer, connected, name_sources, rcode, silent, system};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    const NAME: &str = "shop.example";

    fn scene(hosts: &[&str], of_servers: &[&str], tcp: Fact) -> Scene {
        let from_server = match of_servers {
            [] => rcode("10.0.0.53", NAME, "A", 3, &[("example", "SOA")]),
            several => answer("10.0.0.53", NAME, several),
        };
        let facts = [from_server, system(NAME, &["198.51.100.7"]), name_sources(NAME, hosts, &[])];
        Scene::new(NAME).check(Kind::Dns, facts).check(Kind::Tcp, [tcp])
    }

    #[test]
    fn a_forgotten_line_that_leads_nowhere_is_the_cause_with_its_number() {
        let finding = scene(&["198.51.100.7"], &["192.0.2.1"], silent("198.51.100.7:443")).finds("host.hosts_file_override");
        assert!(finding.sentence.contains("(/etc/hosts, line 1), while its name servers say 192.0.2.1"), "{}", finding.sentence);
    }

    #[test]
    fn a_line_that_leads_somewhere_else_is_worth_knowing_while_it_works() {
        let scene = scene(&["198.51.100.7"], &["192.0.2.1"], connected("198.51.100.7:443"));
        assert_eq!(scene.is_healthy(), ["host.hosts_file_override"]);
    }

    #[test]
    fn a_line_that_agrees_with_dns_or_stands_alone_is_what_the_file_is_for() {
        for of_servers in [&["198.51.100.7"][..], &[]] {
            assert!(!scene(&["198.51.100.7"], of_servers, connected("198.51.100.7:443")).names("host.hosts_file_override"));
        }
    }
}
