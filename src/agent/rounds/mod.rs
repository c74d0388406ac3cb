//! The agent's rounds: what `agent.toml` has it measure by itself, and what becomes of it.
//!
//! One loop holds all state and never measures: each run has a thread of its own ([`running`]), so that one that hangs or panics costs its own
//! schedule a run and nobody else anything. What a run found is on the disk before its thread ends; the loop decides what follows from it.

/// A run where no agent runs.
mod by_hand;
/// Bundles that are still to be made.
pub(crate) mod owed;
/// From a run to a bundle.
mod packing;
/// From a schedule to the plan of a run.
mod planning;
/// How the checks are, told to the backend.
mod reporting;
/// One run, apart from everything else.
pub(crate) mod running;
/// Orders that are repeated, among the customer's own schedules.
mod standing;
#[cfg(test)]
mod tests;
/// Whether what can wait may be sent.
mod uplink;

pub(crate) use by_hand::ByHand;
pub(crate) use planning::{plan, plan_once, set};
pub(crate) use running::{measure_apart, settings};
pub(crate) use standing::{signed, together, too_many};
pub(crate) use uplink::Uplink;

use crate::daemon::ended;
use crate::hangup::Hangup;
use crate::interruption::Interruption;
use crate::measurement::Bounds;
use crate::metrics::{Latest, MOST_PROBES, Source, export, serve};
use crate::recording::{self, Noted};
use crate::schedule::{Noticed, Persisted, Reading, Scheduler, save};
use crate::spool::{Entry, Link};
use crate::standing::{Held, Over, Weighed};
use crate::state::{StateDirectory, chance};
use crate::stop::Stop;
use crate::{agent_file, platform, schedule, terminal};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use netsonde_contract::agent_config::{AgentConfig, Otlp, Schedule, UploadWhen};
use netsonde_contract::api::health::MAX_CHECKS;
use netsonde_contract::id::{AgentId, OrderId};
use netsonde_contract::policy::Policy;
use netsonde_contract::set::Plan;
use netsonde_probes::clock::Clock;
use owed::{Owed, Owing};
use packing::note_made;
use planning::{plan_of, targets_at};
use reporting::{Reported, Reporter};
use running::{Ended, Fault, GRACE, Job, Packed, Purpose, Told, Work, faults, faults_by_schedule, of_target};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

/// Runs that go on at the same time. Each has a thread and up to eight checks; a machine that is measured from is there for something else.
const AT_ONCE: usize = 4;
/// Threads of runs, those included that hang in a system call and were given up. Beyond this nothing more is begun until one lets go.
const MOST_THREADS: usize = 12;
/// Between two looks for checks that nobody measures any more.
const BETWEEN_TICKS: Duration = Duration::from_secs(60);
/// Between two bundles of one target: one that flaps is told of each time, and packed not more often than this.
const BETWEEN_BUNDLES: Duration = Duration::from_secs(300);
/// How often it is looked whether a run that was ordered is to end, while there is one.
const ORDERED_EVERY: Duration = Duration::from_secs(1);
/// A run that was cancelled lets go within a second; one that does not is given up.
const LETTING_GO: Duration = Duration::from_millis(1_500);

/// What the agent reads; the customer writes both.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) config: PathBuf,
    pub(crate) policy: PathBuf,
}

/// What the rounds tell whoever talks to the backend.
pub(crate) enum Word {
    /// A bundle was made.
    Bundle(Box<Entry>),
    /// An order is repeated no more.
    Over(Over),
    /// Whether an order that is repeated may run now.
    Weighed(Weighed),
}

