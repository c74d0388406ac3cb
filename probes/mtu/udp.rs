use super::search::Event;
use super::wire::{Heard, Wire};
use crate::capture::flow::Flow;
use crate::context::Context;
use crate::platform::dont_fragment;
use crate::platform::error_queue::{self, QueuedError};
use crate::zone;
use netsonde_contract::failure::{Failure, IcmpMeaning, Step};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// An error that came back for an earlier packet makes a later send fail once; this many times in a row are no such accident.
const SEND_TRIES: u32 = 3;

/// Packets sent one at a time, each to a port of its own, so that a late answer is not taken for the next packet's.
pub(super) struct UdpWire {
    socket: UdpSocket,
    target: IpAddr,
    /// The port that the last packet went to.
    port: u16,
}

/// # Errors
/// The system's own, such as a family that it lacks; of kind `Unsupported` where it cannot forbid cutting.
pub(super) fn open(context: &Context, target: IpAddr, first_port: u16) -> io::Result<UdpWire> {
    let socket = Socket::new(Domain::for_address(SocketAddr::new(target, 0)), Type::DGRAM, Some(Protocol::UDP))?;
    dont_fragment(&socket, target)?;
    error_queue::enable(&socket, target)?;
    socket.set_nonblocking(true)?;
    // Its port is known from the first packet on.
    let any: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    socket.bind(&SocketAddr::new(any, 0).into())?;
    let socket = UdpSocket::from_std(StdSocket::from(socket))?;
    if let Ok(local) = socket.local_addr() {
        context.flow(Flow::UdpAnyPort { local_port: local.port(), remote: target });
    }
    Ok(UdpWire { socket, target, port: first_port.wrapping_sub(1) })
}

impl Wire for UdpWire {
    /// Hosts limit ICMP errors to one a second for each peer (Linux, `icmp_ratelimit`), after a few at once.
    const REST: Duration = Duration::from_millis(1_100);

    fn target(&self) -> IpAddr {
        self.target
    }

    async fn ready(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn send(&mut self, size_bytes: u32) -> io::Result<()> {
        // IPv4 without options and IPv6 without extensions, and UDP.
        let headers = if self.target.is_ipv4() { 20 + 8 } else { 40 + 8 };
        let payload = vec![0_u8; usize::try_from(size_bytes.saturating_sub(headers)).unwrap_or(0)];
        // Port 0 is nobody's.
        self.port = self.port.checked_add(1).unwrap_or(1);
        let destination = zone::socket(self.target, self.port);
        let mut tries = 1;
        loop {
            // Not tokio's own send, which would fail where the writability was never awaited.
            match SockRef::from(&self.socket).send_to(&payload, &destination.into()) {
                Err(error) if tries < SEND_TRIES && !is_too_long(&error) => tries += 1,
                sent => return sent.map(|_| ()),
            }
            self.errors();
        }
    }

    async fn answer(&mut self) -> Result<Heard, Failure> {
        loop {
            let own = self.errors().into_iter().find(|error| self.is_own(error.destination));
            if let Some(QueuedError { icmp, .. }) = own {
                return Ok(Heard::Event(match icmp.meaning() {
                    IcmpMeaning::PortUnreachable if icmp.offender == self.target => Event::Passed,
                    IcmpMeaning::PacketTooBig => Event::TooBig(icmp),
                    _ => Event::Refused(icmp),
                }));
            }
            // Where something listens on the port, it may answer.
            match self.socket.try_recv_from(&mut [0_u8; 64]) {
                Ok((_, from)) if self.is_own(Some(from)) => return Ok(Heard::Event(Event::Passed)),
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An error that the queue has told, or will tell, more of.
                Err(_) => continue,
            }
            // Writability is left out: a queued error would make it true for ever.
            let ready = self.socket.ready(Interest::READABLE | Interest::ERROR).await;
            ready.map_err(|error| Failure::from_io(&error, Step::Send))?;
        }
    }
}

impl UdpWire {
    fn is_own(&self, peer: Option<SocketAddr>) -> bool {
        peer.is_some_and(|peer| peer.ip() == self.target && peer.port() == self.port)
    }

    fn errors(&self) -> Vec<QueuedError> {
        let mut errors = Vec::new();
        // "Would block" clears the readiness, unless a further error has come in the meantime.
        let _: io::Result<()> = self.socket.try_io(Interest::ERROR, || {
            errors = error_queue::drain(&SockRef::from(&self.socket));
            self.socket.take_error()?;
            Err(io::ErrorKind::WouldBlock.into())
        });
        errors
    }
}

fn is_too_long(error: &io::Error) -> bool {
    use netsonde_contract::failure::FailureCode;
    FailureCode::from_io(error) == FailureCode::MessageTooLong
}
