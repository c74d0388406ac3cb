use super::{Belongs, harmless_set};
use crate::app::App;
use crate::clock::earlier;
use crate::health;
use crate::problem::Refused;
use crate::store::{Origin, PlaceOf};
use axum::http::{HeaderValue, header};
use netsonde_contract::api::ProblemCode;
use netsonde_contract::bundle::{Bundle, Scheduled};
use netsonde_contract::id::AgentId;
use std::time::Duration;

/// What bounds are counted over.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// When an agent that sent too much may come again, in seconds. Its spool keeps the bundle.
const COME_AGAIN: u32 = 3600;

/// The case of a bundle that `agent` made by its schedule and signed itself. A kill after this and before the bundle is stored leaves a case without it; the
/// agent, which has no receipt, sends it again.
///
/// # Errors
/// Where the agent's scheduled bundles of a day are beyond their bounds.
pub(super) async fn place(
    app: &App,
    bundle: &Bundle,
    scheduled: &Scheduled,
    (agent, bytes): (&AgentId, u64),
) -> Result<Belongs, Refused> {
    check_bounds(app, agent, bytes).await?;
    let scheduled = health::tidy(scheduled);
    let place = PlaceOf {
        agent: agent.clone(),
        bundle: bundle.id.clone(),
        scheduled: scheduled.clone(),
        measured: bundle.predicate.clocks.ended,
        now: app.clock.now(),
    };
    let case = app.store.place_of(&place).await?;
    Ok(Belongs { origin: Origin::Scheduled { agent: agent.clone(), scheduled }, case, set: harmless_set(bundle) })
}

/// The same for a schedule that an engineer signed: it belongs to the order's case, and the order may have as many as the agent's bounds allow.
///
/// # Errors
/// Where the agent's scheduled bundles of a day are beyond their bounds.
pub(super) async fn ordered(
    app: &App,
    ordered: Belongs,
    scheduled: &Scheduled,
    (agent, bytes): (&AgentId, u64),
) -> Result<Belongs, Refused> {
    check_bounds(app, agent, bytes).await?;
    Ok(Belongs { origin: Origin::Scheduled { agent: agent.clone(), scheduled: health::tidy(scheduled) }, ..ordered })
}

/// # Errors
/// Where one more bundle of so many bytes is too much.
pub(crate) async fn check_bounds(app: &App, agent: &AgentId, bytes: u64) -> Result<(), Refused> {
    let spent = app.store.spent(agent, earlier(app.clock.now(), DAY)).await?;
    let limits = &app.limits;
    let words = if spent.bundles >= limits.scheduled_bundles {
        format!("This agent has sent {} scheduled bundles in 24 hours, and no more are taken.", spent.bundles)
    } else if spent.bytes.saturating_add(bytes) > limits.scheduled_bytes {
        format!("This agent's scheduled bundles of 24 hours would take more than {} bytes.", limits.scheduled_bytes)
    } else {
        return Ok(());
    };
    Err(Refused::new(ProblemCode::RateLimited, words)
        .next_step("Keep the bundle and send it later; run the schedule less often, or with a smaller set.")
        .header(header::RETRY_AFTER, HeaderValue::from(COME_AGAIN)))
}