/// All schedules of one agent, and their runs.
pub(crate) struct Rounds {
    state: StateDirectory,
    files: Files,
    /// What the customer wrote.
    file: AgentConfig,
    /// Orders that are repeated, by their schedules' names.
    standing: BTreeMap<String, Arc<Held>>,
    /// Both together.
    config: Arc<AgentConfig>,
    /// Tells this agent's place in a splay from all others'.
    agent: String,
    scheduler: Scheduler,
    clock: Clock,
    /// What is to run as soon as there is room.
    waiting: VecDeque<Job>,
    under_way: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// Names of the schedules whose slots run.
    busy: Vec<String>,
    /// The runs that an order asks for, by schedule and whether it is a slot's.
    ordered: BTreeMap<(String, bool), Ordered>,
    threads: Vec<JoinHandle<()>>,
    work: Work,
    cancel: CancellationToken,
    next_tick: Duration,
    /// Until when no further bundle is made of each schedule's targets.
    packed: BTreeMap<(String, Option<String>), Duration>,
    /// Tells whoever talks to the backend.
    words: UnboundedSender<Word>,
    /// An order that is repeated came or went.
    pub(crate) reshelved: Arc<Notify>,
    pub(crate) uplink: Arc<Uplink>,
    /// How many checks the file's schedules have.
    pub(crate) file_checks: Arc<AtomicUsize>,
    /// The machine was enrolled while the agent runs.
    pub(crate) enrolled: Arc<Notify>,
    /// What the metrics are made of.
    source: Arc<Source>,
    /// Where they are served.
    serving: Option<(SocketAddr, CancellationToken)>,
    /// Where they are sent.
    exporting: Option<(Otlp, CancellationToken)>,
    /// What was last said of each schedule, so that it is said once.
    complaints: BTreeMap<String, String>,
    /// Where the machine is enrolled.
    reporter: Option<Reporter>,
}

/// A run that an order asks for.
struct Ordered {
    order: OrderId,
    /// The one that it goes by.
    policy: Policy,
    /// Ends it.
    cancel: CancellationToken,
}

/// What is on its way to the backend.
#[derive(Default)]
struct Outbox {
    report: Option<BoxFuture<'static, Reported>>,
}

impl Rounds {
    /// # Errors
    /// Where `agent.toml` is there and something in it is wrong, or the state directory cannot be used.
    pub(crate) fn open(state: StateDirectory, files: Files, words: UnboundedSender<Word>) -> Result<Self, Stop> {
        let agent = AgentId::of(&state.signing_key()?.verifying_key()).as_str().to_owned();
        let kept = schedule::load(&state).map_err(|error| unusable(&state, &error))?;
        let config = agent_file::load_if_there(&files.config)?.unwrap_or_default();
        Self::over_file(state, files, words, agent, config, kept)
    }

    fn over_file(
        state: StateDirectory,
        files: Files,
        words: UnboundedSender<Word>,
        agent: String,
        config: AgentConfig,
        kept: Option<Persisted>,
    ) -> Result<Self, Stop> {
        let file_checks = Arc::new(AtomicUsize::new(check(&files.config, &config)?));
        // Slots of signed schedules are counted on from the start; whether they still run is looked at before the first.
        let standing = signed(&state);
        let scheduler = Scheduler::new(&together(&config, &standing), &agent, kept, &Reading::now())?;
        let clock = Clock::start();
        let file = config.clone();
        let config = Arc::new(together(&config, &standing));
        let source = Source {
            config: RwLock::new(Arc::clone(&config)),
            config_path: files.config.clone(),
            state: state.path().to_owned(),
            latest: Latest::default(),
            probes: Semaphore::new(MOST_PROBES),
        };
        let reporter = Reporter::open(&state, &files.policy, clock)?;
        Ok(Self {
            state,
            files,
            file,
            standing,
            config,
            agent,
            scheduler,
            clock,
            waiting: VecDeque::new(),
            under_way: FuturesUnordered::new(),
            busy: Vec::new(),
            ordered: BTreeMap::new(),
            threads: Vec::new(),
            work: running::work,
            cancel: CancellationToken::new(),
            next_tick: Duration::ZERO,
            packed: BTreeMap::new(),
            words,
            reshelved: Arc::default(),
            uplink: Arc::default(),
            file_checks,
            enrolled: Arc::default(),
            source: Arc::new(source),
            serving: None,
            exporting: None,
            complaints: BTreeMap::new(),
            reporter,
        })
    }

