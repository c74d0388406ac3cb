use super::answering::{Answering, CODE};
use super::running::{Assignment, EndedBy, RunEvent, Running};
use super::sending::{Dispatch, Sent, Told};
use super::{ANSWERS_EVERY, Daemon};
use crate::audit::Entry as Note;
use crate::identity::Home;
use crate::orders::{Answer, Judgement, Record, Turn, bounds_for};
use crate::rounds::too_many;
use crate::spool::{Chance, Depth, Entry, Maker, Released, Stage};
use crate::standing::{End, Held, MAX_HELD, Over, Shelf, Shelved, Weighed, name_of};
use crate::state::chance;
use crate::{policy_file, terminal};
use ed25519_dalek::VerifyingKey;
use netsonde_contract::api::fleet::{DeliveryState, StateReport};
use netsonde_contract::id::OrderId;
use netsonde_contract::order::{Refusal, RefusalCode, Verified};
use netsonde_contract::policy::{Decision, Policy, Verdict};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether an order's moment has come, at least.
const LOOK_AT_MOMENT: Duration = Duration::from_secs(60);
/// The code of an agent's report that an order runs as a schedule.
const REPEATED: &str = "repeated";

impl Daemon {
    /// What an earlier process left: a run that was cut off has failed, a bundle that was packed is still to be sent.
    ///
    /// # Errors
    /// Where the spool cannot be looked at: what is in it then counts neither as there nor as gone.
    pub(super) fn recover(&mut self) -> std::io::Result<()> {
        let scan = self.state.lock_soon().map(|_lock| self.state.spool().scan(Depth::Bytes))?;
        scan.quarantined.iter().for_each(crate::keeping::say_damaged);
        let open = self.book.in_state(DeliveryState::Running);
        // What belongs to an order that is over waits for nobody.
        let is_awaited = |entry: &&Entry| entry.order.as_ref().is_none_or(|order| open.contains(order));
        scan.ready.iter().filter(is_awaited).for_each(|entry| self.queue.put(entry));
        let of = |entries: &[Entry], id: &OrderId| {
            entries.iter().find(|entry| entry.order.as_ref() == Some(id)).map(|entry| entry.bundle.clone())
        };
        for id in open {
            let Some(record) = self.book.get(&id).cloned() else { continue };
            if let Some(bundle) = of(&scan.ready, &id) {
                self.keep(Record { bundle: Some(bundle), ..record });
            } else if let Some(bundle) = of(&scan.sent, &id) {
                // The receipt came, and the end came before it was noted here.
                self.keep(Record { bundle: Some(bundle), ..record }.ended(DeliveryState::Uploaded, None));
            } else if !Shelf::of(&self.state).has(&id) {
                let why = "the agent ended while it ran; an order runs at most once";
                self.end(&id, DeliveryState::Failed, "agent_stopped", why);
            }
        }
        let pruned = self.state.lock_soon().map(|_lock| self.state.spool().prune(self.clock.wall()));
        self.warn(pruned.map(drop));
        Ok(())
    }

    pub(super) fn refuse(&mut self, record: Record, refusal: &Refusal, decision: Option<&Decision>) {
        self.note_refusal(&record.id, refusal, decision);
        terminal::say(&format!("netsonde: order {} refused ({})", record.id.short(), refusal.code));
        self.keep(record.refused(refusal));
    }

    pub(super) fn note_refusal(&self, id: &OrderId, refusal: &Refusal, decision: Option<&Decision>) {
        let note = Note::new(self.clock.wall(), "order_refused").of_order(id).decided(&format!("{}: {refusal}", refusal.code));
        self.note(match decision {
            Some(decision) => note.by_policy(decision.key, decision.line),
            None => note,
        });
    }

    pub(super) fn note_decision(&self, what: &str, id: &OrderId, words: &str, decision: &Decision) {
        self.note(Note::new(self.clock.wall(), what).of_order(id).decided(words).by_policy(decision.key, decision.line));
    }

