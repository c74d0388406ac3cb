use crate::capture::flow::Flow;
use crate::context::Context;
use crate::counted::Counted;
use crate::platform::error_queue;
use crate::platform::tcp::{is_in_progress, limit_segments};
use netsonde_contract::failure::{Failure, Step};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A connection of which the budget leaves no more than this has the kernel take in no more than is left: what the kernel took in beyond it would
/// have come for nothing.
const NEARLY_USED_UP: u64 = 1 << 20;

impl Context {
    /// Connects. The flow is noted before its first packet is answered, so that a capture keeps what a refusal looked like.
    ///
    /// # Errors
    /// The system's own, with the ICMP error behind it where one ended the attempt.
    pub(crate) async fn connect(&self, address: SocketAddr) -> Result<Counted, Failure> {
        self.connect_noting(address, &mut None).await
    }

    /// As [`Self::connect`], and notes the local port as soon as it is known: a socket that failed may have lost it.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn connect_noting(&self, address: SocketAddr, local_port: &mut Option<u16>) -> Result<Counted, Failure> {
        let open = |error: io::Error| Failure::from_io(&error, Step::Open);
        let socket = socket(address).map_err(open)?;
        if let Some(bytes) = self.max_segment_bytes {
            limit_segments(&socket, bytes).map_err(open)?;
        }
        if let Some(left) = Some(self.gate.bytes_left()).filter(|left| *left < NEARLY_USED_UP) {
            // A system that refuses this lets more come in before the end is seen.
            let _ = socket.set_recv_buffer_size(usize::try_from(left).unwrap_or(usize::MAX));
        }
        let begun = match socket.connect(&address.into()) {
            Err(error) if !is_in_progress(&error) => Err(error),
            _ => Ok(()),
        };
        if let Some(local) = socket.local_addr().ok().and_then(|local| local.as_socket()) {
            *local_port = Some(local.port());
            self.flow(Flow::Tcp { local_port: local.port(), remote: address });
        }
        begun.map_err(|error| failed(&error, &socket))?;
        let stream = TcpStream::from_std(StdStream::from(socket)).map_err(open)?;
        decided(&stream).await.map_err(|error| failed(&error, &SockRef::from(&stream)))?;
        // What comes later is the connection's own: with a queue every passing ICMP error would end a read that waits.
        error_queue::disable(&SockRef::from(&stream), address.ip());
        Ok(Counted::new(stream, &self.gate))
    }

    /// Notes that what is exchanged with `remote` from this local address is this check's.
    pub(crate) fn datagrams(&self, local: io::Result<SocketAddr>, remote: SocketAddr) {
        if let Ok(local) = local {
            self.flow(Flow::Udp { local_port: local.port(), remote });
        }
    }
}

/// A non-blocking socket that keeps the ICMP errors which answer it.
///
/// # Errors
/// The system's own.
pub(crate) fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    error_queue::enable(&socket, address.ip())?;
    Ok(socket)
}

/// Waits until the connection stands or has failed.
///
/// # Errors
/// Why it failed.
pub(crate) async fn decided(stream: &TcpStream) -> io::Result<()> {
    loop {
        stream.writable().await?;
        // A queued ICMP error wakes the writer though nothing is decided; "would block" clears that wake-up.
        let decided = stream.try_io(Interest::WRITABLE, || match stream.take_error()? {
            Some(error) => Err(error),
            None if stream.peer_addr().is_ok() => Ok(()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        });
        match decided {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && error.raw_os_error().is_none() => {}
            decided => return decided,
        }
    }
}

/// Adds the ICMP error that the kernel kept, the last where there are several: that one ended the attempt.
pub(crate) fn with_cause(failure: Failure, socket: &Socket) -> Failure {
    match error_queue::drain(socket).pop() {
        Some(error) => failure.with_icmp(error.icmp),
        None => failure,
    }
}

fn failed(error: &io::Error, socket: &Socket) -> Failure {
    with_cause(Failure::from_io(error, Step::Connect), socket)
}
