use super::{failure, of};
use crate::clean::shortened;
use crate::units;
use netsonde_contract::observation::{DnsFlags, Fact, Lookup, LookupSource, Transport};
use netsonde_contract::outcome::Outcome;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The standard port, left out where a server is shown.
const DNS_PORT: u16 = 53;

/// Longest extra text of an extended error shown; a server may send kilobytes.
const MAX_TEXT_CHARS: usize = 160;

/// Name and addresses, who gave them, and what each server that did not give a good reply said instead.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let lookups = of(outcome, |fact| if let Fact::Lookup(lookup) = fact { Some(lookup) } else { None });
    let Some(name) = lookups.first().map(|lookup| lookup.name.as_str()) else { return String::new() };
    let mut parts = vec![answer(name, &lookups)];
    let servers = by_server(&lookups);
    if !servers.is_empty() {
        let good = servers.values().filter(|lookups| lookups.iter().all(|lookup| is_good(lookup))).count();
        parts.push(format!("{good} of {}", units::counted(servers.len(), "server", "servers")));
        for (server, lookups) in &servers {
            if let Some(bad) = lookups.iter().find(|lookup| !is_good(lookup)) {
                parts.push(format!("{}: {}", server_name(*server), verdict(bad)));
            }
        }
    }
    parts.join("; ")
}

fn answer(name: &str, lookups: &[&Lookup]) -> String {
    let given_by = |wanted: fn(&LookupSource) -> bool| {
        let mut seen: Vec<IpAddr> = Vec::new();
        for address in lookups.iter().filter(|lookup| wanted(&lookup.source)).flat_map(|lookup| &lookup.addresses) {
            if !seen.contains(address) {
                seen.push(*address);
            }
        }
        seen
    };
    let joined = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let system = given_by(|source| matches!(source, LookupSource::System));
    let servers = given_by(|source| matches!(source, LookupSource::Server { .. }));
    if !system.is_empty() {
        format!("{name} → {} (system)", joined(&system))
    } else if !servers.is_empty() {
        format!("{name} → {}", joined(&servers))
    } else {
        format!("{name} has no address")
    }
}

/// The lookups of each server that was asked. One that was cut over UDP and asked again over TCP counts by the second.
fn by_server<'a>(lookups: &[&'a Lookup]) -> BTreeMap<SocketAddr, Vec<&'a Lookup>> {
    let mut servers: BTreeMap<SocketAddr, Vec<&Lookup>> = BTreeMap::new();
    for lookup in lookups {
        if let LookupSource::Server { server, .. } = lookup.source {
            let cut = lookup.reply.as_ref().is_some_and(|reply| reply.flags.tc);
            let again = |other: &&&Lookup| {
                other.record_type == lookup.record_type
                    && other.source == LookupSource::Server { server, transport: Transport::Tcp }
            };
            if !cut || !lookups.iter().any(|other| again(&other)) {
                servers.entry(server).or_default().push(lookup);
            }
        }
    }
    servers
}

fn is_good(lookup: &Lookup) -> bool {
    lookup.failure.is_none() && lookup.reply.as_ref().is_none_or(|reply| reply.rcode == "NOERROR")
}

fn server_name(server: SocketAddr) -> String {
    if server.port() == DNS_PORT { server.ip().to_string() } else { server.to_string() }
}

/// Who was asked, in words.
pub(crate) fn source(source: &LookupSource) -> String {
    match source {
        LookupSource::Server { server, transport: Transport::Udp } => format!("{} over UDP", server_name(*server)),
        LookupSource::Server { server, transport: Transport::Tcp } => format!("{} over TCP", server_name(*server)),
        LookupSource::System => "the system's resolver".to_owned(),
        LookupSource::Library => "own resolver on the system's configuration".to_owned(),
    }
}

/// What came back, in a few words: response code with extended errors, or the failure, or the addresses.
pub(crate) fn verdict(lookup: &Lookup) -> String {
    if let Some(found) = &lookup.failure {
        return failure::short(found);
    }
    let Some(reply) = &lookup.reply else {
        return match lookup.addresses.len() {
            0 => "no address".to_owned(),
            count => units::counted(count, "address", "addresses"),
        };
    };
    let mut words = reply.rcode.clone();
    if reply.rcode == "NOERROR" {
        words.push_str(&format!(", {}", units::counted(reply.answers.len(), "answer", "answers")));
    }
    for error in &reply.extended_errors {
        words.push_str(&format!(", extended error {} {}", error.code, error.name));
        if !error.text.is_empty() {
            words.push_str(&format!(": {}", shortened(&error.text, MAX_TEXT_CHARS)));
        }
    }
    words
}

pub(super) fn line(lookup: &Lookup) -> String {
    let kind = if lookup.record_type == "ADDRESS" { "addresses" } else { &lookup.record_type };
    let mut line = format!("{} {kind} from {}: {}", lookup.name, source(&lookup.source), verdict(lookup));
    if lookup.reply.is_none() && !lookup.addresses.is_empty() {
        let addresses: Vec<String> = lookup.addresses.iter().map(ToString::to_string).collect();
        line.push_str(&format!(": {}", addresses.join(", ")));
    }
    if let Some(took_us) = lookup.took_us {
        line.push_str(&format!(", {}", units::duration(took_us)));
    }
    if lookup.attempts > 1 {
        line.push_str(&format!(", {} packets sent", lookup.attempts));
    }
    line
}

/// The header flags that are set, as resolvers' tools print them: `rd ra`.
pub(crate) fn flags(flags: &DnsFlags) -> String {
    let DnsFlags { aa, tc, rd, ra, ad, cd } = *flags;
    let names = [(aa, "aa"), (tc, "tc"), (rd, "rd"), (ra, "ra"), (ad, "ad"), (cd, "cd")];
    names.into_iter().filter_map(|(set, name)| set.then_some(name)).collect::<Vec<_>>().join(" ")
}

pub(super) fn details(lookup: &Lookup) -> Vec<String> {
    let mut lines = failure::details(lookup.failure.as_ref());
    let Some(reply) = &lookup.reply else { return lines };
    let mut header = format!("flags {}", flags(&reply.flags));
    header.push_str(&format!("; id {}; {}", reply.id, units::size(reply.size_bytes.into())));
    match &reply.edns {
        Some(edns) => {
            let secure = if edns.dnssec_ok { ", DO" } else { "" };
            header.push_str(&format!("; EDNS {}, {} bytes{secure}", edns.version, edns.udp_size_bytes));
        }
        None => header.push_str("; no EDNS"),
    }
    lines.push(header);
    for (section, records) in [("", &reply.answers), ("authority: ", &reply.authority), ("additional: ", &reply.additional)] {
        for record in records {
            lines.push(format!("{section}{} {} {} {}", record.name, record.ttl_s, record.record_type, record.data));
        }
    }
    lines
}