    /// An order waits for somebody at the machine or for its moment, or runs, which they may end.
    pub(super) fn somebody_may_say(&self) -> bool {
        self.running.is_some() || self.uploading.is_some() || self.book.waiting() > 0
    }

    pub(super) fn until_look(&self) -> Duration {
        self.next_look.saturating_sub(self.clock.now())
    }

    /// Bundles that somebody at the machine wants sent.
    pub(super) fn look_for_released(&mut self) {
        match Released::take(&self.state) {
            Ok(released) => released.iter().for_each(|entry| self.queue.put(entry)),
            Err(error) => self.warn(Err(error)),
        }
    }

    /// What somebody at the machine said since the last look. It has a time of its own, so that a run that tells much does not put it off.
    pub(super) fn look_at_machine(&mut self) {
        if !self.somebody_may_say() || !self.until_look().is_zero() {
            return;
        }
        self.next_look = self.clock.now() + ANSWERS_EVERY;
        self.look_at_identity();
        self.look_for_end();
        self.look_for_answers();
    }

    /// Whether the order that runs is to end at once.
    fn look_for_end(&mut self) {
        let paused = Home::of(&self.state).is_paused();
        let Some(run) = self.running.as_mut().filter(|run| run.ended_by.is_none()) else { return };
        let said = self.answers.take(&run.id).filter(|answer| !answer.approved);
        let by = if paused { Some(EndedBy::Pause) } else { said.map(|answer| EndedBy::Machine(answer.words)) };
        let changed = || policy_file::changed_since(run.policy.as_ref()?, &self.policy_path);
        if let Some(by) = by.or_else(|| changed().map(|words| EndedBy::Policy(words.to_owned()))) {
            run.end(by);
        }
    }

    /// Orders that wait for a person: answered, or too late.
    fn look_for_answers(&mut self) {
        for id in self.book.in_state(DeliveryState::Asked) {
            let Some(record) = self.book.get(&id).cloned() else { continue };
            let late = record.about.as_ref().is_some_and(|about| about.expires <= self.clock.wall());
            match self.answers.take(&id) {
                Some(Answer { approved: true, .. }) if !late => {
                    self.note(Note::new(self.clock.wall(), "order_approved").of_order(&id));
                    self.keep(Record { approved: true, ..record }.accepted());
                }
                Some(Answer { approved: false, words }) => self.decline(record, words),
                _ if late => {
                    let code = RefusalCode::NotAnswered.as_str();
                    self.end(&id, DeliveryState::Expired, code, "nobody at the machine answered before the order expired");
                }
                _ => {}
            }
        }
        // What waits for its moment or for its turn needs no yes, and ends with a no.
        for id in self.book.in_state(DeliveryState::Accepted) {
            if let Some(Answer { approved: false, words }) = self.answers.take(&id)
                && let Some(record) = self.book.get(&id).cloned()
            {
                self.decline(record, words);
            }
        }
    }

    fn decline(&mut self, record: Record, words: String) {
        let words = if words.is_empty() { "somebody at the machine said no".to_owned() } else { words };
        self.refuse(record, &RefusalCode::Declined.because(words), None);
    }

    pub(super) fn cancel(&mut self, id: &OrderId) {
        self.inbox.remove(id);
        if let Some(run) = self.running.as_mut().filter(|run| run.id == *id) {
            run.end(EndedBy::Support);
        } else if Shelf::of(&self.state).has(id) {
            self.end(id, DeliveryState::Cancelled, "cancelled", "support ended the schedule");
            let gone = Shelf::of(&self.state).remove(id).map(drop);
            self.warn(gone);
            self.reshelved.notify_one();
        } else if self.book.get(id).is_some_and(Record::is_waiting) {
            self.end(id, DeliveryState::Cancelled, "cancelled", "support cancelled it before it ran");
        } else if let Some(bundle) =
            self.book.get(id).filter(|record| !record.state.is_final()).and_then(|one| one.bundle.clone())
        {
            if let Some((_, sending)) = self.uploading.take_if(|(sent, _)| sent == id) {
                sending.cancel();
            }
            self.end(id, DeliveryState::Cancelled, "cancelled", "support cancelled it before its bundle had arrived");
            self.queue.remove(&bundle);
            let gone = self.state.lock_soon().and_then(|_lock| self.state.spool().forget(&bundle));
            self.warn(gone);
        }
    }

