//! Echo requests that can be told from all others, and what comes back for them (RFC 792, RFC 4443).
//!
//! The payload begins with a random number of this engine, the target's place and the sequence number, so that a reply from another
//! address is still known, and a changed payload is noticed. Whatever arrives may be crafted: every function is total over arbitrary
//! bytes.

use netsonde_contract::failure::IcmpError;
use pnet::util::checksum;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Type, code, checksum, identifier, sequence number.
pub(super) const ECHO_HEADER: usize = 8;
/// What identifies a request: the engine's number, the target's place, the sequence number.
const COOKIE: usize = 14;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const FRAGMENT_HEADER: usize = 8;
const PROTOCOL_ICMP: u8 = 1;
const NEXT_HEADER_FRAGMENT: u8 = 44;
const NEXT_HEADER_ICMPV6: u8 = 58;

/// What all requests of one engine have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) identifier: u16,
    /// Random: requests of other programs have none.
    pub(super) nonce: [u8; 8],
    /// Payload bytes of each request.
    pub(super) size: usize,
}

/// A message about one of our requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The request's sequence number.
    pub(super) sequence: u16,
    pub(super) ttl: Option<u8>,
    pub(super) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Reply {
        from: IpAddr,
        /// The target's place, where the payload still tells it.
        place: Option<u32>,
        /// Checksum and payload are as they were sent.
        intact: bool,
    },
    Error {
        /// Where the request was going.
        target: IpAddr,
        icmp: IcmpError,
    },
}

impl Signature {
    /// A whole request. The kernel adds the ICMPv6 checksum, and a ping socket its identifier and checksum.
    pub(super) fn request(&self, is_v4: bool, place: u32, sequence: u16) -> Vec<u8> {
        let mut bytes = vec![if is_v4 { 8 } else { 128 }, 0, 0, 0];
        bytes.extend(self.identifier.to_be_bytes());
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(self.nonce);
        bytes.extend(place.to_be_bytes());
        bytes.extend(sequence.to_be_bytes());
        bytes.extend((COOKIE..self.size).map(filler));
        if is_v4 {
            let sum = checksum(&bytes, 1).to_be_bytes();
            bytes[2..4].copy_from_slice(&sum);
        }
        bytes
    }

    /// What a raw IPv4 socket received: the IPv4 header and what follows it.
    pub(super) fn parse_raw_v4(&self, packet: &[u8]) -> Option<Message> {
        let (header, message) = split_v4(packet)?;
        let from = Ipv4Addr::from(<[u8; 4]>::try_from(header.get(12..16)?).ok()?);
        let mut parsed = self.parse(message, from.into(), true)?;
        parsed.ttl = header.get(8).copied();
        Some(parsed)
    }

    /// An ICMP message without its IP header, as every other socket gives it.
    pub(super) fn parse(&self, message: &[u8], from: IpAddr, is_raw: bool) -> Option<Message> {
        let (kind, code) = (*message.first()?, *message.get(1)?);
        let identifier = word(message, 4)?;
        match (from, kind) {
            (IpAddr::V4(_), 0) | (IpAddr::V6(_), 129) => {
                if identifier != self.identifier {
                    return None;
                }
                // The kernel checks the sum for every other socket.
                let sum_fits = !(is_raw && from.is_ipv4()) || checksum(message, 1) == word(message, 2)?;
                let payload = message.get(ECHO_HEADER..)?;
                let sequence = word(message, 6)?;
                let place = self.place(payload, sequence);
                let unchanged = || {
                    payload.len() == self.size && payload.iter().enumerate().skip(COOKIE).all(|(at, byte)| *byte == filler(at))
                };
                let intact = sum_fits && place.is_some() && unchanged();
                Some(Message { sequence, ttl: None, content: Content::Reply { from, place, intact } })
            }
            (IpAddr::V4(_), 3 | 11 | 12) | (IpAddr::V6(_), 1..=4) => {
                let quoted = message.get(ECHO_HEADER..)?;
                let (target, request) = if from.is_ipv4() { quoted_v4(quoted)? } else { quoted_v6(quoted)? };
                let mtu = match (from, kind, code) {
                    (IpAddr::V4(_), 3, 4) => Some(word(message, 6)?.into()),
                    (IpAddr::V6(_), 2, _) => Some(u32::from_be_bytes(message.get(4..8)?.try_into().ok()?)),
                    _ => None,
                };
                let icmp = IcmpError { offender: from, kind, code, mtu };
                (word(request, 4)? == self.identifier).then_some(Message {
                    sequence: word(request, 6)?,
                    ttl: None,
                    content: Content::Error { target, icmp },
                })
            }
            _ => None,
        }
    }

