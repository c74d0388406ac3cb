//! Every packet that the machine sends and gets, from its IP header on (packet(7)).

use std::io;

/// A packet as the system handed it over; its bytes stand in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tapped {
    /// Bytes in the buffer.
    pub(crate) length: usize,
    /// On the wire, from the IP header on.
    pub(crate) original_bytes: usize,
    /// The kernel's own stamp, in nanoseconds since 1970.
    pub(crate) at_ns: u64,
    /// The interface's index.
    pub(crate) interface: u32,
    pub(crate) outgoing: bool,
}

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::PacketTap;
#[cfg(target_os = "linux")]
pub(crate) use linux::PacketTap;

#[cfg(target_os = "linux")]
mod linux {
    #![expect(unsafe_code, reason = "the count of lost packets has no safe call")]

    use super::Tapped;
    use nix::libc;
    use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
    use socket2::{Domain, Protocol, Socket, Type};
    use std::io::{self, IoSliceMut};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    /// Every protocol, in network order.
    const ETH_P_ALL: i32 = (libc::ETH_P_ALL as u16).to_be() as i32;
    /// Room for a burst while the reader waits for its turn: headers of some ten thousand packets.
    const BUFFER_BYTES: usize = 8 << 20;
    /// How long one wait takes before the reader may look whether it is to stop.
    const WAIT: Duration = Duration::from_millis(50);

    #[derive(Debug)]
    pub(crate) struct PacketTap {
        socket: Socket,
    }

    impl PacketTap {
        /// # Errors
        /// The system's own, `PermissionDenied` without CAP_NET_RAW.
        pub(crate) fn open() -> io::Result<Self> {
            // Without the link's own header, so that packets of all kinds of links look the same.
            let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(ETH_P_ALL)))?;
            setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
            socket.set_read_timeout(Some(WAIT))?;
            // More than the system's limit is cut to it, which is no fault.
            let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
            Ok(Self { socket })
        }

        /// The next packet, or none within the wait.
        ///
        /// # Errors
        /// The system's own.
        pub(crate) fn next(&self, buffer: &mut [u8]) -> io::Result<Option<Tapped>> {
            let room = buffer.len();
            let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
            let mut slices = [IoSliceMut::new(buffer)];
            let message = match recvmsg::<LinkAddr>(self.socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_TRUNC)
            {
                Ok(message) => message,
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let Some(from) = message.address else { return Ok(None) };
            let stamp = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
                _ => None,
            });
            Ok(Some(Tapped {
                length: message.bytes.min(room),
                original_bytes: message.bytes,
                at_ns: stamp.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
                interface: u32::try_from(from.ifindex()).unwrap_or_default(),
                outgoing: from.pkttype() == libc::PACKET_OUTGOING,
            }))
        }

        /// Packets that the reader was too slow for, since it was opened or asked.
        pub(crate) fn lost(&self) -> u64 {
            let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
            let mut length = libc::socklen_t::try_from(size_of::<libc::tpacket_stats>()).unwrap_or_default();
            // SAFETY: the pointers are to a structure of this option's own type and to its length, both alive during the call.
            let result = unsafe {
                libc::getsockopt(
                    self.socket.as_raw_fd(),
                    libc::SOL_PACKET,
                    libc::PACKET_STATISTICS,
                    (&raw mut statistics).cast(),
                    &raw mut length,
                )
            };
            if result == 0 { u64::from(statistics.tp_drops) } else { 0 }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::Tapped;
    use std::io;

    #[derive(Debug)]
    pub(crate) struct PacketTap {}

    impl PacketTap {
        /// # Errors
        /// Always: this system has no such socket.
        pub(crate) fn open() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn next(&self, _buffer: &mut [u8]) -> io::Result<Option<Tapped>> {
            Ok(None)
        }

        pub(crate) fn lost(&self) -> u64 {
            0
        }
    }
}

/// The name of the interface with this index, or its number in words.
pub(crate) fn interface_name(index: u32) -> String {
    let known = netdev::get_interfaces().into_iter().find(|interface| interface.index == index);
    known.map_or_else(|| format!("interface {index}"), |interface| interface.name)
}

/// Whether the error says that a right is missing.
pub(crate) fn lacks_right(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}
