//! What comes back to a traceroute's sockets: packets, ICMP errors with what they quote, and the kernel's stamps.
//!
//! An ICMP error keeps the TTL that it arrived with, and the place of its extensions within the quote (`IP_RECVERR_RFC4884` of ip(7)),
//! also for a process without any right.

use netsonde_contract::failure::IcmpError;
use socket2::Socket;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// One message of a socket, or one entry of its error queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Bytes written into the buffer.
    pub(crate) length: usize,
    /// The sender; for an error where the probe was going.
    pub(crate) peer: Option<SocketAddr>,
    /// The kernel's stamp, in nanoseconds of the wall clock since 1970.
    pub(crate) stamp_ns: Option<i64>,
    pub(crate) ttl: Option<u8>,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux tells these apart"))]
pub(crate) enum What {
    Packet,
    /// The stamp of the packet with this number, from 0, on its way out.
    Left(u32),
    /// The buffer holds what the error quotes, behind the IP header.
    Error {
        icmp: IcmpError,
        /// Where in the buffer the extensions begin (RFC 4884).
        extensions: Option<usize>,
    },
    Other,
}

/// Has the socket tell TTLs and stamps of what it receives and, with `errors`, queue ICMP errors; with `transmit`, stamp what it sends.
/// Stamps are a gain where the system has them, and no error where it has none.
///
/// # Errors
/// The system's own; of kind `Unsupported` where it has no such queue.
pub(crate) fn prepare(socket: &Socket, family: IpAddr, errors: bool, transmit: bool) -> io::Result<()> {
    system::prepare(socket, family, errors, transmit)
}

/// Takes the next message, or the next entry of the error queue, without waiting; none where there is none.
pub(crate) fn receive(socket: &Socket, from_error_queue: bool, buffer: &mut [u8]) -> Option<Arrival> {
    system::receive(socket, from_error_queue, buffer)
}

#[cfg(target_os = "macos")]
mod system {
    use super::super::macos::receive_message;
    use super::{Arrival, IpAddr, Socket, io};

    /// There is no queue and no stamp; an IPv4 header tells its TTL itself.
    pub(super) fn prepare(socket: &Socket, family: IpAddr, errors: bool, _transmit: bool) -> io::Result<()> {
        match family {
            _ if errors => Err(io::ErrorKind::Unsupported.into()),
            IpAddr::V4(_) => Ok(()),
            IpAddr::V6(_) => socket.set_recv_hoplimit_v6(true),
        }
    }

    pub(super) fn receive(socket: &Socket, from_error_queue: bool, buffer: &mut [u8]) -> Option<Arrival> {
        if from_error_queue { None } else { receive_message(socket, buffer) }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod system {
    use super::{Arrival, IpAddr, Socket, io};

    pub(super) fn prepare(_socket: &Socket, _family: IpAddr, _errors: bool, _transmit: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn receive(_socket: &Socket, _from_error_queue: bool, _buffer: &mut [u8]) -> Option<Arrival> {
        None
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::super::echo_socket::{Extended, Origin, RECEIVE_STAMPS, Received, read_control, set, stamp};
    use super::{Arrival, IcmpError, IpAddr, Socket, SocketAddr, What, io};
    use nix::libc;
    use std::os::fd::AsRawFd;

    /// `IP_RECVERR_RFC4884` of <linux/in.h> and `IPV6_RECVERR_RFC4884` of <linux/in6.h>, since Linux 5.9.
    const RECVERR_RFC4884: (libc::c_int, libc::c_int) = (26, 31);
    /// `SO_EE_RFC4884_FLAG_INVALID`: what stands at that place is no extension structure.
    const INVALID: u8 = 1;
    /// Room for a stamp, a hop limit and an extended error with its sender, in words of eight bytes.
    const CONTROL_WORDS: usize = 32;

    pub(super) fn prepare(socket: &Socket, family: IpAddr, errors: bool, transmit: bool) -> io::Result<()> {
        let (level, ttl, queue, extensions) = match family {
            IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVTTL, libc::IP_RECVERR, RECVERR_RFC4884.0),
            IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, libc::IPV6_RECVERR, RECVERR_RFC4884.1),
        };
        set(socket, level, ttl, 1)?;
        if family.is_ipv6() {
            // A packet that is too large for the interface fails instead of being cut. What stands between some programs and the kernel
            // (emulators of other processors, for one) knows only the second of the two ways to say so.
            set(socket, level, libc::IPV6_DONTFRAG, 1)
                .or_else(|_| set(socket, level, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE))?;
        }
        if errors {
            set(socket, level, queue, 1)?;
            // Older kernels lack it, and then the extensions stay unseen.
            let _ = set(socket, level, extensions, 1);
        }
        let sent = libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_OPT_ID | libc::SOF_TIMESTAMPING_OPT_TSONLY;
        let _ = stamp(socket, if transmit { RECEIVE_STAMPS | sent } else { RECEIVE_STAMPS });
        Ok(())
    }

    pub(super) fn receive(socket: &Socket, from_error_queue: bool, buffer: &mut [u8]) -> Option<Arrival> {
        let flags = libc::MSG_DONTWAIT | if from_error_queue { libc::MSG_ERRQUEUE } else { 0 };
        let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let mut control = [0_u64; CONTROL_WORDS];
        #[expect(unsafe_code, reason = "nix drops the parts of an extended error that tell where extensions begin")]
        // SAFETY: both structures are of integers and pointers, for which zero is a value; the header points at `slice`, `control` and
        // `name`, which outlive the call, with their true lengths.
        let (header, name, length) = unsafe {
            let mut name: libc::sockaddr_storage = std::mem::zeroed();
            let mut header: libc::msghdr = std::mem::zeroed();
            header.msg_iov = &raw mut slice;
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut name).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = size_of_val(&control) as _;
            let length = libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags);
            (header, name, length)
        };
        let length = usize::try_from(length).ok()?;
        let mut received = Received::default();
        read_control(&header, &mut received);
        let what = match received.error {
            None => What::Packet,
            Some(error) => what(error, length),
        };
        Some(Arrival { length, peer: peer(&name), stamp_ns: received.stamp_ns, ttl: received.ttl, what })
    }

