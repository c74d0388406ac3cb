//! What racing and what patient applications would have seen of the addresses (RFC 8305). Pure.

use netsonde_contract::observation::Race;
use std::net::SocketAddr;

/// Before the next address is tried beside those under way (RFC 8305 section 5).
const ATTEMPT_DELAY_US: u64 = 250_000;

/// The first attempt at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) address: SocketAddr,
    pub(super) took_us: u64,
    pub(super) connected: bool,
}

/// Of the first attempts in the system's order. Nothing where there is no choice.
pub(super) fn race(host: &str, firsts: &[First]) -> Option<Race> {
    if firsts.len() < 2 {
        return None;
    }
    let order = taking_turns(firsts);
    let won = winner(&order);
    let fastest = |is_v4: bool| {
        let of_family = firsts.iter().filter(|first| first.connected && first.address.is_ipv4() == is_v4);
        of_family.map(|first| i64::try_from(first.took_us).unwrap_or(i64::MAX)).min()
    };
    Some(Race {
        host: host.to_owned(),
        order: order.iter().map(|first| first.address).collect(),
        attempt_delay_us: ATTEMPT_DELAY_US,
        winner: won.map(|(address, _)| address),
        racing_us: won.map(|(_, at_us)| at_us),
        in_turn_us: in_turn(firsts),
        v6_minus_v4_us: fastest(false).zip(fastest(true)).map(|(v6, v4)| v6.saturating_sub(v4)),
    })
}

/// The families take turns, the first one first (RFC 8305 section 4).
fn taking_turns(firsts: &[First]) -> Vec<First> {
    let Some(leading) = firsts.first().map(|first| first.address.is_ipv4()) else { return Vec::new() };
    let (mut one, mut other): (Vec<First>, Vec<First>) = firsts.iter().partition(|first| first.address.is_ipv4() == leading);
    let mut order = Vec::new();
    one.reverse();
    other.reverse();
    while !one.is_empty() || !other.is_empty() {
        order.extend(one.pop());
        order.extend(other.pop());
    }
    order
}

/// Each attempt begins when the one before it failed, or after the delay. The first to stand wins.
fn winner(order: &[First]) -> Option<(SocketAddr, u64)> {
    let mut begins = 0_u64;
    let mut best: Option<(SocketAddr, u64)> = None;
    for first in order {
        if best.is_some_and(|(_, at_us)| at_us <= begins) {
            break;
        }
        let ends = begins.saturating_add(first.took_us);
        if first.connected && best.is_none_or(|(_, at_us)| ends < at_us) {
            best = Some((first.address, ends));
        }
        let delayed = begins.saturating_add(ATTEMPT_DELAY_US);
        begins = if first.connected { delayed } else { delayed.min(ends) };
    }
    best
}

/// One after the other, each waited for until it stands or fails.
fn in_turn(firsts: &[First]) -> Option<u64> {
    let connects = firsts.iter().position(|first| first.connected)?;
    Some(firsts.iter().take(connects + 1).map(|first| first.took_us).fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn first(address: &str, took_us: u64, connected: bool) -> First {
        First { address: address.parse().unwrap(), took_us, connected }
    }

    #[test]
    fn a_dead_family_costs_a_racing_application_the_delay_and_a_patient_one_the_time_out() {
        let firsts = [
            first("[2001:db8::1]:443", 3_000_000, false),
            first("[2001:db8::2]:443", 3_000_000, false),
            first("192.0.2.1:443", 20_000, true),
        ];
        let race = race("h", &firsts).unwrap();
        let order: Vec<String> = race.order.iter().map(ToString::to_string).collect();
        assert_eq!(order, ["[2001:db8::1]:443", "192.0.2.1:443", "[2001:db8::2]:443"]);
        assert_eq!((race.winner, race.racing_us), (Some(firsts[2].address), Some(270_000)));
        assert_eq!((race.in_turn_us, race.v6_minus_v4_us), (Some(6_020_000), None));
    }

    #[test]
    fn a_refusal_starts_the_next_attempt_at_once() {
        let race = race("h", &[first("192.0.2.1:1", 10_000, false), first("[2001:db8::1]:1", 30_000, true)]).unwrap();
        assert_eq!((race.racing_us, race.in_turn_us), (Some(40_000), Some(40_000)));
    }

    #[test]
    fn the_slower_family_wins_by_less_than_the_delay() {
        let race = race("h", &[first("[2001:db8::1]:1", 200_000, true), first("192.0.2.1:1", 10_000, true)]).unwrap();
        assert_eq!(race.winner, Some("[2001:db8::1]:1".parse().unwrap()));
        assert_eq!(race.v6_minus_v4_us, Some(190_000));
    }

    #[test]
    fn one_address_is_no_race_and_where_nothing_connects_nobody_wins() {
        assert_eq!(race("h", &[first("192.0.2.1:1", 1, true)]), None);
        let lost = race("h", &[first("192.0.2.1:1", 1, false), first("192.0.2.2:1", 1, false)]).unwrap();
        assert_eq!((lost.winner, lost.racing_us, lost.in_turn_us), (None, None, None));
    }

    proptest! {
        #[test]
        fn racing_is_never_slower_than_patience_and_finds_whatever_connects(
            attempts in prop::collection::vec((any::<bool>(), 0_u64..4_000_000, any::<bool>()), 2..12)
        ) {
            let firsts: Vec<First> = attempts.iter().zip(1_u16..).map(|((is_v4, took_us, connected), port)| {
                let ip: std::net::IpAddr = if *is_v4 { "192.0.2.1".parse().unwrap() } else { "2001:db8::1".parse().unwrap() };
                First { address: SocketAddr::new(ip, port), took_us: *took_us, connected: *connected }
            }).collect();
            let found = race("h", &firsts).unwrap();
            prop_assert_eq!(found.order.len(), firsts.len());
            prop_assert_eq!(found.winner.is_some(), firsts.iter().any(|first| first.connected));
            // In the same order; the system's order may put the only good address first, which racing then finds later.
            let own_order = taking_turns(&firsts);
            prop_assert!(found.racing_us <= in_turn(&own_order));
        }
    }
}
