use super::owed::Owing;
use super::packing::{attach, pack};
use crate::format::Format;
use crate::history::samples;
use crate::interruption::Interruption;
use crate::measurement::{Bounds, Measured, Settings, measure};
use crate::recording::{Noted, record};
use crate::redaction::Printed;
use crate::spool::{Entry, Failure};
use crate::standing::Held;
use crate::state::StateDirectory;
use crate::stop::Stop;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use netsonde_contract::agent_config::{AgentConfig, Schedule};
use netsonde_contract::api::health::NumberedChange;
use netsonde_contract::document::Document;
use netsonde_contract::history::{Changed, Health, Sample, Series};
use netsonde_contract::set::Plan;
use netsonde_probes::Trust;
use netsonde_probes::context::ProxyChoice;
use netsonde_probes::origins::Origins;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Beyond the plan's own time, for what is done with a run and for system calls that let go late.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// What is to be run.
pub(super) struct Job {
    pub(super) schedule: Schedule,
    /// The file as it was when the job was made: what is recorded goes by its thresholds.
    pub(super) config: Arc<AgentConfig>,
    pub(super) plan: Plan,
    pub(super) purpose: Purpose,
    pub(super) state: PathBuf,
    pub(super) policy: PathBuf,
    /// A run that is not done then is given up.
    pub(super) longest: Duration,
    pub(super) bounds: Bounds,
    /// The order that asks for it; none where the customer's own file does.
    pub(super) held: Option<Arc<Held>>,
}

/// Why it runs, and what is done with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Purpose {
    /// Its time has come: it goes into the history. Where it makes a target failing and no deep set is named, it is packed itself, unless a bundle of
    /// that target, which is then one of these, was made a moment ago.
    Slot { packed_lately: Vec<Option<String>> },
    /// A target became failing: it is packed, and goes into no history, whose measurements are all alike.
    Deep(Fault),
}

/// A target that became failing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// As the history has it; none where the schedule measures this machine itself.
    pub(crate) target: Option<String>,
    /// What the backend is told of it.
    pub(crate) changes: Vec<NumberedChange>,
    /// When it was noted, by this machine's clock.
    pub(crate) since: Timestamp,
}

impl Fault {
    /// What tells it from every other one of its schedule.
    pub(crate) fn failure(&self) -> Failure {
        Failure { target: self.target.clone(), since: self.since }
    }
}

/// What a run's thread does.
pub(super) type Work = fn(&Job, &CancellationToken) -> Told;

/// A run's end.
pub(super) struct Ended {
    pub(super) schedule: String,
    pub(super) was_slot: bool,
    pub(super) told: Told,
}

pub(super) enum Told {
    /// It is in the history; with what changed, and with the bundle where it was packed.
    Measured {
        noted: Vec<Noted>,
        samples: Vec<(Series, Sample)>,
        packed: Option<Packed>,
    },
    /// A deep run's bundle is in the spool.
    Deep(Packed),
    Cancelled,
    /// In one sentence.
    Failed(String),
}

/// A bundle in the spool.
pub(super) struct Packed {
    pub(super) entry: Box<Entry>,
    pub(super) target: Option<String>,
}

impl Job {
    pub(super) fn is_slot_of(&self, schedule: &str) -> bool {
        self.is_slot() && self.schedule.name == schedule
    }

    pub(super) fn is_slot(&self) -> bool {
        matches!(self.purpose, Purpose::Slot { .. })
    }
}

/// Begins a run in a thread and a runtime of its own. The future ends with the run, or when it is given up.
///
/// # Errors
/// Where the system gives no thread.
pub(super) fn start(
    job: Job,
    work: Work,
    cancel: CancellationToken,
) -> std::io::Result<(JoinHandle<()>, BoxFuture<'static, Ended>)> {
    let (tell, heard) = oneshot::channel();
    let (schedule, was_slot, longest) = (job.schedule.name.clone(), job.is_slot(), job.longest);
    let token = cancel.clone();
    let thread = std::thread::Builder::new().name("schedule".to_owned()).spawn(move || {
        // A loop that has given the run up, or has ended, wants to hear nothing of it.
        let _ = tell.send(work(&job, &token));
    })?;
    let ended = async move {
        let told = tokio::select! {
            biased;
            told = heard => told.unwrap_or_else(|_| Told::Failed("a fault in netsonde itself ended the run".to_owned())),
            () = tokio::time::sleep(longest) => {
                cancel.cancel();
                Told::Failed(format!("the run hung for {} s and was given up", longest.as_secs()))
            }
        };
        Ended { schedule, was_slot, told }
    };
    Ok((thread, ended.boxed()))
}

/// Measures, and does with it what the job is for.
pub(super) fn work(job: &Job, cancel: &CancellationToken) -> Told {
    let measured = match measured(&job.plan, &job.bounds, cancel) {
        Ok(measured) => measured,
        Err(stop) => return Told::Failed(stop.message),
    };
    // Half a run proves nothing, and one that was given up comes too late.
    if cancel.is_cancelled() || measured.document.run.interrupted {
        return Told::Cancelled;
    }
    match StateDirectory::open(Some(&job.state)).and_then(|state| keep(job, &state, measured)) {
        Ok(told) => told,
        Err(stop) => Told::Failed(stop.message),
    }
}

