//! Orders as they come: what was never signed for this agent is refused, and what was is taken once and put before the policy.
//!
//! Each order costs writes, during which nothing else is heard of, such as a pause or a cancellation. So only so many are looked at before everything
//! else has its turn again.

use super::Daemon;
use crate::audit::Entry as Note;
use crate::identity::Home;
use crate::orders::{About, Here, Judgement, MAX_WAITING, Machine, Record, judge, place};
use crate::stop::Stop;
use crate::{policy_file, terminal};
use jiff::Timestamp;
use netsonde_contract::api::fleet::{DeliveryState, MAX_WORK, StateReport, WorkItem};
use netsonde_contract::id::{AgentId, OrderId};
use netsonde_contract::order::{Addressees, Epochs, MAX_BYTES, MerkleProof, Order, Refusal, RefusalCode, signed};
use netsonde_contract::policy::{Policy, Verdict};
use netsonde_probes::context::ProxyChoice;
use std::collections::VecDeque;
use std::time::Duration;

/// Orders that wait to be looked at. No honest backend sends more than [`MAX_WORK`] at once, and none that is left out was ever taken: it may come again.
const MAX_INBOX: usize = 64 * MAX_WORK;
/// As many as the largest orders of an honest answer have, twice over.
const MAX_INBOX_BYTES: usize = 2 * MAX_WORK * MAX_BYTES;
/// So long they are looked at before everything else has its turn, on a disk that is slow: an answer to the backend takes several turns.
const TURN: Duration = Duration::from_millis(50);
/// Reports beside the records, where a backend sends the same orders again and again.
const MAX_NOTICES: usize = 64;

/// Orders that came and were not looked at yet, in their order.
#[derive(Default)]
pub(super) struct Inbox(VecDeque<WorkItem>);

