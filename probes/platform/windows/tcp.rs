//! `SIO_TCP_INFO` (Windows 10 version 1703 and later): what the system knows of a connection.

use crate::platform::tcp::TcpInfo;
use netsonde_contract::observation::TcpState;
use socket2::Socket;
use std::os::windows::io::AsRawSocket;
use windows_sys::Win32::Networking::WinSock::{SIO_TCP_INFO, TCP_INFO_v0, TCP_INFO_v1, WSAIoctl};

/// None where the system has no such thing, or the socket is no connection.
pub(crate) fn info(socket: &Socket) -> Option<TcpInfo> {
    match ask::<TCP_INFO_v1>(socket, 1) {
        Some(found) => Some(TcpInfo { state: state_v1(&found), since_acknowledged: None, data_segments: None }),
        None => ask::<TCP_INFO_v0>(socket, 0).map(|found| TcpInfo {
            state: state(&found),
            since_acknowledged: None,
            data_segments: None,
        }),
    }
}

fn ask<T: Default + Copy>(socket: &Socket, version: u32) -> Option<T> {
    let (mut found, mut returned) = (T::default(), 0_u32);
    #[expect(unsafe_code, reason = "no crate has a wrapper for SIO_TCP_INFO")]
    // SAFETY: the socket is open for as long as it is borrowed; the system reads four bytes and writes at most one structure, whose fields
    // are integers and truth values that it sets to 0 or 1.
    let result = unsafe {
        let (input, output) = ((&raw const version).cast(), (&raw mut found).cast());
        let raw = usize::try_from(socket.as_raw_socket()).ok()?;
        let (given, room) = (size_of::<u32>() as u32, size_of::<T>() as u32);
        WSAIoctl(raw, SIO_TCP_INFO, input, given, output, room, &raw mut returned, std::ptr::null_mut(), None)
    };
    (result == 0 && returned as usize >= size_of::<T>()).then_some(found)
}

/// The system counts in bytes what Linux counts in segments, and tells neither the path MTU nor the RTT's deviation.
fn state(found: &TCP_INFO_v0) -> TcpState {
    let segments = |bytes: u32| bytes.div_ceil(found.Mss.max(1));
    TcpState {
        rtt_us: found.RttUs,
        min_rtt_us: Some(found.MinRttUs).filter(|rtt| *rtt != u32::MAX && *rtt > 0),
        retransmits: segments(found.BytesRetrans).saturating_add(found.SynRetrans.into()),
        mss_bytes: found.Mss,
        congestion_window: segments(found.Cwnd),
        timestamps: found.TimestampsEnabled,
        peer_window_bytes: Some(found.SndWnd),
        bytes_sent: Some(found.BytesOut),
        bytes_resent: Some(found.BytesRetrans.into()),
        bytes_received: Some(found.BytesIn),
        ..TcpState::default()
    }
}

fn state_v1(found: &TCP_INFO_v1) -> TcpState {
    let v0 = TCP_INFO_v0 {
        State: found.State,
        Mss: found.Mss,
        ConnectionTimeMs: found.ConnectionTimeMs,
        TimestampsEnabled: found.TimestampsEnabled,
        RttUs: found.RttUs,
        MinRttUs: found.MinRttUs,
        BytesInFlight: found.BytesInFlight,
        Cwnd: found.Cwnd,
        SndWnd: found.SndWnd,
        RcvWnd: found.RcvWnd,
        RcvBuf: found.RcvBuf,
        BytesOut: found.BytesOut,
        BytesIn: found.BytesIn,
        BytesReordered: found.BytesReordered,
        BytesRetrans: found.BytesRetrans,
        FastRetrans: found.FastRetrans,
        DupAcksIn: found.DupAcksIn,
        TimeoutEpisodes: found.TimeoutEpisodes,
        SynRetrans: found.SynRetrans,
    };
    let us = |ms: u32| Some(u64::from(ms) * 1_000);
    let busy_ms = found.SndLimTimeRwin.saturating_add(found.SndLimTimeCwnd).saturating_add(found.SndLimTimeSnd);
    TcpState {
        busy_us: us(busy_ms),
        window_limited_us: us(found.SndLimTimeRwin),
        buffer_limited_us: us(found.SndLimTimeSnd),
        ..state(&v0)
    }
}
