//! ARP probes and neighbour solicitations, and who answered them.

use crate::platform::packet_socket::Instruction;
use pnet::packet::Packet;
use pnet::packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet::packet::ethernet::EtherTypes;
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet::util::MacAddr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const BROADCAST: [u8; 6] = [0xff; 6];
const ARP_BYTES: usize = 28;
const IPV6_HEADER_BYTES: usize = 40;
/// Type, code, checksum, four reserved bytes, the target (RFC 4861 section 4.3).
const SOLICITATION_BYTES: usize = 24;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// A packet of a neighbour has this hop limit, since no router has passed it on (RFC 4861 section 7.1).
const HOP_LIMIT: u8 = 255;

/// A hardware address of six bytes from its text.
pub(super) fn hardware(text: &str) -> Option<[u8; 6]> {
    let address: MacAddr = text.parse().ok()?;
    Some(address.octets())
}

/// Where the question for an own address goes on the link, and its bytes.
pub(super) fn question(own: [u8; 6], address: IpAddr) -> ([u8; 6], Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (BROADCAST, arp_probe(own, v4)),
        IpAddr::V6(v6) => {
            let [.., a, b, c] = v6.octets();
            // The group of all who may have the address (RFC 4291 section 2.7.1), and its hardware address (RFC 2464 section 7).
            ([0x33, 0x33, 0xff, a, b, c], solicitation(v6))
        }
    }
}

fn arp_probe(own: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0; ARP_BYTES];
    if let Some(mut packet) = MutableArpPacket::new(&mut bytes) {
        packet.set_hardware_type(ArpHardwareTypes::Ethernet);
        packet.set_protocol_type(EtherTypes::Ipv4);
        packet.set_hw_addr_len(6);
        packet.set_proto_addr_len(4);
        packet.set_operation(ArpOperations::Request);
        packet.set_sender_hw_addr(MacAddr::from(own));
        packet.set_sender_proto_addr(Ipv4Addr::UNSPECIFIED);
        packet.set_target_proto_addr(address);
    }
    bytes
}

fn solicitation(address: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = address.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let mut message = vec![0; SOLICITATION_BYTES];
    message[0] = SOLICITATION;
    message[8..].copy_from_slice(&address.octets());
    let sum = pnet::util::ipv6_checksum(&message, 1, &[], &Ipv6Addr::UNSPECIFIED, &group, IpNextHeaderProtocols::Icmpv6);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut bytes = vec![0; IPV6_HEADER_BYTES + SOLICITATION_BYTES];
    if let Some(mut packet) = MutableIpv6Packet::new(&mut bytes) {
        packet.set_version(6);
        packet.set_payload_length(SOLICITATION_BYTES as u16);
        packet.set_next_header(IpNextHeaderProtocols::Icmpv6);
        packet.set_hop_limit(HOP_LIMIT);
        packet.set_destination(group);
        packet.set_payload(&message);
    }
    bytes
}

/// The hardware address that claims the own address in this packet, whether it answers or asks for itself.
pub(super) fn answer(bytes: &[u8], sender: Option<&str>, address: IpAddr) -> Option<String> {
    match address {
        IpAddr::V4(v4) => {
            let packet = ArpPacket::new(bytes)?;
            (packet.get_sender_proto_addr() == v4).then(|| packet.get_sender_hw_addr().to_string())
        }
        IpAddr::V6(v6) => {
            let packet = Ipv6Packet::new(bytes)?;
            let message = packet.payload();
            let is_advertisement = packet.get_next_header() == IpNextHeaderProtocols::Icmpv6
                && packet.get_hop_limit() == HOP_LIMIT
                && message.first() == Some(&ADVERTISEMENT)
                && message.get(8..24) == Some(v6.octets().as_slice());
            sender.filter(|_| is_advertisement).map(str::to_owned)
        }
    }
}

