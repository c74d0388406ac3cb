//! The store on SQLite: one file, one writer, several readers.
//!
//! WAL with `synchronous = FULL` makes a commit durable before it returns.
//! There is one connection that writes, and each of its transactions begins
//! IMMEDIATE, so that none is ever refused at its end for what another did.

/// Says what was being done to whatever the database answers.
macro_rules! doing {
    ($what:literal, $call:expr) => {
        $call.await.map_err(|source| StoreError::Database { doing: $what, source })
    };
}

mod agents;
mod audit;
mod bundles;
mod cases;
mod column;
mod deliveries;
mod fleet;
mod health;
mod members;
mod notes;
mod orders;
mod sessions;
mod settings;
mod silent;
mod states;
mod tickets;
mod uploads;
mod work;

use super::{Accepted, BundleRow, CaseRow, SessionRow, Setting, Store, StoreError, TicketRow, Trouble, UploadRow};
use async_trait::async_trait;
use jiff::Timestamp;
use netsonde_contract::id::{BundleId, CaseId, TicketId};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlSafeStr, Transaction};
use std::path::Path;
use std::time::Duration;

/// Reads do not wait for the writer in WAL; a few at once keep two cores busy.
const READERS: u32 = 4;
/// How long a writer waits for another process (`reset-password` beside a running server).
const BUSY: Duration = Duration::from_secs(5);

pub(crate) struct Sqlite {
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Sqlite {
    /// Opens the database, making it where it is not there, and brings it to this version's shape.
    ///
    /// # Errors
    /// Where the file cannot be opened, or a later version has written it.
    pub(crate) async fn open(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY);
        let database = |doing| move |source| damaged_or(doing, source);
        let writer =
            SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(database("open its file"))?;
        Migrator::with_migrations(migrations()).run(&writer).await.map_err(|error| match Trouble::of(&error) {
            Trouble::Damaged => StoreError::Damaged { found: error.to_string() },
            _ => StoreError::Migration(error),
        })?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .map_err(database("open its file for reading"))?;
        Ok(Self { writer, reader })
    }

    /// Opens the database for reading only: nothing of it is made, changed or brought to another shape.
    ///
    /// # Errors
    /// Where there is none, or another version has written it.
    pub(crate) async fn open_to_read(file: &Path) -> Result<Self, StoreError> {
        let database = |doing| move |source| StoreError::Database { doing, source };
        let options = SqliteConnectOptions::new().filename(file).read_only(true).busy_timeout(BUSY);
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options)
            .await
            .map_err(database("open its file for reading"))?;
        let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&reader)
            .await
            .map_err(database("say which version wrote it"))?;
        let expected = migrations().last().map_or(0, |migration| migration.version);
        if found != Some(expected) {
            return Err(StoreError::OtherVersion { found: found.unwrap_or(0), expected });
        }
        Ok(Self { writer: reader.clone(), reader })
    }

    /// Looks at every page once, before anybody relies on them.
    ///
    /// # Errors
    /// Where one is damaged.
    pub(crate) async fn expect_whole(&self) -> Result<(), StoreError> {
        // The first thing that is wrong is reason enough.
        let found: Result<String, _> = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&self.reader).await;
        match found {
            Ok(found) if found == "ok" => Ok(()),
            Ok(found) => Err(StoreError::Damaged { found }),
            Err(error) => Err(damaged_or("check itself", error)),
        }
    }

    async fn begin(&self) -> sqlx::Result<Transaction<'static, sqlx::Sqlite>> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        match self.writer.begin_with(BEGIN).await {
            // Where the disk is full or broken, SQLite itself ends a transaction, of which the connection's own count does not hear: that connection
            // would begin none ever again.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.writer.acquire().await?.close().await?;
                self.writer.begin_with(BEGIN).await
            }
            begun => begun,
        }
    }
}

fn damaged_or(doing: &'static str, source: sqlx::Error) -> StoreError {
    match Trouble::of(&source) {
        Trouble::Damaged => StoreError::Damaged { found: source.to_string() },
        _ => StoreError::Database { doing, source },
    }
}

/// Every change of the database's shape, in their order.
fn migrations() -> Vec<Migration> {
    let change = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    vec![
        change(1, "first", include_str!("migrations/1-first.sql")),
        change(2, "summary", include_str!("migrations/2-summary.sql")),
        change(3, "fleet", include_str!("migrations/3-fleet.sql")),
        change(4, "health", include_str!("migrations/4-health.sql")),
        change(5, "measured", include_str!("migrations/5-measured.sql")),
        change(6, "excerpts", include_str!("migrations/6-excerpts.sql")),
        change(7, "spent", include_str!("migrations/7-spent.sql")),
        change(8, "removed", include_str!("migrations/8-removed.sql")),
        change(9, "told", include_str!("migrations/9-told.sql")),
    ]
}

