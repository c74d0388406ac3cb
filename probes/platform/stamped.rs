//! Datagrams with all that the system tells of their arrival: when, to which address, with which TTL and traffic class; and replies that
//! leave from the address that was asked.

use socket2::Socket;
use std::io;
use std::net::{IpAddr, SocketAddr};
#[cfg(target_os = "linux")]
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// One datagram's arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) bytes: usize,
    pub(crate) from: Option<SocketAddr>,
    /// The address that it was sent to.
    pub(crate) to: Option<IpAddr>,
    pub(crate) ttl: Option<u8>,
    pub(crate) traffic_class: Option<u8>,
    /// The kernel's stamp, in nanoseconds of the wall clock since 1970.
    pub(crate) stamp_ns: Option<i64>,
}

/// The name of what stamps arrivals, for facts.
pub(crate) const STAMPED_BY: &str = if cfg!(target_os = "linux") { "kernel_rx" } else { "program" };

/// Has the system tell of every datagram that comes to a socket of this family.
///
/// # Errors
/// Where the system can tell and refuses to.
#[cfg(target_os = "linux")]
pub(crate) fn enable(socket: &Socket, family: IpAddr) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
    match family {
        IpAddr::V4(_) => {
            setsockopt(socket, sockopt::Ipv4RecvTtl, &true)?;
            setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
            socket.set_recv_tos_v4(true)
        }
        IpAddr::V6(_) => {
            setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true)?;
            setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            socket.set_recv_tclass_v6(true)
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn enable(_socket: &Socket, _family: IpAddr) -> io::Result<()> {
    Ok(())
}

/// The next datagram.
///
/// # Errors
/// The socket's own, ICMP errors that came back among them.
#[cfg(target_os = "linux")]
pub(crate) async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Arrived> {
    // An ICMP error alone makes a socket erroneous and not readable.
    socket.async_io(Interest::READABLE | Interest::ERROR, || linux::receive(socket, buffer)).await
}

#[cfg(not(target_os = "linux"))]
pub(crate) async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Arrived> {
    let (bytes, from) = socket.recv_from(buffer).await?;
    Ok(Arrived { bytes, from: Some(from), ..Arrived::default() })
}

/// Sends a datagram without waiting, from this address where one is given, with this traffic class.
///
/// # Errors
/// The system's own; `WouldBlock` where there is no room for it.
#[cfg(target_os = "linux")]
pub(crate) fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr, from: Option<IpAddr>, traffic_class: u8) -> io::Result<()> {
    linux::send(socket, bytes, to, from, traffic_class)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn send(
    socket: &UdpSocket,
    bytes: &[u8],
    to: SocketAddr,
    _from: Option<IpAddr>,
    _traffic_class: u8,
) -> io::Result<()> {
    socket.try_send_to(bytes, to).map(|_| ())
}

/// Whether [`send`] sets the traffic class of each datagram.
pub(crate) const SETS_TRAFFIC_CLASS: bool = cfg!(target_os = "linux");

#[cfg(target_os = "linux")]
mod linux {
    use super::{Arrived, IpAddr, SocketAddr};
    use nix::libc::{c_int, in_addr, in_pktinfo, in6_addr, in6_pktinfo, timespec};
    use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg};
    use std::io::{self, IoSlice, IoSliceMut};
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
    use std::os::fd::AsRawFd;
    use tokio::net::UdpSocket;

    pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Arrived> {
        let mut slices = [IoSliceMut::new(buffer)];
        let mut control = nix::cmsg_space!(c_int, c_int, in6_pktinfo, timespec);
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
        let from = message.address.as_ref().and_then(socket_address);
        let mut arrived = Arrived { bytes: message.bytes, from, ..Arrived::default() };
        for entry in message.cmsgs().into_iter().flatten() {
            match entry {
                ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => {
                    arrived.ttl = u8::try_from(ttl).ok()
                }
                ControlMessageOwned::Ipv4Tos(tos) => arrived.traffic_class = Some(tos),
                ControlMessageOwned::Ipv6TClass(class) => arrived.traffic_class = u8::try_from(class).ok(),
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    arrived.to = Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into());
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => arrived.to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into()),
                ControlMessageOwned::ScmTimestampns(stamp) => {
                    arrived.stamp_ns = Some(stamp.tv_sec().saturating_mul(1_000_000_000).saturating_add(stamp.tv_nsec()));
                }
                _ => {}
            }
        }
        Ok(arrived)
    }

    pub(super) fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr, from: Option<IpAddr>, class: u8) -> io::Result<()> {
        let slices = [IoSlice::new(bytes)];
        let address = SockaddrStorage::from(to);
        let wide = i32::from(class);
        let v4 = |source: Ipv4Addr| in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(source.octets()) },
            ipi_addr: in_addr { s_addr: 0 },
        };
        let v6 = |source: Ipv6Addr| in6_pktinfo { ipi6_addr: in6_addr { s6_addr: source.octets() }, ipi6_ifindex: 0 };
        let (source_v4, source_v6);
        let mut control = vec![match to {
            SocketAddr::V4(_) => ControlMessage::Ipv4Tos(&class),
            SocketAddr::V6(_) => ControlMessage::Ipv6TClass(&wide),
        }];
        match from {
            Some(IpAddr::V4(source)) => {
                source_v4 = v4(source);
                control.push(ControlMessage::Ipv4PacketInfo(&source_v4));
            }
            Some(IpAddr::V6(source)) => {
                source_v6 = v6(source);
                control.push(ControlMessage::Ipv6PacketInfo(&source_v6));
            }
            None => {}
        }
        sendmsg(socket.as_raw_fd(), &slices, &control, MsgFlags::MSG_DONTWAIT, Some(&address))?;
        Ok(())
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

    #[tokio::test]
    async fn a_datagram_tells_when_and_how_it_came_in_both_families() {
        for loopback in ["127.0.0.1", "::1"] {
            let loopback: IpAddr = loopback.parse().unwrap();
            let sender = UdpSocket::bind((loopback, 0)).await.unwrap();
            let socket = UdpSocket::bind((loopback, 0)).await.unwrap();
            enable(&SockRef::from(&socket), loopback).unwrap();
            send(&sender, b"abc", socket.local_addr().unwrap(), Some(loopback), 46 << 2).unwrap();
            let arrived = receive(&socket, &mut [0; 16]).await.unwrap();
            assert_eq!((arrived.bytes, arrived.from, arrived.to), (3, Some(sender.local_addr().unwrap()), Some(loopback)));
            assert_eq!((arrived.ttl, arrived.traffic_class), (Some(64), Some(46 << 2)));
            assert!(arrived.stamp_ns.is_some_and(|stamp| stamp > 1_700_000_000_000_000_000));
        }
    }
}
