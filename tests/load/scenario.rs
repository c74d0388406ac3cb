use crate::backend::Backend;
use crate::fleet::{Fleet, Mix, Tally};
use crate::machine;
use crate::organisation::{Organisation, order_id};
use crate::path::Path;
use anyhow::{Result, bail};
use netsonde_agent::load::Clock;
use netsonde_contract::id::OrderId;
use std::time::Duration;

/// The agents come one after the other, this many a second: a fleet is never switched on in one instant.
const COMING_A_SECOND: u32 = 500;
/// Until all of them ask.
const HOLD_LIMIT: Duration = Duration::from_secs(180);
/// A request that has not come back for so long is held.
const HELD: Duration = Duration::from_secs(2);
/// For how long nothing is asked of the backend, to see what holding costs.
const QUIET: Duration = Duration::from_secs(10);
/// Between two triggers.
const BETWEEN: Duration = Duration::from_millis(50);
/// Until an order has reached an agent that listens; beyond it, it is lost.
const TRIGGER_LIMIT: Duration = Duration::from_secs(20);
/// Until an order has reached all; beyond it, it is lost.
const ALL_LIMIT: Duration = Duration::from_secs(120);
/// Until all are back after a kill; beyond it, they are lost.
const BACK_LIMIT: Duration = Duration::from_secs(180);
/// Until the backend has heard of each start, or shows each agent online: over a slow path a word takes seconds. Beyond it, it never hears.
const HEARD_LIMIT: Duration = Duration::from_secs(30);
/// How long the backend stays away after it was killed.
const AWAY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is asked for.
pub(crate) struct Wanted {
    /// What it is called in the report.
    pub(crate) name: &'static str,
    pub(crate) agents: usize,
    pub(crate) triggers: u32,
    pub(crate) mix: Mix,
    pub(crate) plain: bool,
}

/// What was measured.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) transport: &'static str,
    pub(crate) agents: usize,
    pub(crate) held: usize,
    pub(crate) enrol: Duration,
    pub(crate) hold: Duration,
    pub(crate) bytes_per_agent: u64,
    pub(crate) resident: u64,
    /// Shares of one core while nothing but holding went on.
    pub(crate) quiet_backend: f64,
    pub(crate) quiet_generator: f64,
    pub(crate) triggers: u32,
    pub(crate) triggers_lost: usize,
    pub(crate) trigger_p50: Duration,
    pub(crate) trigger_p99: Duration,
    pub(crate) all: Duration,
    /// Until half of them and 95 of 100 had it.
    pub(crate) all_half: Duration,
    pub(crate) all_most: Duration,
    pub(crate) all_lost: usize,
    /// Shares of one core while the order went to all.
    pub(crate) all_backend: f64,
    pub(crate) all_generator: f64,
    pub(crate) all_others: f64,
    /// Time on a core for each agent meanwhile.
    pub(crate) all_backend_each: Duration,
    pub(crate) all_generator_each: Duration,
    pub(crate) back: Duration,
    pub(crate) back_missing: usize,
    pub(crate) back_lost: usize,
    pub(crate) unheard: usize,
    pub(crate) not_now: usize,
    pub(crate) backend_descriptors: usize,
    pub(crate) generator_descriptors: usize,
    pub(crate) tally: Tally,
}

