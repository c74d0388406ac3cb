use super::craft::{Ends, SegmentFields, datagram};
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

fn request(target: IpAddr, identifier: u16, sequence: u16) -> Vec<u8> {
    craft::echo_request(target, identifier, sequence, 0, 0)
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
    let request = request(TARGET_V4.into(), 0x1234, 7);
    let quoted = ipv4(Ipv4Addr::LOCALHOST, TARGET_V4, 1, options, &request[..ICMP_HEADER]);
    ipv4(ROUTER_V4, Ipv4Addr::LOCALHOST, 1, 0, &error(11, 0, &quoted))
}

#[test]
fn an_echo_reply_is_told_in_both_families() {
    let body = Body::EchoReply { identifier: 0x1234, sequence: 7 };
    let packet = ipv4(TARGET_V4, Ipv4Addr::LOCALHOST, 1, 0, &message(0, 0, &[0x12, 0x34, 0, 7]));
    assert_eq!(parse_v4(&packet), Some(Message { from: TARGET_V4.into(), ttl: Some(64), body: body.clone() }));
    let packet = message(129, 0, &[0x12, 0x34, 0, 7]);
    assert_eq!(parse_v6(&packet, TARGET_V6), Some(Message { from: TARGET_V6.into(), ttl: None, body }));
}

#[test]
fn an_error_tells_the_headers_that_it_quotes() {
    for options in [0, 2] {
        let packet = time_exceeded_v4(options);
        let Body::Error { icmp, quote, labels } = parse_v4(&packet).unwrap().body else { panic!() };
        assert_eq!(icmp, IcmpError { offender: ROUTER_V4.into(), kind: 11, code: 0, mtu: None });
        assert_eq!((quote.destination, quote.protocol, quote.ttl), (TARGET_V4.into(), ICMP, 64));
        assert_eq!((word(quote.transport, 4), word(quote.transport, 6)), (Some(0x1234), Some(7)), "{options} words of options");
        assert!(labels.is_empty());
    }
    let packet = error(1, 1, &ipv6(TARGET_V6, 58, &request(TARGET_V6.into(), 0x1234, 7)));
    let Body::Error { icmp, quote, .. } = parse_v6(&packet, ROUTER_V6).unwrap().body else { panic!() };
    assert_eq!(icmp, IcmpError { offender: ROUTER_V6.into(), kind: 1, code: 1, mtu: None });
    assert_eq!((quote.destination, quote.protocol), (TARGET_V6.into(), ICMPV6));
}

#[test]
fn a_link_that_is_too_narrow_names_its_size_in_both_families() {
    let quoted = ipv4(Ipv4Addr::LOCALHOST, TARGET_V4, 1, 0, &request(TARGET_V4.into(), 1, 1));
    let told = message(3, 4, &[&[0, 0, 0x05, 0x78], &quoted[..]].concat());
    let packet = ipv4(ROUTER_V4, Ipv4Addr::LOCALHOST, 1, 0, &told);
    let Body::Error { icmp, .. } = parse_v4(&packet).unwrap().body else { panic!() };
    assert_eq!(icmp.mtu, Some(1_400));
    let packet = message(2, 0, &[&[0, 0, 0x05, 0x14], &ipv6(TARGET_V6, 58, &request(TARGET_V6.into(), 1, 1))[..]].concat());
    let Body::Error { icmp, .. } = parse_v6(&packet, ROUTER_V6).unwrap().body else { panic!() };
    assert_eq!(icmp.mtu, Some(1_300));
}

/// A label stack as RFC 4950 section 3 has it: label 16,004 of class 5 with a TTL of 1, then 24 at the bottom with a TTL of 254.
fn label_stack() -> Vec<u8> {
    let mut structure = vec![0x20, 0, 0, 0, 0, 12, 1, 1, 0x03, 0xe8, 0x4a, 1, 0, 0x01, 0x81, 254];
    let sum = pnet::util::checksum(&structure, 1).to_be_bytes();
    structure[2..4].copy_from_slice(&sum);
    structure
}

#[test]
fn a_label_stack_is_read_behind_a_padded_quote_and_not_where_it_is_damaged() {
    let mut quoted = ipv4(Ipv4Addr::LOCALHOST, TARGET_V4, 1, 0, &request(TARGET_V4.into(), 1, 1));
    quoted.resize(128, 0);
    let labels_with = |length: u8, structure: &[u8]| {
        let told = message(11, 0, &[&[0, length, 0, 0], &quoted[..], structure].concat());
        let packet = ipv4(ROUTER_V4, Ipv4Addr::LOCALHOST, 1, 0, &told);
        match parse_v4(&packet).unwrap().body {
            Body::Error { labels, .. } => labels,
            body => panic!("{body:?}"),
        }
    };
    let label = |label, traffic_class, bottom_of_stack, ttl| MplsLabel { label, traffic_class, bottom_of_stack, ttl };
    let expected = [label(16_004, 5, false, 1), label(24, 0, true, 254)];
    assert_eq!(labels_with(32, &label_stack()), expected);
    assert_eq!(labels_with(0, &label_stack()), expected, "a router that does not say where extensions begin");
    let mut damaged = label_stack();
    damaged[9] ^= 1;
    assert!(labels_with(32, &damaged).is_empty());
}

