use crate::app::App;
use crate::fleet::{FromAgent, check_single};
use crate::problem::Refused;
use axum::Json;
use axum::extract::State;
use netsonde_contract::api::have::{Have, MAX_IDS, Wanted};
use netsonde_contract::id::BundleId;
use std::sync::Arc;

/// Which of an agent's delivered bundles are not here: the database is older than their receipts.
pub(super) async fn wanted(State(app): State<Arc<App>>, from: FromAgent) -> Result<Json<Wanted>, Refused> {
    check_single(from.agent.standing)?;
    let Have { bundles } = from.json()?;
    if bundles.len() > MAX_IDS {
        return Err(
            Refused::malformed(format!("At most {MAX_IDS} bundles are told at once.")).next_step("Ask again with the rest.")
        );
    }
    if bundles.iter().any(|id| BundleId::parse(id.as_str()).is_none()) {
        return Err(Refused::malformed("A bundle's id is 64 lower-case hexadecimal digits."));
    }
    let bundles = app.store.missing(&bundles).await?;
    if !bundles.is_empty() {
        tracing::info!(
            agent = from.agent.id.short(),
            bundles = bundles.len(),
            "an agent has bundles that the database does not know; they are asked for"
        );
    }
    Ok(Json(Wanted { bundles, server_time: app.clock.now() }))
}
