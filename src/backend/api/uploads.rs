//! Resumable uploads: the subset of draft-ietf-httpbis-resumable-upload (interop version 8) that agents use.

use super::upload_headers as read;
use crate::app::App;
use crate::body;
use crate::fleet::FromAgent;
use crate::ingest::{
    self, Part, Progress, check_offset, check_open, check_proof, check_scheduled_bounds, fenced, unknown_ticket, unknown_upload,
};
use crate::problem::Refused;
use crate::staging::Staging;
use crate::store::{BundleRow, Sender, UploadRow};
use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header as http_header};
use axum::response::{IntoResponse, Response};
use netsonde_contract::api::{MAX_APPEND_BYTES, PARTIAL_UPLOAD, ProblemCode, header, path};
use netsonde_contract::bundle::MAX_BYTES;
use netsonde_contract::id::{BundleId, TicketId};
use netsonde_contract::receipt;
use std::sync::Arc;

/// What one append may carry, as a length in memory.
const MAX_PART_BYTES: usize = MAX_APPEND_BYTES as usize;

/// `POST`: makes an upload of a bundle, for whoever holds a ticket or is an enrolled agent, or answers with the receipt where the bundle is already here.
pub(super) async fn begin(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refused> {
    let headers = request.headers().clone();
    let content = request.body();
    read::interop(&headers)?;
    let length = read::count(&headers, header::UPLOAD_LENGTH)?;
    // Said by the head alone: nobody who has not shown a ticket is listened to for longer.
    if read::complete(&headers)? || !content.is_end_stream() {
        return Err(Refused::malformed("An upload begins with an empty body and Upload-Complete: ?0."));
    }
    if length == 0 {
        return Err(Refused::malformed("An upload of no bytes is no bundle."));
    }
    if length > MAX_BYTES as u64 {
        return Err(body::too_large(MAX_BYTES));
    }
    let bundle = BundleId::parse(read::text(&headers, header::BUNDLE)?)
        .ok_or_else(|| Refused::malformed("The header netsonde-bundle is not a bundle's id."))?;
    let key = read::key(&headers)?;
    let is_scheduled = headers.get(header::SCHEDULED).is_some_and(|value| value == "?1");
    let now = app.clock.now();
    let before = app.store.bundle(&bundle).await?;
    let sender = if headers.contains_key(header::TICKET) {
        let ticket = TicketId::parse(read::text(&headers, header::TICKET)?).ok_or_else(unknown_ticket)?;
        let ticket = app.store.ticket(&ticket).await?.ok_or_else(unknown_ticket)?;
        check_proof(&app, &ticket, &key, read::text(&headers, header::PROOF)?)?;
        if let Some(row) = before.filter(|row| row.origin.ticket() == Some(&ticket.id)) {
            return Ok(acknowledged(&row));
        }
        check_open(&ticket, now)?;
        Sender::Ticket(ticket.id)
    } else {
        let agent = FromAgent::from_request(request, &app).await?.agent;
        if agent.bundle_key != key {
            return Err(Refused::new(ProblemCode::UnknownKey, "The key is not the one that this agent signs its bundles with.")
                .next_step("Send the bundle with the agent that made it."));
        }
        let is_own = |row: &BundleRow| row.origin.agent() == Some(&agent.id);
        if let Some(row) = before.filter(is_own) {
            return Ok(acknowledged(&row));
        }
        if is_scheduled {
            check_scheduled_bounds(&app, &agent.id, length).await?;
        }
        Sender::Agent(agent.id)
    };

    let id = crate::random::token()?;
    let upload = UploadRow { id, bundle, sender, key, length, offset: 0, touched: now };
    for replaced in app.store.begin_upload(&upload).await? {
        app.turns.end(&replaced);
        app.staging.remove(&replaced).await;
    }
    let limit = format!("max-size={MAX_BYTES}, max-append-size={MAX_APPEND_BYTES}");
    let limit = HeaderValue::from_str(&limit).map_err(Refused::internal)?;
    let mut response = progress(StatusCode::CREATED, 0, false);
    response
        .headers_mut()
        .insert(http_header::LOCATION, HeaderValue::from_str(&path::upload(&upload.id)).map_err(Refused::internal)?);
    response.headers_mut().insert(HeaderName::from_static(header::UPLOAD_LIMIT), limit);
    Ok(response)
}

/// `HEAD`: how many bytes are on the disk.
pub(super) async fn offset(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Refused> {
    let upload = find(&app, &id).await?;
    Ok(progress(StatusCode::NO_CONTENT, upload.offset, false))
}

/// `PATCH`: appends one part; the last one stores the bundle and answers with the receipt.
pub(super) async fn append(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Refused> {
    read::interop(&headers)?;
    body::expect_type(&headers, PARTIAL_UPLOAD)?;
    let offset = read::count(&headers, header::UPLOAD_OFFSET)?;
    let complete = read::complete(&headers)?;
    let digest = read::digest(&headers)?;
    // Its id is known only to whoever began it with a ticket, so it is looked up before anything of the body is read.
    let upload = find(&app, &id).await?;
    let turn = app.turns.take(&upload.id);
    check_offset(&upload, offset)?;

    let Ok(_permit) = app.parts.try_acquire() else {
        return Err(Refused::new(ProblemCode::Unavailable, "Too many uploads run at this moment.")
            .next_step("Continue in a few seconds.")
            .header(http_header::RETRY_AFTER, HeaderValue::from(5)));
    };
    let content = body::refuse_announced(&headers, MAX_PART_BYTES, content).await?;
    let bytes = tokio::select! {
        () = turn.overtaken() => return Err(fenced()),
        bytes = body::read(content, MAX_PART_BYTES, app.limits.body) => bytes?,
    };
    if !read::digest_fits(&digest, &bytes) {
        return Err(Refused::new(ProblemCode::UploadDigestMismatch, "The part's bytes are not those of its digest.")
            .next_step("Send the part again."));
    }
    match ingest::append(&app, turn, Part { upload, offset, bytes, complete }).await? {
        Progress::At(offset) => Ok(progress(StatusCode::NO_CONTENT, offset, false)),
        Progress::Done(row) => Ok(acknowledged(&row)),
    }
}

async fn find(app: &App, id: &str) -> Result<UploadRow, Refused> {
    if !Staging::is_id(id) {
        return Err(unknown_upload());
    }
    app.store.upload(id).await?.ok_or_else(unknown_upload)
}

fn progress(status: StatusCode, offset: u64, complete: bool) -> Response {
    let mut response = status.into_response();
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(header::UPLOAD_OFFSET), HeaderValue::from(offset));
    headers
        .insert(HeaderName::from_static(header::UPLOAD_COMPLETE), HeaderValue::from_static(if complete { "?1" } else { "?0" }));
    response
}

/// The receipt that was stored with the bundle, byte for byte the same however often it is asked for.
fn acknowledged(row: &BundleRow) -> Response {
    let mut response = progress(StatusCode::OK, row.size_bytes, true);
    response.headers_mut().insert(http_header::CONTENT_TYPE, HeaderValue::from_static(receipt::MEDIA_TYPE));
    *response.body_mut() = Body::from(row.receipt.clone());
    response
}
