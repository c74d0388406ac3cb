//! The fleet: every enrolled agent, and one of them with what it was asked.

use super::session::Engineer;
use super::{Frame, render, shown};
use crate::api::{agent_summary, unknown_agent};
use crate::app::App;
use crate::limits::MAX_LISTED;
use crate::problem::Refused;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use netsonde_contract::api::fleet::{AgentSummary, Labels};
use netsonde_contract::id::AgentId;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    frame: Frame,
    agents: Vec<AgentLine>,
    /// There may be more than are shown.
    cut: bool,
}

#[derive(Template)]
#[template(path = "agent.html")]
struct AgentPage {
    frame: Frame,
    agent: AgentLine,
    enrolled: String,
    key: String,
    epoch: String,
    orders: Vec<OrderLine>,
    /// Two machines have its identity, and it is not ended.
    twice: bool,
    agent_short: String,
}

pub(super) struct AgentLine {
    id: String,
    short: String,
    name: Option<String>,
    state: (&'static str, &'static str),
    seen: String,
    version: String,
    platform: String,
    policy: String,
    labels: String,
    kinds: String,
}

struct OrderLine {
    id: String,
    short: String,
    case: String,
    set: String,
    state: (&'static str, &'static str),
    why: String,
    changed: String,
}

pub(super) async fn list(engineer: Engineer, State(app): State<Arc<App>>) -> Result<Response, Refused> {
    let agents = app.store.agents(MAX_LISTED).await?;
    let cut = agents.len() >= MAX_LISTED as usize;
    let agents = agents.into_iter().map(|agent| agent_line(agent_summary(&app, agent))).collect();
    render(StatusCode::OK, &FleetPage { frame: Frame::of(&engineer), agents, cut })
}

pub(super) async fn page(engineer: Engineer, State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Refused> {
    let id = AgentId::parse(&id).ok_or_else(unknown_agent)?;
    let agent = app.store.agent(id.as_str()).await?.ok_or_else(unknown_agent)?;
    let mut orders = Vec::new();
    for delivery in app.store.deliveries_to(&id, MAX_LISTED).await? {
        let Some(order) = app.store.order(&delivery.order).await? else { continue };
        orders.push(OrderLine {
            id: order.id.to_string(),
            short: order.id.short().to_owned(),
            case: order.case.to_string(),
            set: order.set,
            state: shown::delivery_state(delivery.state),
            why: delivery.detail.or(delivery.code).unwrap_or_default(),
            changed: shown::time(delivery.changed),
        });
    }
    let key = netsonde_contract::bundle::key_id(&agent.bundle_key);
    let page = AgentPage {
        frame: Frame::of(&engineer),
        enrolled: shown::time(agent.enrolled),
        key,
        epoch: agent.check_in.epoch.to_string(),
        twice: agent.cloned && !agent.revoked,
        agent_short: agent.id.short().to_owned(),
        agent: agent_line(agent_summary(&app, agent)),
        orders,
    };
    render(StatusCode::OK, &page)
}

fn agent_line(agent: AgentSummary) -> AgentLine {
    let state = match &agent {
        AgentSummary { revoked: true, .. } => ("enrolment ended", "off"),
        AgentSummary { cloned: true, .. } => ("identity twice", "bad"),
        agent if agent.check_in.protocol.spoken().is_err() => ("too old", "bad"),
        AgentSummary { online: true, .. } => ("online", "good"),
        _ => ("away", "unsure"),
    };
    let policy = &agent.check_in.policy;
    let kinds: Vec<&str> = agent.check_in.kinds.iter().map(|kind| kind.name()).collect();
    AgentLine {
        state,
        short: agent.id.short().to_owned(),
        id: agent.id.to_string(),
        seen: agent.last_seen.map_or_else(|| "never".to_owned(), shown::time),
        policy: if policy.paused { format!("{}, paused", policy.remote) } else { policy.remote.clone() },
        version: agent.check_in.version,
        platform: agent.check_in.platform,
        name: agent.host_name,
        labels: labels(&agent.labels),
        kinds: kinds.join(" "),
    }
}

pub(super) fn labels(labels: &Labels) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}
