//! From a plan to one document: measure, diagnose, put together.

use crate::bundling::user_names;
use crate::confinement;
use crate::follow_up::{self, Told};
use crate::format::Format;
use crate::interruption::Interruption;
use crate::redaction::{Printed, Stream};
use crate::runner::{self, Journal, Means, Progress, Ran};
use crate::stop::Stop;
use crate::terminal;
use netsonde_contract::document::{Asked, Document, Run, SCHEMA};
use netsonde_contract::environment::Environment;
use netsonde_contract::history::History;
use netsonde_contract::id::{CaseId, CheckId, RunId, TicketId};
use netsonde_contract::observation::Observation;
use netsonde_contract::outcome::Outcome;
use netsonde_contract::policy::Reach;
use netsonde_contract::set::Plan;
use netsonde_contract::target::Target;
use netsonde_probes::capture::{Capture, Captured};
use netsonde_probes::clock::Clock;
use netsonde_probes::context::ProxyChoice;
use netsonde_probes::gate::{Gate, Limits};
use netsonde_probes::names::Names;
use netsonde_probes::origins::Origins;
use netsonde_probes::{Context, Recorder, Trust};
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How to measure, beside the plan.
pub(crate) struct Settings {
    pub(crate) trust: Arc<Trust>,
    pub(crate) proxy: ProxyChoice,
    /// Whose addresses are.
    pub(crate) origins: Origins,
    pub(crate) format: Format,
    /// What is taken out of observations that are printed as they come.
    pub(crate) printed: Printed,
    pub(crate) case: Option<CaseId>,
    pub(crate) ticket: Option<TicketId>,
    /// Capture the run's own packets.
    pub(crate) capture: bool,
    /// What the run was asked beside its set and targets, for whoever repeats it.
    pub(crate) asked: Option<Asked>,
    /// Ask further where what was planned leaves several causes possible.
    pub(crate) follow_up: bool,
    pub(crate) bounds: Bounds,
    /// Gets every outcome as it comes, in place of the terminal.
    pub(crate) watcher: Option<UnboundedSender<Outcome>>,
}

/// How much a run may send, and where to.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) limits: Limits,
    /// None for a person at the keyboard, who may measure what they like.
    pub(crate) reach: Option<Reach>,
    /// Checks under way at the same time.
    pub(crate) at_once: usize,
}

impl Bounds {
    /// For a person at the keyboard.
    pub(crate) const PERSON: Self = Self { limits: Limits::PERSON, reach: None, at_once: runner::MAX_AT_ONCE };

    /// For a plan, whose own bytes may be fewer.
    fn gate(&self, plan: &Plan, clock: Clock) -> Gate {
        let limits = Limits { bytes: plan.bytes.map_or(self.limits.bytes, |bytes| bytes.min(self.limits.bytes)), ..self.limits };
        match &self.reach {
            Some(reach) => Gate::within(reach.clone(), limits, clock),
            None => Gate::new(limits, clock),
        }
    }
}

/// A finished run: what a person sees of it, before anything is taken out.
pub(crate) struct Measured {
    pub(crate) document: Document,
    pub(crate) journal: Journal,
    pub(crate) clock: Clock,
    /// What was captured, where that was asked for and possible.
    pub(crate) capture: Option<Captured>,
    /// What is taken out of what is printed of it.
    pub(crate) printed: Printed,
    /// What was measured before, where the run belongs to a schedule or a watch.
    pub(crate) history: Option<History>,
}

/// Measures the plan and diagnoses what was seen. It always comes to a document: an interruption or a fault in a check is part of it.
///
/// # Errors
/// Where the system gives no random bytes for the run's id, or an observation cannot be printed.
pub(crate) async fn measure(plan: &Plan, settings: &Settings, interruption: &Interruption) -> Result<Measured, Stop> {
    let clock = Clock::start();
    let began = Began::now(clock)?;
    let mut journal = Journal::default();
    journal.note(clock.now_us(), "run_began");

    let (watcher, printer) = match settings.format {
        Format::Jsonl => {
            let (watcher, observations) = unbounded_channel();
            let targets = plan.targets.clone();
            let lines = print_lines(observations, settings.printed.clone(), targets, began.environment.hostname.clone());
            (Some(watcher), Some(tokio::spawn(lines)))
        }
        _ => (None, None),
    };
    let means = Means {
        context: context(plan, settings, clock),
        measure: runner::with_probes,
        watcher,
        at_once: settings.bounds.at_once,
    };
    means.context.names.learn_translators(&means.context.gate).await;
    let capture = settings.capture.then(|| begin_capture(&means.context.gate, &mut journal, &clock)).flatten();
    let mut told = Told {
        progress: settings.watcher.is_none().then(|| Progress::of(plan)),
        journal: &mut journal,
        outcomes: settings.watcher.as_ref(),
    };
    let mut ran = runner::run(plan, &means, interruption.came(), &mut |event| told.event(&event)).await;
    if settings.follow_up {
        follow_up::ask(plan, &means, &began.environment, || interruption.came(), &mut ran, &mut told).await;
    }
    told.progress.into_iter().for_each(Progress::clear);
    let capture = match capture {
        Some(capture) => end_capture(capture, &mut journal, &clock).await,
        None => None,
    };
    for outcome in &mut ran.outcomes {
        if let Some(observation) = netsonde_probes::closing_reading(clock, outcome).await {
            if let Some(watcher) = &means.watcher {
                // A printer that went away misses nothing that is not also kept here.
                let _ = watcher.send(observation.clone());
            }
            outcome.observations.push(observation);
        }
    }
    confinement::tell_hidden(&mut ran.outcomes);
    // The printer ends once the last recorder is gone with the means.
    drop(means);
    if let Some(printer) = printer {
        finish_printing(printer).await?;
    }

    Ok(conclude(plan, settings, began, ran, journal, capture))
}

