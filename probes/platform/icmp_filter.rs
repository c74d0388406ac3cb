use socket2::Socket;
use std::io;
use std::net::IpAddr;

/// Lets only answers through to a raw ICMP socket: echo replies, unreachable, time exceeded, parameter problem and, for IPv6,
/// packet too big. All else, redirects and the neighbours' chatter above all, would only wake the reader (`ICMP_FILTER` of raw(7),
/// RFC 3542 section 3.2). Without an effect where the system has no such filter.
///
/// # Errors
/// The system's own.
#[cfg(target_os = "linux")]
pub(crate) fn answers_only(socket: &Socket, family: IpAddr) -> io::Result<()> {
    linux::block(socket, family, if family.is_ipv4() { &[0, 3, 11, 12] } else { &[1, 2, 3, 4, 129] })
}

/// Lets no message through, for a socket that only sends.
///
/// # Errors
/// The system's own.
#[cfg(target_os = "linux")]
pub(crate) fn nothing(socket: &Socket, family: IpAddr) -> io::Result<()> {
    linux::block(socket, family, &[])
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn answers_only(_socket: &Socket, _family: IpAddr) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{IpAddr, Socket, io};
    use nix::libc;
    use std::os::fd::AsRawFd;

    /// `ICMP_FILTER` of <linux/icmp.h>: one word, in which a set bit blocks the type.
    const ICMP_FILTER: libc::c_int = 1;
    /// `SOL_RAW` of <sys/socket.h>.
    const SOL_RAW: libc::c_int = 255;
    /// `ICMPV6_FILTER` of <linux/icmpv6.h>: 256 bits, in which a set bit blocks the type.
    const ICMPV6_FILTER: libc::c_int = 1;

    /// Blocks every type but those that are passed; for IPv4 these are below 32.
    pub(super) fn block(socket: &Socket, family: IpAddr, passed: &[u8]) -> io::Result<()> {
        let mut blocked = [u32::MAX; 8];
        for kind in passed {
            blocked[usize::from(kind / 32)] &= !(1 << (kind % 32));
        }
        match family {
            IpAddr::V4(_) => set(socket, SOL_RAW, ICMP_FILTER, &blocked[..1]),
            IpAddr::V6(_) => set(socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &blocked),
        }
    }

    fn set(socket: &Socket, level: libc::c_int, name: libc::c_int, words: &[u32]) -> io::Result<()> {
        let length = libc::socklen_t::try_from(size_of_val(words)).map_err(io::Error::other)?;
        #[expect(unsafe_code, reason = "neither socket2 nor nix has a wrapper for the ICMP filters")]
        // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the kernel reads `length` bytes, all within `words`.
        let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, words.as_ptr().cast(), length) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