#[test]
fn foreign_packets_are_passed_over() {
    let request = request(TARGET_V4.into(), 1, 1);
    assert_eq!(parse_v4(&ipv4(ROUTER_V4, Ipv4Addr::LOCALHOST, 1, 0, &request)), None, "somebody's request");
    assert_eq!(parse_v4(&ipv4(ROUTER_V4, Ipv4Addr::LOCALHOST, 17, 0, &message(0, 0, &[0; 4]))), None, "not ICMP");
    assert_eq!(parse_v6(&message(136, 0, &[0; 20]), ROUTER_V6), None, "a neighbour's advertisement");
}

#[test]
fn a_datagrams_checksum_is_what_tells_it() {
    for ends in
        [Ends { source: ROUTER_V4.into(), target: TARGET_V4.into() }, Ends { source: ROUTER_V6.into(), target: TARGET_V6.into() }]
    {
        for mark in [1, 2, 255, 256, 4_000, 65_000] {
            let bytes = datagram(ends, (40_000, 33_434), mark, 0);
            assert_eq!((word(&bytes, 6), word(&bytes, 10)), (Some(mark), Some(mark)));
            let right = match (ends.source, ends.target) {
                (IpAddr::V4(source), IpAddr::V4(target)) => {
                    pnet::util::ipv4_checksum(&bytes, 3, &[], &source, &target, pnet::packet::ip::IpNextHeaderProtocols::Udp)
                }
                (IpAddr::V6(source), IpAddr::V6(target)) => {
                    pnet::util::ipv6_checksum(&bytes, 3, &[], &source, &target, pnet::packet::ip::IpNextHeaderProtocols::Udp)
                }
                _ => panic!(),
            };
            assert_eq!(right, mark, "the checksum is also the right one");
        }
    }
}

#[test]
fn a_segment_is_read_with_its_options() {
    let ends = Ends { source: ROUTER_V6.into(), target: TARGET_V6.into() };
    let fields = SegmentFields { sequence: 7, acknowledgment: 9, flags: 0x12, timestamps: Some((5, 6)), data_bytes: 0 };
    let mut bytes = craft::segment(ends, (443, 50_000), fields);
    let parsed = segment::parse(&bytes, false).unwrap();
    assert_eq!((parsed.source_port, parsed.sequence, parsed.acknowledgment, parsed.timestamps), (443, 7, 9, Some((5, 6))));
    assert!(parsed.is_syn_ack() && !parsed.is_reset() && parsed.sack.is_none());
    // Two bytes of padding and a selective acknowledgment of ten.
    bytes[20..32].copy_from_slice(&[1, 1, 5, 10, 0, 0, 0, 3, 0, 0, 0, 4]);
    assert_eq!(segment::parse(&bytes, false).unwrap().sack, Some((3, 4)));
    // The largest segment that the sender takes, and three bytes of data behind the options.
    bytes[20..24].copy_from_slice(&[2, 4, 5, 180]);
    bytes.extend([0; 3]);
    let parsed = segment::parse(&bytes, false).unwrap();
    assert_eq!((parsed.mss, parsed.data_bytes), (Some(1_460), 3));
    for length in 0..bytes.len() {
        segment::parse(&bytes[..length], false);
    }
}

#[test]
fn a_packet_that_is_cut_short_anywhere_tells_no_more_than_it_holds() {
    let too_little = |message: Message<'_>| matches!(message.body, Body::Error { quote, .. } if quote.transport.len() < 8);
    let whole = time_exceeded_v4(2);
    for length in 0..whole.len() {
        assert!(parse_v4(&whole[..length]).is_none_or(too_little), "{length} bytes");
    }
    let whole = error(3, 0, &ipv6(TARGET_V6, 58, &request(TARGET_V6.into(), 1, 2)[..ICMP_HEADER]));
    for length in 0..whole.len() {
        assert!(parse_v6(&whole[..length], ROUTER_V6).is_none_or(too_little), "{length} bytes");
    }
}

#[test]
fn a_header_length_beyond_the_packet_or_below_a_header_is_passed_over() {
    for first in [0x4f, 0x44, 0x40] {
        let mut packet = time_exceeded_v4(0);
        packet[0] = first;
        assert_eq!(parse_v4(&packet), None, "own header {first:x}");
        let mut packet = time_exceeded_v4(0);
        packet[IPV4_HEADER + ICMP_HEADER] = first;
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
fn all_requests_of_a_flow_have_one_right_checksum_and_each_flow_another() {
    let first = craft::echo_request(TARGET_V4.into(), 77, 0, 3, 0);
    for sequence in [1, 2, 255, 256, 639] {
        let request = craft::echo_request(TARGET_V4.into(), 77, sequence, 3, 0);
        assert_eq!(sum(&request), 0);
        assert_eq!(request[2..4], first[2..4]);
        assert_eq!((word(&request, 4), word(&request, 6)), (Some(77), Some(sequence)));
        let other = craft::echo_request(TARGET_V4.into(), 77, sequence, 4, 0);
        assert_ne!(other[2..4], first[2..4]);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        parse_v4(&bytes);
        parse_v6(&bytes, ROUTER_V6);
        segment::parse(&bytes, true);
        segment::parse(&bytes, false);
        extension::labels(&bytes);
    }

    #[test]
    fn any_damage_to_a_real_packet_is_survived(at in 0_usize..60, byte in any::<u8>(), cut in 0_usize..70) {
        let mut v4 = time_exceeded_v4(2);
        let mut v6 = error(3, 0, &ipv6(TARGET_V6, 58, &request(TARGET_V6.into(), 1, 2)));
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
