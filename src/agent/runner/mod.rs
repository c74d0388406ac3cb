//! Walks a plan: checks run concurrently under their own deadlines and the run's budget, and one fault never costs the others
//! their results.
//!
//! Each check is a task of its own. A deadline, the budget or an interruption aborts the task and keeps what it had recorded; a
//! panic is caught there and becomes "not measured". Which check comes when is decided by [`graph`], which is pure.

mod graph;
/// What happened when, for `journal.jsonl`.
mod journal;
/// A line a check on the terminal.
mod progress;
/// Checks that are measured several times.
mod sampling;

pub(crate) use journal::Journal;
pub(crate) use progress::Progress;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use graph::{Graph, Step};
use netsonde_contract::kind::Params;
use netsonde_contract::observation::Observation;
use netsonde_contract::outcome::{Note, Outcome, Status};
use netsonde_contract::set::{Plan, PlannedCheck};
use netsonde_probes::{Context, Ending, NotMeasurable, Recorder};
use sampling::Sampled;
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, JoinError, JoinHandle};

/// Checks under way at once. Enough that waiting for silence never adds up; few enough that checks do not disturb each other's timings.
pub(crate) const MAX_AT_ONCE: usize = 24;

/// What the runner tells while it runs.
pub(crate) enum Event<'a> {
    Began { check: &'a PlannedCheck, at_us: u64 },
    Ended(&'a Outcome),
}

/// Measures one check: [`netsonde_probes::run`], or a test's own.
pub(crate) type Measure = fn(Context, Params) -> BoxFuture<'static, Result<Ending, NotMeasurable>>;

/// Measures with the real probes.
pub(crate) fn with_probes(context: Context, params: Params) -> BoxFuture<'static, Result<Ending, NotMeasurable>> {
    Box::pin(async move { netsonde_probes::run(&context, &params).await })
}

/// What a run needs beside its plan.
pub(crate) struct Means {
    /// Every check gets a copy with a recorder of its own.
    pub(crate) context: Context,
    pub(crate) measure: Measure,
    /// Gets every observation as it is recorded.
    pub(crate) watcher: Option<UnboundedSender<Observation>>,
    /// Checks under way at the same time, at most [`MAX_AT_ONCE`].
    pub(crate) at_once: usize,
}

/// All outcomes, in the plan's order, and what cut the run short.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) interrupted: bool,
    pub(crate) limits_hit: Vec<String>,
}

#[derive(Clone, Copy)]
enum CutShort {
    Budget,
    Interruption,
}

/// How long a check that is cut off may take to drop what it holds: it does so at its next wait, which is at once unless a system
/// call blocks.
const LETTING_GO: Duration = Duration::from_secs(1);

struct UnderWay {
    recorder: Recorder,
    began_us: u64,
    abort: AbortHandle,
}

