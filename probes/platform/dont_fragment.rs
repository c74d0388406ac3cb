use socket2::Socket;
use std::io;
use std::net::IpAddr;

/// Has a socket send every packet whole or not at all, as large as its interface allows, whatever sizes the kernel has learnt for the
/// path (`IP_PMTUDISC_PROBE` of ip(7), `IPV6_PMTUDISC_PROBE` of ipv6(7)). A packet larger than the interface's MTU fails to send.
///
/// # Errors
/// The system's own; of kind `Unsupported` where it has no such option.
#[cfg(target_os = "linux")]
pub(crate) fn dont_fragment(socket: &Socket, family: IpAddr) -> io::Result<()> {
    use nix::libc;
    use std::os::fd::AsRawFd;

    let (level, name, value) = match family {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
    };
    let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    #[expect(unsafe_code, reason = "neither socket2 nor nix has a wrapper for path MTU discovery")]
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the kernel reads `length` bytes, all of `value`.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn dont_fragment(_socket: &Socket, _family: IpAddr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The largest packet that this machine sends to the address in one piece, as far as it knows: its interface's, or less where a router
/// has told (`IP_MTU` of ip(7), `IPV6_MTU` of ipv6(7)). Nothing is sent.
///
/// # Errors
/// The system's own; of kind `Unsupported` where it does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn known_mtu(address: IpAddr) -> io::Result<u32> {
    use nix::libc;
    use std::os::fd::AsRawFd;

    let any: IpAddr =
        if address.is_ipv4() { std::net::Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    // Any port: connecting a UDP socket looks the route up and sends nothing.
    socket.connect((address, 9))?;
    let (level, name) = if address.is_ipv4() { (libc::IPPROTO_IP, libc::IP_MTU) } else { (libc::IPPROTO_IPV6, libc::IPV6_MTU) };
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    #[expect(unsafe_code, reason = "neither the standard library nor nix has a wrapper for both families' MTU")]
    // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes into `value`, which has as many.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    u32::try_from(value).map_err(io::Error::other)
}