    /// There is something to do.
    pub(crate) fn has_work(&self) -> bool {
        agent_file::has_work(&self.config)
    }

    /// In a few words, for the first line that the agent says.
    pub(crate) fn describe(&self) -> String {
        let names: Vec<&str> = self.config.schedules.iter().map(|schedule| schedule.name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    /// Works until it is interrupted.
    pub(crate) async fn run(mut self, interruption: &Interruption) {
        let mut hangup = Hangup::listen();
        let mut outbox = Outbox::default();
        let (enrolled, reshelved) = (Arc::clone(&self.enrolled), Arc::clone(&self.reshelved));
        self.serve();
        self.export();
        self.look_at_shelf();
        self.take_up_owed();
        loop {
            let wait = self.take_due();
            self.begin();
            let wait = wait.min(self.look_at_ordered());
            let wait = wait.min(self.fill(&mut outbox));
            tokio::select! {
                biased;
                () = interruption.came() => break,
                () = hangup.came() => self.reload(),
                () = enrolled.notified() => self.enrol(),
                () = reshelved.notified() => self.look_at_shelf(),
                Some(ended) = self.under_way.next(), if !self.under_way.is_empty() => self.ended(ended),
                reported = ended(&mut outbox.report) => self.reported(reported),
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.stop().await;
    }

    /// From here on the backend is told.
    fn enrol(&mut self) {
        match Reporter::open(&self.state, &self.files.policy, self.clock) {
            Ok(reporter) => self.reporter = reporter,
            Err(stop) => terminal::say_stop(&stop),
        }
    }

    /// Puts the next of each kind on its way, and tells how long nothing more is.
    fn fill(&mut self, outbox: &mut Outbox) -> Duration {
        let Some(reporter) = &mut self.reporter else { return Duration::MAX };
        if outbox.report.is_some() {
            return Duration::MAX;
        }
        outbox.report = reporter.next(&self.state, &self.config, &self.files.policy);
        if outbox.report.is_some() { Duration::MAX } else { reporter.rest() }
    }

    fn reported(&mut self, reported: Reported) {
        if let Some(reporter) = &mut self.reporter {
            reporter.reported(&self.state, reported, chance());
        }
    }

    /// Takes the slots that are due, and tells how long nothing is. What cannot be noted as taken does not run.
    fn take_due(&mut self) -> Duration {
        self.tick();
        let now = Reading::now();
        let (busy, waiting) = (&self.busy, &self.waiting);
        let polled = self
            .scheduler
            .poll(&now, |name| busy.iter().any(|busy| busy == name) || waiting.iter().any(|job| job.is_slot_of(name)));
        for noticed in &polled.noticed {
            match noticed {
                Noticed::ClockSet(by) => terminal::say(&format!("netsonde: since the last look the clock was set by {by:#}")),
                noticed => tracing::info!(?noticed, "the clocks were read"),
            }
        }
        if polled.due.is_empty() {
            return polled.wait;
        }
        let kept = self.state.lock_soon().and_then(|_lock| save(&self.state, &self.scheduler.persisted()));
        if let Err(error) = kept {
            self.complain("", &unusable(&self.state, &error).message);
            polled.due.iter().for_each(|(name, _)| self.source.latest.failed(name));
            return polled.wait;
        }
        if polled.due.iter().any(|(name, _)| self.standing.contains_key(name)) {
            self.look_at_shelf();
        }
        for (name, slot) in polled.due {
            tracing::debug!(schedule = name, slot.missed, late = ?slot.late, "a slot is due");
            let Some(schedule) = self.config.schedule(&name).cloned() else { continue };
            let held = self.standing.get(&name).map(Arc::clone);
            let planned = match &held {
                Some(held) => held.plan(),
                None => plan(&self.files.config, &schedule, &schedule.set),
            };
            match planned {
                Ok(plan) => {
                    let packed_lately = self.packed_lately(&name);
                    let job = self.job(&schedule, plan, Purpose::Slot { packed_lately });
                    self.waiting.push_back(Job { held, ..job });
                }
                Err(stop) => self.not_made(&name, &stop.message),
            }
        }
        polled.wait
    }

    fn job(&self, schedule: &Schedule, plan: Plan, purpose: Purpose) -> Job {
        Job {
            schedule: schedule.clone(),
            config: Arc::clone(&self.config),
            longest: plan.budget + GRACE,
            plan,
            purpose,
            state: self.state.path().to_owned(),
            policy: self.files.policy.clone(),
            bounds: Bounds::PERSON,
            held: None,
        }
    }

    /// The targets of a schedule of which a bundle was made a moment ago.
    fn packed_lately(&self, schedule: &str) -> Vec<Option<String>> {
        let now = self.clock.now();
        let packed = self.packed.iter().filter(|((name, _), until)| name == schedule && now < **until);
        packed.map(|((_, target), _)| target.clone()).collect()
    }

    /// Begins what waits, as far as there is room.
    fn begin(&mut self) {
        self.threads.retain(|thread| !thread.is_finished());
        while self.under_way.len() < AT_ONCE && !self.waiting.is_empty() {
            if self.threads.len() >= MOST_THREADS {
                let words = format!("{MOST_THREADS} runs hang in the system; nothing is measured until one of them lets go");
                return self.complain("", &words);
            }
            let Some(mut job) = self.waiting.pop_front() else { return };
            let (name, is_slot, cancel) = (job.schedule.name.clone(), job.is_slot(), self.cancel.child_token());
            let mut ordered = None;
            if let Some(held) = job.held.clone() {
                // Now, and not when it was put among those that wait: the policy may be another one since.
                match self.weighed(&held, &job.plan) {
                    Ok(Some((bounds, policy))) => {
                        job.bounds = bounds;
                        ordered = Some(Ordered { order: held.order.id.clone(), policy, cancel: cancel.clone() });
                    }
                    Ok(None) => continue,
                    Err(stop) => {
                        self.not_made(&name, &stop.message);
                        continue;
                    }
                }
            }
            match running::start(job, self.work, cancel) {
                Ok((thread, ended)) => {
                    self.ordered.extend(ordered.map(|ordered| ((name.clone(), is_slot), ordered)));
                    self.threads.push(thread);
                    self.under_way.push(ended);
                    self.busy.extend(is_slot.then_some(name));
                }
                Err(error) => self.not_made(&name, &format!("the system gives no thread: {error}")),
            }
        }
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { schedule, was_slot, told } = ended;
        if was_slot {
            self.busy.retain(|busy| *busy != schedule);
        }
        self.ordered.remove(&(schedule.clone(), was_slot));
        match told {
            Told::Measured { noted, samples, packed } => {
                self.source.latest.measured(&schedule, samples);
                if self.complaints.remove(&schedule).is_some() {
                    terminal::say(&format!("{schedule}: it is measured again"));
                }
                self.changed(&noted);
                let mut left = faults(&noted);
                if let Some(packed) = packed {
                    left.retain(|fault| fault.target != packed.target);
                    self.packed(&schedule, packed);
                }
                left.into_iter().for_each(|fault| self.look_deep(&schedule, fault));
            }
            Told::Deep(packed) => self.packed(&schedule, packed),
            Told::Cancelled => {}
            Told::Failed(why) => self.not_made(&schedule, &why),
        }
        if self.under_way.is_empty() {
            platform::give_back();
        }
    }

    /// Looks at a target that became failing, before all else that waits. Where there is nothing to look with, or a bundle of it was made a moment ago,
    /// none is owed.
    fn look_deep(&mut self, schedule: &str, fault: Fault) {
        if self.packed_lately(schedule).contains(&fault.target) || !self.put_deep(schedule, &fault) {
            self.waive(schedule, &fault);
        }
    }

    /// Puts the deep set, or the schedule's own where it names none, before all else for one target; whether there is one to put.
    fn put_deep(&mut self, schedule: &str, fault: &Fault) -> bool {
        let Some(schedule) = self.config.schedule(schedule).cloned() else { return false };
        if let Some(held) = self.standing.get(&schedule.name).map(Arc::clone) {
            return self.look_deep_for(&held, fault);
        }
        let targets = targets_at(&self.files.config, &schedule, fault.target.as_deref());
        let deep = schedule.deep.as_deref().unwrap_or(&schedule.set);
        match plan_of(&self.files.config, &schedule, deep, &targets) {
            Ok(plan) => {
                self.packed.insert((schedule.name.clone(), fault.target.clone()), self.clock.now() + BETWEEN_BUNDLES);
                self.waiting.push_front(self.job(&schedule, plan, Purpose::Deep(fault.clone())));
                true
            }
            Err(stop) => {
                self.complain(&schedule.name, &stop.message);
                false
            }
        }
    }

    /// Takes up what an agent that was stopped, or killed, left: what is in the spool already is noted as made, and what it did not come to pack is looked
    /// at again. Of a target of which a bundle was made a moment ago there is no other one, as if the agent had not ended.
    fn take_up_owed(&mut self) {
        let (now, owing) = (self.clock.wall(), Owing::of(&self.state));
        let owed = owing.all();
        let is_wanted = |entry: &Entry| rest(entry, now).is_some() || owed.iter().any(|owed| owed.is_in(entry));
        let kept = match self.state.spool().whole(is_wanted) {
            Ok(kept) => kept,
            // What is owed stays so: another bundle of a failure that has one would be worse than none of it until the disk is well.
            Err(error) => return self.complain("", &unusable(&self.state, &error).message),
        };
        for entry in &kept {
            if let (Some(schedule), Some(failure), Some(rest)) = (&entry.schedule, &entry.failure, rest(entry, now)) {
                self.packed.insert((schedule.clone(), failure.target.clone()), self.clock.now() + rest);
            }
        }
        let made = |owed: &Owed| kept.iter().find(|entry| owed.is_in(entry));
        for (owed, entry) in owed.iter().filter_map(|owed| Some((owed, made(owed)?))) {
            terminal::say(&format!(
                "{}: what was seen{} is in the bundle {}",
                owed.schedule,
                of_target(owed.fault.target.as_deref()),
                entry.bundle.short()
            ));
            let noted = self.state.lock_soon();
            let noted = noted.and_then(|_lock| note_made(&self.state, &owed.schedule, &owed.fault, &entry.bundle));
            if let Err(error) = noted {
                tracing::warn!(%error, "until the agent starts again, the backend is not told which bundle belongs to a change");
            }
        }
        // The bundle of one failure may have told of others.
        for owed in owing.all().into_iter().filter(|owed| made(owed).is_none()) {
            if owed.is_late(now) {
                self.waive(&owed.schedule, &owed.fault);
            } else {
                let of = of_target(owed.fault.target.as_deref());
                terminal::say(&format!("{}: the agent ended before its bundle{of} was made, and looks again", owed.schedule));
                self.look_deep(&owed.schedule, owed.fault);
            }
        }
    }

    /// There is to be no bundle of it.
    fn waive(&self, schedule: &str, fault: &Fault) {
        let waived = self.state.lock_soon().and_then(|_lock| Owing::of(&self.state).waive(schedule, fault));
        if let Err(error) = waived {
            tracing::warn!(%error, "what needs no bundle will be looked at again");
        }
    }

    fn packed(&mut self, schedule: &str, packed: Packed) {
        let Packed { entry, target } = packed;
        let of = of_target(target.as_deref());
        terminal::say(&format!("{schedule}: what was seen{of} is in the bundle {}", entry.bundle.short()));
        self.packed.insert((schedule.to_owned(), target), self.clock.now() + BETWEEN_BUNDLES);
        if let Some(reporter) = &mut self.reporter {
            reporter.hurry();
        }
        // Where nobody sends, the spool has it.
        let _ = self.words.send(Word::Bundle(entry));
    }

    /// What changed is said at once, here and to the backend.
    fn changed(&mut self, noted: &[Noted]) {
        if let Some(reporter) = self.reporter.as_mut().filter(|_| !noted.is_empty()) {
            reporter.hurry();
        }
        for Noted { change, .. } in noted.iter().filter(|noted| !noted.change.silenced) {
            terminal::say(&format!("{}: {}", change.series.schedule, change.sentence));
        }
    }

    /// Looks for checks that were not measured lately.
    fn tick(&mut self) {
        if self.clock.now() < self.next_tick {
            return;
        }
        self.next_tick = self.clock.now() + BETWEEN_TICKS;
        self.look_at_shelf();
        // A port that somebody else had may be free by now.
        self.serve();
        let now = self.clock.wall();
        let mut later = self.config.schedules.iter().filter(|schedule| schedule.upload == UploadWhen::Later);
        let quiet = self.scheduler.are_uploads_quiet(now) || later.any(|schedule| self.scheduler.is_quiet(&schedule.name, now));
        self.uplink.note(Link { quiet, metered: uplink::costs(self.config.upload.metered) });
        self.uplink.limit(self.config.upload.max_rate, self.clock);
        let owe = |noted: &[Noted]| {
            faults_by_schedule(noted).iter().try_for_each(|(schedule, faults)| Owing::of(&self.state).add(schedule, faults))
        };
        match recording::tick(&self.state, &self.config, now, owe) {
            Ok(noted) => {
                self.changed(&noted);
                for (schedule, faults) in faults_by_schedule(&noted) {
                    faults.into_iter().for_each(|fault| self.look_deep(&schedule, fault));
                }
            }
            Err(error) => self.complain("", &unusable(&self.state, &error).message),
        }
    }

    /// Reads `agent.toml` anew. A file that is wrong changes nothing.
    fn reload(&mut self) {
        let read = agent_file::load_if_there(&self.files.config).and_then(|config| {
            let config = config.unwrap_or_default();
            let checks = check(&self.files.config, &config)?;
            let both = together(&config, &self.standing);
            let scheduler = Scheduler::new(&both, &self.agent, Some(self.scheduler.persisted()), &Reading::now())?;
            Ok((config, both, scheduler, checks))
        });
        match read {
            Ok((config, both, scheduler, checks)) => {
                self.file_checks.store(checks, Ordering::Relaxed);
                (self.file, self.scheduler) = (config, scheduler);
                self.next_tick = Duration::ZERO;
                self.complaints.clear();
                self.put_in_force(both);
                self.serve();
                self.export();
                terminal::say(&format!(
                    "netsonde: {} was read anew; schedules: {}",
                    self.files.config.display(),
                    self.describe()
                ));
            }
            Err(stop) => {
                terminal::say_stop(&stop);
                terminal::say("netsonde: what was read before stays in force");
            }
        }
    }

    fn put_in_force(&mut self, config: AgentConfig) {
        self.config = Arc::new(config);
        self.waiting.retain(|job| self.config.schedule(&job.schedule.name).is_some());
        *self.source.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&self.config);
        self.source.latest.retain(|schedule| self.config.schedule(schedule).is_some());
    }

    /// Serves the metrics where the file has them, and nowhere else.
    fn serve(&mut self) {
        let wanted = self.config.metrics.as_ref().map(|metrics| metrics.listen);
        if self.serving.as_ref().map(|(at, _)| *at) == wanted {
            return;
        }
        if let Some((_, stop)) = self.serving.take() {
            stop.cancel();
        }
        let Some(listen) = wanted else { return };
        let stop = self.cancel.child_token();
        match serve(listen, Arc::clone(&self.source), stop.clone()) {
            Ok(at) => {
                terminal::say(&format!("netsonde: metrics at http://{at}/metrics"));
                self.serving = Some((listen, stop));
            }
            Err(error) => self.complain("", &format!("no metrics are served: {listen} cannot be had: {error}")),
        }
    }

    /// Sends the metrics where the file has it, and nowhere else.
    fn export(&mut self) {
        if self.exporting.as_ref().map(|(to, _)| to) == self.config.otlp.as_ref() {
            return;
        }
        if let Some((_, stop)) = self.exporting.take() {
            stop.cancel();
        }
        let Some(to) = self.config.otlp.clone() else { return };
        let stop = self.cancel.child_token();
        match export(to.clone(), Arc::clone(&self.source), stop.clone()) {
            Ok(()) => {
                terminal::say(&format!("netsonde: metrics go to {} every {} s", to.endpoint, to.every.as_secs()));
                self.exporting = Some((to, stop));
            }
            Err(why) => self.complain("", &format!("no metrics are exported: {why}")),
        }
    }

    /// Ends what goes on. A run that does not let go in time is left behind, with its thread.
    async fn stop(mut self) {
        self.cancel.cancel();
        // What was not begun, or was cut off, is due again when the agent is back.
        for job in self.waiting.iter().filter(|job| job.is_slot()) {
            self.scheduler.give_back(&job.schedule.name);
        }
        let all_gone = async {
            while let Some(ended) = self.under_way.next().await {
                if ended.was_slot && matches!(ended.told, Told::Cancelled) {
                    self.scheduler.give_back(&ended.schedule);
                }
            }
        };
        let _ = tokio::time::timeout(LETTING_GO, all_gone).await;
        let kept = self.state.lock_soon().and_then(|_lock| save(&self.state, &self.scheduler.persisted()));
        if let Err(error) = kept {
            terminal::say(&format!("netsonde: {}", unusable(&self.state, &error).message));
        }
    }

    /// A run of a schedule could not be made, or came to nothing.
    fn not_made(&mut self, schedule: &str, why: &str) {
        self.source.latest.failed(schedule);
        self.complain(schedule, why);
    }

    /// Says what is wrong with a schedule, or with all, once.
    fn complain(&mut self, schedule: &str, words: &str) {
        if self.complaints.get(schedule).map(String::as_str) != Some(words) {
            terminal::warn(&if schedule.is_empty() { format!("netsonde: {words}") } else { format!("{schedule}: {words}") });
            self.complaints.insert(schedule.to_owned(), words.to_owned());
        }
    }
}

/// For how long no other bundle is made of the same target; nothing of a bundle of no failure, or of one that was made longer ago.
fn rest(entry: &Entry, now: Timestamp) -> Option<Duration> {
    let age = now.duration_since(entry.made.filter(|_| entry.failure.is_some())?);
    // A clock that was set back a little makes a bundle of the future.
    let rest = BETWEEN_BUNDLES.saturating_sub(Duration::try_from(age).unwrap_or_default());
    (age.unsigned_abs() < BETWEEN_BUNDLES).then_some(rest)
}

/// Whether everything in the file is right: a set that is missing is better known now than when its slot comes. How many checks it has.
///
/// # Errors
/// Where a set cannot be read, its targets do not fit it, or there are more checks than the backend can be told of.
pub(crate) fn check(path: &Path, config: &AgentConfig) -> Result<usize, Stop> {
    let mut checks = 0;
    for schedule in &config.schedules {
        checks += plan(path, schedule, &schedule.set)?.checks.len();
        if checks > MAX_CHECKS {
            let place = format!("{}:{}", path.display(), schedule.line);
            return Err(Stop::usage(format!(
                "{place}: with the schedule `{}` there are {checks} checks, more than the {MAX_CHECKS} that one agent can tell of",
                schedule.name
            ))
            .next("name fewer targets, or measure some of them from another machine"));
        }
        if let Some(deep) = &schedule.deep {
            plan(path, schedule, deep)?;
        }
    }
    Ok(checks)
}

fn unusable(state: &StateDirectory, error: &std::io::Error) -> Stop {
    Stop::disk(format!("the schedules' state in {} cannot be used: {error}", state.path().display()), error)
        .next("run it as the user that the agent runs as, or name another place with --state-dir DIR")
}
