use super::packet_socket::{Instruction, LinkPacket};
use std::io;

/// No code of this program reads packets below the sockets here.
pub(crate) struct PacketSocket(std::convert::Infallible);

impl PacketSocket {
    /// # Errors
    /// Always `Unsupported`.
    pub(crate) fn open(_protocol: u16, _interface: Option<&str>, _filter: &[Instruction]) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn send(&self, _to: [u8; 6], _bytes: &[u8]) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn receive(&self) -> Option<LinkPacket> {
        match self.0 {}
    }

    pub(crate) fn receive_sent(&self) -> Option<LinkPacket> {
        match self.0 {}
    }
}
