//! What became of orders at their agents, read in parts that stay small however large the fleet is.

use super::{Sqlite, column, orders};
use crate::store::{DeliveryRow, RevisedRows};
use netsonde_contract::api::fleet::DeliveryState;
use netsonde_contract::id::{AgentId, BundleId, OrderId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

pub(super) async fn by_wave(store: &Sqlite, order: &OrderId, count: u32) -> sqlx::Result<Vec<DeliveryRow>> {
    let rows = sqlx::query("SELECT * FROM deliveries WHERE order_id = ? ORDER BY wave, agent_id LIMIT ?")
        .bind(order.as_str())
        .bind(count)
        .fetch_all(&store.reader)
        .await?;
    rows.iter().map(read).collect()
}

/// State by state, as `states` has them: each is read from its own place in the index, and those before it are counted there.
pub(super) async fn in_states(
    store: &Sqlite,
    order: &OrderId,
    states: &[DeliveryState],
    (mut skipped, count): (u32, u32),
) -> sqlx::Result<Vec<DeliveryRow>> {
    let counts = orders::states(store, order).await?;
    let mut found = Vec::new();
    let mut left = count;
    for state in states {
        let there = counts.get(state.name()).copied().unwrap_or(0);
        if left == 0 || skipped >= there {
            skipped = skipped.saturating_sub(there);
            continue;
        }
        let rows =
            sqlx::query("SELECT * FROM deliveries WHERE order_id = ? AND state = ? ORDER BY wave, agent_id LIMIT ? OFFSET ?")
                .bind(order.as_str())
                .bind(state.name())
                .bind(left)
                .bind(skipped)
                .fetch_all(&store.reader)
                .await?;
        skipped = 0;
        left = left.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        for row in &rows {
            found.push(read(row)?);
        }
    }
    Ok(found)
}

pub(super) async fn after(store: &Sqlite, order: &OrderId, after: u64, count: u32) -> sqlx::Result<RevisedRows> {
    let newest: i64 = sqlx::query_scalar("SELECT value FROM revisions").fetch_one(&store.reader).await?;
    let after = i64::try_from(after).ok().filter(|after| *after <= newest).unwrap_or(0);
    let rows = sqlx::query("SELECT * FROM deliveries WHERE order_id = ? AND revision > ? ORDER BY revision LIMIT ?")
        .bind(order.as_str())
        .bind(after)
        .bind(count)
        .fetch_all(&store.reader)
        .await?;
    let cursor = match rows.last() {
        Some(last) => column::count(last, "revision")?,
        None => after.unsigned_abs(),
    };
    let more = rows.len() >= count as usize;
    Ok(RevisedRows { rows: rows.iter().map(read).collect::<sqlx::Result<_>>()?, cursor, more })
}

pub(super) async fn to(store: &Sqlite, agent: &AgentId, count: u32) -> sqlx::Result<Vec<DeliveryRow>> {
    let rows = sqlx::query("SELECT * FROM deliveries WHERE agent_id = ? ORDER BY sequence IS NULL DESC, sequence DESC LIMIT ?")
        .bind(agent.as_str())
        .bind(count)
        .fetch_all(&store.reader)
        .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn state(store: &Sqlite, order: &OrderId, agent: &AgentId) -> sqlx::Result<Option<DeliveryState>> {
    let row = sqlx::query("SELECT state FROM deliveries WHERE order_id = ? AND agent_id = ?")
        .bind(order.as_str())
        .bind(agent.as_str())
        .fetch_optional(&store.reader)
        .await?;
    row.as_ref().map(|row| column::delivery_state(row, "state")).transpose()
}

fn read(row: &SqliteRow) -> sqlx::Result<DeliveryRow> {
    let proof: Option<String> = row.try_get("proof")?;
    Ok(DeliveryRow {
        order: OrderId::new(row.try_get::<String, _>("order_id")?),
        agent: AgentId::new(row.try_get::<String, _>("agent_id")?),
        wave: row.try_get("wave")?,
        proof: proof.map(|_| column::json(row, "proof")).transpose()?,
        state: column::delivery_state(row, "state")?,
        changed: column::time(row, "changed")?,
        code: row.try_get("code")?,
        detail: row.try_get("detail")?,
        bundle: row.try_get::<Option<String>, _>("bundle_id")?.map(BundleId::new),
        checks_planned: row.try_get("checks_planned")?,
        checks_done: row.try_get("checks_done")?,
    })
}
