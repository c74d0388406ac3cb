//! System calls and facts of each operating system.
//!
//! What only one system offers stands here behind a function that every system has; where a system cannot tell, the function
//! says so with `None`, an empty list or an error of kind `Unsupported`.

/// The socket within a ping client.
mod borrowed;
/// What Windows says against a certificate chain.
#[cfg(any(windows, test))]
pub(crate) mod chain_fault;
/// Datagrams with their TTL.
pub(crate) mod datagram;
/// Packets that no router may cut.
mod dont_fragment;
/// Sockets for echo requests that the kernel stamps.
#[cfg(target_os = "linux")]
pub(crate) mod echo_socket;
/// Marks of congestion.
pub(crate) mod ecn;
/// ICMP errors that the kernel keeps for a socket.
pub(crate) mod error_queue;
/// What a network card says of itself.
#[cfg(target_os = "linux")]
mod ethtool;
/// What the firmware says of the machine.
pub(crate) mod firmware;
/// The parsers here, for `tests/fuzz`.
#[cfg(all(target_os = "linux", any(test, feature = "fuzzing")))]
pub(crate) mod fuzzing;
/// Hardware addresses in words.
#[cfg(any(target_os = "linux", windows))]
pub(crate) mod hardware_address;
/// The machine's own network.
pub(crate) mod host;
#[cfg(target_os = "linux")]
mod host_linux;
#[cfg(not(any(target_os = "linux", windows)))]
mod host_other;
#[cfg(not(target_os = "linux"))]
mod host_unread;
/// Which ICMP messages a raw socket gets.
pub(crate) mod icmp_filter;
/// Facts of macOS.
#[cfg(any(target_os = "macos", test))]
pub(crate) mod macos;
/// Whom the kernel knows on its links.
#[cfg(target_os = "linux")]
mod neighbours_linux;
/// Questions to the kernel's routing tables.
#[cfg(target_os = "linux")]
mod netlink;
/// The packet filter in figures.
#[cfg(target_os = "linux")]
mod nftables;
/// Packets below the sockets.
pub(crate) mod packet_socket;
#[cfg(target_os = "linux")]
mod packet_socket_linux;
#[cfg(not(target_os = "linux"))]
mod packet_socket_other;
/// Every packet that the machine sends and gets.
pub(crate) mod packet_tap;
/// What the process may do.
mod rights;
/// Routes and the rules that choose between their tables.
#[cfg(target_os = "linux")]
mod routes_linux;
/// Datagrams with all that the system tells of their arrival.
pub(crate) mod stamped;
/// What the kernel knows of a TCP connection.
pub(crate) mod tcp;
/// Sockets of a traceroute: answers with their stamps, TTLs and quotes.
pub(crate) mod trace_socket;
/// Windows by its own interfaces.
#[cfg(windows)]
pub(crate) mod windows;

pub(crate) use borrowed::borrowed;
pub(crate) use dont_fragment::dont_fragment;
#[cfg(target_os = "linux")]
pub(crate) use dont_fragment::known_mtu;
pub(crate) use rights::icmp_socket;
pub use rights::{elevated, is_kept_from_rights, low_ports, other_processes, packet_filter, ping_sockets, raw_sockets};

/// The number that the interface with this name has in zones of IPv6; none where there is no such interface.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    #[cfg(unix)]
    return nix::net::if_::if_nametoindex(name).ok();
    #[cfg(windows)]
    return windows::adapters::zone_of(name);
}
