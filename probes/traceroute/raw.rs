//! Probes of every protocol from raw sockets: each field of them is ours, and routers' quotes tell which they changed on the way.
//!
//! Within a flow all is constant that routers hash (ports, or type, code and checksum of an echo request). What tells the probes apart
//! is the IPv4 identification, beside the checksum of a datagram, the sequence number of a segment or of an echo request.

use super::machine::{Answer, ProbeNumber};
use super::wire::{Heard, Packet, Traits, Wire, on_run_clock, set_class, set_ttl};
use crate::capture::flow::Flow;
use crate::clock::Clock;
use crate::packet::craft::{self, Ends, SegmentFields, Travel};
use crate::packet::segment::{self, ACK, SYN, Segment};
use crate::packet::session::Session;
use crate::packet::socket::{self, MAX_PACKETS_HEARD, RECEIVE_BYTES, asynchronous, take};
use crate::packet::{Body, Quote, TCP, UDP, parse_v4, parse_v6, word};
use crate::platform::trace_socket::{What, prepare, receive};
use crate::zone;
use netsonde_contract::observation::{Changed, Quoted, TraceClock, TraceIds, TraceProtocol};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Flows beyond so many share their ports: each takes a socket.
const MAX_PORTS: u16 = 300;

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) protocol: TraceProtocol,
    pub(super) target: IpAddr,
    /// The port of TCP, or the first of UDP.
    pub(super) port: u16,
    pub(super) each_flow: bool,
    /// DSCP and ECN.
    pub(super) class: u8,
}

pub(super) struct RawWire {
    manner: Manner,
    ends: Ends,
    sending: Socket,
    /// ICMP errors and echo replies.
    errors: UdpSocket,
    /// What the target itself sends to our ports: segments for TCP, datagrams for UDP.
    answers: Option<UdpSocket>,
    /// Random: other traces on this machine have others.
    identifier: u16,
    first_sequence: u32,
    /// The source ports of the flows, kept from others by sockets that nothing is done with.
    ports: HashMap<u16, (u16, Socket)>,
    session: Option<Session>,
    /// By probe number.
    sent: HashMap<u16, Sent>,
    /// The probes in the order in which they left, as the kernel numbers its stamps.
    order: Vec<ProbeNumber>,
}

/// What a probe's headers were.
#[derive(Clone, Copy, Debug)]
struct Sent {
    source_port: u16,
    destination_port: u16,
    /// As sent; None where the kernel fills it in.
    checksum: Option<u16>,
}

/// # Errors
/// `PermissionDenied` where the process may open no raw sockets, else the system's own.
pub(super) fn open(manner: Manner, source: IpAddr, session: Option<Session>) -> io::Result<RawWire> {
    let target = manner.target;
    let protocol = protocol_number(manner);
    let sending = socket::sending(target, protocol, true)?;
    if target.is_ipv6() {
        set_class(&sending, target, manner.class)?;
    }
    let errors = socket::errors(target)?;
    let answers = match manner.protocol {
        TraceProtocol::Icmp => None,
        TraceProtocol::Udp => {
            let socket = Socket::new(Domain::for_address(SocketAddr::new(target, 0)), Type::DGRAM, Some(Protocol::UDP))?;
            socket.bind(&zone::socket(source, 0).into())?;
            prepare(&socket, target, false, false)?;
            Some(asynchronous(socket)?)
        }
        TraceProtocol::Tcp | TraceProtocol::TcpSession => Some(socket::segments(target)?),
    };
    Ok(RawWire {
        manner,
        ends: Ends { source, target },
        sending,
        errors,
        answers,
        identifier: rand::random(),
        first_sequence: rand::random(),
        ports: HashMap::new(),
        session,
        sent: HashMap::new(),
        order: Vec::new(),
    })
}