/// Runs everything over one transport.
pub(crate) async fn run(wanted: &Wanted, folder: &std::path::Path, say: impl Fn(&str)) -> Result<Figures> {
    let clock = Clock::start();
    let mut figures = Figures { transport: wanted.name, agents: wanted.agents, triggers: wanted.triggers, ..Figures::default() };
    let mut backend = Backend::start(folder, wanted.plain).await?;
    let organisation = Organisation::new(clock.wall());
    backend.publish(&organisation.documents()).await?;
    let paths = Path::open(backend.address()?).await?;
    let began = clock.now();
    let mut fleet = Fleet::enrol(&backend, &organisation, &paths, (wanted.agents, wanted.mix), clock, folder).await?;
    figures.enrol = clock.now() - began;
    say(&format!("{} agents enrolled in {:.1} s", fleet.len(), figures.enrol.as_secs_f64()));
    // A fresh process, so that what enrolling left in its heap is not taken for room that held agents need no more.
    backend.kill().await?;
    backend.again().await?;
    hold(&mut figures, &backend, &mut fleet).await?;
    say(&format!(
        "{} of them held {:.1} s later, {} bytes each",
        figures.held,
        figures.hold.as_secs_f64(),
        figures.bytes_per_agent
    ));
    trigger(&mut figures, &backend, &organisation, &fleet).await?;
    say(&format!("trigger to start: p50 {:?}, p99 {:?}", figures.trigger_p50, figures.trigger_p99));
    to_all(&mut figures, &backend, &organisation, &fleet).await?;
    say(&format!("an order for all: {:.1} s, {} lost", figures.all.as_secs_f64(), figures.all_lost));
    crash(&mut figures, &mut backend, &organisation, &fleet).await?;
    say(&format!("all back {:.1} s after the kill, {} missing", figures.back.as_secs_f64(), figures.back_missing));
    figures.tally = fleet.log.tally();
    Ok(figures)
}

async fn hold(figures: &mut Figures, backend: &Backend, fleet: &mut Fleet) -> Result<()> {
    let (process, own) = (backend.process()?, std::process::id());
    let clock = fleet.log.clock;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let empty = machine::resident(process)?;
    let began = clock.now();
    fleet.go(Duration::from_secs(1) * u32::try_from(fleet.len())? / COMING_A_SECOND);
    let log = &fleet.log;
    let all = fleet.len();
    until(HOLD_LIMIT, || log.held_since(clock.now().saturating_sub(HELD)) == all).await;
    figures.hold = clock.now().saturating_sub(began + HELD);
    let cores = (machine::cpu_seconds(process)?, machine::cpu_seconds(own)?, clock.now());
    tokio::time::sleep(QUIET).await;
    let quiet = (clock.now() - cores.2).as_secs_f64();
    figures.quiet_backend = (machine::cpu_seconds(process)? - cores.0) / quiet;
    figures.quiet_generator = (machine::cpu_seconds(own)? - cores.1) / quiet;
    figures.resident = machine::resident(process)?;
    figures.bytes_per_agent = figures.resident.saturating_sub(empty) / all.max(1) as u64;
    (figures.backend_descriptors, figures.generator_descriptors) = (machine::descriptors(process)?, machine::descriptors(own)?);
    // Only now: the list itself takes memory.
    figures.held = seen_online(backend, fleet).await?;
    Ok(())
}

/// Orders to one agent each, one after the other, while all are held.
async fn trigger(figures: &mut Figures, backend: &Backend, organisation: &Organisation, fleet: &Fleet) -> Result<()> {
    let clock = fleet.log.clock;
    let mut submitted = Vec::new();
    for number in 1..=figures.triggers {
        // Far apart in the fleet, and never the same agent twice in a row.
        let place = (number as usize * 7919) % fleet.len();
        let order = organisation.order(number, vec![fleet.addressees[place].clone()])?;
        let began = clock.now();
        backend.submit(&order).await?;
        submitted.push((number, began));
        tokio::time::sleep(BETWEEN).await;
    }
    let missing = || submitted.iter().filter(|(number, _)| fleet.log.started(&order_id(*number)) == 0).count();
    until(TRIGGER_LIMIT, || missing() == 0).await;
    figures.triggers_lost = missing();
    let mut times: Vec<Duration> = submitted
        .iter()
        .map(|(number, began)| fleet.log.starts(&order_id(*number)).first().map_or(TRIGGER_LIMIT, |start| *start - *began))
        .collect();
    times.sort_unstable();
    let part = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied();
    (figures.trigger_p50, figures.trigger_p99) = (part(50).unwrap_or_default(), part(99).unwrap_or_default());
    Ok(())
}

const TO_ALL: u32 = 1_000_001;
const BEFORE_CRASH: u32 = 1_000_002;

