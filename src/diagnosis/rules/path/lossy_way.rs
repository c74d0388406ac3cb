//! One of several parallel ways that loses packets while the others do not, by the counts of each way.

use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, Share};
use crate::spot::Spot;
use crate::threshold::BAD_SHARE;
use crate::wording::{count, named};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Trace, TracePath};
use std::net::IpAddr;

/// The intervals of the lossy way and of the others have nothing in common.
const APART: f64 = 0.85;
/// They touch, and the interval of their difference still excludes that they lose the same.
const DIFFERENT: f64 = 0.6;

/// Of fewer probes along a way the intervals of all lost and none lost have a part in common.
const LEAST_PROBES: u32 = 4;
/// A difference alone counts from so many lost on: two of ten are chance too often.
const LEAST_LOST: u32 = 3;
/// Other ways count for the comparison where they lose less than this part of what the lossy one does: a second lossy one does not.
const CLEAN_PART: f64 = 0.5;

/// One for each address that has such a way.
pub(super) fn candidates(evidence: &Evidence<'_>) -> Vec<(IpAddr, Candidate)> {
    let mut found: Vec<(IpAddr, Candidate)> = Vec::new();
    for trace in &evidence.traces {
        if found.iter().all(|(address, _)| *address != trace.target) {
            found.extend(of_trace(evidence, trace).map(|candidate| (trace.target, candidate)));
        }
    }
    found
}

fn of_trace(evidence: &Evidence<'_>, trace: &Seen<'_, Trace>) -> Option<Candidate> {
    let paths = &trace.fact.multipath.as_ref()?.paths;
    let judged: Vec<&TracePath> = paths.iter().filter(|path| path.sent >= LEAST_PROBES).collect();
    let worst = judged.iter().copied().max_by(|one, other| share(one).percent().total_cmp(&share(other).percent()))?;
    let lossy = share(worst);
    let clean: Vec<&TracePath> = judged.into_iter().filter(|path| share(path).percent() < lossy.percent() * CLEAN_PART).collect();
    let others = clean.iter().fold(Share::default(), |sum, path| sum.and(share(path)));
    let confidence = confidence(&lossy, &others, paths.len())?;
    let hop = parting(worst, &clean);
    let router = hop.and_then(|hop| worst.hops.get(usize::from(hop) - 1).copied().flatten());
    let through = match (hop, router) {
        (Some(hop), Some(router)) => format!("the one through {router} (hop {hop})"),
        _ => "one".to_owned(),
    };
    let sentence = format!(
        "Of {} to {}, {through} loses {} of the packets, and the others {}: connections that happen to take it are slow or come to a halt, and others are not.",
        count(paths.len() as i64, "parallel way"),
        named(&evidence.host_at(trace.target), trace.target),
        lossy.words(),
        others.words()
    );
    let candidate = Candidate::new(Severity::Degraded, confidence, sentence)
        .at(Place { hop, address: router.or(Some(trace.target)), ..Place::default() })
        .about(Spot::Address(trace.target))
        .resting_on([trace.id])
        .rejecting("path.loss", "The other ways lose less than chance explains.", [trace.id])
        .settled_by("the same trace with more probes along each way: netsonde probe traceroute --multipath --path-probes 100")
        .next(Who::Network, "Look for errors on the link and the router that only the lossy way uses, and take it out of service until it is repaired.");
    Some(candidate)
}

/// How sure it is that the one loses more than the others; none where chance explains it.
fn confidence(lossy: &Share<'_>, others: &Share<'_>, ways: usize) -> Option<f64> {
    if !lossy.exceeds(BAD_SHARE) || others.of < LEAST_PROBES {
        return None;
    }
    if lossy.interval().0 > others.interval().1 {
        return Some(APART);
    }
    // Among many ways the worst differs by chance alone: then the intervals have to be apart.
    (ways == 2 && lossy.cases >= LEAST_LOST && lossy.least_above(others) > 0.0).then_some(DIFFERENT)
}

fn share(path: &TracePath) -> Share<'static> {
    Share { cases: path.sent.saturating_sub(path.answered), of: path.sent, ids: Vec::new() }
}

/// The first distance at which the lossy way has a router that none of the others has.
fn parting(lossy: &TracePath, others: &[&TracePath]) -> Option<u8> {
    let own = |(place, router): (usize, &Option<IpAddr>)| {
        router.is_some() && others.iter().all(|other| other.hops.get(place) != Some(router))
    };
    let place = lossy.hops.iter().enumerate().position(own)?;
    u8::try_from(place + 1).ok()
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, trace};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Multipath, TracePath};

    /// Two or more ways, each with what was sent and answered; the n-th goes through 10.0.2.n.
    fn ways(counts: &[(u32, u32)]) -> Scene {
        let mut facts = trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "192.0.2.1"]);
        if let Some(Fact::Trace(trace)) = facts.last_mut() {
            let way = |(nth, (sent, answered)): (u8, &(u32, u32))| TracePath {
                flow: nth.into(),
                flows: 4,
                hops: [[10, 0, 1, 1], [10, 0, 2, nth], [192, 0, 2, 1]].map(|router| Some(router.into())).to_vec(),
                sent: *sent,
                answered: *answered,
                loss: None,
                doubtful: None,
                rtt: None,
            };
            let paths = (1..).zip(counts).map(way).collect();
            trace.multipath = Some(Multipath { confidence: 95, complete: true, flows: 16, probes: 90, paths });
        }
        Scene::new("shop.example").check(Kind::Traceroute, facts)
    }

    #[test]
    fn a_way_that_loses_where_the_others_do_not_is_named_with_its_router() {
        let finding = ways(&[(100, 100), (100, 75)]).finds("path.ecmp_member_bad");
        assert_eq!((finding.place.hop, finding.place.address), (Some(2), Some([10, 0, 2, 2].into())));
        assert!(finding.confidence > 0.8 && finding.sentence.contains("10.0.2.2 (hop 2) loses 25 % (25 of 100"), "{finding:?}");
    }

    #[test]
    fn a_quarter_of_twenty_is_named_with_less_confidence() {
        let finding = ways(&[(20, 20), (20, 15)]).finds("path.ecmp_member_bad");
        assert!(finding.confidence < 0.7, "{finding:?}");
    }

    #[test]
    fn several_clean_ways_together_make_up_for_few_probes_along_each() {
        assert!(ways(&[(20, 20), (20, 15), (20, 20), (20, 20)]).finds("path.ecmp_member_bad").confidence > 0.8);
    }

    #[test]
    fn ways_that_lose_alike_or_by_chance_are_none() {
        for counts in [[(20, 15), (20, 14)], [(20, 20), (20, 18)], [(100, 90), (100, 84)], [(20, 20), (3, 0)]] {
            assert!(!ways(&counts).names("path.ecmp_member_bad"), "{counts:?}");
        }
        assert!(!ways(&[(20, 20), (20, 17), (20, 19), (20, 20), (20, 20), (20, 19)]).names("path.ecmp_member_bad"));
    }
}
