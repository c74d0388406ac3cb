use super::Together;
use crate::clock::Clock;
use crate::problem::Refused;
use crate::store::{Asking, Member, Store, WorkRow};
use netsonde_contract::api::fleet::MAX_WORK;
use netsonde_contract::id::AgentId;
use std::sync::Arc;

/// Looks up what every request of an agent needs: who it is, and what waits for it. Many look at once, and are answered together.
pub(crate) struct Register {
    members: Together<String, Option<Member>>,
    work: Together<Asking, WorkRow>,
}

impl Register {
    pub(crate) fn open(store: &Arc<dyn Store>, clock: &Clock) -> Self {
        let (for_members, for_work, clock) = (Arc::clone(store), Arc::clone(store), clock.clone());
        Self {
            members: Together::open(move |keys: Vec<String>| {
                let store = Arc::clone(&for_members);
                async move { store.members(&keys).await }
            }),
            work: Together::open(move |asked: Vec<Asking>| {
                let (store, now) = (Arc::clone(&for_work), clock.now());
                async move { store.work(&asked, now, MAX_WORK).await }
            }),
        }
    }

    /// By the agent's id, or by the id of its transport key.
    pub(crate) async fn member(&self, key_id: &str) -> Result<Option<Member>, Refused> {
        self.members.ask(key_id.to_owned()).await
    }

    /// What `agent` was not told after `after`.
    pub(crate) async fn work(&self, agent: &AgentId, after: u64) -> Result<WorkRow, Refused> {
        self.work.ask(Asking { agent: agent.clone(), after }).await
    }
}
