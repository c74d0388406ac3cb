//! What the agent tells the backend besides asking for work. Each is a future of its own, one of a kind at a time, that ends in what came of
//! it; a failure waits before it ends, so that nothing is tried in a loop.

use crate::interruption::Interruption;
use crate::spool::{Entry, Maker, Stage, Unreadable};
use crate::state::{StateDirectory, chance};
use crate::transport::{Client, Fault};
use crate::upload::{self, Delivered, Errand, Failure, NotDelivered, Pace, Parcel};
use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use netsonde_contract::agent_config::UploadWhen;
use netsonde_contract::api::ProblemCode;
use netsonde_contract::api::fleet::{Progress, StateReport};
use netsonde_contract::api::have::MAX_IDS;
use netsonde_contract::id::{BundleId, OrderId};
use netsonde_contract::receipt::Receipt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two progress reports, so that a run of many short checks does not send one for each.
const BETWEEN_PROGRESS: Duration = Duration::from_millis(200);
/// A report that did not arrive is sent again after 1 to 2 times this.
const AFTER_LOST_REPORT: Duration = Duration::from_secs(2);

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The backend has heard it, or knows nothing of the order.
    Heard,
    /// The backend was not reached.
    Lost,
    /// The backend does not take it, for a reason of this report alone.
    NotTaken,
}

pub(super) async fn state(client: Arc<Client>, order: OrderId, report: StateReport) -> Told {
    let mut told = client.state(&order, &report).await;
    if report.detail.is_some() && code_of(&told) == Some(ProblemCode::MalformedRequest) {
        // Without its words it still says what became of the order.
        told = client.state(&order, &StateReport { detail: None, ..report }).await;
    }
    let fault = match told {
        Ok(()) => return Told::Heard,
        Err(fault) => fault,
    };
    let Fault::Refused(problem) = &fault else {
        tracing::debug!(%fault, "a report was not heard");
        rest(AFTER_LOST_REPORT).await;
        return Told::Lost;
    };
    tracing::warn!(%problem, order = order.short(), "the backend does not take a report");
    if problem.known_code() == Some(ProblemCode::OrderUnknown) {
        // Saying it again changes nothing.
        return Told::Heard;
    }
    rest(AFTER_LOST_REPORT).await;
    Told::NotTaken
}

fn code_of(told: &Result<(), Fault>) -> Option<ProblemCode> {
    let Err(Fault::Refused(problem)) = told else { return None };
    problem.known_code()
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

impl Sent {
    pub(super) fn bundle(&self) -> &BundleId {
        let (Self::Delivered(entry, _) | Self::Refused { entry, .. } | Self::Later { entry, .. }) = self;
        &entry.bundle
    }
}

/// A bundle on its way.
pub(super) struct Dispatch {
    pub(super) client: Arc<Client>,
    pub(super) state: PathBuf,
    pub(super) entry: Entry,
    /// Where it lies in the spool.
    pub(super) stage: Stage,
    pub(super) key: VerifyingKey,
    pub(super) receipt_keys: Vec<VerifyingKey>,
    /// How fast it may go.
    pub(super) pace: Pace,
    /// Support cancelled the order meanwhile.
    pub(super) cancel: CancellationToken,
}

/// What the backend made of the delivered bundles that it was told of.
#[derive(Debug)]
pub(super) enum Offered {
    /// It has lost these.
    Wanted(Vec<BundleId>),
    /// It could not be told; no sooner than it asked for.
    Later(Option<Duration>),
}

/// Tells the backend which delivered bundles are still here. Those that a person sent are not among them: only a ticket would get them there again; nor
/// those that another organisation gave its receipt for, with whom the machine was enrolled before.
pub(super) async fn offer(client: Arc<Client>, state: PathBuf, receipt_keys: Vec<VerifyingKey>) -> Offered {
    let looking = tokio::task::spawn_blocking(move || {
        let Some(state) = StateDirectory::existing(Some(&state)) else { return Vec::new() };
        let spool = state.spool();
        let is_ours = |entry: &Entry| {
            let receipt = spool.receipt(&entry.bundle).unwrap_or_default();
            receipt_keys.iter().any(|key| Receipt::verify(&receipt, key).is_ok_and(|receipt| receipt.bundle == entry.bundle))
        };
        let mut sent = spool.delivered_entries();
        sent.retain(|entry| entry.sending() != UploadWhen::Never && is_ours(entry));
        sent.sort_by_key(|entry| std::cmp::Reverse(entry.delivered));
        sent.into_iter().map(|entry| entry.bundle).collect::<Vec<_>>()
    });
    let Ok(delivered) = looking.await else { return Offered::Later(None) };
    let mut wanted = Vec::new();
    for some in delivered.chunks(MAX_IDS) {
        match client.have(some.to_vec()).await {
            // What was not told is not sent, whoever asks for it.
            Ok(answer) => wanted.extend(answer.bundles.into_iter().filter(|bundle| some.contains(bundle))),
            Err(fault) => {
                tracing::debug!(%fault, "the backend was not told which bundles are still here");
                return Offered::Later(fault.retry_after());
            }
        }
    }
    Offered::Wanted(wanted)
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
    let Dispatch { client, state, entry, stage, key, receipt_keys, pace, .. } = dispatch;
    let (bytes, entry) = match read(state, stage, entry).await {
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
    let mut sent = upload::send(client.backend(), &parcel, &pace, &never).await;
    // A clock that was set since the last request is no reason to keep the bundle.
    if let Err(NotDelivered::Failed(Failure::Refused(problem))) = &sent
        && client.is_set_right_by(problem)
    {
        sent = upload::send(client.backend(), &parcel, &pace, &never).await;
    }
    match sent {
        Ok(delivered) => Sent::Delivered(entry, Box::new(delivered)),
        // It was set once more on the way.
        Err(NotDelivered::Failed(Failure::Refused(problem))) if client.is_set_right_by(&problem) => {
            Sent::Later { entry, hint: None, reason: problem.to_string() }
        }
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
async fn read(state: PathBuf, stage: Stage, entry: Entry) -> Result<(Vec<u8>, Entry), (Entry, Unreadable)> {
    let kept = entry.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let gone = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let directory = StateDirectory::existing(Some(&state)).ok_or_else(gone)?;
        let _lock = directory.lock()?;
        directory.spool().read(stage, &entry)
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
