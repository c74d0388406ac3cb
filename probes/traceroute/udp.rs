//! UDP probes from one ordinary socket, without any right: the kernel matches the ICMP errors to the socket and queues them. The
//! destination port tells the flow, and the beginning of the payload, which nearly all routers quote, tells the probe.

use super::machine::{Answer, ProbeNumber};
use super::wire::{Heard, Packet, Traits, Wire, heard_something, on_run_clock, set_class, set_ttl};
use crate::capture::flow::Flow;
use crate::clock::Clock;
use crate::packet::extension;
use crate::packet::socket::{MAX_PACKETS_HEARD, RECEIVE_BYTES, asynchronous};
use crate::platform::dont_fragment;
use crate::platform::trace_socket::{What, prepare, receive};
use crate::zone;
use netsonde_contract::observation::{TraceClock, TraceIds, TraceLacks};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// As traceroute programs send.
const PAYLOAD: usize = 32;

/// An error that came back for an earlier probe makes a later send fail once; this many times in a row are no such accident.
const SEND_TRIES: u32 = 3;

pub(super) struct UdpWire {
    socket: UdpSocket,
    target: IpAddr,
    first_port: u16,
    /// The port tells the probe.
    each_flow: bool,
    /// The probes in the order in which they left, as the kernel numbers its stamps.
    sent: Vec<ProbeNumber>,
    /// Heard while sending, and not yet handed out.
    heard: Vec<(Found, Option<i64>)>,
}

enum Found {
    Left(ProbeNumber),
    Answer(ProbeNumber, Answer),
    Unmatched,
}

/// # Errors
/// The system's own, such as a family that it lacks.
pub(super) fn open(target: IpAddr, first_port: u16, each_flow: bool, class: u8) -> io::Result<UdpWire> {
    let socket = Socket::new(Domain::for_address(SocketAddr::new(target, 0)), Type::DGRAM, Some(Protocol::UDP))?;
    prepare(&socket, target, true, true)?;
    dont_fragment(&socket, target)?;
    set_class(&socket, target, class)?;
    Ok(UdpWire { socket: asynchronous(socket)?, target, first_port, each_flow, sent: Vec::new(), heard: Vec::new() })
}

impl Wire for UdpWire {
    fn traits(&self) -> Traits {
        let ids = if self.each_flow { TraceIds::Classic } else { TraceIds::Paris };
        Traits { ids, clock: TraceClock::KernelRxTx, lacks: vec![TraceLacks::QuotedHeaders], privileged: false }
    }

    async fn ready(&self) -> io::Result<()> {
        heard_something(&self.socket).await
    }

    fn flows(&self) -> Vec<Flow> {
        let local = self.socket.local_addr().into_iter();
        local.map(|local| Flow::UdpAnyPort { local_port: local.port(), remote: self.target }).collect()
    }

    fn send(&mut self, packet: Packet) -> io::Result<()> {
        set_ttl(&SockRef::from(&self.socket), self.target, packet.ttl)?;
        let destination = zone::socket(self.target, self.first_port.saturating_add(packet.flow));
        let headers = if self.target.is_ipv4() { 28 } else { 48 };
        let mut payload = vec![0; usize::from(packet.size).saturating_sub(headers).max(PAYLOAD)];
        if let Some(tag) = payload.first_chunk_mut() {
            *tag = packet.probe.0.to_be_bytes();
        }
        let mut tries = 1;
        loop {
            // Not tokio's own send, which would fail where the writability was never awaited.
            match SockRef::from(&self.socket).send_to(&payload, &destination.into()) {
                Err(error) if tries < SEND_TRIES && !is_too_long(&error) => tries += 1,
                Err(error) => return Err(error),
                Ok(_) => break,
            }
            self.collect();
        }
        self.sent.push(packet.probe);
        Ok(())
    }

    fn hear(&mut self, clock: &Clock) -> Vec<Heard> {
        self.collect();
        let found = std::mem::take(&mut self.heard);
        let on_clock = |(found, stamp): (Found, Option<i64>)| {
            let at = on_run_clock(stamp, clock);
            match found {
                Found::Left(probe) => at.map(|at| Heard::Left { probe, at }),
                Found::Answer(probe, answer) => Some(Heard::Answer { probe, answer, at }),
                Found::Unmatched => Some(Heard::Unmatched),
            }
        };
        found.into_iter().filter_map(on_clock).collect()
    }
}

/// The packet is larger than the interface takes.
pub(super) fn is_too_long(error: &io::Error) -> bool {
    #[cfg(unix)]
    let code = Some(nix::libc::EMSGSIZE);
    // Windows names every error of a socket by a number of its own: WSAEMSGSIZE.
    #[cfg(not(unix))]
    let code = Some(10_040);
    error.raw_os_error() == code
}

