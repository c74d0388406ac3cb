//! `probe icmp --live` and `probe traceroute --live`: round after round on the terminal until a key ends it, then the report of all.
//!
//! [`view`] takes in observations and holds the figures, [`words`] says what they mean, [`frame`] draws both; none of them reads a
//! clock or sends. The driver here repeats the ordinary probe through one gate, whose budget holds for all rounds together.

/// Which figures fit into the window.
mod columns;
/// The view on a terminal's cells.
mod frame;
/// All rounds as one measurement.
mod joined;
/// The terminal, taken and given back.
mod screen;
/// Requests and replies in figures.
mod track;
/// What is known so far.
mod view;
/// What it means.
mod words;

pub(crate) use screen::check;

use crate::interruption::Interruption;
use crate::measurement::{self, Measured, Settings};
use crate::runner::Journal;
use crate::stop::Stop;
use crate::terminal;
use joined::Rounds;
use netsonde_contract::id::ObservationId;
use netsonde_contract::kind::{Kind, Params};
use netsonde_contract::observation::Observation;
use netsonde_contract::outcome::{Note, Outcome, Status};
use netsonde_contract::set::{Plan, PlannedCheck};
use netsonde_probes::clock::Clock;
use netsonde_probes::{Context, Ending, NotMeasurable, Recorder};
use screen::{Input, Screen};
use serde_json::{Map, Value};
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use view::View;

/// Milliseconds between the beginnings of two rounds: below a tenth of a second routers limit their answers, beyond a minute nobody watches.
pub(crate) const PACE_MS: RangeInclusive<i64> = 100..=60_000;
/// Once a second, as mtr and ping do.
pub(crate) const DEFAULT_PACE: Duration = Duration::from_secs(1);
/// The seconds in the title go on while nothing else happens.
const TICK: Duration = Duration::from_secs(1);
/// Names of hops are asked for in every so many-th round: they hardly change, and every question is traffic.
const NAMES_EVERY: u32 = 10;
/// How long a round that is cut off may take to let go.
const LETTING_GO: Duration = Duration::from_secs(1);

/// Makes the parameters those of a round, where they were not given: a single request to each distance, so that the view moves at the pace.
pub(crate) fn for_rounds(kind: Kind, parameters: &mut Map<String, Value>) {
    let defaults: &[(&str, u32)] = match kind {
        Kind::Icmp => &[("count", 1)],
        // UDP takes more than a second for each probe along a path.
        Kind::Traceroute => &[("rounds", 1), ("path_probes", 2)],
        _ => &[],
    };
    for (name, value) in defaults {
        parameters.entry(*name).or_insert_with(|| Value::from(*value));
    }
}

/// Measures round after round and shows them until a person or the system ends it, or `longest` is over.
///
/// # Errors
/// Where the terminal cannot be drawn on, and as for any run.
pub(crate) async fn measure(
    plan: &Plan,
    settings: &Settings,
    pace: Duration,
    longest: Option<Duration>,
) -> Result<Measured, Stop> {
    let Some(check) = plan.checks.first() else { return Err(Stop::usage("there is nothing to measure").next("name a host")) };
    let clock = Clock::start();
    let began = measurement::Began::now(clock)?;
    let (sender, observations) = unbounded_channel();
    let context = measurement::context(plan, settings, clock);
    let mut live = Live {
        view: View::new(check.params.kind(), &host(check), has_paths(&check.params), clock.now()),
        context,
        check,
        pace,
        sender,
        observations,
        rounds: Rounds::default(),
        tally: Tally::default(),
    };
    let interrupted = live.watch(longest).await?;
    if live.rounds.dropped > 0 {
        terminal::say(&format!("netsonde: the report leaves out the first {} rounds of this view.", live.rounds.dropped));
    }
    let limits_hit = live.context.gate.limits_hit();
    let ran = crate::runner::Ran { outcomes: vec![live.outcome()], interrupted, limits_hit };
    let mut journal = Journal::default();
    journal.note(0, "run_began");
    Ok(measurement::conclude(plan, settings, began, ran, journal, None))
}

struct Live<'a> {
    view: View,
    context: Context,
    check: &'a PlannedCheck,
    pace: Duration,
    sender: UnboundedSender<Observation>,
    observations: UnboundedReceiver<Observation>,
    rounds: Rounds,
    tally: Tally,
}

/// How the rounds ended.
#[derive(Debug, Default)]
struct Tally {
    as_expected: u32,
    failed: u32,
    not_measurable: Option<Note>,
}

struct Round {
    task: JoinHandle<Option<Result<Ending, NotMeasurable>>>,
    recorder: Recorder,
}

