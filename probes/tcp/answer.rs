//! The packets that answered SYNs, read beside the sockets: the kernel keeps neither the TTL nor the identification of a reset. And the SYNs
//! themselves as they leave, which those never do that this machine's own filter drops.

use crate::clock::Clock;
use crate::platform::host;
use crate::platform::packet_socket::{ALL, IPV4, IPV6, Instruction, LinkPacket, PacketSocket};
use netsonde_contract::capability::TCP_ANSWER;
use netsonde_contract::observation::SeenSegment;
use netsonde_contract::outcome::Note;
use pnet::packet::Packet;
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::Ipv4Packet;
use pnet::packet::ipv6::Ipv6Packet;
use pnet::packet::tcp::{TcpFlags, TcpPacket};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// Answers kept of one address: two for each of the most attempts that a check makes.
const MAX_KEPT: usize = 1_024;

/// Reads what one port of one address answers, for all attempts at it.
pub(crate) struct Answers {
    socket: PacketSocket,
    remote: SocketAddr,
    seen: Mutex<Vec<Answer>>,
    leaving: Option<Leaving>,
}

/// Reads which SYNs to the port leave by an interface.
struct Leaving {
    socket: PacketSocket,
    /// How many SYNs left from each local port.
    left: Mutex<HashMap<u16, u32>>,
}

/// What answered the attempts of one local port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) reset: Option<SeenSegment>,
    pub(crate) syn_ack: Option<SeenSegment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) local_port: u16,
    pub(super) is_reset: bool,
    pub(super) segment: SeenSegment,
}

impl Answers {
    /// Begins to listen, before the first SYN leaves.
    ///
    /// # Errors
    /// Why answers cannot be read, and what would grant it.
    pub(crate) fn of(remote: SocketAddr) -> Result<Self, Note> {
        let protocol = if remote.is_ipv4() { IPV4 } else { IPV6 };
        let socket =
            PacketSocket::open(protocol, None, &filter(Sought::port(remote), Way::Back)).map_err(|error| unread(&error))?;
        Ok(Self { socket, remote, seen: Mutex::default(), leaving: None })
    }

    /// As [`Self::of`], and counts the SYNs that leave.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn and_syns_of(remote: SocketAddr) -> Result<Self, Note> {
        let socket = PacketSocket::open(ALL, None, &filter(Sought::port(remote), Way::Out));
        let leaving = socket.ok().map(|socket| Leaving { socket, left: Mutex::default() });
        Ok(Self { leaving, ..Self::of(remote)? })
    }

    /// SYNs that have left from the local port so far; none where they are not counted.
    pub(crate) fn syns_left(&self, local_port: u16) -> Option<u32> {
        let leaving = self.leaving.as_ref()?;
        let mut left = leaving.left.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(packet) = leaving.socket.receive_sent() {
            if let Some(from) =
                read_syn(&packet.bytes, self.remote).filter(|from| left.len() < MAX_KEPT || left.contains_key(from))
            {
                let count = left.entry(from).or_default();
                *count = count.saturating_add(1);
            }
        }
        Some(left.get(&local_port).copied().unwrap_or_default())
    }

    /// What has answered the local port so far; the first of each kind.
    pub(crate) fn to(&self, local_port: u16, clock: Clock) -> Answered {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(packet) = self.socket.receive() {
            if let Some(answer) = read(&packet, self.remote, clock).filter(|_| seen.len() < MAX_KEPT) {
                seen.push(answer);
            }
        }
        let first = |is_reset: bool| {
            let fits = |answer: &&Answer| answer.local_port == local_port && answer.is_reset == is_reset;
            seen.iter().find(fits).map(|answer| answer.segment)
        };
        Answered { reset: first(true), syn_ack: first(false) }
    }
}

/// The next hop of this machine's own route to the address; none where it is on a link, or where the system does not tell.
pub(crate) async fn gateway(address: IpAddr) -> Option<IpAddr> {
    tokio::task::spawn_blocking(move || host::route(address).ok()?.gateway).await.ok().flatten()
}

fn unread(error: &io::Error) -> Note {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => crate::capability::denied(&TCP_ANSWER),
        _ => Note { why: format!("the answer's own packet was not read: {error}"), grant: None },
    }
}

/// A reset or SYN-ACK from the port; nothing for anything else.
fn read(packet: &LinkPacket, remote: SocketAddr, clock: Clock) -> Option<Answer> {
    let (from, answer) = read_any(packet, remote.is_ipv4(), clock)?;
    (from.ip() == remote.ip() && from.port() == remote.port()).then_some(answer)
}

