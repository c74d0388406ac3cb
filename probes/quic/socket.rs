use crate::platform::{datagram, dont_fragment, ecn, error_queue};
use netsonde_contract::failure::{Failure, Step};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use tokio::net::UdpSocket;

/// What the system lets a socket do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Able {
    /// Send packets that no router may cut, so that the largest can be searched for.
    pub(super) whole: bool,
}

/// A socket that only hears the server, and the ICMP errors about it.
///
/// # Errors
/// The system's own.
pub(super) fn open(server: SocketAddr) -> Result<(UdpSocket, Able), Failure> {
    try_open(server).map_err(|error| Failure::from_io(&error, Step::Open))
}

fn try_open(server: SocketAddr) -> io::Result<(UdpSocket, Able)> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    error_queue::enable(&socket, server.ip())?;
    // Where the system cannot, the search for the largest packet is left out.
    let whole = dont_fragment(&socket, server.ip()).is_ok();
    socket.connect(&server.into())?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(StdSocket::from(socket))?;
    datagram::enable(&socket, server.ip())?;
    Ok((socket, Able { whole }))
}

/// Sends one datagram, marked as of a connection that understands congestion marks or not. `false` says that it was not marked though
/// it should have been.
///
/// # Errors
/// The system's own.
pub(super) async fn send(socket: &UdpSocket, bytes: &[u8], server: SocketAddr, marked: bool) -> io::Result<bool> {
    let is_marked = ecn::mark(&SockRef::from(socket), server.ip(), marked).is_ok();
    socket.send(bytes).await?;
    Ok(is_marked)
}
