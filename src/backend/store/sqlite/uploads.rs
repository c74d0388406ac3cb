use super::{Sqlite, column};
use crate::store::{Sender, UploadRow};
use jiff::Timestamp;
use netsonde_contract::id::{AgentId, BundleId, TicketId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

pub(super) async fn begin(store: &Sqlite, upload: &UploadRow) -> sqlx::Result<Vec<String>> {
    let mut transaction = store.begin().await?;
    let (ticket, agent) = match &upload.sender {
        Sender::Ticket(ticket) => (Some(ticket.as_str()), None),
        Sender::Agent(agent) => (None, Some(agent.as_str())),
    };
    // A ticket takes one bundle; an agent may be sending several.
    let replaced =
        sqlx::query_scalar("DELETE FROM uploads WHERE ticket_id = ?1 OR (agent_id = ?2 AND bundle_id = ?3) RETURNING id")
            .bind(ticket)
            .bind(agent)
            .bind(upload.bundle.as_str())
            .fetch_all(&mut *transaction)
            .await?;
    sqlx::query(
        "INSERT INTO uploads (id, bundle_id, ticket_id, agent_id, key, length, offset, touched) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&upload.id)
    .bind(upload.bundle.as_str())
    .bind(ticket)
    .bind(agent)
    .bind(upload.key.as_bytes().to_vec())
    .bind(column::to_signed(upload.length)?)
    .bind(column::to_signed(upload.offset)?)
    .bind(upload.touched.as_microsecond())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(replaced)
}

pub(super) async fn get(store: &Sqlite, id: &str) -> sqlx::Result<Option<UploadRow>> {
    let row = sqlx::query("SELECT * FROM uploads WHERE id = ?").bind(id).fetch_optional(&store.reader).await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn advance(store: &Sqlite, id: &str, from: u64, to: u64, now: Timestamp) -> sqlx::Result<bool> {
    let mut transaction = store.begin().await?;
    let changed = sqlx::query("UPDATE uploads SET offset = ?3, touched = ?4 WHERE id = ?1 AND offset = ?2")
        .bind(id)
        .bind(column::to_signed(from)?)
        .bind(column::to_signed(to)?)
        .bind(now.as_microsecond())
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    transaction.commit().await?;
    Ok(changed > 0)
}

pub(super) async fn remove(store: &Sqlite, id: &str) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    sqlx::query("DELETE FROM uploads WHERE id = ?").bind(id).execute(&mut *transaction).await?;
    transaction.commit().await
}

pub(super) async fn sweep(store: &Sqlite, before: Timestamp) -> sqlx::Result<Vec<String>> {
    let mut transaction = store.begin().await?;
    sqlx::query("DELETE FROM uploads WHERE touched < ?").bind(before.as_microsecond()).execute(&mut *transaction).await?;
    let remaining = sqlx::query_scalar("SELECT id FROM uploads").fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(remaining)
}

fn read(row: &SqliteRow) -> sqlx::Result<UploadRow> {
    Ok(UploadRow {
        id: row.try_get("id")?,
        bundle: BundleId::new(row.try_get::<String, _>("bundle_id")?),
        sender: match row.try_get::<Option<String>, _>("ticket_id")? {
            Some(ticket) => Sender::Ticket(TicketId::new(ticket)),
            None => Sender::Agent(AgentId::new(row.try_get::<String, _>("agent_id")?)),
        },
        key: column::key(row, "key")?,
        length: column::count(row, "length")?,
        offset: column::count(row, "offset")?,
        touched: column::time(row, "touched")?,
    })
}
