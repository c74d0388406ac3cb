//! The agent's orders: asks for them and carries out what the machine's policy allows.
//!
//! One loop holds all state: it waits for the backend, for the run that goes on, for reports and bundles on their way, and, while an order
//! waits for a person, for their answer. Small files are written by the loop itself, since each must be on the disk before the next step
//! is taken; measuring and packing happen in a thread of their own ([`running`]).

/// The part of an order in which this machine answers another.
mod answering;
/// What becomes of each order.
mod casework;
/// Whether this machine is still the agent that this process works as.
mod enrolment;
/// What was delivered, for a backend that lost it.
mod offering;
/// Orders as they come, and what is said to each at once.
mod receiving;
/// One run, apart from everything else.
mod running;
/// Reports, progress and bundles on their way.
mod sending;
/// Reports that the backend does not take.
mod telling;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use enrolment::end_orders_at_rest;

use crate::audit::{self, Audit, Entry};
use crate::clock::UpTime;
use crate::identity::{Accepted, Home, Identity, accept, check_in, current_epochs};
use crate::interruption::Interruption;
use crate::orders::{Answers, Book, Taken};
use crate::rounds::{Uplink, Word};
use crate::schedule::Reading;
use crate::spool::Queue;
use crate::state::{StateDirectory, chance, random};
use crate::stop::Stop;
use crate::terminal;
use crate::transport::{Asker, Client, Event, Fault, Machine, Next, Whereabouts, event_of};
use crate::{platform, policy_file};
use ed25519_dalek::SigningKey;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use netsonde_contract::api::fleet::{
    CheckIn, CheckedIn, DeliveryState, MAX_CANCELLED, MAX_DETAIL_CHARS, StateReport, TrustDocuments, Work,
};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::harmless::clean_up_to;
use netsonde_contract::id::OrderId;
use netsonde_contract::order::Epochs;
use netsonde_contract::trust::Anchor;
use netsonde_probes::clock::Clock;
use offering::Offering;
use receiving::Inbox;
use running::{RunEvent, Running};
use sending::{Offered, Sent, Told};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use telling::Untaken;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

/// How often it is looked what somebody at the machine says, by an answer or a pause, while an order waits or runs.
const ANSWERS_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked, while a request for work is held, whether support's lists still say the truth of policy, pause and version, and whether the
/// machine slept or stands in another network, so that nothing is waited for over a connection that leads nowhere. Each look wakes an agent that has
/// nothing else to do: 6 times a minute, for a few system calls.
const ABOUT_EVERY: Duration = Duration::from_secs(10);
/// What came before a sleep is read within this time, which is too short to wait for anything else.
const FOR_WHAT_CAME: Duration = Duration::from_millis(250);
/// How often it is looked whether a bundle may be sent, where none waits for a time of its own.
const BUNDLES_EVERY: Duration = Duration::from_secs(60);
/// After the last event: for what follows from it to be done.
const SETTLED: Duration = Duration::from_secs(2);
/// At the end: for what is on its way to be heard.
const LAST_WORDS: Duration = Duration::from_secs(3);

struct Daemon {
    state: StateDirectory,
    policy_path: PathBuf,
    identity: Identity,
    /// Signs bundles.
    key: SigningKey,
    client: Arc<Client>,
    clock: Clock,
    anchor: Option<Anchor>,
    epochs: Epochs,
    asker: Asker,
    book: Book,
    taken: Taken,
    audit: Audit,
    answers: Answers,
    pace: Machine,
    cursor: u64,
    /// Orders that came and were not looked at yet.
    inbox: Inbox,
    /// What the backend was last told of the agent.
    said: Option<CheckIn>,
    /// A request for work is held.
    is_held: bool,
    /// When it is next looked whether that is still so.
    next_about: Duration,
    /// It is looked: whatever is under way, but a rest that the backend wants.
    is_looking: bool,
    whereabouts: Whereabouts,
    /// The backend's clock when it last said so.
    server_time: Option<Timestamp>,
    running: Option<Running>,
    /// The order whose bundle is on its way, and what ends that.
    uploading: Option<(OrderId, CancellationToken)>,
    /// Bundles that wait to be sent.
    queue: Queue,
    /// Delivered bundles that the backend may have lost.
    offering: Offering,
    /// Whether what can wait may be sent now.
    uplink: Arc<Uplink>,
    /// Told where an order that is repeated came or went.
    reshelved: Arc<Notify>,
    /// How many checks the customer's own schedules have.
    file_checks: Arc<AtomicUsize>,
    /// Reports that no record stands for, such as those of replayed orders.
    notices: VecDeque<(OrderId, StateReport)>,
    /// Reports that the backend did not take.
    untaken: Untaken,
    /// What was last said of the backend, so that it is said once.
    complaint: Option<String>,
    /// It was said that something on the way answers for the backend where that is silent.
    is_interposed: bool,
    /// When it is next looked what somebody at the machine says.
    next_look: Duration,
    /// The enrolment that this daemon works for is no more.
    is_forgotten: bool,
}