    /// The order that has waited longest of those whose moment has come.
    fn next_due(&self) -> Option<Record> {
        let now = self.clock.wall();
        let due = |id: &OrderId| self.book.get(id).filter(|record| record.until_begin(now).is_zero());
        self.book.in_state(DeliveryState::Accepted).iter().find_map(due).cloned()
    }

    /// How long until the moment of the next order comes, where one waits for it. It is looked now and then, too, as clocks are set.
    pub(super) fn until_begin(&self) -> Option<Duration> {
        let now = self.clock.wall();
        let waits = self.book.in_state(DeliveryState::Accepted);
        let waits = waits.iter().filter_map(|id| self.book.get(id)).map(|record| record.until_begin(now));
        waits.filter(|wait| !wait.is_zero()).min().map(|wait| wait.min(LOOK_AT_MOMENT))
    }

    /// Begins the next order whose turn it is, if none runs.
    pub(super) fn start_next(&mut self) {
        while self.running.is_none() {
            let Some(record) = self.next_due() else { return };
            let id = record.id.clone();
            self.start(record);
            // One that could be neither kept nor begun must not be tried in a loop.
            if self.book.get(&id).is_some_and(|record| record.state == DeliveryState::Accepted) {
                return;
            }
        }
    }

    /// Policy, pause, clock and keys are looked at once more: they may have changed while the order waited. That it is fresh was seen when it was
    /// taken: the epochs of that time count, as it is taken once only and waits no longer than its window.
    fn start(&mut self, record: Record) {
        let id = record.id.clone();
        let envelope = record.envelope.clone().unwrap_or_default().into_bytes();
        let epochs = record.epochs.as_ref().unwrap_or(&self.epochs);
        let (verified, policy) = match self.weigh(&envelope, record.proof.as_ref(), Some(epochs)) {
            (Judgement::Refused(refusal), _) if refusal.code == RefusalCode::Expired => {
                return self.end(&id, DeliveryState::Expired, "expired", &refusal.detail);
            }
            (Judgement::Refused(refusal), _) => return self.refuse(record, &refusal, None),
            (Judgement::Verified(verified, decision), policy) => match (&decision.verdict, policy) {
                (Verdict::Refuse(refusal), _) => return self.refuse(record, refusal, Some(&decision)),
                (Verdict::Ask, _) if !record.approved => return self.keep(Record { state: DeliveryState::Asked, ..record }),
                (_, Ok(policy)) => (verified, policy),
                (_, Err(stop)) => return self.refuse(record, &RefusalCode::OrdersOff.because(stop.message), None),
            },
        };
        if verified.order.repeat.is_some() {
            return self.shelve(record, &verified, envelope);
        }
        // What is not on the disk as begun does not begin: a crash must leave no order that could run twice.
        let answering = match verified.order.serve.as_ref().filter(|_| verified.serves) {
            Some(serve) => match Answering::open(serve, &policy, self.clock) {
                Ok(answering) => Some(answering),
                Err(why) => return self.end(&id, DeliveryState::Failed, "not_listening", &why),
            },
            None => None,
        };
        let detail = answering.as_ref().map(Answering::words);
        let code = answering.as_ref().map(|_| CODE.to_owned());
        let begun = Record { state: DeliveryState::Running, envelope: None, proof: None, epochs: None, code, detail, ..record };
        let note = Note::new(self.clock.wall(), "run_began").of_order(&id);
        if let Err(error) = self.audit.append(note).and_then(|()| self.book.put(begun)) {
            return self.end(&id, DeliveryState::Failed, "not_kept", &format!("the state directory cannot be written: {error}"));
        }
        let assignment = Assignment { answering, ..self.assignment(*verified, policy, envelope) };
        match Running::start(assignment) {
            Ok(running) => {
                terminal::say(&format!("netsonde: order {} runs", id.short()));
                self.running = Some(running);
            }
            Err(error) => self.end(&id, DeliveryState::Failed, "no_thread", &format!("the system gives no thread: {error}")),
        }
    }

