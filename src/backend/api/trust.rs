use super::desk::Desk;
use crate::app::App;
use crate::body::read_json;
use crate::fleet::publish;
use crate::problem::Refused;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use netsonde_contract::api::ProblemCode;
use netsonde_contract::api::fleet::{MAX_SUBMIT_BYTES, ReceiptKey, TrustDocuments};
use netsonde_contract::trust::PublicKey;
use std::sync::Arc;

/// By anyone: what stands there is signed, and public.
pub(super) async fn read(State(app): State<Arc<App>>) -> Result<Json<TrustDocuments>, Refused> {
    let published = app.trust.current().ok_or_else(|| {
        Refused::new(ProblemCode::NotFound, "No organisation was published here yet.")
            .next_step("Publish it from the desk: netsonde-desk org publish.")
    })?;
    Ok(Json(published.documents.clone()))
}

/// By anyone: a public key. Only a person who compares its fingerprint makes it one that counts.
pub(super) async fn receipt_key(State(app): State<Arc<App>>) -> Json<ReceiptKey> {
    Json(ReceiptKey { key: PublicKey::new(app.receipt_key.verifying_key(), "receipts") })
}

pub(super) async fn replace(_: Desk, State(app): State<Arc<App>>, request: Request) -> Result<StatusCode, Refused> {
    let documents = read_json(request, MAX_SUBMIT_BYTES, app.limits.body).await?;
    publish(&app, documents).await?;
    Ok(StatusCode::NO_CONTENT)
}
