use super::{delegation, failure, of, tls};
use crate::clean::shortened;
use crate::units;
use netsonde_contract::observation::{
    DnsFlags, DnsReply, Edns, Fact, Lookup, LookupSource, NameSources, OtherMessage, Purpose, QueryReason, SentQuery, Transport,
};
use netsonde_contract::outcome::Outcome;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The standard port, left out where a server is shown.
const DNS_PORT: u16 = 53;

/// Longest extra text of an extended error shown; a server may send kilobytes.
const MAX_TEXT_CHARS: usize = 160;

/// Name and addresses, who gave them, and what each server that did not give a good reply said instead.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let all = of(outcome, |fact| if let Fact::Lookup(lookup) = fact { Some(lookup) } else { None });
    let lookups: Vec<&Lookup> = all.iter().copied().filter(|lookup| lookup.purpose.is_question()).collect();
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
    for sources in of(outcome, |fact| if let Fact::NameSources(sources) = fact { Some(sources) } else { None }) {
        parts.extend(hosts(sources));
    }
    parts.extend(all.iter().filter(|lookup| compares(lookup.purpose)).map(|lookup| compared(lookup)));
    parts.extend(delegation::outcome(outcome));
    parts.join("; ")
}

/// What the hosts file says of the name, where it says something.
fn hosts(sources: &NameSources) -> Option<String> {
    let addresses: Vec<String> = sources.hosts.iter().map(|line| line.address.to_string()).collect();
    (!addresses.is_empty()).then(|| format!("the hosts file says {}", addresses.join(", ")))
}

/// The question was put again in another way, and the two answers are to be compared.
fn compares(purpose: Purpose) -> bool {
    matches!(purpose, Purpose::CheckingDisabled | Purpose::Control)
}

fn compared(lookup: &Lookup) -> String {
    format!("{} {}, {}: {}", lookup.record_type, purpose(lookup.purpose), source(&lookup.source), verdict(lookup))
}

/// What a lookup is for, in words; nothing for the question of the check itself.
pub(crate) fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Question => "",
        Purpose::CheckingDisabled => "with DNSSEC checking disabled",
        Purpose::Control => "for comparison",
        Purpose::Unserved => "where no name server is",
        Purpose::Identity => "to know the server",
        Purpose::Reverse => "to name an address",
        Purpose::Search => "with a search suffix",
        Purpose::Other => "for a reason that this version does not know",
    }
}

