use super::answering::Answering;
use crate::audit::Audit;
use crate::bundling::{self, Agreement, Obeyed, Signer, user_names};
use crate::format::Format;
use crate::interruption::Interruption;
use crate::keeping;
use crate::measurement::{Bounds, Measured, Settings, measure};
use crate::redaction::{Printed, Redaction, Stream};
use crate::spool::{Entry, NotKept};
use crate::state::StateDirectory;
use crate::stop::Stop;
use netsonde_contract::agent_config::UploadWhen;
use netsonde_contract::api::fleet::Progress;
use netsonde_contract::bundle::Consent;
use netsonde_contract::id::OrderId;
use netsonde_contract::order::{Order, RefusalCode, Serve};
use netsonde_contract::outcome::Outcome;
use netsonde_contract::policy::Policy;
use netsonde_contract::redaction::Level;
use netsonde_contract::set::Plan;
use netsonde_probes::clock::Clock;
use netsonde_probes::context::ProxyChoice;
use netsonde_probes::origins::Origins;
use netsonde_probes::{ReflectorKey, Trust};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// Beyond the plan's own time, for packing and for system calls that let go late. A run that is not done then is given up.
const GRACE: Duration = Duration::from_secs(60);
/// A run that was cancelled lets go within a second; one that does not is given up.
const LETTING_GO: Duration = Duration::from_millis(1_500);
/// Threads that measure: checks wait much and compute little.
const THREADS: usize = 2;
/// An outcome that is longer as JSON is told without its observations: the bundle has them.
const MAX_OUTCOME_BYTES: usize = 64 << 10;
/// Outcomes of one report take no more than this as JSON: a backend reads 256 KiB of a request of an agent's.
const MAX_REPORT_BYTES: usize = 192 << 10;

/// What is to be run.
pub(super) struct Assignment {
    pub(super) order: Order,
    /// As it was signed.
    pub(super) envelope: Vec<u8>,
    pub(super) plan: Plan,
    pub(super) policy: Policy,
    pub(super) bounds: Bounds,
    pub(super) state: PathBuf,
    pub(super) server_time: Option<jiff::Timestamp>,
    /// Where this machine answers the order's other agents.
    pub(super) answering: Option<Answering>,
}

/// What a run tells.
pub(super) enum RunEvent {
    /// Redacted as the bundle is.
    Outcome(Box<Outcome>),
    /// What was answered to the order's other agents, in a sentence.
    Answered(String),
    Packed(Box<Entry>),
    Cancelled,
    /// In one sentence.
    Failed(String),
}

/// Who ended a run before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    Support,
    /// `netsonde pause`, which stops everything that was ordered.
    Pause,
    /// `netsonde orders refuse` or `stop`, in the words of whoever said so.
    Machine(String),
    /// The customer changed what may run, to these words.
    Policy(String),
    /// `netsonde identity forget`.
    Forgotten,
    /// Support took the agent off their list.
    Revoked,
}

impl EndedBy {
    /// For the engineer: a stable code, and one sentence.
    pub(super) fn in_words(&self) -> (&'static str, &str) {
        match self {
            Self::Support => ("cancelled", "support cancelled it while it ran"),
            Self::Pause => (RefusalCode::Paused.as_str(), "somebody at the machine ran `netsonde pause` while it ran"),
            Self::Machine(words) if words.is_empty() => (RefusalCode::Declined.as_str(), "somebody at the machine ended it"),
            Self::Machine(words) => (RefusalCode::Declined.as_str(), words),
            Self::Policy(words) => ("policy_changed", words),
            Self::Forgotten => ("forgotten", "somebody at the machine ended the enrolment while it ran"),
            Self::Revoked => ("agent_revoked", "support took this agent off their list while it ran"),
        }
    }
}

/// A run that goes on, in a thread and a runtime of its own: whatever hangs or panics there, the agent goes on.
pub(super) struct Running {
    pub(super) id: OrderId,
    pub(super) planned: u32,
    pub(super) done: u32,
    /// The backend was told how many checks there are.
    pub(super) is_announced: bool,
    /// Outcomes that the backend has not been told.
    pub(super) untold: Vec<Outcome>,
    /// Of the last progress report.
    sequence: u64,
    /// Why it is to end before its time, where it is: whatever it still comes to is nobody's any more.
    pub(super) ended_by: Option<EndedBy>,
    /// What it goes by; none is looked for anew where absent.
    pub(super) policy: Option<Policy>,
    cancel: CancellationToken,
    events: UnboundedReceiver<RunEvent>,
    deadline: Pin<Box<Sleep>>,
}

