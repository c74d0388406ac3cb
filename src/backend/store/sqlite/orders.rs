use super::audit::{self, About, Deed};
use super::{Sqlite, column};
use crate::store::waves::{self, Next};
use crate::store::{DeliveryPlace, DeliveryRow, OrderRow};
use jiff::Timestamp;
use netsonde_contract::api::fleet::DeliveryState;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::id::{AgentId, CaseId, OrderId};
use netsonde_contract::order::Order;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use std::collections::BTreeMap;

/// Agents choose their codes: the most frequent of an order are told.
const MAX_CODES: u32 = 16;
/// Deliveries of one statement.
const TOGETHER: usize = 1000;

pub(super) async fn add(store: &Sqlite, order: &OrderRow, deliveries: &[DeliveryRow]) -> sqlx::Result<Option<Vec<AgentId>>> {
    let mut transaction = store.begin().await?;
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM orders WHERE id = ?)")
        .bind(order.id.as_str())
        .fetch_one(&mut *transaction)
        .await?;
    if known {
        return Ok(None);
    }
    sqlx::query(
        "INSERT INTO cases (id, opened, updated) VALUES (?1, ?2, ?2) ON CONFLICT (id) DO UPDATE SET updated = max(updated, ?2)",
    )
    .bind(order.case.as_str())
    .bind(order.submitted.as_microsecond())
    .execute(&mut *transaction)
    .await?;
    insert(&mut transaction, order).await?;
    for some in deliveries.chunks(TOGETHER) {
        insert_deliveries(&mut transaction, some).await?;
    }
    let signers = order.signers.join(", ");
    let detail = format!("case {}, set {}, {} agents, signed by {signers}", order.case, order.set, deliveries.len());
    let id = order.id.as_str();
    let deed = Deed { actor: "desk", action: "order.submitted", subject: id, detail: &detail, about: About::One(id) };
    audit::append(&mut transaction, order.submitted, deed).await?;
    let woken = advance(&mut transaction, &order.id, order.submitted).await?;
    transaction.commit().await?;
    Ok(Some(woken))
}

async fn insert(connection: &mut SqliteConnection, order: &OrderRow) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO orders (id, case_id, set_name, set_sha256, targets, requester, reason, signers, envelope, submitted, not_before, expires, stop_at_failed)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(order.id.as_str())
    .bind(order.case.as_str())
    .bind(&order.set)
    .bind(&order.set_sha256)
    .bind(column::to_json(&order.targets)?)
    .bind(&order.requester)
    .bind(&order.reason)
    .bind(column::to_json(&order.signers)?)
    .bind(&order.envelope)
    .bind(order.submitted.as_microsecond())
    .bind(order.not_before.as_microsecond())
    .bind(order.expires.as_microsecond())
    .bind(order.stop_at_failed)
    .execute(connection)
    .await
    .map(drop)
}

async fn insert_deliveries(connection: &mut SqliteConnection, deliveries: &[DeliveryRow]) -> sqlx::Result<()> {
    let mut rows = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let proof = delivery.proof.as_ref().map(column::to_json).transpose()?;
        let DeliveryRow { order, agent, wave, state, changed, code, detail, .. } = delivery;
        rows.push((order, agent, wave, proof, state.name(), changed.as_microsecond(), code, detail));
    }
    let before: i64 = sqlx::query_scalar("UPDATE revisions SET value = value + ?1 RETURNING value - ?1")
        .bind(i64::try_from(rows.len()).unwrap_or(i64::MAX))
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO deliveries (order_id, agent_id, wave, proof, state, changed, code, detail, revision)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, ?2 + 1 + key
         FROM json_each(?1)",
    )
    .bind(column::to_json(&rows)?)
    .bind(before)
    .execute(connection)
    .await
    .map(drop)
}

/// The next number of what agents are told.
async fn next_number(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("UPDATE sequence SET value = value + 1 RETURNING value").fetch_one(connection).await
}

