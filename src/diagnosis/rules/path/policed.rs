use super::loaded::{end, place, waits, way};
use super::{policed_body, policed_connections};
use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::rules::host::overloaded;
use crate::spot::Spot;
use netsonde_contract::finding::{NotMeasured, Severity, Who};
use netsonde_contract::observation::{LatencySeries, Load, LoadedPhase, TcpState};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same transfer with one connection and with four: a limit on the way gives both the same rate in all"),
    refines: &["http.slow_transfer", "path.loss"],
    ..Rule::new("path.policed", &["path.congestion", "path.loss"], evaluate)
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

/// Half a second: a limit is as even as that, and a scheduler is not.
const WINDOW_SLICES: usize = 5;

/// Windows of a transfer that a ceiling cuts: but for one, which carries what a pause before it held back, none is above the usual one by
/// more than this part, and so many come near to it.
const ABOVE: f64 = 1.2;
const HELD_BACK: f64 = 1.6;
const NEAR: f64 = 0.75;
const SHARE_NEAR: f64 = 0.6;
const LEAST_WINDOWS: usize = 4;

/// Above such rates, in bytes a second, buffers of busy machines overflow as well, and make holes of their own.
const HIGHEST_WITH_HOLES: u64 = 12_500_000;

/// No processor that is merely busy holds a transfer below this rate, in bytes a second.
const NO_PROCESSORS_LIMIT: u64 = 1_250_000;

/// Round trips that grow by no more than this, in microseconds, and by no more than some packets take, have no queue behind them.
const NO_QUEUE_US: u64 = 25_000;
const NO_QUEUE_BYTES: u64 = 6_000;

/// Of a transfer to this machine, one segment in so many came behind one that was lost.
const LEAST_HOLES: u64 = 200;

/// An answer later than this, in microseconds, had its question or itself lost: no system sends again before.
const SENT_AGAIN_US: u64 = 180_000;

/// Modern congestion control gets some times what the formula of Mathis allows.
const HELD: f64 = 5.0;

/// Rates above this are those of links, not of limits that anybody minds: bytes a second.
const HIGHEST_LIMIT: u64 = 125_000_000;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_load = |load: &Seen<'_, Load>| -> Vec<Candidate> {
        load.fact.loaded.iter().filter_map(|phase| policed(evidence, load, phase)).collect()
    };
    let of_loads = evidence.loads.iter().flat_map(of_load);
    of_loads.chain(policed_body::cut_off(evidence)).chain(policed_connections::limited(evidence)).collect()
}

/// Rates that look like a limit's, and of which this machine was too late itself to say so: for what could not be measured.
pub(crate) fn held_back(evidence: &Evidence<'_>) -> Vec<NotMeasured> {
    let busy = overloaded::is_wanted_by_many(evidence);
    let looks_limited = |load: &&Seen<'_, Load>| {
        let late = |phase: &LoadedPhase| load.fact.idle.iter().chain([&phase.latency]).any(overloaded::is_a_little_late);
        load.fact.loaded.iter().any(|phase| cut_off(load, phase).is_some_and(|cut| !cut.by_holes) && (busy || late(phase)))
    };
    let gap = |load: &Seen<'_, Load>| NotMeasured {
        check: load.outcome.check.clone(),
        required: false,
        why: "the rate is as steady as under a limit on the way (path.policed), but this machine itself was too busy to tell"
            .to_owned(),
        grant: Some("measure again while nothing else works on this machine".to_owned()),
    };
    evidence.loads.iter().filter(looks_limited).map(gap).collect()
}

/// Where a rate is cut off.
struct Cut {
    /// Bytes a second.
    rate: u64,
    /// It began with a burst.
    burst: bool,
    /// Segments that came out of order show the losses, at a rate that is none of this machine's doing.
    by_holes: bool,
}

/// The steady rate of a phase that loses packets or begins with a burst.
fn cut_off(load: &Load, phase: &LoadedPhase) -> Option<Cut> {
    let slices = &phase.transfer.slices;
    if let Some(rate) = ceiling(slices).filter(|rate| *rate < HIGHEST_WITH_HOLES)
        && has_holes(&phase.at_close, slices.len())
        && !load.idle.as_ref().is_some_and(loses_idle)
        && !fills_a_queue(load, phase, rate)
    {
        return Some(Cut { rate, burst: starts_fast(slices, rate), by_holes: rate < NO_PROCESSORS_LIMIT });
    }
    let rate = steady_rate(slices).filter(|rate| *rate > 0 && *rate < HIGHEST_LIMIT)?;
    let seconds = (slices.len() as u64 / 10).max(1);
    let resent: u64 = phase.at_close.iter().map(|state| u64::from(state.retransmits)).sum();
    let burst = starts_with_a_burst(slices, rate);
    let lost = resent >= LOSSES_A_SECOND * seconds && losses_hold_the_rate(phase, rate, seconds);
    (burst || lost).then_some(Cut { rate, burst, by_holes: false })
}

