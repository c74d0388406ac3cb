//! Neighbours by GetIpNetTable2.

use super::adapters;
use super::address::of_inet;
use super::table::rows;
use netsonde_contract::observation::Neighbour;
use std::io;
use windows_sys::Win32::NetworkManagement::IpHelper::{GetIpNetTable2, MIB_IPNET_ROW2};
use windows_sys::Win32::Networking::WinSock::AF_UNSPEC;

/// Those that are somebody's own; the system keeps entries for groups beside them.
///
/// # Errors
/// The system's own.
pub(crate) fn neighbours() -> io::Result<Vec<Neighbour>> {
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the table is null or as the system allotted it, and is given back by `rows` alone.
    let found: Vec<MIB_IPNET_ROW2> = unsafe {
        let mut table = std::ptr::null_mut();
        let error = GetIpNetTable2(AF_UNSPEC, &raw mut table);
        let (count, first) =
            if table.is_null() { (0, std::ptr::null()) } else { ((*table).NumEntries, (&raw const (*table).Table).cast()) };
        rows(error, table.cast_const().cast(), count, first)?
    };
    let adapters = adapters::read().unwrap_or_default();
    Ok(found.iter().filter_map(|row| neighbour(row, &adapters)).collect())
}

fn neighbour(row: &MIB_IPNET_ROW2, adapters: &[adapters::Adapter]) -> Option<Neighbour> {
    let address = of_inet(&row.Address).filter(|address| !address.is_multicast() && !address.is_loopback())?;
    let adapter = adapters.iter().find(|adapter| [adapter.index, adapter.index_v6].contains(&row.InterfaceIndex))?;
    let hardware =
        row.PhysicalAddress.get(..row.PhysicalAddressLength as usize).filter(|bytes| bytes.iter().any(|byte| *byte != 0));
    // The address of everybody on the link.
    if hardware.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0xff)) {
        return None;
    }
    Some(Neighbour {
        address,
        interface: adapter.interface.name.clone(),
        state: state(row.State).to_owned(),
        hardware_address: hardware.and_then(crate::platform::hardware_address::text),
        gateway: false,
    })
}

/// `NL_NEIGHBOR_STATE` in the words of Linux (RFC 4861 section 7.3.2).
fn state(of: i32) -> &'static str {
    match of {
        0 => "failed",
        1 => "incomplete",
        2 => "probe",
        3 => "delay",
        4 => "stale",
        6 => "permanent",
        _ => "reachable",
    }
}
