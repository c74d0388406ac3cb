use crate::alerts;
use crate::app::App;
use crate::problem::Refused;
use std::time::Duration;

/// Between two looks for silent agents: how late their silence may be told.
const EVERY: Duration = Duration::from_secs(5);
/// Looks between two sweeps of old alerts: an hour's.
const SWEEP_EVERY: u32 = 720;

/// Notes who is silent, for as long as the server runs.
pub(crate) async fn tend(app: &App) {
    let mut looks = 0_u32;
    loop {
        tokio::time::sleep(EVERY).await;
        looks = looks.wrapping_add(1);
        let round = async {
            look(app).await?;
            if looks.is_multiple_of(SWEEP_EVERY) { alerts::sweep(app).await } else { Ok(()) }
        };
        if let Err(refused) = round.await {
            tracing::warn!(error = refused.explained(), "silent agents could not be noted; the next round tries again");
        }
    }
}

/// Notes the agents that are silent now. While this server was down it could hear nobody, so that silence counts from its start.
pub(crate) async fn look(app: &App) -> Result<u32, Refused> {
    let now = app.clock.now();
    let up_for = Duration::try_from(now.duration_since(app.started)).unwrap_or_default();
    let silent = app.store.note_silence(now, up_for, &app.place.url, &app.alerts.channels).await?;
    if silent > 0 {
        tracing::warn!(agents = silent, "agents are silent; of their checks nothing is known");
    }
    Ok(silent)
}
