use super::health::watched_if_any;
use super::{Sqlite, column};
use crate::store::CaseRow;
use netsonde_contract::id::CaseId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

pub(super) async fn list(store: &Sqlite, count: u32) -> sqlx::Result<Vec<CaseRow>> {
    let rows = sqlx::query(
        "SELECT cases.*, case_id, agent_id, schedule, target, health_cases.opened AS watched_from, health_cases.state AS watched_state,
                since, failures, (SELECT count(*) FROM bundles WHERE case_id = cases.id) AS bundles,
                (SELECT state FROM bundles WHERE case_id = cases.id ORDER BY received DESC, id LIMIT 1) AS state,
                (SELECT cause FROM bundles WHERE case_id = cases.id ORDER BY received DESC, id LIMIT 1) AS cause
         FROM cases LEFT JOIN health_cases ON health_cases.case_id = cases.id ORDER BY cases.updated DESC, cases.id LIMIT ?",
    )
    .bind(count)
    .fetch_all(&store.reader)
    .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn get(store: &Sqlite, id: &CaseId) -> sqlx::Result<Option<CaseRow>> {
    let row = sqlx::query(
        "SELECT cases.*, case_id, agent_id, schedule, target, health_cases.opened AS watched_from, health_cases.state AS watched_state,
                since, failures, (SELECT count(*) FROM bundles WHERE case_id = cases.id) AS bundles,
                (SELECT state FROM bundles WHERE case_id = cases.id ORDER BY received DESC, id LIMIT 1) AS state,
                (SELECT cause FROM bundles WHERE case_id = cases.id ORDER BY received DESC, id LIMIT 1) AS cause
         FROM cases LEFT JOIN health_cases ON health_cases.case_id = cases.id WHERE cases.id = ?",
    )
    .bind(id.as_str())
    .fetch_optional(&store.reader)
    .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &SqliteRow) -> sqlx::Result<CaseRow> {
    Ok(CaseRow {
        id: CaseId::new(row.try_get::<String, _>("id")?),
        opened: column::time(row, "opened")?,
        updated: column::time(row, "updated")?,
        bundles: row.try_get("bundles")?,
        state: column::word(row, "state")?,
        cause: row.try_get("cause")?,
        watched: watched_if_any(row)?,
    })
}