/// A reset or SYN-ACK of this family, and the port that sent it.
pub(super) fn read_any(packet: &LinkPacket, is_v4: bool, clock: Clock) -> Option<(SocketAddr, Answer)> {
    let (from, ttl, ip_id, payload): (IpAddr, _, _, _) = if is_v4 {
        let ip = Ipv4Packet::new(&packet.bytes)?;
        let payload = (ip.get_next_level_protocol() == IpNextHeaderProtocols::Tcp).then(|| ip.payload().to_vec())?;
        (ip.get_source().into(), ip.get_ttl(), Some(ip.get_identification()), payload)
    } else {
        let ip = Ipv6Packet::new(&packet.bytes)?;
        let payload = (ip.get_next_header() == IpNextHeaderProtocols::Tcp).then(|| ip.payload().to_vec())?;
        (ip.get_source().into(), ip.get_hop_limit(), None, payload)
    };
    let tcp = TcpPacket::new(&payload)?;
    let flags = tcp.get_flags();
    let is_reset = flags & TcpFlags::RST != 0;
    let is_syn_ack = flags & TcpFlags::SYN != 0 && flags & TcpFlags::ACK != 0;
    let came = packet.stamp_ns.map(|stamp| stamp.saturating_sub(clock.wall_offset_ns()) / 1_000);
    let at_us = came.and_then(|came| u64::try_from(came).ok()).unwrap_or_else(|| clock.now_us());
    let segment = SeenSegment { ttl, ip_id, at_us };
    let answer = Answer { local_port: tcp.get_destination(), is_reset, segment };
    (is_reset || is_syn_ack).then(|| (SocketAddr::new(from, tcp.get_source()), answer))
}

/// The local port of a SYN to the port; nothing for anything else.
fn read_syn(bytes: &[u8], remote: SocketAddr) -> Option<u16> {
    let payload = match (remote.ip(), bytes.first()? >> 4) {
        (IpAddr::V4(to), 4) => {
            let ip = Ipv4Packet::new(bytes)?;
            let is_there = ip.get_destination() == to && ip.get_next_level_protocol() == IpNextHeaderProtocols::Tcp;
            is_there.then(|| ip.payload().to_vec())?
        }
        (IpAddr::V6(to), 6) => {
            let ip = Ipv6Packet::new(bytes)?;
            let is_there = ip.get_destination() == to && ip.get_next_header() == IpNextHeaderProtocols::Tcp;
            is_there.then(|| ip.payload().to_vec())?
        }
        _ => return None,
    };
    let tcp = TcpPacket::new(&payload).filter(|tcp| tcp.get_destination() == remote.port())?;
    let is_syn = tcp.get_flags() & (TcpFlags::SYN | TcpFlags::ACK) == TcpFlags::SYN;
    is_syn.then(|| tcp.get_source())
}

/// For fuzzing: what the bytes of a packet are read as.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzz(bytes: &[u8], remote: SocketAddr, clock: Clock) {
    for stamp_ns in [None, Some(i64::MIN), Some(i64::MAX)] {
        let packet = LinkPacket { bytes: bytes.to_vec(), sender: None, stamp_ns };
        let _ = (read(&packet, remote, clock), read_any(&packet, !remote.is_ipv4(), clock), read_syn(bytes, remote));
    }
}

/// Of which segments a filter lets through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the port.
    Back,
    /// To the port.
    Out,
}

/// Whose segments a filter lets through.
#[derive(Clone, Copy)]
pub(super) struct Sought {
    pub(super) is_v4: bool,
    /// None for those of every address.
    pub(super) address: Option<IpAddr>,
    /// None for those of every port.
    pub(super) port: Option<u16>,
}

impl Sought {
    fn port(remote: SocketAddr) -> Self {
        Self { is_v4: remote.is_ipv4(), address: Some(remote.ip()), port: Some(remote.port()) }
    }
}

