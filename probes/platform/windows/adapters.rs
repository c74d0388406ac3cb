//! Interfaces by GetAdaptersAddresses: addresses, size of packets, state, and the name servers and suffixes that each brings along.

use super::address::of_socket;
use super::wide;
use crate::platform::host::{DNS_PORT, SystemResolvers, without_placeholders};
use netsonde_contract::observation::{Interface, ResolverSource};
use std::io;
use std::net::{IpAddr, SocketAddr};
use windows_sys::Win32::Foundation::{ERROR_BUFFER_OVERFLOW, ERROR_NO_DATA};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GAA_FLAG_SKIP_ANYCAST, GAA_FLAG_SKIP_MULTICAST, GetAdaptersAddresses, IF_TYPE_PPP, IF_TYPE_PROP_VIRTUAL,
    IF_TYPE_SOFTWARE_LOOPBACK, IF_TYPE_TUNNEL, IP_ADAPTER_ADDRESSES_LH,
};
use windows_sys::Win32::NetworkManagement::Ndis::IfOperStatusUp;
use windows_sys::Win32::Networking::WinSock::AF_UNSPEC;

/// As the documentation of the function recommends to begin with.
const FIRST_BYTES: u32 = 15_000;
/// More is not believed: some hundred adapters with all their addresses.
const MAX_BYTES: u32 = 4 << 20;
/// The list may grow between two calls.
const TRIES: usize = 4;
/// Members of any list of the system; a list that is longer, or goes in a circle, is cut.
const MAX_MEMBERS: usize = 256;
const READ_FROM: &str = "GetAdaptersAddresses";
/// The system says so of a speed that it does not know.
const UNKNOWN_SPEED: u64 = u64::MAX;

/// One adapter as far as the facts need it.
#[derive(Clone, Debug)]
pub(super) struct Adapter {
    pub(super) index: u32,
    pub(super) index_v6: u32,
    pub(super) interface: Interface,
    servers: Vec<SocketAddr>,
    suffixes: Vec<String>,
    metric_v4: u32,
    metric_v6: u32,
}

impl Adapter {
    /// What the adapter adds to the metric of each route of this family.
    pub(super) fn metric(&self, is_ipv4: bool) -> u32 {
        if is_ipv4 { self.metric_v4 } else { self.metric_v6 }
    }

    /// Its own addresses, without the lengths of their prefixes.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.interface.addresses.iter().filter_map(|text| text.split('/').next()?.parse().ok())
    }
}

/// # Errors
/// The system's own.
pub(crate) fn interfaces() -> io::Result<Vec<Interface>> {
    Ok(read()?.into_iter().map(|adapter| adapter.interface).collect())
}

/// The name servers of all adapters that are up, in the order of their metrics, each once.
pub(crate) fn system_resolvers() -> SystemResolvers {
    let mut adapters = match read() {
        Ok(adapters) => adapters,
        Err(error) => return SystemResolvers { read_from: format!("{READ_FROM} ({error})"), ..SystemResolvers::default() },
    };
    adapters.retain(|adapter| adapter.interface.up);
    // The lower one is asked first.
    adapters.sort_by_key(|adapter| adapter.metric_v4.min(adapter.metric_v6));
    let mut found = SystemResolvers { read_from: READ_FROM.to_owned(), ..SystemResolvers::default() };
    for adapter in adapters {
        add_new(&mut found.servers, adapter.servers);
        add_new(&mut found.search, adapter.suffixes);
    }
    found
}

fn add_new<T: PartialEq>(to: &mut Vec<T>, more: Vec<T>) {
    for one in more {
        if !to.contains(&one) {
            to.push(one);
        }
    }
}

/// What each adapter brings along. One that the system names nothing for but addresses that no server has, brings none.
pub(crate) fn resolvers_by_adapter() -> Vec<ResolverSource> {
    let adapters = read().unwrap_or_default().into_iter().filter(|adapter| adapter.interface.up);
    let source = |adapter: Adapter| {
        let servers = without_placeholders(&adapter.servers);
        (!servers.is_empty()).then(|| ResolverSource {
            read_from: READ_FROM.to_owned(),
            interface: Some(adapter.interface.name),
            servers,
            search: adapter.suffixes,
        })
    };
    adapters.filter_map(source).collect()
}

/// The number in zones of IPv6 that stands for the adapter with this name (RFC 4007 section 11.2). Case tells no names apart here.
pub(crate) fn zone_of(name: &str) -> Option<u32> {
    let adapter = read().ok()?.into_iter().find(|adapter| adapter.interface.name.to_lowercase() == name.to_lowercase())?;
    Some(adapter.index_v6).filter(|index| *index > 0)
}

