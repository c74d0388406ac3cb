use crate::platform::trace_socket::{prepare, receive};
use crate::platform::{dont_fragment, icmp_filter, icmp_socket};
use crate::zone;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// One call reads at most so many packets of a socket, so that a flood cannot keep a probe from sending.
pub(crate) const MAX_PACKETS_HEARD: usize = 1_024;

/// Holds any ICMP error: routers quote at most up to 576 bytes (RFC 1812 section 4.3.2.3) or 1280 (RFC 4443 section 2.4).
pub(crate) const RECEIVE_BYTES: usize = 2_048;

/// A raw socket for crafted packets that nobody may cut: for IPv4 with their IP header, for IPv6 without. With `stamped` the kernel
/// stamps them on their way out. That of IPv6 also receives, which is of no use.
///
/// # Errors
/// `PermissionDenied` where the process may open no raw sockets, else the system's own.
pub(crate) fn sending(target: IpAddr, protocol: u8, stamped: bool) -> io::Result<Socket> {
    let socket = match target {
        // 255 stands for packets that come with their header.
        IpAddr::V4(_) => Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)))?,
        IpAddr::V6(_) => Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(i32::from(protocol))))?,
    };
    socket.set_nonblocking(true)?;
    prepare(&socket, target, false, stamped)?;
    dont_fragment(&socket, target)?;
    Ok(socket)
}

/// A raw socket that gets ICMP errors and echo replies of the target's family.
///
/// # Errors
/// As [`sending`].
pub(crate) fn errors(target: IpAddr) -> io::Result<UdpSocket> {
    messages(target, Type::RAW)
}

/// A socket that sends echo requests and gets ICMP errors and echo replies of the target's family: a raw one, or on macOS a datagram one, which
/// gets all that a raw one does and needs no right (icmp(4) there).
///
/// # Errors
/// As [`sending`].
pub(crate) fn messages(target: IpAddr, kind: Type) -> io::Result<UdpSocket> {
    let socket = icmp_socket(target, kind)?;
    icmp_filter::answers_only(&socket, target)?;
    prepare(&socket, target, false, false)?;
    asynchronous(socket)
}

/// A raw socket that gets every segment of the target.
///
/// # Errors
/// As [`sending`].
pub(crate) fn segments(target: IpAddr) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(SocketAddr::new(target, 0));
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::TCP))?;
    socket.connect(&zone::socket(target, 0).into())?;
    prepare(&socket, target, false, false)?;
    asynchronous(socket)
}

/// Sets DSCP and ECN of what is sent next, where they are not the usual zero.
///
/// # Errors
/// The system's own; of kind `Unsupported` where it has no such option.
pub(crate) fn set_class(socket: &Socket, target: IpAddr, class: u8) -> io::Result<()> {
    match target {
        _ if class == 0 => Ok(()),
        IpAddr::V4(_) => socket.set_tos_v4(u32::from(class)),
        #[cfg(unix)]
        IpAddr::V6(_) => socket.set_tclass_v6(u32::from(class)),
        #[cfg(not(unix))]
        IpAddr::V6(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// A socket for tokio: the standard library's datagram type serves raw sockets as well.
pub(crate) fn asynchronous(socket: Socket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(StdSocket::from(socket))
}

/// Takes every packet off a socket: its bytes, sender, TTL and stamp.
pub(crate) fn take(socket: &UdpSocket, buffer: &mut [u8], mut show: impl FnMut(&[u8], SocketAddr, Option<u8>, Option<i64>)) {
    // "Would block" clears the readiness.
    let _: io::Result<()> = socket.try_io(Interest::READABLE, || {
        for _ in 0..MAX_PACKETS_HEARD {
            let mut next = || receive(&SockRef::from(socket), false, buffer);
            // An ICMP error about what another socket sent makes one call fail, and packets may wait behind it.
            let Some(arrival) = next().or_else(next) else { break };
            if let Some(from) = arrival.peer {
                show(buffer.get(..arrival.length).unwrap_or_default(), from, arrival.ttl, arrival.stamp_ns);
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    });
}
