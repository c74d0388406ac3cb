use super::audit::{self, About, Deed};
use super::{Sqlite, column, orders};
use crate::store::{AgentRow, Enrolled, EnrolmentRow, LinkDigest, LinkShown, ShownLink};
use jiff::Timestamp;
use netsonde_contract::api::fleet::{CheckIn, Labels, TrustDocuments};
use netsonde_contract::bundle::key_id;
use netsonde_contract::enrolment::CodeProofKey;
use netsonde_contract::id::{AgentId, OrderId, TicketId};
use netsonde_contract::order::AGENT_SILENT;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

pub(super) async fn add_enrolment(store: &Sqlite, enrolment: &EnrolmentRow) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    sqlx::query("INSERT INTO enrolments (id, proof_key, uses, labels, created, expires) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(enrolment.id.as_str())
        .bind(enrolment.proof_key.to_bytes().to_vec())
        .bind(enrolment.uses)
        .bind(column::to_json(&enrolment.labels)?)
        .bind(enrolment.created.as_microsecond())
        .bind(enrolment.expires.as_microsecond())
        .execute(&mut *transaction)
        .await?;
    let detail = format!("{} uses until {}", enrolment.uses, enrolment.expires);
    let id = enrolment.id.as_str();
    let deed = Deed { actor: "desk", action: "enrolment.made", subject: id, detail: &detail, about: About::One(id) };
    audit::append(&mut transaction, enrolment.created, deed).await?;
    transaction.commit().await
}

pub(super) async fn enrolment(store: &Sqlite, id: &TicketId) -> sqlx::Result<Option<EnrolmentRow>> {
    let row = sqlx::query("SELECT * FROM enrolments WHERE id = ?").bind(id.as_str()).fetch_optional(&store.reader).await?;
    row.as_ref().map(read_enrolment).transpose()
}

pub(super) async fn enrol(store: &Sqlite, agent: &AgentRow, code: &TicketId, now: Timestamp) -> sqlx::Result<Enrolled> {
    let mut transaction = store.begin().await?;
    let revoked: Option<bool> = sqlx::query_scalar("SELECT revoked FROM agents WHERE id = ?")
        .bind(agent.id.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
    if revoked == Some(true) {
        return Ok(Enrolled::Revoked);
    }
    let again: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM enrolment_uses WHERE enrolment_id = ? AND agent_id = ?)")
        .bind(code.as_str())
        .bind(agent.id.as_str())
        .fetch_one(&mut *transaction)
        .await?;
    if !again {
        let (free, live): (bool, bool) = sqlx::query_as(
            "SELECT uses > (SELECT count(*) FROM enrolment_uses WHERE enrolment_id = ?1), expires > ?2 FROM enrolments WHERE id = ?1",
        )
        .bind(code.as_str())
        .bind(now.as_microsecond())
        .fetch_one(&mut *transaction)
        .await?;
        if !live {
            return Ok(Enrolled::Expired);
        }
        if !free {
            return Ok(Enrolled::UsedUp);
        }
    }
    put(&mut transaction, agent).await?;
    // Whoever was given a code begins a new chain.
    sqlx::query("UPDATE agents SET link = ?2, link_before = NULL, cloned = 0 WHERE id = ?1")
        .bind(agent.id.as_str())
        .bind(agent.link.map(|link| link.to_vec()))
        .execute(&mut *transaction)
        .await?;
    if !again {
        sqlx::query("INSERT INTO enrolment_uses (enrolment_id, agent_id) VALUES (?, ?)")
            .bind(code.as_str())
            .bind(agent.id.as_str())
            .execute(&mut *transaction)
            .await?;
        let actor = format!("agent {}", agent.id);
        let detail = format!("with the code {code}");
        let id = agent.id.as_str();
        let deed = Deed { actor: &actor, action: "agent.enrolled", subject: id, detail: &detail, about: About::One(id) };
        audit::append(&mut transaction, now, deed).await?;
    }
    transaction.commit().await?;
    Ok(Enrolled::Done)
}

pub(super) async fn introduce(store: &Sqlite, agent: &AgentRow, former: &AgentId, now: Timestamp) -> sqlx::Result<bool> {
    let mut transaction = store.begin().await?;
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(number) FROM agents WHERE id IN (?, ?)")
        .bind(former.as_str())
        .bind(agent.id.as_str())
        .fetch_one(&mut *transaction)
        .await?;
    let number = column::to_signed(agent.number)?;
    if newest.is_none_or(|newest| newest >= number) {
        return Ok(false);
    }
    put(&mut transaction, agent).await?;
    if agent.id != *former {
        sqlx::query("UPDATE agents SET replaced_by = ?2, replaced = ?3 WHERE id = ?1")
            .bind(former.as_str())
            .bind(agent.id.as_str())
            .bind(now.as_microsecond())
            .execute(&mut *transaction)
            .await?;
        hand_over(&mut transaction, former, &agent.id).await?;
    }
    let actor = format!("agent {former}");
    let detail = format!("introduction {number}, transport key {}", key_id(&agent.transport_key));
    let about = About::Both(former.as_str(), agent.id.as_str());
    let deed = Deed { actor: &actor, action: "agent.new_key", subject: agent.id.as_str(), detail: &detail, about };
    audit::append(&mut transaction, now, deed).await?;
    transaction.commit().await?;
    Ok(true)
}

