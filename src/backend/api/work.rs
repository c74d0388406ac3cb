use crate::accept::{LaterBody, Seat, WaitingRoom};
use crate::app::App;
use crate::clock::moment_in;
use crate::fleet::{Asker, FromAgent, Listening, check_enrolled, check_served, check_single, identity_twice, unknown_order};
use crate::problem::Refused;
use crate::store::{Member, Note, Noted};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use netsonde_contract::api::ProblemCode;
use netsonde_contract::api::fleet::{DeliveryState, MAX_WAIT_SECONDS, Progress, StateReport, Work, WorkItem};
use netsonde_contract::id::{AgentId, OrderId};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Of two requests of one agent the newer one is held.
const OVERTAKEN: &str = "a newer request of this agent took its place";

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    after: u64,
    /// In seconds.
    #[serde(default)]
    wait: u32,
    /// The versions that the agent has of the organisation's documents.
    #[serde(default)]
    root: u64,
    #[serde(default)]
    list: u64,
    /// The agent's process, as [`netsonde_contract::api::fleet::CheckIn::instance`] has it, and how often that process has asked. Older agents do
    /// not say.
    #[serde(default)]
    instance: Option<String>,
    #[serde(default)]
    turn: u64,
}

impl Wanted {
    fn asker(&self) -> Option<Asker> {
        let instance = u128::from_str_radix(self.instance.as_deref()?, 16).ok()?;
        Some(Asker { instance, turn: self.turn })
    }
}

/// `GET /v1/work`: what the agent was not told yet; held until there is something, or the time is over.
///
/// A request that is held has its answer's head at once, and its body when there is something to say: what made the answer is gone by then, and
/// only the body waits, ten thousand times.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
    room: Option<Extension<WaitingRoom>>,
    Extension(seat): Extension<Seat>,
    from: FromAgent,
) -> Result<Response, Refused> {
    let agent = from.agent;
    check_alone(&app, &agent, &wanted).await?;
    let until = moment_in(Duration::from_secs(wanted.wait.min(MAX_WAIT_SECONDS).into()));
    let listening = app.presence.listen(&agent.id);
    let work = look(&app, &agent.id, &wanted).await?;
    if has_news(&work) || wanted.wait == 0 || app.stopping.is_cancelled() {
        return Ok(Json(work).into_response());
    }
    let held =
        LaterBody::new(room.map(|Extension(room)| room), hold(app, agent.id, wanted, (listening, seat.end().clone()), until));
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::new(held)).into_response())
}

/// # Errors
/// Where two processes ask with the identity, of which nobody can say which would run an order: from now on neither gets any.
async fn check_alone(app: &App, agent: &Member, wanted: &Wanted) -> Result<(), Refused> {
    check_single(agent.standing)?;
    let now = app.clock.now();
    let Some(asker) = wanted.asker().filter(|asker| app.presence.is_twice(&agent.id, *asker, now)) else { return Ok(()) };
    tracing::warn!(agent = agent.id.short(), "two running processes share this agent's identity");
    let detail = format!("two processes ask for work with it at once, instance {:032x} one of them", asker.instance);
    app.store.share_agent(&agent.id, &detail, now).await?;
    // The other one, too, asks anew and hears why it gets none.
    app.presence.ring([&agent.id]);
    Err(identity_twice())
}

fn has_news(work: &Work) -> bool {
    !work.orders.is_empty() || !work.cancelled.is_empty() || work.trust.is_some()
}

