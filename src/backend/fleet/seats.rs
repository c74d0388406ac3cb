use netsonde_contract::id::AgentId;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// Which connections each agent has, so that whoever stole a transport key holds no more of them than an agent needs. One more ends the oldest: a
/// network that changed leaves dead ones behind, and an agent's newest is the one that lives.
#[derive(Clone)]
pub(crate) struct Seats {
    most: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    number: u64,
    /// The oldest first, each with what ends it.
    taken: HashMap<AgentId, VecDeque<(u64, CancellationToken)>>,
}

/// One connection of an agent, until this is dropped.
pub(crate) struct AgentPlace {
    seats: Seats,
    agent: AgentId,
    number: u64,
}

impl Seats {
    pub(crate) fn of_at_most(most: usize) -> Self {
        Self { most, state: Arc::default() }
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection that `end` ends.
    pub(crate) fn take(&self, agent: &AgentId, end: CancellationToken) -> AgentPlace {
        let mut state = self.state();
        state.number += 1;
        let number = state.number;
        let own = state.taken.entry(agent.clone()).or_default();
        own.push_back((number, end));
        if own.len() > self.most
            && let Some((_, oldest)) = own.pop_front()
        {
            tracing::debug!(agent = agent.short(), "an agent has too many connections; its oldest ends");
            oldest.cancel();
        }
        AgentPlace { seats: self.clone(), agent: agent.clone(), number }
    }
}

impl Drop for AgentPlace {
    fn drop(&mut self) {
        let mut state = self.seats.state();
        if let Some(own) = state.taken.get_mut(&self.agent) {
            own.retain(|(number, _)| *number != self.number);
            if own.is_empty() {
                state.taken.remove(&self.agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_too_many_ends_the_agents_oldest_and_nobody_elses() {
        let seats = Seats::of_at_most(2);
        let take = |agent: &str| {
            let end = CancellationToken::new();
            (seats.take(&AgentId::new(agent), end.clone()), end)
        };
        let ended = |taken: &(AgentPlace, CancellationToken)| taken.1.is_cancelled();
        let (first, second, other) = (take("a"), take("a"), take("b"));
        assert!(!ended(&first) && !ended(&second));
        let third = take("a");
        assert!(ended(&first) && !ended(&second) && !ended(&third) && !ended(&other));
        drop((first, second));
        let fourth = take("a");
        assert!(!ended(&third), "whoever has gone counts no more");
        drop((third, fourth, other));
        assert!(seats.state().taken.is_empty(), "nothing is remembered of who has gone");
    }
}
