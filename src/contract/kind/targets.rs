//! Many targets written short: names, addresses, ranges and prefixes.

use super::ParameterError;
use std::net::IpAddr;

/// One entry of a list of targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetSpan {
    /// A name to resolve.
    Name(String),
    /// All addresses from the first to the last, both included and of one family.
    Addresses(IpAddr, IpAddr),
}

impl TargetSpan {
    /// How many addresses it stands for; a name counts as one.
    pub fn len(&self) -> u128 {
        match self {
            Self::Name(_) => 1,
            Self::Addresses(first, last) => (number(*last) - number(*first)).saturating_add(1),
        }
    }

    /// Never: an entry stands for at least one address.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Its addresses in order; none for a name.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let range = match self {
            Self::Name(_) => None,
            Self::Addresses(first, last) => Some((number(*first)..=number(*last), first.is_ipv4())),
        };
        range.into_iter().flat_map(|(numbers, is_v4)| numbers.map(move |number| address(number, is_v4)))
    }
}

/// # Errors
/// Where an entry is malformed, or all together stand for more than `limit` addresses.
pub(super) fn parse(key: &str, entries: &[String], limit: usize) -> Result<Vec<TargetSpan>, ParameterError> {
    let mut spans = Vec::new();
    let mut total: u128 = 0;
    for entry in entries {
        let span = span(entry).map_err(|why| ParameterError::of(key, format!("`{entry}` in `{key}` {why}")))?;
        total = total.saturating_add(span.len());
        spans.push(span);
    }
    if total > limit as u128 {
        return Err(ParameterError::of(key, format!("`{key}` stands for {total} addresses, but at most {limit} are allowed")));
    }
    Ok(spans)
}

fn span(entry: &str) -> Result<TargetSpan, &'static str> {
    if let Ok(only) = entry.parse::<IpAddr>() {
        return Ok(TargetSpan::Addresses(only, only));
    }
    if let Some((address, length)) = entry.split_once('/') {
        return prefix(address, length).ok_or("is no prefix: write it as 192.0.2.0/24");
    }
    // Names have hyphens, too: only two addresses make a range.
    if let Some((Ok(first), Ok(last))) = entry.split_once('-').map(|(first, last)| (first.parse(), last.parse())) {
        return range(first, last).ok_or("is no range: both ends are of one family, and the first is not above the last");
    }
    let can_be_name = !entry.is_empty()
        && entry.len() <= 253
        && entry.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if can_be_name { Ok(TargetSpan::Name(entry.to_owned())) } else { Err("is no name, address, range or prefix") }
}

fn range(first: IpAddr, last: IpAddr) -> Option<TargetSpan> {
    (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(TargetSpan::Addresses(first, last))
}

/// All addresses of the prefix; without network and broadcast address where an IPv4 prefix has them (up to /30; RFC 3021 for /31).
fn prefix(address: &str, length: &str) -> Option<TargetSpan> {
    let address: IpAddr = address.parse().ok()?;
    let length: u32 = length.parse().ok()?;
    let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
    let host_bits = bits.checked_sub(length).filter(|_| length > 0)?;
    let hosts = 1_u128.checked_shl(host_bits).map_or(u128::MAX, |size| size - 1);
    let (first, last) = (number(address) & !hosts, number(address) | hosts);
    let edge = u128::from(address.is_ipv4() && host_bits > 1);
    Some(TargetSpan::Addresses(self::address(first + edge, address.is_ipv4()), self::address(last - edge, address.is_ipv4())))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn address(number: u128, is_v4: bool) -> IpAddr {
    // An IPv4 number is within 32 bits: it came from an IPv4 address, or lies between two.
    if is_v4 { IpAddr::from((number as u32).to_be_bytes()) } else { IpAddr::from(number.to_be_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(entry: &str) -> Vec<String> {
        span(entry).unwrap().addresses().map(|address| address.to_string()).collect()
    }

    #[test]
    fn ranges_and_prefixes_stand_for_their_hosts() {
        assert_eq!(addresses("192.0.2.7"), ["192.0.2.7"]);
        assert_eq!(addresses("192.0.2.254-192.0.3.1"), ["192.0.2.254", "192.0.2.255", "192.0.3.0", "192.0.3.1"]);
        assert_eq!(addresses("192.0.2.9/30"), ["192.0.2.9", "192.0.2.10"]);
        assert_eq!(addresses("192.0.2.9/31"), ["192.0.2.8", "192.0.2.9"]);
        assert_eq!(addresses("192.0.2.9/32"), ["192.0.2.9"]);
        assert_eq!(addresses("2001:db8::fffe/127"), ["2001:db8::fffe", "2001:db8::ffff"]);
        assert_eq!(span("web-01.example").unwrap(), TargetSpan::Name("web-01.example".into()));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for wrong in
            ["", "192.0.2.0/33", "192.0.2.0/0", "::/0", "192.0.2.9-192.0.2.1", "192.0.2.1-::1", "a b", "http://x", "300/8"]
        {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn more_addresses_than_allowed_are_refused_without_counting_them_out() {
        let entries = |list: &[&str]| list.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>();
        assert!(parse("targets", &entries(&["10.0.0.0/20", "10.1.0.0/20"]), 8_188).is_ok());
        for many in [&["10.0.0.0/8"][..], &["::1/1", "8000::/1"], &["10.0.0.0/20", "10.1.0.0/20", "a.example"]] {
            let error = parse("targets", &entries(many), 8_188).unwrap_err();
            assert!(error.to_string().contains("at most 8188"), "{error}");
        }
    }
}
