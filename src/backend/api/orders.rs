use super::desk::Desk;
use crate::app::App;
use crate::body::{Json as JsonBody, read_json};
use crate::fleet::{submit, unknown_order};
use crate::limits::{MAX_FLEET, MAX_LISTED};
use crate::problem::Refused;
use crate::random;
use crate::store::{DeliveryRow, DraftRow, OrderRow};
use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use netsonde_contract::api::ProblemCode;
use netsonde_contract::api::fleet::{Delivery, Draft, KeptDraft, MAX_SUBMIT_BYTES, OrderDetail, OrderSummary};
use netsonde_contract::api::path;
use netsonde_contract::audit;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::harmless::is_clean;
use netsonde_contract::id::{CaseId, OrderId, TicketId};
use netsonde_contract::order::{MAX_WINDOW, Order};
use serde::Deserialize;
use std::sync::Arc;

/// Words to the person at the machine are a line each, as an order bounds them.
const MAX_WORDS: usize = 500;
/// More addressees than an order with a list of them has.
const MAX_DRAFTED: usize = 20_000;
/// Entries of the audit log in one answer.
const MAX_ENTRIES: u32 = 1_000;

pub(super) async fn create(_: Desk, State(app): State<Arc<App>>, request: Request) -> Result<impl IntoResponse, Refused> {
    let submitted = read_json(request, MAX_SUBMIT_BYTES, app.limits.body).await?;
    let order = submit(&app, submitted).await?;
    let location = path::order(&order.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(summary(&app, order).await?)))
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    case: Option<String>,
}

/// All orders, or with `?case=` those of a case.
pub(super) async fn list(
    _: Desk,
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Vec<OrderSummary>>, Refused> {
    let unknown = || Refused::new(ProblemCode::NotFound, "There is no such case.");
    let case = wanted.case.map(|case| CaseId::parse(&case).ok_or_else(unknown)).transpose()?;
    Ok(Json(summaries(&app, case.as_ref(), MAX_LISTED).await?))
}

/// The latest first.
pub(crate) async fn summaries(app: &App, case: Option<&CaseId>, count: u32) -> Result<Vec<OrderSummary>, Refused> {
    let mut all = Vec::new();
    for order in app.store.orders(case, count).await? {
        all.push(summary(app, order).await?);
    }
    Ok(all)
}

pub(super) async fn read(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<OrderDetail>, Refused> {
    let order = find(&app, &id).await?;
    let deliveries = app.store.deliveries(&order.id, MAX_FLEET).await?.into_iter().map(delivery).collect();
    let spread_seconds = spread(&order);
    Ok(Json(OrderDetail { order: summary(&app, order).await?, spread_seconds, deliveries }))
}

pub(super) async fn cancel(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let order = find(&app, &id).await?;
    cancel_order(&app, &order.id, "desk").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hands out the next wave of an order that stopped because too many of the one before had failed.
pub(super) async fn resume(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let order = find(&app, &id).await?;
    let told = app.store.resume_order(&order.id, "desk", app.clock.now()).await?.ok_or_else(|| {
        Refused::new(ProblemCode::OrderNotStopped, "The order did not stop, or it is over.")
            .next_step("See what became of it; an order that expired or was cancelled is drafted anew.")
    })?;
    app.presence.ring(&told);
    Ok(StatusCode::NO_CONTENT)
}

/// Cancels an order that there is, and tells whoever listens.
pub(crate) async fn cancel_order(app: &App, id: &OrderId, actor: &str) -> Result<(), Refused> {
    let told = app.store.cancel_order(id, actor, app.clock.now()).await?.ok_or_else(|| {
        Refused::new(ProblemCode::OrderOver, "The order is over at every agent: nothing is left to cancel.")
            .next_step("See what became of it: netsonde-desk orders show ID.")
    })?;
    app.presence.ring(&told);
    Ok(())
}

pub(crate) async fn find(app: &App, id: &str) -> Result<OrderRow, Refused> {
    let id = OrderId::parse(id).ok_or_else(unknown_order)?;
    app.store.order(&id).await?.ok_or_else(unknown_order)
}

/// Within how many seconds each of its agents begins, where they were signed.
pub(crate) fn spread(order: &OrderRow) -> Option<u32> {
    let envelope = Envelope::from_json(order.envelope.as_bytes()).ok()?;
    Order::unverified(&envelope).ok()?.spread_seconds
}

pub(crate) async fn summary(app: &App, order: OrderRow) -> Result<OrderSummary, Refused> {
    Ok(OrderSummary {
        states: app.store.order_states(&order.id).await?,
        codes: app.store.order_codes(&order.id).await?,
        id: order.id,
        case: order.case,
        set: order.set,
        targets: order.targets,
        requester: order.requester,
        submitted: order.submitted,
        expires: order.expires,
        cancelled: order.cancelled,
        stopped: order.stopped,
    })
}

fn delivery(row: DeliveryRow) -> Delivery {
    Delivery {
        agent: row.agent,
        state: row.state,
        changed: row.changed,
        code: row.code,
        detail: row.detail,
        bundle: row.bundle,
        checks_planned: row.checks_planned,
        checks_done: row.checks_done,
    }
}

pub(super) async fn make_draft(
    _: Desk,
    State(app): State<Arc<App>>,
    JsonBody(draft): JsonBody<Draft>,
) -> Result<impl IntoResponse, Refused> {
    let kept = keep_draft(&app, draft, "desk").await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, path::draft(&kept.id))], Json(kept)))
}

