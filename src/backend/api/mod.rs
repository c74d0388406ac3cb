//! The interface for programs. Paths, bodies and codes are `netsonde_contract::api`'s.

mod agents;
mod bundles;
mod cases;
mod desk;
mod have;
mod health;
mod import;
mod orders;
mod tickets;
mod trust;
mod upload_headers;
mod uploads;
mod work;

pub(crate) use agents::{summary as agent_summary, unknown_agent};
pub(crate) use bundles::bundle_file;
pub(crate) use cases::{is_agents_key, unknown_case};
pub(crate) use desk::token_digest;
pub(crate) use orders::{
    cancel_order, find as find_order, keep_draft, resume_order, spread as order_spread, summaries as order_summaries,
    summary as order_summary,
};
pub(crate) use tickets::{issue, revoke};

use crate::app::App;
use axum::Router;
use axum::routing::{get, head, post, put};
use netsonde_contract::api::path;
use std::sync::Arc;

/// Every route of the interface.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(path::HEALTH, get(health::check))
        .route(path::UPLOADS, post(uploads::begin))
        .route(&path::upload(&"{id}"), head(uploads::offset).patch(uploads::append))
        .route(path::TICKETS, post(tickets::create))
        .route("/v1/tickets/{id}", get(tickets::read).delete(tickets::remove))
        .route("/v1/tickets/{id}/state", get(tickets::state))
        .route(path::CASES, get(cases::list))
        .route("/v1/cases/{id}", get(cases::read))
        .route(path::BUNDLES, post(import::bring))
        .route("/v1/bundles/{id}", get(bundles::download))
        .route(path::TRUST, get(trust::read).put(trust::replace))
        .route(path::RECEIPT_KEY, get(trust::receipt_key))
        .route(path::ENROLMENTS, post(agents::make_code))
        .route(path::AGENTS, get(agents::list).post(agents::introduce))
        .route(path::OWN_AGENT, post(agents::enter))
        .route(path::OWN_HEALTH, post(health::hear))
        .route(path::HAVE, post(have::wanted))
        .route("/v1/agents/{id}", get(agents::read))
        .route("/v1/agents/{id}/labels", put(agents::label))
        .route("/v1/agents/{id}/revoke", post(agents::revoke))
        .route("/v1/agents/{id}/single", post(agents::settle))
        .route(path::WORK, get(work::read))
        .route("/v1/work/{id}/state", post(work::report))
        .route("/v1/work/{id}/progress", post(work::progress))
        .route(path::ORDERS, get(orders::list).post(orders::create))
        .route("/v1/orders/{id}", get(orders::read))
        .route("/v1/orders/{id}/cancel", post(orders::cancel))
        .route("/v1/orders/{id}/resume", post(orders::resume))
        .route(path::DRAFTS, get(orders::drafts).post(orders::make_draft))
        .route("/v1/drafts/{id}", get(orders::draft).delete(orders::remove_draft))
        .route(path::AUDIT, get(orders::audit))
}