#[async_trait]
impl Store for Sqlite {
    async fn check(&self) -> Result<(), StoreError> {
        doing!("answer a check", settings::check(self))
    }

    async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    async fn faults(&self) -> Result<Vec<String>, StoreError> {
        doing!("check itself", settings::faults(self))
    }

    async fn setting(&self, setting: Setting) -> Result<Option<String>, StoreError> {
        doing!("read a setting", settings::get(self, setting))
    }

    async fn set(&self, setting: Setting, value: &str) -> Result<(), StoreError> {
        doing!("keep a setting", settings::set(self, setting, value))
    }

    async fn add_ticket(&self, ticket: &TicketRow) -> Result<(), StoreError> {
        doing!("add a ticket", tickets::add(self, ticket))
    }

    async fn ticket(&self, id: &TicketId) -> Result<Option<TicketRow>, StoreError> {
        doing!("read a ticket", tickets::get(self, id))
    }

    async fn revoke_ticket(&self, id: &TicketId, actor: &str, now: Timestamp) -> Result<bool, StoreError> {
        doing!("revoke a ticket", tickets::revoke(self, id, actor, now))
    }

    async fn begin_upload(&self, upload: &UploadRow) -> Result<Vec<String>, StoreError> {
        doing!("begin an upload", uploads::begin(self, upload))
    }

    async fn upload(&self, id: &str) -> Result<Option<UploadRow>, StoreError> {
        doing!("read an upload", uploads::get(self, id))
    }

    async fn advance_upload(&self, id: &str, from: u64, to: u64, now: Timestamp) -> Result<bool, StoreError> {
        doing!("advance an upload", uploads::advance(self, id, from, to, now))
    }

    async fn remove_upload(&self, id: &str) -> Result<(), StoreError> {
        doing!("remove an upload", uploads::remove(self, id))
    }

    async fn sweep_uploads(&self, before: Timestamp) -> Result<Vec<String>, StoreError> {
        doing!("sweep uploads", uploads::sweep(self, before))
    }

    async fn accept(&self, bundle: &BundleRow, upload: Option<&str>) -> Result<Accepted, StoreError> {
        doing!("accept a bundle", bundles::accept(self, bundle, upload))
    }

    async fn bundle(&self, id: &BundleId) -> Result<Option<BundleRow>, StoreError> {
        doing!("read a bundle", bundles::get(self, id))
    }

    async fn bundle_ids_after(&self, after: Option<&BundleId>, count: u32) -> Result<Vec<BundleId>, StoreError> {
        doing!("list bundles", bundles::ids_after(self, after, count))
    }

    async fn names_blob(&self, file_sha256: &str) -> Result<bool, StoreError> {
        doing!("look for a blob's bundle", bundles::names_blob(self, file_sha256))
    }

    async fn cases(&self, count: u32) -> Result<Vec<CaseRow>, StoreError> {
        doing!("list cases", cases::list(self, count))
    }

    async fn case(&self, id: &CaseId) -> Result<Option<CaseRow>, StoreError> {
        doing!("read a case", cases::get(self, id))
    }

    async fn bundles_of(&self, case: &CaseId, count: u32) -> Result<Vec<BundleRow>, StoreError> {
        doing!("list a case's bundles", bundles::of_case(self, case, count))
    }

    async fn tickets_of(&self, case: &CaseId, count: u32) -> Result<Vec<TicketRow>, StoreError> {
        doing!("list a case's tickets", tickets::of_case(self, case, count))
    }

    async fn add_session(&self, session: &SessionRow) -> Result<(), StoreError> {
        doing!("keep a session", sessions::add(self, session))
    }

    async fn session(&self, digest: &[u8; 32], now: Timestamp) -> Result<Option<SessionRow>, StoreError> {
        doing!("read a session", sessions::get(self, digest, now))
    }

    async fn remove_session(&self, digest: &[u8; 32]) -> Result<(), StoreError> {
        doing!("end a session", sessions::remove(self, digest))
    }

