//! Sockets with the processes that hold them, by GetExtendedTcpTable and GetExtendedUdpTable.

use super::wide::text;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;
use std::net::IpAddr;
use windows_sys::Win32::Foundation::{CloseHandle, ERROR_INSUFFICIENT_BUFFER};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GetExtendedTcpTable, GetExtendedUdpTable, MIB_TCP6ROW_OWNER_PID, MIB_TCPROW_OWNER_PID, MIB_UDP6ROW_OWNER_PID,
    MIB_UDPROW_OWNER_PID, TCP_TABLE_OWNER_PID_ALL, UDP_TABLE_OWNER_PID,
};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};
use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION, QueryFullProcessImageNameW};

/// A crowded server has some ten thousand sockets of 56 bytes each.
const MAX_BYTES: u32 = 16 << 20;
/// Tables grow between two calls.
const TRIES: usize = 4;
/// Processes whose names are asked for.
const MAX_PROCESSES: usize = 4_096;
/// Letters of a path.
const MAX_PATH: usize = 1_024;

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) local: IpAddr,
    pub(crate) local_port: u16,
    pub(crate) remote: IpAddr,
    pub(crate) remote_port: u16,
    /// `MIB_TCP_STATE`; 0 for UDP.
    pub(crate) state: u32,
    pub(crate) process: u32,
}

/// The machine's sockets of TCP.
pub(crate) fn tcp() -> Option<Vec<Row>> {
    let v4 = table(|rows, bytes| tcp_table(rows, bytes, AF_INET))?;
    let v6 = table(|rows, bytes| tcp_table(rows, bytes, AF_INET6)).unwrap_or_default();
    let v4 = rows::<MIB_TCPROW_OWNER_PID>(&v4).into_iter().map(|row| Row {
        local: IpAddr::from(row.dwLocalAddr.to_ne_bytes()),
        local_port: port(row.dwLocalPort),
        remote: IpAddr::from(row.dwRemoteAddr.to_ne_bytes()),
        remote_port: port(row.dwRemotePort),
        state: row.dwState,
        process: row.dwOwningPid,
    });
    let v6 = rows::<MIB_TCP6ROW_OWNER_PID>(&v6).into_iter().map(|row| Row {
        local: plain(row.ucLocalAddr),
        local_port: port(row.dwLocalPort),
        remote: plain(row.ucRemoteAddr),
        remote_port: port(row.dwRemotePort),
        state: row.dwState,
        process: row.dwOwningPid,
    });
    Some(v4.chain(v6).collect())
}

/// The machine's sockets of UDP, of which the system does not tell whom they are connected to.
pub(crate) fn udp() -> Option<Vec<Row>> {
    let v4 = table(|rows, bytes| udp_table(rows, bytes, AF_INET))?;
    let v6 = table(|rows, bytes| udp_table(rows, bytes, AF_INET6)).unwrap_or_default();
    let row = |local: IpAddr, local_port: u32, process: u32| Row {
        local,
        local_port: port(local_port),
        remote: if local.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) },
        remote_port: 0,
        state: 0,
        process,
    };
    let of_v4 = |found: MIB_UDPROW_OWNER_PID| row(found.dwLocalAddr.to_ne_bytes().into(), found.dwLocalPort, found.dwOwningPid);
    let of_v6 = |found: MIB_UDP6ROW_OWNER_PID| row(plain(found.ucLocalAddr), found.dwLocalPort, found.dwOwningPid);
    Some(rows(&v4).into_iter().map(of_v4).chain(rows(&v6).into_iter().map(of_v6)).collect())
}

/// An IPv4 address that a socket of both families is connected to is one of IPv4.
fn plain(octets: [u8; 16]) -> IpAddr {
    IpAddr::from(octets).to_canonical()
}

/// In network byte order within the lower half.
fn port(number: u32) -> u16 {
    u16::from_be((number & 0xffff) as u16)
}

fn tcp_table(rows: *mut c_void, bytes: &mut u32, family: u16) -> u32 {
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: `table` gives a buffer of as many bytes.
    unsafe {
        GetExtendedTcpTable(rows, bytes, 0, family.into(), TCP_TABLE_OWNER_PID_ALL, 0)
    }
}

fn udp_table(rows: *mut c_void, bytes: &mut u32, family: u16) -> u32 {
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: `table` gives a buffer of as many bytes.
    unsafe {
        GetExtendedUdpTable(rows, bytes, 0, family.into(), UDP_TABLE_OWNER_PID, 0)
    }
}

/// A table as the system writes it; none where it has none.
fn table(mut read: impl FnMut(*mut c_void, &mut u32) -> u32) -> Option<Vec<u32>> {
    let mut bytes = 64 << 10;
    for _ in 0..TRIES {
        let mut buffer = vec![0_u32; (bytes as usize).div_ceil(size_of::<u32>())];
        match read(buffer.as_mut_ptr().cast(), &mut bytes) {
            0 => return Some(buffer),
            ERROR_INSUFFICIENT_BUFFER if bytes <= MAX_BYTES => {}
            _ => return None,
        }
    }
    None
}

/// The rows behind the count that a table begins with. All of them are of numbers of four bytes at most.
fn rows<T: Copy>(table: &[u32]) -> Vec<T> {
    let count = table.first().map_or(0, |count| *count as usize);
    let of_each = size_of::<T>() / size_of::<u32>();
    let whole = table.get(1..).unwrap_or_default().chunks_exact(of_each).take(count);
    #[expect(unsafe_code, reason = "the rows are structures of C")]
    // SAFETY: each part is as long as a row, whose fields are integers, for which all bytes are values.
    whole.map(|row| unsafe { row.as_ptr().cast::<T>().read_unaligned() }).collect()
}

/// The programs of these processes, as far as the process may see them.
pub(crate) fn programs(processes: &BTreeSet<u32>) -> BTreeMap<u32, String> {
    processes.iter().take(MAX_PROCESSES).filter_map(|process| Some((*process, program(*process)?))).collect()
}

fn program(process: u32) -> Option<String> {
    let (mut path, mut length) = ([0_u16; MAX_PATH], MAX_PATH as u32);
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the handle is closed once, here; the system writes at most `length` letters into `path`.
    let named = unsafe {
        let handle = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, process);
        if handle.is_null() {
            return None;
        }
        let named = QueryFullProcessImageNameW(handle, 0, path.as_mut_ptr(), &raw mut length);
        CloseHandle(handle);
        named != 0
    };
    let path = text(&path);
    let name = path.rsplit(['\\', '/']).next().filter(|name| named && !name.is_empty())?;
    Some(name.to_owned())
}
