use super::Sqlite;
use crate::store::Setting;

/// A write that changes nothing: it fails where a real one would.
pub(super) async fn check(store: &Sqlite) -> sqlx::Result<()> {
    sqlx::query_scalar::<_, i64>("SELECT count(*) FROM settings").fetch_one(&store.reader).await?;
    let mut transaction = store.begin().await?;
    sqlx::query("INSERT INTO settings (name, value) VALUES ('check', '') ON CONFLICT (name) DO UPDATE SET value = ''")
        .execute(&mut *transaction)
        .await?;
    transaction.rollback().await
}

/// SQLite's own checks of its pages and of references between rows.
pub(super) async fn faults(store: &Sqlite) -> sqlx::Result<Vec<String>> {
    let mut faults: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&store.reader).await?;
    faults.retain(|line| line != "ok");
    let dangling: Vec<String> =
        sqlx::query_scalar("SELECT \"table\" FROM pragma_foreign_key_check").fetch_all(&store.reader).await?;
    faults.extend(dangling.into_iter().map(|table| format!("a row of {table} names a row that is missing")));
    Ok(faults)
}

pub(super) async fn get(store: &Sqlite, setting: Setting) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("SELECT value FROM settings WHERE name = ?").bind(setting.name()).fetch_optional(&store.reader).await
}

pub(super) async fn set(store: &Sqlite, setting: Setting, value: &str) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    sqlx::query("INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2")
        .bind(setting.name())
        .bind(value)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}
