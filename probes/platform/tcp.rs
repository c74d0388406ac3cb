use netsonde_contract::observation::TcpState;
use socket2::Socket;
use std::io;
use std::time::Duration;

/// What the kernel knows of a connection, or of an attempt at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpInfo {
    pub(crate) state: TcpState,
    /// Since the peer last acknowledged anything, to the millisecond; Windows does not tell.
    pub(crate) since_acknowledged: Option<Duration>,
    /// Segments with data that came in, in whatever order and however often; only newer kernels of Linux tell.
    pub(crate) data_segments: Option<u32>,
}

/// Reads `TCP_INFO` (tcp(7)); nothing where the system has no such thing.
#[cfg(target_os = "linux")]
pub(crate) fn info(socket: &Socket) -> Option<TcpInfo> {
    use nix::libc::{self, socklen_t};
    use std::os::fd::AsRawFd;

    let mut bytes = [0_u8; layout::MAX_BYTES];
    let mut length = socklen_t::try_from(bytes.len()).ok()?;
    #[expect(unsafe_code, reason = "nix has no wrapper for TCP_INFO")]
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the kernel writes at most `length` bytes, all within
    // `bytes`.
    let result = unsafe {
        let (fd, bytes) = (socket.as_raw_fd(), bytes.as_mut_ptr());
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, bytes.cast(), &raw mut length)
    };
    if result != 0 {
        return None;
    }
    layout::read(bytes.get(..usize::try_from(length).ok()?)?)
}

#[cfg(windows)]
pub(crate) use super::windows::tcp::info;

#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) fn info(_socket: &Socket) -> Option<TcpInfo> {
    None
}

/// Where `struct tcp_info` of <linux/tcp.h> has its fields. It only ever grows: an older kernel fills a beginning of it.
#[cfg(target_os = "linux")]
pub(super) mod layout {
    use super::{Duration, TcpInfo, TcpState};

    /// Longer than the structure of any kernel so far.
    pub(super) const MAX_BYTES: usize = 512;
    const OPTIONS: usize = 5;
    const WINDOW_SCALES: usize = 6;
    const SEND_MSS: usize = 16;
    const SACKED: usize = 28;
    const LAST_ACK_RECEIVED_MS: usize = 56;
    const PATH_MTU: usize = 60;
    const RTT: usize = 68;
    const RTT_DEVIATION: usize = 72;
    const CONGESTION_WINDOW: usize = 80;
    const RECEIVE_RTT: usize = 92;
    const TOTAL_RETRANSMITS: usize = 100;
    const BYTES_ACKNOWLEDGED: usize = 120;
    const BYTES_RECEIVED: usize = 128;
    const MIN_RTT: usize = 148;
    const DATA_SEGMENTS_IN: usize = 152;
    const DELIVERY_RATE: usize = 160;
    const BUSY: usize = 168;
    const WINDOW_LIMITED: usize = 176;
    const BUFFER_LIMITED: usize = 184;
    const CONGESTION_MARKS: usize = 196;
    const BYTES_SENT: usize = 200;
    const BYTES_RESENT: usize = 208;
    const OUT_OF_ORDER: usize = 224;
    const PEER_WINDOW: usize = 228;
    /// Bits of the options.
    const TIMESTAMPS: u8 = 1;
    const SACK: u8 = 2;
    const SCALED: u8 = 4;
    const ECN: u8 = 8;
    const ECN_SEEN: u8 = 16;

