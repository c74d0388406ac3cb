//! A socket for echo requests whose packets the kernel stamps on their way out and in (Documentation/networking/timestamping.rst).
//!
//! Transmit stamps come back on the error queue, each with the number of the packet that it belongs to (`OPT_ID`) and nothing else
//! (`OPT_TSONLY`). All stamps are of the wall clock.
//!
//! The kernel queues a transmit stamp, and wakes whoever waits on the socket, while the packet itself waits to go on: a wake-up there
//! would be a part of every round-trip time. So raw requests are sent from a socket on which nobody waits.

use super::icmp_filter;
use super::icmp_socket;
use crate::zone;
use nix::libc;
use socket2::{SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// Replies and stamps wait here while the program does not run: two for each of 2,000 requests at least. The kernel gives less
/// where the system's limit is lower.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Requests wait here for the interface.
const SEND_BUFFER: usize = 1 << 20;
/// Messages taken with one call: enough to make the calls' cost vanish, few enough to stay in the processor's cache.
const BATCH: usize = 64;
/// Errors quote at most 1,280 bytes of what caused them (RFC 4443 section 2.4).
const LEAST_BUFFER: usize = 2_048;
/// Room for a stamp, a hop limit and an extended error with its sender, in words of eight bytes.
const CONTROL_WORDS: usize = 32;

/// How the requests of a socket travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EchoOptions {
    pub(crate) dont_fragment: bool,
    pub(crate) dscp: u8,
}

pub(crate) struct EchoSocket {
    /// Has the transmit stamps.
    sending: Socket,
    /// Has the replies; a ping socket gets those of its own requests, and is both.
    hearing: Option<Socket>,
    is_v4: bool,
    /// The identifier that the kernel gave a ping socket and puts into each of its requests.
    given_identifier: Option<u16>,
}

/// One message from a socket, or one entry of its error queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    pub(crate) bytes: &'a [u8],
    /// The sender; on the error queue where the request was going.
    pub(crate) peer: Option<IpAddr>,
    /// The kernel's stamp, in nanoseconds of the wall clock since 1970.
    pub(crate) stamp_ns: Option<i64>,
    pub(crate) ttl: Option<u8>,
    pub(crate) error: Option<Extended>,
}

/// An extended error (`sock_extended_err` of ip(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extended {
    pub(crate) origin: Origin,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) info: u32,
    pub(crate) data: u32,
    pub(crate) offender: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An ICMP or ICMPv6 error.
    Icmp,
    /// A transmit stamp; `data` numbers the packet.
    Stamp,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    Messages,
    Errors,
}

