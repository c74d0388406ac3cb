use super::{
    AlertRow, AlertState, Attempt, Channel, CheckRow, HeardRow, PlaceOf, ReportRow, Spent, StoreError, TimedChange, WatchedRow,
};
use async_trait::async_trait;
use jiff::Timestamp;
use netsonde_contract::id::{AgentId, BundleId, CaseId};
use std::time::Duration;

/// What is remembered of scheduled checks: how they are, what changed, the cases that came of it, and the alerts that are to be sent. A change, its case
/// and its alerts are kept in one transaction, so that nobody is told of what was not kept, and nothing that was kept is told to nobody.
#[async_trait]
pub(crate) trait HealthStore: Send + Sync + 'static {
    /// Keeps a whole report: its checks in place of those before, its changes once each, the cases that they open, join or see recover, and the
    /// alerts of it for `channels`. The answer says up to which number changes are kept.
    async fn hear(&self, report: &ReportRow, channels: &[Channel]) -> Result<u64, StoreError>;
    /// Marks the agents that are silent at `now`, each with a change of its own, and returns how many. An agent that could not have been heard
    /// because this program has run for a shorter time than the agent may be silent is left for later.
    async fn note_silence(&self, now: Timestamp, up_for: Duration, url: &str, channels: &[Channel]) -> Result<u32, StoreError>;
    /// When each agent, or one, was heard last; those that are not enrolled any more are left out.
    async fn heard(&self, agent: Option<&AgentId>, count: u32) -> Result<Vec<HeardRow>, StoreError>;
    /// The checks of all such agents, or of one.
    async fn checks(&self, agent: Option<&AgentId>, count: u32) -> Result<Vec<CheckRow>, StoreError>;
    /// The changes of a case's agent, schedule and target from `since`, the latest first, with those of the whole agent.
    async fn changes(&self, case: &WatchedRow, since: Timestamp, count: u32) -> Result<Vec<TimedChange>, StoreError>;

    /// The case that a scheduled bundle goes to, opened where there is none.
    async fn place_of(&self, bundle: &PlaceOf) -> Result<CaseId, StoreError>;
    /// What an agent's scheduled bundles took since `since`.
    async fn spent(&self, agent: &AgentId, since: Timestamp) -> Result<Spent, StoreError>;
    /// The case as one that was opened by itself, where it is.
    async fn watched(&self, case: &CaseId) -> Result<Option<WatchedRow>, StoreError>;
    /// Closes it, once. Whether it was open.
    async fn close_watched(&self, case: &CaseId, now: Timestamp) -> Result<bool, StoreError>;

    /// Which of the bundles are not here, in their order.
    async fn missing(&self, bundles: &[BundleId]) -> Result<Vec<BundleId>, StoreError>;

    /// What is due on a channel, the oldest first.
    async fn due(&self, channel: &str, now: Timestamp, count: u32) -> Result<Vec<AlertRow>, StoreError>;
    async fn attempted(&self, id: &str, attempt: &Attempt) -> Result<(), StoreError>;
    /// The alerts in this state, or all; the latest first.
    async fn alerts(&self, state: Option<AlertState>, count: u32) -> Result<Vec<AlertRow>, StoreError>;
    /// Lets an alert that was given up be sent again. Whether it was.
    async fn retry_alert(&self, id: &str, now: Timestamp) -> Result<bool, StoreError>;
    /// Removes what was sent or given up before `before`.
    async fn sweep_alerts(&self, before: Timestamp) -> Result<(), StoreError>;
}