impl Running {
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn start(assignment: Assignment) -> std::io::Result<Self> {
        let (tell, events) = unbounded_channel();
        let cancel = CancellationToken::new();
        let id = assignment.order.id.clone();
        let planned = u32::try_from(assignment.plan.checks.len()).unwrap_or(u32::MAX);
        let deadline = Box::pin(tokio::time::sleep(longest(&assignment) + GRACE));
        let (token, policy) = (cancel.clone(), Some(assignment.policy.clone()));
        std::thread::Builder::new().name("order".to_owned()).spawn(move || work(&assignment, &token, &tell))?;
        Ok(Self {
            id,
            planned,
            done: 0,
            is_announced: false,
            untold: Vec::new(),
            sequence: 0,
            ended_by: None,
            policy,
            cancel,
            events,
            deadline,
        })
    }

    /// How far the run is, with the next outcomes that the backend was not told.
    pub(super) fn next_progress(&mut self) -> Progress {
        self.is_announced = true;
        self.sequence += 1;
        let (sequence, checks_planned, checks_done) = (self.sequence, self.planned, self.done);
        Progress { sequence, checks_planned, checks_done, outcomes: self.next_outcomes() }
    }

    /// The next outcomes to tell the backend; the rest comes with the report after.
    fn next_outcomes(&mut self) -> Vec<Outcome> {
        let mut bytes = 0;
        let fits = self.untold.iter().take_while(|outcome| {
            bytes += length(outcome);
            bytes <= MAX_REPORT_BYTES
        });
        let count = fits.count().max(1).min(self.untold.len());
        self.untold.drain(..count).collect()
    }

    /// Ends it for good: a bundle that it makes nevertheless is thrown away. Who says so first is the one whose words count.
    pub(super) fn end(&mut self, by: EndedBy) {
        if self.ended_by.is_none() {
            self.ended_by = Some(by);
            self.cancel();
        }
    }

    /// Has it let go. What it had already made stays.
    pub(super) fn cancel(&mut self) {
        self.cancel.cancel();
        self.deadline = Box::pin(tokio::time::sleep(LETTING_GO));
    }

    /// The next thing that the run tells. A run that tells nothing more, or not in time, has failed.
    pub(super) async fn next(&mut self) -> RunEvent {
        tokio::select! {
            biased;
            event = self.events.recv() => {
                event.unwrap_or_else(|| RunEvent::Failed("a fault in netsonde itself ended the run".to_owned()))
            }
            () = &mut self.deadline => {
                if self.cancel.is_cancelled() {
                    return RunEvent::Cancelled;
                }
                self.cancel.cancel();
                RunEvent::Failed("the run hung beyond its time and was given up".to_owned())
            }
        }
    }
}

#[cfg(test)]
impl Running {
    /// A run of which the test itself tells.
    pub(super) fn told_by(id: &OrderId) -> (Self, UnboundedSender<RunEvent>) {
        let (tell, events) = unbounded_channel();
        let deadline = Box::pin(tokio::time::sleep(GRACE));
        let (untold, cancel) = (Vec::new(), CancellationToken::new());
        (
            Self {
                id: id.clone(),
                planned: 1,
                done: 0,
                is_announced: false,
                untold,
                sequence: 0,
                ended_by: None,
                policy: None,
                cancel,
                events,
                deadline,
            },
            tell,
        )
    }
}

/// The plan's own time, and that of answering.
fn longest(assignment: &Assignment) -> Duration {
    let serve = assignment.order.serve.as_ref().filter(|_| assignment.answering.is_some());
    assignment.plan.budget + serve.map_or(Duration::ZERO, Serve::time)
}

fn work(assignment: &Assignment, cancel: &CancellationToken, tell: &UnboundedSender<RunEvent>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).thread_name("order").enable_all().build();
    let end = match runtime {
        Ok(runtime) => {
            let end = runtime.block_on(carry_out(assignment, cancel, tell));
            // A name lookup that hangs in the system holds nobody up.
            runtime.shutdown_background();
            end
        }
        Err(error) => Err(Stop::usage(format!("the system gives no threads or timers: {error}"))),
    };
    let made = end.as_ref().ok().and_then(|entry| entry.as_ref()).map(|entry| entry.bundle.clone());
    let told = tell.send(match end {
        Ok(Some(entry)) => RunEvent::Packed(Box::new(entry)),
        Ok(None) => RunEvent::Cancelled,
        Err(stop) => RunEvent::Failed(stop.message),
    });
    // An agent that has given the run up wants to hear nothing of it, and nobody would ever send or remove what it made.
    if let (Err(_), Some(bundle), Some(state)) = (told, made, StateDirectory::existing(Some(&assignment.state))) {
        let gone = state.lock().and_then(|_lock| state.spool().forget(&bundle));
        if let Err(error) = gone {
            tracing::warn!(%error, bundle = bundle.short(), "the bundle of a run that was given up stays in the spool");
        }
    }
}

