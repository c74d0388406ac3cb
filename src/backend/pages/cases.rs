use super::session::Engineer;
use super::{Frame, render, shown};
use crate::app::App;
use crate::limits::MAX_LISTED;
use crate::problem::Refused;
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "cases.html")]
struct CasesPage {
    frame: Frame,
    cases: Vec<CaseLine>,
    /// There may be more than are shown.
    cut: bool,
}

struct CaseLine {
    id: String,
    state: Option<(&'static str, &'static str)>,
    cause: Option<String>,
    bundles: u32,
    updated: String,
    /// It was opened by itself: how it is, and for what.
    watched: Option<WatchedLine>,
}

struct WatchedLine {
    state: (&'static str, &'static str),
    subject: String,
}

pub(super) async fn page(engineer: Engineer, State(app): State<Arc<App>>) -> Result<Response, Refused> {
    let cases = app.store.cases(MAX_LISTED).await?;
    let cut = cases.len() >= MAX_LISTED as usize;
    let cases = cases
        .into_iter()
        .map(|case| CaseLine {
            id: case.id.to_string(),
            state: case.state.map(shown::state),
            cause: case.cause,
            bundles: case.bundles,
            updated: shown::time(case.updated),
            watched: case.watched.map(|watched| WatchedLine {
                state: shown::watched_state(watched.state),
                subject: watched.target.unwrap_or(watched.schedule),
            }),
        })
        .collect();
    render(StatusCode::OK, &CasesPage { frame: Frame::of(&engineer), cases, cut })
}
