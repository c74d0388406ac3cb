use super::{Sqlite, column};
use crate::store::SessionRow;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

pub(super) async fn add(store: &Sqlite, session: &SessionRow) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    sqlx::query("INSERT INTO sessions (digest, form_token, expires) VALUES (?, ?, ?)")
        .bind(session.digest.to_vec())
        .bind(&session.form_token)
        .bind(session.expires.as_microsecond())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

pub(super) async fn get(store: &Sqlite, digest: &[u8; 32], now: Timestamp) -> sqlx::Result<Option<SessionRow>> {
    let row = sqlx::query("SELECT * FROM sessions WHERE digest = ? AND expires > ?")
        .bind(digest.to_vec())
        .bind(now.as_microsecond())
        .fetch_optional(&store.reader)
        .await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn remove(store: &Sqlite, digest: &[u8; 32]) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    sqlx::query("DELETE FROM sessions WHERE digest = ?").bind(digest.to_vec()).execute(&mut *transaction).await?;
    transaction.commit().await
}

pub(super) async fn sweep(store: &Sqlite, before: Timestamp) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    sqlx::query("DELETE FROM sessions WHERE expires <= ?").bind(before.as_microsecond()).execute(&mut *transaction).await?;
    transaction.commit().await
}

fn read(row: &SqliteRow) -> sqlx::Result<SessionRow> {
    Ok(SessionRow {
        digest: column::digest(row, "digest")?,
        form_token: row.try_get("form_token")?,
        expires: column::time(row, "expires")?,
    })
}
