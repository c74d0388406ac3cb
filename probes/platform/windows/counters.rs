//! What the system counts, in the words that Linux has for it (RFC 4022, RFC 4113, RFC 4293).

use super::table::rows;
use super::wide::text;
use netsonde_contract::observation::{Counter, CpuTime, InterfaceCounters};
use std::io;
use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GetIfTable2, GetIpStatisticsEx, GetTcpStatisticsEx, GetUdpStatisticsEx, MIB_IF_ROW2, MIB_IPSTATS_LH, MIB_TCPSTATS_LH,
    MIB_TCPSTATS2, MIB_UDPSTATS,
};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Threading::GetSystemTimes;

const FAMILIES: [u32; 2] = [AF_INET as u32, AF_INET6 as u32];
/// A `FILETIME` counts in tenths of microseconds.
const TICKS_PER_MS: u64 = 10_000;

/// GetTcpStatisticsEx2 counts in 64 bits, and systems before Windows 10 version 1709 lack it: a program that was linked to it would not
/// start there.
type TcpStatistics2 = unsafe extern "system" fn(*mut MIB_TCPSTATS2, u32) -> u32;

/// Of both families together, those that are not zero.
pub(crate) fn counters() -> Vec<Counter> {
    let mut sums: Vec<(&str, u64)> = Vec::new();
    for family in FAMILIES {
        for (name, value) in [tcp(family), udp(family), ip(family)].into_iter().flatten() {
            match sums.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum = sum.saturating_add(value),
                None => sums.push((name, value)),
            }
        }
    }
    let counted = sums.into_iter().filter(|(_, value)| *value > 0);
    counted.map(|(name, value)| Counter { name: name.to_owned(), value }).collect()
}

fn tcp(family: u32) -> Vec<(&'static str, u64)> {
    wide_tcp(family).unwrap_or_else(|| {
        let mut found = MIB_TCPSTATS_LH::default();
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the system fills the one structure.
        let error = unsafe { GetTcpStatisticsEx(&raw mut found, family) };
        let values = [
            ("Tcp.ActiveOpens", found.dwActiveOpens),
            ("Tcp.AttemptFails", found.dwAttemptFails),
            ("Tcp.EstabResets", found.dwEstabResets),
            ("Tcp.InSegs", found.dwInSegs),
            ("Tcp.OutSegs", found.dwOutSegs),
            ("Tcp.RetransSegs", found.dwRetransSegs),
            ("Tcp.InErrs", found.dwInErrs),
            ("Tcp.OutRsts", found.dwOutRsts),
        ];
        read(error, values)
    })
}

fn wide_tcp(family: u32) -> Option<Vec<(&'static str, u64)>> {
    let library = super::wide::wide("iphlpapi.dll");
    let mut found = MIB_TCPSTATS2::default();
    #[expect(unsafe_code, reason = "the function is looked up by its name")]
    // SAFETY: the library is loaded, as this program is linked to it; the function has this type wherever it exists, and fills the one
    // structure.
    let error = unsafe {
        let function = GetProcAddress(GetModuleHandleW(library.as_ptr()), c"GetTcpStatisticsEx2".as_ptr().cast())?;
        std::mem::transmute::<unsafe extern "system" fn() -> isize, TcpStatistics2>(function)(&raw mut found, family)
    };
    (error == 0).then(|| {
        vec![
            ("Tcp.ActiveOpens", found.dwActiveOpens.into()),
            ("Tcp.AttemptFails", found.dwAttemptFails.into()),
            ("Tcp.EstabResets", found.dwEstabResets.into()),
            ("Tcp.InSegs", found.dw64InSegs),
            ("Tcp.OutSegs", found.dw64OutSegs),
            ("Tcp.RetransSegs", found.dwRetransSegs.into()),
            ("Tcp.InErrs", found.dwInErrs.into()),
            ("Tcp.OutRsts", found.dwOutRsts.into()),
        ]
    })
}

