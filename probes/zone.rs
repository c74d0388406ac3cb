//! The zones of link-local addresses (RFC 4007 section 11), such as `fe80::1%eth0`: the address alone does not say on which link it is.
//!
//! A zone is noted when the host that was given with it is turned into an address, and [`socket`] gives it to whatever sends there. It is
//! noted for the whole process, as sockets are opened far below: the last zone that an address was given with counts.

use crate::platform;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Mutex, PoisonError};

/// Addresses that are kept at most; the first of them makes room. Nobody measures as many links at once.
const MAX_NOTED: usize = 256;

/// The interface's number by address.
static NOTED: Mutex<BTreeMap<Ipv6Addr, u32>> = Mutex::new(BTreeMap::new());

/// The address of a host that was given with its zone, which is noted; none where the host has none.
pub(crate) fn named(host: &str) -> Option<Result<IpAddr, Failure>> {
    let (address, zone) = host.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    // RFC 4007 section 11.2: a number stands for the interface as well as its name.
    let Some(index) = zone.parse().ok().filter(|index| *index > 0).or_else(|| platform::interface_index(zone)) else {
        let text = format!("this machine has no interface {zone}, which {host} names as its link");
        return Some(Err(Failure::new(FailureCode::AddressNotAvailable, Step::Open, text)));
    };
    note(address, index);
    Some(Ok(address.into()))
}

/// Notes the zone that the system gives an own address with, which is link-local as the target's is.
pub(crate) fn heard(own: SocketAddr) {
    if let SocketAddr::V6(own) = own
        && own.scope_id() > 0
    {
        note(*own.ip(), own.scope_id());
    }
}

fn note(address: Ipv6Addr, index: u32) {
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    if noted.len() >= MAX_NOTED && !noted.contains_key(&address) {
        noted.pop_first();
    }
    noted.insert(address, index);
}

/// Address and port, with the zone that the address was given with.
pub(crate) fn socket(address: IpAddr, port: u16) -> SocketAddr {
    let IpAddr::V6(v6) = address else { return SocketAddr::new(address, port) };
    // Only there does an address need its link, so that nothing else waits for the lock.
    let index = v6
        .is_unicast_link_local()
        .then(|| NOTED.lock().unwrap_or_else(PoisonError::into_inner).get(&v6).copied())
        .flatten()
        .unwrap_or_default();
    SocketAddrV6::new(v6, port, 0, index).into()
}

/// A host without its zone, which no server is told of (RFC 6874 section 3).
pub(crate) fn without(host: &str) -> &str {
    match host.split_once('%') {
        Some((address, _)) if address.contains(':') => address,
        _ => host,
    }
}

/// The URL without the zone of its host (RFC 6874 section 2: `http://[fe80::1%25eth0]/`), which no reader of URLs takes; the zone is noted.
///
/// # Errors
/// Where this machine has no such interface.
pub(crate) fn out_of_url(url: &str) -> Result<String, Failure> {
    let apart = || {
        let (before, rest) = url.split_once("://[")?;
        let (host, after) = rest.split_once(']')?;
        let (address, zone) = host.split_once('%')?;
        let zone = zone.strip_prefix("25").filter(|rest| !rest.is_empty()).unwrap_or(zone);
        Some((format!("{address}%{zone}"), format!("{before}://[{address}]{after}")))
    };
    match apart() {
        Some((host, plain)) => named(&host).unwrap_or(Ok(Ipv6Addr::UNSPECIFIED.into())).map(|_| plain),
        None => Ok(url.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_goes_with_its_address_and_into_no_url() {
        assert_eq!(socket("fe80::77".parse().unwrap(), 443).to_string(), "[fe80::77]:443");
        assert_eq!(named("fe80::77%3").unwrap().unwrap().to_string(), "fe80::77");
        assert_eq!(socket("fe80::77".parse().unwrap(), 443).to_string(), "[fe80::77%3]:443");
        assert_eq!(out_of_url("http://[fe80::78%254]:8080/a?b=%25").unwrap(), "http://[fe80::78]:8080/a?b=%25");
        assert_eq!(socket("fe80::78".parse().unwrap(), 1).to_string(), "[fe80::78%4]:1");
        assert_eq!(out_of_url("http://shop.example/%25").unwrap(), "http://shop.example/%25");
        assert_eq!((without("fe80::1%eth0"), without("shop.example")), ("fe80::1", "shop.example"));
        assert!(named("fe80::1").is_none() && named("shop.example").is_none());
    }

    #[test]
    fn an_interface_that_is_not_there_is_told_by_its_name() {
        let failure = named("fe80::1%nowhere0").unwrap().unwrap_err();
        assert!(failure.text.contains("no interface nowhere0"), "{}", failure.text);
    }
}