/// Keeps a draft, which asks nobody for anything until an engineer's desk has signed an order made of it.
pub(crate) async fn keep_draft(app: &App, draft: Draft, actor: &str) -> Result<DraftRow, Refused> {
    super::tickets::checked_plan(&draft.set, &draft.targets, &draft.parameters)?;
    if CaseId::parse(draft.case.as_str()).is_none() {
        return Err(Refused::new(ProblemCode::InvalidParameter, "The case number is impossible.")
            .next_step("Use letters, digits, dots, dashes and underscores, 64 at most."));
    }
    if draft.agents.is_empty() && draft.labels.is_empty() || draft.agents.len() > MAX_DRAFTED {
        return Err(Refused::new(ProblemCode::InvalidParameter, "The draft names no agent, or too many.")
            .next_step("Choose agents, or a label that they carry."));
    }
    if draft.spread_seconds.is_some_and(|seconds| seconds == 0 || i64::from(seconds) > MAX_WINDOW.as_secs()) {
        return Err(Refused::new(ProblemCode::InvalidParameter, "The spread is not between nothing and a day.")
            .next_step("Give it in seconds, such as 600, and no longer than the order lives."));
    }
    let words = [&draft.requester, &draft.reason].into_iter().chain(draft.labels.iter().flat_map(|(name, value)| [name, value]));
    if words.into_iter().any(|text| !is_clean(text) || text.len() > MAX_WORDS) {
        return Err(Refused::new(ProblemCode::InvalidParameter, "Words of the draft are too long, or hide something."));
    }
    let kept = KeptDraft { id: TicketId::from_bytes(random::bytes()?).as_str().to_owned(), made: app.clock.now(), draft };
    app.store.add_draft(&kept, actor).await?;
    Ok(kept)
}

pub(super) async fn drafts(_: Desk, State(app): State<Arc<App>>) -> Result<Json<Vec<KeptDraft>>, Refused> {
    Ok(Json(app.store.drafts(MAX_LISTED).await?))
}

pub(super) async fn draft(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<KeptDraft>, Refused> {
    app.store.draft(&id).await?.map(Json).ok_or_else(unknown_draft)
}

pub(super) async fn remove_draft(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    if app.store.remove_draft(&id).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown_draft()) }
}

fn unknown_draft() -> Refused {
    Refused::new(ProblemCode::NotFound, "There is no such draft, or it was signed or forgotten already.")
        .next_step("Draft it again; drafts are kept for 7 days.")
}

#[derive(Deserialize)]
pub(super) struct After {
    #[serde(default)]
    after: u64,
}

/// `GET /v1/audit?after=N`: the log's entries, to be followed with [`audit::follow`].
pub(super) async fn audit(
    _: Desk,
    State(app): State<Arc<App>>,
    Query(wanted): Query<After>,
) -> Result<Json<Vec<audit::Entry>>, Refused> {
    Ok(Json(app.store.audit_after(wanted.after, MAX_ENTRIES).await?))
}
