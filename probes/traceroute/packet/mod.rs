//! Echo requests with a chosen identifier and sequence number, and what comes back for them (RFC 792, RFC 4443).
//!
//! Whatever arrives on a raw socket may be crafted, so nothing here takes a length from a packet without checking it first: every
//! function is total over arbitrary bytes.

use netsonde_contract::failure::IcmpError;
use pnet::packet::icmp::echo_request::MutableEchoRequestPacket as MutableEchoRequestV4;
use pnet::packet::icmp::{self, IcmpPacket, IcmpTypes};
use pnet::packet::icmpv6::echo_request::MutableEchoRequestPacket as MutableEchoRequestV6;
use pnet::packet::icmpv6::{Icmpv6Packet, Icmpv6Types};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::Ipv4Packet;
use pnet::packet::ipv6::Ipv6Packet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The echo header: type, code, checksum, identifier, sequence number.
const ECHO_HEADER: usize = 8;
/// An IPv4 header without options.
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// Echo header and 32 bytes of payload, as traceroute programs send.
const REQUEST_BYTES: usize = ECHO_HEADER + 32;

/// An ICMP message about one of our echo requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) from: IpAddr,
    pub(super) identifier: u16,
    pub(super) sequence: u16,
    /// Where the request was going, and what became of it; none for an echo reply.
    pub(super) error: Option<(IpAddr, IcmpError)>,
}

/// An echo request to an address of the family of `target`. The first payload word makes up for the sequence number, so that all
/// requests have one checksum: routers that spread load by it send them all the same way. The kernel adds the ICMPv6 checksum.
pub(super) fn echo_request(target: IpAddr, identifier: u16, sequence: u16) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    if let Some(filler) = bytes.get_mut(ECHO_HEADER..ECHO_HEADER + 2) {
        filler.copy_from_slice(&(!sequence).to_be_bytes());
    }
    match target {
        IpAddr::V4(_) => {
            if let Some(mut request) = MutableEchoRequestV4::new(&mut bytes) {
                request.set_icmp_type(IcmpTypes::EchoRequest);
                request.set_identifier(identifier);
                request.set_sequence_number(sequence);
            }
            let checksum = IcmpPacket::new(&bytes).map_or(0, |packet| icmp::checksum(&packet));
            if let Some(mut request) = MutableEchoRequestV4::new(&mut bytes) {
                request.set_checksum(checksum);
            }
        }
        IpAddr::V6(_) => {
            if let Some(mut request) = MutableEchoRequestV6::new(&mut bytes) {
                request.set_icmpv6_type(Icmpv6Types::EchoRequest);
                request.set_identifier(identifier);
                request.set_sequence_number(sequence);
            }
        }
    }
    bytes
}

/// What a raw ICMP socket received: the IPv4 header and what follows it.
pub(super) fn parse_v4(packet: &[u8]) -> Option<Message> {
    let ip = Ipv4Packet::new(packet)?;
    if ip.get_version() != 4 || ip.get_next_level_protocol() != IpNextHeaderProtocols::Icmp {
        return None;
    }
    let from = IpAddr::V4(ip.get_source());
    let message = after_ipv4_header(packet)?;
    let icmp = IcmpPacket::new(message)?;
    let (kind, code) = (icmp.get_icmp_type(), icmp.get_icmp_code().0);
    let (about, error) = match kind {
        IcmpTypes::EchoReply => (message, None),
        IcmpTypes::DestinationUnreachable | IcmpTypes::TimeExceeded | IcmpTypes::ParameterProblem => {
            let (target, request) = quoted_v4(message.get(ECHO_HEADER..)?)?;
            (request, Some((IpAddr::V4(target), IcmpError { offender: from, kind: kind.0, code, mtu: None })))
        }
        _ => return None,
    };
    let (identifier, sequence) = echo_fields(about)?;
    Some(Message { from, identifier, sequence, error })
}

/// What a raw ICMPv6 socket received: the message alone; its sender comes with it.
pub(super) fn parse_v6(message: &[u8], from: Ipv6Addr) -> Option<Message> {
    let from = IpAddr::V6(from);
    let icmp = Icmpv6Packet::new(message)?;
    let (kind, code) = (icmp.get_icmpv6_type(), icmp.get_icmpv6_code().0);
    let (about, error) = match kind {
        Icmpv6Types::EchoReply => (message, None),
        Icmpv6Types::DestinationUnreachable
        | Icmpv6Types::PacketTooBig
        | Icmpv6Types::TimeExceeded
        | Icmpv6Types::ParameterProblem => {
            let (target, request) = quoted_v6(message.get(ECHO_HEADER..)?)?;
            (request, Some((IpAddr::V6(target), IcmpError { offender: from, kind: kind.0, code, mtu: None })))
        }
        _ => return None,
    };
    let (identifier, sequence) = echo_fields(about)?;
    Some(Message { from, identifier, sequence, error })
}

/// Destination and ICMP part of the request that an error quotes; nothing where it quotes something else.
fn quoted_v4(quoted: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let ip = Ipv4Packet::new(quoted)?;
    let request = after_ipv4_header(quoted)?;
    let is_ours = ip.get_next_level_protocol() == IpNextHeaderProtocols::Icmp
        && IcmpPacket::new(request)?.get_icmp_type() == IcmpTypes::EchoRequest;
    is_ours.then(|| (ip.get_destination(), request))
}

/// As [`quoted_v4`]. Our requests carry no extension headers, so a quoted one that does is not ours.
fn quoted_v6(quoted: &[u8]) -> Option<(Ipv6Addr, &[u8])> {
    let ip = Ipv6Packet::new(quoted)?;
    let request = quoted.get(IPV6_HEADER..)?;
    let is_ours = ip.get_next_header() == IpNextHeaderProtocols::Icmpv6
        && Icmpv6Packet::new(request)?.get_icmpv6_type() == Icmpv6Types::EchoRequest;
    is_ours.then(|| (ip.get_destination(), request))
}

fn after_ipv4_header(packet: &[u8]) -> Option<&[u8]> {
    let words = Ipv4Packet::new(packet)?.get_header_length();
    let length = usize::from(words) * 4;
    (length >= IPV4_HEADER).then(|| packet.get(length..)).flatten()
}

/// Identifier and sequence number, at the same place in requests and replies of both families.
fn echo_fields(message: &[u8]) -> Option<(u16, u16)> {
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    Some((word(4)?, word(6)?))
}

#[cfg(test)]
mod tests;
