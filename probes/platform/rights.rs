#[cfg(target_os = "linux")]
use caps::{CapSet, Capability};
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

/// The process has the system's full rights: as root or as administrator. On Linux it is the capabilities in effect that count: root has few
/// of them in a container, and in a service that gave them up.
pub fn elevated() -> bool {
    #[cfg(target_os = "linux")]
    let elevated = packet_filter() && other_processes() && low_ports();
    #[cfg(all(unix, not(target_os = "linux")))]
    let elevated = nix::unistd::geteuid().is_root();
    // On Windows raw sockets are for administrators only, and opening one needs no further call.
    #[cfg(not(unix))]
    let elevated = raw_sockets();
    elevated
}

/// The packet filter answers the process.
pub fn packet_filter() -> bool {
    #[cfg(target_os = "linux")]
    let may = has(Capability::CAP_NET_ADMIN) && !super::nftables::refuses();
    #[cfg(not(target_os = "linux"))]
    let may = elevated();
    may
}

/// The process may look into those of other users.
pub fn other_processes() -> bool {
    #[cfg(target_os = "linux")]
    let may = has(Capability::CAP_SYS_PTRACE) && READING.into_iter().any(has);
    #[cfg(not(target_os = "linux"))]
    let may = elevated();
    may
}

/// The process may open a port below 1024 by a right of its own.
pub fn low_ports() -> bool {
    #[cfg(target_os = "linux")]
    let may = has(Capability::CAP_NET_BIND_SERVICE);
    #[cfg(not(target_os = "linux"))]
    let may = elevated();
    may
}

/// Neither the process nor what it starts can get the rights of root again: sudo has no effect.
pub fn is_kept_from_rights() -> bool {
    #[cfg(target_os = "linux")]
    let kept = {
        let is_closed = |capability: &Capability| !caps::has_cap(None, CapSet::Bounding, *capability).unwrap_or(true);
        USED.iter().any(is_closed) || nix::sys::prctl::get_no_new_privs().unwrap_or(false)
    };
    #[cfg(not(target_os = "linux"))]
    let kept = false;
    kept
}

/// Either opens the folder in which a process of another user lists what it holds; what stands there takes the right to look into processes as well (ptrace(2),
/// proc_pid_fd(5)).
#[cfg(target_os = "linux")]
const READING: [Capability; 2] = [Capability::CAP_DAC_READ_SEARCH, Capability::CAP_DAC_OVERRIDE];

/// All that netsonde has a use for.
#[cfg(target_os = "linux")]
const USED: [Capability; 5] = [
    Capability::CAP_NET_RAW,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_DAC_READ_SEARCH,
];

#[cfg(target_os = "linux")]
fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
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