/// Hands out the next wave where the one before has finished well enough, and returns its agents.
pub(super) async fn advance(connection: &mut SqliteConnection, order: &OrderId, now: Timestamp) -> sqlx::Result<Vec<AgentId>> {
    let mut woken = Vec::new();
    loop {
        let waiting: Option<u32> = sqlx::query_scalar("SELECT min(wave) FROM deliveries WHERE order_id = ? AND sequence IS NULL")
            .bind(order.as_str())
            .fetch_one(&mut *connection)
            .await?;
        let Some(wave) = waiting else { return Ok(woken) };
        let row = sqlx::query(
            "SELECT stop_at_failed, envelope, cancelled OR stopped OR over OR expires <= ?2 AS ended FROM orders WHERE id = ?1",
        )
        .bind(order.as_str())
        .bind(now.as_microsecond())
        .fetch_one(&mut *connection)
        .await?;
        if row.try_get("ended")? {
            return Ok(woken);
        }
        let states: Vec<(String, i64)> = sqlx::query_as(
            "SELECT state, count(*) FROM deliveries
             WHERE order_id = ?1 AND wave = (SELECT max(wave) FROM deliveries WHERE order_id = ?1 AND wave < ?2) GROUP BY state",
        )
        .bind(order.as_str())
        .bind(wave)
        .fetch_all(&mut *connection)
        .await?;
        let states =
            states.into_iter().filter_map(|(state, count)| Some((DeliveryState::from_name(&state)?, count.unsigned_abs())));
        let states: Vec<(DeliveryState, u64)> = states.collect();
        // Who answers the others is heard of first, and goes on while they measure.
        let answers = states.iter().any(|(state, _)| *state == DeliveryState::Running) && serves(row.try_get("envelope")?);
        let next = if answers { Next::Go } else { waves::judge(states, row.try_get("stop_at_failed")?) };
        match next {
            Next::Wait => return Ok(woken),
            Next::Stop => {
                sqlx::query("UPDATE orders SET stopped = 1 WHERE id = ?").bind(order.as_str()).execute(&mut *connection).await?;
                let detail = format!("before wave {}: too many of the one before failed", wave + 1);
                let id = order.as_str();
                let deed =
                    Deed { actor: "backend", action: "order.stopped", subject: id, detail: &detail, about: About::One(id) };
                audit::append(connection, now, deed).await?;
                return Ok(woken);
            }
            Next::Go => woken.extend(hand_out(connection, order, wave).await?),
        }
    }
}

/// Gives a wave's agents the order, and returns them.
async fn hand_out(connection: &mut SqliteConnection, order: &OrderId, wave: u32) -> sqlx::Result<Vec<AgentId>> {
    let number = next_number(&mut *connection).await?;
    let agents: Vec<String> = sqlx::query_scalar(
        "UPDATE deliveries SET sequence = ?3 WHERE order_id = ?1 AND wave = ?2 AND sequence IS NULL RETURNING agent_id",
    )
    .bind(order.as_str())
    .bind(wave)
    .bind(number)
    .fetch_all(connection)
    .await?;
    Ok(agents.into_iter().map(AgentId::new).collect())
}

/// Whether one of the order's agents answers the others while they measure.
fn serves(envelope: &str) -> bool {
    let order = Envelope::from_json(envelope.as_bytes()).ok().and_then(|envelope| Order::unverified(&envelope).ok());
    order.is_some_and(|order| order.serve.is_some())
}

/// The wave that an order stopped before is handed out whatever became of the one before.
pub(super) async fn resume(store: &Sqlite, id: &OrderId, actor: &str, now: Timestamp) -> sqlx::Result<Option<Vec<AgentId>>> {
    let mut transaction = store.begin().await?;
    let stopped =
        sqlx::query("UPDATE orders SET stopped = 0 WHERE id = ? AND stopped AND NOT cancelled AND NOT over AND expires > ?")
            .bind(id.as_str())
            .bind(now.as_microsecond())
            .execute(&mut *transaction)
            .await?
            .rows_affected();
    let waiting: Option<u32> = sqlx::query_scalar("SELECT min(wave) FROM deliveries WHERE order_id = ? AND sequence IS NULL")
        .bind(id.as_str())
        .fetch_one(&mut *transaction)
        .await?;
    let Some(wave) = waiting.filter(|_| stopped > 0) else { return Ok(None) };
    let mut woken = hand_out(&mut transaction, id, wave).await?;
    let detail = format!("with wave {}, {} agents", wave + 1, woken.len());
    let about = About::One(id.as_str());
    let deed = Deed { actor, action: "order.resumed", subject: id.as_str(), detail: &detail, about };
    audit::append(&mut transaction, now, deed).await?;
    // A wave of agents that are known not to run it is over at once.
    woken.extend(advance(&mut transaction, id, now).await?);
    transaction.commit().await?;
    Ok(Some(woken))
}

