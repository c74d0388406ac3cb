//! What was delivered is offered to a backend that may have lost it: one that was put back to an older backup. What it lacks is sent once more.
//!
//! A bundle that is sent again stays among the delivered ones all the while, so that nothing here can lose it.

use super::Daemon;
use super::sending::{self, Dispatch, Offered, Sent};
use crate::audit::Entry as Note;
use crate::spool::{Entry, Stage};
use crate::state::chance;
use crate::terminal;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use netsonde_contract::id::BundleId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A backend that runs on is asked so often.
const EVERY: Duration = Duration::from_secs(24 * 3_600);
/// One that could not be reached may have been put back to a backup: it is asked within this time, at a moment of each agent's own.
const AFTER_SILENCE: Duration = Duration::from_secs(20);
/// Not more often than this, on a path that cuts connections again and again.
const BETWEEN: Duration = Duration::from_secs(60);
/// An offer that was not heard, or a bundle that did not arrive, is tried again after one to two times this …
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// … doubled with each failure up to this, unless the backend asked for more.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// A backend may ask for so much and no more.
const LONGEST_HINT: Duration = Duration::from_secs(24 * 3_600);

/// When to offer, and what the backend wants. It reads no clock: `now` is any clock that goes forward, `chance` is evenly spread from 0 to 1.
#[derive(Debug, Default)]
pub(super) struct Offering {
    /// The next offer.
    due: Duration,
    /// The last offer.
    last: Duration,
    /// The backend did not answer lately.
    silent: bool,
    wanted: VecDeque<BundleId>,
    /// None of the wanted ones goes before this time.
    rest: Duration,
    failed: u32,
    /// The backend refused them; only a person can do something about it.
    refused: BTreeSet<BundleId>,
    /// When each was sent again. A backend that asks for the same ones over and over gets them once a day.
    again: BTreeMap<BundleId, Duration>,
    under_way: Option<BundleId>,
}

impl Offering {
    pub(super) fn unanswered(&mut self) {
        self.silent = true;
    }

    pub(super) fn answered(&mut self, now: Duration, chance: f64) {
        if std::mem::take(&mut self.silent) {
            let soon = (now + AFTER_SILENCE.mul_f64(chance)).max(self.last + BETWEEN);
            self.due = self.due.min(soon);
        }
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        now >= self.due && self.wanted.is_empty() && self.under_way.is_none()
    }

    fn offered(&mut self, now: Duration) {
        (self.due, self.last) = (now + EVERY, now);
    }

    /// What the backend made of an offer.
    fn heard(&mut self, offered: Offered, now: Duration, chance: f64) {
        match offered {
            Offered::Wanted(wanted) => {
                self.failed = 0;
                self.again.retain(|_, at| now.saturating_sub(*at) < EVERY);
                let may = |bundle: &BundleId| !self.refused.contains(bundle) && !self.again.contains_key(bundle);
                self.wanted = wanted.into_iter().filter(may).collect();
            }
            Offered::Later(hint) => self.due = now + self.wait(hint, chance),
        }
    }

    fn wait(&mut self, hint: Option<Duration>, chance: f64) -> Duration {
        let least = AFTER_FAILURE.saturating_mul(1 << self.failed.min(10)).min(LONGEST_WAIT);
        self.failed = self.failed.saturating_add(1);
        hint.unwrap_or_default().min(LONGEST_HINT) + least + least.mul_f64(chance)
    }

    /// How long nothing is to be done here; none where only an answer can change anything.
    pub(super) fn wait_from(&self, now: Duration) -> Duration {
        let next = if self.wanted.is_empty() { self.due } else { self.rest };
        next.saturating_sub(now)
    }

    fn is_under_way(&self, bundle: &BundleId) -> bool {
        self.under_way.as_ref() == Some(bundle)
    }

    /// It arrived, or will never.
    fn is_done(&mut self, bundle: &BundleId) {
        self.under_way = None;
        self.failed = 0;
        self.wanted.retain(|wanted| wanted != bundle);
    }

    fn failed(&mut self, hint: Option<Duration>, now: Duration, chance: f64) {
        self.under_way = None;
        self.rest = now + self.wait(hint, chance);
    }
}

