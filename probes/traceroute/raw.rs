//! Probes of every protocol from raw sockets: each field of them is ours, and routers' quotes tell which they changed on the way.
//!
//! Within a flow all is constant that routers hash (ports, or type, code and checksum of an echo request). What tells the probes apart
//! is the IPv4 identification, beside the checksum of a datagram, the sequence number of a segment or of an echo request.

use super::machine::ProbeNumber;
use super::matching::{Manner, Probes, Sent, mark, protocol_number};
use super::wire::{Heard, Packet, Traits, Wire, on_run_clock, set_class, set_ttl};
use crate::capture::flow::Flow;
use crate::clock::Clock;
use crate::packet::craft::{self, SegmentFields, Travel};
use crate::packet::segment::{ACK, SYN};
use crate::packet::session::Session;
use crate::packet::socket::{self, MAX_PACKETS_HEARD, RECEIVE_BYTES, asynchronous, take};
use crate::packet::word;
use crate::platform::trace_socket::{What, prepare, receive};
use crate::zone;
use netsonde_contract::observation::{TraceClock, TraceIds, TraceProtocol};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Flows beyond so many share their ports: each takes a socket.
const MAX_PORTS: u16 = 300;

pub(super) struct RawWire {
    probes: Probes,
    sending: Socket,
    /// ICMP errors and echo replies.
    errors: UdpSocket,
    /// What the target itself sends to our ports: segments for TCP, datagrams for UDP.
    answers: Option<UdpSocket>,
    /// The source ports of the flows, kept from others by sockets that nothing is done with.
    ports: HashMap<u16, (u16, Socket)>,
    /// The probes in the order in which they left, as the kernel numbers its stamps.
    order: Vec<ProbeNumber>,
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
        probes: Probes::new(manner, source, session, true),
        sending,
        errors,
        answers,
        ports: HashMap::new(),
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

impl Wire for RawWire {
    fn traits(&self) -> Traits {
        let ids = match (self.probes.manner.each_flow, self.probes.manner.target) {
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
        let Manner { protocol, target, port, .. } = self.probes.manner;
        let remote = zone::socket(target, port);
        match protocol {
            TraceProtocol::Icmp => vec![Flow::Echo { identifier: self.probes.identifier }],
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
        let protocol = protocol_number(self.probes.manner);
        let travel = Travel { ttl: packet.ttl, traffic_class: self.probes.manner.class, identification: mark(packet.probe) };
        let to = zone::socket(self.probes.manner.target, 0).into();
        match craft::ipv4(self.probes.ends, protocol, travel, &transport) {
            Some(whole) => self.sending.send_to(&whole, &to)?,
            None => {
                set_ttl(&self.sending, self.probes.manner.target, packet.ttl)?;
                self.sending.send_to(&transport, &to)?
            }
        };
        self.probes.sent.insert(packet.probe.0, sent);
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
        while self.probes.manner.target.is_ipv6() && receive(&self.sending, false, &mut buffer).is_some() {}
        take(&self.errors, &mut buffer, |bytes, from, ttl, stamp| {
            heard.extend(self.probes.icmp(bytes, from, ttl).map(|found| found.heard(on_run_clock(stamp, clock))));
        });
        if let Some(answers) = &self.answers {
            take(answers, &mut buffer, |bytes, from, ttl, stamp| {
                heard.extend(self.probes.answer(bytes, from, ttl).map(|found| found.heard(on_run_clock(stamp, clock))));
            });
        }
        heard
    }
}

impl RawWire {
    fn craft(&mut self, packet: Packet) -> io::Result<(Sent, Vec<u8>)> {
        let Manner { protocol, port, .. } = self.probes.manner;
        Ok(match protocol {
            TraceProtocol::Icmp => self.probes.echo_request(packet),
            TraceProtocol::Udp => {
                let source_port = self.answers.as_ref().and_then(|socket| Some(socket.local_addr().ok()?.port())).unwrap_or(port);
                let ports = (source_port, port.saturating_add(packet.flow));
                let bytes = craft::datagram(self.probes.ends, ports, mark(packet.probe), self.probes.payload_of(packet));
                (Sent { source_port, destination_port: ports.1, checksum: word(&bytes, 6) }, bytes)
            }
            TraceProtocol::Tcp => {
                let ports = (self.port_of(packet.flow)?, port);
                let sequence = self.probes.first_sequence.wrapping_add(packet.probe.0.into());
                let fields = SegmentFields { sequence, flags: SYN, ..SegmentFields::default() };
                let bytes = craft::segment(self.probes.ends, ports, fields);
                (Sent { source_port: ports.0, destination_port: port, checksum: word(&bytes, 16) }, bytes)
            }
            TraceProtocol::TcpSession => {
                let session = self.probes.session.as_ref().ok_or(io::ErrorKind::NotConnected)?;
                let ports = (session.local_port(), port);
                // Data that the target has had already: it answers, and its program sees nothing (RFC 9293 section 3.10.7.4).
                let fields = SegmentFields {
                    sequence: session.sequence_of(packet.probe.0),
                    acknowledgment: session.acknowledgment(),
                    flags: ACK,
                    timestamps: session.timestamps(),
                    data_bytes: 1,
                };
                let bytes = craft::segment(self.probes.ends, ports, fields);
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
        let socket =
            Socket::new(Domain::for_address(SocketAddr::new(self.probes.ends.source, 0)), Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&zone::socket(self.probes.ends.source, 0).into())?;
        let port = socket.local_addr()?.as_socket().map(|local| local.port()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        self.ports.insert(flow, (port, socket));
        Ok(port)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
