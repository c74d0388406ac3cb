//! The interface for programs. Paths, bodies and codes are `netsonde_contract::api`'s.

mod bundles;
mod cases;
mod desk;
mod health;
mod tickets;
mod upload_headers;
mod uploads;

pub(crate) use bundles::bundle_file;
pub(crate) use desk::token_digest;
pub(crate) use tickets::{issue, revoke};

use crate::app::App;
use axum::Router;
use axum::routing::{get, head, post};
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
        .route("/v1/bundles/{id}", get(bundles::download))
}
