use super::hardware_address;
use super::packet_socket::{Instruction, LinkPacket};
use nix::libc;
use socket2::{Domain, SockFilter, Socket, Type};
use std::io;
use std::os::fd::AsRawFd;

/// What is read of one packet: headers, and all of an ARP packet or a neighbour advertisement.
const MAX_BYTES: usize = 512;
/// `SIOCGSTAMPNS` with 64-bit times on 64-bit systems (linux/sockios.h).
const LAST_STAMP: u64 = 0x8907;
/// The packet was sent by this machine (linux/if_packet.h).
const OUTGOING: u8 = 4;

pub(crate) struct PacketSocket {
    socket: Socket,
    protocol: u16,
    interface: libc::c_int,
}

impl PacketSocket {
    /// Opens a socket for packets of one protocol that pass the filter, on one interface or all. It never waits.
    ///
    /// # Errors
    /// `PermissionDenied` without the right to raw sockets, else the system's own.
    pub(crate) fn open(protocol: u16, interface: Option<&str>, filter: &[Instruction]) -> io::Result<Self> {
        // Without a protocol it hears nothing until the filter stands.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        let filter: Vec<SockFilter> = filter.iter().map(|(code, jt, jf, k)| SockFilter::new(*code, *jt, *jf, *k)).collect();
        if !filter.is_empty() {
            socket.attach_filter(&filter)?;
        }
        let index = match interface {
            Some(name) => nix::net::if_::if_nametoindex(name)?,
            None => 0,
        };
        let opened = Self { socket, protocol, interface: index.cast_signed() };
        opened.bind()?;
        // Asked for once, so that the kernel stamps every packet from the first on.
        let _ = opened.last_stamp();
        Ok(opened)
    }

    fn address(&self, to: [u8; 6]) -> libc::sockaddr_ll {
        let mut hardware = [0; 8];
        hardware[..6].copy_from_slice(&to);
        libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: self.protocol.to_be(),
            sll_ifindex: self.interface,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: hardware,
        }
    }

    fn bind(&self) -> io::Result<()> {
        let address = self.address([0; 6]);
        #[expect(unsafe_code, reason = "socket2 makes no link-layer addresses")]
        // SAFETY: the descriptor is open for as long as `self` is, and the address is read within its own size.
        let result = unsafe {
            let pointer = (&raw const address).cast();
            libc::bind(self.socket.as_raw_fd(), pointer, size_of_val(&address) as libc::socklen_t)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Sends one packet to a hardware address on the socket's interface; the kernel adds the link's header.
    ///
    /// # Errors
    /// The system's own.
    pub(crate) fn send(&self, to: [u8; 6], bytes: &[u8]) -> io::Result<()> {
        let address = self.address(to);
        #[expect(unsafe_code, reason = "socket2 makes no link-layer addresses")]
        // SAFETY: the descriptor is open for as long as `self` is; packet and address are read within their own sizes.
        let sent = unsafe {
            let pointer = (&raw const address).cast();
            let length = size_of_val(&address) as libc::socklen_t;
            libc::sendto(self.socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0, pointer, length)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The next packet that came in, if one waits. Packets of this machine itself are passed over.
    pub(crate) fn receive(&self) -> Option<LinkPacket> {
        self.next(false)
    }

    /// The next packet that this machine sent, if one waits: only a socket for all protocols hears of it.
    pub(crate) fn receive_sent(&self) -> Option<LinkPacket> {
        self.next(true)
    }

    fn next(&self, outgoing: bool) -> Option<LinkPacket> {
        loop {
            let mut bytes = vec![0_u8; MAX_BYTES];
            let (length, from) = self.receive_from(&mut bytes)?;
            if (from.sll_pkttype == OUTGOING) != outgoing {
                continue;
            }
            bytes.truncate(length);
            let sender = from.sll_addr.get(..usize::from(from.sll_halen)).and_then(hardware_address::text);
            return Some(LinkPacket { bytes, sender, stamp_ns: self.last_stamp() });
        }
    }

    fn receive_from(&self, bytes: &mut [u8]) -> Option<(usize, libc::sockaddr_ll)> {
        let mut from = self.address([0; 6]);
        let mut length = size_of_val(&from) as libc::socklen_t;
        #[expect(unsafe_code, reason = "socket2 reads no link-layer addresses")]
        // SAFETY: the descriptor is open for as long as `self` is; the kernel writes within the buffer and the address, whose sizes it gets.
        let received = unsafe {
            let (pointer, address) = (bytes.as_mut_ptr().cast(), (&raw mut from).cast());
            libc::recvfrom(self.socket.as_raw_fd(), pointer, bytes.len(), libc::MSG_DONTWAIT, address, &raw mut length)
        };
        usize::try_from(received).ok().map(|received| (received, from))
    }

    /// When the packet came in that was read last.
    fn last_stamp(&self) -> Option<i64> {
        let mut stamp = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        #[expect(unsafe_code, reason = "the ioctl has no safe wrapper")]
        // SAFETY: the descriptor is open for as long as `self` is, and the kernel writes one `timespec`.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), LAST_STAMP as _, &raw mut stamp) };
        (result == 0 && stamp.tv_sec > 0).then_some(stamp.tv_sec * 1_000_000_000 + stamp.tv_nsec)
    }
}