/// Why a daemon works no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The agent is to stop.
    Interrupted,
    /// The enrolment was ended, or there is another one.
    Forgotten,
}

/// What the question that is under way came to.
enum Stepped {
    CheckedIn(Box<CheckIn>, Result<CheckedIn, Fault>),
    Work { held: Duration, answer: Box<Result<Work, Fault>> },
    Rested,
}

/// What is on its way to the backend.
#[derive(Default)]
struct Outbox {
    state: Option<BoxFuture<'static, (OrderId, StateReport, Told)>>,
    notice: Option<BoxFuture<'static, (OrderId, Told)>>,
    announcement: Option<BoxFuture<'static, ()>>,
    progress: Option<BoxFuture<'static, ()>>,
    bundle: Option<BoxFuture<'static, Sent>>,
    offer: Option<BoxFuture<'static, Offered>>,
}

/// What schedules and orders have to do with each other.
pub(crate) struct Scheduled {
    /// What the schedules tell, such as the bundles that they make.
    pub(crate) words: UnboundedReceiver<Word>,
    pub(crate) uplink: Arc<Uplink>,
    /// To be told where an order that is repeated came or went.
    pub(crate) reshelved: Arc<Notify>,
    /// How many checks the customer's own schedules have.
    pub(crate) file_checks: Arc<AtomicUsize>,
}

/// Works until it is interrupted, or the machine is enrolled with nobody any more, or with somebody else.
///
/// # Errors
/// Where the machine is not enrolled, or the state directory cannot be used.
pub(crate) async fn run(
    state: StateDirectory,
    policy_path: PathBuf,
    scheduled: &mut Scheduled,
    interruption: &Interruption,
) -> Result<Ended, Stop> {
    let mut daemon = Daemon::open(state, policy_path, scheduled)?;
    daemon.recover().map_err(|error| unusable(&daemon.state, &error))?;
    let mut outbox = Outbox::default();
    let mut step = daemon.step();
    let mut is_untidy = true;
    loop {
        daemon.look_at_machine();
        daemon.look_for_released();
        daemon.receive_some();
        daemon.start_next();
        daemon.fill(&mut outbox);
        if daemon.is_forgotten {
            drop(step);
            daemon.leave(&mut outbox).await;
            return Ok(Ended::Forgotten);
        }
        let (until_next_bundle, until_look) = (daemon.until_next_bundle(), daemon.until_look());
        let until_about = daemon.next_about.saturating_sub(daemon.clock.now());
        let until_begin = daemon.until_begin().filter(|_| daemon.running.is_none());
        tokio::select! {
            biased;
            () = interruption.came() => break,
            event = next_event(&mut daemon.running) => daemon.heard_of_run(event),
            stepped = &mut step => {
                daemon.stepped(stepped);
                step = daemon.step();
            }
            (order, report, told) = ended(&mut outbox.state) => daemon.reported(&order, &report, told),
            (order, told) = ended(&mut outbox.notice) => daemon.noticed(&order, told),
            () = ended(&mut outbox.announcement) => {}
            () = ended(&mut outbox.progress) => {}
            sent = ended(&mut outbox.bundle) => daemon.sent(sent),
            offered = ended(&mut outbox.offer) => daemon.offered(offered),
            Some(word) = scheduled.words.recv() => match word {
                Word::Bundle(entry) => daemon.queue.put(&entry),
                Word::Over(over) => daemon.repeated_no_more(over),
                Word::Weighed(weighed) => daemon.repeated_or_not(weighed),
            },
            () = tokio::time::sleep(until_next_bundle), if outbox.bundle.is_none() => {}
            () = tokio::time::sleep(until_look), if daemon.somebody_may_say() => {}
            () = tokio::time::sleep(until_begin.unwrap_or_default()), if until_begin.is_some() => {}
            () = tokio::time::sleep(until_about), if daemon.is_looking => {
                if daemon.has_left() {
                    // What came before counts, such as an order that expired meanwhile: nobody sends that again.
                    if let Ok(stepped) = tokio::time::timeout(FOR_WHAT_CAME, &mut step).await {
                        daemon.stepped(stepped);
                    }
                    daemon.begin_anew();
                } else if !daemon.has_news_of_itself() {
                    // What the look read of the program is not needed before the next one.
                    if !is_untidy {
                        platform::give_back();
                    }
                    continue;
                }
                // The request that is held ends here; whatever would have come is asked for by the next one.
                step = daemon.step();
            }
            () = tokio::task::yield_now(), if !daemon.inbox.is_empty() => {}
            () = tokio::time::sleep(SETTLED), if is_untidy => {
                // Mostly there is nothing to do now until the backend says something.
                platform::give_back();
                is_untidy = false;
                continue;
            }
        }
        is_untidy = true;
    }
    daemon.stop(&mut outbox).await;
    Ok(Ended::Interrupted)
}

