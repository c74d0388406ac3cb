use super::{
    AgentRow, Asking, DeliveryPlace, DeliveryRow, DraftRow, Enrolled, EnrolmentRow, LinkDigest, LinkShown, Member, Note, Noted,
    OrderRow, Reported, RevisedRows, ShownLink, StoreError, WorkRow,
};
use async_trait::async_trait;
use jiff::Timestamp;
use netsonde_contract::api::fleet::{CheckIn, DeliveryState, Labels, TrustDocuments};
use netsonde_contract::audit::{Entry, Head};
use netsonde_contract::id::{AgentId, CaseId, OrderId, TicketId};
use std::collections::BTreeMap;

/// What is remembered of enrolled agents and of what they are asked. What a caller of [`super::Store`] relies on holds here too; besides, every
/// change that a person may want to know of adds to the audit log in the same transaction.
#[async_trait]
pub(crate) trait FleetStore: Send + Sync + 'static {
    async fn add_enrolment(&self, enrolment: &EnrolmentRow) -> Result<(), StoreError>;
    async fn enrolment(&self, id: &TicketId) -> Result<Option<EnrolmentRow>, StoreError>;
    /// Adds the agent and counts the code as used by it, once however often it asks.
    async fn enrol(&self, agent: &AgentRow, code: &TicketId, now: Timestamp) -> Result<Enrolled, StoreError>;
    /// Takes a newer introduction: new keys, and where `former` is another agent, in its place. False where it is not newer.
    async fn introduce(&self, agent: &AgentRow, former: &AgentId, now: Timestamp) -> Result<bool, StoreError>;
    /// By its id, or by the id of its transport key.
    async fn agent(&self, key_id: &str) -> Result<Option<AgentRow>, StoreError>;
    /// The same for many, at the same places, and only what every request needs.
    async fn members(&self, keys: &[String]) -> Result<Vec<Option<Member>>, StoreError>;
    /// Those that are not replaced, the last enrolled first.
    async fn agents(&self, count: u32) -> Result<Vec<AgentRow>, StoreError>;
    /// Of these, `count` at most, those whose id begins with `text` where that can be one, else those with this host name.
    async fn agents_called(&self, text: &str, count: u32) -> Result<Vec<AgentRow>, StoreError>;
    /// Of these those that carry each of `labels`.
    async fn agents_labelled(&self, labels: &Labels, count: u32) -> Result<Vec<AgentRow>, StoreError>;
    /// Keeps what the agent says of itself, where it shows the link that it was given last, and replaces that link.
    async fn check_in(
        &self,
        agent: &AgentId,
        check_in: &CheckIn,
        shown: Option<ShownLink>,
        next: LinkDigest,
        now: Timestamp,
    ) -> Result<LinkShown, StoreError>;
    /// Whether there is such an agent, as with the next two.
    async fn set_labels(&self, agent: &AgentId, labels: &Labels, now: Timestamp) -> Result<bool, StoreError>;
    /// Ends an enrolment and whatever the agent was given to do. None where nobody knows it; else who has new work by that.
    async fn revoke_agent(&self, agent: &AgentId, now: Timestamp) -> Result<Option<Vec<AgentId>>, StoreError>;
    /// Two machines share the identity: neither gets orders.
    async fn share_agent(&self, agent: &AgentId, detail: &str, now: Timestamp) -> Result<(), StoreError>;
    /// Only one machine is left of those that shared the identity: the next link is taken whatever it is.
    async fn settle_agent(&self, agent: &AgentId, now: Timestamp) -> Result<bool, StoreError>;

    /// Keeps all of `notes`, in their order; each has its answer at the same place. The agents for whom there is new work come with them.
    async fn note(&self, notes: &[Note]) -> Result<(Vec<Noted>, Vec<AgentId>), StoreError>;
    /// Ends what is over at `now`: nonces, orders that nobody took, drafts.
    async fn sweep_fleet(&self, now: Timestamp) -> Result<(), StoreError>;

    async fn trust(&self) -> Result<Option<TrustDocuments>, StoreError>;
    async fn set_trust(&self, documents: &TrustDocuments, what: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Adds an order with all its deliveries, opens its case where it is new, and hands out the first wave, whose agents it returns. Nothing where
    /// the id was used already.
    async fn add_order(&self, order: &OrderRow, deliveries: &[DeliveryRow]) -> Result<Option<Vec<AgentId>>, StoreError>;
    async fn order(&self, id: &OrderId) -> Result<Option<OrderRow>, StoreError>;
    /// Of a case, or all; the latest first.
    async fn orders(&self, case: Option<&CaseId>, count: u32) -> Result<Vec<OrderRow>, StoreError>;
    /// Those of which something may still come; the latest first.
    async fn open_orders(&self, count: u32) -> Result<Vec<OrderRow>, StoreError>;
    /// How many deliveries are in each state.
    async fn order_states(&self, id: &OrderId) -> Result<BTreeMap<String, u32>, StoreError>;
    /// Why so many of them ended in a state, by its name and their codes: the most frequent ones.
    async fn order_codes(&self, id: &OrderId) -> Result<BTreeMap<String, BTreeMap<String, u32>>, StoreError>;
    /// By their waves.
    async fn deliveries(&self, order: &OrderId, count: u32) -> Result<Vec<DeliveryRow>, StoreError>;
    /// `count` of those in `states`, in the order of these, after the first `skipped`.
    async fn deliveries_in(
        &self,
        order: &OrderId,
        states: &[DeliveryState],
        skipped: u32,
        count: u32,
    ) -> Result<Vec<DeliveryRow>, StoreError>;
    /// `count` of those that changed after the cursor `after`. A cursor beyond everything counts as none: the store is older than it.
    async fn deliveries_after(&self, order: &OrderId, after: u64, count: u32) -> Result<RevisedRows, StoreError>;
    /// The latest first.
    async fn deliveries_to(&self, agent: &AgentId, count: u32) -> Result<Vec<DeliveryRow>, StoreError>;
    /// What each of `asked` was not told yet, `count` orders at most, at the same places. A cursor beyond everything counts as none: the store is
    /// older than it.
    async fn work(&self, asked: &[Asking], now: Timestamp, count: usize) -> Result<Vec<WorkRow>, StoreError>;
    /// Cancels an order and returns the agents that are to hear of it. Nothing where there is no such order, or it is over at every agent.
    async fn cancel_order(&self, id: &OrderId, actor: &str, now: Timestamp) -> Result<Option<Vec<AgentId>>, StoreError>;
    /// Lets an order that stopped go on with its next wave, whose agents it returns. Nothing where it did not stop, or is over.
    async fn resume_order(&self, id: &OrderId, actor: &str, now: Timestamp) -> Result<Option<Vec<AgentId>>, StoreError>;
    async fn delivery_place(&self, order: &OrderId, agent: &AgentId) -> Result<Option<DeliveryPlace>, StoreError>;
    async fn delivery_state(&self, order: &OrderId, agent: &AgentId) -> Result<Option<DeliveryState>, StoreError>;
    async fn reported(&self, order: &OrderId, agent: &AgentId) -> Result<Reported, StoreError>;

    async fn add_draft(&self, draft: &DraftRow, actor: &str) -> Result<(), StoreError>;
    async fn draft(&self, id: &str) -> Result<Option<DraftRow>, StoreError>;
    /// The latest first.
    async fn drafts(&self, count: u32) -> Result<Vec<DraftRow>, StoreError>;
    async fn remove_draft(&self, id: &str) -> Result<bool, StoreError>;

    async fn audit_head(&self) -> Result<Option<Head>, StoreError>;
    /// The entries after `after`, `count` at most.
    async fn audit_after(&self, after: u64, count: u32) -> Result<Vec<Entry>, StoreError>;
}
