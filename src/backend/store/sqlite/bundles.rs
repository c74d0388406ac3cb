use super::{Sqlite, column};
use crate::store::{Accepted, BundleRow};
use netsonde_contract::id::{BundleId, CaseId, TicketId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

pub(super) async fn accept(store: &Sqlite, bundle: &BundleRow, upload: Option<&str>) -> sqlx::Result<Accepted> {
    let received = bundle.received.as_microsecond();
    let mut transaction = store.begin().await?;
    let before =
        sqlx::query("SELECT * FROM bundles WHERE id = ?").bind(bundle.id.as_str()).fetch_optional(&mut *transaction).await?;
    if let Some(row) = before {
        return Ok(Accepted::Already(Box::new(read(&row)?)));
    }
    let used = sqlx::query("UPDATE tickets SET status = 'used', used_by = ?2 WHERE id = ?1 AND status = 'open' AND expires > ?3")
        .bind(bundle.ticket.as_str())
        .bind(bundle.id.as_str())
        .bind(received)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    if used == 0 {
        return Ok(Accepted::TicketNotOpen);
    }
    sqlx::query("UPDATE cases SET updated = max(updated, ?2) WHERE id = ?1")
        .bind(bundle.case.as_str())
        .bind(received)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO bundles (id, file_sha256, size_bytes, key, ticket_id, case_id, set_name, received, receipt, agent, backend, diagnosed_by, state, cause)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(bundle.id.as_str())
    .bind(&bundle.file_sha256)
    .bind(column::to_signed(bundle.size_bytes)?)
    .bind(bundle.key.as_bytes().to_vec())
    .bind(bundle.ticket.as_str())
    .bind(bundle.case.as_str())
    .bind(&bundle.set)
    .bind(received)
    .bind(&bundle.receipt)
    .bind(column::to_json(&bundle.agent)?)
    .bind(column::to_json(&bundle.backend)?)
    .bind(&bundle.diagnosed_by)
    .bind(column::to_word(&bundle.backend.state)?)
    .bind(bundle.backend.findings.first().map(|finding| &finding.cause))
    .execute(&mut *transaction)
    .await?;
    if let Some(upload) = upload {
        sqlx::query("DELETE FROM uploads WHERE id = ?").bind(upload).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(Accepted::Stored)
}

pub(super) async fn get(store: &Sqlite, id: &BundleId) -> sqlx::Result<Option<BundleRow>> {
    let row = sqlx::query("SELECT * FROM bundles WHERE id = ?").bind(id.as_str()).fetch_optional(&store.reader).await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn ids_after(store: &Sqlite, after: Option<&BundleId>, count: u32) -> sqlx::Result<Vec<BundleId>> {
    let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM bundles WHERE id > ? ORDER BY id LIMIT ?")
        .bind(after.map_or("", BundleId::as_str))
        .bind(count)
        .fetch_all(&store.reader)
        .await?;
    Ok(ids.into_iter().map(BundleId::new).collect())
}

pub(super) async fn names_blob(store: &Sqlite, file_sha256: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM bundles WHERE file_sha256 = ?)")
        .bind(file_sha256)
        .fetch_one(&store.reader)
        .await
}

pub(super) async fn of_case(store: &Sqlite, case: &CaseId, count: u32) -> sqlx::Result<Vec<BundleRow>> {
    let rows = sqlx::query("SELECT * FROM bundles WHERE case_id = ? ORDER BY received DESC, id LIMIT ?")
        .bind(case.as_str())
        .bind(count)
        .fetch_all(&store.reader)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> sqlx::Result<BundleRow> {
    Ok(BundleRow {
        id: BundleId::new(row.try_get::<String, _>("id")?),
        file_sha256: row.try_get("file_sha256")?,
        size_bytes: column::count(row, "size_bytes")?,
        key: column::key(row, "key")?,
        ticket: TicketId::new(row.try_get::<String, _>("ticket_id")?),
        case: CaseId::new(row.try_get::<String, _>("case_id")?),
        set: row.try_get("set_name")?,
        received: column::time(row, "received")?,
        receipt: row.try_get("receipt")?,
        agent: column::json(row, "agent")?,
        backend: column::json(row, "backend")?,
        diagnosed_by: row.try_get("diagnosed_by")?,
    })
}