impl Inbox {
    /// Says where not all of them are taken in.
    pub(super) fn put(&mut self, orders: Vec<WorkItem>) {
        let mut bytes: usize = self.0.iter().map(|item| item.envelope.len()).sum();
        let mut left = 0;
        for item in orders {
            bytes += item.envelope.len();
            if self.0.len() < MAX_INBOX && bytes <= MAX_INBOX_BYTES {
                self.0.push_back(item);
            } else {
                left += 1;
            }
        }
        if left > 0 {
            terminal::say(&format!("netsonde: the backend sent more orders than this agent looks at; {left} were left out"));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nobody wants it any more.
    pub(super) fn remove(&mut self, order: &OrderId) {
        self.0.retain(|item| item.id != *order);
    }
}

impl Daemon {
    /// Looks at the next orders, as many as an honest backend sends at once, and as long as nobody notices.
    pub(super) fn receive_some(&mut self) {
        if self.inbox.is_empty() {
            return;
        }
        self.look_at_identity();
        if self.is_forgotten {
            return;
        }
        let until = self.clock.now() + TURN;
        for _ in 0..MAX_WORK {
            let Some(item) = self.inbox.0.pop_front() else { return };
            self.receive(item);
            if self.clock.now() >= until {
                return;
            }
        }
    }

    /// One order as it came.
    fn receive(&mut self, item: WorkItem) {
        // Backends may deliver twice; what is under way here is only heard of once.
        if self.book.get(&item.id).is_some_and(|known| !known.state.is_final()) {
            return;
        }
        let now = self.clock.wall();
        self.note(Note::new(now, "order_received").of_order(&item.id));
        let (verified, decision, policy) = match self.weigh(item.envelope.as_bytes(), item.proof.as_ref(), None) {
            (Judgement::Verified(verified, decision), policy) if verified.order.id == item.id => (verified, decision, policy),
            (Judgement::Verified(..), _) => {
                return self.refuse_unverified(
                    &item.id,
                    &RefusalCode::Malformed.because("the order has another id than it was delivered under"),
                );
            }
            (Judgement::Refused(refusal), _) => return self.refuse_for_good(&item, &refusal),
        };
        drop(policy);
        let signers = verified.signers.iter().map(|key| key.fingerprint()).collect();
        let about = About::of(&verified.order, &verified.plan.set.name, signers);
        let record = Record {
            about: Some(about),
            decided: Some(place(&decision)),
            ..Record::new(&item.id, DeliveryState::Delivered, now)
        };
        // From here on the order is taken: whatever is decided is decided once.
        if let Err(error) = self.taken.add(&item.id, verified.order.expires, &self.epochs, now) {
            let refusal = RefusalCode::OverBudget.because(format!("it cannot be noted that the order was taken: {error}"));
            return self.refuse(record, &refusal, None);
        }
        let begins = begins(&verified.order, &self.identity.agent, now);
        let epochs = Some(self.epochs.clone());
        let whole = Record { envelope: Some(item.envelope), proof: item.proof, epochs, begins, ..record.clone() };
        match &decision.verdict {
            Verdict::Refuse(refusal) => self.refuse(record, refusal, Some(&decision)),
            _ if self.book.waiting() >= MAX_WAITING => {
                let refusal = RefusalCode::OverBudget.because(format!("{MAX_WAITING} orders wait on this machine already"));
                self.refuse(record, &refusal, None);
            }
            Verdict::Ask => {
                self.note_decision("order_asked", &item.id, "somebody at the machine is asked", &decision);
                terminal::say(&format!(
                    "netsonde: order {} waits for an answer: netsonde orders show {0}, then approve or refuse it",
                    item.id.short()
                ));
                self.keep(Record { state: DeliveryState::Asked, ..whole });
            }
            Verdict::Run => {
                self.note_decision("order_accepted", &item.id, "it runs", &decision);
                self.keep(whole.accepted());
            }
        }
    }

    /// Holds an order against what is known now. One that was `taken` before, in these epochs, is fresh; without them it is refused.
    pub(super) fn weigh(
        &self,
        envelope: &[u8],
        proof: Option<&MerkleProof>,
        taken: Option<&Epochs>,
    ) -> (Judgement, Result<Policy, Stop>) {
        let policy = policy_file::load(&self.policy_path);
        let Some(anchor) = &self.anchor else {
            return (Judgement::Refused(RefusalCode::NoKeyList.because("this machine knows no root")), policy);
        };
        let resolvers = netsonde_probes::system_resolvers();
        let machine = Machine {
            anchor,
            agent: &self.identity.agent,
            epochs: taken.unwrap_or(&self.epochs),
            policy: &policy,
            here: Here {
                resolvers: &resolvers,
                paused: Home::of(&self.state).is_paused(),
                proxy: &ProxyChoice::Environment,
                backend: &self.identity.backend,
                now: self.clock.wall(),
            },
        };
        let judgement = judge(envelope, proof, &machine, &|id| taken.is_none() && self.taken.contains(id));
        (judgement, policy)
    }

    /// The engineer hears that it is refused, which is final: where it is signed, its id is taken, so that a backend which holds it back for a while
    /// cannot have it run after all.
    fn refuse_for_good(&mut self, item: &WorkItem, refusal: &Refusal) {
        let order = self.anchor.as_ref().and_then(|anchor| signed(item.envelope.as_bytes(), anchor));
        // Orders of others are no reason to remember anything: there are as many as the organisation gives.
        let may_be_ours = |order: &Order| match &order.agents {
            Addressees::Listed(agents) => agents.iter().any(|one| one.agent == self.identity.agent),
            Addressees::Tree { .. } => true,
        };
        let is_new = refusal.code != RefusalCode::Replayed;
        if let Some(order) = order.filter(|order| is_new && order.id == item.id && may_be_ours(order)) {
            let added = self.taken.add(&order.id, order.expires, &self.epochs, self.clock.wall());
            self.warn(added);
        }
        self.refuse_unverified(&item.id, refusal);
    }

    /// What was never seen to be signed, or was taken before, changes no record that is there.
    fn refuse_unverified(&mut self, id: &OrderId, refusal: &Refusal) {
        if self.book.get(id).is_none() && refusal.code != RefusalCode::Replayed {
            return self.refuse(Record::new(id, DeliveryState::Delivered, self.clock.wall()), refusal, None);
        }
        self.note_refusal(id, refusal, None);
        // Where the backend lost what it was told, it is told again.
        let untold = self.book.get(id).is_some_and(|record| !record.is_reported());
        if !untold && self.notices.len() < MAX_NOTICES {
            let (code, detail) = (Some(refusal.code.as_str().to_owned()), Some(refusal.detail.clone()));
            self.notices.push_back((id.clone(), StateReport { state: DeliveryState::Refused, code, detail, bundle: None }));
        }
    }
}

/// This agent's own moment of an order that is spread. It is over before the order expires.
fn begins(order: &Order, agent: &AgentId, now: Timestamp) -> Option<Timestamp> {
    let left = Duration::try_from(order.expires.duration_since(now)).unwrap_or_default();
    Some(now + order.begins_after(agent, left)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_orders_the_rest_is_left_out_and_of_those_that_wait_a_cancelled_one() {
        let item = |number: usize| WorkItem { id: OrderId::new(format!("{number:032x}")), envelope: "{}".into(), proof: None };
        let mut inbox = Inbox::default();
        inbox.put((0..40).map(item).collect());
        inbox.remove(&item(35).id);
        assert_eq!((inbox.0.len(), &inbox.0[0]), (39, &item(0)));
        inbox.put((40..MAX_INBOX * 2).map(item).collect());
        assert_eq!(inbox.0.len(), MAX_INBOX);
        inbox.put(vec![item(7)]);
        assert_eq!((inbox.0.len(), inbox.0.back()), (MAX_INBOX, Some(&item(MAX_INBOX))));
        let mut large = Inbox::default();
        large.put((0..MAX_WORK * 4).map(|number| WorkItem { envelope: " ".repeat(MAX_BYTES), ..item(number) }).collect());
        assert_eq!(large.0.len(), MAX_WORK * 2);
    }
}
