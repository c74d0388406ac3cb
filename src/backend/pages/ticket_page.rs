//! The page that takes a ticket's bundle from any browser, for when the broken machine cannot reach the backend.

use super::{Frame, MULTIPART_FRAME_BYTES, render, shown};
use crate::app::App;
use crate::body;
use crate::ingest::{self, Arrival, By, check_open, status_at, unknown_ticket};
use crate::problem::Refused;
use crate::store::{Sender, TicketRow};
use askama::Template;
use axum::RequestExt;
use axum::body::Body;
use axum::extract::{Multipart, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use netsonde_contract::api::{ProblemCode, TicketStateName};
use netsonde_contract::bundle::{MAX_BYTES, key_id};
use netsonde_contract::id::TicketId;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "ticket_page.html")]
struct TicketPage {
    frame: Frame,
    case: String,
    set: String,
    targets: Vec<String>,
    expires: String,
    state: TicketStateName,
    limit: String,
}

#[derive(Template)]
#[template(path = "ticket_received.html")]
struct ReceivedPage {
    frame: Frame,
    case: String,
    bundle: String,
    file_sha256: String,
    key_id: String,
    received: String,
    size: String,
    receipt: String,
}

pub(super) async fn page(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Refused> {
    let ticket = find(&app, &id).await?;
    let state = status_at(&ticket, app.clock.now());
    let page = TicketPage {
        frame: Frame::for_strangers(),
        case: ticket.case.to_string(),
        set: ticket.set,
        targets: ticket.targets,
        expires: shown::time(ticket.expires),
        state,
        limit: shown::size(MAX_BYTES as u64),
    };
    render(StatusCode::OK, &page)
}

pub(super) async fn receive(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Result<Response, Refused> {
    let (parts, content) = request.into_parts();
    // Before anything of the file is read.
    let ticket = find(&app, &id).await?;
    check_open(&ticket, app.clock.now())?;
    let Some(_place) = app.arriving.begin(&ticket.id) else {
        return Err(Refused::new(ProblemCode::Unavailable, "A file for this ticket is arriving at this moment.")
            .next_step("Wait until it is there; try again in a minute if it is not.")
            .header(header::RETRY_AFTER, HeaderValue::from(60)));
    };
    let Ok(_permit) = app.forms.try_acquire() else {
        return Err(Refused::new(ProblemCode::Unavailable, "Too many files arrive at this moment.")
            .next_step("Try again in a minute.")
            .header(header::RETRY_AFTER, HeaderValue::from(60)));
    };
    let content = body::refuse_announced(&parts.headers, MAX_BYTES + MULTIPART_FRAME_BYTES, content).await?;
    let bytes = tokio::time::timeout(app.limits.form, file(Request::from_parts(parts, content)))
        .await
        .unwrap_or_else(|_| Err(body::too_slow()))?;
    let row = ingest::take(&app, Arrival { by: By::Sender(Sender::Ticket(ticket.id)), bytes, announced: None }).await?;
    let page = ReceivedPage {
        frame: Frame::for_strangers(),
        case: row.case.to_string(),
        bundle: row.id.to_string(),
        file_sha256: row.file_sha256,
        key_id: key_id(&row.key),
        received: shown::time(row.received),
        size: shown::size(row.size_bytes),
        receipt: String::from_utf8_lossy(&row.receipt).into_owned(),
    };
    render(StatusCode::OK, &page)
}

async fn find(app: &App, id: &str) -> Result<TicketRow, Refused> {
    let id = TicketId::parse(id).ok_or_else(unknown_ticket)?;
    app.store.ticket(&id).await?.ok_or_else(unknown_ticket)
}

/// The form's one file.
async fn file(request: Request<Body>) -> Result<Bytes, Refused> {
    let no_form = |_| Refused::malformed("This takes a form with a file.");
    let mut form: Multipart = request.extract().await.map_err(no_form)?;
    let refused = |error: axum::extract::multipart::MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => body::too_large(MAX_BYTES),
        _ => Refused::malformed("The form ended before its file was complete."),
    };
    while let Some(field) = form.next_field().await.map_err(refused)? {
        if field.name() == Some("bundle") {
            let bytes = field.bytes().await.map_err(refused)?;
            if bytes.is_empty() {
                return Err(Refused::malformed("No file was chosen.").next_step("Choose the .tar.gz file that netsonde wrote."));
            }
            return Ok(bytes);
        }
    }
    Err(Refused::malformed("The form has no file named bundle."))
}
