use super::audit::{self, About, Deed};
use super::{Sqlite, column, orders};
use crate::store::{Accepted, BundleRow, Origin};
use netsonde_contract::id::{AgentId, BundleId, CaseId, OrderId, TicketId};
use netsonde_contract::order::AGENT_SILENT;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

pub(super) async fn accept(store: &Sqlite, bundle: &BundleRow, upload: Option<&str>) -> sqlx::Result<Accepted> {
    let received = bundle.received.as_microsecond();
    let mut transaction = store.begin().await?;
    let before =
        sqlx::query("SELECT * FROM bundles WHERE id = ?").bind(bundle.id.as_str()).fetch_optional(&mut *transaction).await?;
    if let Some(row) = before {
        return Ok(Accepted::Already(Box::new(read(&row)?)));
    }
    let (used, actor) = match &bundle.origin {
        Origin::Ticket(ticket) => (use_ticket(&mut transaction, ticket, bundle).await?, format!("ticket {ticket}")),
        Origin::Order { order, agent } => {
            (fill_delivery(&mut transaction, order, agent, bundle).await?, format!("agent {agent}"))
        }
        Origin::Scheduled { agent, .. } => (true, format!("agent {agent}")),
        Origin::Brought => (open_case(&mut transaction, bundle).await?, "desk".to_owned()),
    };
    if !used {
        return Ok(Accepted::NotOpen);
    }
    let (order, scheduled) = match &bundle.origin {
        Origin::Ticket(_) | Origin::Brought => (None, None),
        Origin::Order { order, .. } => (Some(order), None),
        Origin::Scheduled { scheduled, .. } => (None, Some(column::to_json(scheduled)?)),
    };
    sqlx::query("UPDATE cases SET updated = max(updated, ?2) WHERE id = ?1")
        .bind(bundle.case.as_str())
        .bind(received)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO bundles (id, file_sha256, size_bytes, key, ticket_id, agent_id, order_id, scheduled, case_id, set_name, received, receipt, agent, backend, diagnosed_by, state, cause)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(bundle.id.as_str())
    .bind(&bundle.file_sha256)
    .bind(column::to_signed(bundle.size_bytes)?)
    .bind(bundle.key.as_bytes().to_vec())
    .bind(bundle.origin.ticket().map(TicketId::as_str))
    .bind(bundle.origin.agent().map(AgentId::as_str))
    .bind(order.map(OrderId::as_str))
    .bind(scheduled)
    .bind(bundle.case.as_str())
    .bind(&bundle.set)
    .bind(received)
    .bind(&bundle.receipt)
    .bind(column::to_json(&bundle.agent)?)
    .bind(column::to_json(&bundle.backend)?)
    .bind(&bundle.diagnosed_by)
    .bind(column::to_word(&bundle.backend.state)?)
    .bind(bundle.backend.findings.first().map(|finding| &finding.cause))
    .execute(&mut *transaction)
    .await?;
    if let Some(upload) = upload {
        sqlx::query("DELETE FROM uploads WHERE id = ?").bind(upload).execute(&mut *transaction).await?;
    }
    let detail = format!("case {}, {} bytes, sha256 {}", bundle.case, bundle.size_bytes, bundle.file_sha256);
    let about = About::One(match &bundle.origin {
        Origin::Ticket(ticket) => ticket.as_str(),
        Origin::Order { agent, .. } | Origin::Scheduled { agent, .. } => agent.as_str(),
        Origin::Brought => bundle.id.as_str(),
    });
    let deed = Deed { actor: &actor, action: "bundle.stored", subject: bundle.id.as_str(), detail: &detail, about };
    audit::append(&mut transaction, bundle.received, deed).await?;
    let woken = match order {
        Some(order) => orders::advance(&mut transaction, order, bundle.received).await?,
        None => Vec::new(),
    };
    transaction.commit().await?;
    Ok(Accepted::Stored(woken))
}

async fn open_case(connection: &mut SqliteConnection, bundle: &BundleRow) -> sqlx::Result<bool> {
    sqlx::query("INSERT INTO cases (id, opened, updated) VALUES (?1, ?2, ?2) ON CONFLICT (id) DO NOTHING")
        .bind(bundle.case.as_str())
        .bind(bundle.received.as_microsecond())
        .execute(connection)
        .await?;
    Ok(true)
}

