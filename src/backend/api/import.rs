use super::desk::Desk;
use crate::app::App;
use crate::body;
use crate::ingest::{self, Arrival, By};
use crate::problem::Refused;
use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use netsonde_contract::api::{Imported, ProblemCode};
use netsonde_contract::bundle::{MAX_BYTES, MEDIA_TYPE};
use netsonde_contract::id::CaseId;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
pub(super) struct Wanted {
    case: Option<String>,
}

/// `POST /v1/bundles`: a file that an engineer brought, of a machine without a way here. It goes to the case that the engineer names, or to the one that
/// its ticket, order or schedule has.
pub(super) async fn bring(
    _: Desk,
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Result<Response, Refused> {
    let case = match wanted.case.as_deref().map(CaseId::parse) {
        Some(None) => return Err(Refused::new(ProblemCode::InvalidParameter, "The case is not a case's number.")),
        Some(case) => case,
        None => None,
    };
    let (parts, content) = request.into_parts();
    body::expect_type(&parts.headers, MEDIA_TYPE)?;
    let content = body::refuse_announced(&parts.headers, MAX_BYTES, content).await?;
    let _permit = app.forms.acquire().await.map_err(Refused::internal)?;
    let bytes = body::read(content, MAX_BYTES, app.limits.form).await?;
    let row = ingest::take(&app, Arrival { by: By::Desk(case), bytes, announced: None }).await?;
    let imported = Imported {
        bundle: row.id,
        case: row.case,
        received: row.received,
        state: row.backend.state,
        receipt: String::from_utf8_lossy(&row.receipt).into_owned(),
    };
    Ok((StatusCode::CREATED, Json(imported)).into_response())
}
