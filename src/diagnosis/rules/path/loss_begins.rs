//! From which hop on packets are lost, as far as a trace of many rounds tells.
//!
//! Before the hop a trace loses next to nothing, from it on at one rate; of all places to split at, those that the counts fit clearly
//! worse than the best one are left out. What remains is one hop, or a stretch of the way.

use crate::evidence::{Evidence, Share};
use crate::rules::path::pings;
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::ReplyKind;
use std::net::IpAddr;

/// Below so many probes a hop, chance decides where loss seems to begin.
const LEAST_PROBES: u32 = 8;
/// What is lost on a way without a fault: a router that is busy leaves out an answer now and then.
const BACKGROUND: f64 = 0.005;
/// A split that is this much less likely (as natural logarithm; one in twenty) is left out.
const CLEARLY_WORSE: f64 = 3.0;

/// The loss begins behind `after` and not farther than `upto`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::rules) struct Begins<'a> {
    /// The last distance that loses nothing, with who answers there; none where the first one loses already.
    pub(in crate::rules) after: Option<(u8, IpAddr)>,
    /// The first distance that surely loses, with who answers there.
    pub(in crate::rules) upto: (u8, IpAddr),
    pub(in crate::rules) ids: Vec<&'a ObservationId>,
}

/// One distance that answered: how much of what was sent there got no answer.
struct Distance<'a> {
    ttl: u8,
    from: IpAddr,
    lost: Share<'a>,
    is_target: bool,
}

/// None where no trace asked often enough, or its counts do not tell.
pub(in crate::rules) fn begins<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Option<Begins<'a>> {
    let mut distances = distances(evidence, address);
    let pings = pings::of(evidence, address);
    // What pings lose, the probes for the target's own distance lose: together they show how much a lossy distance has to lose.
    if let Some(last) = distances.last_mut().filter(|last| last.is_target && !pings.limited() && pings.faster.of == 0) {
        last.lost = last.lost.clone().and(pings.calm);
    }
    let target = distances.last().filter(|last| last.is_target && last.lost.cases > 0)?;
    let fits: Vec<f64> =
        (0..distances.len()).map(|split| fits_whole(&distances[..split]) + fits_lossy(&distances[split..])).collect();
    let best = fits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let likely: Vec<usize> = (0..fits.len()).filter(|split| fits[*split] > best - CLEARLY_WORSE).collect();
    let (first, last) = (*likely.first()?, *likely.last()?);
    // What limits only its own answers stands out of those behind it, or they out of it: then nothing is told.
    let behind = pooled(&distances[last..]).interval();
    let alike = |distance: &Distance<'_>| {
        let (low, high) = distance.lost.interval();
        low <= behind.1 && high >= behind.0
    };
    if !distances[last..].iter().all(alike) {
        return None;
    }
    let at = |distance: &Distance<'_>| (distance.ttl, distance.from);
    let after = first.checked_sub(1).and_then(|before| distances.get(before)).map(at);
    let upto = distances.get(last).map_or_else(|| at(target), at);
    Some(Begins { after, upto, ids: distances.iter().flat_map(|distance| distance.lost.ids.iter().copied()).collect() })
}

/// The distances that were asked often enough and answered at all, the nearest first. A router that answers nothing says nothing.
fn distances<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Vec<Distance<'a>> {
    let mut distances: Vec<Distance<'a>> = Vec::new();
    for hop in evidence.hops_of(address) {
        let Some(from) = hop.addresses().first().copied() else { continue };
        let sent = u32::try_from(hop.fact.probes.len()).unwrap_or(u32::MAX);
        let lost = u32::try_from(hop.fact.probes.iter().filter(|probe| probe.reply.is_none()).count()).unwrap_or(u32::MAX);
        let mut replies = hop.fact.probes.iter().filter_map(|probe| probe.reply.as_ref());
        let is_target = replies.any(|reply| reply.kind == ReplyKind::Arrived);
        match distances.last_mut().filter(|last| last.ttl == hop.ttl) {
            Some(last) => last.lost.add(lost, sent, hop.id),
            None => {
                let mut share = Share::default();
                share.add(lost, sent, hop.id);
                distances.push(Distance { ttl: hop.ttl, from, lost: share, is_target });
            }
        }
    }
    distances.retain(|distance| distance.lost.of >= LEAST_PROBES);
    without_limited(distances)
}

/// Without the routers that lose clearly more than distances behind them that answered every probe: those had to pass the router, which
/// only limits its own answers.
fn without_limited(distances: Vec<Distance<'_>>) -> Vec<Distance<'_>> {
    let is_limited = |at: usize| {
        let whole = distances.iter().skip(at + 1).filter(|later| later.lost.cases == 0);
        let whole = whole.fold(Share::default(), |sum, later| sum.and(later.lost.clone()));
        distances.get(at).is_some_and(|distance| whole.of > 0 && distance.lost.least_above(&whole) > 0.0)
    };
    let limited: Vec<bool> = (0..distances.len()).map(is_limited).collect();
    distances.into_iter().zip(limited).filter(|(_, limited)| !limited).map(|(distance, _)| distance).collect()
}

fn pooled<'a>(distances: &[Distance<'a>]) -> Share<'a> {
    distances.iter().fold(Share::default(), |sum, distance| sum.and(distance.lost.clone()))
}

