//! Whether a finding names the place where the fault lies.

use super::scenario::Place;
use netsonde_contract::document::Document;
use netsonde_contract::finding::{Finding, Severity};
use std::net::IpAddr;

/// What a finding says of the place of its fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Right,
    Wrong,
    /// It names none.
    Not,
}

/// What is said of this place by the first finding that is more than a notice and has one of its causes; none where there is no such finding.
pub(crate) fn named(place: &Place, document: &Document) -> Option<Named> {
    let of_cause = |finding: &&Finding| finding.severity >= Severity::Degraded && place.causes.contains(&finding.cause);
    let finding = document.findings.iter().find(of_cause)?;
    let said = match (place.port, finding.place.port) {
        (Some(wanted), Some(port)) if wanted != port => return Some(Named::Wrong),
        (Some(_), Some(_)) if place.hops.is_empty() => return Some(Named::Right),
        _ => finding.place.hop.or_else(|| finding.place.address.and_then(router)),
    };
    Some(match said {
        None => Named::Not,
        Some(_) if place.hops.is_empty() => Named::Not,
        Some(hop) if place.hops.contains(&hop) => Named::Right,
        Some(_) => Named::Wrong,
    })
}

/// The number of the router of the chain that has this address: link k is 10.77.k.0/24 and fd77:0:0:k::/64, its left end 1, its right one 2.
fn router(address: IpAddr) -> Option<u8> {
    let (link, end) = match address {
        IpAddr::V4(address) => match address.octets() {
            [10, 77, link, end] => (link, u16::from(end)),
            _ => return None,
        },
        IpAddr::V6(address) => match address.segments() {
            [0xfd77, 0, 0, link, 0, 0, 0, end] => (u8::try_from(link).ok()?, end),
            _ => return None,
        },
    };
    match end {
        1 => Some(link),
        2 => link.checked_add(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_link_belong_to_the_routers_beside_it() {
        for (address, number) in [("10.77.0.2", Some(1)), ("10.77.3.1", Some(3)), ("fd77::2", Some(1)), ("10.99.0.1", None)] {
            assert_eq!(router(address.parse().unwrap()), number, "{address}");
        }
        assert_eq!(router("fd77:0:0:2::2".parse().unwrap()), Some(3));
    }
}
