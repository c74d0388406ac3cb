use crate::app::App;
use crate::fleet::FromAgent;
use crate::health;
use crate::problem::Refused;
use axum::Json;
use axum::extract::State;
use netsonde_contract::api::ProblemCode;
use netsonde_contract::api::health::HealthHeard;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A database that does not answer in this time is as good as gone for whoever waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers 200 only where the database can be read and written.
pub(super) async fn check(State(app): State<Arc<App>>) -> Result<Json<Value>, Refused> {
    match tokio::time::timeout(PATIENCE, app.store.check()).await {
        Ok(Ok(())) => Ok(Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))),
        Ok(Err(error)) => {
            tracing::error!(%error, source = ?std::error::Error::source(&error), "the database does not work");
            Err(Refused::new(ProblemCode::Unavailable, "The database does not work."))
        }
        Err(_) => Err(Refused::new(ProblemCode::Unavailable, "The database does not answer.")),
    }
}

/// How an agent's scheduled checks are.
pub(super) async fn hear(State(app): State<Arc<App>>, from: FromAgent) -> Result<Json<HealthHeard>, Refused> {
    Ok(Json(health::hear(&app, from).await?))
}
