use super::machine::{Answer, ProbeNumber};
use std::io;
use std::net::{IpAddr, UdpSocket as StdSocket};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// One way to send probes and to hear what comes back for them.
pub(super) trait Wire {
    fn socket(&self) -> &UdpSocket;

    /// # Errors
    /// Where the packet did not leave this machine.
    fn send(&mut self, probe: ProbeNumber, ttl: u8) -> io::Result<()>;

    /// Takes all that is there without waiting, and leaves the socket such that [`heard_something`] waits for more.
    fn hear(&mut self) -> Vec<(ProbeNumber, Answer)>;
}

/// One call of [`Wire::hear`] reads at most so many packets, so that a flood cannot keep the trace from sending.
pub(super) const MAX_PACKETS_HEARD: usize = 1_024;

/// Waits until there may be something to hear. Writability is left out: a queued error would make it true for ever.
pub(super) async fn heard_something(socket: &UdpSocket) -> io::Result<()> {
    socket.ready(Interest::READABLE | Interest::ERROR).await.map(|_| ())
}

/// A socket for tokio: the standard library's datagram type serves raw sockets as well.
pub(super) fn asynchronous(socket: socket2::Socket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(StdSocket::from(socket))
}

/// Sets TTL or hop limit of what is sent next.
pub(super) fn set_ttl(socket: &UdpSocket, target: IpAddr, ttl: u8) -> io::Result<()> {
    let socket = socket2::SockRef::from(socket);
    match target {
        IpAddr::V4(_) => socket.set_ttl_v4(u32::from(ttl)),
        IpAddr::V6(_) => socket.set_unicast_hops_v6(u32::from(ttl)),
    }
}
