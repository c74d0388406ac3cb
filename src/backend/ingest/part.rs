use super::turns::Turn;
use super::{Announced, Arrival, By, take};
use crate::app::App;
use crate::problem::Refused;
use crate::store::{BundleRow, UploadRow};
use axum::http::{HeaderName, HeaderValue};
use bytes::Bytes;
use netsonde_contract::api::{ProblemCode, header};
use std::sync::Arc;

/// A part whose bytes are there and match their digest.
pub(crate) struct Part {
    pub(crate) upload: UploadRow,
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
    /// The sender says that this is the last.
    pub(crate) complete: bool,
}

/// How far an upload came.
pub(crate) enum Progress {
    At(u64),
    Done(Box<BundleRow>),
}

/// Appends a part; the last one makes the bundle. What is refused for good takes the whole upload with it.
pub(crate) async fn append(app: &Arc<App>, turn: Turn, part: Part) -> Result<Progress, Refused> {
    let app = Arc::clone(app);
    let work = app.tasks.spawn(append_whole(Arc::clone(&app), turn, part));
    work.await.unwrap_or_else(|error| Err(Refused::internal(error)))
}

async fn append_whole(app: Arc<App>, turn: Turn, part: Part) -> Result<Progress, Refused> {
    let Some(_writing) = turn.begin_writing().await else { return Err(fenced()) };
    let Part { upload, offset, bytes, complete } = part;
    // Read again: an older request may have been writing until now.
    let upload = app.store.upload(&upload.id).await?.ok_or_else(unknown_upload)?;
    check_offset(&upload, offset)?;
    let end = offset.saturating_add(bytes.len() as u64);
    if end > upload.length {
        return Err(Refused::new(
            ProblemCode::TooLarge,
            format!("The upload was announced with {} bytes and this part ends at {end}.", upload.length),
        ));
    }
    if complete && end < upload.length {
        return Err(Refused::new(
            ProblemCode::UploadIncomplete,
            format!("The upload was announced with {} bytes and would end at {end}.", upload.length),
        )
        .next_step("Send the rest, and only the last part with Upload-Complete: ?1."));
    }
    if !bytes.is_empty() {
        app.staging.append(&upload.id, offset, bytes).await.map_err(Refused::internal)?;
        if !app.store.advance_upload(&upload.id, offset, end, app.clock.now()).await? {
            return Err(fenced());
        }
    }
    if !complete {
        return Ok(Progress::At(end));
    }
    let finished = finish(&app, &upload).await;
    // A fault of this server is no reason to make the sender begin again.
    if finished.as_ref().is_ok() || finished.as_ref().is_err_and(|refused| refused.problem.status < 500) {
        discard(&app, &upload.id).await;
    }
    finished.map(|row| Progress::Done(Box::new(row)))
}

async fn finish(app: &Arc<App>, upload: &UploadRow) -> Result<BundleRow, Refused> {
    let bytes = Bytes::from(app.staging.read(&upload.id, upload.length).await.map_err(Refused::internal)?);
    let announced = Announced { upload: upload.id.clone(), bundle: upload.bundle.clone(), key: upload.key };
    let arrival = Arrival { by: By::Sender(upload.sender.clone()), bytes, announced: Some(announced) };
    take(app, arrival).await
}

/// Removes everything of an upload that is over.
async fn discard(app: &App, upload: &str) {
    app.turns.end(upload);
    app.staging.remove(upload).await;
    if let Err(error) = app.store.remove_upload(upload).await {
        tracing::warn!(%error, "the row of a finished upload stays until the next sweep");
    }
}

/// # Errors
/// With the right offset in a header, as the draft asks.
pub(crate) fn check_offset(upload: &UploadRow, offset: u64) -> Result<(), Refused> {
    if offset == upload.offset {
        return Ok(());
    }
    Err(Refused::new(
        ProblemCode::UploadOffsetMismatch,
        format!("{} bytes are here and the part begins at {offset}.", upload.offset),
    )
    .next_step("Continue at the offset that the Upload-Offset header names.")
    .header(HeaderName::from_static(header::UPLOAD_OFFSET), HeaderValue::from(upload.offset)))
}

pub(crate) fn fenced() -> Refused {
    Refused::new(ProblemCode::UploadFenced, "A newer request continues this upload.")
        .next_step("Ask for the offset and continue there.")
}

pub(crate) fn unknown_upload() -> Refused {
    Refused::new(ProblemCode::NotFound, "There is no such upload, or it is over.")
        .next_step("Begin a new upload; a bundle that was received already is answered with its receipt.")
}