async fn to_all(figures: &mut Figures, backend: &Backend, organisation: &Organisation, fleet: &Fleet) -> Result<()> {
    let (process, own, clock) = (backend.process()?, std::process::id(), fleet.log.clock);
    let order = organisation.order(TO_ALL, fleet.addressees.clone())?;
    let before = (machine::cpu_seconds(process)?, machine::cpu_seconds(own)?, machine::busy_seconds()?);
    let began = clock.now();
    backend.submit(&order).await?;
    until(ALL_LIMIT, || fleet.log.started(&order_id(TO_ALL)) == fleet.len()).await;
    let starts = fleet.log.starts(&order_id(TO_ALL));
    let reached = |percent: usize| starts.get((starts.len() * percent / 100).saturating_sub(1)).map_or(began, |start| *start);
    figures.all = reached(100).saturating_sub(began);
    figures.all_half = reached(50).saturating_sub(began);
    figures.all_most = reached(95).saturating_sub(began);
    figures.all_lost = fleet.len() - starts.len();
    let took = (clock.now() - began).as_secs_f64();
    figures.all_backend = (machine::cpu_seconds(process)? - before.0) / took;
    figures.all_generator = (machine::cpu_seconds(own)? - before.1) / took;
    let each = |cores: f64| Duration::from_secs_f64(cores * took / fleet.len().max(1) as f64);
    figures.all_backend_each = each(figures.all_backend);
    figures.all_generator_each = each(figures.all_generator);
    let busy = (machine::busy_seconds()? - before.2) / took;
    figures.all_others = (busy - figures.all_backend - figures.all_generator).max(0.0);
    until(ALL_LIMIT, || fleet.log.held_since(clock.now().saturating_sub(HELD)) == fleet.len()).await;
    Ok(())
}

/// Kills the backend in the midst of an order for all, and each agent that has a disk at its start; waits until everybody is back and has it.
async fn crash(figures: &mut Figures, backend: &mut Backend, organisation: &Organisation, fleet: &Fleet) -> Result<()> {
    let clock = fleet.log.clock;
    let order = organisation.order(BEFORE_CRASH, fleet.addressees.clone())?;
    let refused_before: usize = fleet.log.tally().not_now.values().sum();
    let id = order_id(BEFORE_CRASH);
    fleet.log.kill_at(&id);
    backend.submit(&order).await?;
    until(ALL_LIMIT, || fleet.log.started(&id) * 4 >= fleet.len()).await;
    backend.kill().await?;
    let killed = clock.now();
    tokio::time::sleep(AWAY).await;
    backend.again().await?;
    let back = || fleet.log.held_since(clock.now().saturating_sub(HELD)) == fleet.len();
    until(BACK_LIMIT, || back() && fleet.log.started(&id) == fleet.len()).await;
    figures.back = clock.now().saturating_sub(killed + HELD);
    figures.back_lost = fleet.len() - fleet.log.started(&id);
    figures.back_missing = fleet.len().saturating_sub(seen_online(backend, fleet).await?);
    figures.not_now = fleet.log.tally().not_now.values().sum::<usize>() - refused_before;
    figures.unheard = unheard(backend, &id, fleet).await?;
    Ok(())
}

/// Of how many starts of the order the backend has not heard in the end.
async fn unheard(backend: &Backend, order: &OrderId, fleet: &Fleet) -> Result<usize> {
    let (clock, began) = (fleet.log.clock, fleet.log.clock.now());
    loop {
        let detail = backend.order(order).await?;
        if detail.deliveries.is_empty() {
            bail!("the backend knows nothing of the order");
        }
        let running = detail.order.states.get("running").copied().unwrap_or_default();
        let unheard = fleet.len().saturating_sub(running as usize);
        if unheard == 0 || clock.now() - began > HEARD_LIMIT {
            return Ok(unheard);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How many agents the backend shows as online in one of several looks: who is between two questions in one is not in the next.
async fn seen_online(backend: &Backend, fleet: &Fleet) -> Result<usize> {
    let (clock, began) = (fleet.log.clock, fleet.log.clock.now());
    let mut seen = backend.online().await?;
    while seen.len() < fleet.len() && clock.now() - began <= HEARD_LIMIT {
        tokio::time::sleep(LOOK_EVERY).await;
        seen.extend(backend.online().await?);
    }
    Ok(seen.len())
}

/// Looks until it is so, or the time is over; the figures say which.
async fn until(limit: Duration, so: impl Fn() -> bool) {
    let looking = async {
        while !so() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let _ = tokio::time::timeout(limit, looking).await;
}
