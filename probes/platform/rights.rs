use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::IpAddr;

/// The process can open raw ICMP sockets: as root, with CAP_NET_RAW, or as administrator.
pub fn raw_sockets() -> bool {
    icmp_socket(IpAddr::from([127, 0, 0, 1]), Type::RAW).is_ok()
}

/// The process can send echo requests from a datagram socket: always on macOS, on Linux where `net.ipv4.ping_group_range` has a
/// group of the process, never on Windows.
pub fn ping_sockets() -> bool {
    icmp_socket(IpAddr::from([127, 0, 0, 1]), Type::DGRAM).is_ok()
}

/// The process runs with the system's full rights: as root, or as administrator.
pub fn elevated() -> bool {
    #[cfg(unix)]
    let elevated = nix::unistd::geteuid().is_root();
    // On Windows raw sockets are for administrators only, and opening one needs no further call.
    #[cfg(not(unix))]
    let elevated = raw_sockets();
    elevated
}

/// Opens an ICMP socket of the address's family.
///
/// # Errors
/// The system's own, `PermissionDenied` where the right is missing.
pub(crate) fn icmp_socket(address: IpAddr, kind: Type) -> io::Result<Socket> {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    Socket::new(domain, kind, Some(protocol))
}
