//! Who is told, what waits to be told, and what was given up.

use super::session::Engineer;
use super::{Frame, render, shown};
use crate::app::App;
use crate::body::Form;
use crate::limits::MAX_LISTED;
use crate::problem::Refused;
use crate::store::{AlertRow, AlertState};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    frame: Frame,
    receivers: Vec<ReceiverLine>,
    alerts: Vec<AlertLine>,
    given_up: usize,
    cut: bool,
}

struct ReceiverLine {
    name: String,
    place: String,
    events: String,
}

struct AlertLine {
    id: String,
    made: String,
    event: String,
    summary: String,
    url: String,
    channel: String,
    state: (&'static str, &'static str),
    trouble: Option<String>,
    attempts: u32,
    next: Option<String>,
    given_up: bool,
}

pub(super) async fn page(engineer: Engineer, State(app): State<Arc<App>>) -> Result<Response, Refused> {
    let receivers = app.alerts.receivers.iter().zip(&app.alerts.channels).map(|(receiver, channel)| ReceiverLine {
        name: receiver.name.clone(),
        place: receiver.place(),
        events: channel.events.join(", "),
    });
    // What was given up wants somebody, and comes first however old it is.
    let given_up = app.store.alerts(Some(AlertState::GivenUp), MAX_LISTED).await?;
    let others = app.store.alerts(None, MAX_LISTED).await?;
    let cut = others.len() >= MAX_LISTED as usize;
    let count = given_up.len();
    let others = others.into_iter().filter(|alert| alert.state != AlertState::GivenUp);
    let page = AlertsPage {
        frame: Frame::of(&engineer),
        receivers: receivers.collect(),
        alerts: given_up.into_iter().chain(others).map(line).collect(),
        given_up: count,
        cut,
    };
    render(StatusCode::OK, &page)
}

fn line(alert: AlertRow) -> AlertLine {
    let waiting = alert.state == AlertState::Waiting;
    AlertLine {
        made: shown::second(alert.made),
        event: alert.alert.event,
        summary: alert.alert.data.summary,
        // As a path, so that the page does not lead to another name of this server.
        url: alert.alert.data.case.map_or_else(|| "/health".to_owned(), |case| format!("/cases/{case}")),
        channel: alert.channel,
        state: shown::alert_state(alert.state),
        trouble: alert.trouble,
        attempts: alert.attempts,
        next: waiting.then(|| shown::second(alert.next)),
        given_up: alert.state == AlertState::GivenUp,
        id: alert.id,
    }
}

#[derive(Deserialize)]
pub(super) struct Retry {
    form_token: String,
}

pub(super) async fn retry(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Form(form): Form<Retry>,
) -> Result<Redirect, Refused> {
    engineer.check_form(&form.form_token)?;
    app.store.retry_alert(&id, app.clock.now()).await?;
    Ok(Redirect::to("/alerts"))
}
