use super::Hypothesis;
use crate::layer::Layer;
use crate::spot::Spot;
use netsonde_contract::finding::Severity;
use std::net::IpAddr;

/// Drops what a narrower cause says more precisely, then what follows from a fault further up. The fault keeps the codes of its
/// consequences.
pub(super) fn suppress(hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
    out_of_reach(consequences(refined(hypotheses)))
}

/// Without what is a mere sign of another cause that stands: that one keeps its code and rests on its evidence as well.
pub(super) fn without_signs(mut hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
    let stands = |code: &str, all: &[Hypothesis]| {
        all.iter().position(|other| other.rule.code == code && other.candidate.severity == Severity::Problem)
    };
    let mut at = 0;
    while let Some(hypothesis) = hypotheses.get(at) {
        let Some(cause) = hypothesis.candidate.follows.and_then(|code| stands(code, &hypotheses)).filter(|cause| *cause != at)
        else {
            at += 1;
            continue;
        };
        let sign = hypotheses.remove(at);
        let Some(cause) = hypotheses.get_mut(if cause > at { cause - 1 } else { cause }) else { continue };
        cause.candidate = cause.candidate.clone().resting_on(&sign.candidate.evidence);
        if !cause.suppressed.iter().any(|code| code == sign.rule.code) {
            cause.suppressed.push(sign.rule.code.to_owned());
        }
    }
    hypotheses
}

/// From this confidence on a fault of the way takes the place of what cannot be reached because of it. Below it both are told.
const SURE_OF_THE_WAY: f64 = 0.8;

/// A name server or a proxy that cannot be reached is a consequence of what is wrong with the way to it. That fault then explains what the
/// consequence explained, and is felt as it is.
fn out_of_reach(hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
    let (unreached, mut standing): (Vec<_>, Vec<_>) =
        hypotheses.into_iter().partition(|hypothesis| !hypothesis.candidate.towards.is_empty());
    for hypothesis in unreached {
        let breaks = |upstream: &Hypothesis, address: IpAddr| {
            upstream.rule.layer() == Layer::Path
                && upstream.candidate.stops
                && upstream.candidate.confidence >= SURE_OF_THE_WAY
                && upstream.candidate.about.iter().any(|spot| is_at(spot, address))
        };
        let towards = &hypothesis.candidate.towards;
        if towards.iter().all(|address| standing.iter().any(|upstream| breaks(upstream, *address))) {
            let of_it = |upstream: &&mut Hypothesis| towards.iter().any(|address| breaks(upstream, *address));
            standing.iter_mut().filter(of_it).for_each(|upstream| take_over(upstream, &hypothesis));
        } else {
            standing.push(hypothesis);
        }
    }
    standing.sort_by_key(|hypothesis| hypothesis.rule.layer());
    standing
}

/// The spot is the address, or a port of it.
fn is_at(spot: &Spot, address: IpAddr) -> bool {
    match spot {
        Spot::Address(of) => *of == address,
        Spot::Endpoint(endpoint) => endpoint.ip() == address,
        Spot::Everything | Spot::Name(_) | Spot::Url(_) => false,
    }
}

fn take_over(upstream: &mut Hypothesis, consequence: &Hypothesis) {
    let taken = &consequence.candidate;
    for code in std::iter::once(consequence.rule.code).chain(consequence.suppressed.iter().map(String::as_str)) {
        if !upstream.suppressed.iter().any(|known| known == code) {
            upstream.suppressed.push(code.to_owned());
        }
    }
    let mut candidate = upstream.candidate.clone().resting_on(&taken.evidence);
    for spot in &taken.about {
        candidate = candidate.about(spot.clone());
    }
    candidate.severity = candidate.severity.max(taken.severity);
    candidate.place.resolver = candidate.place.resolver.or(taken.place.resolver);
    candidate.sentence.push_str(&format!(" {}", taken.sentence));
    upstream.candidate = candidate;
    upstream.from = upstream.from.min(consequence.from);
}

fn refined(hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
    let says_more = |narrow: &Hypothesis, broad: &Hypothesis| {
        narrow.rule.refines.contains(&broad.rule.code)
            && narrow.candidate.evidence.iter().any(|id| broad.candidate.evidence.contains(id))
    };
    let stands = |broad: &&Hypothesis| !hypotheses.iter().any(|narrow| says_more(narrow, broad));
    hypotheses.iter().filter(stands).cloned().collect()
}

fn consequences(mut hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
    hypotheses.sort_by_key(|hypothesis| hypothesis.rule.layer());
    let mut standing: Vec<Hypothesis> = Vec::new();
    for hypothesis in hypotheses {
        match standing.iter_mut().find(|upstream| explains(upstream, &hypothesis)) {
            Some(upstream) => {
                let code = hypothesis.rule.code.to_owned();
                if !upstream.suppressed.contains(&code) {
                    upstream.suppressed.push(code);
                }
            }
            None => standing.push(hypothesis),
        }
    }
    standing
}

/// Nothing gets through at `upstream`'s spots, and `downstream` lies wholly within them, in a later layer.
fn explains(upstream: &Hypothesis, downstream: &Hypothesis) -> bool {
    let within = |spot| upstream.candidate.about.iter().any(|outer| outer.contains(spot));
    upstream.candidate.stops
        && upstream.rule.layer() < downstream.rule.layer()
        && !downstream.candidate.about.is_empty()
        && downstream.candidate.about.iter().all(within)
}
