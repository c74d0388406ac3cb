use super::super::{Sqlite, column};
use crate::store::{AlertRow, AlertState, Attempt};
use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

pub(super) async fn due(store: &Sqlite, channel: &str, now: Timestamp, count: u32) -> sqlx::Result<Vec<AlertRow>> {
    let rows =
        sqlx::query("SELECT * FROM outbox WHERE channel = ? AND state = 'waiting' AND next <= ? ORDER BY made, rowid LIMIT ?")
            .bind(channel)
            .bind(now.as_microsecond())
            .bind(count)
            .fetch_all(&store.reader)
            .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn attempted(store: &Sqlite, id: &str, attempt: &Attempt) -> sqlx::Result<()> {
    let (state, trouble, next, finished) = match attempt {
        Attempt::Sent { at } => (AlertState::Sent, None, None, Some(at)),
        Attempt::Failed { trouble, next } => (AlertState::Waiting, Some(trouble), Some(next), None),
        Attempt::GivenUp { trouble, at } => (AlertState::GivenUp, Some(trouble), None, Some(at)),
    };
    let mut transaction = store.begin().await?;
    sqlx::query(
        "UPDATE outbox SET attempts = attempts + 1, state = ?2, trouble = ?3, next = coalesce(?4, next), finished = ?5
         WHERE id = ?1 AND state = 'waiting'",
    )
    .bind(id)
    .bind(state.name())
    .bind(trouble)
    .bind(next.map(|time| time.as_microsecond()))
    .bind(finished.map(|time| time.as_microsecond()))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

pub(super) async fn list(store: &Sqlite, state: Option<AlertState>, count: u32) -> sqlx::Result<Vec<AlertRow>> {
    let rows = sqlx::query("SELECT * FROM outbox WHERE ?1 IS NULL OR state = ?1 ORDER BY made DESC, rowid DESC LIMIT ?2")
        .bind(state.map(AlertState::name))
        .bind(count)
        .fetch_all(&store.reader)
        .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn retry(store: &Sqlite, id: &str, now: Timestamp) -> sqlx::Result<bool> {
    let mut transaction = store.begin().await?;
    let changed = sqlx::query(
        "UPDATE outbox SET state = 'waiting', finished = NULL, attempts = 0, made = ?2, next = ?2 WHERE id = ?1 AND state = 'given_up'",
    )
    .bind(id)
    .bind(now.as_microsecond())
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    transaction.commit().await?;
    Ok(changed > 0)
}

pub(super) async fn sweep(store: &Sqlite, before: Timestamp) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    sqlx::query("DELETE FROM outbox WHERE finished < ?").bind(before.as_microsecond()).execute(&mut *transaction).await?;
    transaction.commit().await
}

fn read(row: &SqliteRow) -> sqlx::Result<AlertRow> {
    let name: &str = row.try_get("state")?;
    let state = AlertState::ALL.into_iter().find(|state| state.name() == name);
    Ok(AlertRow {
        id: row.try_get("id")?,
        channel: row.try_get("channel")?,
        alert: column::json(row, "alert")?,
        made: column::time(row, "made")?,
        next: column::time(row, "next")?,
        attempts: row.try_get("attempts")?,
        state: state.ok_or_else(|| column::unreadable("state", std::io::Error::other(format!("no state is called {name}"))))?,
        trouble: row.try_get("trouble")?,
    })
}