pub(super) async fn get(store: &Sqlite, id: &OrderId) -> sqlx::Result<Option<OrderRow>> {
    let row = sqlx::query("SELECT * FROM orders WHERE id = ?").bind(id.as_str()).fetch_optional(&store.reader).await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn list(store: &Sqlite, case: Option<&CaseId>, count: u32) -> sqlx::Result<Vec<OrderRow>> {
    let rows = match case {
        Some(case) => {
            sqlx::query("SELECT * FROM orders WHERE case_id = ? ORDER BY submitted DESC, id LIMIT ?")
                .bind(case.as_str())
                .bind(count)
                .fetch_all(&store.reader)
                .await?
        }
        None => {
            sqlx::query("SELECT * FROM orders ORDER BY submitted DESC, id LIMIT ?").bind(count).fetch_all(&store.reader).await?
        }
    };
    rows.iter().map(read).collect()
}

pub(super) async fn open(store: &Sqlite, count: u32) -> sqlx::Result<Vec<OrderRow>> {
    let open: Vec<&str> = DeliveryState::ALL.iter().filter(|(_, state)| !state.is_final()).map(|(name, _)| *name).collect();
    let rows = sqlx::query(
        "SELECT * FROM orders WHERE id IN (SELECT order_id FROM deliveries WHERE state IN (SELECT value FROM json_each(?)))
         ORDER BY submitted DESC, id LIMIT ?",
    )
    .bind(column::to_json(&open)?)
    .bind(count)
    .fetch_all(&store.reader)
    .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn states(store: &Sqlite, id: &OrderId) -> sqlx::Result<BTreeMap<String, u32>> {
    let states: Vec<(String, u32)> = sqlx::query_as("SELECT state, count(*) FROM deliveries WHERE order_id = ? GROUP BY state")
        .bind(id.as_str())
        .fetch_all(&store.reader)
        .await?;
    Ok(states.into_iter().collect())
}

pub(super) async fn codes(store: &Sqlite, id: &OrderId) -> sqlx::Result<BTreeMap<String, BTreeMap<String, u32>>> {
    let rows: Vec<(String, String, u32)> = sqlx::query_as(
        "SELECT state, code, count(*) AS agents FROM deliveries
         WHERE order_id = ?1 AND code IS NOT NULL AND state IN ('refused', 'failed', 'expired', 'cancelled')
         GROUP BY state, code ORDER BY agents DESC, code LIMIT ?2",
    )
    .bind(id.as_str())
    .bind(MAX_CODES)
    .fetch_all(&store.reader)
    .await?;
    let mut codes: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for (state, code, count) in rows {
        codes.entry(state).or_default().insert(code, count);
    }
    Ok(codes)
}

pub(super) async fn place(store: &Sqlite, order: &OrderId, agent: &AgentId) -> sqlx::Result<Option<DeliveryPlace>> {
    let row = sqlx::query(
        "SELECT case_id, set_name, set_sha256 FROM orders JOIN deliveries ON order_id = orders.id WHERE orders.id = ? AND agent_id = ?",
    )
    .bind(order.as_str())
    .bind(agent.as_str())
    .fetch_optional(&store.reader)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(DeliveryPlace {
        case: CaseId::new(row.try_get::<String, _>("case_id")?),
        set: row.try_get("set_name")?,
        set_sha256: row.try_get("set_sha256")?,
    }))
}

pub(super) async fn cancel(store: &Sqlite, id: &OrderId, actor: &str, now: Timestamp) -> sqlx::Result<Option<Vec<AgentId>>> {
    let mut transaction = store.begin().await?;
    let cancelled: Option<bool> = sqlx::query_scalar("SELECT cancelled FROM orders WHERE id = ?")
        .bind(id.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
    match cancelled {
        None => return Ok(None),
        Some(true) => return Ok(Some(Vec::new())),
        Some(false) => {}
    }
    let goes_on: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM deliveries WHERE order_id = ?
             AND (state IN ('queued', 'delivered', 'asked', 'accepted', 'running') OR state = 'expired' AND code IS NULL))",
    )
    .bind(id.as_str())
    .fetch_one(&mut *transaction)
    .await?;
    if !goes_on {
        return Ok(None);
    }
    let number = next_number(&mut transaction).await?;
    sqlx::query("UPDATE orders SET cancelled = 1 WHERE id = ?").bind(id.as_str()).execute(&mut *transaction).await?;
    let told: Vec<String> = sqlx::query_scalar(
        "UPDATE deliveries SET cancel_sequence = ?2
         WHERE order_id = ?1 AND sequence IS NOT NULL
             AND (state IN ('queued', 'delivered', 'asked', 'accepted', 'running') OR state = 'expired' AND code IS NULL) RETURNING agent_id",
    )
    .bind(id.as_str())
    .bind(number)
    .fetch_all(&mut *transaction)
    .await?;
    // What nobody has begun ends here and now; what runs ends with its agent's word.
    sqlx::query(
        "UPDATE deliveries SET state = 'cancelled', changed = ?2 WHERE order_id = ?1 AND state IN ('queued', 'delivered', 'asked')",
    )
    .bind(id.as_str())
    .bind(now.as_microsecond())
    .execute(&mut *transaction)
    .await?;
    let about = About::One(id.as_str());
    let deed = Deed { actor, action: "order.cancelled", subject: id.as_str(), detail: "", about };
    audit::append(&mut transaction, now, deed).await?;
    transaction.commit().await?;
    Ok(Some(told.into_iter().map(AgentId::new).collect()))
}

