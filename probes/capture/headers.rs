//! What of an IP packet says where it belongs, and how much of it is headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The fields of a packet's headers that tell its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) transport: Transport,
    /// Bytes from the beginning of the packet to the end of its headers. What comes after is payload.
    pub(super) length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp {
        source: u16,
        destination: u16,
    },
    Udp {
        source: u16,
        destination: u16,
    },
    /// An echo request or reply, by its identifier.
    Echo {
        identifier: u16,
    },
    /// An ICMP error: where the packet that it quotes begins.
    IcmpError {
        quoted_at: usize,
    },
    Other,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;
/// Extension headers in a row: more than any stack sends, and a bound on what a crafted packet costs.
const MAX_EXTENSIONS: usize = 8;
/// Before the quoted packet (RFC 792, RFC 4443 section 3).
const ICMP_HEADER: usize = 8;

/// Reads a packet that begins with its IP header; none where it is no whole header. Lengths within the packet are never believed
/// beyond its end.
pub(super) fn read(packet: &[u8]) -> Option<Headers> {
    match packet.first()? >> 4 {
        4 => read_v4(packet),
        6 => read_v6(packet),
        _ => None,
    }
}

fn read_v4(packet: &[u8]) -> Option<Headers> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    if header < 20 || packet.len() < header {
        return None;
    }
    let address = |at: usize| Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?)));
    let (source, destination) = (address(12)?, address(16)?);
    let offset = u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff;
    let (transport, length) = transport(packet, packet[9], header, offset == 0);
    Some(Headers { source, destination, transport, length })
}

fn read_v6(packet: &[u8]) -> Option<Headers> {
    let address = |at: usize| Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?)));
    let (source, destination) = (address(8)?, address(24)?);
    let (mut next, mut at, mut first) = (packet[6], 40, true);
    for _ in 0..MAX_EXTENSIONS {
        let Some(extension) = packet.get(at..at + 8) else { break };
        let length = match next {
            // Hop-by-hop, routing and destination options (RFC 8200 section 4).
            0 | 43 | 60 => 8 + usize::from(extension[1]) * 8,
            44 => {
                first = u16::from_be_bytes([extension[2], extension[3]]) & 0xfff8 == 0;
                8
            }
            _ => break,
        };
        (next, at) = (extension[0], at + length);
    }
    let (transport, length) = transport(packet, next, at.min(packet.len()), first);
    Some(Headers { source, destination, transport, length })
}

/// The transport header at `at`, and where the headers end. A fragment after the first has none.
fn transport(packet: &[u8], protocol: u8, at: usize, first: bool) -> (Transport, usize) {
    let rest = packet.get(at..).unwrap_or_default();
    let port = |place: usize| u16::from_be_bytes([rest[place], rest[place + 1]]);
    let within = |length: usize| (at + length).min(packet.len());
    match protocol {
        _ if !first => (Transport::Other, at),
        TCP if rest.len() >= 4 => {
            let header = rest.get(12).map_or(20, |byte| usize::from(byte >> 4) * 4).max(20);
            (Transport::Tcp { source: port(0), destination: port(2) }, within(header))
        }
        UDP if rest.len() >= 4 => (Transport::Udp { source: port(0), destination: port(2) }, within(8)),
        ICMP | ICMP_V6 if rest.len() >= ICMP_HEADER => {
            let is_echo = matches!((protocol, rest[0]), (ICMP, 0 | 8) | (ICMP_V6, 128 | 129));
            let is_error = matches!((protocol, rest[0]), (ICMP, 3 | 4 | 5 | 11 | 12) | (ICMP_V6, 1..=4));
            match (is_echo, is_error) {
                (true, _) => (Transport::Echo { identifier: port(4) }, within(ICMP_HEADER)),
                (_, true) => {
                    let quoted_at = at + ICMP_HEADER;
                    let quoted = quoted_headers(packet.get(quoted_at..).unwrap_or_default());
                    (Transport::IcmpError { quoted_at }, within(ICMP_HEADER + quoted))
                }
                _ => (Transport::Other, within(ICMP_HEADER)),
            }
        }
        _ => (Transport::Other, at),
    }
}

/// How much of a quoted packet is headers. An error within an error is not followed.
fn quoted_headers(quoted: &[u8]) -> usize {
    let is_icmp = match quoted.first().map(|byte| byte >> 4) {
        Some(4) => quoted.get(9) == Some(&ICMP),
        _ => quoted.get(6) == Some(&ICMP_V6),
    };
    if is_icmp {
        let header = if quoted.first().is_some_and(|byte| byte >> 4 == 4) { 20 } else { 40 };
        return (header + ICMP_HEADER).min(quoted.len());
    }
    read(quoted).map_or(0, |headers| headers.length)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An IPv4 packet of the protocol, from 10.0.0.1 to 10.0.0.2.
    pub(in crate::capture) fn v4(protocol: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend_from_slice(rest);
        packet
    }

    #[test]
    fn no_byte_of_a_payload_counts_as_a_header() {
        let mut tcp = vec![0; 32];
        (tcp[1], tcp[3], tcp[12]) = (80, 81, 8 << 4);
        tcp.extend_from_slice(b"secret");
        let headers = read(&v4(TCP, &tcp)).unwrap();
        assert_eq!((headers.transport, headers.length), (Transport::Tcp { source: 80, destination: 81 }, 20 + 32));
        let mut udp = vec![0, 53, 0, 54, 0, 0, 0, 0];
        udp.extend_from_slice(b"secret");
        assert_eq!(read(&v4(UDP, &udp)).unwrap().length, 28);
        // The error quotes the whole of what was dropped.
        let mut error = vec![11, 0, 0, 0, 0, 0, 0, 0];
        error.extend(v4(UDP, &udp));
        let headers = read(&v4(ICMP, &error)).unwrap();
        assert_eq!((headers.transport, headers.length), (Transport::IcmpError { quoted_at: 28 }, 20 + 8 + 28));
    }

    #[test]
    fn extension_headers_are_walked_and_later_fragments_have_no_ports() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, 44, 64];
        packet.extend([0; 32]);
        packet.extend([UDP, 0, 0, 0, 0, 0, 0, 7, 0, 53, 0, 54, 0, 0, 0, 0, 9]);
        let headers = read(&packet).unwrap();
        assert_eq!((headers.transport, headers.length), (Transport::Udp { source: 53, destination: 54 }, 56));
        packet[43] = 8;
        assert_eq!(read(&packet).unwrap().transport, Transport::Other);
    }

    proptest! {
        #[test]
        fn no_packet_reads_beyond_its_end(first in prop_oneof![Just(0x45_u8), Just(0x60), Just(0x4f), any::<u8>()], mut packet in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(byte) = packet.first_mut() {
                *byte = first;
            }
            if let Some(headers) = read(&packet) {
                prop_assert!(headers.length <= packet.len());
            }
        }
    }
}