/// What the agent has under way goes on under its next id: cancellations reach it, and what it reports is found. A delivery of the same order that
/// the next id already has stays its own.
async fn hand_over(connection: &mut SqliteConnection, former: &AgentId, next: &AgentId) -> sqlx::Result<()> {
    let moved: Vec<String> = sqlx::query_scalar(
        "UPDATE OR IGNORE deliveries SET agent_id = ?2 WHERE agent_id = ?1
         AND (state IN ('queued', 'delivered', 'asked', 'accepted', 'running') OR state IN ('cancelled', 'expired') AND code IS NULL OR code = ?3)
         RETURNING order_id",
    )
    .bind(former.as_str())
    .bind(next.as_str())
    // Its bundle may still come.
    .bind(AGENT_SILENT)
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE OR IGNORE progress SET agent_id = ?2 WHERE agent_id = ?1 AND order_id IN (SELECT value FROM json_each(?3))",
    )
    .bind(former.as_str())
    .bind(next.as_str())
    .bind(column::to_json(&moved)?)
    .execute(connection)
    .await
    .map(drop)
}

/// Adds the agent, or brings what it introduces up to date.
async fn put(connection: &mut SqliteConnection, agent: &AgentRow) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO agents (id, bundle_key, transport_key, transport_key_id, number, introduction, host_name, labels, enrolled, last_seen, check_in, link, link_before)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET transport_key = ?3, transport_key_id = ?4, number = ?5, introduction = ?6, host_name = ?7, last_seen = ?10, check_in = ?11",
    )
    .bind(agent.id.as_str())
    .bind(agent.bundle_key.as_bytes().to_vec())
    .bind(agent.transport_key.as_bytes().to_vec())
    .bind(key_id(&agent.transport_key))
    .bind(column::to_signed(agent.number)?)
    .bind(&agent.introduction)
    .bind(&agent.host_name)
    .bind(column::to_json(&agent.labels)?)
    .bind(agent.enrolled.as_microsecond())
    .bind(agent.last_seen.map(Timestamp::as_microsecond))
    .bind(column::to_json(&agent.check_in)?)
    .bind(agent.link.map(|link| link.to_vec()))
    .bind(agent.link_before.map(|link| link.to_vec()))
    .execute(connection)
    .await
    .map(drop)
}

