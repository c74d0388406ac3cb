//! ICMP errors that the kernel keeps for a socket: who sent them, and about which destination (ip(7) and ipv6(7), `IP_RECVERR`).
//!
//! Without the queue an ICMP error is only an error number on the socket, and its sender is lost. Linux only: elsewhere nothing
//! is queued, and the error number is all there is.

use netsonde_contract::failure::IcmpError;
use socket2::Socket;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// One ICMP error that came back for something the socket sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuedError {
    pub(crate) icmp: IcmpError,
    /// Where the packet that caused the error was going, with the port that the error quotes.
    pub(crate) destination: Option<SocketAddr>,
}

/// Has the kernel queue ICMP errors on a socket that is to send to `peer`.
///
/// # Errors
/// Where the system has such a queue and refuses it.
#[cfg(target_os = "linux")]
pub(crate) fn enable(socket: &Socket, peer: IpAddr) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    match peer {
        IpAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true)?,
        IpAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true)?,
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn enable(_socket: &Socket, _peer: IpAddr) -> io::Result<()> {
    Ok(())
}

/// Ends what [`enable`] began: what is queued is dropped, and later errors are handled as for any other socket. Where the system
/// refuses, the queue stays.
#[cfg(target_os = "linux")]
pub(crate) fn disable(socket: &Socket, peer: IpAddr) {
    use nix::sys::socket::{setsockopt, sockopt};
    let _ = match peer {
        IpAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &false),
        IpAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &false),
    };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn disable(_socket: &Socket, _peer: IpAddr) {}

/// Takes every queued error off the socket without waiting, those of the local stack left out.
///
/// The socket's pending error number (`SO_ERROR`) is another thing and stays: whoever waits on the socket has to take that too,
/// or is woken for it again.
#[cfg(target_os = "linux")]
pub(crate) fn drain(socket: &Socket) -> Vec<QueuedError> {
    let mut errors = Vec::new();
    for _ in 0..linux::MAX_ERRORS {
        match linux::take(socket) {
            Some(Some(error)) => errors.push(error),
            Some(None) => {}
            None => break,
        }
    }
    errors
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn drain(_socket: &Socket) -> Vec<QueuedError> {
    Vec::new()
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{IcmpError, IpAddr, QueuedError, Socket, SocketAddr};
    use nix::libc::{self, sock_extended_err, sockaddr_in6};
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
    use std::io::IoSliceMut;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
    use std::os::fd::AsRawFd;

    /// One call takes at most so many, so that a flood of errors cannot hold the caller. The kernel's queue is smaller: it counts
    /// against the receive buffer.
    pub(super) const MAX_ERRORS: usize = 1_024;

    /// The next entry of the queue: nothing where the queue is empty, `Some(None)` where the entry is no ICMP error.
    pub(super) fn take(socket: &Socket) -> Option<Option<QueuedError>> {
        // The quoted data is not used: destination and port come with the address.
        let mut quoted = [0_u8; 64];
        let mut slices = [IoSliceMut::new(&mut quoted)];
        // Beside the error stands what else the socket asks for, such as the hop limit, and in IPv6 it stands first.
        let mut control = nix::cmsg_space!(sock_extended_err, sockaddr_in6, [u8; 64]);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags).ok()?;
        let destination = message.address.as_ref().and_then(socket_address);
        let icmp = message.cmsgs().ok().and_then(|mut entries| entries.find_map(icmp_error));
        Some(icmp.map(|icmp| QueuedError { icmp, destination }))
    }

    fn icmp_error(entry: ControlMessageOwned) -> Option<IcmpError> {
        let (error, offender) = match entry {
            ControlMessageOwned::Ipv4RecvErr(error, Some(offender)) => {
                (error, IpAddr::V4(Ipv4Addr::from(offender.sin_addr.s_addr.to_ne_bytes())))
            }
            ControlMessageOwned::Ipv6RecvErr(error, Some(offender)) => {
                (error, IpAddr::V6(Ipv6Addr::from(offender.sin6_addr.s6_addr)))
            }
            _ => return None,
        };
        let mtu = match (error.ee_origin, error.ee_type, error.ee_code) {
            (libc::SO_EE_ORIGIN_ICMP, 3, 4) | (libc::SO_EE_ORIGIN_ICMP6, 2, _) => Some(error.ee_info),
            (libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6, ..) => None,
            _ => return None,
        };
        Some(IcmpError { offender, kind: error.ee_type, code: error.ee_code, mtu })
    }

    fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = || storage.as_sockaddr_in().map(|address| SocketAddrV4::from(*address).into());
        let v6 = || storage.as_sockaddr_in6().map(|address| SocketAddrV6::from(*address).into());
        v4().or_else(v6)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::net::UdpSocket;

    #[test]
    fn a_closed_udp_port_is_told_with_its_sender_in_both_families() {
        for (loopback, kind, code) in [("127.0.0.1", 3, 3), ("::1", 1, 4)] {
            let loopback: IpAddr = loopback.parse().unwrap();
            let closed = UdpSocket::bind((loopback, 0)).unwrap().local_addr().unwrap();
            let socket = UdpSocket::bind((loopback, 0)).unwrap();
            enable(&SockRef::from(&socket), loopback).unwrap();
            socket.send_to(b"x", closed).unwrap();
            // On loopback the answer is there before `send_to` returns.
            let errors = drain(&SockRef::from(&socket));
            let icmp = IcmpError { offender: loopback, kind, code, mtu: None };
            assert_eq!(errors, [QueuedError { icmp, destination: Some(closed) }]);
            assert!(drain(&SockRef::from(&socket)).is_empty(), "the queue is empty afterwards");
        }
    }
}