/// Does with what was measured what the job is for.
///
/// # Errors
/// Where the disk refuses.
pub(super) fn keep(job: &Job, state: &StateDirectory, measured: Measured) -> Result<Told, Stop> {
    let packed_lately = match &job.purpose {
        Purpose::Deep(fault) => return packed(job, state, measured, fault).map(Told::Deep),
        Purpose::Slot { packed_lately } => packed_lately,
    };
    let schedule = &job.schedule.name;
    let samples = samples(schedule, &measured.document);
    let mut to_pack = Vec::new();
    let owe = |noted: &[Noted]| {
        to_pack = faults(noted);
        to_pack.retain(|fault| !packed_lately.contains(&fault.target));
        Owing::of(state).add(schedule, &to_pack)
    };
    let noted = record(state, &job.config, (schedule, job.plan.budget), &measured.document, owe)
        .map_err(|error| Stop::usage(format!("what was measured is not in the history: {error}")))?;
    // Each further target that became failing is looked at by itself, so that its case has a bundle of its own.
    let packed = match to_pack.into_iter().next().filter(|_| job.schedule.deep.is_none()) {
        // The changes are told whether or not there is a bundle.
        Some(fault) => match packed(job, state, measured, &fault) {
            Ok(packed) => Some(packed),
            Err(stop) => {
                crate::terminal::say_stop(&stop);
                None
            }
        },
        None => None,
    };
    Ok(Told::Measured { noted, samples, packed })
}

fn packed(job: &Job, state: &StateDirectory, measured: Measured, fault: &Fault) -> Result<Packed, Stop> {
    let keep = || pack(job, state, measured, fault);
    let tell = |entry: &Entry| {
        let locked = state.lock()?;
        attach(state, &fault.changes, &entry.bundle).map(|()| locked)
    };
    let (entry, noted) = Owing::of(state).settle((&job.schedule.name, fault), keep, tell)?;
    if let Err(error) = noted {
        tracing::warn!(%error, "until the agent starts again, the backend is not told which bundle belongs to a change");
    }
    Ok(Packed { entry: Box::new(entry), target: fault.target.clone() })
}

/// The targets that became failing, each once. What only a supporting check saw, or falls into known maintenance, is none.
pub(super) fn faults(noted: &[Noted]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for Noted { change, numbered } in noted {
        let is_failing = matches!(change.what, Changed::Health { to: Health::Failing, .. });
        if !is_failing || !change.series.required || change.silenced {
            continue;
        }
        let place = match faults.iter().position(|fault| fault.target == change.series.target) {
            Some(place) => place,
            None => {
                faults.push(Fault { target: change.series.target.clone(), changes: Vec::new(), since: change.at });
                faults.len() - 1
            }
        };
        faults[place].changes.extend(numbered.clone());
    }
    faults
}

/// The same of several schedules.
pub(super) fn faults_by_schedule(noted: &[Noted]) -> Vec<(String, Vec<Fault>)> {
    let mut schedules: Vec<String> = noted.iter().map(|noted| noted.change.series.schedule.clone()).collect();
    schedules.sort_unstable();
    schedules.dedup();
    let of = |schedule: String| {
        let own: Vec<Noted> = noted.iter().filter(|noted| noted.change.series.schedule == schedule).cloned().collect();
        (schedule, faults(&own))
    };
    schedules.into_iter().map(of).collect()
}

/// Of which target, in words; nothing where a schedule measures this machine itself.
pub(super) fn of_target(target: Option<&str>) -> String {
    target.map_or_else(String::new, |target| format!(" of {target}"))
}

/// One run in a thread of its own, for whoever waits for its document. It ends with `cancel`.
///
/// # Errors
/// In one sentence, where there is no document.
pub(crate) async fn measure_apart(plan: Plan, cancel: CancellationToken) -> Result<Document, String> {
    let (tell, heard) = oneshot::channel();
    let longest = plan.budget + GRACE;
    let work = move || {
        let _ =
            tell.send(measured(&plan, &Bounds::PERSON, &cancel).map(|measured| measured.document).map_err(|stop| stop.message));
    };
    let thread = std::thread::Builder::new().name("probe".to_owned()).spawn(work);
    thread.map_err(|error| format!("the system gives no thread: {error}"))?;
    match tokio::time::timeout(longest, heard).await {
        Ok(told) => told.unwrap_or_else(|_| Err("a fault in netsonde itself ended the run".to_owned())),
        Err(_) => Err("the run hung and was given up".to_owned()),
    }
}

fn measured(plan: &Plan, bounds: &Bounds, cancel: &CancellationToken) -> Result<Measured, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::usage(format!("the system gives no timers: {error}")))?;
    // Nobody watches: the outcomes are read from the document, and no terminal is written to.
    let (watcher, _) = unbounded_channel();
    let settings = Settings { watcher: Some(watcher), format: Format::Json, bounds: bounds.clone(), ..settings() };
    let measured = runtime.block_on(measure(plan, &settings, &Interruption::of(cancel.clone())));
    // A name lookup that hangs in the system holds nobody up.
    runtime.shutdown_background();
    measured
}

/// How schedules measure: the customer's own file asks for it, as a person at the keyboard would.
pub(crate) fn settings() -> Settings {
    Settings {
        trust: Arc::new(Trust::default()),
        proxy: ProxyChoice::default(),
        origins: Origins::default(),
        format: Format::Human,
        // Nothing is printed.
        printed: Printed::Whole,
        case: None,
        ticket: None,
        capture: false,
        asked: None,
        // A schedule measures the same each time, or its history could not be compared.
        follow_up: false,
        bounds: Bounds::PERSON,
        watcher: None,
    }
}
