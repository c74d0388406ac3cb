//! What a path does under netsonde's own load.

use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen, host_of};
use crate::rules::host::overloaded;
use crate::spot::Spot;
use crate::threshold::{CONGESTED_TIMES, CONGESTED_WAIT_US};
use crate::wording::duration;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::kind::LoadDirection;
use netsonde_contract::observation::{Load, LoadedPhase};

/// The load was netsonde's own, so that nothing else can have filled the queue by chance; where the queue is remains open.
const CONFIDENCE: f64 = 0.85;

/// Full queues while a direction was loaded.
pub(super) fn congested(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let of_load = |load: &Seen<'_, Load>| -> Vec<Candidate> {
        load.fact.loaded.iter().filter_map(|phase| full_queue(load, phase)).collect()
    };
    evidence.loads.iter().flat_map(of_load).collect()
}

fn full_queue(load: &Seen<'_, Load>, phase: &LoadedPhase) -> Option<Candidate> {
    let idle_us = load.fact.idle.as_ref()?.rtt.as_ref()?.median_us;
    let loaded_us = phase.latency.rtt.as_ref()?.median_us;
    if !waits(idle_us, loaded_us) || overloaded::is_late(&phase.latency) {
        return None;
    }
    let sentence = format!(
        "The way to {} fills up under load: while data goes {}, packets take {} instead of {}, because they wait in a queue.",
        end(load),
        way(phase),
        duration(loaded_us),
        duration(idle_us)
    );
    let timers = phase.latency.timer_late.is_some().then_some(load.id);
    let candidate = Candidate::new(Severity::Degraded, CONFIDENCE, sentence)
        .at(place(load))
        .about(Spot::Url(load.fact.url.clone()))
        .resting_on([load.id])
        .rejecting("host.overloaded", "This machine's own timers were in time meanwhile.", timers)
        .next(
            Who::Network,
            "Let the router at the narrowest link keep its queue short (fq_codel, CAKE, or a rate limit a little below the line's), so that calls and sign-ins do not wait behind transfers.",
        );
    Some(candidate)
}

pub(in crate::rules) fn waits(idle_us: u64, loaded_us: u64) -> bool {
    loaded_us >= idle_us * CONGESTED_TIMES && loaded_us - idle_us >= CONGESTED_WAIT_US
}

/// Where the load went: the proxy where there is one.
pub(super) fn end(load: &Seen<'_, Load>) -> String {
    match &load.fact.proxy {
        Some(proxy) => format!("the proxy {proxy}"),
        None => host_of(&load.fact.url).to_owned(),
    }
}

pub(super) fn way(phase: &LoadedPhase) -> &'static str {
    if phase.direction == LoadDirection::Upload { "up" } else { "down" }
}

pub(super) fn place(load: &Seen<'_, Load>) -> Place {
    Place {
        url: Some(load.fact.url.clone()),
        address: load.fact.address.map(|address| address.ip()),
        port: load.fact.address.map(|address| address.port()),
        ..Place::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, load};
    use netsonde_contract::kind::Kind;

    const URL: &str = "https://shop.example/large";

    #[test]
    fn a_queue_that_our_own_load_fills_is_told_with_both_times() {
        let scene = Scene::new(URL).check(Kind::Load, [load(URL, 20_000, 180_000, |_| {})]);
        let finding = scene.diagnose().findings.into_iter().find(|finding| finding.cause == "path.congestion").unwrap();
        assert!(finding.sentence.contains("180 ms") && finding.sentence.contains("20 ms"), "{}", finding.sentence);
        assert_eq!(finding.rejected[0].cause, "host.overloaded");
    }

    #[test]
    fn a_little_more_delay_under_load_is_as_it_should_be() {
        assert!(!Scene::new(URL).check(Kind::Load, [load(URL, 20_000, 60_000, |_| {})]).names("path.congestion"));
    }
}
