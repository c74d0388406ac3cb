//! Fills the table in which a node's kernel tracks connections with entries that no packet belongs to, put there over ctnetlink.
//!
//! Linux counts them for each network namespace and holds each count against one limit, which only the whole machine can set. So the
//! table of one namespace is filled up to that limit, and nobody else's.

use anyhow::{Context, Result, bail};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, send, socket};
use std::fs;
use std::os::fd::AsRawFd;

const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
/// An entry takes some 320 bytes of the kernel; more than this are no test's to take.
const MOST: u32 = 2_000_000;
/// Messages sent at once: they stay below the socket's buffer.
const BATCH: u32 = 200;
/// Ports of one source that are used, from 1,024 on.
const PORTS: u32 = 60_000;
/// Long enough that none ends while it is looked at, in seconds.
const LIFE_S: u32 = 600;

/// Linux' numbers (linux/netlink.h, linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h, nf_conntrack_common.h).
const NEW_ENTRY: u16 = 1 << 8;
const REQUEST_CREATE_EXCLUSIVE: u16 = 0x1 | 0x400 | 0x200;
const AF_INET: u8 = 2;
const UDP: u8 = 17;
/// Both directions were seen, so that no newer entry takes its place (IPS_SEEN_REPLY, IPS_ASSURED, IPS_CONFIRMED).
const STANDING: u32 = 0x2 | 0x4 | 0x8;
const NESTED: u16 = 0x8000;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const TIMEOUT: u16 = 7;
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;

/// Fills the table of the namespace that this process is in.
///
/// # Errors
/// Where the table cannot be read or written, or is larger than a test may fill.
pub(crate) fn fill() -> Result<()> {
    let limit = figure(LIMIT)?;
    if limit > MOST {
        bail!("{LIMIT} is {limit}, and at most {MOST} entries are made: lower it on this machine");
    }
    let netfilter = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter);
    let netfilter = netfilter.context("opening a socket of netfilter")?;
    let mut number = 0;
    while number < limit {
        let until = limit.min(number + BATCH);
        let messages: Vec<u8> = (number..until).flat_map(entry).collect();
        send(netfilter.as_raw_fd(), &messages, MsgFlags::empty()).context("adding tracked connections")?;
        number = until;
    }
    let count = figure(COUNT)?;
    if count < limit {
        bail!("the table has {count} entries of {limit}: the kernel did not take them all");
    }
    Ok(())
}

fn figure(path: &str) -> Result<u32> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}: is nf_conntrack loaded?"))?;
    text.trim().parse().with_context(|| format!("reading {path}"))
}

/// One message that adds an entry: a conversation over UDP between addresses that are nobody's (RFC 2544, RFC 5737).
fn entry(number: u32) -> Vec<u8> {
    let [.., high, low] = (number / PORTS).to_be_bytes();
    let port = u16::try_from(1_024 + number % PORTS).unwrap_or_default();
    let (client, server) = ([198, 18, high, low], [192, 0, 2, 1]);
    let body = [
        vec![AF_INET, 0, 0, 0],
        tuple(TUPLE_ORIGINAL, (client, port), (server, 9)),
        tuple(TUPLE_REPLY, (server, 9), (client, port)),
        attribute(STATUS, &STANDING.to_be_bytes()),
        attribute(TIMEOUT, &LIFE_S.to_be_bytes()),
    ]
    .concat();
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend((16 + u32::try_from(body.len()).unwrap_or_default()).to_ne_bytes());
    message.extend(NEW_ENTRY.to_ne_bytes());
    message.extend(REQUEST_CREATE_EXCLUSIVE.to_ne_bytes());
    message.extend(number.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message
}

fn tuple(kind: u16, (from, from_port): ([u8; 4], u16), (to, to_port): ([u8; 4], u16)) -> Vec<u8> {
    let addresses = [attribute(1, &from), attribute(2, &to)].concat();
    let protocol = [attribute(1, &[UDP]), attribute(2, &from_port.to_be_bytes()), attribute(3, &to_port.to_be_bytes())].concat();
    let parts = [attribute(TUPLE_ADDRESSES | NESTED, &addresses), attribute(TUPLE_PROTOCOL | NESTED, &protocol)];
    attribute(kind | NESTED, &parts.concat())
}

/// Length, kind, and the value, filled up to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut attribute = Vec::with_capacity(length.next_multiple_of(4));
    attribute.extend(u16::try_from(length).unwrap_or_default().to_ne_bytes());
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(length.next_multiple_of(4), 0);
    attribute
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_entry_is_another_one_and_says_its_own_length() {
        let numbers = [0, 1, PORTS - 1, PORTS, PORTS + 1, 4 * PORTS, MOST];
        let entries: BTreeSet<Vec<u8>> = numbers.into_iter().map(|number| entry(number)[16..].to_vec()).collect();
        assert_eq!(entries.len(), numbers.len());
        let first = entry(7);
        assert_eq!(u32::from_ne_bytes(first[..4].try_into().unwrap()) as usize, first.len());
        assert_eq!(first.len() % 4, 0);
    }
}