fn unusable(state: &StateDirectory, error: &std::io::Error) -> Stop {
    Stop::disk(format!("the state directory {} cannot be used: {error}", state.path().display()), error)
}

impl Daemon {
    fn open(state: StateDirectory, policy_path: PathBuf, scheduled: &Scheduled) -> Result<Self, Stop> {
        let disk = |error: std::io::Error| unusable(&state, &error);
        let home = Home::of(&state);
        let clock = Clock::start();
        let enrolled = home.enrolled()?;
        let policy = policy_file::load(&policy_path).ok();
        let is_pinned = enrolled.tls_pin.is_some();
        let identity = enrolled.by_policy(policy.as_ref());
        // What commands tell the backend of the policy is then this one.
        home.save_policy_path(&policy_path).map_err(disk)?;
        let anchor = home.anchor()?;
        let epochs = current_epochs(&home, &UpTime::read())?;
        let damaged = |error: std::io::Error| {
            Stop::usage(format!(
                "nobody knows which orders were taken: {}/taken.json cannot be read: {error}",
                state.path().display()
            ))
            .next("restore it from a backup; or netsonde identity forget, and enrol anew")
        };
        let taken = Taken::open(&state).map_err(damaged)?;
        let (book, audit, answers) = (Book::open(&state).map_err(disk)?, Audit::of(&state), Answers::of(&state));
        if let Some(policy) = policy.filter(|policy| is_pinned && policy.accept_inspection) {
            let words = "what this machine trusts vouches for the backend's TLS, not the key that the enrolment names";
            terminal::warn(&format!("netsonde: warning: {words} (upload.accept_inspection)"));
            let key = "upload.accept_inspection";
            audit
                .append(Entry::new(clock.wall(), "inspection_accepted").decided(words).by_policy(key, policy.line(key)))
                .map_err(disk)?;
        }
        Ok(Self {
            key: state.signing_key()?,
            client: Arc::new(Client::new(&identity, clock)?),
            asker: Asker::new(hexadecimal(&random::<16>()?)),
            state,
            policy_path,
            identity,
            clock,
            anchor,
            epochs,
            book,
            taken,
            audit,
            answers,
            pace: Machine::new(),
            cursor: 0,
            inbox: Inbox::default(),
            said: None,
            is_held: false,
            next_about: Duration::ZERO,
            is_looking: false,
            whereabouts: Whereabouts::default(),
            server_time: None,
            running: None,
            uploading: None,
            queue: Queue::default(),
            offering: Offering::default(),
            uplink: Arc::clone(&scheduled.uplink),
            reshelved: Arc::clone(&scheduled.reshelved),
            file_checks: Arc::clone(&scheduled.file_checks),
            notices: VecDeque::new(),
            untaken: Untaken::default(),
            complaint: None,
            is_interposed: false,
            next_look: Duration::ZERO,
            is_forgotten: false,
        })
    }