/// Lets only packets about the address through: ARP with it as the sender, neighbour advertisements for it.
pub(super) fn filter(address: IpAddr) -> Vec<Instruction> {
    // Load a word or a byte at a place, compare, return (linux/bpf_common.h).
    const WORD: u16 = 0x20;
    const BYTE: u16 = 0x30;
    const EQUALS: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let mut wanted: Vec<(u16, u32, u32)> = Vec::new();
    match address {
        IpAddr::V4(v4) => wanted.push((WORD, 14, v4.to_bits())),
        IpAddr::V6(v6) => {
            wanted.push((BYTE, 6, 58));
            wanted.push((BYTE, 40, ADVERTISEMENT.into()));
            let words = v6.octets();
            let words = words.chunks_exact(4).map(|four| four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)));
            wanted.extend((48..).step_by(4).zip(words).map(|(at, word)| (WORD, at, word)));
        }
    }
    let mut filter: Vec<Instruction> = Vec::new();
    for (at, (load, place, value)) in wanted.iter().enumerate() {
        // Past the rest of the comparisons, and past the return that keeps the packet.
        let beyond = u8::try_from((wanted.len() - at - 1) * 2 + 1).unwrap_or(u8::MAX);
        filter.push((*load, 0, 0, *place));
        filter.push((EQUALS, 0, beyond, *value));
    }
    filter.push((RETURN, 0, 0, u32::MAX));
    filter.push((RETURN, 0, 0, 0));
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];

    #[test]
    fn a_probe_names_no_sender_so_that_no_table_changes() {
        let (to, bytes) = question(OWN, "192.0.2.7".parse().unwrap());
        let packet = ArpPacket::new(&bytes).unwrap();
        assert_eq!((to, packet.get_sender_proto_addr()), (BROADCAST, Ipv4Addr::UNSPECIFIED));
        assert_eq!(packet.get_target_proto_addr(), Ipv4Addr::new(192, 0, 2, 7));
        assert_eq!(answer(&bytes, None, "192.0.2.7".parse().unwrap()), None, "a probe claims nothing");
    }

    #[test]
    fn a_solicitation_goes_to_the_addresss_group_with_a_valid_checksum() {
        let address: Ipv6Addr = "2001:db8::12:3456".parse().unwrap();
        let (to, bytes) = question(OWN, address.into());
        assert_eq!(to, [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        let packet = Ipv6Packet::new(&bytes).unwrap();
        assert_eq!((packet.get_source(), packet.get_hop_limit()), (Ipv6Addr::UNSPECIFIED, 255));
        let sum = pnet::util::ipv6_checksum(
            packet.payload(),
            1,
            &[],
            &packet.get_source(),
            &packet.get_destination(),
            IpNextHeaderProtocols::Icmpv6,
        );
        assert_eq!(sum.to_be_bytes(), packet.payload()[2..4]);
    }

    #[test]
    fn only_who_claims_the_address_counts_as_an_answer() {
        let mut bytes = arp_probe([2, 0, 0, 0, 0, 9], Ipv4Addr::new(192, 0, 2, 1));
        MutableArpPacket::new(&mut bytes).unwrap().set_sender_proto_addr(Ipv4Addr::new(192, 0, 2, 7));
        assert_eq!(answer(&bytes, None, "192.0.2.7".parse().unwrap()).as_deref(), Some("02:00:00:00:00:09"));
        assert_eq!(answer(&bytes, None, "192.0.2.8".parse().unwrap()), None);
        assert_eq!(answer(&[0; 9], Some("02:00:00:00:00:09"), "2001:db8::1".parse().unwrap()), None);
    }

    #[test]
    fn every_comparison_of_the_filter_that_fails_lands_on_its_last_line() {
        for address in ["192.0.2.7", "2001:db8::1"] {
            let filter = filter(address.parse().unwrap());
            for (at, (code, _, beyond, _)) in filter.iter().enumerate().filter(|(_, one)| one.0 == 0x15) {
                assert_eq!(at + 1 + usize::from(*beyond), filter.len() - 1, "{address}: {code}");
            }
        }
    }
}
