//! Alerts as they are made: within the transaction that keeps what they tell.

use super::super::column;
use crate::store::Channel;
use jiff::Timestamp;
use netsonde_contract::api::alert::{Alert, AlertData};
use netsonde_contract::api::fleet::Labels;
use netsonde_contract::api::path;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::id::{AgentId, CaseId};
use sha2::{Digest, Sha256};
use sqlx::SqliteConnection;

/// More of one channel do not wait: by then nobody has listened for long, and the oldest are given up.
const MAX_WAITING: u32 = 5_000;

/// Whose alerts they are, and who is told.
pub(super) struct Teller<'a> {
    pub(super) agent: &'a AgentId,
    pub(super) host_name: Option<&'a str>,
    pub(super) labels: &'a Labels,
    pub(super) url: &'a str,
    pub(super) channels: &'a [Channel],
    pub(super) now: Timestamp,
}

impl Teller<'_> {
    /// The machine as people call it.
    pub(super) fn name(&self) -> String {
        self.host_name
            .map_or_else(|| format!("agent {}", self.agent.short()), |name| format!("{name} (agent {})", self.agent.short()))
    }

    /// What every alert of this agent says.
    pub(super) fn about(&self, summary: String, case: Option<&CaseId>) -> AlertData {
        AlertData {
            summary,
            sentence: None,
            agent: self.agent.clone(),
            host_name: self.host_name.map(str::to_owned),
            labels: self.labels.clone(),
            schedule: None,
            target: None,
            check: None,
            health: None,
            change: None,
            began: None,
            case: case.cloned(),
            url: format!("{}{}", self.url, case.map_or_else(|| "/health".to_owned(), path::case_page)),
            bundle: None,
        }
    }

    /// Puts it into the outbox of every channel that wants it. The id follows from what is told and to whom, so that nothing is there twice.
    pub(super) async fn tell(
        &self,
        connection: &mut SqliteConnection,
        event: &str,
        at: Timestamp,
        data: AlertData,
    ) -> sqlx::Result<()> {
        let alert = column::to_json(&Alert { event: event.to_owned(), timestamp: at, data })?;
        for channel in self.channels.iter().filter(|channel| channel.events.iter().any(|wanted| wanted == event)) {
            let digest = Sha256::new().chain_update(&channel.name).chain_update([0]).chain_update(&alert).finalize();
            let id = format!("msg_{}", hexadecimal(&digest[..16]));
            sqlx::query(
                "INSERT INTO outbox (id, channel, event, alert, made, next) VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (id) DO NOTHING",
            )
            .bind(id)
            .bind(&channel.name)
            .bind(event)
            .bind(&alert)
            .bind(self.now.as_microsecond())
            .execute(&mut *connection)
            .await?;
            sqlx::query(
                "UPDATE outbox SET state = 'given_up', finished = ?2, trouble = 'too many newer alerts waited'
                 WHERE id IN (SELECT id FROM outbox WHERE channel = ?1 AND state = 'waiting' ORDER BY made DESC, id LIMIT -1 OFFSET ?3)",
            )
            .bind(&channel.name)
            .bind(self.now.as_microsecond())
            .bind(MAX_WAITING)
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }
}
