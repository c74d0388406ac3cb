use super::super::{Sqlite, column};
use super::told::Teller;
use crate::store::Channel;
use jiff::Timestamp;
use netsonde_contract::api::alert::event;
use netsonde_contract::api::fleet::Labels;
use netsonde_contract::history::Health;
use netsonde_contract::id::AgentId;
use sqlx::{Row, SqliteConnection};
use std::time::Duration;

/// Agents of one transaction; the next round takes the rest.
const TOGETHER: u32 = 500;
/// Where more fall silent at once, it is no machine's fault but the way's: one alert speaks for the rest.
const TOLD_ONE_BY_ONE: usize = 20;

/// Of an agent that measures nothing, silence says nothing.
pub(super) async fn note(store: &Sqlite, now: Timestamp, up_for: Duration, url: &str, channels: &[Channel]) -> sqlx::Result<u32> {
    let up_for = i64::try_from(up_for.as_micros()).unwrap_or(i64::MAX);
    let find = "SELECT agent_id, silent_after, host_name, labels FROM health_reports JOIN agents ON agents.id = agent_id
         WHERE NOT silent AND silent_after <= ?1 AND silent_after - reported <= ?2 AND NOT revoked AND replaced_by IS NULL
           AND EXISTS (SELECT 1 FROM health_checks WHERE health_checks.agent_id = agents.id)
         ORDER BY silent_after LIMIT ?3";
    let found = sqlx::query(find).bind(now.as_microsecond()).bind(up_for).bind(TOGETHER).fetch_all(&store.reader).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let mut transaction = store.begin().await?;
    // Whoever spoke in the meantime is not silent.
    let found = sqlx::query(find).bind(now.as_microsecond()).bind(up_for).bind(TOGETHER).fetch_all(&mut *transaction).await?;
    for (place, row) in found.iter().enumerate() {
        let agent = AgentId::new(row.try_get::<String, _>("agent_id")?);
        let host_name: Option<String> = row.try_get("host_name")?;
        let labels: Labels = column::json(row, "labels")?;
        let since = column::time(row, "silent_after")?;
        sqlx::query("UPDATE health_reports SET silent = 1 WHERE agent_id = ?")
            .bind(agent.as_str())
            .execute(&mut *transaction)
            .await?;
        record(&mut transaction, &agent, "silent", since, now).await?;
        let teller = Teller { agent: &agent, host_name: host_name.as_deref(), labels: &labels, url, channels, now };
        let summary = match place {
            0..TOLD_ONE_BY_ONE => format!("{} is silent: of its checks nothing is known", teller.name()),
            TOLD_ONE_BY_ONE => format!("{} and {} further agents are silent", teller.name(), found.len() - place - 1),
            _ => continue,
        };
        let mut data = teller.about(summary, None);
        data.health = Some(Health::Unknown);
        teller.tell(&mut transaction, event::AGENT_SILENT, since, data).await?;
    }
    transaction.commit().await?;
    Ok(u32::try_from(found.len()).unwrap_or(u32::MAX))
}

/// A change of the whole agent.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    agent: &AgentId,
    presence: &str,
    at: Timestamp,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO health_changes (agent_id, at, kept, presence) VALUES (?, ?, ?, ?)")
        .bind(agent.as_str())
        .bind(at.as_microsecond())
        .bind(now.as_microsecond())
        .bind(presence)
        .execute(connection)
        .await
        .map(drop)
}