    /// What the beginning that the kernel filled tells; nothing where it lacks even what every kernel of this century fills.
    pub(in crate::platform) fn read(filled: &[u8]) -> Option<TcpInfo> {
        let word = |at: usize| Some(u32::from_ne_bytes(filled.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_ne_bytes(filled.get(at..at + 8)?.try_into().ok()?));
        let options = *filled.get(OPTIONS)?;
        let scales = *filled.get(WINDOW_SCALES)?;
        let has = |bit: u8| options & bit != 0;
        let state = TcpState {
            rtt_us: word(RTT)?,
            rtt_deviation_us: word(RTT_DEVIATION)?,
            // All bits are set before the first measurement.
            min_rtt_us: word(MIN_RTT).filter(|rtt| *rtt != u32::MAX),
            retransmits: word(TOTAL_RETRANSMITS)?,
            mss_bytes: word(SEND_MSS)?,
            path_mtu_bytes: word(PATH_MTU)?,
            congestion_window: word(CONGESTION_WINDOW)?,
            ecn: has(ECN),
            ecn_seen: has(ECN_SEEN),
            congestion_marks: word(CONGESTION_MARKS),
            timestamps: has(TIMESTAMPS),
            sack: has(SACK),
            window_scale: has(SCALED).then_some(if cfg!(target_endian = "little") {
                (scales & 0x0f, scales >> 4)
            } else {
                (scales >> 4, scales & 0x0f)
            }),
            peer_window_bytes: word(PEER_WINDOW),
            delivery_rate: long(DELIVERY_RATE).filter(|rate| *rate > 0),
            bytes_sent: long(BYTES_SENT),
            bytes_resent: long(BYTES_RESENT),
            // The kernel counts the SYN as one.
            bytes_acknowledged: long(BYTES_ACKNOWLEDGED).map(|bytes| bytes.saturating_sub(1)),
            segments_sacked: word(SACKED),
            bytes_received: long(BYTES_RECEIVED),
            busy_us: long(BUSY),
            window_limited_us: long(WINDOW_LIMITED),
            buffer_limited_us: long(BUFFER_LIMITED),
            // Nothing is known before a window of data came in.
            receive_rtt_us: word(RECEIVE_RTT).filter(|rtt| *rtt > 0),
            out_of_order: word(OUT_OF_ORDER),
        };
        let since_acknowledged = Some(Duration::from_millis(word(LAST_ACK_RECEIVED_MS)?.into()));
        Some(TcpInfo { state, since_acknowledged, data_segments: word(DATA_SEGMENTS_IN) })
    }
}

/// Holds both sides of a connection that is not made yet to segments of so many bytes (`TCP_MAXSEG`, tcp(7)): ours by the option itself, the
/// peer's by what the SYN announces (RFC 9293 section 3.7.1).
///
/// # Errors
/// The system's own; where it has no such option, that.
#[cfg(unix)]
pub(crate) fn limit_segments(socket: &Socket, bytes: u32) -> io::Result<()> {
    socket.set_tcp_mss(bytes)
}

#[cfg(not(unix))]
pub(crate) fn limit_segments(_socket: &Socket, _bytes: u32) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system cannot hold a connection to smaller segments"))
}

/// The connection is being made, and the error only says that a non-blocking `connect` did not wait for it.
pub(crate) fn is_in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    let pending = error.raw_os_error() == Some(nix::libc::EINPROGRESS);
    #[cfg(not(unix))]
    let pending = false;
    pending || error.kind() == io::ErrorKind::WouldBlock
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_that_carried_data_tells_what_it_carried() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(&[7; 5_000]).unwrap();
        far.read_exact(&mut [0; 5_000]).unwrap();
        far.write_all(b"thanks").unwrap();
        near.read_exact(&mut [0; 6]).unwrap();
        let state = info(&SockRef::from(&near)).unwrap().state;
        assert!(state.mss_bytes > 500 && state.path_mtu_bytes > state.mss_bytes, "{state:?}");
        assert!(state.rtt_us > 0 && state.congestion_window > 0 && state.sack, "{state:?}");
        // Both sides of one machine agree, and a newer kernel counts bytes.
        assert_eq!(state.bytes_received.unwrap_or(6), 6);
        assert_eq!(state.bytes_sent.unwrap_or(5_000), 5_000);
        assert_eq!(state.bytes_acknowledged.unwrap_or(5_000), 5_000);
        assert_eq!(state.bytes_resent.unwrap_or(0), 0);
        assert!(state.min_rtt_us.is_none_or(|min| min <= state.rtt_us + state.rtt_deviation_us), "{state:?}");
    }

    #[cfg(unix)]
    #[test]
    fn both_sides_of_a_limited_connection_send_small_segments() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        limit_segments(&near, 600).unwrap();
        near.connect(&listener.local_addr().unwrap().into()).unwrap();
        let (far, _) = listener.accept().unwrap();
        for state in [info(&near).unwrap().state, info(&SockRef::from(&far)).unwrap().state] {
            assert!(state.mss_bytes <= 600, "{state:?}");
        }
    }

    #[test]
    fn an_older_kernels_shorter_structure_leaves_out_what_it_lacks() {
        let mut bytes = [0_u8; 104];
        bytes[68] = 9;
        let state = layout::read(&bytes).unwrap().state;
        assert_eq!((state.rtt_us, state.min_rtt_us, state.delivery_rate, state.bytes_sent), (9, None, None, None));
        assert_eq!(layout::read(&bytes[..103]), None);
    }
}