    async fn sweep_sessions(&self, before: Timestamp) -> Result<(), StoreError> {
        doing!("sweep sessions", sessions::sweep(self, before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sqlite_keeps_the_promises_of_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("netsonde.db");
        crate::store::conformance::run(async || Sqlite::open(&file).await.unwrap()).await;
    }

    #[tokio::test]
    async fn a_disk_that_was_full_is_written_to_again_once_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("netsonde.db")).await.unwrap();
        store.set(Setting::Place, "before").await.unwrap();
        // The database may grow no more, which SQLite tells as it tells a full disk.
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&store.writer).await.unwrap();
        let bound = |pages: i64| sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(bound(pages)).execute(&store.writer).await.unwrap();
        for round in ["first", "second"] {
            sqlx::query(bound(pages)).execute(&store.writer).await.unwrap();
            let error = store.set(Setting::PasswordHash, &"x".repeat(1 << 20)).await.unwrap_err();
            assert_eq!(Trouble::of(&error), Trouble::Full, "{error:?}");
            assert!(store.setting(Setting::Place).await.unwrap().is_some(), "what was there is there");
            // The next one begins anew, on a connection that knows nothing of the bound.
            store.set(Setting::Place, round).await.unwrap();
            assert_eq!(store.setting(Setting::Place).await.unwrap().as_deref(), Some(round));
        }
    }

    #[tokio::test]
    async fn a_stop_leaves_all_in_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("netsonde.db");
        let store = Sqlite::open(&file).await.unwrap();
        store.set(Setting::Place, "here").await.unwrap();
        store.close().await;
        assert!(!folder.path().join("netsonde.db-wal").exists());
        assert_eq!(Sqlite::open(&file).await.unwrap().setting(Setting::Place).await.unwrap().as_deref(), Some("here"));
    }

    #[tokio::test]
    async fn a_damaged_page_is_said_before_anybody_relies_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("netsonde.db");
        let store = Sqlite::open(&file).await.unwrap();
        store.expect_whole().await.unwrap();
        store.writer.close().await;
        store.reader.close().await;
        let whole = std::fs::read(&file).unwrap();
        const PAGE: usize = 4096;
        let mut noticed = 0;
        for page in 1..whole.len() / PAGE {
            let mut damaged = whole.clone();
            damaged[page * PAGE..(page + 1) * PAGE].fill(0xa5);
            std::fs::write(&file, damaged).unwrap();
            let found = async { Sqlite::open(&file).await?.expect_whole().await }.await;
            if let Err(error) = found {
                assert!(error.to_string().contains("damaged") && error.to_string().contains("backup"), "page {page}: {error}");
                noticed += 1;
            }
        }
        // A page that nothing uses may hold anything.
        assert!(noticed * 10 >= (whole.len() / PAGE - 1) * 9, "{noticed} of {} pages", whole.len() / PAGE - 1);
    }

    #[tokio::test]
    async fn reading_alone_makes_and_changes_nothing_and_refuses_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("netsonde.db");
        assert!(Sqlite::open_to_read(&file).await.is_err());
        assert!(!file.exists(), "nothing was made");
        let store = Sqlite::open(&file).await.unwrap();
        store.set(Setting::Place, "here").await.unwrap();
        let reading = Sqlite::open_to_read(&file).await.unwrap();
        assert_eq!(reading.setting(Setting::Place).await.unwrap().as_deref(), Some("here"));
        assert!(reading.set(Setting::Place, "there").await.is_err());
        drop(reading);
        sqlx::query("UPDATE _sqlx_migrations SET version = 99 WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
            .execute(&store.writer)
            .await
            .unwrap();
        let refused = Sqlite::open_to_read(&file).await.err().unwrap();
        assert!(matches!(refused, StoreError::OtherVersion { found: 99, .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_bundle_of_the_first_shape_keeps_its_ticket_and_has_its_summary_in_the_latest() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join("old.db")).create_if_missing(true);
        let old = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let [first, later @ ..]: [Migration; 9] = migrations().try_into().unwrap();
        sqlx::raw_sql(first.sql).execute(&old).await.unwrap();
        let backend = r#"{"state":"explained","findings":[{"cause":"tcp.refused"},{"cause":"x"}]}"#;
        let fill = "INSERT INTO cases VALUES ('c', 1, 1);
            INSERT INTO tickets VALUES ('t', 'c', 's', '', '', '', x'', 1, 1, 'open', NULL);
            INSERT INTO bundles SELECT 'b', '', 1, x'', 't', 'c', 's', 1, x'', '', value, '' FROM (SELECT ? AS value)";
        for statement in fill.split(';') {
            let query = sqlx::query(statement.into_sql_str());
            let query = if statement.contains('?') { query.bind(backend) } else { query };
            query.execute(&old).await.unwrap();
        }
        for change in later {
            sqlx::raw_sql(change.sql).execute(&old).await.unwrap();
        }
        let summary: (String, String) = sqlx::query_as("SELECT state, cause FROM bundles").fetch_one(&old).await.unwrap();
        assert_eq!(summary, ("explained".to_owned(), "tcp.refused".to_owned()));
        let ticket: String = sqlx::query_scalar("SELECT ticket_id FROM bundles").fetch_one(&old).await.unwrap();
        assert_eq!(ticket, "t");
    }

    #[tokio::test]
    async fn a_commit_waits_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("netsonde.db")).await.unwrap();
        const FULL: i64 = 2;
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&store.writer).await.unwrap();
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&store.writer).await.unwrap();
        assert_eq!((synchronous, journal.as_str()), (FULL, "wal"));
    }
}
