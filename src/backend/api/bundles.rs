use super::desk::Desk;
use crate::app::App;
use crate::problem::Refused;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use netsonde_contract::api::ProblemCode;
use netsonde_contract::bundle::MEDIA_TYPE;
use netsonde_contract::id::BundleId;
use std::sync::Arc;

pub(super) async fn download(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Refused> {
    bundle_file(&app, &id).await
}

/// A bundle exactly as it was received; its digest is checked on the way out.
pub(crate) async fn bundle_file(app: &App, id: &str) -> Result<Response, Refused> {
    let unknown = || Refused::new(ProblemCode::NotFound, "There is no such bundle.");
    let id = BundleId::parse(id).ok_or_else(unknown)?;
    let row = app.store.bundle(&id).await?.ok_or_else(unknown)?;
    let bytes = app.blobs.get(&row.file_sha256).await.map_err(Refused::internal)?;
    // Case and id have no character that a header or a file name could trip over.
    let name = format!("attachment; filename=\"netsonde-{}-{}.tar.gz\"", row.case, row.id.short());
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE.to_owned()), (header::CONTENT_DISPOSITION, name)], bytes).into_response())
}