/// What a run knows of itself at its beginning.
pub(crate) struct Began {
    clock: Clock,
    environment: Environment,
    id: RunId,
}

impl Began {
    /// # Errors
    /// Where the system gives no random bytes for the run's id.
    pub(crate) fn now(clock: Clock) -> Result<Self, Stop> {
        let environment = Environment {
            confinement: confinement::reached(),
            ..netsonde_probes::environment(env!("CARGO_PKG_VERSION"), &clock)
        };
        let id = run_id(environment.began)?;
        Ok(Self { clock, environment, id })
    }
}

/// What the run's checks share: one gate above all.
pub(crate) fn context(plan: &Plan, settings: &Settings, clock: Clock) -> Context {
    Context {
        gate: Arc::new(settings.bounds.gate(plan, clock)),
        clock,
        names: Arc::new(Names::with_origins(settings.origins.clone())),
        trust: Arc::clone(&settings.trust),
        proxy: settings.proxy.clone(),
        recorder: Recorder::new(CheckId::new("run")),
        max_segment_bytes: None,
    }
}

/// Diagnoses what was seen and puts the document together.
pub(crate) fn conclude(
    plan: &Plan,
    settings: &Settings,
    began: Began,
    ran: Ran,
    mut journal: Journal,
    capture: Option<Captured>,
) -> Measured {
    let Began { clock, environment, id } = began;
    let diagnosis = netsonde_diagnosis::diagnose(&ran.outcomes, &environment);
    journal.note(clock.now_us(), if ran.interrupted { "run_interrupted" } else { "run_ended" });
    let run = Run {
        id,
        set: plan.set.clone(),
        targets: plan.targets.clone(),
        case: settings.case.clone(),
        ticket: settings.ticket.clone(),
        began: environment.began,
        took_us: clock.now_us(),
        interrupted: ran.interrupted,
        limits_hit: ran.limits_hit,
        asked: settings.asked.clone().map(Box::new),
    };
    let document = Document {
        schema: SCHEMA.to_owned(),
        run,
        environment,
        state: diagnosis.state,
        bundle: None,
        findings: diagnosis.findings,
        unexplained: diagnosis.unexplained,
        not_measured: diagnosis.not_measured,
        control: None,
        outcomes: ran.outcomes,
    };
    Measured { document, journal, clock, capture, printed: settings.printed.clone(), history: None }
}

/// A capture that cannot be made is said, and costs the run nothing else.
fn begin_capture(gate: &Arc<Gate>, journal: &mut Journal, clock: &Clock) -> Option<Capture> {
    match Capture::begin(gate) {
        Ok(capture) => {
            journal.note(clock.now_us(), "capture_began");
            Some(capture)
        }
        Err(reason) => {
            journal.note(clock.now_us(), "capture_not_possible");
            let grant = reason.0.grant.as_ref().map_or_else(String::new, |grant| format!(" ({grant})"));
            terminal::say(&format!("netsonde: measuring without a capture: {}{grant}", reason.0.why));
            None
        }
    }
}

async fn end_capture(capture: Capture, journal: &mut Journal, clock: &Clock) -> Option<Captured> {
    let captured = tokio::task::spawn_blocking(|| capture.finish()).await.ok()?;
    journal.note(clock.now_us(), "capture_ended");
    let lost = if captured.lost > 0 { format!("; {} more could not be kept", captured.lost) } else { String::new() };
    terminal::say(&format!("Captured the headers of {} packets of this run{lost}.", captured.packets));
    Some(captured)
}

/// Prints observations as they come, one JSON object a line, each as the document at the end holds it.
async fn print_lines(
    mut observations: UnboundedReceiver<Observation>,
    printed: Printed,
    targets: Vec<Target>,
    hostname: String,
) -> Result<(), Stop> {
    let names = user_names();
    let mut stream = Stream::new(printed.redaction(), &targets, &hostname, &names);
    while let Some(observation) = observations.recv().await {
        if let Ok(line) = serde_json::to_string(&stream.observation(observation)) {
            terminal::output(&(line + "\n"))?;
        }
    }
    Ok(())
}

/// Waits for the printer, but not for a check that was aborted and, hanging in a system call, still holds its recorder.
async fn finish_printing(printer: tokio::task::JoinHandle<Result<(), Stop>>) -> Result<(), Stop> {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);
    match tokio::time::timeout(PATIENCE, printer).await {
        Ok(Ok(printed)) => printed,
        _ => Ok(()),
    }
}

/// A UUID of version 7 (RFC 9562 section 5.7): sorted by time, unique by chance.
fn run_id(began: jiff::Timestamp) -> Result<RunId, Stop> {
    let milliseconds = u64::try_from(began.as_millisecond()).unwrap_or_default();
    let random = crate::state::random::<10>()?;
    Ok(RunId::new(uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid().to_string()))
}
