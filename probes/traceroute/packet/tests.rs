use super::*;
use proptest::prelude::*;

const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const TARGET_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const TARGET_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);

/// An IPv4 packet with `options` words of header options, written out by hand.
fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, options: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45 + options, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(vec![1; usize::from(options) * 4]);
    packet.extend(payload);
    packet
}

fn ipv6(to: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next_header, 64];
    packet.extend(Ipv6Addr::LOCALHOST.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

fn message(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest);
    message
}

fn error(kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
    message(kind, code, &[&[0; 4], quoted].concat())
}

fn time_exceeded_v4(options: u8) -> Vec<u8> {
    let request = echo_request(TARGET_V4.into(), 0x1234, 7);
    let quoted = ipv4(Ipv4Addr::LOCALHOST, TARGET_V4, 1, options, &request[..ECHO_HEADER]);
    ipv4(ROUTER_V4, Ipv4Addr::LOCALHOST, 1, 0, &error(11, 0, &quoted))
}

#[test]
fn an_echo_reply_is_told_in_both_families() {
    let v4 = parse_v4(&ipv4(TARGET_V4, Ipv4Addr::LOCALHOST, 1, 0, &message(0, 0, &[0x12, 0x34, 0, 7]))).unwrap();
    assert_eq!(v4, Message { from: TARGET_V4.into(), identifier: 0x1234, sequence: 7, error: None });
    let v6 = parse_v6(&message(129, 0, &[0x12, 0x34, 0, 7]), TARGET_V6).unwrap();
    assert_eq!(v6, Message { from: TARGET_V6.into(), identifier: 0x1234, sequence: 7, error: None });
}

#[test]
fn an_error_is_matched_by_the_request_it_quotes() {
    for options in [0, 2] {
        let parsed = parse_v4(&time_exceeded_v4(options)).unwrap();
        let icmp = IcmpError { offender: ROUTER_V4.into(), kind: 11, code: 0, mtu: None };
        let expected = Message { from: ROUTER_V4.into(), identifier: 0x1234, sequence: 7, error: Some((TARGET_V4.into(), icmp)) };
        assert_eq!(parsed, expected, "{options} words of options in the quoted header");
    }
    let request = echo_request(TARGET_V6.into(), 0x1234, 7);
    let parsed = parse_v6(&error(1, 1, &ipv6(TARGET_V6, 58, &request)), ROUTER_V6).unwrap();
    let icmp = IcmpError { offender: ROUTER_V6.into(), kind: 1, code: 1, mtu: None };
    assert_eq!(
        parsed,
        Message { from: ROUTER_V6.into(), identifier: 0x1234, sequence: 7, error: Some((TARGET_V6.into(), icmp)) }
    );
}

#[test]
fn foreign_packets_are_passed_over() {
    let request = echo_request(TARGET_V4.into(), 1, 1);
    let about_udp = ipv4(Ipv4Addr::LOCALHOST, TARGET_V4, 17, 0, &request);
    let about_a_reply = ipv4(Ipv4Addr::LOCALHOST, TARGET_V4, 1, 0, &message(0, 0, &[0; 4]));
    for quoted in [about_udp, about_a_reply] {
        assert_eq!(parse_v4(&ipv4(ROUTER_V4, Ipv4Addr::LOCALHOST, 1, 0, &error(3, 3, &quoted))), None);
    }
    assert_eq!(parse_v4(&ipv4(ROUTER_V4, Ipv4Addr::LOCALHOST, 1, 0, &request)), None, "somebody's request");
    assert_eq!(parse_v4(&ipv4(ROUTER_V4, Ipv4Addr::LOCALHOST, 17, 0, &message(0, 0, &[0; 4]))), None, "not ICMP");
    assert_eq!(parse_v6(&error(1, 4, &ipv6(TARGET_V6, 17, &request)), ROUTER_V6), None, "about UDP");
    assert_eq!(parse_v6(&message(136, 0, &[0; 20]), ROUTER_V6), None, "a neighbour's advertisement");
}

#[test]
fn a_packet_that_is_cut_short_anywhere_is_passed_over() {
    let whole = time_exceeded_v4(2);
    for length in 0..whole.len() {
        assert_eq!(parse_v4(&whole[..length]), None, "{length} bytes");
    }
    let whole = error(3, 0, &ipv6(TARGET_V6, 58, &echo_request(TARGET_V6.into(), 1, 2)[..ECHO_HEADER]));
    for length in 0..whole.len() {
        assert_eq!(parse_v6(&whole[..length], ROUTER_V6), None, "{length} bytes");
    }
}

#[test]
fn a_header_length_beyond_the_packet_or_below_a_header_is_passed_over() {
    for first in [0x4f, 0x44, 0x40] {
        let mut packet = time_exceeded_v4(0);
        packet[0] = first;
        assert_eq!(parse_v4(&packet), None, "own header {first:x}");
        let mut packet = time_exceeded_v4(0);
        packet[IPV4_HEADER + ECHO_HEADER] = first;
        assert_eq!(parse_v4(&packet), None, "quoted header {first:x}");
    }
}

/// The Internet checksum (RFC 1071) over a message that contains its own checksum is zero.
fn sum(bytes: &[u8]) -> u16 {
    let total = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>();
    let folded = (total & 0xffff) + (total >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}

#[test]
fn all_requests_of_a_trace_have_one_right_checksum() {
    let first = echo_request(TARGET_V4.into(), 77, 0);
    for sequence in [1, 2, 255, 256, 639] {
        let request = echo_request(TARGET_V4.into(), 77, sequence);
        assert_eq!(sum(&request), 0);
        assert_eq!(request[2..4], first[2..4]);
        assert_eq!(echo_fields(&request), Some((77, sequence)));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        parse_v4(&bytes);
        parse_v6(&bytes, ROUTER_V6);
    }

    #[test]
    fn any_damage_to_a_real_packet_is_survived(at in 0_usize..60, byte in any::<u8>(), cut in 0_usize..70) {
        let mut v4 = time_exceeded_v4(2);
        let mut v6 = error(3, 0, &ipv6(TARGET_V6, 58, &echo_request(TARGET_V6.into(), 1, 2)));
        for packet in [&mut v4, &mut v6] {
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
            packet.truncate(packet.len().saturating_sub(cut));
        }
        parse_v4(&v4);
        parse_v6(&v6, ROUTER_V6);
    }
}
