use super::cases::ticket_summary;
use super::desk::Desk;
use crate::app::App;
use crate::body::Json as JsonBody;
use crate::clock::later;
use crate::ingest::{status_at, unknown_ticket};
use crate::problem::Refused;
use crate::store::{TicketRow, TicketStatus};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use netsonde_contract::api::{
    DEFAULT_TICKET_SECONDS, MAX_TICKET_SECONDS, ProblemCode, TicketIssued, TicketRequest, TicketState, TicketSummary, path,
};
use netsonde_contract::id::{CaseId, TicketId};
use netsonde_contract::nearest::nearest;
use netsonde_contract::set::{Plan, PlanError, Request, built_in, find_built_in};
use netsonde_contract::ticket::{Ticket, TicketSecret};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn create(
    _: Desk,
    State(app): State<Arc<App>>,
    JsonBody(request): JsonBody<TicketRequest>,
) -> Result<impl IntoResponse, Refused> {
    let (issued, _) = issue(&app, request).await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, path::ticket(&issued.id))], Json(issued)))
}

pub(super) async fn read(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<TicketSummary>, Refused> {
    let ticket = find(&app, &id).await?;
    Ok(Json(ticket_summary(&ticket, app.clock.now())))
}

/// Revokes. A ticket that is used or revoked already stays as it is, which is no fault of the caller's.
pub(super) async fn remove(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let ticket = find(&app, &id).await?;
    revoke(&app, &ticket.id, "desk").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What an agent that holds the ticket asks before it measures; no secret is needed.
pub(super) async fn state(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<TicketState>, Refused> {
    let ticket = find(&app, &id).await?;
    let now = app.clock.now();
    Ok(Json(TicketState {
        state: status_at(&ticket, now),
        set: ticket.set,
        set_sha256: ticket.set_sha256,
        case: ticket.case,
        expires: ticket.expires,
        server_time: now,
    }))
}

async fn find(app: &App, id: &str) -> Result<TicketRow, Refused> {
    let id = TicketId::parse(id).ok_or_else(unknown_ticket)?;
    app.store.ticket(&id).await?.ok_or_else(unknown_ticket)
}

pub(crate) async fn revoke(app: &App, id: &TicketId, actor: &str) -> Result<(), Refused> {
    if app.store.revoke_ticket(id, actor, app.clock.now()).await? {
        tracing::info!(ticket = %id, "ticket revoked");
    }
    Ok(())
}

/// Makes a ticket. Its string is in the answer and nowhere else. Beside it the plan that the customer's agent will make of it.
pub(crate) async fn issue(app: &App, request: TicketRequest) -> Result<(TicketIssued, Plan), Refused> {
    let case = CaseId::parse(&request.case).ok_or_else(|| {
        Refused::new(
            ProblemCode::InvalidParameter,
            "The case number must be 1 to 64 letters, digits, '-', '_' or '.', not beginning with a dot.",
        )
    })?;
    let seconds = request.valid_for_s.unwrap_or(DEFAULT_TICKET_SECONDS);
    if !(1..=MAX_TICKET_SECONDS).contains(&seconds) {
        return Err(Refused::new(
            ProblemCode::InvalidParameter,
            format!("A ticket is valid for 1 to {MAX_TICKET_SECONDS} seconds."),
        ));
    }
    let plan = checked_plan(&request.set, &request.targets, &request.parameters)?;
    let now = app.clock.now();
    let ticket = Ticket {
        id: TicketId::from_bytes(crate::random::bytes()?),
        backend: app.place.url.clone(),
        tls_pin: app.place.tls_pin.clone(),
        receipt_key: app.receipt_key.verifying_key(),
        set: plan.set.name.clone(),
        set_sha256: plan.set.sha256.clone(),
        targets: request.targets,
        parameters: request.parameters,
        case,
        // Whole seconds, as the string carries them.
        expires: later(now, Duration::from_secs(seconds)).round(jiff::Unit::Second).map_err(Refused::internal)?,
        secret: TicketSecret::from_bytes(crate::random::bytes()?),
    };
    let row = TicketRow {
        id: ticket.id.clone(),
        case: ticket.case.clone(),
        set: ticket.set.clone(),
        set_sha256: ticket.set_sha256.clone(),
        targets: ticket.targets.clone(),
        parameters: ticket.parameters.clone(),
        proof_key: ticket.proof_key(),
        created: now,
        expires: ticket.expires,
        status: TicketStatus::Open,
    };
    app.store.add_ticket(&row).await?;
    tracing::info!(ticket = %row.id, case = %row.case, set = %row.set, "ticket issued");
    let issued = TicketIssued {
        ticket: ticket.encode().to_string(),
        page: format!("{}{}", app.place.url, path::ticket_page(&row.id)),
        id: row.id,
        expires: row.expires,
    };
    Ok((issued, plan))
}

/// The set that is asked for, filled in with these targets and parameters.
pub(super) fn checked_plan(set: &str, targets: &[String], parameters: &BTreeMap<String, String>) -> Result<Plan, Refused> {
    let names = || built_in().iter().map(|set| set.name);
    let found = find_built_in(set).ok_or_else(|| {
        let hint = match nearest(set, names()) {
            Some(meant) => format!("Did you mean {meant}?"),
            None => format!("There are: {}.", names().collect::<Vec<_>>().join(", ")),
        };
        Refused::new(ProblemCode::UnknownSet, "There is no probe set of that name.").next_step(hint)
    })?;
    let set = found.parse().map_err(Refused::internal)?;
    let wanted = Request { targets: targets.to_vec(), parameters: parameters.clone(), ..Request::default() };
    set.plan(&wanted).map_err(|error| {
        let code = match error {
            PlanError::Target(_)
            | PlanError::NoTarget { .. }
            | PlanError::TargetNotTaken { .. }
            | PlanError::TooManyTargets { .. } => ProblemCode::InvalidTarget,
            _ => ProblemCode::InvalidParameter,
        };
        Refused::new(code, format!("{error}."))
    })
}