    /// Hands an order that is repeated over to the schedules. It is on the shelf before it counts as running, or a crash between the two would
    /// leave one that nobody runs.
    fn shelve(&mut self, record: Record, verified: &Verified, envelope: Vec<u8>) {
        let (id, now) = (record.id.clone(), self.clock.wall());
        let shelf = Shelf::of(&self.state);
        if shelf.all().len() >= MAX_HELD {
            let refusal = RefusalCode::OverBudget.because(format!("{MAX_HELD} orders are repeated on this machine already"));
            return self.refuse(record, &refusal, None);
        }
        // Two ids that begin alike would keep one state and history; a desk draws the id, so that the next order has another.
        if shelf.all().iter().any(|held| name_of(&held.id) == name_of(&id)) {
            let words =
                format!("the schedule {} is kept on this machine already, for another order; sign this one anew", name_of(&id));
            return self.refuse(record, &RefusalCode::ScheduleNotAllowed.because(words), None);
        }
        let held: usize = shelf.all().into_iter().filter_map(|held| Held::of(held).ok()).map(|held| held.checks()).sum();
        if let Some(refusal) = too_many(self.file_checks.load(Ordering::Relaxed) + held + verified.plan.checks.len()) {
            return self.refuse(record, &refusal, None);
        }
        let words = verified.order.repeat.map_or_else(String::new, |repeat| repeat.in_words());
        let envelope = String::from_utf8_lossy(&envelope).into_owned();
        let begun = Record {
            state: DeliveryState::Running,
            envelope: None,
            proof: None,
            epochs: None,
            code: Some(REPEATED.to_owned()),
            detail: Some(runs(&words)),
            ..record
        };
        let note = Note::new(now, "schedule_began").of_order(&id).decided(&words);
        let approved = begun.approved;
        let shelved = Shelved { id: id.clone(), envelope, taken: now, approved, began_ms: None };
        let kept = shelf.put(&shelved).and_then(|()| self.audit.append(note)).and_then(|()| self.book.put(begun));
        if let Err(error) = kept {
            self.warn(shelf.remove(&id).map(drop));
            return self.end(&id, DeliveryState::Failed, "not_kept", &format!("the state directory cannot be written: {error}"));
        }
        terminal::say(&format!("netsonde: order {} runs {words}, as the schedule {}", id.short(), name_of(&id)));
        self.reshelved.notify_one();
    }

    /// An order that the schedules run no more.
    pub(super) fn repeated_no_more(&mut self, over: Over) {
        let (code, why) = over.end.in_words();
        if self.book.get(&over.id).is_some_and(|record| !record.state.is_final()) {
            let state = if over.end == End::LifeOver { DeliveryState::Expired } else { DeliveryState::Cancelled };
            self.end(&over.id, state, code, why);
        }
    }

    /// Whether an order that is repeated may run now. It is told where that has changed, and not with each of its slots.
    pub(super) fn repeated_or_not(&mut self, weighed: Weighed) {
        let Some(record) = self.book.get(&weighed.order).filter(|record| record.state == DeliveryState::Running) else { return };
        let (code, detail) = match weighed.objection {
            Some(refusal) => (refusal.code.as_str(), format!("it does not run now: {}", refusal.detail)),
            None => (REPEATED, runs(&weighed.how)),
        };
        if record.code.as_deref() != Some(code) {
            self.keep(Record { code: Some(code.to_owned()), detail: Some(detail), reported: None, ..record.clone() });
        }
    }

