use super::{delegation, dnssec, failure, of, tls};
use crate::clean::shortened;
use crate::units;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::observation::{
    DnsFlags, DnsReply, Edns, Fact, Lookup, LookupSource, NameSources, OtherMessage, Purpose, QueryReason, SentQuery, Transport,
};
use netsonde_contract::outcome::Outcome;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The standard port, left out where a server is shown.
const DNS_PORT: u16 = 53;

/// Longest extra text of an extended error shown; a server may send kilobytes.
const MAX_TEXT_CHARS: usize = 160;

/// Records of one type shown in a check's line: more than most names have, and few enough to read.
const MAX_RECORDS_SHOWN: usize = 5;

/// Hexadecimal digits of an IPv6 address.
const NIBBLES: usize = 32;

/// Name and addresses, who gave them, and what each server that did not give a good reply said instead.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let all = of(outcome, |fact| if let Fact::Lookup(lookup) = fact { Some(lookup) } else { None });
    let lookups: Vec<&Lookup> = all.iter().copied().filter(|lookup| lookup.purpose.is_question()).collect();
    let Some(name) = lookups.first().map(|lookup| lookup.name.as_str()) else { return String::new() };
    let mut parts = answers(name, &lookups);
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
    parts.extend(all.iter().filter(|lookup| lookup.purpose == Purpose::Reverse).map(|lookup| named_back(lookup)));
    parts.extend(all.iter().filter(|lookup| compares(lookup.purpose)).map(|lookup| compared(lookup, &lookups)));
    parts.extend(delegation::outcome(outcome));
    let chains = of(outcome, |fact| if let Fact::DnssecChain(chain) = fact { Some(&**chain) } else { None });
    parts.extend(chains.into_iter().map(dnssec::line));
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

fn compared(lookup: &Lookup, questions: &[&Lookup]) -> String {
    let differs = differs(lookup, questions).unwrap_or_default();
    format!("{} {}, {}: {}{differs}", lookup.record_type, purpose(lookup.purpose), source(&lookup.source), verdict(lookup))
}

/// What the control server says of the same question, where both sides gave addresses.
fn differs(lookup: &Lookup, questions: &[&Lookup]) -> Option<String> {
    let same_question = |other: &&&Lookup| other.record_type == lookup.record_type && other.name == lookup.name;
    let own: Vec<_> = questions.iter().filter(same_question).flat_map(|other| &other.addresses).collect();
    if lookup.purpose != Purpose::Control || own.is_empty() || lookup.addresses.is_empty() {
        return None;
    }
    let others: Vec<String> = lookup.addresses.iter().filter(|address| !own.contains(address)).map(ToString::to_string).collect();
    Some(if others.is_empty() { ", the same".to_owned() } else { format!(", which differs: {}", others.join(", ")) })
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

/// The name's addresses where they were asked for, then the records of every other type.
fn answers(name: &str, lookups: &[&Lookup]) -> Vec<String> {
    let is_address = |lookup: &&&Lookup| matches!(lookup.record_type.as_str(), "A" | "AAAA" | "ADDRESS");
    let for_addresses: Vec<&Lookup> = lookups.iter().filter(is_address).copied().collect();
    let others: Vec<&Lookup> = lookups.iter().filter(|lookup| !is_address(lookup)).copied().collect();
    let mut types: Vec<&str> = Vec::new();
    for lookup in &others {
        if !types.contains(&lookup.record_type.as_str()) {
            types.push(&lookup.record_type);
        }
    }
    let mut parts: Vec<String> = (!for_addresses.is_empty()).then(|| answer(name, &for_addresses)).into_iter().collect();
    let subject = if parts.is_empty() { named_by_address(name).unwrap_or_else(|| name.to_owned()) + " " } else { String::new() };
    let each = types.into_iter().enumerate().map(|(at, record_type)| {
        let asked: Vec<&Lookup> = others.iter().filter(|lookup| lookup.record_type == record_type).copied().collect();
        format!("{}{}", if at == 0 { subject.as_str() } else { "" }, records(record_type, &asked))
    });
    parts.extend(each);
    parts
}

/// `MX 10 mail.example., 20 spare.example.`, or why there is none.
fn records(record_type: &str, asked: &[&Lookup]) -> String {
    let of_type = |lookup: &&Lookup| {
        let records = lookup.reply.iter().flat_map(|reply| &reply.answers);
        let mut data: Vec<String> =
            records.filter(|record| record.record_type == record_type).map(|record| record.data.clone()).collect();
        data.sort();
        data
    };
    let given: Vec<Vec<String>> = asked.iter().map(of_type).filter(|data| !data.is_empty()).collect();
    let Some(first) = given.first() else {
        return match asked.iter().find(|lookup| lookup.is_answered()) {
            Some(lookup) if lookup.reply.as_ref().is_some_and(|reply| reply.rcode_number == 0) => {
                format!("no {record_type} record")
            }
            Some(_) => format!("{record_type}: no such name"),
            None => format!("no answer for {record_type}"),
        };
    };
    let more = first.len().saturating_sub(MAX_RECORDS_SHOWN);
    let shown: Vec<String> =
        first.iter().take(MAX_RECORDS_SHOWN).map(|data| shortened(data, MAX_TEXT_CHARS).into_owned()).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let differ = if given.iter().any(|data| data != first) { " (another server says otherwise)" } else { "" };
    format!("{record_type} {}{more}{differ}", shown.join(", "))
}

/// `192.0.2.1 is called shop.example.`
fn named_back(lookup: &Lookup) -> String {
    let address = named_by_address(&lookup.name).unwrap_or_else(|| lookup.name.clone());
    let names = lookup.reply.iter().flat_map(|reply| &reply.answers).filter(|record| record.record_type == "PTR");
    let names: Vec<String> =
        names.take(MAX_RECORDS_SHOWN).map(|record| shortened(&record.data, MAX_TEXT_CHARS).into_owned()).collect();
    if names.is_empty() {
        format!("{address} has no name of its own")
    } else {
        format!("{address} is called {}", names.join(", "))
    }
}

/// The address that a name in the reverse tree stands for (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn named_by_address(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let labels: Vec<&str> = labels.split('.').rev().collect();
        return labels.join(".").parse::<Ipv4Addr>().ok().map(|address| address.to_string());
    }
    let nibbles: String = name.strip_suffix(".ip6.arpa")?.split('.').rev().collect();
    let number = u128::from_str_radix(&nibbles, 16).ok().filter(|_| nibbles.len() == NIBBLES)?;
    Some(Ipv6Addr::from(number).to_string())
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
    lookup.failure.is_none() && lookup.is_vouched_for() && lookup.reply.as_ref().is_none_or(|reply| reply.rcode == "NOERROR")
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
        let unusable =
            lookup.others.iter().find(|other| !other.second_reply).filter(|_| found.code == FailureCode::ProtocolError);
        return match unusable {
            Some(other) => format!("no reply that can be used: {}", shortened(&other.why, MAX_TEXT_CHARS)),
            None => failure::short(found),
        };
    }
    let Some(reply) = &lookup.reply else {
        return match lookup.addresses.len() {
            0 => "no address".to_owned(),
            count => units::counted(count, "address", "addresses"),
        };
    };
    let doubt = match &lookup.tls {
        Some(shown) if !lookup.is_vouched_for() => match shown.deciding_verdict().filter(|verdict| !verdict.trusted) {
            Some(verdict) => format!(", with a certificate that is {}", tls::trust(verdict)),
            None => ", with a certificate for another name".to_owned(),
        },
        _ => String::new(),
    };
    verdict_of(reply) + &doubt
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
