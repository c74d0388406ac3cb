use super::loaded::{end, place, waits, way};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Severity, Who};
use netsonde_contract::observation::{Load, LoadedPhase};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same transfer with one connection and with four: a limit on the way gives both the same rate in all"),
    ..Rule::new("path.policed", &["path.congestion"], evaluate)
};

/// A steady rate with losses and without a queue is a limit's; that a lossy path happens to be steady is the other possibility.
const CONFIDENCE: f64 = 0.75;

/// Slices of a tenth of a second: with fewer than two seconds there is no steady rate to see.
const LEAST_SLICES: usize = 20;

/// The rate counts as steady where its seconds differ from their mean by no more than this share.
const STEADY: f64 = 0.15;

/// Losses that a limit makes come all the time: at least so many segments sent again for each second, or a start so many times faster.
const LOSSES_A_SECOND: u64 = 2;
const BURST_TIMES: u64 = 3;

/// Rates above this are those of links, not of limits that anybody minds: bytes a second.
const HIGHEST_LIMIT: u64 = 125_000_000;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_load =
        |load: &Seen<'_, Load>| -> Vec<Candidate> { load.fact.loaded.iter().filter_map(|phase| policed(load, phase)).collect() };
    evidence.loads.iter().flat_map(of_load).collect()
}

fn policed(load: &Seen<'_, Load>, phase: &LoadedPhase) -> Option<Candidate> {
    let slices = &phase.transfer.slices;
    let rate = steady_rate(slices).filter(|rate| *rate > 0 && *rate < HIGHEST_LIMIT)?;
    let seconds = (slices.len() as u64 / 10).max(1);
    let resent: u64 = phase.at_close.iter().map(|state| u64::from(state.retransmits)).sum();
    let burst = slices.iter().take(LEAST_SLICES / 2).max().is_some_and(|most| most * 10 >= rate * BURST_TIMES);
    let queued = load.fact.idle.as_ref().and_then(|idle| idle.rtt.as_ref()).zip(phase.latency.rtt.as_ref());
    let queued = queued.is_some_and(|(idle, loaded)| waits(idle.median_us, loaded.median_us));
    if queued || !(burst || resent >= LOSSES_A_SECOND * seconds) {
        return None;
    }
    let kilobits = rate * 8 / 1_000;
    let how = if burst { "after a fast start" } else { "with segments lost all the time" };
    let sentence = format!(
        "The rate {} to {} is cut off at {kilobits} kbit/s: it is steady {how}, and no queue builds up, as where a limit drops what is above it.",
        way(phase),
        end(load)
    );
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(place(load))
        .about(Spot::Url(load.fact.url.clone()))
        .resting_on([load.id])
        .rejecting("path.congestion", "Packets do not wait while the rate is at its limit.", [load.id])
        .next(Who::Network, "Ask the provider for the limit of the line, the virtual machine's size or the VPN; a limit that queues (shaping) instead of dropping gives more of the same rate.");
    Some(candidate)
}

/// Bytes a second of the later half, where its seconds are alike; the first half is the connections' start.
fn steady_rate(slices: &[u64]) -> Option<u64> {
    // The last slice is cut by the end.
    let whole = slices.get(..slices.len().checked_sub(1)?)?;
    let later = whole.get(whole.len() / 2..).filter(|_| whole.len() >= LEAST_SLICES)?;
    let window = (later.len() / 4).max(1);
    let parts: Vec<f64> = later.chunks_exact(window).map(|part| part.iter().sum::<u64>() as f64 / window as f64).collect();
    let mean = parts.iter().sum::<f64>() / parts.len() as f64;
    let steady = parts.iter().all(|part| (part - mean).abs() <= mean * STEADY);
    (steady && mean > 0.0).then_some((mean * 10.0) as u64)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, load};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{LoadedPhase, TcpState};

    const URL: &str = "https://shop.example/large";

    fn scene(change: impl FnOnce(&mut LoadedPhase)) -> Scene {
        Scene::new(URL).check(Kind::Load, [load(URL, 20_000, 22_000, change)])
    }

    #[test]
    fn a_steady_rate_with_losses_and_without_a_queue_is_a_limit() {
        let scene = scene(|phase| {
            phase.transfer.slices = vec![125_000; 60];
            phase.at_close = vec![TcpState { retransmits: 90, ..TcpState::default() }];
        });
        let finding = scene.diagnose().findings.into_iter().find(|finding| finding.cause == "path.policed").unwrap();
        assert!(finding.sentence.contains("cut off at 10000 kbit/s"), "{}", finding.sentence);
    }

    #[test]
    fn a_fast_start_that_is_cut_is_one_too_and_a_steady_rate_alone_is_none() {
        let burst = [vec![900_000; 5], vec![125_000; 55]].concat();
        assert!(scene(|phase| phase.transfer.slices = burst).names("path.policed"));
        assert!(!scene(|phase| phase.transfer.slices = vec![125_000; 60]).names("path.policed"));
    }

    #[test]
    fn a_rate_that_varies_is_none() {
        let varying: Vec<u64> = (0..60).map(|at| if at % 16 < 8 { 50_000 } else { 250_000 }).collect();
        let scene = scene(|phase| {
            phase.transfer.slices = varying;
            phase.at_close = vec![TcpState { retransmits: 90, ..TcpState::default() }];
        });
        assert!(!scene.names("path.policed"));
    }
}
