//! Datagrams with the TTL or hop limit that they had left, which tells a reply that came from another place.

use std::io;
use std::net::IpAddr;
#[cfg(target_os = "linux")]
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Has the system tell the TTL or hop limit of what the socket receives from `peer`.
///
/// # Errors
/// Where the system can tell and refuses to.
#[cfg(target_os = "linux")]
pub(crate) fn enable(socket: &UdpSocket, peer: IpAddr) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    match peer {
        IpAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvTtl, &true)?,
        IpAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true)?,
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn enable(_socket: &UdpSocket, _peer: IpAddr) -> io::Result<()> {
    Ok(())
}

/// The next datagram of a connected socket: its size and the TTL that it had left, where the system tells it.
///
/// # Errors
/// The socket's own, ICMP errors that came back among them.
#[cfg(target_os = "linux")]
pub(crate) async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Option<u8>)> {
    // An ICMP error alone makes a socket erroneous and not readable.
    let interest = Interest::READABLE | Interest::ERROR;
    socket.async_io(interest, || linux::receive(socket, buffer)).await
}

#[cfg(not(target_os = "linux"))]
pub(crate) async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Option<u8>)> {
    Ok((socket.recv(buffer).await?, None))
}

#[cfg(target_os = "linux")]
mod linux {
    use nix::libc::c_int;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
    use std::io::{self, IoSliceMut};
    use std::os::fd::AsRawFd;

    pub(super) fn receive(socket: &tokio::net::UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Option<u8>)> {
        let mut slices = [IoSliceMut::new(buffer)];
        let mut control = nix::cmsg_space!(c_int);
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
        let ttl = message.cmsgs().ok().and_then(|mut entries| {
            entries.find_map(|entry| match entry {
                ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => u8::try_from(ttl).ok(),
                _ => None,
            })
        });
        Ok((message.bytes, ttl))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_senders_ttl_arrives_with_the_datagram_in_both_families() {
        for loopback in ["127.0.0.1", "::1"] {
            let loopback: IpAddr = loopback.parse().unwrap();
            let sender = UdpSocket::bind((loopback, 0)).await.unwrap();
            let socket = UdpSocket::bind((loopback, 0)).await.unwrap();
            socket.connect(sender.local_addr().unwrap()).await.unwrap();
            enable(&socket, loopback).unwrap();
            match loopback {
                IpAddr::V4(_) => sender.set_ttl(37).unwrap(),
                IpAddr::V6(_) => socket2::SockRef::from(&sender).set_unicast_hops_v6(37).unwrap(),
            }
            sender.send_to(b"abc", socket.local_addr().unwrap()).await.unwrap();
            assert_eq!(receive(&socket, &mut [0; 16]).await.unwrap(), (3, Some(37)));
        }
    }
}
