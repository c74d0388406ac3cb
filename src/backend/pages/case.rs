use super::deliveries::Deliveries;
use super::live::{self, Now};
use super::order::{OrderLine, order_line};
use super::session::Engineer;
use super::watched::{self, Watched};
use super::{Frame, history, render, shown};
use crate::api::{is_agents_key, order_summaries, unknown_case};
use crate::app::App;
use crate::ingest::status_at;
use crate::limits::{MAX_LISTED, MAX_RAW_BYTES};
use crate::problem::Refused;
use crate::store::{BundleRow, Origin, TicketRow};
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use netsonde_contract::api::{ProblemCode, TicketStateName};
use netsonde_contract::bundle::file_name::OUTCOMES;
use netsonde_contract::bundle::{self, Bundle, key_id};
use netsonde_contract::document::Document;
use netsonde_contract::finding::Diagnosis;
use netsonde_contract::id::{AgentId, BundleId, CaseId, OrderId};
use netsonde_report::html::fragment;
use serde::Deserialize;
use std::sync::Arc;

/// Orders of one case that go on at the same time and are followed on its page; each has a page of its own besides.
const MAX_LIVE: usize = 5;

#[derive(Template)]
#[template(path = "case.html")]
struct CasePage {
    frame: Frame,
    id: String,
    state: Option<(&'static str, &'static str)>,
    opened: String,
    /// Where it was opened by itself.
    watched: Option<Watched>,
    bundles: Vec<BundleLine>,
    tickets: Vec<TicketLine>,
    going_on: GoingOn,
    /// How many bundles the page knows: another one makes it another page.
    known: usize,
    shown: Option<Shown>,
}

/// The case's orders.
#[derive(Template)]
#[template(path = "case_part.html")]
struct GoingOn {
    orders: Vec<OrderLine>,
    /// One of them is under way.
    live: bool,
    /// What came so far of those that are.
    progress: Vec<Deliveries>,
}

struct BundleLine {
    id: String,
    short: String,
    received: String,
    state: (&'static str, &'static str),
    cause: String,
    current: bool,
}

struct TicketLine {
    id: String,
    set: String,
    targets: String,
    expires: String,
    state: (&'static str, &'static str),
    open: bool,
}

/// The bundle that the page shows, or why it cannot be shown.
struct Shown {
    id: String,
    key_id: String,
    received: String,
    size: String,
    set: String,
    origin: Origin,
    known: bool,
    content: Result<Content, String>,
}

struct Content {
    findings: String,
    /// The evidence, in reading order; parts that have nothing are left out.
    sections: Vec<Section>,
    withheld: Vec<String>,
    limits: Vec<String>,
    agent_build: String,
    backend_build: String,
    /// What the agent and this program conclude, where it is not the same.
    differs: Option<(Vec<String>, Vec<String>)>,
}

struct Section {
    id: &'static str,
    heading: &'static str,
    /// It is narrow enough to stand beside another.
    drawing: bool,
    html: String,
}

/// One part of the evidence: its anchor, its heading, and what draws it.
type Part = (&'static str, &'static str, fn(&Document) -> String);

const PARTS: [Part; 9] = [
    ("reasoning", "How this was concluded", fragment::reasoning),
    ("path", "Path", fragment::path),
    ("rtt", "Round-trip times", fragment::rtt),
    ("requests", "Requests", fragment::waterfall),
    ("dns", "Name lookups", fragment::dns),
    ("certificates", "Certificates", fragment::certificates),
    ("checks", "Every check", fragment::checks),
    ("environment", "The machine that measured", fragment::environment),
    ("raw", "Raw facts", fragment::raw),
];

#[derive(Deserialize)]
pub(super) struct Wanted {
    bundle: Option<String>,
}

