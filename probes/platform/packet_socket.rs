//! Packets below the sockets: read as they came in, or sent on one link as they are (packet(7)). Needs the right to raw sockets.

#[cfg(target_os = "linux")]
pub(crate) use super::packet_socket_linux::PacketSocket;
#[cfg(not(target_os = "linux"))]
pub(crate) use super::packet_socket_other::PacketSocket;

/// Numbers of the protocols that a socket is for (IEEE 802 numbers).
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV6: u16 = 0x86dd;
/// Every protocol, and only so what this machine sends as well (`ETH_P_ALL` of linux/if_ether.h).
pub(crate) const ALL: u16 = 0x0003;

/// One packet without the header of its link.
#[derive(Debug)]
pub(crate) struct LinkPacket {
    pub(crate) bytes: Vec<u8>,
    /// The hardware address that sent it on the link, where it has one.
    pub(crate) sender: Option<String>,
    /// When it came in, in nanoseconds of the wall clock since 1970.
    pub(crate) stamp_ns: Option<i64>,
}

/// One instruction of a filter (Documentation/networking/filter.rst): code, jumps where true and false, operand.
pub(crate) type Instruction = (u16, u8, u8, u32);
