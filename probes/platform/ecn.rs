use socket2::Socket;
use std::io;
use std::net::IpAddr;

/// ECT(0) of RFC 3168 section 5: a router under load may mark the packet instead of dropping it.
#[cfg(target_os = "linux")]
const CAPABLE: u32 = 0b10;

/// Marks what the socket sends from now on as able to carry congestion marks, or not.
///
/// # Errors
/// The system's own; of kind `Unsupported` where it has no such option.
#[cfg(target_os = "linux")]
pub(crate) fn mark(socket: &Socket, family: IpAddr, capable: bool) -> io::Result<()> {
    let bits = if capable { CAPABLE } else { 0 };
    match family {
        IpAddr::V4(_) => socket.set_tos_v4(bits),
        IpAddr::V6(_) => socket.set_tclass_v6(bits),
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn mark(_socket: &Socket, _family: IpAddr, _capable: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
