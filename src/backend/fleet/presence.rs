use super::twins::{Asker, Twins};
use jiff::Timestamp;
use netsonde_contract::id::AgentId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// So many agents are woken at once: their requests keep two cores busy for less than a second.
const MANY: usize = 512;
/// An agent that has not asked again for so long has lost its connection, or a very slow one.
const TURN: Duration = Duration::from_secs(3);

/// Which agents hold a request for work at this moment, and who was seen since that was last written down. An agent has one held request: a newer
/// one ends the one before, which is what a broken connection leaves.
#[derive(Clone, Default)]
pub(crate) struct Presence {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    listening: HashMap<AgentId, Listener>,
    seen: HashMap<AgentId, Timestamp>,
    twins: Twins,
    number: u64,
    /// Who was rung for in their turn and has not asked again since.
    turns: HashMap<AgentId, OwnedSemaphorePermit>,
}

struct Listener {
    number: u64,
    bell: Arc<Notify>,
}

/// One held request, until this is dropped.
pub(crate) struct Listening {
    presence: Presence,
    agent: AgentId,
    number: u64,
    bell: Arc<Notify>,
}

impl Presence {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on nothing is missed: a bell that rings before it is waited for is heard all the same.
    pub(crate) fn listen(&self, agent: &AgentId) -> Listening {
        let mut state = self.state();
        state.turns.remove(agent);
        state.number += 1;
        let (number, bell) = (state.number, Arc::new(Notify::new()));
        let listener = Listener { number, bell: Arc::clone(&bell) };
        if let Some(before) = state.listening.insert(agent.clone(), listener) {
            before.bell.notify_one();
        }
        drop(state);
        Listening { presence: self.clone(), agent: agent.clone(), number, bell }
    }

    /// Wakes those of `agents` that listen: a few at once, and many in their turn.
    pub(crate) fn ring<'a>(&self, agents: impl IntoIterator<Item = &'a AgentId>) {
        let state = self.state();
        let listening: Vec<&AgentId> = agents.into_iter().filter(|agent| state.listening.contains_key(*agent)).collect();
        if listening.len() <= MANY {
            return listening.into_iter().filter_map(|agent| state.listening.get(agent)).for_each(|one| one.bell.notify_one());
        }
        let (listening, newest) = (listening.into_iter().cloned().collect(), state.number);
        drop(state);
        tokio::spawn(self.clone().ring_in_turn(listening, newest, TURN));
    }

    pub(crate) fn ring_all(&self) {
        let all: Vec<AgentId> = self.state().listening.keys().cloned().collect();
        self.ring(&all);
    }

    /// Whoever is woken takes its answer, reports and asks again, all within moments. Were all of a large fleet woken in one instant, those
    /// moments would add up to more than anybody's patience; so one is woken when another has asked again, or has had its time. What
    /// is for a few does not wait behind it. Who has asked after the request `newest` has looked by itself since, and takes nobody's turn.
    async fn ring_in_turn(self, agents: Vec<AgentId>, newest: u64, most: Duration) {
        let turns = Arc::new(Semaphore::new(MANY));
        for agent in agents {
            let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
            let mut state = self.state();
            let Some(listener) = state.listening.get(&agent).filter(|listener| listener.number <= newest) else { continue };
            listener.bell.notify_one();
            let number = listener.number;
            state.turns.insert(agent.clone(), turn);
            drop(state);
            let presence = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(most).await;
                let mut state = presence.state();
                if state.listening.get(&agent).is_none_or(|listener| listener.number == number) {
                    state.turns.remove(&agent);
                }
            });
        }
    }

    pub(crate) fn is_online(&self, agent: &AgentId) -> bool {
        self.state().listening.contains_key(agent)
    }

    /// Whether this request shows that two running processes have the agent's identity.
    pub(crate) fn is_twice(&self, agent: &AgentId, asker: Asker, now: Timestamp) -> bool {
        self.state().twins.ask(agent, asker, now)
    }

    pub(crate) fn saw(&self, agent: &AgentId, at: Timestamp) {
        self.state().seen.insert(agent.clone(), at);
    }

    /// When it was last seen, where that is not written down yet.
    pub(crate) fn last_seen(&self, agent: &AgentId) -> Option<Timestamp> {
        self.state().seen.get(agent).copied()
    }

    /// Who was seen since the last call.
    pub(crate) fn take_seen(&self) -> HashMap<AgentId, Timestamp> {
        std::mem::take(&mut self.state().seen)
    }
}