impl EchoSocket {
    /// Opens a raw socket where the process may, else a ping socket.
    ///
    /// # Errors
    /// `PermissionDenied` where the process may open neither, `Unsupported` where the kernel stamps no packets, else the system's own.
    pub(crate) fn open(family: IpAddr, options: EchoOptions) -> io::Result<Self> {
        let (socket, is_raw) = match icmp_socket(family, Type::RAW) {
            Ok(socket) => (socket, true),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (icmp_socket(family, Type::DGRAM)?, false),
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        let mut hearing = None;
        if is_raw {
            icmp_filter::nothing(&socket, family)?;
            let listener = icmp_socket(family, Type::RAW)?;
            listener.set_nonblocking(true)?;
            icmp_filter::answers_only(&listener, family)?;
            hearing = Some(listener);
        } else {
            let any: IpAddr = if family.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            socket.bind(&SocketAddr::new(any, 0).into())?;
        }
        let given_identifier = if is_raw { None } else { socket.local_addr()?.as_socket().map(|local| local.port()) };
        let opened = Self { sending: socket, hearing, is_v4: family.is_ipv4(), given_identifier };
        opened.prepare(options)?;
        Ok(opened)
    }

    fn prepare(&self, options: EchoOptions) -> io::Result<()> {
        let traffic_class = libc::c_int::from(options.dscp) << 2;
        let discovery = if options.dont_fragment { libc::IP_PMTUDISC_PROBE } else { libc::IP_PMTUDISC_WANT };
        let (level, ttl, errors, class, discover) = if self.is_v4 {
            (libc::IPPROTO_IP, libc::IP_RECVTTL, libc::IP_RECVERR, libc::IP_TOS, libc::IP_MTU_DISCOVER)
        } else {
            let level = libc::IPPROTO_IPV6;
            (level, libc::IPV6_RECVHOPLIMIT, libc::IPV6_RECVERR, libc::IPV6_TCLASS, libc::IPV6_MTU_DISCOVER)
        };
        let (sending, hearing) = (&self.sending, self.hearing());
        set(hearing, level, ttl, 1)?;
        if !self.is_raw() {
            // A raw socket receives ICMP errors as packets.
            set(sending, level, errors, 1)?;
        }
        if options.dscp != 0 {
            set(sending, level, class, traffic_class)?;
        }
        if options.dont_fragment {
            set(sending, level, discover, discovery)?;
        }
        // Stamps count as received.
        for socket in [sending, hearing] {
            enlarge(socket, libc::SO_RCVBUF, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)?;
        }
        enlarge(sending, libc::SO_SNDBUF, libc::SO_SNDBUFFORCE, SEND_BUFFER)?;
        let unsupported = |_| io::Error::from(io::ErrorKind::Unsupported);
        stamp(hearing, RECEIVE_STAMPS).map_err(unsupported)?;
        self.number_stamps_from_zero().map_err(unsupported)
    }

    fn hearing(&self) -> &Socket {
        self.hearing.as_ref().unwrap_or(&self.sending)
    }

    fn queue(&self, queue: Queue) -> &Socket {
        match queue {
            Queue::Messages => self.hearing(),
            Queue::Errors => &self.sending,
        }
    }

    /// Has packets stamped; the next one sent has number 0.
    ///
    /// # Errors
    /// Where the kernel stamps no packets.
    pub(crate) fn number_stamps_from_zero(&self) -> io::Result<()> {
        // The kernel begins to count where the option was off before.
        stamp(&self.sending, 0)?;
        let transmit = libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_OPT_ID | libc::SOF_TIMESTAMPING_OPT_TSONLY;
        stamp(&self.sending, RECEIVE_STAMPS | transmit)
    }

    pub(crate) fn is_raw(&self) -> bool {
        self.hearing.is_some()
    }

    pub(crate) fn is_v4(&self) -> bool {
        self.is_v4
    }

    pub(crate) fn given_identifier(&self) -> Option<u16> {
        self.given_identifier
    }

    /// Sends one whole ICMP message, without waiting.
    ///
    /// # Errors
    /// The system's own; on a ping socket also the error number of an earlier request's ICMP error.
    pub(crate) fn send(&self, message: &[u8], to: IpAddr) -> io::Result<()> {
        self.sending.send_to(message, &SockAddr::from(zone::socket(to, 0))).map(|_| ())
    }

    /// Packets that the kernel dropped because the socket's buffer was full.
    pub(crate) fn dropped(&self) -> Option<u32> {
        /// `SK_MEMINFO_DROPS` of <linux/sock_diag.h>.
        const DROPS: usize = 8;
        let mut values = [0_u32; 16];
        let mut length = size_of_val(&values) as libc::socklen_t;
        #[expect(unsafe_code, reason = "neither socket2 nor nix has a wrapper for SO_MEMINFO")]
        // SAFETY: the descriptor is open for as long as `self` is, and the kernel writes at most `length` bytes, all within `values`.
        let result = unsafe {
            let (fd, values) = (self.hearing().as_raw_fd(), values.as_mut_ptr());
            libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, values.cast(), &raw mut length)
        };
        (result == 0 && length as usize > DROPS * size_of::<u32>()).then(|| values[DROPS])
    }

    /// Takes the pending error number, which would wake a waiting reader again and again.
    pub(crate) fn clear_error(&self) {
        let _ = self.hearing().take_error();
    }
}

pub(super) const RECEIVE_STAMPS: libc::c_uint = libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_RX_SOFTWARE;

pub(super) fn stamp(socket: &Socket, flags: libc::c_uint) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags.cast_signed())
}

/// Beyond the system's limit where the process may.
fn enlarge(socket: &Socket, name: libc::c_int, forced: libc::c_int, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set(socket, libc::SOL_SOCKET, forced, bytes).or_else(|_| set(socket, libc::SOL_SOCKET, name, bytes))
}