pub(super) fn read() -> io::Result<Vec<Adapter>> {
    let mut bytes = FIRST_BYTES;
    for _ in 0..TRIES {
        let mut buffer = vec![0_u64; (bytes as usize).div_ceil(size_of::<u64>())];
        let flags = GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST;
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the system writes at most as many bytes as it is told, all within the buffer, which is aligned for pointers.
        let error = unsafe {
            let first = buffer.as_mut_ptr().cast();
            GetAdaptersAddresses(u32::from(AF_UNSPEC), flags, std::ptr::null(), first, &raw mut bytes)
        };
        match error {
            0 => return Ok(adapters(&buffer)),
            ERROR_NO_DATA => return Ok(Vec::new()),
            ERROR_BUFFER_OVERFLOW if bytes <= MAX_BYTES => {}
            _ => return Err(io::Error::from_raw_os_error(error.cast_signed())),
        }
    }
    Err(io::Error::other("the list of adapters grows faster than it can be read"))
}

/// The list that the system wrote at the buffer's beginning.
fn adapters(buffer: &[u64]) -> Vec<Adapter> {
    #[expect(unsafe_code, reason = "the system gives lists by pointers")]
    // SAFETY: the system filled the buffer, and each member's pointers are null or lead to members, addresses and texts within it.
    unsafe {
        members(buffer.as_ptr().cast::<IP_ADAPTER_ADDRESSES_LH>(), |adapter| adapter.Next)
            .iter()
            .map(|at| adapter(&**at))
            .collect()
    }
}

/// The members of a list, in their order.
///
/// # Safety
/// Each pointer is null or leads to a member.
#[expect(unsafe_code, reason = "the system gives lists by pointers")]
unsafe fn members<T>(first: *const T, next: impl Fn(&T) -> *mut T) -> Vec<*const T> {
    let (mut found, mut at) = (Vec::new(), first);
    while !at.is_null() && found.len() < MAX_MEMBERS {
        found.push(at);
        // SAFETY: the caller vouches for the member.
        at = next(unsafe { &*at });
    }
    found
}

/// # Safety
/// All that the adapter points at can be read.
#[expect(unsafe_code, reason = "the system gives lists by pointers")]
unsafe fn adapter(found: &IP_ADAPTER_ADDRESSES_LH) -> Adapter {
    // SAFETY: the caller vouches for every list and text; the unions hold nothing but integers.
    unsafe {
        let addresses = members(found.FirstUnicastAddress.cast_const(), |one| one.Next);
        let addresses = addresses.iter().filter_map(|one| {
            let address = of_socket(&(**one).Address, 0)?;
            Some(format!("{}/{}", address.ip(), (**one).OnLinkPrefixLength))
        });
        let servers = members(found.FirstDnsServerAddress.cast_const(), |one| one.Next);
        let servers = servers.iter().filter_map(|one| of_socket(&(**one).Address, DNS_PORT));
        let mut suffixes: Vec<String> = wide::text_at(found.DnsSuffix).into_iter().filter(|suffix| !suffix.is_empty()).collect();
        let more = members(found.FirstDnsSuffix.cast_const(), |one| one.Next);
        add_new(&mut suffixes, more.iter().map(|one| wide::text(&(**one).String)).filter(|suffix| !suffix.is_empty()).collect());
        let name = wide::text_at(found.FriendlyName).unwrap_or_default();
        let address = found.PhysicalAddress.get(..found.PhysicalAddressLength as usize).filter(|bytes| !bytes.is_empty());
        let speed = Some(found.TransmitLinkSpeed).filter(|speed| *speed != UNKNOWN_SPEED && *speed > 0);
        let up = found.OperStatus == IfOperStatusUp;
        let kind = kind(found.IfType);
        Adapter {
            index: found.Anonymous1.Anonymous.IfIndex,
            index_v6: found.Ipv6IfIndex,
            metric_v4: found.Ipv4Metric,
            metric_v6: found.Ipv6Metric,
            servers: servers.collect(),
            suffixes,
            interface: Interface {
                name,
                up,
                carrier: up.then_some(true),
                // All bits are set where the system knows no limit, as on the loopback.
                mtu: Some(found.Mtu).filter(|mtu| *mtu != u32::MAX),
                addresses: addresses.collect(),
                loopback: found.IfType == IF_TYPE_SOFTWARE_LOOPBACK,
                tunnel: matches!(kind, Some("tunnel" | "ppp" | "virtual")),
                kind: kind.map(str::to_owned),
                hardware_address: address.and_then(crate::platform::hardware_address::text),
                speed_mbit: speed.and_then(|speed| u32::try_from(speed / 1_000_000).ok()).filter(|speed| *speed > 0),
                ..Interface::default()
            },
        }
    }
}

/// The kinds that lead through something else: VPN programs make them (`IfType` of the documentation).
fn kind(of: u32) -> Option<&'static str> {
    match of {
        IF_TYPE_TUNNEL => Some("tunnel"),
        IF_TYPE_PPP => Some("ppp"),
        IF_TYPE_PROP_VIRTUAL => Some("virtual"),
        _ => None,
    }
}
