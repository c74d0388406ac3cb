//! What pings that got no answer amount to: loss of the path, or a limit on pings.
//!
//! A limit shows in two ways: more is lost the faster it is asked, and packets that are no pings are not lost. What is lost at a slow pace,
//! and of other packets as well, is lost by the path.

use crate::evidence::{BesidePings, CALM_INTERVAL_MS, Evidence, Share};
use crate::threshold::BAD_SHARE;
use std::net::IpAddr;

/// A limit lets the same number through at every pace: of pings that come so many times as fast it drops nearly all.
const TIMES_AS_FAST: u64 = 4;

/// The pings of one address.
pub(crate) struct Pings<'a> {
    /// The slow ones, and all faster ones of which not clearly more were lost.
    pub(crate) even: Share<'a>,
    /// Those that came so fast that clearly more of them were lost.
    pub(crate) faster: Share<'a>,
    /// Of `even`, those that came slowly enough for the usual limits.
    pub(crate) calm: Share<'a>,
    /// Milliseconds between the slowest.
    pub(crate) slowest_ms: u64,
    pub(crate) beside: BesidePings<'a>,
    /// Pings that came much faster than others were lost no more often, which no limit does.
    pub(crate) whatever_pace: bool,
}

pub(crate) fn of<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Pings<'a> {
    let paces = evidence.lost_by_pace(address);
    let slowest_ms = paces.first().map_or(0, |(pace, _)| *pace);
    let (mut even, mut calm, mut faster) = (Share::default(), Share::default(), Share::default());
    for (pace, share) in &paces {
        if faster.of > 0 || grows(&even, share) {
            faster = faster.and(share.clone());
            continue;
        }
        even = even.and(share.clone());
        if *pace >= CALM_INTERVAL_MS {
            calm = calm.and(share.clone());
        }
    }
    let whatever_pace = faster.of == 0 && is_whatever_pace(&paces);
    Pings { even, faster, calm, slowest_ms, beside: evidence.beside_pings(address), whatever_pace }
}

impl<'a> Pings<'a> {
    /// What the path loses; none where it is too little, or a limit on pings explains it.
    pub(crate) fn lost(&self) -> Option<Share<'a>> {
        if self.calm.cases == 0 || !self.even.exceeds(BAD_SHARE) {
            return None;
        }
        match self.limited() {
            false => Some(self.even.clone()),
            true if self.beside.carried.exceeds(BAD_SHARE) => Some(self.beside.carried.clone()),
            // One packet that was sent again leaves it open.
            true if self.beside.carried.cases > 0 => Some(self.even.clone()),
            true => None,
        }
    }

    /// What connections lost, where clearly more of the pings were: something limits those beside it, and their share is none that a
    /// program meets. However few the connections were, theirs is.
    pub(crate) fn of_connections(&self) -> Option<&Share<'a>> {
        let carried = &self.beside.carried;
        (carried.cases > 0 && self.even.least_above(carried) > 0.0).then_some(carried)
    }

    /// Other packets fare clearly better than these.
    pub(crate) fn limited(&self) -> bool {
        self.even.exceeds(BAD_SHARE) && self.beside.fare_better_than(&self.even)
    }
}

/// More is lost the faster it is sent: a limit.
fn grows(slow: &Share<'_>, fast: &Share<'_>) -> bool {
    slow.of > 0 && fast.cases >= 2 && fast.interval().0 > slow.interval().1
}

fn is_whatever_pace(paces: &[(u64, Share<'_>)]) -> bool {
    paces.iter().enumerate().any(|(at, (slow_ms, slow))| {
        let fast = paces[at + 1..].iter().filter(|(fast_ms, _)| fast_ms * TIMES_AS_FAST <= *slow_ms);
        slow.exceeds(BAD_SHARE)
            && fast.into_iter().any(|(fast_ms, fast)| {
                // What a limit would have let through of the slow ones is all that it lets through of the fast ones.
                let through = (1.0 - slow.interval().0) * *fast_ms as f64 / *slow_ms as f64;
                fast.interval().1 < 1.0 - through
            })
    })
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::evidence::Evidence;
    use crate::scene::{Scene, connected, connected_late, echo_series, paced};
    use netsonde_contract::kind::Kind;
    use std::net::IpAddr;

    const AT: &str = "192.0.2.1:443";

    /// Series, each with its pace, what was sent and what was lost of it.
    fn series(series: &[(u64, u32, u32)]) -> Scene {
        let scene = Scene::new("shop.example");
        series.iter().fold(scene, |scene, (pace, sent, lost)| {
            paced(scene.check(Kind::Icmp, [echo_series("192.0.2.1", *sent, *lost, |_| {})]), *pace)
        })
    }

    /// So many connections, at moments that lie apart.
    fn connections(scene: Scene, stood: usize, late: usize) -> Scene {
        (0..stood + late).fold(scene, |scene, at| {
            let fact = if at < late { connected_late(AT) } else { connected(AT) };
            let mut scene = scene.check(Kind::Tcp, [fact]);
            scene.outcomes_mut().last_mut().unwrap().observations[0].at_us = at as u64 * 60_000;
            scene
        })
    }

    /// What the path loses, the pings that are limited, and whether the pace makes no difference.
    fn judged(scene: &Scene) -> (Option<(u32, u32)>, bool, bool) {
        let environment = scene.environment();
        let target = scene.outcomes()[0].target.clone();
        let evidence = Evidence::of(scene.outcomes(), target.as_ref(), &environment);
        let pings = of(&evidence, "192.0.2.1".parse::<IpAddr>().unwrap());
        (pings.lost().map(|lost| (lost.cases, lost.of)), pings.limited(), pings.whatever_pace)
    }

    #[test]
    fn pings_alone_that_are_lost_while_connections_lose_nothing_are_limited() {
        let scene = || series(&[(50, 20, 14)]);
        assert_eq!(judged(&connections(scene(), 22, 0)), (None, true, false));
        assert_eq!(judged(&connections(scene(), 12, 0)).0, Some((14, 20)), "too few connections say nothing");
        let mut at_once = scene().check(Kind::Tcp, (0..22).map(|_| connected(AT)));
        at_once.outcomes_mut().iter_mut().flat_map(|outcome| &mut outcome.observations).for_each(|seen| seen.at_us = 0);
        assert_eq!(judged(&at_once).0, Some((14, 20)), "all at one moment may have missed an outage");
    }

    #[test]
    fn connections_that_lose_less_than_pings_show_what_the_path_loses() {
        let scene = connections(series(&[(50, 20, 18)]), 17, 4);
        assert_eq!(judged(&scene).0, Some((4, 25)), "each that was late was sent twice");
        assert_eq!(judged(&connections(series(&[(50, 20, 4)]), 17, 4)).0, Some((4, 20)), "both lose alike");
    }

    #[test]
    fn what_is_lost_at_every_pace_is_no_limit_and_what_is_lost_at_a_fast_one_is() {
        assert_eq!(judged(&series(&[(200, 25, 5), (10, 50, 10)])), (Some((15, 75)), false, true));
        assert_eq!(judged(&series(&[(200, 25, 0), (50, 20, 14)])), (None, false, false));
        assert_eq!(judged(&series(&[(100, 20, 10), (10, 50, 46)])), (Some((10, 20)), false, false), "slower ones would tell");
    }
}
