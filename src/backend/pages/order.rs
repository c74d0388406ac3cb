//! Orders: all of them, and one with what became of it at each agent, which is shown as it changes.

use super::deliveries::{Deliveries, Wanted};
use super::live::{self, Now};
use super::session::Engineer;
use super::{Frame, render, shown};
use crate::api::{cancel_order, find_order, order_spread, order_summaries, order_summary, resume_order};
use crate::app::App;
use crate::body::Form;
use crate::limits::MAX_LISTED;
use crate::problem::Refused;
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use netsonde_contract::api::fleet::{DeliveryState, OrderSummary};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage {
    frame: Frame,
    part: OrderPart,
    /// Where the part comes from as it changes.
    from: String,
}

#[derive(Template)]
#[template(path = "order_part.html")]
struct OrderPart {
    form_token: String,
    order: OrderLine,
    /// Something may still change.
    live: bool,
    open: bool,
    /// It stopped, and may go on.
    waits: bool,
    reason: String,
    signers: Vec<String>,
    spread_seconds: Option<u32>,
    deliveries: Deliveries,
}

#[derive(Template)]
#[template(path = "orders.html")]
struct OrdersPage {
    frame: Frame,
    orders: Vec<OrderLine>,
    drafts: Vec<DraftLine>,
}

/// An order in a list, here and on the case's page.
pub(super) struct OrderLine {
    pub(super) id: String,
    pub(super) short: String,
    pub(super) case: String,
    pub(super) set: String,
    pub(super) targets: String,
    pub(super) requester: String,
    pub(super) submitted: String,
    pub(super) expires: String,
    pub(super) state: (&'static str, &'static str),
    /// How many agents are in each state.
    pub(super) states: Vec<(u32, (&'static str, &'static str))>,
    pub(super) live: bool,
}

struct DraftLine {
    id: String,
    case: String,
    set: String,
    requester: String,
    made: String,
}

pub(super) async fn list(engineer: Engineer, State(app): State<Arc<App>>) -> Result<Response, Refused> {
    let orders = order_summaries(&app, None, MAX_LISTED).await?.into_iter().map(|order| order_line(&app, order)).collect();
    let draft = |kept: crate::store::DraftRow| DraftLine {
        id: kept.id,
        case: kept.draft.case.to_string(),
        set: kept.draft.set,
        requester: kept.draft.requester,
        made: shown::time(kept.made),
    };
    let drafts = app.store.drafts(MAX_LISTED).await?.into_iter().map(draft).collect();
    render(StatusCode::OK, &OrdersPage { frame: Frame::of(&engineer), orders, drafts })
}

pub(super) async fn page(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    let part = OrderPart::read(&app, &engineer, &id, &wanted).await?;
    let (live, from) = (part.live, format!("/orders/{}/live?{}", part.order.id, wanted.query()));
    let page = render(StatusCode::OK, &OrderPage { frame: Frame::of(&engineer), part, from })?;
    Ok(if live { live::with_script(page) } else { page })
}

/// What the page shows, whenever it is something else.
pub(super) async fn live(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    find_order(&app, &id).await?;
    live::follow(app, engineer, move |app, engineer| {
        let (id, wanted) = (id.clone(), wanted.clone());
        async move {
            let part = OrderPart::read(&app, &engineer, &id, &wanted).await?;
            if part.live { Now::of(&part) } else { Ok(Now::Over) }
        }
    })
}

impl OrderPart {
    async fn read(app: &App, engineer: &Engineer, id: &str, wanted: &Wanted) -> Result<Self, Refused> {
        let order = find_order(app, id).await?;
        let (reason, signers, spread_seconds) = (order.reason.clone(), order.signers.clone(), order_spread(&order));
        let order = order_summary(app, order).await?;
        let deliveries = Deliveries::of(app, &order, wanted).await?;
        let waits = order.stopped && !order.cancelled && order.expires > app.clock.now();
        let order = order_line(app, order);
        Ok(Self {
            form_token: engineer.form_token.clone(),
            live: order.live,
            open: waits || order.live && order.state.0 != "cancelled",
            waits,
            order,
            reason,
            signers,
            spread_seconds,
            deliveries,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Pressed {
    form_token: String,
}

/// Ends an order. It asks an agent for less, never for more, and so needs no signature.
pub(super) async fn cancel(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Form(form): Form<Pressed>,
) -> Result<Redirect, Refused> {
    engineer.check_form(&form.form_token)?;
    let order = find_order(&app, &id).await?;
    cancel_order(&app, &order.id, "page").await?;
    Ok(Redirect::to(&format!("/orders/{}", order.id)))
}

/// Lets an order that stopped go on. What goes on is what engineers signed, to the agents that they named and within its window, and so this needs no
/// signature either.
pub(super) async fn resume(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Form(form): Form<Pressed>,
) -> Result<Redirect, Refused> {
    engineer.check_form(&form.form_token)?;
    let order = find_order(&app, &id).await?;
    resume_order(&app, &order, "page").await?;
    Ok(Redirect::to(&format!("/orders/{}", order.id)))
}

pub(super) fn order_line(app: &App, order: OrderSummary) -> OrderLine {
    let now = app.clock.now();
    let states: Vec<(DeliveryState, u32)> =
        DeliveryState::ALL.into_iter().filter_map(|(name, state)| Some((state, *order.states.get(name)?))).collect();
    // What runs when the order's time ends still brings its bundle.
    let goes_on = |state: DeliveryState| match state {
        DeliveryState::Accepted | DeliveryState::Running => true,
        state => !state.is_final() && order.expires > now && !order.stopped,
    };
    let live = states.iter().any(|(state, _)| goes_on(*state));
    let state = match &order {
        OrderSummary { cancelled: true, .. } => ("cancelled", "off"),
        OrderSummary { stopped: true, .. } => ("stopped: too many failed", "bad"),
        _ if live => ("under way", "unsure"),
        _ => ("over", "good"),
    };
    OrderLine {
        short: order.id.short().to_owned(),
        id: order.id.to_string(),
        case: order.case.to_string(),
        set: order.set,
        targets: order.targets.join(", "),
        requester: order.requester,
        submitted: shown::time(order.submitted),
        expires: shown::time(order.expires),
        state,
        states: states.into_iter().map(|(state, count)| (count, shown::delivery_state(state))).collect(),
        live,
    }
}