/// What the reply took beyond one question: a packet without EDNS, another message.
pub(crate) fn remark(lookup: &Lookup) -> Option<String> {
    let answered = lookup.sent.iter().rfind(|sent| sent.rcode.is_some()).or(lookup.sent.last());
    let last = answered.filter(|_| lookup.reply.is_some()).map(|sent| sent.why);
    let mut remarks: Vec<String> = match last {
        Some(QueryReason::SilenceWithEdns | QueryReason::PlainAgain) => vec!["only without EDNS (with it: silence)".to_owned()],
        Some(QueryReason::EdnsRefused) => vec!["only without EDNS (with it: refused)".to_owned()],
        _ => Vec::new(),
    };
    let second = lookup.others.iter().filter(|other| other.second_reply).count();
    if second > 0 {
        remarks.push(format!("{} to the same question", units::counted(second, "more reply", "more replies")));
    }
    let foreign = lookup.others.len() - second;
    if foreign > 0 {
        remarks.push(units::counted(foreign, "other message", "other messages"));
    }
    (!remarks.is_empty()).then(|| remarks.join(", "))
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

pub(super) fn server_name(server: SocketAddr) -> String {
    if server.port() == DNS_PORT { server.ip().to_string() } else { server.to_string() }
}

/// Who was asked, in words.
pub(crate) fn source(source: &LookupSource) -> String {
    match source {
        LookupSource::Server { server, transport } => {
            let over = match transport {
                Transport::Udp => "UDP",
                Transport::Tcp => "TCP",
                Transport::Tls => "TLS",
                Transport::Https => "HTTPS",
                Transport::Quic => "QUIC",
            };
            format!("{} over {over}", server_name(*server))
        }
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
    verdict_of(reply)
}

/// The response code, how many answers, and the extended errors.
pub(super) fn verdict_of(reply: &DnsReply) -> String {
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
    let mut line = format!("{} {kind} from {}", lookup.name, source(&lookup.source));
    if !lookup.purpose.is_question() {
        line.push_str(&format!(" {}", purpose(lookup.purpose)));
    }
    line.push_str(&format!(": {}", verdict(lookup)));
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
    if let Some(remark) = remark(lookup) {
        line.push_str(&format!(", {remark}"));
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
    lines.extend(lookup.sent.iter().map(sent));
    if let Some(tls) = &lookup.tls {
        lines.push(tls::line(tls));
    }
    if let Some(status) = lookup.http_status {
        lines.push(format!("HTTP status {status}"));
    }
    if let Some(reply) = &lookup.reply {
        lines.extend(reply_lines(reply));
    }
    lines.extend(lookup.others.iter().flat_map(other));
    lines
}

fn sent(sent: &SentQuery) -> String {
    let why = match sent.why {
        QueryReason::First => "",
        QueryReason::Silence => ", after silence",
        QueryReason::SilenceWithEdns => ", after silence with EDNS",
        QueryReason::EdnsAgain => ", with EDNS again",
        QueryReason::PlainAgain => ", without it again",
        QueryReason::EdnsRefused => ", after EDNS was refused",
        QueryReason::BadCookie => ", with the server's cookie",
        QueryReason::Truncated => ", after a reply that was cut",
        QueryReason::Other => ", for a reason that this version does not know",
    };
    let from = sent.local.map_or(String::new(), |local| format!(" from {local}"));
    let edns = if sent.edns { "" } else { ", no EDNS" };
    let got = sent.rcode.as_deref().unwrap_or("no reply");
    let size = units::size(sent.size_bytes.into());
    format!("query at {}: id {}{from}, {size}{edns}{why}: {got}", units::duration(sent.after_us), sent.id)
}

fn other(other: &OtherMessage) -> Vec<String> {
    let what = if other.second_reply { "second reply" } else { "another message" };
    let ttl = other.ip_ttl.map_or(String::new(), |ttl| format!(", TTL {ttl}"));
    let why = if other.second_reply { String::new() } else { format!(": {}", shortened(&other.why, MAX_TEXT_CHARS)) };
    let size = units::size(other.size_bytes.into());
    let mut lines = vec![format!("{what} at {}, {size}{ttl}{why}", units::duration(other.after_us))];
    lines.extend(other.reply.as_ref().map(reply_lines).unwrap_or_default());
    lines
}

/// The header of a reply, then its records.
pub(super) fn reply_lines(reply: &DnsReply) -> Vec<String> {
    let mut header = match flags(&reply.flags).as_str() {
        "" => "no flags".to_owned(),
        set => format!("flags {set}"),
    };
    header.push_str(&format!("; id {}; {}", reply.id, units::size(reply.size_bytes.into())));
    if let Some(ttl) = reply.ip_ttl {
        header.push_str(&format!("; TTL {ttl}"));
    }
    header.push_str(&match &reply.edns {
        Some(edns) => format!("; {}", self::edns(edns)),
        None => "; no EDNS".to_owned(),
    });
    let mut lines = vec![header];
    for (section, records) in [("", &reply.answers), ("authority: ", &reply.authority), ("additional: ", &reply.additional)] {
        for record in records {
            lines.push(format!("{section}{} {} {} {}", record.name, record.ttl_s, record.record_type, record.data));
        }
    }
    lines
}

fn edns(edns: &Edns) -> String {
    let mut words = format!("EDNS {}, {} bytes{}", edns.version, edns.udp_size_bytes, if edns.dnssec_ok { ", DO" } else { "" });
    if let Some(nsid) = &edns.nsid {
        words.push_str(&format!(", instance {}", shortened(nsid, MAX_TEXT_CHARS)));
    }
    match edns.cookie {
        Some(cookie) if !cookie.client_matches => words.push_str(", a cookie that was not sent"),
        Some(cookie) if cookie.server_bytes > 0 => words.push_str(", cookie"),
        _ => {}
    }
    if let Some(subnet) = edns.client_subnet {
        let (address, source, scope) = (subnet.address, subnet.source_prefix, subnet.scope_prefix);
        words.push_str(&format!(", for {address}/{source}, good for /{scope}"));
    }
    words
}

/// Where the system looks for the name.
pub(super) fn sources(sources: &NameSources) -> String {
    let hosts = hosts(sources).unwrap_or_else(|| format!("{} has no line for it", sources.hosts_file));
    let mut line = format!("{}: {hosts}", sources.name);
    if !sources.order.is_empty() {
        line.push_str(&format!("; looked for in {}", sources.order.join(", ")));
    }
    if sources.tried.len() > 1 {
        line.push_str(&format!("; tried as {}", sources.tried.join(", ")));
    }
    line
}
