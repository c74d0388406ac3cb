//! Many small writes in one transaction, and what is over.

use super::audit::{self, About, Deed};
use super::states::{self, Told};
use super::{Sqlite, column, orders, silent};
use crate::clock::earlier;
use crate::store::{DraftRow, Note, Noted, Reported};
use jiff::Timestamp;
use netsonde_contract::api::fleet::{Draft, Progress};
use netsonde_contract::id::{AgentId, OrderId};
use netsonde_contract::outcome::Outcome;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use std::collections::HashSet;
use std::time::Duration;

/// Outcomes that are kept of one run while it goes on; the bundle has all of them.
const MAX_PROGRESS_BYTES: i64 = 1 << 20;
/// A draft that nobody signed in this time is forgotten.
const DRAFT_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) async fn keep(store: &Sqlite, notes: &[Note]) -> sqlx::Result<(Vec<Noted>, Vec<AgentId>)> {
    let mut transaction = store.begin().await?;
    let (mut noted, mut woken) = (vec![Noted::Kept; notes.len()], Vec::new());
    spend_nonces(&mut transaction, notes, &mut noted).await?;
    see(&mut transaction, notes).await?;
    let mut told = Vec::new();
    for (place, note) in notes.iter().enumerate() {
        match note {
            Note::Nonce { .. } | Note::Seen { .. } => {}
            Note::State { order, agent, report, at } => told.push(Told { place, order, agent, report, at: *at }),
            Note::Progress { order, agent, progress } => {
                // What a run did before its end counts, and what comes after it does not: these two keep their order.
                states::keep(&mut transaction, &std::mem::take(&mut told), &mut noted, &mut woken).await?;
                noted[place] = progressed(&mut transaction, (order, agent), progress).await?;
            }
        }
    }
    states::keep(&mut transaction, &told, &mut noted, &mut woken).await?;
    transaction.commit().await?;
    Ok((noted, woken))
}

async fn spend_nonces(connection: &mut SqliteConnection, notes: &[Note], noted: &mut [Noted]) -> sqlx::Result<()> {
    let nonces = notes.iter().enumerate().filter_map(|(place, note)| match note {
        Note::Nonce { agent, nonce, until } => Some((place, (agent.as_str(), nonce.as_str(), until.as_microsecond()))),
        _ => None,
    });
    let (places, rows): (Vec<usize>, Vec<_>) = nonces.unzip();
    if rows.is_empty() {
        return Ok(());
    }
    let added: Vec<(String, String)> = sqlx::query_as(
        "INSERT INTO nonces (agent_id, nonce, until) SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)
         WHERE true ON CONFLICT DO NOTHING RETURNING agent_id, nonce",
    )
    .bind(column::to_json(&rows)?)
    .fetch_all(connection)
    .await?;
    // Of two that are alike the first one spent it.
    let mut added: HashSet<(&str, &str)> = added.iter().map(|(agent, nonce)| (agent.as_str(), nonce.as_str())).collect();
    for (place, (agent, nonce, _)) in places.into_iter().zip(rows) {
        noted[place] = if added.remove(&(agent, nonce)) { Noted::Kept } else { Noted::Old };
    }
    Ok(())
}

async fn see(connection: &mut SqliteConnection, notes: &[Note]) -> sqlx::Result<()> {
    let seen = notes.iter().filter_map(|note| match note {
        Note::Seen { agent, at } => Some((agent.as_str(), at.as_microsecond())),
        _ => None,
    });
    let seen: Vec<_> = seen.collect();
    if seen.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE agents SET last_seen = max(coalesce(last_seen, 0), at)
         FROM (SELECT value ->> 0 AS agent, max(value ->> 1) AS at FROM json_each(?) GROUP BY agent) WHERE id = agent",
    )
    .bind(column::to_json(&seen)?)
    .execute(connection)
    .await
    .map(drop)
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
    silent::end(&mut transaction, now).await?;
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
    let about = About::One(&draft.id);
    let deed = Deed { actor, action: "draft.made", subject: &draft.id, detail: &detail, about };
    audit::append(&mut transaction, draft.made, deed).await?;
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
