//! The packet filter in figures (linux/netfilter/nf_tables.h): tables, chains, how many rules drop or reject, and what their counters
//! say. Only questions are sent. The kernel answers them to administrators of the network only.

use super::host_linux::text;
use super::netlink::{Answer, Request, attributes};
use netsonde_contract::capability::HOST_FIREWALL;
use netsonde_contract::observation::{Chain, Firewall, FirewallTable};
use netsonde_contract::outcome::Note;
use std::io;

/// `nfgenmsg`: family, version, resource.
const HEADER: [u8; 4] = [0; 4];
/// The number of nf_tables among the packet filter's parts, and its questions and answers.
const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;

/// A machine with containers has some dozens of tables and thousands of chains; what is beyond is counted with nothing.
const MAX_TABLES: usize = 64;
const MAX_CHAINS: usize = 256;

const DROP: u32 = 0;

/// Tables of the older iptables, which the kernel lists apart.
const LEGACY: [(&str, &str); 2] = [("ip", "/proc/self/net/ip_tables_names"), ("ip6", "/proc/self/net/ip6_tables_names")];

/// Reads what the packet filter holds. Blocks.
pub(crate) fn firewall() -> Firewall {
    let legacy_tables = LEGACY.iter().flat_map(|(family, path)| {
        let names = std::fs::read_to_string(path).unwrap_or_default();
        names.lines().take(MAX_TABLES).map(|name| format!("{family} {name}")).collect::<Vec<_>>()
    });
    let legacy_tables = legacy_tables.collect();
    match tables() {
        Ok(tables) => Firewall { tables, legacy_tables, unread: None },
        Err(error) => Firewall { tables: Vec::new(), legacy_tables, unread: Some(unread(&error)) },
    }
}

/// The kernel does not let this process ask: in a container whose network is its host's, its own capabilities do not count.
pub(crate) fn refuses() -> bool {
    let asked = Request::new(GET_TABLE, true, &HEADER).into_netfilter().answers();
    asked.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn unread(error: &io::Error) -> Note {
    match error.kind() {
        io::ErrorKind::PermissionDenied => crate::capability::denied(&HOST_FIREWALL),
        _ => Note { why: format!("the packet filter did not answer: {error}"), grant: None },
    }
}

fn tables() -> io::Result<Vec<FirewallTable>> {
    let ask = |question| Request::new(question, true, &HEADER).into_netfilter().answers();
    let mut tables: Vec<FirewallTable> = Vec::new();
    for answer in ask(GET_TABLE)?.iter().filter(|answer| answer.kind == NEW_TABLE).take(MAX_TABLES) {
        if let (Some(name), Some(family)) = (attribute(answer, 1), answer.body.first()) {
            tables.push(FirewallTable { family: family_name(*family), name: text(name), chains: Vec::new() });
        }
    }
    for answer in ask(GET_CHAIN)?.iter().filter(|answer| answer.kind == NEW_CHAIN).take(MAX_CHAINS) {
        if let Some(table) = table_of(&mut tables, answer) {
            table.chains.push(chain(answer));
        }
    }
    for answer in ask(GET_RULE)?.iter().filter(|answer| answer.kind == NEW_RULE) {
        let named = attribute(answer, 2).map(text).unwrap_or_default();
        if let Some(chain) =
            table_of(&mut tables, answer).and_then(|table| table.chains.iter_mut().find(|chain| chain.name == named))
        {
            count(chain, attribute(answer, 4).unwrap_or_default());
        }
    }
    Ok(tables)
}

/// The table that an answer about a chain or rule names.
fn table_of<'t>(tables: &'t mut [FirewallTable], answer: &Answer) -> Option<&'t mut FirewallTable> {
    let (family, name) = (family_name(*answer.body.first()?), text(attribute(answer, 1)?));
    tables.iter_mut().find(|table| table.family == family && table.name == name)
}

pub(super) fn chain(answer: &Answer) -> Chain {
    let mut chain = Chain::default();
    let family = answer.body.first().copied().unwrap_or_default();
    for (kind, data) in answer.attributes(HEADER.len()) {
        match kind {
            3 => chain.name = text(data),
            4 => {
                let number = attributes(data).find(|(kind, _)| *kind == 1).and_then(|(_, data)| big_endian(data));
                chain.hook = number.map(|number| hook_name(family, number));
            }
            5 => chain.policy = big_endian(data).map(|code| if code == DROP { "drop" } else { "accept" }.to_owned()),
            _ => {}
        }
    }
    chain
}

