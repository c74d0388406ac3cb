//! Many small writes in one transaction, and what is over.

use super::audit::{self, Deed};
use super::{Sqlite, column, orders};
use crate::clock::earlier;
use crate::store::{DraftRow, Note, Noted, Reported};
use jiff::Timestamp;
use netsonde_contract::api::fleet::{Draft, Progress, StateReport};
use netsonde_contract::id::{AgentId, OrderId};
use netsonde_contract::order::SERVING;
use netsonde_contract::outcome::Outcome;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use std::time::Duration;

/// Outcomes that are kept of one run while it goes on; the bundle has all of them.
const MAX_PROGRESS_BYTES: i64 = 1 << 20;
/// A draft that nobody signed in this time is forgotten.
const DRAFT_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) async fn keep(store: &Sqlite, notes: &[Note]) -> sqlx::Result<(Vec<Noted>, Vec<AgentId>)> {
    let mut transaction = store.begin().await?;
    let (mut noted, mut woken) = (Vec::with_capacity(notes.len()), Vec::new());
    for note in notes {
        noted.push(match note {
            Note::Nonce { agent, nonce, until } => nonce_used(&mut transaction, agent, nonce, *until).await?,
            Note::Seen { agent, at } => seen(&mut transaction, agent, *at).await?,
            Note::State { order, agent, report, at } => state(&mut transaction, (order, agent), report, *at, &mut woken).await?,
            Note::Progress { order, agent, progress } => progressed(&mut transaction, (order, agent), progress).await?,
        });
    }
    transaction.commit().await?;
    Ok((noted, woken))
}