impl Listening {
    /// Resolves once somebody rang.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// A newer request of the same agent listens instead.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.presence.state().listening.get(&self.agent).is_none_or(|listener| listener.number != self.number)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut state = self.presence.state();
        if state.listening.get(&self.agent).is_some_and(|listener| listener.number == self.number) {
            state.listening.remove(&self.agent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_bell_that_rang_too_early_is_heard_and_a_newer_request_ends_the_older() {
        let (presence, agent) = (Presence::default(), AgentId::new("a"));
        assert!(!presence.is_online(&agent));
        let older = presence.listen(&agent);
        presence.ring([&agent]);
        older.rung().await;
        assert!(older.rung().now_or_never().is_none() && !older.is_overtaken());
        let newer = presence.listen(&agent);
        older.rung().await;
        assert!(older.is_overtaken() && !newer.is_overtaken());
        drop(older);
        assert!(presence.is_online(&agent), "the newer one still listens");
        drop(newer);
        assert!(!presence.is_online(&agent));
    }

    /// Lets everything else go on until nothing more can.
    async fn settle() {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    fn many(presence: &Presence) -> (Vec<AgentId>, Vec<Listening>) {
        let agents: Vec<AgentId> = (0..MANY * 3).map(|number| AgentId::new(number.to_string())).collect();
        let held = agents.iter().map(|agent| presence.listen(agent)).collect();
        (agents, held)
    }

    fn rung(held: &[Listening]) -> usize {
        held.iter().filter(|one| one.rung().now_or_never().is_some()).count()
    }

    #[tokio::test]
    async fn many_are_woken_in_their_turn_and_a_few_at_once() {
        let presence = Presence::default();
        let (agents, held) = many(&presence);
        presence.ring(&agents[..3]);
        assert_eq!(rung(&held), 3, "a few are woken at once");
        presence.ring(&agents);
        settle().await;
        assert_eq!(rung(&held), MANY, "the first of many");
        let back: Vec<Listening> = agents[..10].iter().map(|agent| presence.listen(agent)).collect();
        settle().await;
        assert_eq!(rung(&held[10..]), back.len(), "one more for each that asks again");
        presence.ring(&agents[MANY * 3 - 1..]);
        assert_eq!(rung(&held[MANY..]), 1, "what is for a few does not wait");
    }

    #[tokio::test]
    async fn whoever_has_asked_since_has_looked_and_takes_nobodys_turn() {
        let presence = Presence::default();
        let (agents, mut held) = many(&presence);
        presence.ring(&agents);
        let (early, last) = (&agents[..MANY * 2], agents.len() - 1);
        held.splice(..MANY * 2, early.iter().map(|agent| presence.listen(agent)));
        settle().await;
        assert_eq!(rung(&held[..MANY * 2]), 0, "they have asked after the bell");
        assert_eq!(rung(&held[last..]), 1, "all turns are left for the others");
    }

    #[tokio::test]
    async fn whoever_stays_away_holds_up_nobody() {
        let presence = Presence::default();
        let (agents, held) = many(&presence);
        presence.clone().ring_in_turn(agents, u64::MAX, Duration::ZERO).await;
        assert_eq!(rung(&held), MANY * 3);
        while !presence.state().turns.is_empty() {
            settle().await;
        }
    }
}
