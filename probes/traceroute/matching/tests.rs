//! Packets as the datagram sockets of macOS give them, written out by hand after RFC 792 and RFC 4443: the IPv4 total length, the quoted
//! one as well, is in the machine's own byte order, and that of the packet itself lacks the header's length.

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
const TARGET: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const OWN_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77);
const TARGET_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 9);
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);

fn header(length: usize, ttl: u8, identification: u16, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let length = u16::try_from(length).unwrap().to_le_bytes();
    let identification = identification.to_be_bytes();
    let mut bytes = vec![0x45, 0, length[0], length[1], identification[0], identification[1], 0, 0, ttl, 1, 0, 0];
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes
}

fn told_by_macos(from: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    [&header(message.len(), 61, 7, from, OWN)[..], message].concat()
}

/// Time exceeded (RFC 792) about a request to this target, to which the kernel gave an identification of its own.
fn expired(request: &[u8], to: Ipv4Addr) -> Vec<u8> {
    let quoted = header(20 + request.len(), 1, 4_711, OWN, to);
    told_by_macos(ROUTER, &[&[11, 0, 0, 0, 0, 0, 0, 0], &quoted[..], request].concat())
}

/// Time exceeded (RFC 4443 section 3.3), which comes without a header of its own.
fn expired_v6(request: &[u8]) -> Vec<u8> {
    let length = u16::try_from(request.len()).unwrap().to_be_bytes();
    let mut bytes = vec![3, 0, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, length[0], length[1], 58, 1];
    bytes.extend(OWN_V6.octets());
    bytes.extend(TARGET_V6.octets());
    bytes.extend(request);
    bytes
}

fn probes(source: IpAddr, target: IpAddr, is_marked: bool) -> Probes {
    let manner = Manner { protocol: TraceProtocol::Icmp, target, port: 0, each_flow: false, class: 0 };
    Probes::new(manner, source, None, is_marked)
}

fn sent(probes: &mut Probes, number: u16) -> Vec<u8> {
    let (sent, bytes) = probes.echo_request(Packet { probe: ProbeNumber(number), ttl: 1, flow: 3, size: 0 });
    probes.sent.insert(number, sent);
    bytes
}

fn answer(found: Option<Found>) -> Option<(u16, Answer)> {
    match found {
        Some(Found::Answer(probe, answer)) => Some((probe.0, answer)),
        _ => None,
    }
}

fn from(address: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(address.into(), 0)
}

#[test]
fn a_routers_error_on_macos_is_matched_to_its_probe_and_the_kernels_identification_is_no_rewriting() {
    let mut probes = probes(OWN.into(), TARGET.into(), false);
    sent(&mut probes, 4_710);
    let request = sent(&mut probes, 6);
    // Routers quote eight bytes at least, and others all of it.
    for length in [8, request.len()] {
        let (probe, answer) = answer(probes.icmp(&expired(&request[..length], TARGET), from(ROUTER), None)).unwrap();
        assert_eq!((probe, answer.from, answer.ttl), (6, ROUTER.into(), Some(61)), "{length} bytes are quoted");
        assert_eq!(answer.icmp.unwrap().words(), "time exceeded in transit");
        let quoted = answer.quoted.unwrap();
        assert!(!quoted.is_rewritten() && quoted.ttl == 1, "{quoted:?}");
    }
}

#[test]
fn an_identification_that_was_set_and_came_back_as_another_is_rewriting() {
    let mut probes = probes(OWN.into(), TARGET.into(), true);
    let request = sent(&mut probes, 6);
    let (_, answer) = answer(probes.icmp(&expired(&request, TARGET), from(ROUTER), None)).unwrap();
    assert_eq!(answer.quoted.unwrap().identification, Some(Changed { sent: 7, quoted: 4_711 }));
}

#[test]
fn messages_about_other_programs_requests_are_passed_over() {
    let mut probes = probes(OWN.into(), TARGET.into(), false);
    let request = sent(&mut probes, 6);
    let mut of_another = request.clone();
    of_another[4] ^= 1;
    let reply = |request: &[u8]| told_by_macos(TARGET, &[&[0], &request[1..]].concat());
    assert_eq!(
        answer(probes.icmp(&reply(&request), from(TARGET), None)),
        Some((6, Answer { ttl: Some(61), ..Answer::plain(TARGET.into(), None) }))
    );
    for bytes in [expired(&of_another, TARGET), expired(&request, ROUTER), reply(&of_another), told_by_macos(TARGET, &request)] {
        assert!(probes.icmp(&bytes, from(TARGET), None).is_none(), "{bytes:?}");
    }
    // Ours, and of a number that was never sent.
    let mut unknown = request.clone();
    unknown[7] = 9;
    assert!(matches!(probes.icmp(&expired(&unknown, TARGET), from(ROUTER), None), Some(Found::Unmatched)));
}

#[test]
fn an_error_of_ipv6_comes_without_a_header_and_its_hop_limit_beside_it() {
    let mut probes = probes(OWN_V6.into(), TARGET_V6.into(), false);
    let request = sent(&mut probes, 6);
    let (probe, answer) = answer(probes.icmp(&expired_v6(&request), from(ROUTER_V6), Some(57))).unwrap();
    assert_eq!((probe, answer.from, answer.ttl), (6, ROUTER_V6.into(), Some(57)));
    assert!(!answer.quoted.unwrap().is_rewritten());
}
