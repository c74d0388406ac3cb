//! What waits for agents, for many at a time.

use super::{Sqlite, column};
use crate::store::{Asking, WorkRow};
use jiff::Timestamp;
use netsonde_contract::id::OrderId;
use sqlx::Row;
use std::collections::HashMap;

/// So many cancellations in one answer; more come with the next.
const MAX_CANCELLED: usize = 64;

/// `?1` is what is asked, as `[[agent, after], …]`, `?2` is now and `?3` how many rows each has at most. `CROSS JOIN` tells SQLite to begin with
/// what is asked.
const ORDERS: &str = "
    SELECT place, id, sequence, proof FROM (
        SELECT asked.key AS place, orders.id, sequence, proof,
            row_number() OVER (PARTITION BY asked.key ORDER BY sequence) AS nth
        FROM json_each(?1) AS asked CROSS JOIN deliveries ON agent_id = asked.value ->> 0 AND sequence > asked.value ->> 1
        CROSS JOIN orders ON orders.id = order_id
        WHERE state IN ('queued', 'delivered') AND NOT cancelled AND expires > ?2
    ) WHERE nth <= ?3 ORDER BY place, sequence";
const CANCELLED: &str = "
    SELECT place, id, cancel_sequence FROM (
        SELECT asked.key AS place, orders.id, cancel_sequence,
            row_number() OVER (PARTITION BY asked.key ORDER BY cancel_sequence) AS nth
        FROM json_each(?1) AS asked CROSS JOIN deliveries ON agent_id = asked.value ->> 0 AND cancel_sequence > asked.value ->> 1
        CROSS JOIN orders ON orders.id = order_id
        WHERE expires > ?2
    ) WHERE nth <= ?3 ORDER BY place, cancel_sequence";
const ENVELOPES: &str =
    "SELECT orders.id AS id, envelope FROM json_each(?1) AS asked CROSS JOIN orders ON orders.id = asked.value";

pub(super) async fn of(store: &Sqlite, asked: &[Asking], now: Timestamp, count: usize) -> sqlx::Result<Vec<WorkRow>> {
    let newest: i64 = sqlx::query_scalar("SELECT value FROM sequence").fetch_one(&store.reader).await?;
    let after = |asking: &Asking| i64::try_from(asking.after).ok().filter(|after| *after <= newest).unwrap_or(0);
    let question: Vec<(&str, i64)> = asked.iter().map(|asking| (asking.agent.as_str(), after(asking))).collect();
    let question = column::to_json(&question)?;
    let rows = async |query: &'static str, most: usize| {
        sqlx::query(query)
            .bind(&question)
            .bind(now.as_microsecond())
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&store.reader)
            .await
    };
    let mut found: Vec<Found> = asked.iter().map(|asking| Found { last: after(asking), ..Found::default() }).collect();
    // One more than is told, to see whether there is more.
    for row in &rows(ORDERS, count + 1).await? {
        let Some(found) = found.get_mut(column::place(row)?) else { continue };
        if found.orders.len() == count {
            found.is_cut = true;
            continue;
        }
        let proof: Option<&str> = row.try_get("proof")?;
        let proof = proof.map(|_| column::json(row, "proof")).transpose()?;
        found.last = found.last.max(row.try_get("sequence")?);
        found.orders.push((OrderId::new(row.try_get::<String, _>("id")?), proof));
    }
    for row in &rows(CANCELLED, MAX_CANCELLED).await? {
        let Some(found) = found.get_mut(column::place(row)?) else { continue };
        found.cancelled.push((OrderId::new(row.try_get::<String, _>("id")?), row.try_get("cancel_sequence")?));
    }
    let envelopes = envelopes(store, &found).await?;
    Ok(found.into_iter().map(|found| found.told(&envelopes)).collect())
}

/// What was found for one of those who asked.
#[derive(Default)]
struct Found {
    last: i64,
    is_cut: bool,
    orders: Vec<(OrderId, Option<netsonde_contract::order::MerkleProof>)>,
    cancelled: Vec<(OrderId, i64)>,
}

impl Found {
    fn told(self, envelopes: &HashMap<OrderId, String>) -> WorkRow {
        let is_cut = self.is_cut || self.cancelled.len() >= MAX_CANCELLED;
        let heard = self.cancelled.iter().map(|(_, number)| *number).max().filter(|_| !is_cut);
        let orders = self.orders.into_iter().filter_map(|(id, proof)| {
            let envelope = envelopes.get(&id)?.clone();
            Some((id, envelope, proof))
        });
        WorkRow {
            cursor: self.last.max(heard.unwrap_or(self.last)).unsigned_abs(),
            orders: orders.collect(),
            cancelled: self.cancelled.into_iter().map(|(id, _)| id).collect(),
        }
    }
}

/// Each order's text once, however many agents are told it.
async fn envelopes(store: &Sqlite, found: &[Found]) -> sqlx::Result<HashMap<OrderId, String>> {
    let mut ids: Vec<&OrderId> = found.iter().flat_map(|found| found.orders.iter().map(|(id, _)| id)).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    ids.sort_unstable();
    ids.dedup();
    let rows = sqlx::query(ENVELOPES).bind(column::to_json(&ids)?).fetch_all(&store.reader).await?;
    rows.iter().map(|row| Ok((OrderId::new(row.try_get::<String, _>("id")?), row.try_get("envelope")?))).collect()
}
