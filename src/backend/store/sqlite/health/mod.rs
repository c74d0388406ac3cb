//! Scheduled checks: what agents told of them, the cases that came of it, and the alerts on their way.

mod outbox;
mod report;
mod seen;
mod silence;
mod told;
mod watched;

pub(super) use watched::read_if_any as watched_if_any;

use super::Sqlite;
use crate::store::{
    AlertRow, AlertState, Attempt, Channel, CheckRow, HealthStore, HeardRow, PlaceOf, ReportRow, Spent, StoreError, TimedChange,
    WatchedRow,
};
use async_trait::async_trait;
use jiff::Timestamp;
use netsonde_contract::id::{AgentId, BundleId, CaseId};
use std::time::Duration;

#[async_trait]
impl HealthStore for Sqlite {
    async fn hear(&self, report: &ReportRow, channels: &[Channel]) -> Result<u64, StoreError> {
        doing!("keep a report of health", report::hear(self, report, channels))
    }

    async fn note_silence(&self, now: Timestamp, up_for: Duration, url: &str, channels: &[Channel]) -> Result<u32, StoreError> {
        doing!("note silent agents", silence::note(self, now, up_for, url, channels))
    }

    async fn heard(&self, agent: Option<&AgentId>, count: u32) -> Result<Vec<HeardRow>, StoreError> {
        doing!("list when agents were heard", seen::heard(self, agent, count))
    }

    async fn checks(&self, agent: Option<&AgentId>, count: u32) -> Result<Vec<CheckRow>, StoreError> {
        doing!("list scheduled checks", seen::checks(self, agent, count))
    }

    async fn changes(&self, case: &WatchedRow, since: Timestamp, count: u32) -> Result<Vec<TimedChange>, StoreError> {
        doing!("list a case's changes", seen::changes(self, case, since, count))
    }

    async fn place_of(&self, bundle: &PlaceOf) -> Result<CaseId, StoreError> {
        doing!("find a scheduled bundle's case", watched::place_of(self, bundle))
    }

    async fn spent(&self, agent: &AgentId, since: Timestamp) -> Result<Spent, StoreError> {
        doing!("count an agent's scheduled bundles", seen::spent(self, agent, since))
    }

    async fn watched(&self, case: &CaseId) -> Result<Option<WatchedRow>, StoreError> {
        doing!("read what a case watches", watched::get(self, case))
    }

    async fn close_watched(&self, case: &CaseId, now: Timestamp) -> Result<bool, StoreError> {
        doing!("close a case", watched::close(self, case, now))
    }

    async fn missing(&self, bundles: &[BundleId]) -> Result<Vec<BundleId>, StoreError> {
        doing!("look for bundles", seen::missing(self, bundles))
    }

    async fn due(&self, channel: &str, now: Timestamp, count: u32) -> Result<Vec<AlertRow>, StoreError> {
        doing!("look for alerts", outbox::due(self, channel, now, count))
    }

    async fn attempted(&self, id: &str, attempt: &Attempt) -> Result<(), StoreError> {
        doing!("keep what became of an alert", outbox::attempted(self, id, attempt))
    }

    async fn alerts(&self, state: Option<AlertState>, count: u32) -> Result<Vec<AlertRow>, StoreError> {
        doing!("list alerts", outbox::list(self, state, count))
    }

    async fn retry_alert(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        doing!("send an alert again", outbox::retry(self, id, now))
    }

    async fn sweep_alerts(&self, before: Timestamp) -> Result<(), StoreError> {
        doing!("sweep alerts", outbox::sweep(self, before))
    }
}