pub(super) async fn get(store: &Sqlite, key_id: &str) -> sqlx::Result<Option<AgentRow>> {
    let row = sqlx::query(
        "SELECT * FROM agents WHERE id = ?1
         UNION ALL SELECT * FROM (SELECT * FROM agents WHERE transport_key_id = ?1 ORDER BY replaced_by IS NOT NULL, enrolled DESC LIMIT 1)
         LIMIT 1",
    )
    .bind(key_id)
    .fetch_optional(&store.reader)
    .await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn list(store: &Sqlite, count: u32) -> sqlx::Result<Vec<AgentRow>> {
    let rows = sqlx::query("SELECT * FROM agents WHERE replaced_by IS NULL ORDER BY enrolled DESC, id LIMIT ?")
        .bind(count)
        .fetch_all(&store.reader)
        .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn called(store: &Sqlite, text: &str, count: u32) -> sqlx::Result<Vec<AgentRow>> {
    let rows = match AgentId::beginning(text) {
        // Whatever an id goes on with comes before the first letter that is no digit of one.
        Some(digits) => {
            sqlx::query("SELECT * FROM agents WHERE id >= ?1 AND id < ?1 || 'g' AND replaced_by IS NULL ORDER BY id LIMIT ?2")
                .bind(digits)
                .bind(count)
                .fetch_all(&store.reader)
                .await?
        }
        None => {
            sqlx::query("SELECT * FROM agents WHERE host_name = ? AND replaced_by IS NULL ORDER BY id LIMIT ?")
                .bind(text)
                .bind(count)
                .fetch_all(&store.reader)
                .await?
        }
    };
    rows.iter().map(read).collect()
}

pub(super) async fn labelled(store: &Sqlite, labels: &Labels, count: u32) -> sqlx::Result<Vec<AgentRow>> {
    let rows = sqlx::query(
        "SELECT * FROM agents WHERE replaced_by IS NULL AND NOT EXISTS (
             SELECT 1 FROM json_each(?1) AS wanted WHERE NOT EXISTS (
                 SELECT 1 FROM json_each(agents.labels) AS own WHERE own.key = wanted.key AND own.value = wanted.value))
         ORDER BY enrolled DESC, id LIMIT ?2",
    )
    .bind(column::to_json(labels)?)
    .bind(count)
    .fetch_all(&store.reader)
    .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn check_in(
    store: &Sqlite,
    agent: &AgentId,
    check_in: &CheckIn,
    shown: Option<ShownLink>,
    next: LinkDigest,
    now: Timestamp,
) -> sqlx::Result<LinkShown> {
    let mut transaction = store.begin().await?;
    let row = sqlx::query("SELECT link, link_before, last_seen, cloned FROM agents WHERE id = ?")
        .bind(agent.as_str())
        .fetch_one(&mut *transaction)
        .await?;
    let (current, before) = (column::digest_if_any(&row, "link")?, column::digest_if_any(&row, "link_before")?);
    let (digest, given) = (shown.map(|shown| shown.digest), shown.and_then(|shown| shown.given));
    let last_seen = column::time_if_any(&row, "last_seen")?;
    let is_cloned: bool = row.try_get("cloned")?;
    // The one before is taken again, because its answer may have been lost; what was given in that answer is then superseded, so that of two
    // machines one is found out the next time.
    let before = match current {
        Some(current) if digest == Some(current) => Some(current),
        Some(_) if digest.is_some() && digest == before => before,
        // An agent that lost its link, or whose link no backend takes, is no copy for that alone. The last one is taken once more, so that of two
        // machines one is found out the next time.
        Some(current) if digest.is_none() && !is_cloned => Some(current),
        // It was given after the last thing that is remembered: not the agent is a copy, but the database was put back to an older state.
        Some(current) if given > last_seen => {
            let detail = format!(
                "a link given at {}, which the database does not know: it was put back to an older state",
                given.unwrap_or(now)
            );
            let about = About::One(agent.as_str());
            let deed = Deed { actor: "backend", action: "agent.link_ahead", subject: agent.as_str(), detail: &detail, about };
            audit::append(&mut transaction, now, deed).await?;
            Some(current)
        }
        None => None,
        Some(_) => {
            let detail = format!("a link that was superseded, instance {}", check_in.instance);
            shared(&mut transaction, agent, &detail, now).await?;
            transaction.commit().await?;
            return Ok(LinkShown::Superseded);
        }
    };
    sqlx::query("UPDATE agents SET check_in = ?2, link = ?3, link_before = ?4, last_seen = ?5 WHERE id = ?1")
        .bind(agent.as_str())
        .bind(column::to_json(check_in)?)
        .bind(next.to_vec())
        .bind(before.map(|link| link.to_vec()))
        .bind(now.as_microsecond())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(LinkShown::Taken)
}

pub(super) async fn set_labels(store: &Sqlite, agent: &AgentId, labels: &Labels, now: Timestamp) -> sqlx::Result<bool> {
    let json = column::to_json(labels)?;
    let mut transaction = store.begin().await?;
    let changed = sqlx::query("UPDATE agents SET labels = ?2 WHERE id = ?1")
        .bind(agent.as_str())
        .bind(&json)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    if changed > 0 {
        let about = About::One(agent.as_str());
        let deed = Deed { actor: "desk", action: "agent.labelled", subject: agent.as_str(), detail: &json, about };
        audit::append(&mut transaction, now, deed).await?;
    }
    transaction.commit().await?;
    Ok(changed > 0)
}

/// Ends an enrolment, and with it everything that the agent was given to do. None where nobody knows the agent; else who has new work by it.
pub(super) async fn revoke(store: &Sqlite, agent: &AgentId, now: Timestamp) -> sqlx::Result<Option<Vec<AgentId>>> {
    let mut transaction = store.begin().await?;
    let revoked: Option<bool> = sqlx::query_scalar("SELECT revoked FROM agents WHERE id = ?")
        .bind(agent.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
    if revoked == Some(false) {
        sqlx::query("UPDATE agents SET revoked = 1 WHERE id = ?").bind(agent.as_str()).execute(&mut *transaction).await?;
        let about = About::One(agent.as_str());
        let deed = Deed { actor: "desk", action: "agent.revoked", subject: agent.as_str(), detail: "", about };
        audit::append(&mut transaction, now, deed).await?;
    }
    let woken = if revoked == Some(false) { end_deliveries(&mut transaction, agent, now).await? } else { Vec::new() };
    transaction.commit().await?;
    Ok(revoked.map(|_| woken))
}

/// The agent is heard no more, so that it would never say itself what became of its orders.
async fn end_deliveries(connection: &mut SqliteConnection, agent: &AgentId, now: Timestamp) -> sqlx::Result<Vec<AgentId>> {
    let ended: Vec<String> = sqlx::query_scalar(
        "UPDATE deliveries SET state = 'cancelled', changed = ?2, code = 'agent_revoked', detail = 'the agent''s enrolment was ended'
         WHERE agent_id = ?1 AND state IN ('queued', 'delivered', 'asked', 'accepted', 'running') RETURNING order_id",
    )
    .bind(agent.as_str())
    .bind(now.as_microsecond())
    .fetch_all(&mut *connection)
    .await?;
    let actor = format!("agent {agent}");
    let about = About::One(agent.as_str());
    let deed =
        |order| (now, Deed { actor: &actor, action: "delivery.cancelled", subject: order, detail: "agent_revoked", about });
    audit::append_all(&mut *connection, ended.iter().map(|order| deed(order.as_str()))).await?;
    let mut woken = Vec::new();
    for order in ended {
        woken.extend(orders::advance(connection, &OrderId::new(order), now).await?);
    }
    Ok(woken)
}

pub(super) async fn share(store: &Sqlite, agent: &AgentId, detail: &str, now: Timestamp) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    shared(&mut transaction, agent, detail, now).await?;
    transaction.commit().await
}

async fn shared(connection: &mut SqliteConnection, agent: &AgentId, detail: &str, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("UPDATE agents SET cloned = 1 WHERE id = ?").bind(agent.as_str()).execute(&mut *connection).await?;
    let about = About::One(agent.as_str());
    let deed = Deed { actor: "backend", action: "agent.cloned", subject: agent.as_str(), detail, about };
    audit::append(connection, now, deed).await
}

pub(super) async fn settle(store: &Sqlite, agent: &AgentId, now: Timestamp) -> sqlx::Result<bool> {
    let mut transaction = store.begin().await?;
    let changed = sqlx::query("UPDATE agents SET cloned = 0, link = NULL, link_before = NULL WHERE id = ?")
        .bind(agent.as_str())
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    if changed > 0 {
        let about = About::One(agent.as_str());
        let deed = Deed { actor: "desk", action: "agent.single", subject: agent.as_str(), detail: "", about };
        audit::append(&mut transaction, now, deed).await?;
    }
    transaction.commit().await?;
    Ok(changed > 0)
}

const TRUST: &str = "trust";

pub(super) async fn trust(store: &Sqlite) -> sqlx::Result<Option<TrustDocuments>> {
    let row = sqlx::query("SELECT value FROM settings WHERE name = ?").bind(TRUST).fetch_optional(&store.reader).await?;
    row.as_ref().map(|row| column::json(row, "value")).transpose()
}

pub(super) async fn set_trust(store: &Sqlite, documents: &TrustDocuments, what: &str, now: Timestamp) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    sqlx::query("INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2")
        .bind(TRUST)
        .bind(column::to_json(documents)?)
        .execute(&mut *transaction)
        .await?;
    let about = About::Everybody;
    let deed = Deed { actor: "desk", action: "trust.published", subject: "organisation", detail: what, about };
    audit::append(&mut transaction, now, deed).await?;
    transaction.commit().await
}

fn read_enrolment(row: &SqliteRow) -> sqlx::Result<EnrolmentRow> {
    Ok(EnrolmentRow {
        id: TicketId::new(row.try_get::<String, _>("id")?),
        proof_key: CodeProofKey::from_bytes(column::digest(row, "proof_key")?),
        uses: row.try_get("uses")?,
        labels: column::json(row, "labels")?,
        created: column::time(row, "created")?,
        expires: column::time(row, "expires")?,
    })
}

fn read(row: &SqliteRow) -> sqlx::Result<AgentRow> {
    let replaced_by: Option<String> = row.try_get("replaced_by")?;
    let replaced = match replaced_by {
        Some(agent) => Some((AgentId::new(agent), column::time(row, "replaced")?)),
        None => None,
    };
    Ok(AgentRow {
        id: AgentId::new(row.try_get::<String, _>("id")?),
        bundle_key: column::key(row, "bundle_key")?,
        transport_key: column::key(row, "transport_key")?,
        number: column::count(row, "number")?,
        introduction: row.try_get("introduction")?,
        host_name: row.try_get("host_name")?,
        labels: column::json(row, "labels")?,
        enrolled: column::time(row, "enrolled")?,
        last_seen: column::time_if_any(row, "last_seen")?,
        check_in: column::json(row, "check_in")?,
        link: column::digest_if_any(row, "link")?,
        link_before: column::digest_if_any(row, "link_before")?,
        cloned: row.try_get("cloned")?,
        revoked: row.try_get("revoked")?,
        replaced,
    })
}
