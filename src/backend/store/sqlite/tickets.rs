use super::audit::{self, About, Deed};
use super::{Sqlite, column};
use crate::store::{TicketRow, TicketStatus};
use jiff::Timestamp;
use netsonde_contract::id::{BundleId, CaseId, TicketId};
use netsonde_contract::ticket::ProofKey;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

pub(super) async fn add(store: &Sqlite, ticket: &TicketRow) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    sqlx::query(
        "INSERT INTO cases (id, opened, updated) VALUES (?1, ?2, ?2) ON CONFLICT (id) DO UPDATE SET updated = max(updated, ?2)",
    )
    .bind(ticket.case.as_str())
    .bind(ticket.created.as_microsecond())
    .execute(&mut *transaction)
    .await?;
    let (status, used_by) = match &ticket.status {
        TicketStatus::Open => ("open", None),
        TicketStatus::Used { by } => ("used", Some(by.as_str())),
        TicketStatus::Revoked => ("revoked", None),
    };
    sqlx::query(
        "INSERT INTO tickets (id, case_id, set_name, set_sha256, targets, parameters, proof_key, created, expires, status, used_by)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(ticket.id.as_str())
    .bind(ticket.case.as_str())
    .bind(&ticket.set)
    .bind(&ticket.set_sha256)
    .bind(column::to_json(&ticket.targets)?)
    .bind(column::to_json(&ticket.parameters)?)
    .bind(ticket.proof_key.to_bytes().to_vec())
    .bind(ticket.created.as_microsecond())
    .bind(ticket.expires.as_microsecond())
    .bind(status)
    .bind(used_by)
    .execute(&mut *transaction)
    .await?;
    let detail = format!("case {}, set {}", ticket.case, ticket.set);
    let id = ticket.id.as_str();
    let deed = Deed { actor: "desk", action: "ticket.issued", subject: id, detail: &detail, about: About::One(id) };
    audit::append(&mut transaction, ticket.created, deed).await?;
    transaction.commit().await
}

pub(super) async fn get(store: &Sqlite, id: &TicketId) -> sqlx::Result<Option<TicketRow>> {
    let row = sqlx::query("SELECT * FROM tickets WHERE id = ?").bind(id.as_str()).fetch_optional(&store.reader).await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn of_case(store: &Sqlite, case: &CaseId, count: u32) -> sqlx::Result<Vec<TicketRow>> {
    let rows = sqlx::query("SELECT * FROM tickets WHERE case_id = ? ORDER BY created DESC, id LIMIT ?")
        .bind(case.as_str())
        .bind(count)
        .fetch_all(&store.reader)
        .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn revoke(store: &Sqlite, id: &TicketId, actor: &str, now: Timestamp) -> sqlx::Result<bool> {
    let mut transaction = store.begin().await?;
    let changed = sqlx::query("UPDATE tickets SET status = 'revoked' WHERE id = ? AND status = 'open'")
        .bind(id.as_str())
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    if changed > 0 {
        let about = About::One(id.as_str());
        let deed = Deed { actor, action: "ticket.revoked", subject: id.as_str(), detail: "", about };
        audit::append(&mut transaction, now, deed).await?;
    }
    transaction.commit().await?;
    Ok(changed > 0)
}

fn read(row: &SqliteRow) -> sqlx::Result<TicketRow> {
    let status = match row.try_get::<&str, _>("status")? {
        "used" => TicketStatus::Used { by: BundleId::new(row.try_get::<String, _>("used_by")?) },
        "revoked" => TicketStatus::Revoked,
        _ => TicketStatus::Open,
    };
    Ok(TicketRow {
        id: TicketId::new(row.try_get::<String, _>("id")?),
        case: CaseId::new(row.try_get::<String, _>("case_id")?),
        set: row.try_get("set_name")?,
        set_sha256: row.try_get("set_sha256")?,
        targets: column::json(row, "targets")?,
        parameters: column::json(row, "parameters")?,
        proof_key: ProofKey::from_bytes(column::digest(row, "proof_key")?),
        created: column::time(row, "created")?,
        expires: column::time(row, "expires")?,
        status,
    })
}
