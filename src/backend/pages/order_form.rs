//! The form that drafts an order. It signs nothing: this program holds no key that could.

use super::session::Engineer;
use super::{Frame, fleet, render, shown};
use crate::api::keep_draft;
use crate::app::App;
use crate::body::Form;
use crate::limits::MAX_LISTED;
use crate::problem::Refused;
use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use netsonde_contract::api::fleet::{Draft, Labels};
use netsonde_contract::api::{Problem, ProblemCode};
use netsonde_contract::id::{AgentId, CaseId};
use netsonde_contract::set::built_in;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "order_form.html")]
struct OrderFormPage<'a> {
    frame: Frame,
    form_token: &'a str,
    sets: Vec<(String, String)>,
    /// The agents that there are: id, and what they are called.
    agents: Vec<(String, String)>,
    filled: &'a OrderForm,
    problem: Option<&'a Problem>,
}

#[derive(Template)]
#[template(path = "draft_ready.html")]
struct DraftReadyPage<'a> {
    frame: Frame,
    id: &'a str,
    draft: &'a Draft,
    agents: usize,
    labels: String,
    made: String,
}

#[derive(Default, Deserialize)]
pub(super) struct OrderForm {
    case: String,
    #[serde(default)]
    set: String,
    /// One a line, as the next two.
    #[serde(default)]
    targets: String,
    /// `name=value`.
    #[serde(default)]
    parameters: String,
    #[serde(default)]
    agents: String,
    /// `name=value`.
    #[serde(default)]
    labels: String,
    #[serde(default)]
    requester: String,
    #[serde(default)]
    reason: String,
    /// In seconds, or nothing.
    #[serde(default)]
    spread: String,
    #[serde(default)]
    form_token: String,
}

/// What the form is opened for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    case: String,
    #[serde(default)]
    agent: String,
    /// The agents that the fleet's page found, where it was left from there.
    #[serde(flatten)]
    found: fleet::Wanted,
}

pub(super) async fn form(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    let agents = if wanted.found.is_all() { wanted.agent } else { fleet::ids(&app, &wanted.found).await?.join("\n") };
    let empty = OrderForm { case: wanted.case, agents, set: "web".to_owned(), ..OrderForm::default() };
    show(&app, &engineer, &empty, None).await
}

pub(super) async fn submit(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Form(form): Form<OrderForm>,
) -> Result<Response, Refused> {
    engineer.check_form(&form.form_token)?;
    let kept = match form.draft() {
        Ok(draft) => keep_draft(&app, draft, "page").await,
        Err(refused) => Err(refused),
    };
    let kept = match kept {
        Ok(kept) => kept,
        Err(refused) if refused.problem.status < 500 => return show(&app, &engineer, &form, Some(&refused.problem)).await,
        Err(refused) => return Err(refused),
    };
    let page = DraftReadyPage {
        frame: Frame::of(&engineer),
        id: &kept.id,
        agents: kept.draft.agents.len(),
        labels: fleet::labels(&kept.draft.labels),
        draft: &kept.draft,
        made: shown::time(kept.made),
    };
    render(StatusCode::CREATED, &page)
}

async fn show(app: &App, engineer: &Engineer, filled: &OrderForm, problem: Option<&Problem>) -> Result<Response, Refused> {
    let agents = app.store.agents(MAX_LISTED).await?.into_iter().filter(|agent| !agent.revoked);
    let page = OrderFormPage {
        frame: Frame::of(engineer),
        form_token: &engineer.form_token,
        sets: built_in().iter().filter_map(|set| set.parse().ok()).map(|set| (set.name, set.question)).collect(),
        agents: agents
            .map(|agent| {
                let name = agent.host_name.unwrap_or_default();
                (agent.id.to_string(), format!("{name} {}", fleet::labels(&agent.labels)).trim().to_owned())
            })
            .collect(),
        filled,
        problem,
    };
    let status = problem.and_then(|problem| StatusCode::from_u16(problem.status).ok()).unwrap_or(StatusCode::OK);
    render(status, &page)
}

impl OrderForm {
    fn draft(&self) -> Result<Draft, Refused> {
        let agents: Vec<Option<AgentId>> = lines(&self.agents).iter().map(|line| AgentId::parse(line)).collect();
        let agents: Option<Vec<AgentId>> = agents.into_iter().collect();
        let agents = agents.ok_or_else(|| {
            Refused::new(ProblemCode::InvalidParameter, "A line under agents is no agent's id.")
                .next_step("Copy the 64 digits from the agent's page.")
        })?;
        let labels: Labels = pairs(&self.labels);
        let spread = Some(self.spread.trim()).filter(|text| !text.is_empty()).map(str::parse);
        let spread_seconds = spread.transpose().map_err(|_| {
            Refused::new(ProblemCode::InvalidParameter, "The spread is no number of seconds.")
                .next_step("Write seconds, such as 600, or leave it empty: all begin at once.")
        })?;
        Ok(Draft {
            set: self.set.clone(),
            targets: lines(&self.targets),
            parameters: pairs(&self.parameters),
            agents,
            labels,
            case: CaseId::new(self.case.trim()),
            requester: self.requester.trim().to_owned(),
            reason: self.reason.trim().to_owned(),
            spread_seconds,
        })
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &String| {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        (name.trim().to_owned(), value.trim().to_owned())
    };
    lines(text).iter().map(pair).collect()
}