/// Ends the orders whose time has passed: what nobody is known to have taken, until its agent says otherwise. What was taken may go on, cancelled or not.
pub(super) async fn sweep(connection: &mut SqliteConnection, now: Timestamp) -> sqlx::Result<()> {
    let over: Vec<String> = sqlx::query_scalar("UPDATE orders SET over = 1 WHERE NOT over AND expires <= ? RETURNING id")
        .bind(now.as_microsecond())
        .fetch_all(&mut *connection)
        .await?;
    for order in over {
        let expired = sqlx::query(
            "UPDATE deliveries SET state = 'expired', changed = ?2 WHERE order_id = ?1 AND state IN ('queued', 'delivered', 'asked')",
        )
        .bind(&order)
        .bind(now.as_microsecond())
        .execute(&mut *connection)
        .await?
        .rows_affected();
        let detail = format!("{expired} agents had not said that they took it");
        let about = About::One(&order);
        let deed = Deed { actor: "backend", action: "order.expired", subject: &order, detail: &detail, about };
        audit::append(connection, now, deed).await?;
    }
    Ok(())
}

fn read(row: &SqliteRow) -> sqlx::Result<OrderRow> {
    Ok(OrderRow {
        id: OrderId::new(row.try_get::<String, _>("id")?),
        case: CaseId::new(row.try_get::<String, _>("case_id")?),
        set: row.try_get("set_name")?,
        set_sha256: row.try_get("set_sha256")?,
        targets: column::json(row, "targets")?,
        requester: row.try_get("requester")?,
        reason: row.try_get("reason")?,
        signers: column::json(row, "signers")?,
        envelope: row.try_get("envelope")?,
        submitted: column::time(row, "submitted")?,
        not_before: column::time(row, "not_before")?,
        expires: column::time(row, "expires")?,
        cancelled: row.try_get("cancelled")?,
        stopped: row.try_get("stopped")?,
        stop_at_failed: row.try_get("stop_at_failed")?,
    })
}