    fn what(error: Extended, length: usize) -> What {
        match (error.origin, error.offender) {
            (Origin::Stamp, _) => What::Left(error.data),
            (Origin::Icmp, Some(offender)) => {
                let names_mtu = matches!((offender, error.kind, error.code), (IpAddr::V4(_), 3, 4) | (IpAddr::V6(_), 2, _));
                let mtu = names_mtu.then_some(error.info);
                // `struct sock_ee_data_rfc4884`: the place in two bytes, then flags.
                let [low, high, flags, _] = error.data.to_ne_bytes();
                let at = usize::from(u16::from_ne_bytes([low, high]));
                let extensions = (at > 0 && at < length && flags & INVALID == 0).then_some(at);
                What::Error { icmp: IcmpError { offender, kind: error.kind, code: error.code, mtu }, extensions }
            }
            _ => What::Other,
        }
    }

    fn peer(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
        #[expect(unsafe_code, reason = "the address is read by the family that it states")]
        // SAFETY: the kernel wrote an address of that family; storage is large enough and aligned for every address.
        unsafe {
            let name = std::ptr::from_ref(name);
            match libc::c_int::from((*name).ss_family) {
                libc::AF_INET => {
                    let v4 = *name.cast::<libc::sockaddr_in>();
                    Some((v4.sin_addr.s_addr.to_ne_bytes(), u16::from_be(v4.sin_port)).into())
                }
                libc::AF_INET6 => {
                    let v6 = *name.cast::<libc::sockaddr_in6>();
                    Some((v6.sin6_addr.s6_addr, u16::from_be(v6.sin6_port)).into())
                }
                _ => None,
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn an_error_comes_with_quote_ttl_and_stamp_and_a_probe_with_its_stamp_on_the_way_out() {
        for loopback in ["127.0.0.1", "::1"] {
            let loopback: IpAddr = loopback.parse().unwrap();
            let closed = UdpSocket::bind((loopback, 0)).unwrap().local_addr().unwrap();
            let socket = Socket::from(UdpSocket::bind((loopback, 0)).unwrap());
            prepare(&socket, loopback, true, true).unwrap();
            socket.send_to(b"marked", &closed.into()).unwrap();
            let mut buffer = [0; 256];
            let (mut errors, mut left) = (0, 0);
            while let Some(arrival) = receive(&socket, true, &mut buffer) {
                match arrival.what {
                    What::Left(number) => {
                        assert_eq!(number, 0);
                        left += 1;
                    }
                    What::Error { icmp, extensions } => {
                        assert_eq!((icmp.words(), icmp.offender, extensions), ("port unreachable", loopback, None));
                        assert_eq!((arrival.peer, &buffer[..arrival.length]), (Some(closed), &b"marked"[..]));
                        assert_eq!(arrival.ttl, Some(64));
                        errors += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!((errors, left), (1, 1), "{loopback}");
        }
    }
}
