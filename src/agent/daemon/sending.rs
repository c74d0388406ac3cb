//! What the agent tells the backend besides asking for work. Each is a future of its own, one of a kind at a time, that ends in what came of
//! it; a failure waits before it ends, so that nothing is tried in a loop.

use crate::interruption::Interruption;
use crate::spool::{Entry, Maker, Stage, Unreadable};
use crate::state::{StateDirectory, chance};
use crate::transport::{Client, Fault};
use crate::upload::{self, Delivered, Errand, Failure, NotDelivered, Parcel};
use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use netsonde_contract::api::fleet::{Progress, StateReport};
use netsonde_contract::id::OrderId;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two progress reports, so that a run of many short checks does not send one for each.
const BETWEEN_PROGRESS: Duration = Duration::from_millis(200);
/// A report that did not arrive is sent again after 1 to 2 times this.
const AFTER_LOST_REPORT: Duration = Duration::from_secs(2);

/// Whether the backend has heard it, or never wants to.
pub(super) async fn state(client: Arc<Client>, order: OrderId, report: StateReport) -> bool {
    match client.state(&order, &report).await {
        Ok(()) => true,
        // It does not know the order, or knows better: saying it again changes nothing.
        Err(Fault::Refused(problem)) => {
            tracing::warn!(%problem, order = order.short(), "the backend does not take a report");
            true
        }
        Err(fault) => {
            tracing::debug!(%fault, "a report was not heard");
            rest(AFTER_LOST_REPORT).await;
            false
        }
    }
}

/// Progress that is lost is not sent again: the bundle has all of it.
pub(super) async fn progress(client: Arc<Client>, order: OrderId, progress: Progress) {
    if let Err(fault) = client.progress(&order, &progress).await {
        tracing::debug!(%fault, "progress was not heard");
    }
    tokio::time::sleep(BETWEEN_PROGRESS).await;
}

/// What became of a bundle.
pub(super) enum Sent {
    Delivered(Entry, Box<Delivered>),
    /// Trying again is of no use: a code, and why.
    Refused {
        entry: Entry,
        code: &'static str,
        why: String,
    },
    /// It is tried again, no sooner than the backend asked for.
    Later {
        entry: Entry,
        hint: Option<Duration>,
        reason: String,
    },
}

/// A bundle on its way.
pub(super) struct Dispatch {
    pub(super) client: Arc<Client>,
    pub(super) state: PathBuf,
    pub(super) entry: Entry,
    pub(super) key: VerifyingKey,
    pub(super) receipt_keys: Vec<VerifyingKey>,
    /// Support cancelled the order meanwhile.
    pub(super) cancel: CancellationToken,
}

pub(super) async fn bundle(dispatch: Dispatch) -> Sent {
    let (cancel, entry) = (dispatch.cancel.clone(), dispatch.entry.clone());
    tokio::select! {
        biased;
        () = cancel.cancelled() => Sent::Later { entry, hint: None, reason: "the order was cancelled".to_owned() },
        sent = deliver(dispatch) => sent,
    }
}

async fn deliver(dispatch: Dispatch) -> Sent {
    let Dispatch { client, state, entry, key, receipt_keys, .. } = dispatch;
    let (bytes, entry) = match read(state, entry).await {
        Ok(read) => read,
        Err((entry, Unreadable::Disk(error))) if error.kind() != std::io::ErrorKind::NotFound => {
            return Sent::Later { entry, hint: None, reason: format!("it cannot be read: {error}") };
        }
        Err((entry, error)) => return Sent::Refused { entry, code: "bundle_lost", why: error.to_string() },
    };
    let receipt_keys = receipt_keys.as_slice();
    let errand = match entry.maker() {
        Maker::Schedule(_) => Errand::Scheduled { receipt_keys },
        _ => Errand::Order { receipt_keys },
    };
    let parcel = Parcel { errand, bundle: &entry.bundle, bytes: Bytes::from(bytes), key };
    let never = Interruption::of(CancellationToken::new());
    match upload::send(client.backend(), &parcel, &never).await {
        Ok(delivered) => Sent::Delivered(entry, Box::new(delivered)),
        Err(NotDelivered::Failed(Failure::Refused(problem))) => {
            Sent::Refused { entry, code: "upload_refused", why: problem.to_string() }
        }
        Err(NotDelivered::Failed(failure)) => {
            tracing::debug!(%failure, "the bundle was not delivered");
            Sent::Later { entry, hint: failure.retry_after(), reason: failure.to_string() }
        }
        Err(NotDelivered::PinMismatch) => {
            let reason = "the server that answers there does not have the key that this agent was enrolled with".to_owned();
            Sent::Later { entry, hint: None, reason }
        }
    }
}

/// The bytes, checked where blocking is allowed; a damaged bundle is put aside.
async fn read(state: PathBuf, entry: Entry) -> Result<(Vec<u8>, Entry), (Entry, Unreadable)> {
    let kept = entry.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let gone = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let directory = StateDirectory::existing(Some(&state)).ok_or_else(gone)?;
        let _lock = directory.lock()?;
        directory.spool().read(Stage::Ready, &entry)
    });
    match reading.await {
        Ok(Ok(bytes)) => Ok((bytes, kept)),
        Ok(Err(error)) => Err((kept, error)),
        Err(error) => Err((kept, Unreadable::Disk(std::io::Error::other(error)))),
    }
}

async fn rest(least: Duration) {
    tokio::time::sleep(least + least.mul_f64(chance())).await;
}