    /// The next question to the backend, as the pace has it.
    fn step(&mut self) -> BoxFuture<'static, Stepped> {
        self.renew();
        self.look_on();
        let about = self.about();
        if self.is_news(&about) {
            self.pace.handle(Event::Changed, self.clock.now(), 0.0);
        }
        let client = Arc::clone(&self.client);
        let next = self.pace.next(self.clock.now());
        self.is_held = matches!(next, Next::Ask { .. });
        match next {
            Next::Rest(rest) => tokio::time::sleep(rest).map(|()| Stepped::Rested).boxed(),
            Next::CheckIn => async move {
                let answer = client.check_in(&about).await;
                Stepped::CheckedIn(Box::new(about), answer)
            }
            .boxed(),
            Next::Ask { wait } => {
                let (after, anchor, asker) = (self.cursor, self.anchor.clone(), self.asker.next());
                async move {
                    let (held, answer) = client.work(after, wait, anchor.as_ref(), &asker).await;
                    Stepped::Work { held, answer: Box::new(answer) }
                }
                .boxed()
            }
        }
    }

    /// What changes with time, or by somebody's hand while the agent works: the epoch, and the keys.
    fn renew(&mut self) {
        self.look_at_identity();
        if self.is_forgotten {
            return;
        }
        match current_epochs(&Home::of(&self.state), &UpTime::read()) {
            Ok(epochs) => self.epochs = epochs,
            Err(stop) => terminal::say_stop(&stop),
        }
        self.count_list();
    }

    /// Lets the list of keys grow older by the time that passed.
    fn count_list(&mut self) {
        let Some(anchor) = &mut self.anchor else { return };
        let counted = Home::of(&self.state).count_list(anchor, &Reading::now());
        self.warn(counted);
    }

    fn about(&self) -> CheckIn {
        let policy = policy_file::load(&self.policy_path).ok();
        check_in(&Home::of(&self.state), &self.epochs.current, policy.as_ref(), &self.asker.instance)
    }

    /// Whether the backend was told otherwise. Its link is its own.
    fn is_news(&self, about: &CheckIn) -> bool {
        let without = |about: &CheckIn| CheckIn { link: None, ..about.clone() };
        self.said.as_ref().is_some_and(|said| without(said) != without(about))
    }

    /// Looks whether the agent would say something else of itself now, while it could: a rest or a check-in that is under way goes first.
    fn has_news_of_itself(&self) -> bool {
        self.is_held && self.is_news(&self.about())
    }

    /// Before the next question: one that is asked after a sleep, or in another network, goes over no connection of before.
    fn look_on(&mut self) {
        if self.is_looking && self.has_left() {
            self.client.backend().begin_anew();
        }
        self.is_looking = !self.pace.is_unwanted();
        self.whereabouts.note(self.client.here());
        self.next_about = self.clock.now() + ABOUT_EVERY;
    }

    /// Looks whether the machine slept, or stands in another network, since the last look.
    fn has_left(&mut self) -> bool {
        self.next_about = self.clock.now() + ABOUT_EVERY;
        let Some(left) = self.whereabouts.look(self.client.here(), ABOUT_EVERY) else { return false };
        terminal::say(&format!("netsonde: {left}; the backend is asked anew"));
        true
    }

    /// Gives up what is under way to the backend, reports and bundles too, and asks anew over other connections.
    fn begin_anew(&mut self) {
        self.client.backend().begin_anew();
        self.pace.handle(Event::Left, self.clock.now(), chance());
    }

    fn stepped(&mut self, stepped: Stepped) {
        // What was asked for by an agent that is no more is nobody's: nothing of it is kept.
        self.look_at_identity();
        if self.is_forgotten {
            return;
        }
        let event = match stepped {
            Stepped::Rested => Event::Rested,
            Stepped::CheckedIn(about, Ok(answer)) => {
                self.heard();
                self.server_time = Some(answer.server_time);
                self.warn(Home::of(&self.state).save_link(&answer.link));
                self.said = Some(*about);
                Event::CheckedIn
            }
            Stepped::CheckedIn(_, Err(fault)) => self.not_heard(&fault, Duration::ZERO),
            Stepped::Work { held, answer } => match *answer {
                Ok(work) => {
                    self.heard();
                    self.server_time = Some(work.server_time);
                    self.take(work);
                    Event::Answered { held }
                }
                Err(fault) => self.not_heard(&fault, held),
            },
        };
        self.pace.handle(event, self.clock.now(), chance());
    }

    /// Says what there is to say of a request that failed after it was held for so long.
    fn not_heard(&mut self, fault: &Fault, held: Duration) -> Event {
        let event = event_of(fault, held);
        match (fault, event) {
            (_, Event::Shut) => {
                self.complain(&format!("the backend takes nothing from this agent: {fault}; next: {}", fault.next_step()));
                if fault.is_revocation() {
                    self.revoked();
                }
            }
            (Fault::Skewed, _) => {
                self.complain(&format!("{fault}; orders are refused while the clock stands before what was signed"));
            }
            (Fault::NotNow { .. }, _) => {}
            (Fault::Interposed { .. }, Event::Cut { held }) => {
                self.offering.unanswered();
                self.say_interposed(fault, held);
            }
            (_, Event::Cut { .. }) => self.offering.unanswered(),
            _ => {
                self.offering.unanswered();
                self.complain(&fault.to_string());
            }
        }
        event
    }

    /// What gives up waiting does so again and again, as a longer wait is tried now and then: it is said once.
    fn say_interposed(&mut self, fault: &Fault, held: Duration) {
        if !std::mem::replace(&mut self.is_interposed, true) {
            let seconds = held.as_secs();
            terminal::warn(&format!(
                "netsonde: {fault}, after {seconds} s; requests for work are held for less where it does so again"
            ));
        }
    }

    fn complain(&mut self, words: &str) {
        if self.complaint.as_deref() != Some(words) {
            terminal::warn(&format!("netsonde: {words}"));
            self.complaint = Some(words.to_owned());
        }
    }

    fn heard(&mut self) {
        self.offering.answered(self.clock.now(), chance());
        if self.complaint.take().is_some() {
            terminal::say("netsonde: the backend answers again");
        }
    }

    fn take(&mut self, work: Work) {
        self.warn(self.audit.write_counts(self.clock.wall(), self.clock.now()));
        if let Some(because) = &work.because {
            let because = clean_up_to(because, MAX_DETAIL_CHARS);
            terminal::say(&format!("netsonde: the backend ended a request for work: {because}"));
        }
        if let Some(documents) = &work.trust {
            self.take_trust(documents);
        }
        // Each costs writes, during which nothing else is heard of.
        for order in work.cancelled.iter().take(MAX_CANCELLED) {
            self.cancel(order);
        }
        self.inbox.put(work.orders);
        self.cursor = work.cursor;
    }

    /// Newer roots and lists of keys, as far as they are signed by whom this machine knows.
    fn take_trust(&mut self, documents: &TrustDocuments) {
        let Some(mut anchor) = self.anchor.take() else { return };
        let now = self.clock.wall();
        let Accepted { changed, refused } = accept(&mut anchor, documents);
        if changed {
            let (root, list) = anchor.versions();
            self.warn(Home::of(&self.state).save_anchor(&anchor));
            self.note(audit::Entry::new(now, "trust_changed").decided(&format!("root {root}, list of keys {list}")));
        }
        if let Some(error) = refused {
            self.note(audit::Entry::new(now, "trust_refused").decided(&format!("{}: {error}", error.code())));
        }
        self.anchor = Some(anchor);
        self.count_list();
    }

    /// Puts the next of each kind on its way.
    fn fill(&mut self, outbox: &mut Outbox) {
        let (now, client) = (self.clock.now(), Arc::clone(&self.client));
        if outbox.state.is_none()
            && let Some(record) = self.book.unreported(|order| !self.untaken.rests(order, now))
        {
            let (order, report, client) = (record.id.clone(), record.report(), Arc::clone(&client));
            let telling = async move {
                let told = sending::state(client, order.clone(), report.clone()).await;
                (order, report, told)
            };
            outbox.state = Some(telling.boxed());
        }
        if outbox.notice.is_none()
            && let Some((order, report)) = self.notices.iter().find(|(order, _)| !self.untaken.rests(order, now)).cloned()
        {
            outbox.notice = Some(async move { (order.clone(), sending::state(client, order, report).await) }.boxed());
        }
        // The backend hears that it runs before it hears how it goes on.
        let told = |id: &OrderId| self.book.get(id).is_some_and(|record| record.is_reported());
        // How many checks there are is told before the first of them ends, and holds up no outcome.
        if outbox.announcement.is_none()
            && let Some(run) = self.running.as_mut().filter(|run| !run.is_announced && run.untold.is_empty() && told(&run.id))
        {
            let progress = run.next_progress();
            outbox.announcement = Some(sending::progress(Arc::clone(&self.client), run.id.clone(), progress).boxed());
        }
        if outbox.progress.is_none()
            && let Some(run) = self.running.as_mut().filter(|run| !run.untold.is_empty() && told(&run.id))
        {
            let progress = run.next_progress();
            outbox.progress = Some(sending::progress(Arc::clone(&self.client), run.id.clone(), progress).boxed());
        }
        if outbox.bundle.is_none() {
            // What was never delivered goes before what the backend lost.
            let next = self.next_bundle().or_else(|| self.next_wanted());
            outbox.bundle = next.map(|dispatch| sending::bundle(dispatch).boxed());
        }
        if outbox.offer.is_none() && self.said.is_some() && self.offering.is_due(self.clock.now()) {
            outbox.offer = Some(self.offer());
        }
    }

    /// How long until a bundle is to be tried again.
    fn until_next_bundle(&self) -> Duration {
        let now = self.clock.wall();
        let wait = self.queue.wake(now, self.uplink.now()).map(|at| at.duration_since(now).unsigned_abs());
        // One that is due now and does not go has something in its way that time alone does not move.
        let offer = Some(self.offering.wait_from(self.clock.now()));
        let waits = [wait, offer].into_iter().flatten().filter(|wait| !wait.is_zero());
        waits.min().unwrap_or(BUNDLES_EVERY).min(BUNDLES_EVERY)
    }

    /// Ends the run that goes on, and lets what is on its way arrive.
    async fn stop(&mut self, outbox: &mut Outbox) {
        if let Some(run) = &mut self.running {
            run.cancel();
            let last = loop {
                match run.next().await {
                    RunEvent::Outcome(_) | RunEvent::Answered(_) => {}
                    last => break last,
                }
            };
            let (id, was_ended) = (run.id.clone(), run.ended_by.is_some());
            // What was packed in the last moment is sent when the agent is back.
            if was_ended || matches!(last, RunEvent::Packed(_)) {
                self.heard_of_run(last);
            } else {
                self.running = None;
                self.end(&id, DeliveryState::Failed, "agent_stopped", "the agent was stopped while it ran");
            }
        }
        self.warn(self.audit.write_all_counts(self.clock.wall()));
        outbox.bundle = None;
        let last = async {
            loop {
                self.fill(outbox);
                outbox.bundle = None;
                if outbox.state.is_none() {
                    return;
                }
                let (order, report, told) = ended(&mut outbox.state).await;
                self.reported(&order, &report, told);
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, last).await;
    }

    /// An entry that cannot be written is said; what depends on it asks for more than this.
    fn note(&self, entry: audit::Entry) {
        self.warn(self.audit.note(entry, self.clock.now()));
    }

    fn warn(&self, done: std::io::Result<()>) {
        if let Err(error) = done {
            terminal::say(&format!("netsonde: writing to {} failed: {error}", self.state.path().display()));
        }
    }
}

async fn next_event(running: &mut Option<Running>) -> RunEvent {
    match running {
        Some(run) => run.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for the end of what is on its way, if anything is.
pub(crate) async fn ended<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(future) => {
            let done = future.await;
            *slot = None;
            done
        }
        None => std::future::pending().await,
    }
}