/// The address that packets to the target are sent from. Nothing is sent.
pub(super) fn source_towards(target: IpAddr) -> io::Result<IpAddr> {
    let socket = Socket::new(Domain::for_address(SocketAddr::new(target, 0)), Type::DGRAM, Some(Protocol::UDP))?;
    socket.connect(&zone::socket(target, 9).into())?;
    let local = socket.local_addr()?.as_socket();
    local.inspect(|local| zone::heard(*local)).map(|local| local.ip()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

fn protocol_number(manner: Manner) -> u8 {
    match manner.protocol {
        TraceProtocol::Icmp => craft::echo_protocol(manner.target),
        TraceProtocol::Udp => UDP,
        TraceProtocol::Tcp | TraceProtocol::TcpSession => TCP,
    }
}

/// What tells a probe where zero would mean that there is nothing.
fn mark(probe: ProbeNumber) -> u16 {
    probe.0.wrapping_add(1).max(1)
}

impl Wire for RawWire {
    fn traits(&self) -> Traits {
        let ids = match (self.manner.each_flow, self.manner.target) {
            (true, _) => TraceIds::Classic,
            (false, IpAddr::V4(_)) => TraceIds::Dublin,
            (false, IpAddr::V6(_)) => TraceIds::Paris,
        };
        Traits { ids, clock: TraceClock::KernelRxTx, lacks: Vec::new(), privileged: true }
    }

    async fn ready(&self) -> io::Result<()> {
        let errors = self.errors.ready(Interest::READABLE);
        match &self.answers {
            None => errors.await.map(|_| ()),
            Some(answers) => tokio::select! {
                ready = errors => ready.map(|_| ()),
                ready = answers.ready(Interest::READABLE) => ready.map(|_| ()),
            },
        }
    }

    fn flows(&self) -> Vec<Flow> {
        let Manner { protocol, target, port, .. } = self.manner;
        let remote = zone::socket(target, port);
        match protocol {
            TraceProtocol::Icmp => vec![Flow::Echo { identifier: self.identifier }],
            TraceProtocol::Udp => {
                let local = self.answers.iter().filter_map(|socket| socket.local_addr().ok());
                local.map(|local| Flow::UdpAnyPort { local_port: local.port(), remote: target }).collect()
            }
            TraceProtocol::Tcp => self.ports.values().map(|(own, _)| Flow::Tcp { local_port: *own, remote }).collect(),
            // Noted when it was connected.
            TraceProtocol::TcpSession => Vec::new(),
        }
    }

    fn send(&mut self, packet: Packet) -> io::Result<()> {
        let (sent, transport) = self.craft(packet)?;
        let protocol = protocol_number(self.manner);
        let travel = Travel { ttl: packet.ttl, traffic_class: self.manner.class, identification: mark(packet.probe) };
        let to = zone::socket(self.manner.target, 0).into();
        match craft::ipv4(self.ends, protocol, travel, &transport) {
            Some(whole) => self.sending.send_to(&whole, &to)?,
            None => {
                set_ttl(&self.sending, self.manner.target, packet.ttl)?;
                self.sending.send_to(&transport, &to)?
            }
        };
        self.sent.insert(packet.probe.0, sent);
        self.order.push(packet.probe);
        Ok(())
    }

    fn hear(&mut self, clock: &Clock) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut buffer = [0_u8; RECEIVE_BYTES];
        for _ in 0..MAX_PACKETS_HEARD {
            let Some(arrival) = receive(&self.sending, true, &mut buffer) else { break };
            if let What::Left(number) = arrival.what {
                let probe = usize::try_from(number).ok().and_then(|number| self.order.get(number)).copied();
                let left = probe.zip(on_run_clock(arrival.stamp_ns, clock));
                heard.extend(left.map(|(probe, at)| Heard::Left { probe, at }));
            }
        }
        // What the sockets of IPv6 receive beside is of no use.
        while self.manner.target.is_ipv6() && receive(&self.sending, false, &mut buffer).is_some() {}
        take(&self.errors, &mut buffer, |bytes, from, ttl, stamp| {
            heard.extend(self.icmp(bytes, from, ttl).map(|found| found.heard(on_run_clock(stamp, clock))));
        });
        if let Some(answers) = &self.answers {
            take(answers, &mut buffer, |bytes, from, ttl, stamp| {
                heard.extend(self.answer(bytes, from, ttl).map(|found| found.heard(on_run_clock(stamp, clock))));
            });
        }
        heard
    }
}

enum Found {
    Answer(ProbeNumber, Answer),
    Unmatched,
}

impl Found {
    fn heard(self, at: Option<std::time::Duration>) -> Heard {
        match self {
            Self::Answer(probe, answer) => Heard::Answer { probe, answer, at },
            Self::Unmatched => Heard::Unmatched,
        }
    }
}

impl RawWire {
    fn craft(&mut self, packet: Packet) -> io::Result<(Sent, Vec<u8>)> {
        let Manner { protocol, target, port, .. } = self.manner;
        let headers = if target.is_ipv4() { 28 } else { 48 };
        let size = usize::from(packet.size).saturating_sub(headers);
        Ok(match protocol {
            TraceProtocol::Icmp => {
                let bytes = craft::echo_request(target, self.identifier, packet.probe.0, packet.flow, size);
                let checksum = target.is_ipv4().then(|| word(&bytes, 2)).flatten();
                (Sent { source_port: 0, destination_port: 0, checksum }, bytes)
            }
            TraceProtocol::Udp => {
                let source_port = self.answers.as_ref().and_then(|socket| Some(socket.local_addr().ok()?.port())).unwrap_or(port);
                let ports = (source_port, port.saturating_add(packet.flow));
                let bytes = craft::datagram(self.ends, ports, mark(packet.probe), size);
                (Sent { source_port, destination_port: ports.1, checksum: word(&bytes, 6) }, bytes)
            }
            TraceProtocol::Tcp => {
                let ports = (self.port_of(packet.flow)?, port);
                let sequence = self.first_sequence.wrapping_add(packet.probe.0.into());
                let fields = SegmentFields { sequence, flags: SYN, ..SegmentFields::default() };
                let bytes = craft::segment(self.ends, ports, fields);
                (Sent { source_port: ports.0, destination_port: port, checksum: word(&bytes, 16) }, bytes)
            }
            TraceProtocol::TcpSession => {
                let session = self.session.as_ref().ok_or(io::ErrorKind::NotConnected)?;
                let ports = (session.local_port(), port);
                // Data that the target has had already: it answers, and its program sees nothing (RFC 9293 section 3.10.7.4).
                let fields = SegmentFields {
                    sequence: session.sequence_of(packet.probe.0),
                    acknowledgment: session.acknowledgment(),
                    flags: ACK,
                    timestamps: session.timestamps(),
                    data_bytes: 1,
                };
                let bytes = craft::segment(self.ends, ports, fields);
                (Sent { source_port: ports.0, destination_port: port, checksum: word(&bytes, 16) }, bytes)
            }
        })
    }

    /// The source port of a flow, kept from others for as long as the trace runs.
    fn port_of(&mut self, flow: u16) -> io::Result<u16> {
        let flow = flow % MAX_PORTS;
        if let Some((port, _)) = self.ports.get(&flow) {
            return Ok(*port);
        }
        let socket = Socket::new(Domain::for_address(SocketAddr::new(self.ends.source, 0)), Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&zone::socket(self.ends.source, 0).into())?;
        let port = socket.local_addr()?.as_socket().map(|local| local.port()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        self.ports.insert(flow, (port, socket));
        Ok(port)
    }

    /// What an ICMP message says of a probe, where it is about one.
    fn icmp(&self, bytes: &[u8], from: SocketAddr, ttl: Option<u8>) -> Option<Found> {
        let message = match from.ip() {
            IpAddr::V4(_) => parse_v4(bytes),
            IpAddr::V6(from) => parse_v6(bytes, from),
        }?;
        let ttl = message.ttl.or(ttl);
        match message.body {
            Body::EchoReply { identifier, sequence } => {
                let ours = self.manner.protocol == TraceProtocol::Icmp
                    && identifier == self.identifier
                    && message.from == self.manner.target
                    && self.sent.contains_key(&sequence);
                ours.then(|| Found::Answer(ProbeNumber(sequence), Answer { ttl, ..Answer::plain(message.from, None) }))
            }
            Body::Error { icmp, quote, labels } => {
                let about_us = quote.destination == self.manner.target && quote.protocol == protocol_number(self.manner);
                let (probe, sent) = match self.quoted_probe(&quote).filter(|_| about_us)? {
                    Some(probe) => (probe, self.sent.get(&probe.0)?),
                    None => return Some(Found::Unmatched),
                };
                let quoted = Some(self.compared(&quote, probe, *sent));
                Some(Found::Answer(probe, Answer { ttl, labels, quoted, ..Answer::plain(message.from, Some(icmp)) }))
            }
        }
    }

    /// The probe that an error quotes. None where it quotes nothing of this trace, nothing within where it does not tell which.
    fn quoted_probe(&self, quote: &Quote<'_>) -> Option<Option<ProbeNumber>> {
        let transport = quote.transport;
        let known = |number: u16| self.sent.contains_key(&number).then_some(ProbeNumber(number));
        let by_identification = || known(quote.identification?.checked_sub(1)?);
        let port = word(transport, 2)?;
        match self.manner.protocol {
            TraceProtocol::Icmp => {
                // A translator that does not translate its errors back quotes another identifier.
                let is_request = matches!(transport.first(), Some(8 | 128));
                let ours = word(transport, 4) == Some(self.identifier) || by_identification().is_some();
                (is_request && ours).then(|| known(word(transport, 6)?).filter(|_| ours))
            }
            TraceProtocol::Udp => {
                let fits = |probe: &ProbeNumber| self.sent.get(&probe.0).is_some_and(|sent| sent.destination_port == port);
                let by_payload = || known(word(transport, 10)?.checked_sub(1)?).filter(fits);
                let by_checksum = || known(word(transport, 6)?.checked_sub(1)?).filter(fits);
                let is_ours = self.sent.values().any(|sent| sent.destination_port == port);
                let found = by_payload().or_else(|| by_identification().filter(fits)).or_else(by_checksum);
                (is_ours && quote.source == self.ends.source || found.is_some()).then_some(found)
            }
            TraceProtocol::Tcp | TraceProtocol::TcpSession => {
                let high = u32::from(word(transport, 4)?) << 16;
                let sequence = high | u32::from(word(transport, 6)?);
                let number = match &self.session {
                    Some(session) => session.number_of(sequence),
                    None => u16::try_from(sequence.wrapping_sub(self.first_sequence)).ok(),
                };
                let found = number.and_then(known).filter(|_| port == self.manner.port)?;
                Some(Some(found))
            }
        }
    }

    /// The quote beside what was sent.
    fn compared(&self, quote: &Quote<'_>, probe: ProbeNumber, sent: Sent) -> Quoted {
        let transport = quote.transport;
        let changed = |sent: Option<u16>, quoted: Option<u16>| match (sent, quoted) {
            (Some(sent), Some(quoted)) if sent != quoted => Some(Changed { sent, quoted }),
            _ => None,
        };
        let is_echo = self.manner.protocol == TraceProtocol::Icmp;
        let ports = |at: usize, sent: u16| changed((!is_echo).then_some(sent), word(transport, at));
        let checksum_at = match self.manner.protocol {
            TraceProtocol::Icmp => 2,
            TraceProtocol::Udp => 6,
            TraceProtocol::Tcp | TraceProtocol::TcpSession => 16,
        };
        let (dscp, ecn) = (self.manner.class >> 2, self.manner.class & 3);
        let (dscp_quoted, ecn_quoted) = (quote.traffic_class >> 2, quote.traffic_class & 3);
        let identification = changed(quote.identification.map(|_| mark(probe)), quote.identification);
        let identifier = changed(is_echo.then_some(self.identifier), word(transport, 4));
        Quoted {
            ttl: quote.ttl,
            dscp: dscp_quoted,
            ecn: ecn_quoted,
            dscp_sent: (dscp != dscp_quoted).then_some(dscp),
            ecn_sent: (ecn != ecn_quoted).then_some(ecn),
            source: (quote.source != self.ends.source).then_some(quote.source),
            source_port: ports(0, sent.source_port),
            destination_port: ports(2, sent.destination_port),
            identification: identification.or(identifier),
            checksum: changed(sent.checksum, word(transport, checksum_at)),
        }
    }

    /// What the target itself sent to a port of ours.
    fn answer(&self, bytes: &[u8], from: SocketAddr, ttl: Option<u8>) -> Option<Found> {
        let target = self.manner.target;
        if from.ip() != target {
            return None;
        }
        if self.manner.protocol == TraceProtocol::Udp {
            let answer = Answer { ttl, ..Answer::plain(target, None) };
            let number = word(bytes, 2).and_then(|mark| mark.checked_sub(1)).filter(|number| self.sent.contains_key(number));
            return Some(number.map_or(Found::Unmatched, |number| Found::Answer(ProbeNumber(number), answer)));
        }
        let segment = segment::parse(bytes, target.is_ipv4()).filter(|segment| segment.source_port == self.manner.port)?;
        let number = self.answered_by(&segment)?;
        let known = self.sent.get(&number).filter(|sent| sent.source_port == segment.destination_port);
        let answer = Answer { ttl: segment.ttl.or(ttl), ..Answer::plain(target, None) };
        known.map(|_| Found::Answer(ProbeNumber(number), answer))
    }

    fn answered_by(&self, segment: &Segment) -> Option<u16> {
        match &self.session {
            Some(session) => session.number_of(segment.sack?.0),
            None if segment.is_syn_ack() || segment.is_reset() => {
                u16::try_from(segment.acknowledgment.wrapping_sub(self.first_sequence).wrapping_sub(1)).ok()
            }
            None => None,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