    fn assignment(&self, verified: Verified, policy: Policy, envelope: Vec<u8>) -> Assignment {
        // The very plan that the policy was asked about.
        let Verified { order, plan, place, .. } = verified;
        let turn = Turn { place, now: self.clock.wall() };
        let bounds = bounds_for(&policy, &order, &plan, &netsonde_probes::system_resolvers(), turn);
        let state = self.state.path().to_owned();
        Assignment { order, envelope, plan, policy, bounds, state, server_time: self.server_time, answering: None }
    }

    pub(super) fn heard_of_run(&mut self, event: RunEvent) {
        if let (RunEvent::Answered(words), Some(run)) = (&event, &self.running) {
            return self.note(Note::new(self.clock.wall(), "answered").of_order(&run.id).decided(words));
        }
        if let RunEvent::Outcome(outcome) = event {
            if let Some(run) = &mut self.running {
                run.done += 1;
                run.untold.push(*outcome);
            }
            return;
        }
        let Some((id, ended_by)) = self.running.take().map(|run| (run.id, run.ended_by)) else { return };
        if let Some(by) = ended_by {
            let (code, why) = by.in_words();
            self.end(&id, DeliveryState::Cancelled, code, why);
            // It was packed before the run heard that nobody wants it any more.
            if let RunEvent::Packed(entry) = event {
                let gone = self.state.lock_soon().and_then(|_lock| self.state.spool().forget(&entry.bundle));
                self.warn(gone);
            }
            return;
        }
        match event {
            RunEvent::Packed(entry) => {
                self.queue.put(&entry);
                self.note(Note::new(self.clock.wall(), "run_ended").of_order(&id).decided(entry.bundle.as_str()));
                terminal::say(&format!(
                    "netsonde: order {} is measured; its bundle {} is sent next",
                    id.short(),
                    entry.bundle.short()
                ));
                if let Some(record) = self.book.get(&id).cloned() {
                    self.keep(Record { bundle: Some(entry.bundle), ..record });
                }
            }
            RunEvent::Failed(why) => self.end(&id, DeliveryState::Failed, "run_failed", &why),
            // Whoever ends a run says who they are.
            RunEvent::Cancelled | RunEvent::Outcome(_) | RunEvent::Answered(_) => {}
        }
    }

    /// The next bundle that is to be sent.
    pub(super) fn next_bundle(&mut self) -> Option<Dispatch> {
        let bundle = self.queue.next(self.clock.wall(), self.uplink.now())?.clone();
        self.look_at_identity();
        if self.is_forgotten {
            return None;
        }
        let Some(entry) = self.state.spool().find_ready(&bundle) else {
            // It was dropped by hand, or is damaged.
            self.queue.remove(&bundle);
            let is_its = |id: &OrderId| self.book.get(id).is_some_and(|record| record.bundle.as_ref() == Some(&bundle));
            if let Some(order) = self.book.in_state(DeliveryState::Running).into_iter().find(is_its) {
                self.end(&order, DeliveryState::Failed, "bundle_lost", "the bundle is no longer in the spool");
            }
            return None;
        };
        let cancel = CancellationToken::new();
        self.uploading = entry.order.clone().map(|order| (order, cancel.clone()));
        Some(self.dispatch(entry, cancel))
    }

    /// A bundle that waits, on its way.
    pub(super) fn dispatch(&self, entry: Entry, cancel: CancellationToken) -> Dispatch {
        Dispatch {
            client: self.client.clone(),
            state: self.state.path().to_owned(),
            entry,
            stage: Stage::Ready,
            key: self.key.verifying_key(),
            receipt_keys: self.receipt_keys(),
            pace: self.uplink.pace(),
            cancel,
        }
    }

