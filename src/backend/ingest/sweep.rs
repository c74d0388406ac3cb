//! Removes what nobody was promised: uploads that stopped, files and blobs that a kill left behind, sessions that ended.

use crate::app::App;
use crate::clock::earlier;
use crate::problem::Refused;
use std::collections::HashSet;

/// What a sweep found and removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) uploads: usize,
    pub(crate) blobs: usize,
}

/// Before the first connection is accepted: also blobs that no row names, which are only certain to be orphans while nothing is being stored.
pub(crate) async fn sweep_at_start(app: &App) -> Result<Swept, Refused> {
    let mut swept = sweep_stale(app).await?;
    for digest in app.blobs.list().await.map_err(Refused::internal)? {
        if !app.store.names_blob(&digest).await? {
            app.blobs.remove(&digest).await.map_err(Refused::internal)?;
            swept.blobs += 1;
        }
    }
    if swept != Swept::default() {
        tracing::info!(uploads = swept.uploads, blobs = swept.blobs, "removed what was never acknowledged");
    }
    Ok(swept)
}

/// Every hour: uploads that nobody continued, and sessions that ended.
pub(crate) async fn sweep_stale(app: &App) -> Result<Swept, Refused> {
    let now = app.clock.now();
    app.store.sweep_sessions(now).await?;
    // Listed before the rows are read: a file that is made in between has its row by then, or is not in the list.
    let staged = app.staging.list().await.map_err(Refused::internal)?;
    let alive: HashSet<String> = app.store.sweep_uploads(earlier(now, app.limits.stale_upload)).await?.into_iter().collect();
    let mut swept = Swept::default();
    for upload in staged.iter().filter(|upload| !alive.contains(*upload)) {
        app.turns.end(upload);
        app.staging.remove(upload).await;
        swept.uploads += 1;
    }
    Ok(swept)
}