/// Waits, and answers with what came. Where the agent may no longer be answered it is told nothing: it asks again, and hears why.
async fn hold(
    app: Arc<App>,
    id: AgentId,
    wanted: Wanted,
    (listening, end): (Listening, CancellationToken),
    until: Instant,
) -> Bytes {
    loop {
        let mut because = None;
        let is_over = tokio::select! {
            () = listening.rung() => {
                because = listening.is_overtaken().then(|| OVERTAKEN.to_owned());
                because.is_some()
            }
            () = app.stopping.cancelled() => true,
            () = end.cancelled() => {
                because = Some(format!("this agent has more than {} connections, and the oldest ends", app.seats.most()));
                true
            }
            () = tokio::time::sleep_until(until) => true,
        };
        app.presence.saw(&id, app.clock.now());
        // Boxed, so that what is large lives while it looks and not while it waits.
        let looked = if is_over { None } else { Some(Box::pin(look(&app, &id, &wanted)).await) };
        let work = match looked {
            Some(Ok(work)) if !has_news(&work) => continue,
            Some(Ok(work)) => work,
            Some(Err(refused)) => {
                tracing::debug!(agent = id.short(), why = refused.explained(), "a held request ends");
                nothing(&app, &wanted)
            }
            None => Work { because, ..nothing(&app, &wanted) },
        };
        return as_json(&work);
    }
}

fn as_json(work: &Work) -> Bytes {
    // An answer that cannot be read says as much as none: the agent asks again.
    serde_json::to_vec(work).map(Bytes::from).unwrap_or_default()
}

fn nothing(app: &App, wanted: &Wanted) -> Work {
    let server_time = app.clock.now();
    Work { cursor: wanted.after, orders: Vec::new(), cancelled: Vec::new(), trust: None, because: None, server_time }
}

async fn look(app: &App, id: &AgentId, wanted: &Wanted) -> Result<Work, Refused> {
    let now = app.clock.now();
    // Read anew each time: the enrolment may have ended meanwhile.
    let agent = app.register.member(id.as_str()).await?.ok_or_else(super::agents::unknown_agent)?;
    check_enrolled(agent.standing, now)?;
    check_single(agent.standing)?;
    check_served(agent.standing.protocol)?;
    let found = app.register.work(id, wanted.after).await?;
    let newer = app.trust.current().filter(|published| {
        let (root, list) = published.anchor.versions();
        root > wanted.root || list > wanted.list
    });
    Ok(Work {
        cursor: found.cursor,
        orders: found.orders.into_iter().map(|(id, envelope, proof)| WorkItem { id, envelope, proof }).collect(),
        cancelled: found.cancelled,
        trust: newer.map(|published| published.documents.clone()),
        because: None,
        server_time: now,
    })
}

/// `POST /v1/work/{order}/state`. A report that is no news changes nothing and is no fault; one whose words do not fit is made fit, as it would be lost else.
pub(super) async fn report(State(app): State<Arc<App>>, Path(id): Path<String>, from: FromAgent) -> Result<StatusCode, Refused> {
    let order = OrderId::parse(&id).ok_or_else(unknown_order)?;
    let report = from.json::<StateReport>()?.harmless();
    if report.state == DeliveryState::Uploaded {
        return uploaded(&app, &order, &from.agent.id).await;
    }
    let note = Note::State { order, agent: from.agent.id, report, at: app.clock.now() };
    noted(app.notebook.keep(note).await?)
}

/// That a bundle is here, only the bundle says.
async fn uploaded(app: &App, order: &OrderId, agent: &AgentId) -> Result<StatusCode, Refused> {
    match app.store.delivery_state(order, agent).await?.ok_or_else(unknown_order)? {
        state if state.is_final() => Ok(StatusCode::NO_CONTENT),
        _ => Err(Refused::malformed("No bundle of this agent has arrived for the order.").next_step("Upload the bundle first.")),
    }
}

/// `POST /v1/work/{order}/progress`.
pub(super) async fn progress(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    from: FromAgent,
) -> Result<StatusCode, Refused> {
    let order = OrderId::parse(&id).ok_or_else(unknown_order)?;
    let progress: Progress = from.json()?;
    // Beyond what the store holds, one report would fail all that are written together with it.
    if i64::try_from(progress.sequence).is_err() {
        return Err(Refused::malformed("The report's sequence number is too large."));
    }
    noted(app.notebook.keep(Note::Progress { order, agent: from.agent.id, progress }).await?)
}

fn noted(noted: Noted) -> Result<StatusCode, Refused> {
    match noted {
        Noted::Kept | Noted::Old => Ok(StatusCode::NO_CONTENT),
        Noted::Unknown => Err(Refused::new(ProblemCode::OrderUnknown, "No such order is for this agent.")),
    }
}
