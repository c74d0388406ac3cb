//! The pages: rendered here, whole, and working without scripts. One script there is, which shows what goes on as it changes.
//!
//! Every text goes through askama's escaping; what is marked safe comes from
//! `netsonde_report::html`, which escapes itself. Pages for engineers need a
//! session, and every form of theirs carries its token. A ticket's page needs
//! neither: the bundle that it takes proves itself.

mod alerts;
mod case;
mod cases;
mod deliveries;
mod fleet;
mod health;
mod history;
mod live;
mod order;
mod order_form;
mod password;
mod problem_page;
mod schedules;
mod session;
mod shown;
mod sign_in;
mod sign_in_limit;
mod style;
mod ticket_form;
mod ticket_page;
mod watched;

pub(crate) use password::hash_password;
pub(crate) use problem_page::for_browsers;
pub(crate) use sign_in_limit::SignInLimit;

use crate::api::bundle_file;
use crate::app::App;
use crate::problem::Refused;
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use netsonde_contract::bundle::MAX_BYTES;
use session::Engineer;
use std::sync::Arc;

/// Who the pages' password belongs to.
pub(crate) const USER: &str = "engineer";
/// What a multipart body has besides its file.
const MULTIPART_FRAME_BYTES: usize = 16 * 1024;

/// Every page.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(async || Redirect::to("/cases")))
        .route("/sign-in", get(sign_in::form).post(sign_in::submit))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/cases", get(cases::page))
        .route("/cases/{id}", get(case::page))
        .route("/cases/{id}/live", get(case::live))
        .route("/cases/{id}/close", post(watched::close))
        .route("/health", get(health::page))
        .route("/alerts", get(alerts::page))
        .route("/alerts/{id}/retry", post(alerts::retry))
        .route("/schedules", get(schedules::page))
        .route("/agents", get(fleet::list))
        .route("/agents/{id}", get(fleet::page))
        .route("/orders", get(order::list))
        .route("/orders/new", get(order_form::form).post(order_form::submit))
        .route("/orders/{id}", get(order::page))
        .route("/orders/{id}/live", get(order::live))
        .route("/orders/{id}/cancel", post(order::cancel))
        .route("/orders/{id}/resume", post(order::resume))
        .route("/bundles/{id}", get(download))
        .route("/tickets/new", get(ticket_form::form).post(ticket_form::submit))
        .route("/tickets/{id}/revoke", post(ticket_form::revoke_ticket))
        .route(
            "/t/{id}",
            get(ticket_page::page).post(ticket_page::receive).layer(DefaultBodyLimit::max(MAX_BYTES + MULTIPART_FRAME_BYTES)),
        )
        .route(style::STYLE_PATH, get(style::sheet))
        .route(style::ICON_PATH, get(style::icon))
        .route(live::SCRIPT_PATH, get(live::script))
}

/// What the frame around every page shows.
pub(crate) struct Frame {
    /// The token for the forms of whoever is signed in; the navigation is shown only to them.
    form_token: Option<String>,
    style: &'static str,
    /// What shows changes as they come.
    script: &'static str,
}

impl Frame {
    fn of(engineer: &Engineer) -> Self {
        Self { form_token: Some(engineer.form_token.clone()), ..Self::for_strangers() }
    }

    fn for_strangers() -> Self {
        Self { form_token: None, style: style::address(), script: live::address() }
    }
}

fn render(status: StatusCode, page: &impl Template) -> Result<Response, Refused> {
    let html = page.render().map_err(Refused::internal)?;
    Ok((status, Html(html)).into_response())
}

async fn download(_: Engineer, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Refused> {
    bundle_file(&app, &id).await
}
