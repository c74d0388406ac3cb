//! The fleet: every enrolled agent, and one of them with what it was asked.

use super::session::Engineer;
use super::{Frame, render, shown};
use crate::api::{agent_summary, unknown_agent};
use crate::app::App;
use crate::limits::{MAX_FLEET, MAX_LISTED};
use crate::problem::Refused;
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use netsonde_contract::api::fleet::{AgentSummary, Labels};
use netsonde_contract::id::AgentId;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    frame: Frame,
    agents: Vec<AgentLine>,
    /// How many agents are in each state, before the filter for the state.
    counts: Vec<Count>,
    wanted: Wanted,
    /// How many agents fit, of which the first are shown.
    fit: usize,
    /// Somebody is enrolled.
    any: bool,
}

struct Count {
    state: (&'static str, &'static str),
    count: usize,
}

/// Which agents are looked for.
#[derive(Default, Deserialize)]
pub(super) struct Wanted {
    /// Words, each of which the agent's name, id, labels (`site=oslo`), policy, version or platform has in it.
    #[serde(default)]
    find: String,
    /// As the page calls it; all of them where it is empty.
    #[serde(default)]
    state: String,
}

impl Wanted {
    pub(super) fn is_all(&self) -> bool {
        self.find.trim().is_empty() && self.state.is_empty()
    }

    fn finds(&self, agent: &AgentLine) -> bool {
        let name = agent.name.as_deref().unwrap_or_default();
        let said = [name, &agent.id, &agent.labels, &agent.policy, &agent.version, &agent.platform].join(" ").to_lowercase();
        self.find.to_lowercase().split_whitespace().all(|word| said.contains(word))
    }
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

pub(super) async fn list(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    let (any, mut agents) = found(&app, &wanted).await?;
    let count = |state| Count { state, count: agents.iter().filter(|agent| agent.state == state).count() };
    let counts = STATES.into_iter().map(count).filter(|count| count.count > 0 || count.state.0 == wanted.state).collect();
    agents.retain(|agent| wanted.state.is_empty() || agent.state.0 == wanted.state);
    let fit = agents.len();
    agents.truncate(MAX_LISTED as usize);
    render(StatusCode::OK, &FleetPage { frame: Frame::of(&engineer), agents, counts, wanted, fit, any })
}

/// Whether there is any agent, and those that `wanted` finds by its words.
async fn found(app: &App, wanted: &Wanted) -> Result<(bool, Vec<AgentLine>), Refused> {
    let agents = app.store.agents(MAX_FLEET).await?;
    let any = !agents.is_empty();
    let lines = agents.into_iter().map(|agent| agent_line(agent_summary(app, agent)));
    Ok((any, lines.filter(|agent| wanted.finds(agent)).collect()))
}

/// The ids of those that `wanted` finds and that an order may be for: as many as one page shows.
pub(super) async fn ids(app: &App, wanted: &Wanted) -> Result<Vec<String>, Refused> {
    let (_, agents) = found(app, wanted).await?;
    let fits = |agent: &AgentLine| (wanted.state.is_empty() || agent.state.0 == wanted.state) && agent.state != ENDED;
    Ok(agents.into_iter().filter(fits).take(MAX_LISTED as usize).map(|agent| agent.id).collect())
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

const ENDED: (&str, &str) = ("enrolment ended", "off");
const TWICE: (&str, &str) = ("identity twice", "bad");
const TOO_OLD: (&str, &str) = ("too old", "bad");
const ONLINE: (&str, &str) = ("online", "good");
const AWAY: (&str, &str) = ("away", "unsure");
const STATES: [(&str, &str); 5] = [ONLINE, AWAY, TOO_OLD, TWICE, ENDED];

fn agent_line(agent: AgentSummary) -> AgentLine {
    let state = match &agent {
        AgentSummary { revoked: true, .. } => ENDED,
        AgentSummary { cloned: true, .. } => TWICE,
        agent if agent.check_in.protocol.spoken().is_err() => TOO_OLD,
        AgentSummary { online: true, .. } => ONLINE,
        _ => AWAY,
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
