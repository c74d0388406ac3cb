use super::desk::Desk;
use crate::app::App;
use crate::body::{Json as JsonBody, read_json};
use crate::fleet::{submit, unknown_order};
use crate::limits::{MAX_FLEET, MAX_LISTED};
use crate::problem::Refused;
use crate::random;
use crate::store::{DeliveryRow, DraftRow, OrderRow, RevisedRows};
use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use netsonde_contract::api::ProblemCode;
use netsonde_contract::api::fleet::{Changes, Delivery, Draft, KeptDraft, MAX_SUBMIT_BYTES, OrderDetail, OrderSummary};
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
/// Deliveries that changed, in one answer: what has been told since the last second, and a fleet in a few answers.
const MAX_CHANGED: u32 = 2_000;
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

#[derive(Deserialize)]
pub(super) struct Since {
    since: Option<u64>,
}

/// The order with all its deliveries, or with `?since=` those that changed after that cursor.
pub(super) async fn read(
    _: Desk,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(wanted): Query<Since>,
) -> Result<Json<OrderDetail>, Refused> {
    let order = find(&app, &id).await?;
    let (id, spread_seconds) = (order.id.clone(), spread(&order));
    // Counted first: whoever sees by the counts that all is over has been told each delivery's last change as well.
    let order = summary(&app, order).await?;
    let (rows, changes) = match wanted.since {
        None => (app.store.deliveries(&id, MAX_FLEET).await?, None),
        Some(after) => {
            let RevisedRows { rows, cursor, more } = app.store.deliveries_after(&id, after, MAX_CHANGED).await?;
            (rows, Some(Changes { cursor, more }))
        }
    };
    Ok(Json(OrderDetail { order, spread_seconds, deliveries: rows.into_iter().map(delivery).collect(), changes }))
}

pub(super) async fn cancel(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let order = find(&app, &id).await?;
    cancel_order(&app, &order.id, "desk").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hands out the next wave of an order that stopped because too many of the one before had failed.
pub(super) async fn resume(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let order = find(&app, &id).await?;
    resume_order(&app, &order, "desk").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets an order go on that stopped, and tells those of its next wave who listen.
pub(crate) async fn resume_order(app: &App, order: &OrderRow, actor: &str) -> Result<(), Refused> {
    let now = app.clock.now();
    let told = app.store.resume_order(&order.id, actor, now).await?.ok_or_else(|| {
        let (why, next) = if order.cancelled {
            ("The order was cancelled: nothing of it goes on.", "Sign a new order for the agents that are left.")
        } else if order.expires <= now {
            ("The order has expired: no agent would begin it any more.", "Sign a new order for the agents that are left.")
        } else {
            ("The order is not stopped: nothing holds its next wave back but the one before.", "See what became of it so far.")
        };
        Refused::new(ProblemCode::OrderNotStopped, why).next_step(next)
    })?;
    app.presence.ring(&told);
    Ok(())
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