fn policed(evidence: &Evidence<'_>, load: &Seen<'_, Load>, phase: &LoadedPhase) -> Option<Candidate> {
    let Cut { rate, burst, by_holes } = cut_off(load.fact, phase)?;
    let queued = load.fact.idle.as_ref().and_then(|idle| idle.rtt.as_ref()).zip(phase.latency.rtt.as_ref());
    let queued = queued.is_some_and(|(idle, loaded)| waits(idle.median_us, loaded.median_us));
    let late = load.fact.idle.iter().chain([&phase.latency]).any(overloaded::is_a_little_late);
    // A busy machine makes rates steady, and no holes.
    if queued || ((late || overloaded::is_wanted_by_many(evidence)) && !by_holes) {
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
        .rejecting(
            "path.loss",
            "Before the load nothing was lost.",
            load.fact.idle.as_ref().is_some_and(|idle| !loses_idle(idle)).then_some(load.id),
        )
        .next(Who::Network, "Ask the provider for the limit of the line, the virtual machine's size or the VPN; a limit that queues (shaping) instead of dropping gives more of the same rate.");
    Some(candidate)
}

/// Bytes a second that a transfer reaches again and again and never passes, from its second second on: losses make it fall now and then,
/// and nothing makes it rise.
pub(super) fn ceiling(slices: &[u64]) -> Option<u64> {
    let later = slices.get(LEAST_SLICES / 2..slices.len().checked_sub(1)?)?;
    let windows: Vec<u64> = later.chunks_exact(WINDOW_SLICES).map(|window| window.iter().sum()).collect();
    if slices.len() < LEAST_SLICES || windows.len() < LEAST_WINDOWS {
        return None;
    }
    let mut sorted = windows.clone();
    sorted.sort_unstable();
    let (usual, most) = (sorted[sorted.len() / 2] as f64, sorted[sorted.len() - 1] as f64);
    let is_above = |window: &u64| *window as f64 > usual * ABOVE;
    // What a pause held back comes at once, and the rate is as before; a rate that rises ends above.
    let rises = windows.last().is_some_and(is_above);
    let near = windows.iter().filter(|window| **window as f64 >= usual * NEAR).count();
    let above = windows.iter().filter(|window| is_above(window)).count();
    let held =
        usual > 0.0 && !rises && above <= 1 && most <= usual * HELD_BACK && near as f64 >= windows.len() as f64 * SHARE_NEAR;
    held.then_some((usual * 10.0 / WINDOW_SLICES as f64) as u64)
}

/// What a packet waits longer than idle, at this rate, is what lies in a queue: a short one that overflows makes holes and a ceiling, too.
fn fills_a_queue(load: &Load, phase: &LoadedPhase, rate: u64) -> bool {
    let idle = load.idle.as_ref().and_then(|idle| idle.rtt.as_ref()).map(|rtt| rtt.median_us);
    let grown_us = idle.zip(phase.latency.rtt.as_ref()).map(|(idle_us, rtt)| rtt.median_us.saturating_sub(idle_us));
    grown_us.is_none_or(|grown_us| is_queue(grown_us, rate))
}

/// Round trips that grew by so much at this rate have a queue behind them.
pub(in crate::rules) fn is_queue(grown_us: u64, rate: u64) -> bool {
    grown_us > NO_QUEUE_US || grown_us * rate / 1_000_000 > NO_QUEUE_BYTES
}

/// Segments were lost on their way to this machine all the time of so many slices.
pub(super) fn has_holes(states: &[TcpState], slices: usize) -> bool {
    holes(states, slices, 0)
}

/// The same, where so many losses more show themselves otherwise.
pub(super) fn holes(states: &[TcpState], slices: usize, besides: u64) -> bool {
    let holes: u64 = states.iter().filter_map(|state| state.out_of_order).map(u64::from).sum();
    let segment = |state: &TcpState| u64::from(state.mss_bytes.max(1));
    let segments: u64 = states.iter().filter_map(|state| Some(state.bytes_received? / segment(state))).sum();
    let losses = holes + besides;
    holes > 0 && losses >= LOSSES_A_SECOND * (slices as u64 / 10).max(1) && losses * LEAST_HOLES >= segments
}

/// The first second carries much more than the rate that follows.
pub(super) fn starts_fast(slices: &[u64], rate: u64) -> bool {
    slices.iter().take(LEAST_SLICES / 2).max().is_some_and(|most| most * 10 >= rate * BURST_TIMES)
}

/// Something is lost without any load as well.
fn loses_idle(idle: &LatencySeries) -> bool {
    idle.answered < idle.sent || idle.rtt.as_ref().is_some_and(|rtt| rtt.max_us >= rtt.median_us + SENT_AGAIN_US)
}

/// The first second carries several times the rate, and from then on nothing ever does: a bucket that is empty stays so. What a busy
/// machine makes of a rate comes and goes.
fn starts_with_a_burst(slices: &[u64], rate: u64) -> bool {
    let (start, later) = slices.split_at(slices.len().min(LEAST_SLICES / 2));
    let fast = starts_fast(start, rate);
    let whole = later.get(..later.len().saturating_sub(1)).unwrap_or_default();
    let even = |window: &[u64]| {
        let a_second = window.iter().sum::<u64>() as f64 * 10.0 / window.len() as f64;
        (a_second - rate as f64).abs() <= rate as f64 * STEADY
    };
    fast && whole.len() >= LEAST_SLICES / 2 && whole.chunks_exact(WINDOW_SLICES).all(even)
}

/// Whether so many losses keep TCP at about this rate (Mathis et al. 1997: MSS / RTT × √1.5 / √p for each connection). With far fewer
/// of them something else does: the far side, a window, or a processor.
fn losses_hold_the_rate(phase: &LoadedPhase, rate: u64, seconds: u64) -> bool {
    let states = || phase.at_close.iter().filter(|state| state.rtt_us > 0 && state.mss_bytes > 0);
    let connections = states().count();
    if connections == 0 {
        return true;
    }
    let mean = |of: fn(&TcpState) -> u32| states().map(|state| f64::from(of(state))).sum::<f64>() / connections as f64;
    let (rtt_s, segment) = (mean(|state| state.rtt_us) / 1e6, mean(|state| state.mss_bytes));
    let resent: u32 = states().map(|state| state.retransmits).sum();
    let segments = (rate * seconds) as f64 / segment;
    let share = f64::from(resent) / segments.max(1.0);
    let possible = segment / rtt_s * 1.5_f64.sqrt() / share.sqrt() * connections as f64;
    possible <= rate as f64 * HELD
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
    use crate::scene::{Scene, distribution, load, system_load};
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

    /// What a user-space link on two busy processors did: fast at first, then as fast as it was let.
    #[test]
    fn a_machine_that_is_busy_from_some_moment_on_makes_no_limit() {
        let slowed: Vec<u64> = (0..60).map(|at| if at < 5 { 4_000_000 } else { 800_000 + at / 5 % 2 * 400_000 }).collect();
        assert!(!scene(|phase| phase.transfer.slices = slowed.clone()).names("path.policed"));
        let even = [vec![900_000; 5], vec![125_000; 55]].concat();
        assert!(
            !scene(|phase| {
                phase.transfer.slices = even.clone();
                phase.latency.timer_late = Some(distribution(6_000));
            })
            .names("path.policed")
        );
        let wanted = Scene::new(URL).check(Kind::Host, [system_load(2, 9)]);
        let wanted = wanted.check(Kind::Load, [load(URL, 20_000, 22_000, |phase| phase.transfer.slices = even.clone())]);
        assert!(!wanted.names("path.policed"));
    }

    #[test]
    fn a_few_losses_that_do_not_hold_the_rate_are_no_limit() {
        let state = |rtt_us, retransmits| TcpState { rtt_us, mss_bytes: 1_448, retransmits, ..TcpState::default() };
        let with = |state: TcpState, slice: u64| {
            scene(|phase| {
                phase.transfer.slices = vec![slice; 60];
                phase.at_close = vec![state];
            })
            .names("path.policed")
        };
        assert!(with(state(20_000, 90), 125_000), "two in a hundred at 20 ms hold TCP at 10 Mbit/s");
        assert!(!with(state(300, 12), 5_000_000), "two a second at 300 microseconds do not hold it at 400 Mbit/s");
    }

    /// Two seconds and more below a ceiling, with falls, as the receiver of a transfer sees it.
    fn received(slices: &[u64], out_of_order: u32) -> Scene {
        scene(|phase| {
            phase.transfer.slices = slices.to_vec();
            let bytes: u64 = slices.iter().sum();
            let state = TcpState {
                mss_bytes: 1_428,
                bytes_received: Some(bytes),
                out_of_order: Some(out_of_order),
                ..TcpState::default()
            };
            phase.at_close = vec![state];
        })
    }

    #[test]
    fn segments_that_come_out_of_order_below_a_ceiling_are_a_limits_and_above_none_are_not() {
        let cut: Vec<u64> = (0..40).map(|at| if at % 15 < 3 { 8_000 } else { 25_000 }).collect();
        assert!(received(&cut, 90).names("path.policed"));
        assert!(!received(&cut, 0).names("path.policed"), "a server may send at a steady rate");
        let varying: Vec<u64> = (0..40).map(|at| 10_000 + at * 1_000).collect();
        assert!(!received(&varying, 90).names("path.policed"));
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
