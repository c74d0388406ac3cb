//! Orders that are repeated, among the customer's own schedules.

use super::running::{Fault, Job, Purpose};
use super::{BETWEEN_BUNDLES, ORDERED_EVERY, Rounds, Word};
use crate::identity::Home;
use crate::measurement::Bounds;
use crate::orders::{Here, Turn, bounds_for, decide};
use crate::schedule::{Reading, Scheduler, save};
use crate::standing::{End, Held, Over, Shelf, name_of};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{policy_file, terminal};
use netsonde_contract::agent_config::AgentConfig;
use netsonde_contract::api::health::MAX_CHECKS;
use netsonde_contract::id::OrderId;
use netsonde_contract::order::{Refusal, RefusalCode};
use netsonde_contract::policy::{Policy, Verdict};
use netsonde_contract::set::Plan;
use netsonde_probes::context::ProxyChoice;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The file's schedules, and behind them those that were signed.
pub(crate) fn together(file: &AgentConfig, standing: &BTreeMap<String, Arc<Held>>) -> AgentConfig {
    let signed = standing.values().filter(|held| file.schedule(&held.name()).is_none()).map(|held| held.schedule());
    AgentConfig { schedules: file.schedules.iter().cloned().chain(signed).collect(), ..file.clone() }
}

/// The orders that are repeated, by their schedules' names, as they are on the disk.
pub(crate) fn signed(state: &StateDirectory) -> BTreeMap<String, Arc<Held>> {
    let held = Shelf::of(state).all().into_iter().filter_map(|shelved| Held::of(shelved).ok());
    held.map(|held| (held.name(), Arc::new(held))).collect()
}

/// Why no more checks are measured than the backend can be told of, where these are more.
pub(crate) fn too_many(checks: usize) -> Option<Refusal> {
    let words =
        || format!("with it there are {checks} checks on this machine, more than the {MAX_CHECKS} that one agent can tell of");
    (checks > MAX_CHECKS).then(|| RefusalCode::OverBudget.because(words()))
}

