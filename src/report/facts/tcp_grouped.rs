//! Many addresses and ports in few words: what ended alike stands together, in ranges. The document itself keeps each.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Ranges of one group that are shown; of a network full of holes the count says enough.
const MAX_RANGES: usize = 12;

/// `40 refused: 192.0.2.1–192.0.2.20 port 80–81; 2 timed out: 192.0.2.30 port 22, 443`, in the order in which each was met first.
pub(super) fn by_result(results: &[(SocketAddr, String)]) -> String {
    let mut groups: Vec<(&str, Vec<SocketAddr>)> = Vec::new();
    for (address, result) in results {
        match groups.iter_mut().find(|(known, _)| known == result) {
            Some((_, addresses)) => addresses.push(*address),
            None => groups.push((result, vec![*address])),
        }
    }
    let group = |(result, addresses): &(&str, Vec<SocketAddr>)| format!("{} {result}: {}", addresses.len(), ranges(addresses));
    groups.iter().map(group).collect::<Vec<_>>().join("; ")
}

/// `22, 80–90, 443`.
pub(super) fn ports(ports: impl Iterator<Item = u16>) -> String {
    shortened(runs(ports.map(u128::from)).into_iter().map(|(first, last)| run(&first, &last)).collect())
}

/// Addresses that have the same ports stand together.
fn ranges(addresses: &[SocketAddr]) -> String {
    let mut of_address: BTreeMap<IpAddr, Vec<u16>> = BTreeMap::new();
    for address in addresses {
        of_address.entry(address.ip()).or_default().push(address.port());
    }
    let mut with_ports: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for (address, own) in of_address {
        with_ports.entry(ports(own.into_iter())).or_default().push(address);
    }
    let line = |(ports, addresses): (String, Vec<IpAddr>)| {
        let v4 =
            addresses.iter().filter_map(|address| if let IpAddr::V4(v4) = address { Some(v4.to_bits().into()) } else { None });
        let v6 = addresses.iter().filter_map(|address| if let IpAddr::V6(v6) = address { Some(v6.to_bits()) } else { None });
        let of_v4 = |bits: u128| IpAddr::from(u32::try_from(bits).unwrap_or(u32::MAX).to_be_bytes());
        let of_v6 = |bits: u128| IpAddr::from(bits.to_be_bytes());
        let v4 = runs(v4).into_iter().map(|(first, last)| run(&of_v4(first), &of_v4(last)));
        let v6 = runs(v6).into_iter().map(|(first, last)| run(&of_v6(first), &of_v6(last)));
        format!("{} port {ports}", shortened(v4.chain(v6).collect()))
    };
    shortened(with_ports.into_iter().map(line).collect())
}

/// The first and the last of each unbroken row.
fn runs(values: impl Iterator<Item = u128>) -> Vec<(u128, u128)> {
    let mut values: Vec<u128> = values.collect();
    values.sort_unstable();
    values.dedup();
    let mut runs: Vec<(u128, u128)> = Vec::new();
    for value in values {
        match runs.last_mut().filter(|(_, last)| last.checked_add(1) == Some(value)) {
            Some((_, last)) => *last = value,
            None => runs.push((value, value)),
        }
    }
    runs
}

fn run<T: ToString + PartialEq>(first: &T, last: &T) -> String {
    if first == last { first.to_string() } else { format!("{}–{}", first.to_string(), last.to_string()) }
}

fn shortened(mut parts: Vec<String>) -> String {
    let more = parts.len().saturating_sub(MAX_RANGES);
    parts.truncate(MAX_RANGES);
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_of_addresses_becomes_a_line_by_result() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut results = vec![(at("[2001:db8::1]:443"), "connected".to_owned())];
        for host in 1..=20 {
            for port in [80, 81] {
                results.push((SocketAddr::new(IpAddr::from([192, 0, 2, host]), port), "refused".to_owned()));
            }
        }
        results.push((at("192.0.2.30:443"), "timed out".to_owned()));
        results.push((at("192.0.2.30:22"), "timed out".to_owned()));
        assert_eq!(
            by_result(&results),
            "1 connected: 2001:db8::1 port 443; 40 refused: 192.0.2.1–192.0.2.20 port 80–81; 2 timed out: 192.0.2.30 port 22, 443"
        );
    }

    #[test]
    fn holes_are_counted_and_not_listed_without_an_end() {
        assert_eq!(ports([443, 22, 80, 81, 82].into_iter()), "22, 80–82, 443");
        let odd = ports((1..100).step_by(2));
        assert!(odd.starts_with("1, 3, 5") && odd.ends_with("23, and 38 more"), "{odd}");
    }
}