    /// The keys that may sign a receipt of this organisation's.
    pub(super) fn receipt_keys(&self) -> Vec<VerifyingKey> {
        let listed = self.anchor.iter().flat_map(|anchor| anchor.receipt_keys().copied());
        [*self.identity.receipt_key.key()].into_iter().chain(listed).collect()
    }

    pub(super) fn sent(&mut self, sent: Sent) {
        if self.is_sent_again(sent.bundle()) {
            return self.sent_again(sent);
        }
        match sent {
            // Support cancelled the order meanwhile.
            Sent::Later { entry, .. } if self.state.spool().find_ready(&entry.bundle).is_none() => {
                self.queue.remove(&entry.bundle)
            }
            Sent::Later { entry, hint, reason } => {
                let tries = entry.tries.after_failure(self.clock.wall(), hint, &reason, Chance(chance()));
                let noted = self.state.lock_soon().and_then(|_lock| self.state.spool().tried(&entry, tries.clone()));
                self.warn(noted);
                self.queue.put(&Entry { tries, ..entry });
            }
            Sent::Refused { entry, code, why } => {
                self.queue.remove(&entry.bundle);
                if let Some(id) = &entry.order {
                    self.end(id, DeliveryState::Failed, code, &why);
                } else if self.state.spool().find_ready(&entry.bundle).is_some() {
                    terminal::say(&format!(
                        "netsonde: the backend does not take the bundle {} of {}, which stays here: {why}",
                        entry.bundle.short(),
                        entry.maker()
                    ));
                }
            }
            Sent::Delivered(entry, delivered) => {
                self.queue.remove(&entry.bundle);
                let now = self.clock.wall();
                let kept =
                    self.state.lock_soon().and_then(|_lock| self.state.spool().delivered(&entry, &delivered.envelope, now));
                self.warn(kept);
                if let Maker::Schedule(_) = entry.maker() {
                    let decided = format!("{} of {}", entry.bundle, entry.maker());
                    return self.note(Note::new(now, "uploaded").decided(&decided));
                }
                let Some(record) = entry.order.as_ref().and_then(|id| self.book.get(id)).cloned() else { return };
                if record.state.is_final() {
                    return;
                }
                self.note(Note::new(now, "uploaded").of_order(&record.id).decided(entry.bundle.as_str()));
                terminal::say(&format!("netsonde: order {} is done; its bundle has arrived", record.id.short()));
                self.keep(record.ended(DeliveryState::Uploaded, None));
            }
        }
    }

    /// Ends an order that is under way here. Of any other nothing is written: a backend names as many as it likes.
    pub(super) fn end(&mut self, id: &OrderId, state: DeliveryState, code: &str, why: &str) {
        let Some(record) = self.book.get(id).filter(|record| !record.state.is_final()).cloned() else { return };
        self.note(Note::new(self.clock.wall(), "order_ended").of_order(id).decided(&format!("{}: {why}", state.name())));
        // The words of a reason may name addresses.
        terminal::say(&format!("netsonde: order {} ended: {} ({code})", id.short(), state.name()));
        self.keep(record.ended(state, Some((code, why))));
    }

    /// What became of a record's report.
    pub(super) fn reported(&mut self, id: &OrderId, report: &StateReport, told: Told) {
        self.untaken.told(id, told, self.clock.now());
        // What has changed meanwhile is told by itself.
        if let Some(record) = self.book.get(id).filter(|record| told == Told::Heard && record.report() == *report).cloned() {
            self.keep(Record { reported: Some(report.state), ..record });
        }
    }

    /// What became of a report that no record stands for.
    pub(super) fn noticed(&mut self, id: &OrderId, told: Told) {
        self.untaken.told(id, told, self.clock.now());
        if told == Told::Heard
            && let Some(place) = self.notices.iter().position(|(order, _)| order == id)
        {
            self.notices.remove(place);
        }
    }

    pub(super) fn keep(&mut self, record: Record) {
        let kept = self.book.put(record);
        self.warn(kept);
    }
}

fn runs(how: &str) -> String {
    format!("it runs {how}")
}