impl Rounds {
    /// Takes up what came onto the shelf, and puts down what is gone from it, over, or signed by nobody any more who counts.
    pub(super) fn look_at_shelf(&mut self) {
        let shelf = Shelf::of(&self.state);
        let passed = self.scheduler.passed(&Reading::now());
        let now = self.clock.wall();
        let anchor = match Home::of(&self.state).anchor() {
            Ok(anchor) => anchor,
            // What cannot be read today says nothing of who may sign.
            Err(stop) => return self.complain("", &stop.message),
        };
        let before: Vec<String> = self.standing.keys().cloned().collect();
        let mut standing = BTreeMap::new();
        for mut shelved in shelf.all() {
            self.standing.remove(&name_of(&shelved.id));
            if shelved.began_ms.is_none() {
                shelved.began_ms = Some(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
                // The scale that the beginning stands on is kept before it.
                let scale = self.state.lock_soon().and_then(|_lock| save(&self.state, &self.scheduler.persisted()));
                if let Err(error) = scale.and_then(|()| shelf.put(&shelved)) {
                    self.complain("", &format!("an order that is to be repeated cannot be kept: {error}"));
                    continue;
                }
            }
            let id = shelved.id.clone();
            let end = match Held::of(shelved) {
                Ok(held) => match held.end(passed, now, anchor.as_ref()) {
                    Some(end) => end,
                    None => {
                        standing.insert(held.name(), Arc::new(held));
                        continue;
                    }
                },
                Err(why) => {
                    tracing::warn!(order = id.short(), why, "an order that was repeated cannot be read any more");
                    End::Removed
                }
            };
            if let Err(error) = shelf.remove(&id) {
                tracing::warn!(%error, "an order that is over stays on the disk");
            }
            self.over(&id, end);
        }
        // What is left was there and is no more.
        for held in std::mem::take(&mut self.standing).into_values() {
            self.over(&held.order.id, End::Removed);
        }
        self.standing = standing;
        if self.standing.keys().ne(before.iter()) {
            self.renew_schedules();
        }
    }

    fn over(&self, id: &OrderId, end: End) {
        terminal::say(&format!("netsonde: order {} is repeated no more: {}", id.short(), end.in_words().1));
        // Where nobody talks to the backend, nobody waits to hear of it.
        let _ = self.words.send(Word::Over(Over { id: id.clone(), end }));
    }

    /// Ends what an order has running here and is wanted no more: orders are paused, the order is gone from the shelf, or the policy has other rules
    /// than those that the run goes by. Tells how long until the next look.
    pub(super) fn look_at_ordered(&mut self) -> Duration {
        if self.ordered.is_empty() && self.waiting.iter().all(|job| job.held.is_none()) {
            return Duration::MAX;
        }
        let (paused, shelf) = (Home::of(&self.state).is_paused(), Shelf::of(&self.state));
        for ((name, _), run) in &self.ordered {
            if run.cancel.is_cancelled() {
                continue;
            }
            let why = if paused {
                Some("orders are paused")
            } else if !shelf.has(&run.order) {
                Some("the order is over")
            } else {
                policy_file::changed_since(&run.policy, &self.files.policy)
            };
            if let Some(why) = why {
                run.cancel.cancel();
                terminal::say(&format!("{name}: the run that went on was ended: {why}"));
            }
        }
        self.waiting.retain(|job| job.held.as_ref().is_none_or(|held| !paused && shelf.has(&held.order.id)));
        ORDERED_EVERY
    }

    /// Counts the slots of the schedules that there are now. Those that stay go on where they were.
    pub(super) fn renew_schedules(&mut self) {
        let config = together(&self.file, &self.standing);
        match Scheduler::new(&config, &self.agent, Some(self.scheduler.persisted()), &Reading::now()) {
            Ok(scheduler) => {
                self.scheduler = scheduler;
                self.put_in_force(config);
            }
            Err(stop) => self.complain("", &stop.message),
        }
    }

    /// Puts the deep run that was signed with a schedule, or its own where none was, before all else that waits, for a target that became failing; whether there is
    /// one to put.
    pub(super) fn look_deep_for(&mut self, held: &Arc<Held>, fault: &Fault) -> bool {
        let schedule = held.schedule();
        match held.closer(fault.target.as_deref()) {
            Ok(plan) => {
                self.packed.insert((schedule.name.clone(), fault.target.clone()), self.clock.now() + BETWEEN_BUNDLES);
                let job = self.job(&schedule, plan, Purpose::Deep(fault.clone()));
                self.waiting.push_front(Job { held: Some(Arc::clone(held)), ..job });
                true
            }
            Err(stop) => {
                self.complain(&schedule.name, &stop.message);
                false
            }
        }
    }

    /// The engineer hears why it does not run, and that it does again.
    fn tell_weighed(&self, held: &Held, objection: Option<Refusal>) {
        // Where nobody talks to the backend, nobody waits to hear of it.
        let _ = self.words.send(Word::Weighed(held.weighed(objection)));
    }

    /// Whether the file's checks leave no room for those of this schedule any more; of several that were signed those count first that were taken first.
    fn one_too_many(&self, held: &Held) -> Option<Refusal> {
        let when = |held: &Held| (held.shelved.taken, held.order.id.clone());
        let earlier = self.standing.values().filter(|other| when(other) < when(held));
        let signed: usize = earlier.map(|held| held.checks()).sum();
        too_many(self.file_checks.load(Ordering::Relaxed) + signed + held.checks())
    }

    /// What a signed schedule may do now by this plan of its, and by which policy; none where that objects, which is said once.
    pub(super) fn weighed(&mut self, held: &Held, plan: &Plan) -> Result<Option<(Bounds, Policy)>, Stop> {
        let off = |words: &str| RefusalCode::OrdersOff.because(words);
        let policy =
            policy_file::load(&self.files.policy).inspect_err(|stop| self.tell_weighed(held, Some(off(&stop.message))))?;
        let home = Home::of(&self.state);
        let identity = home.enrolled()?;
        let anchor = home.anchor()?;
        let resolvers = netsonde_probes::system_resolvers();
        let here = Here {
            resolvers: &resolvers,
            paused: home.is_paused(),
            proxy: &ProxyChoice::Environment,
            backend: &identity.backend,
            now: self.clock.wall(),
        };
        if let Some(why) = self.one_too_many(held) {
            self.tell_weighed(held, Some(why.clone()));
            self.complain(&held.name(), &format!("it does not run now: {why}"));
            return Ok(None);
        }
        let verified = held.verified(plan.clone(), anchor.as_ref(), &identity.agent);
        let decision = decide(&policy, &verified, &here);
        let objection = match decision.verdict {
            Verdict::Refuse(refusal) => Some(refusal),
            // Taken while the policy let it run unasked.
            Verdict::Ask if !held.shelved.approved => Some(off("the policy has somebody at the machine asked, and nobody was")),
            Verdict::Ask | Verdict::Run => None,
        };
        self.tell_weighed(held, objection.clone());
        if let Some(why) = objection {
            self.complain(&held.name(), &format!("it does not run now: {why}"));
            return Ok(None);
        }
        let turn = Turn { place: verified.place, now: self.clock.wall() };
        let bounds = bounds_for(&policy, &held.order, &verified.plan, &resolvers, turn);
        Ok(Some((bounds, policy)))
    }
}
