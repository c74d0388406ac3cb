use jiff::Timestamp;
use netsonde_contract::id::AgentId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

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
    number: u64,
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
        state.number += 1;
        let (number, bell) = (state.number, Arc::new(Notify::new()));
        let listener = Listener { number, bell: Arc::clone(&bell) };
        if let Some(before) = state.listening.insert(agent.clone(), listener) {
            before.bell.notify_one();
        }
        drop(state);
        Listening { presence: self.clone(), agent: agent.clone(), number, bell }
    }

    /// Wakes those of `agents` that listen.
    pub(crate) fn ring<'a>(&self, agents: impl IntoIterator<Item = &'a AgentId>) {
        let state = self.state();
        agents.into_iter().filter_map(|agent| state.listening.get(agent)).for_each(|listener| listener.bell.notify_one());
    }

    pub(crate) fn ring_all(&self) {
        self.state().listening.values().for_each(|listener| listener.bell.notify_one());
    }

    pub(crate) fn is_online(&self, agent: &AgentId) -> bool {
        self.state().listening.contains_key(agent)
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
}