/// None where the run was cancelled.
async fn carry_out(
    assignment: &Assignment,
    cancel: &CancellationToken,
    tell: &UnboundedSender<RunEvent>,
) -> Result<Option<Entry>, Stop> {
    let state = StateDirectory::open(Some(&assignment.state))?;
    let level = assignment.policy.redaction;
    let mapping = if level == Level::Strict { Some(state.mapping_key()?) } else { None };
    let redaction = match (&mapping, level) {
        (Some(key), _) => Redaction::Strict(key),
        (None, Level::None) => Redaction::None,
        (None, _) => Redaction::Default,
    };
    let names = user_names();
    let hostname = netsonde_probes::environment(env!("CARGO_PKG_VERSION"), &Clock::start()).hostname;
    let mut stream = Stream::new(redaction, &assignment.plan.targets, &hostname, &names);
    let (watcher, mut outcomes) = unbounded_channel();
    let key = assignment.order.serve.as_ref().and_then(|serve| ReflectorKey::new(serve.key.as_bytes()).ok());
    let settings = Settings {
        trust: Arc::new(Trust::default().with_reflector_key(key)),
        proxy: ProxyChoice::Environment,
        origins: Origins::default(),
        format: Format::Json,
        // Nothing is printed.
        printed: Printed::Whole,
        case: Some(assignment.order.case.clone()),
        ticket: None,
        capture: false,
        asked: None,
        // What runs is what was signed, and nothing beside it.
        follow_up: false,
        bounds: assignment.bounds.clone(),
        watcher: Some(watcher),
    };
    let interruption = Interruption::of(cancel.clone());
    let mut pass_on = |outcome| {
        let _ = tell.send(RunEvent::Outcome(Box::new(bounded(stream.outcome(outcome)))));
    };
    let measured = {
        let measuring = measure(&assignment.plan, &settings, &interruption);
        let mut both = std::pin::pin!(async { tokio::join!(measuring, answer(assignment, cancel, tell)).0 });
        loop {
            tokio::select! {
                measured = &mut both => break measured?,
                Some(outcome) = outcomes.recv() => pass_on(outcome),
            }
        }
    };
    while let Ok(outcome) = outcomes.try_recv() {
        pass_on(outcome);
    }
    if cancel.is_cancelled() {
        return Ok(None);
    }
    keep(assignment, &state, measured).map(Some)
}

async fn answer(assignment: &Assignment, cancel: &CancellationToken, tell: &UnboundedSender<RunEvent>) {
    if let Some(answering) = &assignment.answering {
        let _ = tell.send(RunEvent::Answered(answering.answer(cancel).await));
    }
}

fn length(outcome: &Outcome) -> usize {
    serde_json::to_vec(outcome).map_or(0, |bytes| bytes.len())
}

fn bounded(outcome: Outcome) -> Outcome {
    if length(&outcome) > MAX_OUTCOME_BYTES { Outcome { observations: Vec::new(), ..outcome } } else { outcome }
}

/// Packs and signs, and puts the bundle into the spool. Holds the state directory's lock from the bundle's number to its place there.
fn keep(assignment: &Assignment, state: &StateDirectory, measured: Measured) -> Result<Entry, Stop> {
    let disk = |error: std::io::Error| Stop::usage(format!("no bundle was made: writing to the state directory failed: {error}"));
    let now = measured.clock.wall();
    let order = &assignment.order;
    let locked = state.lock().map_err(disk)?;
    let spool = state.spool();
    let signer = Signer { key: state.signing_key()?, sequence: locked.next_number().map_err(disk)? };
    let agreement = Agreement {
        consent: Consent::Policy,
        ticket: None,
        level: assignment.policy.redaction,
        order: Some(Obeyed { id: &order.id, envelope: &assignment.envelope, policy: &assignment.policy }),
        because: None,
        audit_head: Audit::of(state).head().map_err(disk)?,
        server_time: assignment.server_time,
    };
    let (document, packed) = bundling::make(measured, &agreement, &signer, Some(state))?;
    let entry = Entry {
        case: Some(order.case.clone()),
        order: Some(order.id.clone()),
        upload: UploadWhen::Now,
        made: Some(now),
        ..Entry::of(&packed.id, keeping::file_name(&packed, &document), &packed.bytes)
    };
    let not_kept = |error: NotKept| Stop::usage(format!("no bundle was kept: {error}")).next(error.next_step());
    let kept = spool.keep(&entry, &packed.bytes, now).map_err(not_kept)?;
    for lost in kept.lost {
        tracing::warn!(bundle = lost.bundle.short(), maker = %lost.maker(), "a bundle was removed to make room for new ones");
    }
    locked.note_bundle(&packed.id).map_err(disk)?;
    Ok(entry)
}
