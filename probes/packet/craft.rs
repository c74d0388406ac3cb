//! Probes to bytes, with what routers hash kept constant within a flow, and what tells the probes apart in fields that they do not.

use super::{ICMP, ICMPV6, IPV4_HEADER, TCP, UDP};
use std::net::IpAddr;

/// Headers of the transport.
const ECHO_HEADER: usize = 8;
const UDP_HEADER: usize = 8;
pub(crate) const TCP_HEADER: usize = 20;
/// With the option of time stamps, padded (RFC 7323 appendix A).
pub(crate) const TCP_HEADER_TIMED: usize = 32;
/// As traceroute programs send.
pub(crate) const PAYLOAD: usize = 32;

/// Source and destination of a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) source: IpAddr,
    pub(crate) target: IpAddr,
}

/// An echo request. The filler makes up for the sequence number, so that all requests of a flow have one checksum and each flow
/// another: routers that spread load by it send a flow one way.
pub(crate) fn echo_request(target: IpAddr, identifier: u16, sequence: u16, flow: u16, size: usize) -> Vec<u8> {
    let mut payload = vec![0; size.max(PAYLOAD)];
    put(&mut payload, 0, !sequence);
    put(&mut payload, 2, flow);
    echo(target, identifier, sequence, &payload)
}

/// An echo request with this payload. The kernel adds the ICMPv6 checksum.
pub(crate) fn echo(target: IpAddr, identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; ECHO_HEADER];
    bytes[0] = if target.is_ipv4() { 8 } else { 128 };
    put(&mut bytes, 4, identifier);
    put(&mut bytes, 6, sequence);
    bytes.extend(payload);
    if target.is_ipv4() {
        let sum = pnet::util::checksum(&bytes, 1);
        put(&mut bytes, 2, sum);
    }
    bytes
}

/// A datagram whose checksum is `mark`: its payload begins with what makes it so, and then with the mark again.
pub(crate) fn datagram(ends: Ends, ports: (u16, u16), mark: u16, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; UDP_HEADER + size.max(PAYLOAD)];
    put(&mut bytes, 0, ports.0);
    put(&mut bytes, 2, ports.1);
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    put(&mut bytes, 4, length);
    put(&mut bytes, 10, mark);
    let sum = !checksum(ends, UDP, &bytes, 3);
    let filler = fold(u32::from(!mark) + u32::from(!sum));
    put(&mut bytes, 8, filler);
    put(&mut bytes, 6, mark);
    bytes
}

/// What a segment carries beside its ports.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SegmentFields {
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) flags: u8,
    pub(crate) timestamps: Option<(u32, u32)>,
    /// Bytes of data, all zero.
    pub(crate) data_bytes: usize,
}

pub(crate) fn segment(ends: Ends, ports: (u16, u16), fields: SegmentFields) -> Vec<u8> {
    const WINDOW: u16 = 64_240;
    let header = if fields.timestamps.is_some() { TCP_HEADER_TIMED } else { TCP_HEADER };
    let mut bytes = vec![0; header + fields.data_bytes];
    put(&mut bytes, 0, ports.0);
    put(&mut bytes, 2, ports.1);
    bytes[4..8].copy_from_slice(&fields.sequence.to_be_bytes());
    bytes[8..12].copy_from_slice(&fields.acknowledgment.to_be_bytes());
    bytes[12] = u8::try_from(header / 4).unwrap_or(0) << 4;
    bytes[13] = fields.flags;
    put(&mut bytes, 14, WINDOW);
    if let Some((own, echoed)) = fields.timestamps {
        bytes[20..24].copy_from_slice(&[1, 1, 8, 10]);
        bytes[24..28].copy_from_slice(&own.to_be_bytes());
        bytes[28..32].copy_from_slice(&echoed.to_be_bytes());
    }
    let sum = checksum(ends, TCP, &bytes, 8);
    put(&mut bytes, 16, sum);
    bytes
}

/// How an IPv4 packet travels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Travel {
    pub(crate) ttl: u8,
    pub(crate) traffic_class: u8,
    pub(crate) identification: u16,
}

/// The transport's bytes behind an IPv4 header that forbids cutting. The kernel fills in length and checksum. None for IPv6.
pub(crate) fn ipv4(ends: Ends, protocol: u8, travel: Travel, transport: &[u8]) -> Option<Vec<u8>> {
    const DONT_FRAGMENT: u16 = 0x4000;
    let (IpAddr::V4(source), IpAddr::V4(target)) = (ends.source, ends.target) else { return None };
    let mut bytes = vec![0; IPV4_HEADER];
    bytes[0] = 0x45;
    bytes[1] = travel.traffic_class;
    put(&mut bytes, 2, u16::try_from(IPV4_HEADER + transport.len()).ok()?);
    put(&mut bytes, 4, travel.identification);
    put(&mut bytes, 6, DONT_FRAGMENT);
    bytes[8] = travel.ttl;
    bytes[9] = protocol;
    bytes[12..16].copy_from_slice(&source.octets());
    bytes[16..20].copy_from_slice(&target.octets());
    bytes.extend(transport);
    Some(bytes)
}

/// The protocol number of echo requests.
pub(crate) fn echo_protocol(target: IpAddr) -> u8 {
    if target.is_ipv4() { ICMP } else { ICMPV6 }
}

fn checksum(ends: Ends, protocol: u8, bytes: &[u8], skipped_word: usize) -> u16 {
    use pnet::packet::ip::IpNextHeaderProtocol;
    let protocol = IpNextHeaderProtocol::new(protocol);
    match (ends.source, ends.target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            pnet::util::ipv4_checksum(bytes, skipped_word, &[], &source, &target, protocol)
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            pnet::util::ipv6_checksum(bytes, skipped_word, &[], &source, &target, protocol)
        }
        _ => 0,
    }
}

/// A sum in ones' complement.
fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

fn put(bytes: &mut [u8], at: usize, word: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}