fn udp(family: u32) -> Vec<(&'static str, u64)> {
    let mut found = MIB_UDPSTATS::default();
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the system fills the one structure.
    let error = unsafe { GetUdpStatisticsEx(&raw mut found, family) };
    let values = [
        ("Udp.InDatagrams", found.dwInDatagrams),
        ("Udp.NoPorts", found.dwNoPorts),
        ("Udp.InErrors", found.dwInErrors),
        ("Udp.OutDatagrams", found.dwOutDatagrams),
    ];
    read(error, values)
}

fn ip(family: u32) -> Vec<(&'static str, u64)> {
    let mut found = MIB_IPSTATS_LH::default();
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the system fills the one structure.
    let error = unsafe { GetIpStatisticsEx(&raw mut found, family) };
    let values = [
        ("Ip.InReceives", found.dwInReceives),
        ("Ip.InHdrErrors", found.dwInHdrErrors),
        ("Ip.InAddrErrors", found.dwInAddrErrors),
        ("Ip.InDiscards", found.dwInDiscards),
        ("Ip.OutRequests", found.dwOutRequests),
        ("Ip.OutDiscards", found.dwOutDiscards),
        ("Ip.OutNoRoutes", found.dwOutNoRoutes),
        ("Ip.ReasmFails", found.dwReasmFails),
        ("Ip.FragFails", found.dwFragFails),
    ];
    read(error, values)
}

fn read<const N: usize>(error: u32, values: [(&'static str, u32); N]) -> Vec<(&'static str, u64)> {
    let found = values.into_iter().filter(|_| error == 0);
    found.map(|(name, value)| (name, u64::from(value))).collect()
}

/// What the interfaces count, by name.
///
/// # Errors
/// The system's own.
pub(crate) fn interface_counters() -> io::Result<Vec<(String, InterfaceCounters)>> {
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the table is null or as the system allotted it, and is given back by `rows` alone.
    let found: Vec<MIB_IF_ROW2> = unsafe {
        let mut table = std::ptr::null_mut();
        let error = GetIfTable2(&raw mut table);
        let (count, first) =
            if table.is_null() { (0, std::ptr::null()) } else { ((*table).NumEntries, (&raw const (*table).Table).cast()) };
        rows(error, table.cast_const().cast(), count, first)?
    };
    // Filters of the network stack are listed as interfaces too, and count what their interface does.
    let adapters = super::adapters::read()?;
    let own = |row: &&MIB_IF_ROW2| adapters.iter().any(|adapter| [adapter.index, adapter.index_v6].contains(&row.InterfaceIndex));
    Ok(found.iter().filter(own).map(|row| (text(&row.Alias), interface(row))).collect())
}

fn interface(row: &MIB_IF_ROW2) -> InterfaceCounters {
    InterfaceCounters {
        rx_packets: row.InUcastPkts.saturating_add(row.InNUcastPkts),
        tx_packets: row.OutUcastPkts.saturating_add(row.OutNUcastPkts),
        rx_bytes: row.InOctets,
        tx_bytes: row.OutOctets,
        rx_errors: row.InErrors,
        tx_errors: row.OutErrors,
        rx_dropped: row.InDiscards,
        tx_dropped: row.OutDiscards,
        carrier_changes: None,
    }
}

/// The time of all processors together. The system does not tell what the hypervisor took.
pub(crate) fn cpu_time() -> Option<CpuTime> {
    let (mut idle, mut kernel, mut user) = (FILETIME::default(), FILETIME::default(), FILETIME::default());
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the system fills the three structures.
    let told = unsafe { GetSystemTimes(&raw mut idle, &raw mut kernel, &raw mut user) };
    let ms = |time: FILETIME| (u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime)) / TICKS_PER_MS;
    // The kernel's time holds the idle one.
    let busy_ms = ms(kernel).saturating_add(ms(user)).saturating_sub(ms(idle));
    (told != 0).then(|| CpuTime { busy_ms, idle_ms: ms(idle), steal_ms: 0 })
}