pub(super) fn set(socket: &Socket, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    #[expect(unsafe_code, reason = "neither socket2 nor nix has a wrapper for all of these options")]
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the kernel reads one integer.
    let result = unsafe {
        let value: *const libc::c_int = &raw const value;
        libc::setsockopt(socket.as_raw_fd(), level, name, value.cast(), size_of::<libc::c_int>() as libc::socklen_t)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Buffers for a batch of messages, used again for every call.
pub(crate) struct Receiver {
    bytes: Vec<u8>,
    each: usize,
    control: Vec<[u64; CONTROL_WORDS]>,
    names: Vec<libc::sockaddr_storage>,
}

impl Receiver {
    /// For messages of up to `largest` bytes; what is longer is cut.
    pub(crate) fn new(largest: usize) -> Self {
        let each = largest.max(LEAST_BUFFER);
        #[expect(unsafe_code, reason = "a socket address has no other empty value")]
        // SAFETY: the structure is of integers only.
        let name: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        Self { bytes: vec![0; each * BATCH], each, control: vec![[0; CONTROL_WORDS]; BATCH], names: vec![name; BATCH] }
    }

    /// Takes a batch off one of the socket's queues without waiting and shows each message. Returns how many there were: fewer than
    /// a full batch means that the queue is empty.
    pub(crate) fn receive(&mut self, socket: &EchoSocket, queue: Queue, mut show: impl FnMut(Received<'_>)) -> usize {
        let flags = libc::MSG_DONTWAIT | if queue == Queue::Errors { libc::MSG_ERRQUEUE } else { 0 };
        let mut slices: Vec<libc::iovec> = self
            .bytes
            .chunks_exact_mut(self.each)
            .map(|chunk| libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() })
            .collect();
        let places = slices.iter_mut().zip(&mut self.control).zip(&mut self.names);
        let mut headers: Vec<libc::mmsghdr> = places.map(|((slice, control), name)| header(slice, control, name)).collect();
        #[expect(unsafe_code, reason = "nix allocates anew for every call of recvmmsg")]
        // SAFETY: every header points into `slices`, `self.control` and `self.names`, which outlive the call, with their true lengths.
        let count = unsafe {
            let count = headers.len() as libc::c_uint;
            libc::recvmmsg(socket.queue(queue).as_raw_fd(), headers.as_mut_ptr(), count, flags as _, std::ptr::null_mut())
        };
        let count = usize::try_from(count).unwrap_or(0);
        let chunks = self.bytes.chunks_exact(self.each);
        for ((header, chunk), name) in headers.iter().zip(chunks).zip(&self.names).take(count) {
            let length = usize::try_from(header.msg_len).unwrap_or(0).min(chunk.len());
            let mut received = Received { bytes: &chunk[..length], peer: peer(name), ..Received::default() };
            read_control(&header.msg_hdr, &mut received);
            show(received);
        }
        count
    }
}

/// The most that one call of [`Receiver::receive`] takes.
pub(crate) const FULL_BATCH: usize = BATCH;

fn header(slice: &mut libc::iovec, control: &mut [u64; CONTROL_WORDS], name: &mut libc::sockaddr_storage) -> libc::mmsghdr {
    #[expect(unsafe_code, reason = "the structure has private padding on some systems, and can only be made from zeros")]
    // SAFETY: the structure is of integers and pointers, for which zero is a value.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_iov = slice;
    header.msg_hdr.msg_iovlen = 1;
    header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
    header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_hdr.msg_control = control.as_mut_ptr().cast();
    header.msg_hdr.msg_controllen = size_of_val(control) as _;
    header
}

/// Reads the control messages of a message that was just received into its own buffers.
pub(super) fn read_control(header: &libc::msghdr, received: &mut Received<'_>) {
    #[expect(unsafe_code, reason = "control messages are read through the system's own macros")]
    // SAFETY: the kernel wrote well-formed control messages into the header's buffer, which is still borrowed; each is read within the
    // length that it states, unaligned.
    unsafe {
        let mut entry = libc::CMSG_FIRSTHDR(header);
        while !entry.is_null() {
            let data = libc::CMSG_DATA(entry);
            let length = (*entry).cmsg_len as usize - (data as usize - entry as usize);
            match ((*entry).cmsg_level, (*entry).cmsg_type) {
                (libc::SOL_SOCKET, libc::SO_TIMESTAMPING) if length >= size_of::<libc::timespec>() => {
                    let stamp = data.cast::<libc::timespec>().read_unaligned();
                    let nanoseconds = stamp.tv_sec.saturating_mul(1_000_000_000).saturating_add(stamp.tv_nsec);
                    received.stamp_ns = Some(nanoseconds).filter(|stamp| *stamp > 0);
                }
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)
                    if length >= size_of::<libc::c_int>() =>
                {
                    received.ttl = u8::try_from(data.cast::<libc::c_int>().read_unaligned()).ok();
                }
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
                    if length >= size_of::<libc::sock_extended_err>() =>
                {
                    let error = data.cast::<libc::sock_extended_err>().read_unaligned();
                    let behind = data.add(size_of::<libc::sock_extended_err>());
                    let left = length - size_of::<libc::sock_extended_err>();
                    let offender = offender(std::slice::from_raw_parts(behind, left));
                    received.error = Some(Extended {
                        origin: match error.ee_origin {
                            libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => Origin::Icmp,
                            libc::SO_EE_ORIGIN_TIMESTAMPING => Origin::Stamp,
                            _ => Origin::Other,
                        },
                        kind: error.ee_type,
                        code: error.ee_code,
                        info: error.ee_info,
                        data: error.ee_data,
                        offender,
                    });
                }
                _ => {}
            }
            entry = libc::CMSG_NXTHDR(header, entry);
        }
    }
}

/// The address in a `sockaddr_in` or `sockaddr_in6`: family, port, then four bytes, or flow label and sixteen bytes.
fn offender(address: &[u8]) -> Option<IpAddr> {
    let family = u16::from_ne_bytes(address.get(..2)?.try_into().ok()?);
    match libc::c_int::from(family) {
        libc::AF_INET => <[u8; 4]>::try_from(address.get(4..8)?).ok().map(IpAddr::from),
        libc::AF_INET6 => <[u8; 16]>::try_from(address.get(8..24)?).ok().map(IpAddr::from),
        _ => None,
    }
}

fn peer(name: &libc::sockaddr_storage) -> Option<IpAddr> {
    #[expect(unsafe_code, reason = "the address is read by the family that it states")]
    // SAFETY: the kernel wrote an address of that family; storage is large enough and aligned for every address.
    unsafe {
        let name = std::ptr::from_ref(name);
        match libc::c_int::from((*name).ss_family) {
            libc::AF_INET => Some(IpAddr::from((*name.cast::<libc::sockaddr_in>()).sin_addr.s_addr.to_ne_bytes())),
            libc::AF_INET6 => Some(IpAddr::from((*name.cast::<libc::sockaddr_in6>()).sin6_addr.s6_addr)),
            _ => None,
        }
    }
}

/// Waits until a socket has a message, a ping socket a stamp or an error, or the waker has bytes. Says which of the sockets has something.
pub(crate) fn wait(sockets: &[EchoSocket], waker: BorrowedFd<'_>, limit: Duration) -> Vec<bool> {
    let entry = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut entries: Vec<libc::pollfd> = sockets.iter().map(|socket| entry(socket.hearing().as_raw_fd())).collect();
    entries.push(entry(waker.as_raw_fd()));
    let milliseconds = libc::c_int::try_from(limit.as_millis()).unwrap_or(libc::c_int::MAX);
    #[expect(unsafe_code, reason = "the workspace uses nix without its poll")]
    // SAFETY: the kernel reads and writes as many entries as there are; every descriptor is borrowed for the call.
    unsafe {
        libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, milliseconds);
    }
    entries.iter().take(sockets.len()).map(|entry| entry.revents != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_stamped_on_their_way_out_and_in() {
        for loopback in [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()] {
            let Ok(socket) = EchoSocket::open(loopback, EchoOptions::default()) else {
                eprintln!("skipped: stamps of echo requests to {loopback}, which need a raw or a ping socket");
                continue;
            };
            let kind = if loopback.is_ipv4() { 8 } else { 128 };
            let mut request = [kind, 0, 0, 0, 0x4e, 0x53, 0, 1];
            let sum = pnet::util::checksum(&request, 1).to_be_bytes();
            request[2..4].copy_from_slice(&sum);
            let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
            let mut receiver = Receiver::new(0);
            let (mut stamps, mut replies) = (Vec::new(), Vec::new());
            // The kernel begins to stamp arrivals a moment after the first socket asks for it, so that the first may come without.
            for sent in 1..=100 {
                use std::os::fd::AsFd;
                socket.send(&request, loopback).unwrap();
                wait(std::slice::from_ref(&socket), near.as_fd(), Duration::from_millis(50));
                receiver
                    .receive(&socket, Queue::Errors, |received| stamps.push((received.error.unwrap().data, received.stamp_ns)));
                receiver
                    .receive(&socket, Queue::Messages, |received| replies.push((received.peer, received.ttl, received.stamp_ns)));
                if sent >= 2 && stamps.len() == sent && replies.len() == sent && replies[sent - 1].2.is_some() {
                    break;
                }
                if replies.len() == sent {
                    wait(&[], near.as_fd(), Duration::from_millis(10));
                }
            }
            let numbers: Vec<u32> = stamps.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, (0..).take(stamps.len()).collect::<Vec<u32>>());
            let (last_out, last_in) = (stamps[stamps.len() - 1].1.unwrap(), replies[replies.len() - 1].2.unwrap());
            assert!(last_in >= last_out && last_in - last_out < 1_000_000_000, "{last_out} {last_in}");
            assert_eq!((replies[0].0, replies[0].1), (Some(loopback), Some(64)));
            assert_eq!(socket.dropped(), Some(0));
        }
    }
}