/// Lets only TCP segments through that have RST or SYN set, so that data costs nothing.
pub(super) fn filter(sought: Sought, way: Way) -> Vec<Instruction> {
    // Loads of a word, half a word and a byte at a place, and behind the header whose length is in the register; comparisons; the end
    // (linux/bpf_common.h).
    const WORD: u16 = 0x20;
    const HALF: u16 = 0x28;
    const BYTE: u16 = 0x30;
    const HALF_BEHIND: u16 = 0x48;
    const BYTE_BEHIND: u16 = 0x50;
    const HEADER_LENGTH: u16 = 0xb1;
    const EQUALS: u16 = 0x15;
    const HAS_BITS: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const TCP: u32 = 6;
    const SYN_OR_RST: u32 = 0x06;
    const FRAGMENT_OFFSET: u32 = 0x1fff;
    // Each test is a load, a comparison, its operand, and whether it must hold.
    let mut tests: Vec<(Instruction, u16, u32, bool)> = vec![((BYTE, 0, 0, if sought.is_v4 { 9 } else { 6 }), EQUALS, TCP, true)];
    // Source and destination stand beside each other, of addresses as of ports.
    let (v4_at, v6_at, port_at) = if way == Way::Back { (12, 8, 0) } else { (16, 24, 2) };
    match sought.address {
        Some(IpAddr::V4(v4)) => tests.push(((WORD, 0, 0, v4_at), EQUALS, v4.to_bits(), true)),
        Some(IpAddr::V6(v6)) => {
            let octets = v6.octets();
            let words = octets.chunks_exact(4).map(|four| four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)));
            tests.extend((v6_at..).step_by(4).zip(words).map(|(at, word)| ((WORD, 0, 0, at), EQUALS, word, true)));
        }
        None => {}
    }
    if sought.is_v4 {
        tests.push(((HALF, 0, 0, 6), HAS_BITS, FRAGMENT_OFFSET, false));
    }
    let mut filter: Vec<Instruction> = Vec::new();
    // All jumps go to the last line; how far is filled in once it is known.
    let mut add = |(load, compare, operand, must): (Instruction, u16, u32, bool)| {
        filter.push(load);
        filter.push(if must { (compare, 0, u8::MAX, operand) } else { (compare, u8::MAX, 0, operand) });
    };
    tests.into_iter().for_each(&mut add);
    let (half, byte, at) = if sought.is_v4 { (HALF_BEHIND, BYTE_BEHIND, 0) } else { (HALF, BYTE, 40) };
    if sought.is_v4 {
        filter.push((HEADER_LENGTH, 0, 0, 0));
    }
    if let Some(port) = sought.port {
        filter.push((half, 0, 0, at + port_at));
        filter.push((EQUALS, 0, u8::MAX, port.into()));
    }
    filter.push((byte, 0, 0, at + 13));
    filter.push((HAS_BITS, 0, u8::MAX, SYN_OR_RST));
    filter.push((RETURN, 0, 0, u32::MAX));
    filter.push((RETURN, 0, 0, 0));
    let last = filter.len() - 1;
    for (at, (_, when_true, when_false, _)) in filter.iter_mut().enumerate() {
        let distance = u8::try_from(last.saturating_sub(at + 1)).unwrap_or(u8::MAX);
        for jump in [when_true, when_false] {
            *jump = if *jump == u8::MAX { distance } else { 0 };
        }
    }
    filter
}

#[cfg(test)]
mod tests {
    use super::*;
    use pnet::packet::tcp::MutableTcpPacket;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    #[test]
    fn a_segment_that_is_neither_a_reset_nor_a_syn_ack_is_no_answer() {
        let remote: SocketAddr = "192.0.2.1:443".parse().unwrap();
        let packet = |flags: u8, source: [u8; 4]| {
            let mut bytes = vec![0_u8; 40];
            bytes[0] = 0x45;
            bytes[4..6].copy_from_slice(&7_u16.to_be_bytes());
            bytes[2..4].copy_from_slice(&40_u16.to_be_bytes());
            (bytes[8], bytes[9]) = (57, 6);
            bytes[12..16].copy_from_slice(&source);
            let mut tcp = MutableTcpPacket::new(&mut bytes[20..]).unwrap();
            tcp.set_source(443);
            tcp.set_destination(5_000);
            tcp.set_data_offset(5);
            tcp.set_flags(flags);
            LinkPacket { bytes, sender: None, stamp_ns: None }
        };
        let clock = Clock::start();
        let reset = read(&packet(TcpFlags::RST | TcpFlags::ACK, [192, 0, 2, 1]), remote, clock).unwrap();
        assert_eq!((reset.is_reset, reset.segment.ttl, reset.segment.ip_id, reset.local_port), (true, 57, Some(7), 5_000));
        assert_eq!(read(&packet(TcpFlags::ACK, [192, 0, 2, 1]), remote, clock), None);
        assert_eq!(read(&packet(TcpFlags::RST, [192, 0, 2, 2]), remote, clock), None);
        assert_eq!(read(&LinkPacket { bytes: vec![0x45; 21], sender: None, stamp_ns: None }, remote, clock), None);
    }

    #[test]
    fn the_reset_of_a_closed_port_and_the_syn_ack_of_an_open_one_are_read_with_their_ttl() {
        let clock = Clock::start();
        for loopback in ["127.0.0.1", "::1"] {
            let listener = TcpListener::bind((loopback, 0)).unwrap();
            let open = listener.local_addr().unwrap();
            let Ok(answers) = Answers::and_syns_of(open) else {
                eprintln!("skipped: answers to connections, whose reading needs raw sockets");
                return;
            };
            let stream = TcpStream::connect(open).unwrap();
            let answered = answers.to(stream.local_addr().unwrap().port(), clock);
            assert_eq!(answered.syn_ack.map(|segment| segment.ttl), Some(64), "{loopback}");
            assert_eq!(answered.reset, None);
            let port = stream.local_addr().unwrap().port();
            assert_eq!((answers.syns_left(port), answers.syns_left(port ^ 1)), (Some(1), Some(0)), "{loopback}");
            drop((stream, listener));
            let socket = socket2::Socket::new(socket2::Domain::for_address(open), socket2::Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::new(open.ip(), 0).into()).unwrap();
            let local_port = socket.local_addr().unwrap().as_socket().unwrap().port();
            assert!(socket.connect_timeout(&open.into(), Duration::from_secs(1)).is_err());
            let reset = answers.to(local_port, clock).reset.unwrap();
            assert!(reset.ttl == 64 && reset.ip_id.is_some() == open.is_ipv4(), "{reset:?}");
        }
    }
}
