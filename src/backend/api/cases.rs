use super::desk::Desk;
use crate::app::App;
use crate::ingest::status_at;
use crate::limits::MAX_LISTED;
use crate::problem::Refused;
use crate::store::{BundleRow, CaseRow, Origin, TicketRow};
use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use netsonde_contract::api::{BundleSummary, CaseDetail, CaseSummary, ProblemCode, TicketSummary, WatchedCase};
use netsonde_contract::bundle::key_id;
use netsonde_contract::id::CaseId;
use std::sync::Arc;

pub(super) async fn list(_: Desk, State(app): State<Arc<App>>) -> Result<Json<Vec<CaseSummary>>, Refused> {
    Ok(Json(app.store.cases(MAX_LISTED).await?.into_iter().map(case_summary).collect()))
}

pub(super) async fn read(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<CaseDetail>, Refused> {
    let id = CaseId::parse(&id).ok_or_else(unknown_case)?;
    let case = app.store.case(&id).await?.ok_or_else(unknown_case)?;
    let now = app.clock.now();
    Ok(Json(CaseDetail {
        case: case_summary(case),
        bundles: app.store.bundles_of(&id, MAX_LISTED).await?.iter().map(bundle_summary).collect(),
        tickets: app.store.tickets_of(&id, MAX_LISTED).await?.iter().map(|ticket| ticket_summary(ticket, now)).collect(),
    }))
}

pub(crate) fn unknown_case() -> Refused {
    Refused::new(ProblemCode::NotFound, "There is no such case.").next_step("Look for it in the list of cases.")
}

fn case_summary(case: CaseRow) -> CaseSummary {
    let CaseRow { id, opened, updated, bundles, state, cause, watched } = case;
    let watched = watched.map(|watched| WatchedCase {
        agent: watched.agent,
        schedule: watched.schedule,
        target: watched.target,
        state: watched.state.name().to_owned(),
        since: watched.since,
        failures: watched.failures,
    });
    CaseSummary { id, opened, updated, bundles, state, cause, watched }
}

fn bundle_summary(bundle: &BundleRow) -> BundleSummary {
    BundleSummary {
        id: bundle.id.clone(),
        received: bundle.received,
        size_bytes: bundle.size_bytes,
        ticket: bundle.origin.ticket().cloned(),
        set: bundle.set.clone(),
        state: bundle.backend.state,
        causes: bundle.backend.findings.iter().map(|finding| finding.cause.clone()).collect(),
        key_id: key_id(&bundle.key),
        // No other bundle is stored whose key did not prove its ticket, or is no enrolled agent's.
        known: bundle.origin != Origin::Brought,
    }
}

pub(super) fn ticket_summary(ticket: &TicketRow, now: Timestamp) -> TicketSummary {
    TicketSummary {
        id: ticket.id.clone(),
        set: ticket.set.clone(),
        targets: ticket.targets.clone(),
        issued: ticket.created,
        expires: ticket.expires,
        state: status_at(ticket, now),
    }
}
