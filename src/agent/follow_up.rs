//! After the plan: while several causes remain possible, the measurements that would tell them apart, within the run's own budget.
//!
//! The diagnosis names them, the best for its cost first; it names no address, host or name server that the run did not ask. They
//! run as supporting checks under the same gate, and what they saw stands among the run's outcomes like everything else.

use crate::runner::{self, Event, Journal, Means, Progress, Ran};
use netsonde_contract::environment::Environment;
use netsonde_contract::id::CheckId;
use netsonde_contract::kind::Params;
use netsonde_contract::outcome::Outcome;
use netsonde_contract::set::{Plan, PlannedCheck, Samples};
use netsonde_diagnosis::{FollowUp, diagnose, follow_ups};
use std::future::Future;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Two questions settle what can be settled from one machine; the third is for what the second brought up.
const MAX_ROUNDS: usize = 3;
/// Follow-ups of one run at most, whatever is open: as many checks as a set has.
pub(crate) const MAX_FOLLOW_UPS: usize = 8;
/// Follow-ups at the same time: waiting for silence does not add up then.
const MAX_AT_ONCE: usize = 3;
/// Packets of all follow-ups together, as they are reckoned beforehand: what a path set sends.
pub(crate) const MAX_PACKETS: u32 = 500;
/// All follow-ups together take no longer: somebody waits for the verdict. Slow pings, and a long trace after them, are within it.
const MAX_TIME: Duration = Duration::from_secs(13);
/// Nobody waits longer than this for a verdict, where the checks themselves leave the time.
const VERDICT: Duration = Duration::from_secs(25);
/// Where they do not, one round of questions is still asked.
const ONE_ROUND: Duration = Duration::from_secs(5);
/// With less time left than this no measurement comes to an end.
const LEAST_TIME: Duration = Duration::from_secs(1);
/// Above what a measurement usually takes: one that meets silence everywhere waits for all of it.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Who hears of it.
pub(crate) struct Told<'a> {
    /// The person at the terminal, where there is one.
    pub(crate) progress: Option<Progress>,
    pub(crate) journal: &'a mut Journal,
    /// Gets every outcome as it comes.
    pub(crate) outcomes: Option<&'a UnboundedSender<Outcome>>,
}

impl Told<'_> {
    pub(crate) fn event(&mut self, event: &Event<'_>) {
        if let (Some(outcomes), Event::Ended(outcome)) = (self.outcomes, event) {
            // Whoever no longer watches misses nothing that is not in the bundle.
            let _ = outcomes.send((*outcome).clone());
        }
        self.progress.iter_mut().for_each(|progress| progress.event(event));
        self.journal.event(event);
    }
}

/// What is left of the bounds.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    checks: usize,
    packets: u32,
    time: Duration,
}

/// Asks further as long as it helps, and adds what was seen to the run's outcomes. `interrupted` gives a future that ends when the
/// person wants to stop.
pub(crate) async fn ask<F: Future<Output = ()>>(
    plan: &Plan,
    means: &Means,
    environment: &Environment,
    interrupted: impl Fn() -> F,
    ran: &mut Ran,
    told: &mut Told<'_>,
) {
    let clock = means.context.clock;
    let began = clock.now();
    let mut allowance = Allowance { checks: MAX_FOLLOW_UPS, packets: MAX_PACKETS, time: Duration::ZERO };
    for _ in 0..MAX_ROUNDS {
        // A run that met one of its limits, or that somebody ended, is over.
        if ran.interrupted || !ran.limits_hit.is_empty() {
            return;
        }
        let now = clock.now();
        allowance.time = time_left(plan.budget, began, now);
        let diagnosis = diagnose(&ran.outcomes, environment);
        let chosen = choose(follow_ups(&ran.outcomes, environment, &diagnosis), &mut allowance);
        if chosen.is_empty() {
            return;
        }
        let first = MAX_FOLLOW_UPS - allowance.checks - chosen.len() + 1;
        let round = round(plan, &chosen, first, allowance.time);
        say(&chosen, &round, clock.now_us(), told);
        let mut more = runner::run(&round, means, interrupted(), &mut |event| told.event(&event)).await;
        for (outcome, follow_up) in more.outcomes.iter_mut().zip(&chosen) {
            outcome.separates = follow_up.between.iter().map(|cause| (*cause).to_owned()).collect();
        }
        ran.outcomes.append(&mut more.outcomes);
        ran.interrupted = more.interrupted;
        ran.limits_hit = means.context.gate.limits_hit();
    }
}

/// What follow-ups that began then may still take.
fn time_left(budget: Duration, began: Duration, now: Duration) -> Duration {
    let ends = (began + MAX_TIME).min(VERDICT.max(began + ONE_ROUND)).min(budget);
    ends.saturating_sub(now)
}

/// The best of them that fit into what is left, which they are taken off.
fn choose(ranked: Vec<FollowUp>, allowance: &mut Allowance) -> Vec<FollowUp> {
    let mut chosen = Vec::new();
    if allowance.time < LEAST_TIME {
        return chosen;
    }
    for follow_up in ranked {
        let fits = follow_up.cost.packets <= allowance.packets && follow_up.cost.time <= allowance.time;
        let alone = !chosen.iter().any(|other: &FollowUp| other.disturbs(&follow_up));
        if fits && alone && chosen.len() < MAX_AT_ONCE.min(allowance.checks) {
            allowance.packets -= follow_up.cost.packets;
            chosen.push(follow_up);
        }
    }
    allowance.checks -= chosen.len();
    chosen
}

/// The chosen as a plan of supporting checks, numbered from `first`.
fn round(plan: &Plan, chosen: &[FollowUp], first: usize, time: Duration) -> Plan {
    let check = |(place, follow_up): (usize, &FollowUp)| PlannedCheck {
        id: CheckId::new(format!("follow-up-{}", first + place)),
        required: false,
        target: follow_up.target.clone(),
        needs: Vec::new(),
        when: Vec::new(),
        deadline: (follow_up.cost.time + PATIENCE).min(time),
        samples: Samples::ONE,
        params: follow_up.params.clone(),
    };
    // Each check's own deadline comes first, so that no limit of the run is said to have been met.
    let budget = time + PATIENCE;
    Plan { budget, checks: chosen.iter().enumerate().map(check).collect(), ..plan.clone() }
}

fn say(chosen: &[FollowUp], round: &Plan, at_us: u64, told: &mut Told<'_>) {
    for (follow_up, check) in chosen.iter().zip(&round.checks) {
        told.journal.asked_further(at_us, check.id.as_str(), &follow_up.between);
        let why = format!(
            "asking further: {} {}, to tell {}",
            check.params.kind().name(),
            asked(&check.params),
            apart(&follow_up.between)
        );
        told.progress.iter_mut().for_each(|progress| progress.asks_further(&why, 1));
    }
}

/// Whom it is put to.
fn asked(params: &Params) -> String {
    let value = params.to_value();
    let whom = value.get("host").or_else(|| value.get("name")).and_then(|whom| whom.as_str());
    whom.unwrap_or_default().to_owned()
}

/// `tcp.filtered from path.target_silent or path.blackhole`.
fn apart(between: &[&str]) -> String {
    match between.split_first() {
        Some((first, rest)) if !rest.is_empty() => format!("{first} from {}", rest.join(" or ")),
        _ => between.join(" "),
    }
}

#[cfg(test)]
mod tests;
