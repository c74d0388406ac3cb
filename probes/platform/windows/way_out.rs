//! The interface by which packets leave towards an address, and the largest that leave whole: by GetAdaptersAddresses, and for IPv6 by
//! GetIpInterfaceEntry and GetIpPathEntry.

use super::adapters;
use super::address::inet;
use super::routes::route;
use crate::zone;
use std::io;
use std::net::IpAddr;
use windows_sys::Win32::Foundation::ERROR_NOT_FOUND;
use windows_sys::Win32::NetworkManagement::IpHelper::{GetIpInterfaceEntry, GetIpPathEntry, MIB_IPINTERFACE_ROW, MIB_IPPATH_ROW};
use windows_sys::Win32::Networking::WinSock::AF_INET6;

#[derive(Clone, Debug)]
pub(crate) struct WayOut {
    target: IpAddr,
    /// The interface's number for IPv6; 0 where it is not known.
    index_v6: u32,
    mtu_v4: Option<u32>,
    own_addresses: Vec<IpAddr>,
}

/// Packets of IPv6 that leave whole, in bytes at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizesV6 {
    pub(crate) interface: u32,
    /// What the system keeps to on this path, because a router told it to; none where it keeps nothing of the path.
    pub(crate) path: Option<u32>,
}

/// # Errors
/// The system's own, where there is no route.
pub(crate) fn way_out(target: IpAddr) -> io::Result<WayOut> {
    let source = route(target)?.source;
    let adapters = adapters::read()?;
    let has = |adapter: &&adapters::Adapter| source.is_some_and(|source| adapter.addresses().any(|own| own == source));
    let adapter = adapters.iter().find(has);
    Ok(WayOut {
        target,
        index_v6: adapter.map_or(0, |adapter| adapter.index_v6),
        mtu_v4: adapter.and_then(|adapter| adapter.interface.mtu),
        own_addresses: adapters.iter().flat_map(|adapter| adapter.addresses()).collect(),
    })
}

impl WayOut {
    /// The largest packet that the interface takes; none where the system knows no limit, or does not say which interface it is.
    pub(crate) fn mtu_v4(&self) -> Option<u32> {
        self.mtu_v4
    }

    /// The addresses of this machine, on whichever interface.
    pub(crate) fn own_addresses(&self) -> &[IpAddr] {
        &self.own_addresses
    }

    /// What the system would send whole now: it may learn of the path by every packet.
    ///
    /// # Errors
    /// The system's own.
    pub(crate) fn sizes_v6(&self) -> io::Result<SizesV6> {
        let mut interface = MIB_IPINTERFACE_ROW { Family: AF_INET6, InterfaceIndex: self.index_v6, ..Default::default() };
        let destination = inet(zone::socket(self.target, 0));
        let mut path = MIB_IPPATH_ROW { Destination: destination, InterfaceIndex: self.index_v6, ..Default::default() };
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the system reads and writes one structure of integers each, and both outlive the calls.
        let (of_interface, of_path) = unsafe { (GetIpInterfaceEntry(&raw mut interface), GetIpPathEntry(&raw mut path)) };
        let failed = |error: u32| io::Error::from_raw_os_error(error.cast_signed());
        if of_interface != 0 {
            return Err(failed(of_interface));
        }
        let path = match of_path {
            0 => Some(path.PathMtu).filter(|bytes| *bytes > 0),
            ERROR_NOT_FOUND => None,
            error => return Err(failed(error)),
        };
        Ok(SizesV6 { interface: interface.NlMtu, path })
    }
}
