//! Echo requests by the ICMP interface of Windows (IcmpSendEcho2Ex and Icmp6SendEcho2 of iphlpapi.dll).
//!
//! The system sends, matches the answer and tells who sent it, for any user and past its own packet filter, which hides ICMP errors
//! from raw sockets. It tells the round trip in whole milliseconds, so the caller takes stamps of its own around the call.

use crate::zone;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use windows_sys::Win32::Foundation::{GetLastError, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    ICMP_ECHO_REPLY, ICMPV6_ECHO_REPLY_LH, IP_FLAG_DF, IP_OPTION_INFORMATION, Icmp6CreateFile, Icmp6SendEcho2, IcmpCloseHandle,
    IcmpCreateFile, IcmpSendEcho2Ex,
};

/// Beside reply and payload: an ICMP error of eight bytes, and an `IO_STATUS_BLOCK` (documentation of IcmpSendEcho2).
const BEYOND_REPLY: usize = 8 + 16;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EchoRequest {
    pub(crate) target: IpAddr,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    /// Of IPv4; routers never cut IPv6, and what its sender may cut the interface decides.
    pub(crate) dont_fragment: bool,
    pub(crate) payload: Vec<u8>,
    pub(crate) timeout: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EchoAnswer {
    /// An `IP_STATUS`; zero for a reply.
    pub(crate) status: u32,
    /// Who sent what came back; unspecified where nothing did.
    pub(crate) from: IpAddr,
    /// The round trip as the system tells it, cut to whole milliseconds.
    pub(crate) system_rtt_ms: u32,
    /// TTL that a reply of IPv4 had left; the interface does not tell the hop limit of IPv6.
    pub(crate) ttl: Option<u8>,
    /// The payload of an IPv4 reply is not the one that was sent.
    pub(crate) corrupt: bool,
}

/// Sends a request and waits for what comes of it, for the time-out at most. Blocks.
///
/// # Errors
/// The system's own, where it is no `IP_STATUS`.
pub(crate) fn ask(request: &EchoRequest) -> io::Result<EchoAnswer> {
    let handle = Handle::open(request.target)?;
    let options = IP_OPTION_INFORMATION {
        Ttl: request.ttl,
        Tos: 0,
        Flags: if request.dont_fragment { IP_FLAG_DF as u8 } else { 0 },
        OptionsSize: 0,
        OptionsData: std::ptr::null_mut(),
    };
    match request.target {
        IpAddr::V4(target) => ask_v4(&handle, target, request, &options),
        IpAddr::V6(target) => ask_v6(&handle, target, request, &options),
    }
}

struct Handle(HANDLE);

impl Handle {
    fn open(target: IpAddr) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: neither function takes anything.
        let handle = unsafe { if target.is_ipv4() { IcmpCreateFile() } else { Icmp6CreateFile() } };
        if handle.is_null() || handle == INVALID_HANDLE_VALUE { Err(io::Error::last_os_error()) } else { Ok(Self(handle)) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the handle was opened by this structure, which alone closes it.
        unsafe {
            IcmpCloseHandle(self.0);
        }
    }
}

/// Words of eight bytes, as the structures in it hold pointers; zeroed, so that what the system leaves out is no answer.
fn buffer(reply: usize, payload: usize) -> Vec<u64> {
    vec![0; (reply + payload + BEYOND_REPLY).div_ceil(size_of::<u64>())]
}

fn length(buffer: &[u64]) -> u32 {
    u32::try_from(size_of_val(buffer)).unwrap_or(u32::MAX)
}

fn milliseconds(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)
}

fn ask_v4(handle: &Handle, target: Ipv4Addr, request: &EchoRequest, options: &IP_OPTION_INFORMATION) -> io::Result<EchoAnswer> {
    let (payload, mut buffer) = (&request.payload, buffer(size_of::<ICMP_ECHO_REPLY>(), request.payload.len()));
    let size = u16::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: without an event the call ends only when it has its answer; request, options and buffer outlive it with their true lengths.
    // What is read is a structure of integers and pointers at the buffer's beginning, which is zeroed and larger than it.
    let (count, error, reply) = unsafe {
        let count = IcmpSendEcho2Ex(
            handle.0,
            std::ptr::null_mut(),
            None,
            std::ptr::null(),
            0,
            u32::from_ne_bytes(target.octets()),
            payload.as_ptr().cast(),
            size,
            options,
            buffer.as_mut_ptr().cast(),
            length(&buffer),
            milliseconds(request.timeout),
        );
        (count, GetLastError(), buffer.as_ptr().cast::<ICMP_ECHO_REPLY>().read())
    };
    let status = status(count, error, reply.Status)?;
    let from = IpAddr::V4(Ipv4Addr::from(reply.Address.to_ne_bytes()));
    let is_reply = status == 0;
    let returned = returned(&buffer, reply.Data as usize, usize::from(reply.DataSize));
    Ok(EchoAnswer {
        status,
        from,
        system_rtt_ms: reply.RoundTripTime,
        ttl: is_reply.then_some(reply.Options.Ttl),
        corrupt: is_reply && returned.is_some_and(|returned| returned != *payload),
    })
}

/// The payload within the buffer, by the pointer that the system put there.
fn returned(buffer: &[u64], at: usize, length: usize) -> Option<Vec<u8>> {
    let start = at.checked_sub(buffer.as_ptr() as usize)?;
    let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.get(start..start.checked_add(length)?).map(<[u8]>::to_vec)
}

fn ask_v6(handle: &Handle, target: Ipv6Addr, request: &EchoRequest, options: &IP_OPTION_INFORMATION) -> io::Result<EchoAnswer> {
    let (payload, mut buffer) = (&request.payload, buffer(size_of::<ICMPV6_ECHO_REPLY_LH>(), request.payload.len()));
    let size = u16::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // A link-local address says only with its zone on which link it is.
    let any = socket2::SockAddr::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
    let target = socket2::SockAddr::from(zone::socket(target.into(), 0));
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: as for IPv4; both addresses are of IPv6 and outlive the call.
    let (count, error, reply) = unsafe {
        let count = Icmp6SendEcho2(
            handle.0,
            std::ptr::null_mut(),
            None,
            std::ptr::null(),
            any.as_ptr().cast(),
            target.as_ptr().cast(),
            payload.as_ptr().cast(),
            size,
            options,
            buffer.as_mut_ptr().cast(),
            length(&buffer),
            milliseconds(request.timeout),
        );
        (count, GetLastError(), buffer.as_ptr().cast::<ICMPV6_ECHO_REPLY_LH>().read())
    };
    let mut octets = [0; 16];
    let words = reply.Address.sin6_addr;
    for (bytes, word) in octets.chunks_exact_mut(2).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    Ok(EchoAnswer {
        status: status(count, error, reply.Status)?,
        from: Ipv6Addr::from(octets).into(),
        system_rtt_ms: reply.RoundTripTime,
        ttl: None,
        corrupt: false,
    })
}

/// The status of what came; where nothing did, the call's own error is a status or one of the system's.
fn status(count: u32, error: u32, of_reply: u32) -> io::Result<u32> {
    /// `IP_STATUS_BASE` and `MAX_IP_STATUS` of <ipexport.h>.
    const STATUSES: std::ops::RangeInclusive<u32> = 11_000..=11_050;
    match (count, of_reply) {
        (1.., _) => Ok(of_reply),
        (0, 1..) if STATUSES.contains(&of_reply) => Ok(of_reply),
        _ if STATUSES.contains(&error) => Ok(error),
        _ => Err(io::Error::from_raw_os_error(error.cast_signed())),
    }
}
