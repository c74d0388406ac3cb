use super::session::Engineer;
use super::{Frame, render, shown};
use crate::api::{issue, revoke};
use crate::app::App;
use crate::body::Form;
use crate::problem::Refused;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use netsonde_contract::api::{Problem, TicketRequest, path};
use netsonde_contract::id::TicketId;
use netsonde_contract::set::built_in;
use netsonde_report::invitation::Invitation;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "ticket_form.html")]
struct TicketFormPage<'a> {
    frame: Frame,
    form_token: &'a str,
    sets: Vec<SetChoice>,
    filled: &'a TicketForm,
    problem: Option<&'a Problem>,
}

struct SetChoice {
    name: String,
    question: String,
    parameters: Vec<String>,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "ticket_ready.html")]
struct TicketReadyPage<'a> {
    frame: Frame,
    case: &'a str,
    message: String,
    page: &'a str,
    expires: String,
}

#[derive(Deserialize)]
pub(super) struct TicketForm {
    case: String,
    set: String,
    /// One a line.
    #[serde(default)]
    targets: String,
    /// `name=value`, one a line.
    #[serde(default)]
    parameters: String,
    days: u64,
    form_token: String,
}

/// The case that the form is opened for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    case: String,
}

pub(super) async fn form(
    engineer: Engineer,
    axum::extract::Query(wanted): axum::extract::Query<Wanted>,
) -> Result<Response, Refused> {
    let empty = TicketForm {
        case: wanted.case,
        set: "web".to_owned(),
        targets: String::new(),
        parameters: String::new(),
        days: 7,
        form_token: String::new(),
    };
    show(&engineer, &empty, None)
}

/// The ready message is shown once: the ticket's secret is kept nowhere.
pub(super) async fn submit(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Form(form): Form<TicketForm>,
) -> Result<Response, Refused> {
    engineer.check_form(&form.form_token)?;
    let (issued, plan) = match issue(&app, form.request()).await {
        Ok(issued) => issued,
        Err(refused) if refused.problem.status < 500 => return show(&engineer, &form, Some(&refused.problem)),
        Err(refused) => return Err(refused),
    };
    let page = TicketReadyPage {
        frame: Frame::of(&engineer),
        case: form.case.trim(),
        message: Invitation { issued: &issued, backend: &app.place.url, plan: &plan }.text(),
        page: &issued.page,
        expires: shown::time(issued.expires),
    };
    render(StatusCode::CREATED, &page)
}

#[derive(Deserialize)]
pub(super) struct Revoke {
    form_token: String,
}

pub(super) async fn revoke_ticket(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Form(form): Form<Revoke>,
) -> Result<Redirect, Refused> {
    engineer.check_form(&form.form_token)?;
    let id = TicketId::parse(&id).ok_or_else(crate::ingest::unknown_ticket)?;
    let ticket = app.store.ticket(&id).await?.ok_or_else(crate::ingest::unknown_ticket)?;
    revoke(&app, &ticket.id, "page").await?;
    Ok(Redirect::to(&path::case_page(&ticket.case)))
}

fn show(engineer: &Engineer, filled: &TicketForm, problem: Option<&Problem>) -> Result<Response, Refused> {
    let sets = built_in().iter().filter_map(|set| set.parse().ok());
    let page = TicketFormPage {
        frame: Frame::of(engineer),
        form_token: &engineer.form_token,
        sets: sets
            .map(|set| SetChoice {
                chosen: set.name == filled.set,
                parameters: set.parameters.iter().map(|parameter| format!("{}: {}", parameter.name, parameter.help)).collect(),
                name: set.name,
                question: set.question,
            })
            .collect(),
        filled,
        problem,
    };
    let status = problem.and_then(|problem| StatusCode::from_u16(problem.status).ok()).unwrap_or(StatusCode::OK);
    render(status, &page)
}

impl TicketForm {
    fn request(&self) -> TicketRequest {
        let lines = |text: &str| -> Vec<String> {
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
        };
        let parameters: BTreeMap<String, String> = lines(&self.parameters)
            .iter()
            .map(|line| line.split_once('=').unwrap_or((line, "")))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        const DAY_SECONDS: u64 = 24 * 3600;
        TicketRequest {
            case: self.case.trim().to_owned(),
            set: self.set.clone(),
            targets: lines(&self.targets),
            parameters,
            valid_for_s: Some(self.days.saturating_mul(DAY_SECONDS)),
        }
    }
}
