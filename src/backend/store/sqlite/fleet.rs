use super::{Sqlite, agents, audit, deliveries, members, notes, orders, work};
use crate::store::{
    AgentRow, Asking, DeliveryPlace, DeliveryRow, DraftRow, Enrolled, EnrolmentRow, FleetStore, LinkDigest, LinkShown, Member,
    Note, Noted, OrderRow, Reported, RevisedRows, ShownLink, StoreError, WorkRow,
};
use async_trait::async_trait;
use jiff::Timestamp;
use netsonde_contract::api::fleet::{CheckIn, DeliveryState, Labels, TrustDocuments};
use netsonde_contract::audit::{Entry, Head};
use netsonde_contract::id::{AgentId, CaseId, OrderId, TicketId};
use std::collections::BTreeMap;

#[async_trait]
impl FleetStore for Sqlite {
    async fn add_enrolment(&self, enrolment: &EnrolmentRow) -> Result<(), StoreError> {
        doing!("add an enrolment", agents::add_enrolment(self, enrolment))
    }

    async fn enrolment(&self, id: &TicketId) -> Result<Option<EnrolmentRow>, StoreError> {
        doing!("read an enrolment", agents::enrolment(self, id))
    }

    async fn enrol(&self, agent: &AgentRow, code: &TicketId, now: Timestamp) -> Result<Enrolled, StoreError> {
        doing!("enrol an agent", agents::enrol(self, agent, code, now))
    }

    async fn introduce(&self, agent: &AgentRow, former: &AgentId, now: Timestamp) -> Result<bool, StoreError> {
        doing!("introduce an agent", agents::introduce(self, agent, former, now))
    }

    async fn agent(&self, key_id: &str) -> Result<Option<AgentRow>, StoreError> {
        doing!("read an agent", agents::get(self, key_id))
    }

    async fn agents(&self, count: u32) -> Result<Vec<AgentRow>, StoreError> {
        doing!("list agents", agents::list(self, count))
    }

    async fn agents_called(&self, text: &str, count: u32) -> Result<Vec<AgentRow>, StoreError> {
        doing!("look for an agent by its name", agents::called(self, text, count))
    }

    async fn agents_labelled(&self, labels: &Labels, count: u32) -> Result<Vec<AgentRow>, StoreError> {
        doing!("look for agents by their labels", agents::labelled(self, labels, count))
    }

    async fn check_in(
        &self,
        agent: &AgentId,
        check_in: &CheckIn,
        shown: Option<ShownLink>,
        next: LinkDigest,
        now: Timestamp,
    ) -> Result<LinkShown, StoreError> {
        doing!("keep a check-in", agents::check_in(self, agent, check_in, shown, next, now))
    }

    async fn set_labels(&self, agent: &AgentId, labels: &Labels, now: Timestamp) -> Result<bool, StoreError> {
        doing!("label an agent", agents::set_labels(self, agent, labels, now))
    }

    async fn revoke_agent(&self, agent: &AgentId, now: Timestamp) -> Result<Option<Vec<AgentId>>, StoreError> {
        doing!("revoke an agent", agents::revoke(self, agent, now))
    }

    async fn share_agent(&self, agent: &AgentId, detail: &str, now: Timestamp) -> Result<(), StoreError> {
        doing!("note that two machines share an agent's identity", agents::share(self, agent, detail, now))
    }

    async fn settle_agent(&self, agent: &AgentId, now: Timestamp) -> Result<bool, StoreError> {
        doing!("settle an agent", agents::settle(self, agent, now))
    }

    async fn note(&self, given: &[Note]) -> Result<(Vec<Noted>, Vec<AgentId>), StoreError> {
        doing!("keep notes", notes::keep(self, given))
    }

    async fn sweep_fleet(&self, now: Timestamp) -> Result<(), StoreError> {
        doing!("sweep orders", notes::sweep(self, now))
    }

    async fn trust(&self) -> Result<Option<TrustDocuments>, StoreError> {
        doing!("read the organisation's documents", agents::trust(self))
    }

    async fn set_trust(&self, documents: &TrustDocuments, what: &str, now: Timestamp) -> Result<(), StoreError> {
        doing!("keep the organisation's documents", agents::set_trust(self, documents, what, now))
    }