async fn nonce_used(connection: &mut SqliteConnection, agent: &AgentId, nonce: &str, until: Timestamp) -> sqlx::Result<Noted> {
    let added = sqlx::query("INSERT INTO nonces (agent_id, nonce, until) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
        .bind(agent.as_str())
        .bind(nonce)
        .bind(until.as_microsecond())
        .execute(connection)
        .await?
        .rows_affected();
    Ok(if added > 0 { Noted::Kept } else { Noted::Old })
}

async fn seen(connection: &mut SqliteConnection, agent: &AgentId, at: Timestamp) -> sqlx::Result<Noted> {
    sqlx::query("UPDATE agents SET last_seen = max(coalesce(last_seen, 0), ?2) WHERE id = ?1")
        .bind(agent.as_str())
        .bind(at.as_microsecond())
        .execute(connection)
        .await?;
    Ok(Noted::Kept)
}

async fn state(
    connection: &mut SqliteConnection,
    (order, agent): (&OrderId, &AgentId),
    report: &StateReport,
    at: Timestamp,
    woken: &mut Vec<AgentId>,
) -> sqlx::Result<Noted> {
    let row = sqlx::query("SELECT state FROM deliveries WHERE order_id = ? AND agent_id = ?")
        .bind(order.as_str())
        .bind(agent.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(Noted::Unknown) };
    if !column::delivery_state(&row, "state")?.may_become(report.state) {
        return Ok(Noted::Old);
    }
    sqlx::query("UPDATE deliveries SET state = ?3, changed = ?4, code = ?5, detail = ?6 WHERE order_id = ?1 AND agent_id = ?2")
        .bind(order.as_str())
        .bind(agent.as_str())
        .bind(report.state.name())
        .bind(at.as_microsecond())
        .bind(&report.code)
        .bind(&report.detail)
        .execute(&mut *connection)
        .await?;
    if report.state.is_final() {
        let actor = format!("agent {agent}");
        let action = format!("delivery.{}", report.state.name());
        let detail = report.code.as_deref().unwrap_or_default();
        audit::append(connection, at, Deed { actor: &actor, action: &action, subject: order.as_str(), detail }).await?;
    }
    // The others' turn has come where this one answers them.
    if report.state.is_final() || report.code.as_deref() == Some(SERVING) {
        woken.extend(orders::advance(connection, order, at).await?);
    }
    Ok(Noted::Kept)
}

async fn progressed(
    connection: &mut SqliteConnection,
    (order, agent): (&OrderId, &AgentId),
    progress: &Progress,
) -> sqlx::Result<Noted> {
    let row = sqlx::query("SELECT state, progress, progress_bytes FROM deliveries WHERE order_id = ? AND agent_id = ?")
        .bind(order.as_str())
        .bind(agent.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(Noted::Unknown) };
    if column::delivery_state(&row, "state")?.is_final() || column::count(&row, "progress")? >= progress.sequence {
        return Ok(Noted::Old);
    }
    let outcomes = column::to_json(&progress.outcomes)?;
    let bytes = row.try_get::<i64, _>("progress_bytes")? + i64::try_from(outcomes.len()).unwrap_or(i64::MAX);
    if bytes <= MAX_PROGRESS_BYTES && !progress.outcomes.is_empty() {
        sqlx::query("INSERT INTO progress (order_id, agent_id, sequence, outcomes) VALUES (?, ?, ?, ?)")
            .bind(order.as_str())
            .bind(agent.as_str())
            .bind(column::to_signed(progress.sequence)?)
            .bind(outcomes)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(
        "UPDATE deliveries SET progress = ?3, progress_bytes = ?4, checks_planned = ?5, checks_done = ?6 WHERE order_id = ?1 AND agent_id = ?2",
    )
    .bind(order.as_str())
    .bind(agent.as_str())
    .bind(column::to_signed(progress.sequence)?)
    .bind(bytes)
    .bind(progress.checks_planned)
    .bind(progress.checks_done)
    .execute(connection)
    .await?;
    Ok(Noted::Kept)
}

pub(super) async fn reported(store: &Sqlite, order: &OrderId, agent: &AgentId) -> sqlx::Result<Reported> {
    let rows = sqlx::query("SELECT outcomes FROM progress WHERE order_id = ? AND agent_id = ? ORDER BY sequence")
        .bind(order.as_str())
        .bind(agent.as_str())
        .fetch_all(&store.reader)
        .await?;
    let mut all = Vec::new();
    for row in &rows {
        all.extend(column::json::<Vec<Outcome>>(row, "outcomes")?);
    }
    Ok(all)
}

pub(super) async fn sweep(store: &Sqlite, now: Timestamp) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    sqlx::query("DELETE FROM nonces WHERE until < ?").bind(now.as_microsecond()).execute(&mut *transaction).await?;
    sqlx::query("DELETE FROM drafts WHERE made < ?")
        .bind(earlier(now, DRAFT_LIFE).as_microsecond())
        .execute(&mut *transaction)
        .await?;
    orders::sweep(&mut transaction, now).await?;
    transaction.commit().await
}

pub(super) async fn add_draft(store: &Sqlite, draft: &DraftRow, actor: &str) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    sqlx::query("INSERT INTO drafts (id, made, draft) VALUES (?, ?, ?)")
        .bind(&draft.id)
        .bind(draft.made.as_microsecond())
        .bind(column::to_json(&draft.draft)?)
        .execute(&mut *transaction)
        .await?;
    let detail = format!("case {}, set {}", draft.draft.case, draft.draft.set);
    audit::append(&mut transaction, draft.made, Deed { actor, action: "draft.made", subject: &draft.id, detail: &detail })
        .await?;
    transaction.commit().await
}

pub(super) async fn draft(store: &Sqlite, id: &str) -> sqlx::Result<Option<DraftRow>> {
    let row = sqlx::query("SELECT * FROM drafts WHERE id = ?").bind(id).fetch_optional(&store.reader).await?;
    row.as_ref().map(read_draft).transpose()
}

pub(super) async fn drafts(store: &Sqlite, count: u32) -> sqlx::Result<Vec<DraftRow>> {
    let rows = sqlx::query("SELECT * FROM drafts ORDER BY made DESC, id LIMIT ?").bind(count).fetch_all(&store.reader).await?;
    rows.iter().map(read_draft).collect()
}

pub(super) async fn remove_draft(store: &Sqlite, id: &str) -> sqlx::Result<bool> {
    let mut transaction = store.begin().await?;
    let removed = sqlx::query("DELETE FROM drafts WHERE id = ?").bind(id).execute(&mut *transaction).await?.rows_affected();
    transaction.commit().await?;
    Ok(removed > 0)
}

fn read_draft(row: &SqliteRow) -> sqlx::Result<DraftRow> {
    Ok(DraftRow { id: row.try_get("id")?, made: column::time(row, "made")?, draft: column::json::<Draft>(row, "draft")? })
}
