//! Raw packets: what goes out, and what comes back (RFC 792, RFC 4443): echo replies, errors with all that they quote, and segments.
//!
//! Whatever arrives on a raw socket may be crafted, so nothing here takes a length from a packet without checking it first: every
//! function is total over arbitrary bytes.

/// Probes to bytes.
pub(crate) mod craft;
/// Echo requests by the system's own interface.
#[cfg(windows)]
pub(crate) mod echo_asking;
/// What that interface says, as ICMP.
#[cfg(any(windows, test))]
pub(crate) mod echo_status;
/// What errors carry behind their quote.
pub(crate) mod extension;
/// TCP segments of the target.
pub(crate) mod segment;
/// A connection whose segments are crafted.
pub(crate) mod session;
/// Raw sockets.
pub(crate) mod socket;

use netsonde_contract::failure::IcmpError;
use netsonde_contract::observation::MplsLabel;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Type, code, checksum, and four bytes that depend on the type.
const ICMP_HEADER: usize = 8;
/// An IPv4 header without options.
pub(crate) const IPV4_HEADER: usize = 20;
pub(crate) const IPV6_HEADER: usize = 40;
/// Protocol numbers (IANA).
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

/// An ICMP message that may be about a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) from: IpAddr,
    /// TTL or hop limit that was left; for IPv6 the socket tells it.
    pub(crate) ttl: Option<u8>,
    pub(crate) body: Body<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    EchoReply { identifier: u16, sequence: u16 },
    Error { icmp: IcmpError, quote: Quote<'a>, labels: Vec<MplsLabel> },
}

impl Message<'_> {
    /// The sequence number of the echo request with this identifier to this target that the message answers, or that an error is about.
    pub(crate) fn request(&self, target: IpAddr, identifier: u16) -> Option<u16> {
        match &self.body {
            Body::EchoReply { identifier: answered, sequence } => {
                (*answered == identifier && self.from == target).then_some(*sequence)
            }
            Body::Error { quote, .. } => {
                let is_request =
                    quote.protocol == craft::echo_protocol(target) && matches!(quote.transport.first(), Some(8 | 128));
                let is_ours = quote.destination == target && word(quote.transport, 4) == Some(identifier);
                word(quote.transport, 6).filter(|_| is_request && is_ours)
            }
        }
    }
}

/// A probe's headers as a router got them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quote<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    /// IPv4 only.
    pub(crate) identification: Option<u16>,
    /// Whatever is quoted behind the IP header, padding and extensions included.
    pub(crate) transport: &'a [u8],
}

/// What a socket for ICMP messages received from this address: with its IPv4 header, or without any where it is of IPv6.
pub(crate) fn parse(bytes: &[u8], from: IpAddr) -> Option<Message<'_>> {
    match from {
        IpAddr::V4(_) => parse_v4(bytes),
        IpAddr::V6(from) => parse_v6(bytes, from),
    }
}

/// What a raw ICMP socket received, on macOS a datagram one as well: the IPv4 header and what follows it. How long the header says that the packet is,
/// nobody reads: macOS writes it in the machine's own byte order and takes the header's length off it (icmp(4) and ip(4) there).
pub(crate) fn parse_v4(packet: &[u8]) -> Option<Message<'_>> {
    let outer = quote_v4(packet)?;
    if outer.protocol != ICMP {
        return None;
    }
    let message = outer.transport;
    let (kind, code) = (*message.first()?, *message.get(1)?);
    let body = match kind {
        0 => echo_reply(message)?,
        3 | 11 | 12 => {
            let mtu = (kind == 3 && code == 4).then(|| word(message, 6)).flatten().map(u32::from).filter(|mtu| *mtu > 0);
            let quoted = message.get(ICMP_HEADER..)?;
            let labels = extension::labels_of(quoted, usize::from(*message.get(5)?) * 4);
            let icmp = IcmpError { offender: outer.source, kind, code, mtu };
            Body::Error { icmp, quote: quote_v4(quoted)?, labels }
        }
        _ => return None,
    };
    Some(Message { from: outer.source, ttl: Some(outer.ttl), body })
}

/// What a raw ICMPv6 socket received: the message alone; its sender comes with it.
pub(crate) fn parse_v6(message: &[u8], from: Ipv6Addr) -> Option<Message<'_>> {
    let from = IpAddr::V6(from);
    let (kind, code) = (*message.first()?, *message.get(1)?);
    let body = match kind {
        129 => echo_reply(message)?,
        1..=4 => {
            let number = || Some(u32::from(word(message, 4)?) << 16 | u32::from(word(message, 6)?));
            let mtu = (kind == 2).then(number).flatten();
            let quoted = message.get(ICMP_HEADER..)?;
            // Of these only unreachable and time exceeded have extensions (RFC 4884 section 4).
            let length = if matches!(kind, 1 | 3) { usize::from(*message.get(4)?) * 8 } else { quoted.len() };
            let labels = extension::labels_of(quoted, length);
            Body::Error { icmp: IcmpError { offender: from, kind, code, mtu }, quote: quote_v6(quoted)?, labels }
        }
        _ => return None,
    };
    Some(Message { from, ttl: None, body })
}

fn echo_reply(message: &[u8]) -> Option<Body<'_>> {
    Some(Body::EchoReply { identifier: word(message, 4)?, sequence: word(message, 6)? })
}

/// By the header's own length, and by what was received.
fn quote_v4(packet: &[u8]) -> Option<Quote<'_>> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    if packet.first()? >> 4 != 4 || length < IPV4_HEADER {
        return None;
    }
    let address = |at: usize| Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?)));
    Some(Quote {
        source: address(12)?,
        destination: address(16)?,
        protocol: *packet.get(9)?,
        ttl: *packet.get(8)?,
        traffic_class: *packet.get(1)?,
        identification: word(packet, 4),
        transport: packet.get(length..)?,
    })
}

/// Our probes carry no extension headers, so a quoted one that does is not ours.
fn quote_v6(packet: &[u8]) -> Option<Quote<'_>> {
    if packet.first()? >> 4 != 6 {
        return None;
    }
    let address = |at: usize| Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?)));
    Some(Quote {
        source: address(8)?,
        destination: address(24)?,
        protocol: *packet.get(6)?,
        ttl: *packet.get(7)?,
        traffic_class: packet.first()? << 4 | packet.get(1)? >> 4,
        identification: None,
        transport: packet.get(IPV6_HEADER..)?,
    })
}

/// Two bytes of a packet as a number.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

#[cfg(test)]
mod tests;
