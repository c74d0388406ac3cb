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
    use nix::libc;
    /// `ICMP_FILTER` of <linux/icmp.h>: one word, in which a set bit blocks the type.
    const ICMP_FILTER: libc::c_int = 1;
    /// `SOL_RAW` of <sys/socket.h>.
    const SOL_RAW: libc::c_int = 255;
    /// `ICMPV6_FILTER` of <linux/icmpv6.h>: 256 bits, in which a set bit blocks the type.
    const ICMPV6_FILTER: libc::c_int = 1;

    match family {
        IpAddr::V4(_) => {
            let passed = [0, 3, 11, 12].iter().fold(0_u32, |mask, kind| mask | 1 << kind);
            set(socket, SOL_RAW, ICMP_FILTER, &[!passed])
        }
        IpAddr::V6(_) => {
            let mut blocked = [u32::MAX; 8];
            for kind in [1_usize, 2, 3, 4, 129] {
                blocked[kind / 32] &= !(1 << (kind % 32));
            }
            set(socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &blocked)
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn answers_only(_socket: &Socket, _family: IpAddr) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn set(socket: &Socket, level: nix::libc::c_int, name: nix::libc::c_int, words: &[u32]) -> io::Result<()> {
    use nix::libc;
    use std::os::fd::AsRawFd;

    let length = libc::socklen_t::try_from(size_of_val(words)).map_err(io::Error::other)?;
    #[expect(unsafe_code, reason = "neither socket2 nor nix has a wrapper for the ICMP filters")]
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the kernel reads `length` bytes, all within `words`.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, words.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