/// How likely the counts are where nothing but the background is lost, as a natural logarithm.
fn fits_whole(distances: &[Distance<'_>]) -> f64 {
    let (lost, kept) = counts(distances);
    lost * BACKGROUND.ln() + kept * (1.0 - BACKGROUND).ln()
}

/// How likely they are with one rate of loss for all of them.
fn fits_lossy(distances: &[Distance<'_>]) -> f64 {
    let (lost, kept) = counts(distances);
    let part = |number: f64| if number > 0.0 { number * (number / (lost + kept)).ln() } else { 0.0 };
    part(lost) + part(kept)
}

/// Probes that got no answer, and that got one.
fn counts(distances: &[Distance<'_>]) -> (f64, f64) {
    let all = pooled(distances);
    (f64::from(all.cases), f64::from(all.of.saturating_sub(all.cases)))
}

#[cfg(test)]
mod tests {
    use super::begins;
    use crate::evidence::Evidence;
    use crate::scene::{Scene, echo_series, trace_rounds};
    use netsonde_contract::kind::Kind;
    use std::net::IpAddr;

    fn found(hops: &[(&str, &str)]) -> Option<(Option<u8>, u8)> {
        found_beside(hops, (0, 0))
    }

    /// The same where so many pings were sent and lost.
    fn found_beside(hops: &[(&str, &str)], (sent, lost): (u32, u32)) -> Option<(Option<u8>, u8)> {
        let scene = Scene::new("shop.example").check(Kind::Traceroute, trace_rounds("192.0.2.1", hops));
        let scene = if sent == 0 { scene } else { scene.check(Kind::Icmp, [echo_series("192.0.2.1", sent, lost, |_| {})]) };
        let environment = scene.environment();
        let target = scene.outcomes()[0].target.clone();
        let evidence = Evidence::of(scene.outcomes(), target.as_ref(), &environment);
        let target: IpAddr = "192.0.2.1".parse().unwrap();
        begins(&evidence, target).map(|begins| (begins.after.map(|(ttl, _)| ttl), begins.upto.0))
    }

    const CLEAN: &str = "++++++++++++++++++++";
    const LOSSY: &str = "-+++--+++-++-+++-++-";

    #[test]
    fn loss_that_every_later_hop_has_as_well_begins_where_the_first_has_it() {
        let hops = [("10.0.1.1", CLEAN), ("10.0.2.1", CLEAN), ("10.0.3.1", LOSSY), ("192.0.2.1", LOSSY)];
        assert_eq!(found(&hops), Some((Some(2), 3)));
        assert_eq!(found(&[("10.0.1.1", LOSSY), ("10.0.2.1", LOSSY), ("192.0.2.1", LOSSY)]).map(|found| found.0), Some(None));
    }

    #[test]
    fn a_little_loss_names_a_stretch_and_none_names_nothing() {
        let hops = [("10.0.1.1", CLEAN), ("10.0.2.1", CLEAN), ("10.0.3.1", "-+++++++++++++++++++"), ("192.0.2.1", LOSSY)];
        let (after, upto) = found(&hops).unwrap();
        assert!(after <= Some(3) && upto == 4, "{after:?} {upto}");
        assert_eq!(found(&[("10.0.1.1", CLEAN), ("192.0.2.1", CLEAN)]), None);
        assert_eq!(found(&[("10.0.1.1", "+-"), ("192.0.2.1", "--+")]), None, "too few probes");
    }

    #[test]
    fn a_router_before_others_that_answer_all_only_limits_its_answers() {
        let (half, clean, lossy) = ("+-+-+-+-+-", "++++++++++", "+-+-++-+++");
        let way = [("10.0.1.1", half), ("10.0.2.1", clean), ("10.0.3.1", clean), ("10.0.4.1", clean), ("192.0.2.1", lossy)];
        assert_eq!(found(&way), Some((Some(3), 5)), "ten answers of the fourth may be chance");
        assert_eq!(found_beside(&way, (50, 17)), Some((Some(4), 5)));
        let first = [("10.0.1.1", half), ("10.0.2.1", clean), ("10.0.3.1", lossy), ("192.0.2.1", lossy)];
        assert_eq!(found_beside(&first, (50, 17)), Some((Some(2), 3)));
    }

    #[test]
    fn a_router_that_limits_its_answers_is_not_where_it_begins() {
        assert_eq!(found(&[("10.0.1.1", LOSSY), ("10.0.2.1", CLEAN), ("192.0.2.1", CLEAN)]), None);
    }
}
