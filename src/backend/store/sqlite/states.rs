//! What agents report of orders, many reports at a time.

use super::audit::{self, About, Deed};
use super::{column, orders};
use crate::store::Noted;
use jiff::Timestamp;
use netsonde_contract::api::fleet::{DeliveryState, StateReport};
use netsonde_contract::id::{AgentId, OrderId};
use netsonde_contract::order::SERVING;
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, HashMap};

/// One report, and the place that its answer has.
pub(super) struct Told<'a> {
    pub(super) place: usize,
    pub(super) order: &'a OrderId,
    pub(super) agent: &'a AgentId,
    pub(super) report: &'a StateReport,
    pub(super) at: Timestamp,
}

/// `CROSS JOIN` tells SQLite to begin with what was told. What expired by the backend's own word alone, without a code, is still to be heard of.
const BEFORE: &str = "
    SELECT told.key AS place, CASE WHEN state = 'expired' AND code IS NULL THEN 'queued' ELSE state END AS state FROM json_each(?1) AS told
    CROSS JOIN deliveries ON order_id = told.value ->> 0 AND agent_id = told.value ->> 1";
const CHANGE: &str = "
    UPDATE deliveries SET state = told.value ->> 2, changed = CASE WHEN state = told.value ->> 2 THEN changed ELSE told.value ->> 3 END, code = told.value ->> 4, detail = told.value ->> 5
    FROM json_each(?1) AS told WHERE order_id = told.value ->> 0 AND agent_id = told.value ->> 1";

/// Keeps reports in their order, one after the other for each delivery, and says of each what became of it. Who has new work by it is added to
/// `woken`.
pub(super) async fn keep(
    connection: &mut SqliteConnection,
    told: &[Told<'_>],
    noted: &mut [Noted],
    woken: &mut Vec<AgentId>,
) -> sqlx::Result<()> {
    if told.is_empty() {
        return Ok(());
    }
    let mut states = before(connection, told).await?;
    let mut changes: BTreeMap<(&OrderId, &AgentId), &Told<'_>> = BTreeMap::new();
    let mut ended = Vec::new();
    // The others' turn has also come where this one answers them.
    let mut turns = BTreeMap::new();
    for one in told {
        noted[one.place] = match states.get_mut(&(one.order, one.agent)) {
            None => Noted::Unknown,
            // The same state in other words: why it does not go on, or that it does again.
            Some(state) if *state == one.report.state && !state.is_final() && one.report.code.is_some() => {
                changes.insert((one.order, one.agent), one);
                Noted::Kept
            }
            Some(state) if !state.may_become(one.report.state) => Noted::Old,
            Some(state) => {
                *state = one.report.state;
                changes.insert((one.order, one.agent), one);
                if one.report.state.is_final() {
                    ended.push(one);
                }
                if one.report.state.is_final() || one.report.code.as_deref() == Some(SERVING) {
                    let latest = turns.entry(one.order).or_insert(one.at);
                    *latest = one.at.max(*latest);
                }
                Noted::Kept
            }
        };
    }
    let rows: Vec<_> = changes
        .into_values()
        .map(|one| {
            let StateReport { state, code, detail, .. } = one.report;
            (one.order, one.agent, state.name(), one.at.as_microsecond(), code, detail)
        })
        .collect();
    sqlx::query(CHANGE).bind(column::to_json(&rows)?).execute(&mut *connection).await?;
    end(connection, &ended).await?;
    for (order, now) in turns {
        woken.extend(orders::advance(connection, order, now).await?);
    }
    Ok(())
}

async fn before<'a>(
    connection: &mut SqliteConnection,
    told: &[Told<'a>],
) -> sqlx::Result<HashMap<(&'a OrderId, &'a AgentId), DeliveryState>> {
    let asked: Vec<_> = told.iter().map(|one| (one.order, one.agent)).collect();
    let rows = sqlx::query(BEFORE).bind(column::to_json(&asked)?).fetch_all(connection).await?;
    let mut states = HashMap::with_capacity(rows.len());
    for row in &rows {
        if let Some(delivery) = asked.get(column::place(row)?) {
            states.insert(*delivery, column::delivery_state(row, "state")?);
        }
    }
    Ok(states)
}

/// Writes down what has ended.
async fn end(connection: &mut SqliteConnection, ended: &[&Told<'_>]) -> sqlx::Result<()> {
    let words: Vec<_> =
        ended.iter().map(|one| (format!("agent {}", one.agent), format!("delivery.{}", one.report.state.name()))).collect();
    let deeds = ended.iter().zip(&words).map(|(one, (actor, action))| {
        let detail = one.report.code.as_deref().unwrap_or_default();
        let about = About::One(one.agent.as_str());
        (one.at, Deed { actor, action, subject: one.order.as_str(), detail, about })
    });
    audit::append_all(connection, deeds).await
}