    /// The target's place in a payload that is ours.
    fn place(&self, payload: &[u8], sequence: u16) -> Option<u32> {
        let place = u32::from_be_bytes(payload.get(8..12)?.try_into().ok()?);
        (payload.starts_with(&self.nonce) && word(payload, 12) == Some(sequence)).then_some(place)
    }
}

/// Sequence number of the request that an error on a ping socket's queue quotes: the kernel gives its ICMP header.
pub(super) fn queued_sequence(quoted: &[u8]) -> Option<u16> {
    word(quoted, 6)
}

/// All byte values in turn, so that a fault of single bits or places shows.
fn filler(at: usize) -> u8 {
    (at % 251) as u8
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn split_v4(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *packet.first()?;
    let length = usize::from(first & 0x0f) * 4;
    let fits = first >> 4 == 4 && length >= IPV4_HEADER && *packet.get(9)? == PROTOCOL_ICMP;
    fits.then(|| packet.split_at_checked(length)).flatten()
}

fn quoted_v4(quoted: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (header, request) = split_v4(quoted)?;
    let target = Ipv4Addr::from(<[u8; 4]>::try_from(header.get(16..20)?).ok()?);
    (request.first() == Some(&8)).then_some((target.into(), request))
}

/// As [`quoted_v4`]; a request larger than the MTU goes in fragments, of which the first is quoted.
fn quoted_v6(quoted: &[u8]) -> Option<(IpAddr, &[u8])> {
    let target = Ipv6Addr::from(<[u8; 16]>::try_from(quoted.get(24..40)?).ok()?);
    let (next, behind) = (*quoted.get(6)?, quoted.get(IPV6_HEADER..)?);
    let request = match next {
        NEXT_HEADER_ICMPV6 => behind,
        NEXT_HEADER_FRAGMENT if behind.first() == Some(&NEXT_HEADER_ICMPV6) && word(behind, 2)? & 0xfff8 == 0 => {
            behind.get(FRAGMENT_HEADER..)?
        }
        _ => return None,
    };
    (quoted.first()? >> 4 == 6 && request.first() == Some(&128)).then_some((target.into(), request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: Signature = Signature { identifier: 0x4e53, nonce: *b"8 bytes!", size: 56 };
    const TARGET: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

    fn with_header(source: Ipv4Addr, to: Ipv4Addr, message: &[u8]) -> Vec<u8> {
        let length = u16::try_from(20 + message.len()).unwrap().to_be_bytes();
        let head = [0x45, 0, length[0], length[1], 0, 0, 0, 0, 61, 1, 0, 0];
        [&head, &source.octets()[..], &to.octets(), message].concat()
    }

    /// The reply that an honest host sends.
    fn reply(place: u32, sequence: u16) -> Vec<u8> {
        let mut message = OURS.request(true, place, sequence);
        message[0] = 0;
        let sum = checksum(&message, 1).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        message
    }

    #[test]
    fn a_reply_is_known_even_from_another_address() {
        let other = Ipv4Addr::new(198, 51, 100, 1);
        let message = OURS.parse_raw_v4(&with_header(other, Ipv4Addr::LOCALHOST, &reply(7, 3))).unwrap();
        assert_eq!(message.content, Content::Reply { from: other.into(), place: Some(7), intact: true });
        assert_eq!((message.sequence, message.ttl), (3, Some(61)));
    }

    #[test]
    fn a_changed_or_cut_payload_is_noticed() {
        let good = reply(7, 3);
        for at in ECHO_HEADER..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 4;
            let sum = checksum(&bad, 1).to_be_bytes();
            bad[2..4].copy_from_slice(&sum);
            let message = OURS.parse(&bad, TARGET.into(), true).unwrap();
            assert!(matches!(message.content, Content::Reply { intact: false, .. }) || (16..20).contains(&at), "byte {at}");
        }
        for cut in [&good[..good.len() - 1], &good[..ECHO_HEADER]] {
            let message = OURS.parse(cut, TARGET.into(), true).unwrap();
            assert!(matches!(message.content, Content::Reply { intact: false, .. }));
        }
        let mut bad_sum = good;
        bad_sum[2] ^= 1;
        assert!(matches!(OURS.parse(&bad_sum, TARGET.into(), true).unwrap().content, Content::Reply { intact: false, .. }));
    }

    #[test]
    fn an_error_names_its_offender_and_the_mtu_and_may_quote_only_eight_bytes() {
        let router = Ipv4Addr::new(10, 0, 0, 1);
        let quoted = with_header(Ipv4Addr::LOCALHOST, TARGET, &OURS.request(true, 0, 5)[..8]);
        let message = OURS
            .parse_raw_v4(&with_header(router, Ipv4Addr::LOCALHOST, &[&[3, 4, 0, 0, 0, 0, 5, 120], &quoted[..]].concat()))
            .unwrap();
        let icmp = IcmpError { offender: router.into(), kind: 3, code: 4, mtu: Some(1_400) };
        assert_eq!((message.sequence, message.content), (5, Content::Error { target: TARGET.into(), icmp }));
    }

    #[test]
    fn a_v6_error_may_quote_the_first_fragment() {
        let router: IpAddr = "fd77::1".parse().unwrap();
        let target: Ipv6Addr = "2001:db8::9".parse().unwrap();
        let mut header = vec![0x60, 0, 0, 0, 0, 56, NEXT_HEADER_FRAGMENT, 64];
        header.extend([0; 16]);
        header.extend(target.octets());
        let request = OURS.request(false, 0, 6);
        let fragmented = [&[2, 0, 0, 0, 0, 0, 5, 0], &header[..], &[58, 0, 0, 1, 0, 0, 0, 1], &request].concat();
        let icmp = IcmpError { offender: router, kind: 2, code: 0, mtu: Some(1_280) };
        let expected = Message { sequence: 6, ttl: None, content: Content::Error { target: target.into(), icmp } };
        assert_eq!(OURS.parse(&fragmented, router, true), Some(expected));
        header[6] = NEXT_HEADER_ICMPV6;
        assert!(OURS.parse(&[&[1, 4, 0, 0, 0, 0, 0, 0], &header[..], &request].concat(), router, true).is_some());
    }

    #[test]
    fn what_belongs_to_others_is_left_alone() {
        let others = Signature { identifier: 1, ..OURS };
        assert_eq!(others.parse(&reply(7, 3), TARGET.into(), true), None);
        assert_eq!(OURS.parse(&OURS.request(true, 7, 3), TARGET.into(), true), None, "our own request on loopback is no reply");
    }

    proptest! {
        #[test]
        fn crafted_packets_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in prop::sample::select(vec![0_u8, 1, 2, 3, 11, 129])) {
            let _ = OURS.parse_raw_v4(&bytes);
            let mut message = bytes;
            if let Some(first) = message.first_mut() {
                *first = kind;
            }
            let _ = OURS.parse(&message, TARGET.into(), true);
            let _ = OURS.parse(&message, Ipv6Addr::LOCALHOST.into(), false);
            let _ = OURS.parse_raw_v4(&with_header(TARGET, TARGET, &message));
            let _ = queued_sequence(&message);
        }

        #[test]
        fn every_truncation_of_an_error_is_survived(length in 0_usize..100) {
            let quoted = with_header(Ipv4Addr::LOCALHOST, TARGET, &OURS.request(true, 0, 5));
            let whole = with_header(TARGET, Ipv4Addr::LOCALHOST, &[&[11, 0, 0, 0, 0, 0, 0, 0], &quoted[..]].concat());
            let _ = OURS.parse_raw_v4(&whole[..length.min(whole.len())]);
        }
    }
}
