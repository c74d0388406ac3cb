//! UDP probes from one ordinary socket, without any right: the kernel matches the ICMP errors to the socket and queues them, and
//! the destination port that each error quotes tells the probe.

use super::machine::{Answer, ProbeNumber};
use super::wire::{MAX_PACKETS_HEARD, Wire, asynchronous, set_ttl};
use crate::platform::error_queue;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// As traceroute programs send.
const PAYLOAD: [u8; 32] = [0; 32];

/// An error that came back for an earlier probe makes a later send fail once; this many times in a row are no such accident.
const SEND_TRIES: u32 = 3;

pub(super) struct UdpWire {
    socket: UdpSocket,
    target: IpAddr,
    first_port: u16,
    /// Heard while sending, and not yet handed out.
    heard: Vec<(ProbeNumber, Answer)>,
}

/// # Errors
/// The system's own, such as a family that it lacks.
pub(super) fn open(target: IpAddr, first_port: u16) -> io::Result<UdpWire> {
    let socket = Socket::new(Domain::for_address(SocketAddr::new(target, 0)), Type::DGRAM, Some(Protocol::UDP))?;
    error_queue::enable(&socket, target)?;
    Ok(UdpWire { socket: asynchronous(socket)?, target, first_port, heard: Vec::new() })
}

impl Wire for UdpWire {
    fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    fn send(&mut self, probe: ProbeNumber, ttl: u8) -> io::Result<()> {
        set_ttl(&self.socket, self.target, ttl)?;
        let destination = SocketAddr::new(self.target, self.first_port.saturating_add(probe.0));
        let mut tries = 1;
        loop {
            // Not tokio's own send, which would fail where the writability was never awaited.
            match SockRef::from(&self.socket).send_to(&PAYLOAD, &destination.into()) {
                Err(_) if tries < SEND_TRIES => tries += 1,
                sent => return sent.map(|_| ()),
            }
            self.collect();
        }
    }

    fn hear(&mut self) -> Vec<(ProbeNumber, Answer)> {
        self.collect();
        std::mem::take(&mut self.heard)
    }
}

impl UdpWire {
    fn collect(&mut self) {
        let mut errors = Vec::new();
        // "Would block" clears the readiness, unless a further error has come in the meantime.
        let _: io::Result<()> = self.socket.try_io(Interest::ERROR, || {
            errors = error_queue::drain(&SockRef::from(&self.socket));
            self.socket.take_error()?;
            Err(io::ErrorKind::WouldBlock.into())
        });
        for error in errors {
            let probe = error.destination.filter(|to| to.ip() == self.target).and_then(|to| self.probe(to.port()));
            let answer = Answer { from: error.icmp.offender, icmp: Some(error.icmp) };
            self.heard.extend(probe.map(|probe| (probe, answer)));
        }
        // Where something listens on the port, the target may answer with a datagram.
        let mut buffer = [0_u8; 64];
        for _ in 0..MAX_PACKETS_HEARD {
            match self.socket.try_recv_from(&mut buffer) {
                Ok((_, from)) if from.ip() == self.target => {
                    let answer = Answer { from: from.ip(), icmp: None };
                    self.heard.extend(self.probe(from.port()).map(|probe| (probe, answer)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn probe(&self, port: u16) -> Option<ProbeNumber> {
        port.checked_sub(self.first_port).map(ProbeNumber)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::traceroute::wire::heard_something;
    use std::net::UdpSocket as StdSocket;

    #[tokio::test]
    async fn a_closed_port_and_an_answering_one_are_both_heard() {
        for loopback in ["127.0.0.1", "::1"] {
            let loopback: IpAddr = loopback.parse().unwrap();
            let listener = StdSocket::bind((loopback, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut wire = open(loopback, port).unwrap();

            wire.send(ProbeNumber(0), 1).unwrap();
            let (_, from) = listener.recv_from(&mut [0; 64]).unwrap();
            listener.send_to(b"hello", from).unwrap();
            heard_something(wire.socket()).await.unwrap();
            assert_eq!(wire.hear(), [(ProbeNumber(0), Answer { from: loopback, icmp: None })]);

            drop(listener);
            for _ in 0..3 {
                // From the second on, the error of the one before is pending when this one is sent.
                wire.send(ProbeNumber(0), 1).unwrap();
            }
            heard_something(wire.socket()).await.unwrap();
            let heard = wire.hear();
            assert_eq!(heard.len(), 3);
            for (probe, answer) in heard {
                assert_eq!((probe, answer.from), (ProbeNumber(0), loopback));
                assert_eq!(answer.icmp.unwrap().words(), "port unreachable");
            }
        }
    }
}
