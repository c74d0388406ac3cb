//! What the backend remembers, apart from the bundles' bytes.
//!
//! [`Store`] says what any database must do; [`Sqlite`] does it on one machine.
//! What a caller relies on: a method that returned `Ok` is durable, each method
//! is one transaction, and [`Store::accept`] uses a ticket at most once however
//! many bundles arrive for it at the same instant. `conformance.rs` holds every
//! implementation to this.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod conformance_fleet;
#[cfg(test)]
mod conformance_health;
mod fleet;
mod fleet_rows;
mod health;
mod health_rows;
mod rows;
mod sqlite;
mod trouble;
mod waves;

pub(crate) use fleet::FleetStore;
pub(crate) use fleet_rows::{
    AgentRow, Asking, DeliveryPlace, DeliveryRow, DraftRow, Enrolled, EnrolmentRow, LinkDigest, LinkShown, Member, Note, Noted,
    OrderRow, Reported, RevisedRows, ShownLink, Standing, WorkRow,
};
pub(crate) use health::HealthStore;
pub(crate) use health_rows::{
    AlertRow, AlertState, Attempt, Channel, CheckRow, HeardRow, PlaceOf, ReportRow, Spent, TimedChange, WatchedRow, WatchedState,
    What,
};
pub(crate) use rows::{Accepted, BundleRow, CaseRow, Origin, Sender, SessionRow, Setting, TicketRow, TicketStatus, UploadRow};
pub(crate) use sqlite::Sqlite;
pub(crate) use trouble::{DAMAGED, Trouble};
pub(crate) use waves::assign as assign_waves;

use async_trait::async_trait;
use jiff::Timestamp;
use netsonde_contract::id::{BundleId, CaseId, TicketId};

/// What was being done when the database failed, with the database's own error as its source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the database failed to {doing}")]
    Database { doing: &'static str, source: sqlx::Error },
    #[error("the database has shape {found} and this version reads {expected}; use the netsonde-backend that last served it")]
    OtherVersion { found: i64, expected: i64 },
    #[error("{DAMAGED} ({found})")]
    Damaged { found: String },
    #[error("the database could not be brought to this version's shape")]
    Migration(#[source] sqlx::migrate::MigrateError),
}

#[async_trait]
pub(crate) trait Store: FleetStore + HealthStore {
    /// Reads and writes something, so that a full disk or a lost file shows.
    async fn check(&self) -> Result<(), StoreError>;
    /// Ends all use of the database, at the end of a server's life: what was logged is folded into its file.
    async fn close(&self);
    /// What the database finds wrong with itself, in its own words.
    async fn faults(&self) -> Result<Vec<String>, StoreError>;

    async fn setting(&self, setting: Setting) -> Result<Option<String>, StoreError>;
    async fn set(&self, setting: Setting, value: &str) -> Result<(), StoreError>;

    /// Adds a ticket and opens its case where it is new.
    async fn add_ticket(&self, ticket: &TicketRow) -> Result<(), StoreError>;
    async fn ticket(&self, id: &TicketId) -> Result<Option<TicketRow>, StoreError>;
    /// Revokes an open ticket; any other stays as it is. Whether it was open.
    async fn revoke_ticket(&self, id: &TicketId, actor: &str, now: Timestamp) -> Result<bool, StoreError>;

    /// Adds an upload in place of the others of its ticket, or of the same bundle of its agent, whose ids it returns.
    async fn begin_upload(&self, upload: &UploadRow) -> Result<Vec<String>, StoreError>;
    async fn upload(&self, id: &str) -> Result<Option<UploadRow>, StoreError>;
    /// Moves the offset from `from` to `to`. False where it is not at `from`, or the upload is gone.
    async fn advance_upload(&self, id: &str, from: u64, to: u64, now: Timestamp) -> Result<bool, StoreError>;
    async fn remove_upload(&self, id: &str) -> Result<(), StoreError>;
    /// Removes the uploads that were not continued since `before`, and returns the ids of those that remain.
    async fn sweep_uploads(&self, before: Timestamp) -> Result<Vec<String>, StoreError>;

    /// Uses the ticket, gives the delivery its bundle, or opens the case that an engineer named; adds the bundle, brings its case up to date and removes its upload: all or nothing.
    async fn accept(&self, bundle: &BundleRow, upload: Option<&str>) -> Result<Accepted, StoreError>;
    async fn bundle(&self, id: &BundleId) -> Result<Option<BundleRow>, StoreError>;
    /// The ids after `after` in their order, `count` at most, to walk over all bundles.
    async fn bundle_ids_after(&self, after: Option<&BundleId>, count: u32) -> Result<Vec<BundleId>, StoreError>;
    /// Whether an acknowledged bundle is kept in the blob of this digest.
    async fn names_blob(&self, file_sha256: &str) -> Result<bool, StoreError>;

    /// The cases, the last updated first.
    async fn cases(&self, count: u32) -> Result<Vec<CaseRow>, StoreError>;
    async fn case(&self, id: &CaseId) -> Result<Option<CaseRow>, StoreError>;
    /// The bundles of a case, the latest first.
    async fn bundles_of(&self, case: &CaseId, count: u32) -> Result<Vec<BundleRow>, StoreError>;
    /// The tickets of a case, the latest first.
    async fn tickets_of(&self, case: &CaseId, count: u32) -> Result<Vec<TicketRow>, StoreError>;

    async fn add_session(&self, session: &SessionRow) -> Result<(), StoreError>;
    async fn session(&self, digest: &[u8; 32], now: Timestamp) -> Result<Option<SessionRow>, StoreError>;
    async fn remove_session(&self, digest: &[u8; 32]) -> Result<(), StoreError>;
    /// Removes the sessions that ended before `before`; with [`Timestamp::MAX`], all.
    async fn sweep_sessions(&self, before: Timestamp) -> Result<(), StoreError>;
}