pub(super) async fn page(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    let id = CaseId::parse(&id).ok_or_else(unknown_case)?;
    let case = app.store.case(&id).await?.ok_or_else(unknown_case)?;
    let bundles = app.store.bundles_of(&id, MAX_LISTED).await?;
    let tickets = app.store.tickets_of(&id, MAX_LISTED).await?;
    let wanted = wanted.bundle.as_deref().and_then(BundleId::parse);
    let current = match &wanted {
        Some(wanted) => bundles.iter().find(|row| row.id == *wanted),
        None => bundles.first(),
    };
    if wanted.is_some() && current.is_none() {
        return Err(Refused::new(ProblemCode::NotFound, "This case has no such bundle."));
    }
    let shown = match current {
        Some(row) => Some(show(&app, row, tickets.iter().find(|ticket| row.origin.ticket() == Some(&ticket.id))).await?),
        None => None,
    };
    let now = app.clock.now();
    let going_on = GoingOn::read(&app, &id).await?;
    let watched = match &case.watched {
        Some(of) => Some(watched::read(&app, of, &bundles, &engineer).await?),
        None => None,
    };
    let page = CasePage {
        frame: Frame::of(&engineer),
        id: id.to_string(),
        state: current.map(|row| shown::state(row.backend.state)),
        opened: shown::time(case.opened),
        watched,
        bundles: bundles.iter().map(|row| bundle_line(row, current.is_some_and(|current| current.id == row.id))).collect(),
        tickets: tickets.iter().map(|ticket| ticket_line(ticket, status_at(ticket, now))).collect(),
        known: bundles.len(),
        going_on,
        shown,
    };
    let answer = render(StatusCode::OK, &page)?;
    Ok(if page.going_on.live { live::with_script(answer) } else { answer })
}

#[derive(Deserialize)]
pub(super) struct Known {
    #[serde(default)]
    bundles: usize,
}

/// What the page shows of the case's orders, whenever it is something else. With another bundle, and once no order goes on, the page is another.
pub(super) async fn live(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(known): Query<Known>,
) -> Result<Response, Refused> {
    let id = CaseId::parse(&id).ok_or_else(unknown_case)?;
    app.store.case(&id).await?.ok_or_else(unknown_case)?;
    live::follow(app, engineer, move |app, _| {
        let id = id.clone();
        async move {
            let part = GoingOn::read(&app, &id).await?;
            let is_same = app.store.bundles_of(&id, MAX_LISTED).await?.len() == known.bundles;
            if part.live && is_same { Now::of(&part) } else { Ok(Now::Over) }
        }
    })
}

impl GoingOn {
    async fn read(app: &App, case: &CaseId) -> Result<Self, Refused> {
        let orders = order_summaries(app, Some(case), MAX_LISTED).await?;
        let orders: Vec<OrderLine> = orders.into_iter().map(|order| order_line(app, order)).collect();
        let mut progress = Vec::new();
        for order in orders.iter().filter(|order| order.live).take(MAX_LIVE) {
            progress.extend(Deliveries::on_case(app, &OrderId::new(order.id.clone()), &order.case).await?);
        }
        Ok(Self { live: orders.iter().any(|order| order.live), orders, progress })
    }
}

fn bundle_line(row: &BundleRow, current: bool) -> BundleLine {
    BundleLine {
        id: row.id.to_string(),
        short: row.id.short().to_owned(),
        received: shown::time(row.received),
        state: shown::state(row.backend.state),
        cause: row.backend.findings.first().map(|finding| finding.cause.clone()).unwrap_or_default(),
        current,
    }
}

fn ticket_line(ticket: &TicketRow, state: TicketStateName) -> TicketLine {
    TicketLine {
        id: ticket.id.to_string(),
        set: ticket.set.clone(),
        targets: ticket.targets.join(", "),
        expires: shown::time(ticket.expires),
        state: shown::ticket_state(state),
        open: state == TicketStateName::Open,
    }
}

