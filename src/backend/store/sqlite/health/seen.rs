//! What is read of it, for pages and for whoever sends.

use super::super::{Sqlite, column};
use crate::clock::from_micros;
use crate::store::{CheckRow, HeardRow, Spent, TimedChange, WatchedRow, What};
use jiff::Timestamp;
use netsonde_contract::history::Series;
use netsonde_contract::id::{AgentId, BundleId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

const CHECKS: &str = "SELECT health_checks.* FROM health_checks JOIN agents ON agents.id = agent_id";

pub(super) async fn heard(store: &Sqlite, agent: Option<&AgentId>, count: u32) -> sqlx::Result<Vec<HeardRow>> {
    let rows = sqlx::query(
        "SELECT agent_id, reported, silent_after FROM health_reports JOIN agents ON agents.id = agent_id
         WHERE NOT revoked AND replaced_by IS NULL AND (?1 IS NULL OR agent_id = ?1) ORDER BY reported LIMIT ?2",
    )
    .bind(agent.map(AgentId::as_str))
    .bind(count)
    .fetch_all(&store.reader)
    .await?;
    let read = |row: &SqliteRow| {
        Ok(HeardRow {
            agent: AgentId::new(row.try_get::<String, _>("agent_id")?),
            reported: column::time(row, "reported")?,
            silent_after: column::time(row, "silent_after")?,
        })
    };
    rows.iter().map(read).collect()
}

pub(super) async fn checks(store: &Sqlite, agent: Option<&AgentId>, count: u32) -> sqlx::Result<Vec<CheckRow>> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{CHECKS} WHERE NOT revoked AND replaced_by IS NULL AND (?1 IS NULL OR agent_id = ?1)
         ORDER BY agent_id, schedule, target, name LIMIT ?2"
    )))
    .bind(agent.map(AgentId::as_str))
    .bind(count)
    .fetch_all(&store.reader)
    .await?;
    rows.iter().map(read_check).collect()
}

/// Within a transaction, all of one agent.
pub(super) async fn checks_of(connection: &mut SqliteConnection, agent: &AgentId) -> sqlx::Result<Vec<CheckRow>> {
    let rows = sqlx::query("SELECT * FROM health_checks WHERE agent_id = ?").bind(agent.as_str()).fetch_all(connection).await?;
    rows.iter().map(read_check).collect()
}

pub(super) async fn changes(store: &Sqlite, case: &WatchedRow, since: Timestamp, count: u32) -> sqlx::Result<Vec<TimedChange>> {
    let rows = sqlx::query(
        "SELECT * FROM health_changes
         WHERE agent_id = ?1 AND at >= ?4 AND (presence IS NOT NULL OR (schedule = ?2 AND target = ?3)) ORDER BY at DESC, id DESC LIMIT ?5",
    )
    .bind(case.agent.as_str())
    .bind(&case.schedule)
    .bind(case.target.as_deref().unwrap_or_default())
    .bind(since.as_microsecond())
    .bind(count)
    .fetch_all(&store.reader)
    .await?;
    rows.iter().map(read_change).collect()
}

pub(super) async fn spent(store: &Sqlite, agent: &AgentId, since: Timestamp) -> sqlx::Result<Spent> {
    let row = sqlx::query(
        "SELECT count(*) AS bundles, coalesce(sum(size_bytes), 0) AS bytes FROM bundles
         WHERE agent_id = ? AND scheduled IS NOT NULL AND received > ?",
    )
    .bind(agent.as_str())
    .bind(since.as_microsecond())
    .fetch_one(&store.reader)
    .await?;
    Ok(Spent { bundles: column::count(&row, "bundles")?, bytes: column::count(&row, "bytes")? })
}

pub(super) async fn missing(store: &Sqlite, bundles: &[BundleId]) -> sqlx::Result<Vec<BundleId>> {
    let ids: Vec<String> = sqlx::query_scalar(
        "SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM bundles WHERE bundles.id = value) ORDER BY key",
    )
    .bind(column::to_json(&bundles)?)
    .fetch_all(&store.reader)
    .await?;
    Ok(ids.into_iter().map(BundleId::new).collect())
}

fn read_check(row: &SqliteRow) -> sqlx::Result<CheckRow> {
    let target: String = row.try_get("target")?;
    let unknown = |column| move || column::unreadable(column, std::io::Error::other("it is empty"));
    Ok(CheckRow {
        agent: AgentId::new(row.try_get::<String, _>("agent_id")?),
        series: Series {
            schedule: row.try_get("schedule")?,
            check: row.try_get("name")?,
            kind: column::word(row, "kind")?.ok_or_else(unknown("kind"))?,
            target: Some(target).filter(|target| !target.is_empty()),
            required: row.try_get("required")?,
        },
        health: column::word(row, "health")?.unwrap_or_default(),
        since: column::time(row, "since")?,
        silenced: row.try_get("silenced")?,
        measured: row.try_get::<Option<i64>, _>("measured")?.map(from_micros),
    })
}

fn read_change(row: &SqliteRow) -> sqlx::Result<TimedChange> {
    let presence: Option<&str> = row.try_get("presence")?;
    Ok(TimedChange {
        at: column::time(row, "at")?,
        kept: column::time(row, "kept")?,
        what: match presence {
            Some("silent") => What::Silent,
            Some(_) => What::Heard,
            None => What::Check(Box::new(column::json(row, "change")?)),
        },
        bundle: row.try_get::<Option<String>, _>("bundle_id")?.map(BundleId::new),
    })
}
