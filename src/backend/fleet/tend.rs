use crate::app::App;
use crate::problem::Refused;
use crate::store::Note;
use std::time::Duration;

/// Between two rounds: how long an agent's last sight may be unwritten, and an order be over before it is said.
const EVERY: Duration = Duration::from_secs(30);
/// Notes of one transaction.
const TOGETHER: usize = 1000;

/// Writes down who was seen and ends what is over, for as long as the server runs.
pub(crate) async fn tend(app: &App) {
    loop {
        tokio::time::sleep(EVERY).await;
        let round = async {
            flush_seen(app).await?;
            Ok::<_, Refused>(app.store.sweep_fleet(app.clock.now()).await?)
        };
        if let Err(refused) = round.await {
            tracing::warn!(error = refused.explained(), "orders and agents could not be tended; the next round tries again");
        }
    }
}

/// Who was seen since the last time.
pub(crate) async fn flush_seen(app: &App) -> Result<(), Refused> {
    let seen: Vec<Note> = app.presence.take_seen().into_iter().map(|(agent, at)| Note::Seen { agent, at }).collect();
    for notes in seen.chunks(TOGETHER) {
        app.store.note(notes).await?;
    }
    Ok(())
}