impl Live<'_> {
    /// Whether a signal ended it.
    async fn watch(&mut self, longest: Option<Duration>) -> Result<bool, Stop> {
        let mut screen = Screen::open()?;
        let interruption = Interruption::listen_and(screen::restore);
        let clock = self.context.clock;
        let mut round: Option<Round> = None;
        let mut next = clock.now();
        let interrupted = loop {
            let now = clock.now();
            if longest.is_some_and(|longest| now >= longest) {
                break false;
            }
            if round.is_none() && now >= next && !self.view.paused && self.may_go_on() {
                round = Some(self.begin());
                next = now + self.pace;
            }
            screen.draw(|frame| frame::draw(frame, &self.view, now))?;
            let mut wait = TICK;
            if round.is_none() && !self.view.paused && self.view.halted.is_none() {
                wait = wait.min(next.saturating_sub(now));
            }
            tokio::select! {
                biased;
                () = interruption.came() => break true,
                input = screen.input() => match input {
                    Some(Input::Key(key)) => if !self.view.press(key, clock.now()) { break false },
                    Some(Input::Resized) => {}
                    // The terminal went away.
                    None => break true,
                },
                Some(observation) = self.observations.recv() => self.take_in(observation),
                ended = ended(&mut round) => if !self.end(ended) { break false },
                () = tokio::time::sleep(wait) => {}
            }
        };
        self.cut_off(round).await;
        Ok(interrupted)
    }

    /// Once the budget is used up the view stays, so that its figures can still be read.
    fn may_go_on(&mut self) -> bool {
        if self.view.halted.is_none() {
            self.view.halted = self.context.gate.limits_hit().into_iter().next();
        }
        self.view.halted.is_none()
    }

    fn begin(&self) -> Round {
        let mut recorder = Recorder::new(self.check.id.clone()).watched_by(self.sender.clone()).in_parts();
        if !self.view.awaits_word() {
            recorder = recorder.without_lingering();
        }
        let context = Context { recorder: recorder.clone(), ..self.context.clone() };
        let mut params = self.check.params.clone();
        if let Params::Traceroute(params) = &mut params {
            params.hop_names &= self.view.rounds.is_multiple_of(NAMES_EVERY);
        }
        let deadline = self.check.deadline;
        let own = recorder.clone();
        let task = tokio::spawn(async move {
            let mut measuring = Box::pin(netsonde_probes::run(&context, &params));
            let ended = tokio::time::timeout(deadline, measuring.as_mut()).await.ok();
            if ended.is_none() {
                own.time_is_over();
            }
            ended
        });
        Round { task, recorder }
    }

    fn take_in(&mut self, observation: Observation) {
        self.view.observe(&observation.fact);
        // A round's observations come together: they are drawn together.
        while let Ok(observation) = self.observations.try_recv() {
            self.view.observe(&observation.fact);
        }
    }

    /// Takes in a round that is over. Whether another one makes sense.
    fn end(&mut self, (round, ended): Ended) -> bool {
        while let Ok(observation) = self.observations.try_recv() {
            self.view.observe(&observation.fact);
        }
        self.view.round_ended();
        let mut go_on = true;
        match ended {
            Ok(Some(Ok(Ending::AsExpected))) => self.tally.as_expected = self.tally.as_expected.saturating_add(1),
            Ok(Some(Ok(Ending::Failed)) | None) => self.tally.failed = self.tally.failed.saturating_add(1),
            Ok(Some(Err(NotMeasurable(note)))) => {
                // What cannot be measured at first cannot be measured later either; a name that stops resolving may come back.
                go_on = self.tally.as_expected > 0;
                self.tally.not_measurable = Some(note);
            }
            Err(fault) => {
                go_on = false;
                let why = format!("a fault in netsonde itself stopped this check ({fault})");
                self.tally.not_measurable = Some(Note { why, grant: None });
            }
        }
        let observations = round.recorder.observations();
        if !observations.is_empty() {
            self.rounds.add(observations);
        }
        go_on
    }

    /// A round in its midst has requests that were not given their time: it counts only where there is no other.
    async fn cut_off(&mut self, round: Option<Round>) {
        let Some(mut round) = round else { return };
        round.task.abort();
        let _ = tokio::time::timeout(LETTING_GO, &mut round.task).await;
        let observations = round.recorder.observations();
        if self.rounds.is_empty() && !observations.is_empty() {
            self.rounds.add(observations);
        }
    }

    /// All rounds as the outcome of the one check.
    fn outcome(self) -> Outcome {
        let Self { check, rounds, tally, context, .. } = self;
        let numbered = rounds.joined().into_iter().enumerate();
        let observation = |(place, (at_us, fact))| Observation {
            id: ObservationId::of(&check.id, place + 1),
            check: check.id.clone(),
            at_us,
            fact,
        };
        let ended_early = || Note { why: "it was ended before the first round was done".to_owned(), grant: None };
        let (status, note) = match (tally.as_expected, tally.failed, tally.not_measurable) {
            (1.., _, _) => (Status::Succeeded, None),
            (0, 1.., _) => (Status::Failed, None),
            (0, 0, Some(note)) => (Status::NotMeasured, Some(note)),
            (0, 0, None) => (Status::NotMeasured, Some(ended_early())),
        };
        Outcome {
            check: check.id.clone(),
            kind: check.params.kind(),
            required: check.required,
            target: check.target.clone(),
            parameters: check.params.to_value(),
            status,
            note,
            began_us: 0,
            took_us: context.clock.now_us(),
            separates: Vec::new(),
            observations: numbered.map(observation).collect(),
        }
    }
}

type Ended = (Round, Result<Option<Result<Ending, NotMeasurable>>, tokio::task::JoinError>);

/// Waits for the round under way, if one is; it is taken out.
async fn ended(round: &mut Option<Round>) -> Ended {
    let Some(under_way) = round.as_mut() else { return std::future::pending().await };
    let ended = (&mut under_way.task).await;
    match round.take() {
        Some(round) => (round, ended),
        None => std::future::pending().await,
    }
}

fn host(check: &PlannedCheck) -> String {
    match &check.params {
        Params::Icmp(params) => params.host.clone(),
        Params::Traceroute(params) => params.host.clone(),
        _ => String::new(),
    }
}

fn has_paths(params: &Params) -> bool {
    matches!(params, Params::Traceroute(params) if params.multipath)
}

#[cfg(test)]
mod tests;
