use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::rules::path::loaded::waits;
use crate::spot::Spot;
use crate::wording::duration;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{LatencySeries, Load, RttDistribution};

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the same run while nothing else works on this machine"),
    ..Rule::new("host.overloaded", &["path.congestion"], evaluate)
};

/// Timers and round trips within the machine are late together: nothing but the machine is common to them.
const BOTH: f64 = 0.9;
/// Timers alone; round trips within the machine were quick in between, or not measured.
const TIMERS: f64 = 0.75;

/// One timer in twenty fires later than this, in microseconds: a thread that waits that long for a processor delays whatever it measures.
const LATE_US: u64 = 20_000;

/// The same where nothing else shows it: twice that, so that a machine with a little more to do than it can is not called overloaded.
const LATE_ALONE_US: u64 = 40_000;

/// A round trip within the machine takes some ten microseconds; from here on it waits for a processor as well.
const SLOW_LOOPBACK_US: u64 = 5_000;

/// Processes that want a processor for each one that there is, from which on they wait noticeably.
const RUN_QUEUE: u32 = 2;

/// Per cent of the last ten seconds in which something waited for a processor (pressure stall information).
const PRESSURE: f64 = 20.0;

/// A share of the time that the hypervisor gave to others, in thousandths.
const STEAL: u64 = 50;

/// The machine was late itself while this was measured.
pub(in crate::rules) fn is_late(series: &LatencySeries) -> bool {
    let late = series.timer_late.as_ref().is_some_and(|late| late.p95_us >= LATE_US);
    let slow = series.loopback.as_ref().is_none_or(|loopback| loopback.p95_us >= SLOW_LOOPBACK_US);
    late && slow
}

/// Too little to call the machine overloaded, and enough that a rate or a delay may be its own.
pub(in crate::rules) fn is_a_little_late(series: &LatencySeries) -> bool {
    let late = |delays: &Option<RttDistribution>| delays.as_ref().is_some_and(|delays| delays.p95_us >= SLOW_LOOPBACK_US);
    late(&series.timer_late) || late(&series.loopback)
}

/// This machine was late, and no queue of the way was: round trips, which the kernel measures, did not grow meanwhile.
fn is_late_alone(load: &Load, series: &LatencySeries) -> bool {
    let late = series.timer_late.as_ref().is_some_and(|late| late.p95_us >= LATE_ALONE_US);
    let least = load.idle.as_ref().and_then(|idle| idle.rtt.as_ref()).map(|rtt| rtt.min_us);
    let grown = least.zip(series.rtt.as_ref()).is_none_or(|(least, rtt)| waits(least, rtt.median_us));
    late && !grown
}

/// The system itself says that work waited for a processor.
pub(in crate::rules) fn is_wanted_by_many(evidence: &Evidence<'_>) -> bool {
    !reasons(evidence).1.is_empty()
}

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    // One machine, however many measurements show it.
    let worst = evidence.loads.iter().filter_map(worst_series).max_by_key(|(_, late_us, _)| *late_us);
    worst.map(|(load, late_us, with_loopback)| candidate(evidence, load, late_us, with_loopback)).into_iter().collect()
}

fn worst_series<'a, 'b>(load: &'b Seen<'a, Load>) -> Option<(&'b Seen<'a, Load>, u64, bool)> {
    let all = load.fact.idle.iter().chain(load.fact.loaded.iter().map(|phase| &phase.latency));
    let late = all.filter(|series| is_late(series) || is_late_alone(load.fact, series));
    // A program that stands still measures nothing within the machine meanwhile.
    let slow = |series: &LatencySeries| series.loopback.as_ref().is_some_and(|loopback| loopback.p95_us >= SLOW_LOOPBACK_US);
    late.filter_map(|series| Some((load, series.timer_late.as_ref()?.p95_us, slow(series)))).max_by_key(|(_, us, _)| *us)
}