/// Adds one rule, given as its list of expressions: what it does at its end, and what its counter counted.
pub(super) fn count(chain: &mut Chain, expressions: &[u8]) {
    chain.rules = chain.rules.saturating_add(1);
    let (mut packets, mut drops, mut rejects) = (0, false, false);
    for (_, expression) in attributes(expressions) {
        let part = |wanted| attributes(expression).find(|(kind, _)| *kind == wanted).map(|(_, data)| data);
        let data = part(2).unwrap_or_default();
        match part(1).map(text).unwrap_or_default().as_str() {
            "counter" => packets = nested(data, &[2]).and_then(long).unwrap_or_default(),
            "immediate" => drops |= nested(data, &[2, 2, 1]).and_then(big_endian) == Some(DROP),
            "reject" => rejects = true,
            // What the older iptables calls by its own name.
            "target" => rejects |= nested(data, &[1]).map(text).as_deref() == Some("REJECT"),
            _ => {}
        }
    }
    if drops {
        chain.drop_rules = chain.drop_rules.saturating_add(1);
        chain.dropped = chain.dropped.saturating_add(packets);
    }
    if rejects {
        chain.reject_rules = chain.reject_rules.saturating_add(1);
        chain.rejected = chain.rejected.saturating_add(packets);
    }
}

fn attribute(answer: &Answer, wanted: u16) -> Option<&[u8]> {
    answer.attributes(HEADER.len()).find(|(kind, _)| *kind == wanted).map(|(_, data)| data)
}

/// The attribute at the end of a way through nested ones.
fn nested<'d>(mut data: &'d [u8], way: &[u16]) -> Option<&'d [u8]> {
    for wanted in way {
        data = attributes(data).find(|(kind, _)| kind == wanted).map(|(_, data)| data)?;
    }
    Some(data)
}

/// Numbers of the packet filter are in network order.
fn big_endian(data: &[u8]) -> Option<u32> {
    data.get(..4)?.try_into().ok().map(u32::from_be_bytes)
}

fn long(data: &[u8]) -> Option<u64> {
    data.get(..8)?.try_into().ok().map(u64::from_be_bytes)
}

fn family_name(family: u8) -> String {
    let name = match family {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        other => return other.to_string(),
    };
    name.to_owned()
}

/// `netdev` has hooks of its own.
fn hook_name(family: u8, hook: u32) -> String {
    let name = match (family, hook) {
        (5, 0) => "ingress",
        (5, 1) => "egress",
        (_, 0) => "prerouting",
        (_, 1) => "input",
        (_, 2) => "forward",
        (_, 3) => "output",
        (_, 4) => "postrouting",
        (_, other) => return other.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(data.len() + 4).unwrap().to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn expression(name: &str, data: &[u8]) -> Vec<u8> {
        let inner = [attribute(1, &[name.as_bytes(), b"\0"].concat()), attribute(2, data)].concat();
        attribute(1, &inner)
    }

    fn verdict(code: u32) -> Vec<u8> {
        expression("immediate", &attribute(2, &attribute(2, &attribute(1, &code.to_be_bytes()))))
    }

    #[test]
    fn rules_that_drop_or_reject_are_counted_with_their_packets() {
        let counter = |packets: u64| {
            expression("counter", &[attribute(1, &0_u64.to_be_bytes()), attribute(2, &packets.to_be_bytes())].concat())
        };
        let mut chain = Chain::default();
        count(&mut chain, &[counter(7), verdict(DROP)].concat());
        count(&mut chain, &[counter(5), expression("reject", &[])].concat());
        count(&mut chain, &[counter(9), verdict(1)].concat());
        count(&mut chain, &verdict(DROP));
        assert_eq!((chain.rules, chain.drop_rules, chain.dropped), (4, 2, 7));
        assert_eq!((chain.reject_rules, chain.rejected), (1, 5));
    }

    #[test]
    fn without_the_right_the_firewall_says_what_would_grant_it() {
        let note = unread(&io::ErrorKind::PermissionDenied.into());
        assert!(note.grant.is_some());
        let found = firewall();
        assert!(found.unread.is_none_or(|note| note.grant.is_some()), "either it is read, or the right is named");
    }
}