impl UdpWire {
    fn collect(&mut self) {
        let mut found = Vec::new();
        let (sent, target) = (&self.sent, self.target);
        let mut buffer = [0_u8; RECEIVE_BYTES];
        // "Would block" clears the readiness, unless a further error has come in the meantime.
        let _: io::Result<()> = self.socket.try_io(Interest::ERROR, || {
            let socket = SockRef::from(&self.socket);
            for _ in 0..MAX_PACKETS_HEARD {
                let Some(arrival) = receive(&socket, true, &mut buffer) else { break };
                let quoted = buffer.get(..arrival.length).unwrap_or_default();
                match arrival.what {
                    What::Left(number) => {
                        let probe = usize::try_from(number).ok().and_then(|number| sent.get(number)).copied();
                        found.extend(probe.map(|probe| (Found::Left(probe), arrival.stamp_ns)));
                    }
                    What::Error { icmp, extensions } => {
                        let Some(to) = arrival.peer.filter(|to| to.ip() == target) else { continue };
                        let labels = extensions.and_then(|at| quoted.get(at..)).map(extension::labels).unwrap_or_default();
                        let payload = extensions.and_then(|at| quoted.get(..at)).unwrap_or(quoted);
                        let answer = Answer { ttl: arrival.ttl, labels, ..Answer::plain(icmp.offender, Some(icmp)) };
                        let matched = match self.probe(to.port(), payload) {
                            Some(probe) => Found::Answer(probe, answer),
                            None => Found::Unmatched,
                        };
                        found.push((matched, arrival.stamp_ns));
                    }
                    What::Packet | What::Other => {}
                }
            }
            socket.take_error()?;
            Err(io::ErrorKind::WouldBlock.into())
        });
        // Where something listens on the port, the target may answer with a datagram.
        let _: io::Result<()> = self.socket.try_io(Interest::READABLE, || {
            let socket = SockRef::from(&self.socket);
            for _ in 0..MAX_PACKETS_HEARD {
                let Some(arrival) = receive(&socket, false, &mut buffer) else { break };
                let Some(from) = arrival.peer.filter(|from| from.ip() == target) else { continue };
                let echoed = buffer.get(..arrival.length).unwrap_or_default();
                let answer = Answer { ttl: arrival.ttl, ..Answer::plain(target, None) };
                // A service that sends back what it got tells the probe; of others only the port does.
                let probe = self.probe(from.port(), echoed).filter(|probe| sent.contains(probe));
                found.push((probe.map_or(Found::Unmatched, |probe| Found::Answer(probe, answer)), arrival.stamp_ns));
            }
            Err(io::ErrorKind::WouldBlock.into())
        });
        self.heard.extend(found);
    }

    fn probe(&self, port: u16, payload: &[u8]) -> Option<ProbeNumber> {
        let flow = port.checked_sub(self.first_port)?;
        let tag = payload.first_chunk().map(|tag| ProbeNumber(u16::from_be_bytes(*tag)));
        tag.filter(|probe| self.sent.contains(probe)).or(self.each_flow.then_some(ProbeNumber(flow)))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::UdpSocket as StdSocket;

    async fn answers(wire: &mut UdpWire, clock: &Clock, count: usize) -> Vec<(ProbeNumber, Answer)> {
        let mut answers = Vec::new();
        while answers.len() < count {
            let _ = wire.ready().await;
            answers.extend(wire.hear(clock).into_iter().filter_map(|heard| match heard {
                Heard::Answer { probe, answer, at } => {
                    assert!(at.is_none_or(|at| at <= clock.now()));
                    Some((probe, answer))
                }
                _ => None,
            }));
        }
        answers
    }

    #[tokio::test]
    async fn a_closed_port_and_an_echoing_one_are_both_heard_with_the_probe_that_they_answer() {
        for loopback in ["127.0.0.1", "::1"] {
            let clock = Clock::start();
            let loopback: IpAddr = loopback.parse().unwrap();
            let listener = StdSocket::bind((loopback, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut wire = open(loopback, port, false, 0).unwrap();
            let packet = |number| Packet { probe: ProbeNumber(number), ttl: 1, flow: 0, size: 0 };

            wire.send(packet(7)).unwrap();
            let mut buffer = [0; 64];
            let (length, from) = listener.recv_from(&mut buffer).unwrap();
            listener.send_to(&buffer[..length], from).unwrap();
            let heard = answers(&mut wire, &clock, 1).await;
            assert_eq!((heard[0].0, heard[0].1.from, &heard[0].1.icmp), (ProbeNumber(7), loopback, &None));

            drop(listener);
            for number in 8..11 {
                // From the second on, the error of the one before is pending when this one is sent.
                wire.send(packet(number)).unwrap();
            }
            let heard = answers(&mut wire, &clock, 3).await;
            let numbers: Vec<u16> = heard.iter().map(|(probe, _)| probe.0).collect();
            assert_eq!(numbers, [8, 9, 10], "one port, told apart by the payload");
            for (_, answer) in heard {
                assert_eq!((answer.from, answer.ttl), (loopback, Some(64)));
                assert_eq!(answer.icmp.unwrap().words(), "port unreachable");
            }
        }
    }
}
