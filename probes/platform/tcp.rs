use socket2::Socket;
use std::io;

/// What the kernel knows of a connection, or of an attempt at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpInfo {
    /// Smoothed round-trip time in microseconds; 0 before the first measurement.
    pub(crate) rtt_us: u32,
    /// Segments sent again since the socket was opened; SYNs only, as long as nothing was written.
    pub(crate) retransmits: u32,
}

/// Reads `TCP_INFO` (tcp(7)); nothing where the system has no such thing.
#[cfg(target_os = "linux")]
pub(crate) fn info(socket: &Socket) -> Option<TcpInfo> {
    use nix::libc::{self, socklen_t, tcp_info};
    use std::os::fd::AsRawFd;

    let mut info = std::mem::MaybeUninit::<tcp_info>::zeroed();
    let mut length = socklen_t::try_from(size_of::<tcp_info>()).ok()?;
    #[expect(unsafe_code, reason = "nix has no wrapper for TCP_INFO")]
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the kernel writes at most `length` bytes.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &raw mut length)
    };
    if result != 0 {
        return None;
    }
    #[expect(unsafe_code, reason = "an older kernel fills only the beginning of the structure")]
    // SAFETY: the structure is of integers only and was zeroed, so every byte of it is initialised whatever the kernel wrote.
    let info = unsafe { info.assume_init() };
    Some(TcpInfo { rtt_us: info.tcpi_rtt, retransmits: info.tcpi_total_retrans })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn info(_socket: &Socket) -> Option<TcpInfo> {
    None
}

/// The connection is being made, and the error only says that a non-blocking `connect` did not wait for it.
pub(crate) fn is_in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    let pending = error.raw_os_error() == Some(nix::libc::EINPROGRESS);
    #[cfg(not(unix))]
    let pending = false;
    pending || error.kind() == io::ErrorKind::WouldBlock
}