/// Runs the plan until it is done, its budget is used up, or `interrupted` comes.
pub(crate) async fn run(
    plan: &Plan,
    means: &Means,
    interrupted: impl Future<Output = ()>,
    tell: &mut dyn FnMut(Event<'_>),
) -> Ran {
    let clock = means.context.clock;
    let mut graph = Graph::new(&plan.checks);
    let mut outcomes: Vec<Option<Outcome>> = vec![None; plan.checks.len()];
    let mut under_way: HashMap<usize, UnderWay> = HashMap::new();
    let mut endings = FuturesUnordered::new();
    // Checks that have enough for those that need them. One that never says so waits here until the run is over.
    let mut enough = FuturesUnordered::new();
    let mut budget = pin!(tokio::time::sleep(plan.budget));
    let mut interrupted = pin!(interrupted);
    let mut cut_short = None;

    loop {
        for step in graph.steps(means.at_once.min(MAX_AT_ONCE).saturating_sub(under_way.len())) {
            match step {
                Step::Begin(place) => {
                    let check = &plan.checks[place];
                    let began_us = clock.now_us();
                    let recorder = recorder_of(check, means);
                    let task = tokio::spawn(sampling::measure(check, means, &recorder));
                    under_way.insert(place, UnderWay { recorder: recorder.clone(), began_us, abort: task.abort_handle() });
                    let deadline = sampling::longest(check);
                    let own = recorder.clone();
                    endings.push(async move { (place, within(deadline, task, &own).await) });
                    enough.push(async move {
                        recorder.enough().await;
                        place
                    });
                    tell(Event::Began { check, at_us: began_us });
                }
                Step::Skip(place, note) => {
                    let outcome = without_measurement(&plan.checks[place], Status::Skipped, note, clock.now_us());
                    tell(Event::Ended(&outcome));
                    outcomes[place] = Some(outcome);
                }
            }
        }
        let (place, ending) = tokio::select! {
            biased;
            () = &mut interrupted => { cut_short = Some(CutShort::Interruption); break }
            Some(place) = enough.next() => { graph.has_enough(place); continue }
            ended = endings.next() => match ended { Some(ended) => ended, None => break },
            () = &mut budget => { cut_short = Some(CutShort::Budget); break }
        };
        if let Some(check_under_way) = under_way.remove(&place) {
            let (status, note) = judge(ending, sampling::longest(&plan.checks[place]));
            graph.finished(place, status);
            let outcome = outcome(&plan.checks[place], status, note, &check_under_way, clock.now_us());
            tell(Event::Ended(&outcome));
            outcomes[place] = Some(outcome);
        }
    }

    let mut limits_hit = means.context.gate.limits_hit();
    if let Some(cut) = cut_short {
        if matches!(cut, CutShort::Budget) {
            limits_hit.push(format!("the run's time budget of {}", seconds(plan.budget)));
        }
        for check_under_way in under_way.values() {
            if matches!(cut, CutShort::Budget) {
                check_under_way.recorder.time_is_over();
            }
            check_under_way.abort.abort();
        }
        let all_gone = async { while endings.next().await.is_some() {} };
        // One that does not let go in time costs only what it had not recorded yet.
        let _ = tokio::time::timeout(LETTING_GO, all_gone).await;
        for (place, check_under_way) in under_way.drain() {
            let (status, note) = cut_off(cut, plan.budget);
            outcomes[place] = Some(outcome(&plan.checks[place], status, Some(note), &check_under_way, clock.now_us()));
        }
        for place in graph.left() {
            let note = never_began(cut, plan.budget);
            outcomes[place] = Some(without_measurement(&plan.checks[place], Status::NotMeasured, note, clock.now_us()));
        }
    }
    let interrupted = matches!(cut_short, Some(CutShort::Interruption));
    Ran { outcomes: outcomes.into_iter().flatten().collect(), interrupted, limits_hit }
}

/// What became of the task; none where its deadline came first. The task is gone when this returns: probes record what they have
/// seen half of when they are dropped.
async fn within(deadline: Duration, mut task: JoinHandle<Sampled>, recorder: &Recorder) -> Option<Result<Sampled, JoinError>> {
    if let Ok(joined) = tokio::time::timeout(deadline, &mut task).await {
        return Some(joined);
    }
    recorder.time_is_over();
    task.abort();
    let _ = tokio::time::timeout(LETTING_GO, &mut task).await;
    None
}

fn recorder_of(check: &PlannedCheck, means: &Means) -> Recorder {
    let recorder = Recorder::new(check.id.clone());
    match &means.watcher {
        Some(watcher) => recorder.watched_by(watcher.clone()),
        None => recorder,
    }
}

/// What a check's end means; none is its deadline.
fn judge(ending: Option<Result<Sampled, JoinError>>, deadline: Duration) -> (Status, Option<Note>) {
    match ending {
        Some(Ok(Sampled { ending: Ok(Ending::AsExpected), note })) => (Status::Succeeded, note),
        Some(Ok(Sampled { ending: Ok(Ending::Failed), note })) => (Status::Failed, note),
        Some(Ok(Sampled { ending: Err(NotMeasurable(note)), .. })) => (Status::NotMeasured, Some(note)),
        Some(Err(fault)) => (Status::NotMeasured, Some(fault_note(fault))),
        None => (Status::TimedOut, Some(note(format!("it was not done within its {}", seconds(deadline))))),
    }
}

/// A fault of the program itself, with the panic's own words where it has any.
fn fault_note(fault: JoinError) -> Note {
    let words = match fault.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no reason given".to_owned()),
        Err(fault) => fault.to_string(),
    };
    note(format!("a fault in netsonde itself stopped this check ({words}); the other checks are not affected"))
}

fn cut_off(cut: CutShort, budget: Duration) -> (Status, Note) {
    match cut {
        CutShort::Budget => (Status::TimedOut, note(format!("the run's {} were used up before it was done", seconds(budget)))),
        CutShort::Interruption => (Status::NotMeasured, note("the run was interrupted before it was done".to_owned())),
    }
}

fn never_began(cut: CutShort, budget: Duration) -> Note {
    match cut {
        CutShort::Budget => Note {
            why: format!("the run's {} were used up before it began", seconds(budget)),
            grant: Some("give the run more time with --budget".to_owned()),
        },
        CutShort::Interruption => note("the run was interrupted before it began".to_owned()),
    }
}

fn note(why: String) -> Note {
    Note { why, grant: None }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

fn outcome(check: &PlannedCheck, status: Status, note: Option<Note>, under_way: &UnderWay, now_us: u64) -> Outcome {
    Outcome {
        check: check.id.clone(),
        kind: check.params.kind(),
        required: check.required,
        target: check.target.clone(),
        parameters: check.params.to_value(),
        status,
        note,
        began_us: under_way.began_us,
        took_us: now_us.saturating_sub(under_way.began_us),
        separates: Vec::new(),
        observations: under_way.recorder.observations(),
    }
}

fn without_measurement(check: &PlannedCheck, status: Status, note: Note, at_us: u64) -> Outcome {
    Outcome {
        check: check.id.clone(),
        kind: check.params.kind(),
        required: check.required,
        target: check.target.clone(),
        parameters: check.params.to_value(),
        status,
        note: Some(note),
        began_us: at_us,
        took_us: 0,
        separates: Vec::new(),
        observations: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
