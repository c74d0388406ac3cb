//! What waits for agents, for many at a time.

use super::{Sqlite, column};
use crate::clock::earlier;
use crate::store::{Asking, WorkRow};
use jiff::Timestamp;
use netsonde_contract::api::fleet::MAX_CANCELLED;
use netsonde_contract::id::OrderId;
use netsonde_contract::order::LONGEST_LIFE;
use sqlx::Row;
use std::collections::HashMap;
use std::time::Duration;

/// For so long after an order's window an agent may still have something of it under way: a schedule, for as long as one may live, and a day for
/// its last run.
const OUTLIVES: Duration = LONGEST_LIFE.saturating_add(Duration::from_secs(24 * 3_600));

/// `?1` is what is asked, as `[[agent, after], …]`, `?2` the time after which the order expires and `?3` how many rows each has at most. `CROSS
/// JOIN` tells SQLite to begin with what is asked.
const ORDERS: &str = "
    SELECT place, id, sequence, proof FROM (
        SELECT asked.key AS place, orders.id, sequence, proof,
            row_number() OVER (PARTITION BY asked.key ORDER BY sequence) AS nth
        FROM json_each(?1) AS asked CROSS JOIN deliveries ON agent_id = asked.value ->> 0 AND sequence > asked.value ->> 1
        CROSS JOIN orders ON orders.id = order_id
        WHERE state IN ('queued', 'delivered') AND NOT cancelled AND expires > ?2
    ) WHERE nth <= ?3 ORDER BY place, sequence";
/// Told until the agent itself has said how the order ended: a delivery that the backend has cancelled, or let expire, has no code, and its agent may
/// have taken the order a moment before.
const CANCELLED: &str = "
    SELECT place, id, cancel_sequence FROM (
        SELECT asked.key AS place, orders.id, cancel_sequence,
            row_number() OVER (PARTITION BY asked.key ORDER BY cancel_sequence) AS nth
        FROM json_each(?1) AS asked CROSS JOIN deliveries ON agent_id = asked.value ->> 0 AND cancel_sequence > asked.value ->> 1
        CROSS JOIN orders ON orders.id = order_id
        WHERE expires > ?2 AND (state IN ('queued', 'delivered', 'asked', 'accepted', 'running')
            OR state IN ('cancelled', 'expired') AND code IS NULL)
    ) WHERE nth <= ?3 ORDER BY place, cancel_sequence";
const ENVELOPES: &str =
    "SELECT orders.id AS id, envelope FROM json_each(?1) AS asked CROSS JOIN orders ON orders.id = asked.value";

pub(super) async fn of(store: &Sqlite, asked: &[Asking], now: Timestamp, count: usize) -> sqlx::Result<Vec<WorkRow>> {
    let newest: i64 = sqlx::query_scalar("SELECT value FROM sequence").fetch_one(&store.reader).await?;
    let after = |asking: &Asking| i64::try_from(asking.after).ok().filter(|after| *after <= newest).unwrap_or(0);
    let question: Vec<(&str, i64)> = asked.iter().map(|asking| (asking.agent.as_str(), after(asking))).collect();
    let question = column::to_json(&question)?;
    let rows = async |query: &'static str, after: Timestamp, most: usize| {
        sqlx::query(query)
            .bind(&question)
            .bind(after.as_microsecond())
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&store.reader)
            .await
    };
    let mut found: Vec<Found> = asked.iter().map(|asking| Found { after: after(asking), ..Found::default() }).collect();
    // One more of each than is told, to see whether there is more.
    for row in &rows(ORDERS, now, count + 1).await? {
        let Some(found) = found.get_mut(column::place(row)?) else { continue };
        if found.orders.len() == count {
            found.more_orders = true;
            continue;
        }
        let proof: Option<&str> = row.try_get("proof")?;
        let proof = proof.map(|_| column::json(row, "proof")).transpose()?;
        found.orders.push((OrderId::new(row.try_get::<String, _>("id")?), proof, row.try_get("sequence")?));
    }
    for row in &rows(CANCELLED, earlier(now, OUTLIVES), MAX_CANCELLED + 1).await? {
        let Some(found) = found.get_mut(column::place(row)?) else { continue };
        if found.cancelled.len() == MAX_CANCELLED {
            found.more_cancelled = true;
            continue;
        }
        found.cancelled.push((OrderId::new(row.try_get::<String, _>("id")?), row.try_get("cancel_sequence")?));
    }
    let envelopes = envelopes(store, &found).await?;
    Ok(found.into_iter().map(|found| found.told(&envelopes)).collect())
}

/// What was found for one of those who asked.
#[derive(Default)]
struct Found {
    after: i64,
    orders: Vec<(OrderId, Option<netsonde_contract::order::MerkleProof>, i64)>,
    more_orders: bool,
    cancelled: Vec<(OrderId, i64)>,
    more_cancelled: bool,
}

impl Found {
    fn told(self, envelopes: &HashMap<OrderId, String>) -> WorkRow {
        let cursor = self.cursor().unsigned_abs();
        let orders = self.orders.into_iter().filter_map(|(id, proof, _)| {
            let envelope = envelopes.get(&id)?.clone();
            Some((id, envelope, proof))
        });
        WorkRow { cursor, orders: orders.collect(), cancelled: self.cancelled.into_iter().map(|(id, _)| id).collect() }
    }

    /// The last number told; where more of one kind waits, its last one, so that the rest comes with the next answer.
    fn cursor(&self) -> i64 {
        let orders = self.orders.last().map_or(self.after, |(.., number)| *number);
        let cancelled = self.cancelled.last().map_or(self.after, |(_, number)| *number);
        match (self.more_orders, self.more_cancelled) {
            (false, false) => orders.max(cancelled),
            (true, false) => orders,
            (false, true) => cancelled,
            (true, true) => orders.min(cancelled),
        }
    }
}

/// Each order's text once, however many agents are told it.
async fn envelopes(store: &Sqlite, found: &[Found]) -> sqlx::Result<HashMap<OrderId, String>> {
    let mut ids: Vec<&OrderId> = found.iter().flat_map(|found| found.orders.iter().map(|(id, ..)| id)).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    ids.sort_unstable();
    ids.dedup();
    let rows = sqlx::query(ENVELOPES).bind(column::to_json(&ids)?).fetch_all(&store.reader).await?;
    rows.iter().map(|row| Ok((OrderId::new(row.try_get::<String, _>("id")?), row.try_get("envelope")?))).collect()
}
