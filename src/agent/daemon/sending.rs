//! What the agent tells the backend besides asking for work. Each is a future of its own, one of a kind at a time, that ends in what came of
//! it; a failure waits before it ends, so that nothing is tried in a loop.

use super::chance;
use crate::interruption::Interruption;
use crate::spool::{Entry, Stage};
use crate::state::StateDirectory;
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
/// A bundle that did not arrive is sent again after 1 to 2 times this.
const AFTER_LOST_BUNDLE: Duration = Duration::from_secs(30);

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

/// What became of an order's bundle.
pub(super) enum Sent {
    Delivered(Entry, Box<Delivered>),
    /// Trying again is of no use: a code, and why.
    Refused(OrderId, &'static str, String),
    /// It is tried again.
    Later,
}

/// A bundle on its way.
pub(super) struct Dispatch {
    pub(super) client: Arc<Client>,
    pub(super) state: PathBuf,
    pub(super) entry: Entry,
    pub(super) order: OrderId,
    pub(super) key: VerifyingKey,
    pub(super) receipt_keys: Vec<VerifyingKey>,
    /// Support cancelled the order meanwhile.
    pub(super) cancel: CancellationToken,
}

pub(super) async fn bundle(dispatch: Dispatch) -> Sent {
    let cancel = dispatch.cancel.clone();
    tokio::select! {
        biased;
        () = cancel.cancelled() => Sent::Later,
        sent = deliver(dispatch) => sent,
    }
}

async fn deliver(dispatch: Dispatch) -> Sent {
    let Dispatch { client, state, entry, order, key, receipt_keys, .. } = dispatch;
    let file = StateDirectory::existing(Some(&state)).map(|state| state.spool().file(Stage::Ready, &entry));
    let Some(bytes) = read(file).await else {
        return Sent::Refused(order, "bundle_lost", "the bundle is no longer in the spool".to_owned());
    };
    let errand = Errand::Order { receipt_keys: &receipt_keys };
    let parcel = Parcel { errand, bundle: &entry.bundle, bytes: Bytes::from(bytes), key };
    let never = Interruption::of(CancellationToken::new());
    match upload::send(client.backend(), &parcel, &never).await {
        Ok(delivered) => Sent::Delivered(entry, Box::new(delivered)),
        Err(NotDelivered::Failed(Failure::Refused(problem))) => Sent::Refused(order, "upload_refused", problem.to_string()),
        Err(NotDelivered::Failed(failure)) => {
            tracing::debug!(%failure, "the bundle was not delivered");
            rest(AFTER_LOST_BUNDLE).await;
            Sent::Later
        }
        Err(NotDelivered::PinMismatch) => {
            rest(AFTER_LOST_BUNDLE).await;
            Sent::Later
        }
    }
}

async fn read(file: Option<PathBuf>) -> Option<Vec<u8>> {
    tokio::fs::read(file?).await.ok()
}

async fn rest(least: Duration) {
    tokio::time::sleep(least + least.mul_f64(chance())).await;
}
