use super::desk::Desk;
use crate::app::App;
use crate::body::{Json as JsonBody, read_json};
use crate::clock::later;
use crate::fleet::{self, Entry};
use crate::limits::MAX_FLEET;
use crate::problem::Refused;
use crate::random;
use crate::store::{AgentRow, EnrolmentRow};
use axum::Json;
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use netsonde_contract::api::ProblemCode;
use netsonde_contract::api::fleet::{AgentSummary, EnrolmentCodeIssued, EnrolmentCodeRequest, Labels, MAX_AGENT_BODY};
use netsonde_contract::enrolment::EnrolmentCode;
use netsonde_contract::harmless::is_clean;
use netsonde_contract::id::{AgentId, TicketId};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// A code for more machines than this is a mistake.
const MAX_USES: u32 = 100_000;
/// A code for an image lives as long as the image, and no code lives for ever.
const MAX_HOURS: u32 = 365 * 24;
const MAX_LABELS: usize = 32;
const MAX_LABEL_CHARS: usize = 64;
/// A name that more than one agent goes by names none: the first few show that.
const MAX_NAMESAKES: u32 = 16;

/// `POST /v1/enrolments`: the code is told this once.
pub(super) async fn make_code(
    _: Desk,
    State(app): State<Arc<App>>,
    JsonBody(request): JsonBody<EnrolmentCodeRequest>,
) -> Result<impl IntoResponse, Refused> {
    let fits = (1..=MAX_USES).contains(&request.uses) && (1..=MAX_HOURS).contains(&request.hours);
    if !fits {
        let words = format!("A code is for 1 to {MAX_USES} agents and 1 to {MAX_HOURS} hours.");
        return Err(Refused::new(ProblemCode::InvalidParameter, words));
    }
    check_labels(&request.labels)?;
    let now = app.clock.now();
    let code = EnrolmentCode::from_bytes(random::bytes()?);
    const HOUR_SECONDS: u64 = 3600;
    let expires = later(now, Duration::from_secs(u64::from(request.hours) * HOUR_SECONDS));
    let row = EnrolmentRow {
        id: TicketId::from_bytes(random::bytes()?),
        proof_key: code.proof_key(),
        uses: request.uses,
        labels: request.labels,
        created: now,
        // Whole seconds, as the string carries them.
        expires: expires.round(jiff::Unit::Second).map_err(Refused::internal)?,
    };
    app.store.add_enrolment(&row).await?;
    tracing::info!(enrolment = %row.id, uses = row.uses, "enrolment code made");
    let issued = EnrolmentCodeIssued { id: row.id, code: code.to_text().to_string(), expires: row.expires };
    Ok((StatusCode::CREATED, Json(issued)))
}

/// `POST /v1/agents`: by the agent itself, or by the desk in its place.
pub(super) async fn introduce(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refused> {
    if !request.headers().contains_key(header::AUTHORIZATION) {
        return enter(State(app), request).await;
    }
    let (mut parts, body) = request.into_parts();
    Desk::from_request_parts(&mut parts, &app).await?;
    let introduce = read_json(Request::from_parts(parts, body), MAX_AGENT_BODY, app.limits.body).await?;
    let introduced = fleet::hand_in(&app, &introduce).await?;
    Ok((StatusCode::CREATED, Json(introduced)).into_response())
}

/// `POST /v1/agents/self`.
pub(super) async fn enter(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refused> {
    Ok(match fleet::enter(&app, request).await? {
        Entry::Introduced(introduced) => (StatusCode::CREATED, Json(introduced)).into_response(),
        Entry::CheckedIn(checked_in) => Json(checked_in).into_response(),
    })
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    named: Option<String>,
    /// As a JSON object: a query cannot name a thing of any text several times.
    labels: Option<String>,
}

/// All agents; with `?named=` those whom a person may mean by that, with `?labels=` those that carry each of them.
pub(super) async fn list(
    _: Desk,
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Vec<AgentSummary>>, Refused> {
    let agents = match wanted {
        Wanted { named: Some(_), labels: Some(_) } => {
            return Err(Refused::malformed("Agents are asked for by a name or by labels."));
        }
        Wanted { named: Some(text), .. } => app.store.agents_called(&text, MAX_NAMESAKES).await?,
        Wanted { labels: Some(json), .. } => {
            let labels: Labels =
                serde_json::from_str(&json).map_err(|_| Refused::malformed("The labels are no JSON object of texts."))?;
            app.store.agents_labelled(&labels, MAX_FLEET).await?
        }
        Wanted { .. } => app.store.agents(MAX_FLEET).await?,
    };
    Ok(Json(agents.into_iter().map(|agent| summary(&app, agent)).collect()))
}

pub(super) async fn read(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<AgentSummary>, Refused> {
    let id = AgentId::parse(&id).ok_or_else(unknown_agent)?;
    let agent = app.store.agent(id.as_str()).await?.ok_or_else(unknown_agent)?;
    Ok(Json(summary(&app, agent)))
}

pub(super) async fn label(
    _: Desk,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    JsonBody(labels): JsonBody<Labels>,
) -> Result<StatusCode, Refused> {
    check_labels(&labels)?;
    let id = AgentId::parse(&id).ok_or_else(unknown_agent)?;
    done(app.store.set_labels(&id, &labels, app.clock.now()).await?)
}

pub(super) async fn revoke(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let id = AgentId::parse(&id).ok_or_else(unknown_agent)?;
    let woken = app.store.revoke_agent(&id, app.clock.now()).await?;
    let done = done(woken.is_some())?;
    app.presence.ring(woken.iter().flatten().chain([&id]));
    Ok(done)
}

/// Only one machine is left of those that shared the identity.
pub(super) async fn settle(_: Desk, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let id = AgentId::parse(&id).ok_or_else(unknown_agent)?;
    done(app.store.settle_agent(&id, app.clock.now()).await?)
}

pub(crate) fn summary(app: &App, agent: AgentRow) -> AgentSummary {
    AgentSummary {
        last_seen: app.presence.last_seen(&agent.id).max(agent.last_seen),
        online: app.presence.is_online(&agent.id),
        id: agent.id,
        host_name: agent.host_name,
        labels: agent.labels,
        enrolled: agent.enrolled,
        check_in: agent.check_in,
        cloned: agent.cloned,
        revoked: agent.revoked,
    }
}

fn done(is_known: bool) -> Result<StatusCode, Refused> {
    if is_known { Ok(StatusCode::NO_CONTENT) } else { Err(unknown_agent()) }
}

pub(crate) fn unknown_agent() -> Refused {
    Refused::new(ProblemCode::NotFound, "There is no such agent.").next_step("Look for it in the list of agents.")
}

fn check_labels(labels: &Labels) -> Result<(), Refused> {
    let is_word = |text: &str, least: usize| {
        is_clean(text) && (least..=MAX_LABEL_CHARS).contains(&text.chars().count()) && !text.contains(['=', ','])
    };
    if labels.len() <= MAX_LABELS && labels.iter().all(|(name, value)| is_word(name, 1) && is_word(value, 0)) {
        return Ok(());
    }
    let words = format!("Labels are {MAX_LABELS} at most, such as site=oslo, of {MAX_LABEL_CHARS} characters each.");
    Err(Refused::new(ProblemCode::InvalidParameter, words))
}
