use super::Hypothesis;
use crate::candidate::Candidate;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Place, Rejected};
use std::net::IpAddr;

/// Joins hypotheses that say the same of several addresses: same cause, same severity, same place but for the address. The first
/// keeps its wording and names the others; the lowest confidence counts.
pub(super) fn merge(hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
    let mut groups: Vec<Vec<Hypothesis>> = Vec::new();
    for hypothesis in hypotheses {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| same(first, &hypothesis))) {
            Some(group) => group.push(hypothesis),
            None => groups.push(vec![hypothesis]),
        }
    }
    groups.into_iter().filter_map(join).collect()
}

fn same(left: &Hypothesis, right: &Hypothesis) -> bool {
    let elsewhere = |place: &Place| Place { address: None, hop: None, ..place.clone() };
    left.rule.code == right.rule.code
        && left.candidate.severity == right.candidate.severity
        && subject(&left.candidate).is_some()
        && subject(&right.candidate).is_some()
        && elsewhere(&left.candidate.place) == elsewhere(&right.candidate.place)
}

/// The address that the hypothesis is about; its place may be another, such as that of a router on the way.
fn subject(candidate: &Candidate) -> Option<IpAddr> {
    let of_spot = candidate.about.iter().find_map(|spot| match spot {
        Spot::Address(address) => Some(*address),
        Spot::Endpoint(endpoint) => Some(endpoint.ip()),
        Spot::Everything | Spot::Name(_) | Spot::Url(_) => None,
    });
    of_spot.or(candidate.place.address)
}

fn join(group: Vec<Hypothesis>) -> Option<Hypothesis> {
    let mut group = group.into_iter();
    let mut joined = group.next()?;
    let first = subject(&joined.candidate);
    let mut others: Vec<IpAddr> = Vec::new();
    for hypothesis in group {
        let other = hypothesis.candidate;
        others.extend(subject(&other).filter(|address| Some(*address) != first && !others.contains(address)));
        joined.candidate.confidence = joined.candidate.confidence.min(other.confidence);
        joined.candidate = joined.candidate.resting_on(&other.evidence);
        for spot in other.about {
            joined.candidate = joined.candidate.about(spot);
        }
        join_rejected(&mut joined, other.rejected);
        joined.from = joined.from.min(hypothesis.from);
        joined
            .suppressed
            .extend(hypothesis.suppressed.into_iter().filter(|code| !joined.suppressed.contains(code)).collect::<Vec<_>>());
    }
    if !others.is_empty() {
        joined.candidate.sentence.push_str(&format!(" The same holds for {}.", list(&others)));
    }
    Some(joined)
}

/// A neighbour counts as ruled out only where it is at every address.
fn join_rejected(joined: &mut Hypothesis, other: Vec<Rejected>) {
    joined.candidate.rejected.retain(|rejected| other.iter().any(|same| same.cause == rejected.cause));
    for rejected in &mut joined.candidate.rejected {
        for same in other.iter().filter(|same| same.cause == rejected.cause) {
            let new: Vec<_> = same.evidence.iter().filter(|id| !rejected.evidence.contains(id)).cloned().collect();
            rejected.evidence.extend(new);
        }
    }
}