async fn use_ticket(connection: &mut SqliteConnection, ticket: &TicketId, bundle: &BundleRow) -> sqlx::Result<bool> {
    let used = sqlx::query("UPDATE tickets SET status = 'used', used_by = ?2 WHERE id = ?1 AND status = 'open' AND expires > ?3")
        .bind(ticket.as_str())
        .bind(bundle.id.as_str())
        .bind(bundle.received.as_microsecond())
        .execute(connection)
        .await?;
    Ok(used.rows_affected() > 0)
}

/// Gives a delivery its one bundle. A delivery that had ended otherwise keeps how it ended.
async fn fill_delivery(
    connection: &mut SqliteConnection,
    order: &OrderId,
    agent: &AgentId,
    bundle: &BundleRow,
) -> sqlx::Result<bool> {
    let filled = sqlx::query(
        "UPDATE deliveries SET bundle_id = ?3,
             changed = CASE WHEN state IN ('queued', 'delivered', 'asked', 'accepted', 'running') OR code = ?5
                 OR state = 'expired' AND code IS NULL THEN ?4 ELSE changed END,
             state = CASE WHEN state IN ('queued', 'delivered', 'asked', 'accepted', 'running') OR code = ?5
                 OR state = 'expired' AND code IS NULL THEN 'uploaded' ELSE state END,
             detail = CASE WHEN code = ?5 THEN NULL ELSE detail END,
             code = CASE WHEN code = ?5 THEN NULL ELSE code END
         WHERE order_id = ?1 AND agent_id = ?2 AND bundle_id IS NULL",
    )
    .bind(order.as_str())
    .bind(agent.as_str())
    .bind(bundle.id.as_str())
    .bind(bundle.received.as_microsecond())
    // Only the backend has said so, and was wrong; as where it expired without a code, which the agent's word has.
    .bind(AGENT_SILENT)
    .execute(&mut *connection)
    .await?;
    // The bundle has all of it.
    sqlx::query("DELETE FROM progress WHERE order_id = ? AND agent_id = ?")
        .bind(order.as_str())
        .bind(agent.as_str())
        .execute(connection)
        .await?;
    Ok(filled.rows_affected() > 0)
}

pub(super) async fn get(store: &Sqlite, id: &BundleId) -> sqlx::Result<Option<BundleRow>> {
    let row = sqlx::query("SELECT * FROM bundles WHERE id = ?").bind(id.as_str()).fetch_optional(&store.reader).await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn ids_after(store: &Sqlite, after: Option<&BundleId>, count: u32) -> sqlx::Result<Vec<BundleId>> {
    let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM bundles WHERE id > ? ORDER BY id LIMIT ?")
        .bind(after.map_or("", BundleId::as_str))
        .bind(count)
        .fetch_all(&store.reader)
        .await?;
    Ok(ids.into_iter().map(BundleId::new).collect())
}

pub(super) async fn names_blob(store: &Sqlite, file_sha256: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM bundles WHERE file_sha256 = ?)")
        .bind(file_sha256)
        .fetch_one(&store.reader)
        .await
}

pub(super) async fn of_case(store: &Sqlite, case: &CaseId, count: u32) -> sqlx::Result<Vec<BundleRow>> {
    let rows = sqlx::query("SELECT * FROM bundles WHERE case_id = ? ORDER BY received DESC, id LIMIT ?")
        .bind(case.as_str())
        .bind(count)
        .fetch_all(&store.reader)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> sqlx::Result<BundleRow> {
    Ok(BundleRow {
        id: BundleId::new(row.try_get::<String, _>("id")?),
        file_sha256: row.try_get("file_sha256")?,
        size_bytes: column::count(row, "size_bytes")?,
        key: column::key(row, "key")?,
        origin: read_origin(row)?,
        case: CaseId::new(row.try_get::<String, _>("case_id")?),
        set: row.try_get("set_name")?,
        received: column::time(row, "received")?,
        receipt: row.try_get("receipt")?,
        agent: column::json(row, "agent")?,
        backend: column::json(row, "backend")?,
        diagnosed_by: row.try_get("diagnosed_by")?,
    })
}

fn read_origin(row: &SqliteRow) -> sqlx::Result<Origin> {
    let text = |column| row.try_get::<Option<String>, _>(column);
    let Some(agent) = text("agent_id")?.map(AgentId::new) else {
        return Ok(text("ticket_id")?.map_or(Origin::Brought, |ticket| Origin::Ticket(TicketId::new(ticket))));
    };
    Ok(match text("order_id")? {
        Some(order) => Origin::Order { order: OrderId::new(order), agent },
        None => Origin::Scheduled { agent, scheduled: column::json(row, "scheduled")? },
    })
}
