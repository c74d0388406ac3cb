//! Echo requests from a raw socket. Everything that any program on the machine is answered arrives here too: identifier, sequence
//! number and quoted destination tell what is ours.

use super::machine::{Answer, ProbeNumber};
use super::packet::{Message, echo_request, parse_v4, parse_v6};
use super::wire::{MAX_PACKETS_HEARD, Wire, asynchronous, set_ttl};
use crate::platform::{icmp_filter, icmp_socket};
use socket2::{SockRef, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::UdpSocket;

/// Holds any ICMP error: routers quote at most up to 576 bytes (RFC 1812 section 4.3.2.3) or 1280 (RFC 4443 section 2.4).
const RECEIVE_BYTES: usize = 2_048;

pub(super) struct IcmpWire {
    socket: UdpSocket,
    target: IpAddr,
    /// Random: other traces on this machine have others.
    identifier: u16,
}

/// # Errors
/// `PermissionDenied` where the process may open no raw sockets, else the system's own.
pub(super) fn open(target: IpAddr) -> io::Result<IcmpWire> {
    let socket = icmp_socket(target, Type::RAW)?;
    icmp_filter::answers_only(&socket, target)?;
    Ok(IcmpWire { socket: asynchronous(socket)?, target, identifier: rand::random() })
}

impl Wire for IcmpWire {
    fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    fn send(&mut self, probe: ProbeNumber, ttl: u8) -> io::Result<()> {
        set_ttl(&self.socket, self.target, ttl)?;
        let request = echo_request(self.target, self.identifier, probe.0);
        SockRef::from(&self.socket).send_to(&request, &SocketAddr::new(self.target, 0).into()).map(|_| ())
    }

    fn hear(&mut self) -> Vec<(ProbeNumber, Answer)> {
        let mut heard = Vec::new();
        let mut buffer = [0_u8; RECEIVE_BYTES];
        for _ in 0..MAX_PACKETS_HEARD {
            match self.socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let received = buffer.get(..length).unwrap_or_default();
                    let message = match from.ip() {
                        IpAddr::V4(_) => parse_v4(received),
                        IpAddr::V6(from) => parse_v6(received, from),
                    };
                    heard.extend(message.and_then(|message| ours(message, self.target, self.identifier)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A pending error number: reading it took it away.
                Err(_) => {}
            }
        }
        heard
    }
}

/// The answer, where the message is about a request of this trace.
fn ours(message: Message, target: IpAddr, identifier: u16) -> Option<(ProbeNumber, Answer)> {
    let about = message.error.as_ref().map_or(message.from, |(target, _)| *target);
    (message.identifier == identifier && about == target).then(|| {
        let answer = Answer { from: message.from, icmp: message.error.map(|(_, icmp)| icmp) };
        (ProbeNumber(message.sequence), answer)
    })
}