    async fn add_order(&self, order: &OrderRow, deliveries: &[DeliveryRow]) -> Result<Option<Vec<AgentId>>, StoreError> {
        doing!("add an order", orders::add(self, order, deliveries))
    }

    async fn order(&self, id: &OrderId) -> Result<Option<OrderRow>, StoreError> {
        doing!("read an order", orders::get(self, id))
    }

    async fn orders(&self, case: Option<&CaseId>, count: u32) -> Result<Vec<OrderRow>, StoreError> {
        doing!("list orders", orders::list(self, case, count))
    }

    async fn open_orders(&self, count: u32) -> Result<Vec<OrderRow>, StoreError> {
        doing!("list open orders", orders::open(self, count))
    }

    async fn order_states(&self, id: &OrderId) -> Result<BTreeMap<String, u32>, StoreError> {
        doing!("count an order's deliveries", orders::states(self, id))
    }

    async fn order_codes(&self, id: &OrderId) -> Result<BTreeMap<String, BTreeMap<String, u32>>, StoreError> {
        doing!("count why an order's deliveries ended", orders::codes(self, id))
    }

    async fn deliveries(&self, order: &OrderId, count: u32) -> Result<Vec<DeliveryRow>, StoreError> {
        doing!("list an order's deliveries", deliveries::by_wave(self, order, count))
    }

    async fn deliveries_in(
        &self,
        order: &OrderId,
        states: &[DeliveryState],
        skipped: u32,
        count: u32,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        doing!("list a page of an order's deliveries", deliveries::in_states(self, order, states, (skipped, count)))
    }

    async fn deliveries_after(&self, order: &OrderId, after: u64, count: u32) -> Result<RevisedRows, StoreError> {
        doing!("list what changed of an order's deliveries", deliveries::after(self, order, after, count))
    }

    async fn deliveries_to(&self, agent: &AgentId, count: u32) -> Result<Vec<DeliveryRow>, StoreError> {
        doing!("list an agent's deliveries", deliveries::to(self, agent, count))
    }

    async fn members(&self, keys: &[String]) -> Result<Vec<Option<Member>>, StoreError> {
        doing!("look for agents", members::find(self, keys))
    }

    async fn work(&self, asked: &[Asking], now: Timestamp, count: usize) -> Result<Vec<WorkRow>, StoreError> {
        doing!("look for work", work::of(self, asked, now, count))
    }

    async fn cancel_order(&self, id: &OrderId, actor: &str, now: Timestamp) -> Result<Option<Vec<AgentId>>, StoreError> {
        doing!("cancel an order", orders::cancel(self, id, actor, now))
    }

    async fn resume_order(&self, id: &OrderId, actor: &str, now: Timestamp) -> Result<Option<Vec<AgentId>>, StoreError> {
        doing!("resume an order", orders::resume(self, id, actor, now))
    }

    async fn delivery_place(&self, order: &OrderId, agent: &AgentId) -> Result<Option<DeliveryPlace>, StoreError> {
        doing!("read where a delivery belongs", orders::place(self, order, agent))
    }

    async fn delivery_state(&self, order: &OrderId, agent: &AgentId) -> Result<Option<DeliveryState>, StoreError> {
        doing!("read a delivery's state", deliveries::state(self, order, agent))
    }

    async fn reported(&self, order: &OrderId, agent: &AgentId) -> Result<Reported, StoreError> {
        doing!("read an agent's progress", notes::reported(self, order, agent))
    }

    async fn add_draft(&self, draft: &DraftRow, actor: &str) -> Result<(), StoreError> {
        doing!("keep a draft", notes::add_draft(self, draft, actor))
    }

    async fn draft(&self, id: &str) -> Result<Option<DraftRow>, StoreError> {
        doing!("read a draft", notes::draft(self, id))
    }

    async fn drafts(&self, count: u32) -> Result<Vec<DraftRow>, StoreError> {
        doing!("list drafts", notes::drafts(self, count))
    }

    async fn remove_draft(&self, id: &str) -> Result<bool, StoreError> {
        doing!("remove a draft", notes::remove_draft(self, id))
    }

    async fn audit_head(&self) -> Result<Option<Head>, StoreError> {
        doing!("read the end of the audit log", audit::head(self))
    }

    async fn audit_after(&self, after: u64, count: u32) -> Result<Vec<Entry>, StoreError> {
        doing!("read the audit log", audit::after(self, after, count))
    }
}