/// Reads the stored bundle and verifies it anew: the page never shows what no longer verifies.
async fn show(app: &App, row: &BundleRow, ticket: Option<&TicketRow>) -> Result<Shown, Refused> {
    let verified = match app.blobs.get(&row.file_sha256).await {
        Ok(bytes) => {
            let _permit = app.renderings.acquire().await.map_err(Refused::internal)?;
            let diagnosis = row.backend.clone();
            let work = tokio::task::spawn_blocking(move || {
                let bundle = bundle::verify(&bytes).map_err(|refusal| refusal.to_string())?;
                let content = Content::of(&bundle, diagnosis).map_err(|refusal| refusal.to_string())?;
                Ok((bundle, content))
            });
            work.await.map_err(Refused::internal)?
        }
        Err(error) => {
            tracing::error!(bundle = row.id.short(), %error, "a stored bundle cannot be read");
            Err(error.to_string())
        }
    };
    let known = match (&verified, &row.origin, ticket) {
        (Ok((bundle, _)), Origin::Order { order, agent }, _) => {
            bundle.predicate.order.as_ref() == Some(order) && AgentId::of(&bundle.key) == *agent
        }
        (Ok((bundle, _)), Origin::Brought, _) => is_agents_key(app, &bundle.key).await?,
        (Ok((bundle, _)), Origin::Scheduled { agent, .. }, _) => AgentId::of(&bundle.key) == *agent,
        (Ok((bundle, _)), Origin::Ticket(_), Some(ticket)) => bundle.predicate.ticket.as_ref().is_some_and(|claim| {
            ticket.proof_key.verify(&ticket.id, &bundle.key, &app.receipt_key.verifying_key(), &claim.proof)
        }),
        _ => false,
    };
    let content = verified.map(|(_, content)| Content { backend_build: row.diagnosed_by.clone(), ..content });
    Ok(Shown {
        id: row.id.to_string(),
        key_id: key_id(&row.key),
        received: shown::time(row.received),
        size: shown::size(row.size_bytes),
        set: row.set.clone(),
        origin: row.origin.clone(),
        known,
        content,
    })
}

impl Content {
    /// Shows the bundle's facts under this program's own diagnosis.
    fn of(bundle: &Bundle, backend: Diagnosis) -> Result<Self, bundle::Refusal> {
        let mut document = bundle.document()?;
        let agents = conclusion(document.state, document.findings.iter().map(|finding| finding.cause.as_str()));
        let own = conclusion(backend.state, backend.findings.iter().map(|finding| finding.cause.as_str()));
        document.state = backend.state;
        document.findings = backend.findings;
        document.unexplained = backend.unexplained;
        document.not_measured = backend.not_measured;
        let raw_bytes =
            bundle.files.iter().filter(|(name, _)| name.starts_with(OUTCOMES)).map(|(_, content)| content.len()).sum();
        let parts = PARTS.iter().map(|(id, heading, draw)| Section {
            id,
            heading,
            drawing: matches!(*id, "path" | "rtt"),
            html: if *id == "raw" && raw_bytes > MAX_RAW_BYTES { too_much(bundle, raw_bytes) } else { draw(&document) },
        });
        let history =
            Section { id: "history", heading: "What its schedule measured before", drawing: false, html: history::draw(bundle) };
        let build = &bundle.predicate.build;
        Ok(Self {
            findings: fragment::findings(&document),
            sections: std::iter::once(history).chain(parts).filter(|section| !section.html.is_empty()).collect(),
            withheld: bundle.withheld.clone(),
            limits: bundle.predicate.limits_hit.clone(),
            agent_build: format!("{} {}", build.program, build.version),
            backend_build: String::new(),
            differs: (agents != own).then_some((agents, own)),
        })
    }
}

/// Stands for raw facts that no browser could show. The id is hexadecimal digits, and nothing else here comes from outside.
fn too_much(bundle: &Bundle, bytes: usize) -> String {
    format!(
        "<p>The raw facts are {}, which is too much for a page. They are in the outcomes folder of <a href=\"/bundles/{}\">the bundle</a>.</p>",
        shown::size(bytes as u64),
        bundle.id
    )
}

/// State and causes in words, which is what two diagnoses are compared by.
fn conclusion<'a>(state: netsonde_contract::finding::State, causes: impl Iterator<Item = &'a str>) -> Vec<String> {
    std::iter::once(shown::state(state).0).chain(causes).map(str::to_owned).collect()
}
