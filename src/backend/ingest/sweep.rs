//! Removes what nobody was promised: uploads that stopped, files that a kill left behind, sessions that ended. A bundle that no row names
//! is set aside and never removed: it may be that the database is older than the bundles.

use crate::app::App;
use crate::blobs::BlobError;
use crate::clock::earlier;
use crate::problem::Refused;
use netsonde_contract::bundle;
use std::collections::HashSet;

/// What a sweep found and removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) uploads: usize,
    /// Blobs that are no bundle: the disk or a person changed them.
    pub(crate) blobs: usize,
}

/// Before the first connection is accepted: also blobs that no row names, which are only certain to have none while nothing is being
/// stored.
pub(crate) async fn sweep_at_start(app: &App) -> Result<Swept, Refused> {
    let mut swept = sweep_stale(app).await?;
    app.blobs.sweep_unfinished().await.map_err(Refused::internal)?;
    take_back(app).await?;
    for digest in app.blobs.list().await.map_err(Refused::internal)? {
        if app.store.names_blob(&digest).await? {
            continue;
        }
        if is_bundle(app, &digest).await? {
            app.blobs.set_aside(&digest).await.map_err(Refused::internal)?;
            tracing::error!(
                digest,
                "a bundle that the database does not know was moved to blobs/orphans; if the database was restored from an older backup, restore the latest and start again, which puts the bundle back"
            );
        } else {
            app.blobs.remove(&digest).await.map_err(Refused::internal)?;
            swept.blobs += 1;
        }
    }
    if swept != Swept::default() {
        tracing::info!(uploads = swept.uploads, blobs = swept.blobs, "removed what was never acknowledged");
    }
    Ok(swept)
}

/// A newer database, or the bundle's sender, may have brought the row that an orphan lacked.
async fn take_back(app: &App) -> Result<(), Refused> {
    for digest in app.blobs.orphans().await.map_err(Refused::internal)? {
        if app.store.names_blob(&digest).await? {
            app.blobs.put_back(&digest).await.map_err(Refused::internal)?;
            tracing::info!(digest, "the database knows this bundle again; it is back in its place");
        }
    }
    Ok(())
}

/// Whether the blob holds a bundle. One that cannot be read for now is taken for one.
async fn is_bundle(app: &App, digest: &str) -> Result<bool, Refused> {
    match app.blobs.get(digest).await {
        Ok(bytes) => tokio::task::spawn_blocking(move || bundle::verify(&bytes).is_ok()).await.map_err(Refused::internal),
        Err(error) => Ok(!matches!(error, BlobError::Altered { .. } | BlobError::Missing { .. })),
    }
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
