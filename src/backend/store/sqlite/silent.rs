//! Runs of which nobody will hear any more.

use super::audit::{self, About, Deed};
use crate::clock::{earlier, from_micros, later};
use jiff::Timestamp;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::order::{AGENT_SILENT, LONGEST_LIFE, Order};
use sqlx::SqliteConnection;
use std::time::Duration;

/// An agent asks at least once a minute; one that was not heard of for so long is away.
const SILENT: Duration = Duration::from_secs(5 * 60);
/// Beyond a run's own time: for packing, and for a report on its way.
const GRACE: Duration = Duration::from_secs(2 * 60);
/// An agent that is there and says nothing of a run has lost it: whatever is sent comes sooner, as tries are an hour apart at most.
const UNREPORTED: Duration = Duration::from_secs(2 * 3600);
/// Orders that are older ended in one of the rounds before.
const LOOKED_BACK: Duration = Duration::from_secs(8 * 24 * 3600);
/// The same of what was cancelled, schedules among it.
const CANCELLED_LOOKED_BACK: Duration = LONGEST_LIFE.saturating_add(LOOKED_BACK);

/// Ends what runs no more, as far as that can be told: the order is over, its longest run as well, and the agent is not heard of. What such an
/// agent still sends is taken, unless the order was cancelled, as which it ends then.
pub(super) async fn end(connection: &mut SqliteConnection, now: Timestamp) -> sqlx::Result<()> {
    let under_way: Vec<(String, String, i64, bool)> = sqlx::query_as(
        "SELECT id, envelope, expires, cancelled FROM orders WHERE over AND submitted > CASE WHEN cancelled THEN ?2 ELSE ?1 END
         AND EXISTS (SELECT 1 FROM deliveries WHERE order_id = id AND state IN ('accepted', 'running'))",
    )
    .bind(earlier(now, LOOKED_BACK).as_microsecond())
    .bind(earlier(now, CANCELLED_LOOKED_BACK).as_microsecond())
    .fetch_all(&mut *connection)
    .await?;
    for (order, envelope, expires, cancelled) in under_way {
        if let Some(last) = last_moment(&envelope, from_micros(expires), cancelled).filter(|last| *last <= now) {
            let whoever = later(last, UNREPORTED) <= now;
            end_one(connection, &order, cancelled, whoever, now).await?;
        }
    }
    Ok(())
}

/// When the order's last run was over; none of a schedule that nobody cancelled, which runs on for as long as it lives.
fn last_moment(envelope: &str, expires: Timestamp, cancelled: bool) -> Option<Timestamp> {
    let order = Order::unverified(&Envelope::from_json(envelope.as_bytes()).ok()?).ok()?;
    let life = match &order.repeat {
        Some(repeat) if cancelled => repeat.life(),
        Some(_) => return None,
        None => Duration::ZERO,
    };
    Some(later(later(later(expires, life), order.longest_run()), GRACE))
}

/// `whoever` ends it for agents that are there, too.
async fn end_one(
    connection: &mut SqliteConnection,
    order: &str,
    cancelled: bool,
    whoever: bool,
    now: Timestamp,
) -> sqlx::Result<()> {
    let ended: Vec<String> = sqlx::query_scalar(
        "UPDATE deliveries SET changed = ?2, state = CASE WHEN ?6 THEN 'cancelled' ELSE 'failed' END, code = CASE WHEN ?6 THEN NULL ELSE ?3 END,
             detail = CASE WHEN ?6 THEN NULL
                 ELSE 'the time for its run is over, and the agent has not said what became of it; what it still sends is taken' END
         WHERE order_id = ?1 AND state IN ('accepted', 'running')
             AND (?4 OR (SELECT coalesce(last_seen, 0) FROM agents WHERE id = agent_id) < ?5) RETURNING agent_id",
    )
    .bind(order)
    .bind(now.as_microsecond())
    .bind(AGENT_SILENT)
    .bind(whoever)
    .bind(earlier(now, SILENT).as_microsecond())
    .bind(cancelled)
    .fetch_all(&mut *connection)
    .await?;
    let action = if cancelled { "delivery.cancelled" } else { "delivery.failed" };
    let details: Vec<String> = ended.iter().map(|agent| format!("{AGENT_SILENT}: agent {agent}")).collect();
    let deeds = ended
        .iter()
        .zip(&details)
        .map(|(agent, detail)| (now, Deed { actor: "backend", action, subject: order, detail, about: About::One(agent) }));
    audit::append_all(connection, deeds).await
}