impl Daemon {
    /// Tells the backend what it should have.
    pub(super) fn offer(&mut self) -> BoxFuture<'static, Offered> {
        self.offering.offered(self.clock.now());
        sending::offer(Arc::clone(&self.client), self.state.path().to_owned(), self.receipt_keys()).boxed()
    }

    pub(super) fn offered(&mut self, offered: Offered) {
        if let Offered::Wanted(wanted) = &offered
            && !wanted.is_empty()
        {
            let count = wanted.len();
            terminal::say(&format!(
                "netsonde: the backend lost {count} of the bundles that it had acknowledged; they are sent again"
            ));
        }
        self.offering.heard(offered, self.clock.now(), chance());
    }

    /// The next bundle that the backend lost, where the network may be used for what can wait.
    pub(super) fn next_wanted(&mut self) -> Option<Dispatch> {
        if self.offering.under_way.is_some() || self.clock.now() < self.offering.rest {
            return None;
        }
        let link = self.uplink.now();
        while let Some(bundle) = self.offering.wanted.front().cloned() {
            match self.state.spool().find(Stage::Sent, &bundle) {
                Some(entry) if !link.allows(entry.sending()) => return None,
                Some(entry) => {
                    self.offering.under_way = Some(bundle);
                    return Some(Dispatch { stage: Stage::Sent, ..self.dispatch(entry, CancellationToken::new()) });
                }
                // It was kept long enough, or was dropped by hand.
                None => drop(self.offering.wanted.pop_front()),
            }
        }
        None
    }

    pub(super) fn is_sent_again(&self, bundle: &BundleId) -> bool {
        self.offering.is_under_way(bundle)
    }

    pub(super) fn sent_again(&mut self, sent: Sent) {
        let now = self.clock.now();
        match sent {
            Sent::Later { hint, .. } => self.offering.failed(hint, now, chance()),
            Sent::Refused { entry, why, .. } => {
                self.offering.is_done(&entry.bundle);
                self.offering.refused.insert(entry.bundle.clone());
                terminal::say(&format!(
                    "netsonde: the backend lost the bundle {} and does not take it again: {why}\n  next: netsonde spool export {} --to FOLDER, for support to import",
                    entry.bundle.short(),
                    entry.bundle.short()
                ));
            }
            Sent::Delivered(entry, delivered) => {
                self.offering.is_done(&entry.bundle);
                self.offering.again.insert(entry.bundle.clone(), now);
                let wall = self.clock.wall();
                let kept = self.state.lock_soon().and_then(|_lock| {
                    self.state.spool().delivered_again(&Entry { delivered: Some(wall), ..entry.clone() }, &delivered.envelope)
                });
                self.warn(kept);
                let decided = format!("{} of {}, which the backend had lost", entry.bundle, entry.maker());
                self.note(Note::new(wall, "uploaded").decided(&decided));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn id(number: u8) -> BundleId {
        BundleId::new(format!("{number:064x}"))
    }

    #[test]
    fn a_backend_that_was_away_is_asked_soon_and_one_that_runs_on_once_a_day() {
        let mut offering = Offering::default();
        assert!(offering.is_due(seconds(0)), "the first answer is reason enough");
        offering.offered(seconds(0));
        offering.heard(Offered::Wanted(Vec::new()), seconds(0), 0.5);
        offering.answered(seconds(100), 1.0);
        assert!(!offering.is_due(seconds(24 * 3_600 - 1)) && offering.is_due(seconds(24 * 3_600)));
        offering.unanswered();
        offering.answered(seconds(200), 1.0);
        assert!(!offering.is_due(seconds(219)) && offering.is_due(seconds(220)));
        offering.offered(seconds(220));
        offering.unanswered();
        offering.answered(seconds(221), 0.0);
        assert!(!offering.is_due(seconds(279)) && offering.is_due(seconds(280)));
    }

    #[test]
    fn an_offer_that_is_not_heard_comes_again_ever_later_and_never_before_the_hint() {
        let mut offering = Offering::default();
        for least in [60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
            offering.offered(seconds(0));
            offering.heard(Offered::Later(None), seconds(0), 0.0);
            assert_eq!(offering.wait_from(seconds(0)), seconds(least));
        }
        offering.heard(Offered::Later(Some(Duration::MAX)), seconds(0), 1.0);
        assert_eq!(offering.wait_from(seconds(0)), seconds(24 * 3_600 + 7_200));
    }

    #[test]
    fn what_the_backend_refused_is_not_sent_again_and_a_failure_lets_all_wait() {
        let mut offering = Offering::default();
        offering.heard(Offered::Wanted(vec![id(1), id(2)]), seconds(0), 0.0);
        offering.under_way = Some(id(1));
        offering.failed(None, seconds(0), 0.0);
        assert_eq!(offering.wait_from(seconds(0)), seconds(60));
        offering.is_done(&id(1));
        offering.refused.insert(id(1));
        offering.is_done(&id(2));
        offering.heard(Offered::Wanted(vec![id(1), id(2)]), seconds(99), 0.0);
        assert_eq!(offering.wanted, [id(2)]);
        offering.is_done(&id(2));
        offering.again.insert(id(2), seconds(100));
        offering.heard(Offered::Wanted(vec![id(2)]), seconds(200), 0.0);
        assert!(offering.wanted.is_empty(), "not twice a day");
        offering.heard(Offered::Wanted(vec![id(2)]), seconds(100) + EVERY, 0.0);
        assert_eq!(offering.wanted, [id(2)]);
    }
}