fn candidate(evidence: &Evidence<'_>, load: &Seen<'_, Load>, late_us: u64, with_loopback: bool) -> Candidate {
    let (why, ids) = reasons(evidence);
    let loopback = if with_loopback { ", and packets within it wait as well" } else { "" };
    let sentence = format!(
        "This machine is overloaded: one timer in twenty fires {} late or more{loopback}{why}. What it measures is later than it was.",
        duration(late_us)
    );
    let confidence = if with_loopback { BOTH } else { TIMERS };
    let loopback = with_loopback.then_some(load.id);
    Candidate::new(Severity::Degraded, confidence, sentence)
        .at(Place::default())
        .about(Spot::Everything)
        .resting_on([load.id])
        .resting_on(ids)
        .rejecting("path.congestion", "Round trips within the machine are late too, which use no path.", loopback)
        .rejecting("path.congestion", "Round trips over the way did not grow meanwhile.", (!with_loopback).then_some(load.id))
        .next(Who::Customer, "Find what takes the processors (top; on a virtual machine also the steal time), and give the machine more of them or less to do.")
}

/// What the system says of its processors.
fn reasons<'a>(evidence: &Evidence<'a>) -> (String, Vec<&'a ObservationId>) {
    let (mut words, mut ids) = (Vec::new(), Vec::new());
    for load in &evidence.system_loads {
        let runnable = load.fact.runnable.filter(|runnable| *runnable > load.fact.processors.max(1) * RUN_QUEUE);
        words.extend(runnable.map(|runnable| format!("{runnable} processes want {} processors", load.fact.processors)));
        let waiting = load.fact.pressure.iter().find(|pressure| pressure.of == "cpu" && pressure.some_10_s >= PRESSURE);
        words.extend(
            waiting.map(|pressure| format!("work waited for a processor in {:.0} % of the last seconds", pressure.some_10_s)),
        );
        if runnable.is_some() || waiting.is_some() {
            ids.push(load.id);
        }
    }
    for counters in &evidence.counters {
        let stolen = counters
            .fact
            .cpu
            .as_ref()
            .filter(|cpu| cpu.steal_ms * 1_000 > (cpu.busy_ms + cpu.idle_ms + cpu.steal_ms).max(1) * STEAL);
        if let Some(cpu) = stolen {
            words.push(format!("the hypervisor gave {} ms of its time to other machines", cpu.steal_ms));
            ids.push(counters.id);
        }
    }
    let text = if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) };
    (text, ids)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, distribution, load, system_load};
    use netsonde_contract::kind::Kind;

    const URL: &str = "https://shop.example/large";

    fn scene(late_us: u64, loopback_us: u64) -> Scene {
        let fact = load(URL, 20_000, 190_000, |phase| {
            phase.latency.timer_late = Some(distribution(late_us));
            phase.latency.loopback = Some(distribution(loopback_us));
        });
        Scene::new(URL).check(Kind::Host, [system_load(2, 9)]).check(Kind::Load, [fact])
    }

    #[test]
    fn timers_and_own_round_trips_that_are_late_together_are_the_machines() {
        let diagnosis = scene(60_000, 30_000).diagnose();
        let finding = diagnosis.findings.iter().find(|finding| finding.cause == "host.overloaded").unwrap();
        assert!(
            finding.sentence.contains("60 ms late") && finding.sentence.contains("9 processes want 2"),
            "{}",
            finding.sentence
        );
        assert!(diagnosis.findings.iter().all(|finding| finding.cause != "path.congestion"), "{diagnosis:#?}");
    }

    #[test]
    fn timers_that_are_late_while_the_way_is_quick_are_the_machines_too() {
        let fact = load(URL, 20_000, 21_000, |phase| phase.latency.timer_late = Some(distribution(45_000)));
        let finding = Scene::new(URL).check(Kind::Load, [fact]).finds("host.overloaded");
        assert!(finding.confidence < 0.9 && finding.rejected[0].cause == "path.congestion", "{finding:#?}");
    }

    #[test]
    fn a_machine_whose_own_round_trips_are_quick_is_not_overloaded() {
        let scene = scene(60_000, 60);
        assert!(!scene.names("host.overloaded") && scene.names("path.congestion"));
    }
}
