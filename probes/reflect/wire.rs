use super::account::Heard;
use super::key::ReflectorKey;
use super::packet::{self, Request};
use super::reflector::{TTL, own_error};
use super::time::{ErrorEstimate, Format};
use super::tlv::{self, Asked};
use crate::clock::Clock;
use crate::platform::{dont_fragment, error_queue, stamped};
use netsonde_contract::failure::{Failure, Step};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use tokio::net::UdpSocket;

/// Replies are as large as requests; the largest packet has 9,216 bytes.
const MAX_BYTES: usize = 9_216;

/// One session with a reflector: a socket, a number, and the packets sent so far.
pub(super) struct Wire<'a> {
    socket: UdpSocket,
    peer: SocketAddr,
    clock: Clock,
    key: Option<&'a ReflectorKey>,
    format: Format,
    dscp: u8,
    session: u16,
    next: u32,
    buffer: Vec<u8>,
}

/// What came.
pub(super) enum Event {
    Reply(Heard, ErrorEstimate),
    /// No reply to anything sent in this session.
    Stray,
}

impl<'a> Wire<'a> {
    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// # Errors
    /// The system's own.
    pub(super) fn open(
        peer: SocketAddr,
        clock: Clock,
        key: Option<&'a ReflectorKey>,
        format: Format,
        dscp: u8,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP))?;
        if peer.is_ipv6() {
            socket.set_unicast_hops_v6(TTL)?;
        } else {
            socket.set_ttl_v4(TTL)?;
        }
        error_queue::enable(&socket, peer.ip())?;
        stamped::enable(&socket, peer.ip())?;
        match dont_fragment(&socket, peer.ip()) {
            Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
            _ => {}
        }
        // Connected: only the reflector's own packets come in, and a closed port is heard of.
        socket.connect(&peer.into())?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(StdSocket::from(socket))?;
        Ok(Self {
            socket,
            peer,
            clock,
            key,
            format,
            dscp,
            session: rand::random::<u16>().max(1),
            next: 0,
            buffer: vec![0; MAX_BYTES],
        })
    }

    /// The least UDP payload of a packet.
    pub(super) fn least_payload(&self) -> usize {
        packet::base_bytes(self.key) + tlv::least_bytes(self.key)
    }

    /// Sends the next packet with so many bytes of payload, or the least that it needs, and returns its number.
    ///
    /// # Errors
    /// The system's own, with the ICMP error behind it.
    pub(super) fn send(&mut self, payload: usize) -> io::Result<u32> {
        let length = payload.clamp(self.least_payload(), MAX_BYTES);
        let base = packet::base_bytes(self.key);
        let mut bytes = vec![0; length];
        let sequence = self.next;
        // The TLVs' seal covers the number, which the base's writer puts there again.
        bytes[..4].copy_from_slice(&sequence.to_be_bytes());
        tlv::write(&mut bytes, base, Asked { dscp: self.dscp, sent: sequence.wrapping_add(1) }, self.key);
        let error = own_error(self.format).write();
        let sent = self.format.write(self.wall_ns());
        packet::write_request(&mut bytes, &Request { sequence, sent, error, session: self.session }, self.key);
        stamped::send(&self.socket, &bytes, self.peer, None, self.dscp << 2)?;
        self.next += 1;
        Ok(sequence)
    }

    /// The next datagram that comes.
    ///
    /// # Errors
    /// The system's own.
    pub(super) async fn receive(&mut self) -> io::Result<Event> {
        let arrived = stamped::receive(&self.socket, &mut self.buffer).await?;
        let now_ns = self.wall_ns();
        let bytes = &self.buffer[..arrived.bytes];
        let Ok(reply) = packet::read_reply(bytes, self.key) else { return Ok(Event::Stray) };
        // A reflector that knows no session ids leaves zeros there.
        let other = reply.request.session != self.session && reply.request.session != 0;
        if other || reply.request.sequence >= self.next {
            return Ok(Event::Stray);
        }
        let told = tlv::read(bytes, packet::base_bytes(self.key), self.key);
        let error = ErrorEstimate::read(reply.error);
        let heard = Heard {
            sequence: reply.request.sequence,
            reflector_sequence: reply.sequence,
            sent_ns: self.format.read(reply.request.sent),
            reflector_received_ns: error.format.read(reply.received),
            reflector_sent_ns: error.format.read(reply.sent),
            received_ns: arrived.stamp_ns.unwrap_or(now_ns),
            counted: told.counts.map(|(received, _)| received),
            forward_ttl: Some(reply.ttl).filter(|ttl| *ttl > 0),
            reverse_ttl: arrived.ttl,
            forward_class: told.class,
            reverse_class: arrived.traffic_class.map(|class| (class >> 2, class & 3)),
        };
        Ok(Event::Reply(heard, error))
    }

    /// The failure with the ICMP error behind it, where the system tells.
    pub(super) fn failed(&self, error: &io::Error, during: Step) -> Failure {
        let failure = Failure::from_io(error, during);
        let _ = self.socket.take_error();
        match error_queue::drain(&SockRef::from(&self.socket)).pop() {
            Some(queued) => failure.with_icmp(queued.icmp),
            None => failure,
        }
    }

    fn wall_ns(&self) -> i64 {
        i64::try_from(self.clock.wall().as_nanosecond()).unwrap_or(i64::MAX)
    }
}
