use super::{Receiver, backoff};
use crate::app::App;
use crate::clock::{earlier, later};
use crate::problem::Refused;
use crate::random;
use crate::store::{AlertRow, Attempt};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Between two looks into the outbox: how late an alert may be.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After the database did not answer.
const AFTER_FAULT: Duration = Duration::from_secs(10);
/// On the way to one receiver at once: one that is slow for one alert still takes others.
const TOGETHER: usize = 4;
/// Read from the outbox at once.
const BATCH: u32 = 64;
/// Alerts that are over are shown for this long.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Sends what waits, to each receiver in a task of its own, for as long as the server runs.
pub(crate) async fn send(app: &Arc<App>) {
    let mut receivers: JoinSet<()> = JoinSet::new();
    for place in 0..app.alerts.receivers.len() {
        let app = Arc::clone(app);
        receivers.spawn(async move {
            if let Some(receiver) = app.alerts.receivers.get(place) {
                serve(&app, receiver).await;
            }
        });
    }
    while receivers.join_next().await.is_some() {}
}

async fn serve(app: &App, receiver: &Receiver) {
    loop {
        let pause = match round(app, receiver).await {
            Ok(()) => LOOK_EVERY,
            Err(refused) => {
                tracing::warn!(error = refused.explained(), receiver = receiver.name, "alerts could not be looked for");
                AFTER_FAULT
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn round(app: &App, receiver: &Receiver) -> Result<(), Refused> {
    let due = app.store.due(&receiver.name, app.clock.now(), BATCH).await?;
    let sent = futures_util::stream::iter(due).map(|alert| attempt(app, receiver, alert)).buffer_unordered(TOGETHER);
    let outcomes: Vec<Result<(), Refused>> = sent.collect().await;
    outcomes.into_iter().collect()
}

async fn attempt(app: &App, receiver: &Receiver, alert: AlertRow) -> Result<(), Refused> {
    let taken = receiver.take(&app.alerts.gate, &alert, app.clock.now()).await;
    let now = app.clock.now();
    let attempt = match taken {
        Ok(()) => Attempt::Sent { at: now },
        Err(trouble) => {
            let age = Duration::try_from(now.duration_since(alert.made)).unwrap_or_default();
            let wait = backoff::wait(alert.attempts.saturating_add(1), age, trouble.after, dice()?);
            match wait.filter(|_| !trouble.is_final) {
                Some(wait) => Attempt::Failed { trouble: trouble.words, next: later(now, wait) },
                None => {
                    tracing::error!(receiver = receiver.name, alert = alert.id, why = trouble.words, "an alert was given up");
                    Attempt::GivenUp { trouble: trouble.words, at: now }
                }
            }
        }
    };
    Ok(app.store.attempted(&alert.id, &attempt).await?)
}

/// From 0 to 1.
fn dice() -> Result<f64, Refused> {
    Ok(f64::from(u32::from_le_bytes(random::bytes()?)) / f64::from(u32::MAX))
}

/// Forgets alerts that are over for long.
pub(crate) async fn sweep(app: &App) -> Result<(), Refused> {
    Ok(app.store.sweep_alerts(earlier(app.clock.now(), KEPT)).await?)
}
