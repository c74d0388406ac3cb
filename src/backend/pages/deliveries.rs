//! What became of an order at each agent, and the outcomes that came so far: on the order's page, and on its case's while the order goes on.

use super::shown;
use crate::app::App;
use crate::limits::MAX_LISTED;
use crate::problem::Refused;
use crate::store::{DeliveryRow, OrderRow};
use askama::Template;
use netsonde_contract::id::OrderId;
use netsonde_contract::order::RefusalCode;
use netsonde_contract::outcome::{Outcome, Status};

/// Agents whose single checks are shown as they come; of more, only the numbers.
const MAX_FOLLOWED: usize = 20;
/// Checks of one run that are shown as they come.
const MAX_CHECKS: usize = 200;

#[derive(Template)]
#[template(path = "deliveries.html")]
pub(super) struct Deliveries {
    order: OfOrder,
    heading: String,
    deliveries: Vec<DeliveryLine>,
    /// There may be more than are shown.
    cut: bool,
}

struct OfOrder {
    short: String,
    case: String,
}

impl Deliveries {
    /// Agent by agent, for the order's own page.
    pub(super) async fn of(app: &App, order: &OrderRow) -> Result<Self, Refused> {
        let rows = app.store.deliveries(&order.id, MAX_LISTED).await?;
        let cut = rows.len() >= MAX_LISTED as usize;
        let of = OfOrder { short: order.id.short().to_owned(), case: order.case.to_string() };
        Self::read(app, (of, "Agent by agent".to_owned()), rows, cut).await
    }

    /// The same for the page of its case; nothing where single agents are not followed, since there are too many.
    pub(super) async fn on_case(app: &App, order: &OrderId, case: &str) -> Result<Option<Self>, Refused> {
        let rows = app.store.deliveries(order, MAX_FOLLOWED as u32 + 1).await?;
        if rows.len() > MAX_FOLLOWED {
            return Ok(None);
        }
        let of = OfOrder { short: order.short().to_owned(), case: case.to_owned() };
        let heading = format!("Order {}, agent by agent", of.short);
        Ok(Some(Self::read(app, (of, heading), rows, false).await?))
    }

    async fn read(app: &App, (order, heading): (OfOrder, String), rows: Vec<DeliveryRow>, cut: bool) -> Result<Self, Refused> {
        let follow = rows.len() <= MAX_FOLLOWED;
        let mut deliveries = Vec::with_capacity(rows.len());
        for row in rows {
            deliveries.push(delivery_line(app, row, follow).await?);
        }
        Ok(Self { order, heading, deliveries, cut })
    }
}

struct DeliveryLine {
    agent: String,
    short: String,
    name: Option<String>,
    wave: u32,
    state: (&'static str, &'static str),
    changed: String,
    /// What a refusal or failure says, and what the engineer can do about it.
    why: Option<String>,
    code: Option<String>,
    advice: Option<&'static str>,
    bundle: Option<String>,
    done: u32,
    planned: u32,
    checks: Vec<CheckLine>,
}

struct CheckLine {
    check: String,
    kind: &'static str,
    target: String,
    status: (&'static str, &'static str),
    note: String,
}

async fn delivery_line(app: &App, row: DeliveryRow, follow: bool) -> Result<DeliveryLine, Refused> {
    let reported = if follow { app.store.reported(&row.order, &row.agent).await? } else { Vec::new() };
    let agent = app.store.agent(row.agent.as_str()).await?;
    Ok(DeliveryLine {
        short: row.agent.short().to_owned(),
        agent: row.agent.to_string(),
        name: agent.and_then(|agent| agent.host_name),
        wave: row.wave + 1,
        state: shown::delivery_state(row.state),
        changed: shown::time(row.changed),
        advice: row.code.as_deref().and_then(RefusalCode::from_code).map(RefusalCode::advice),
        why: row.detail,
        code: row.code,
        bundle: row.bundle.map(|bundle| bundle.to_string()),
        done: row.checks_done,
        planned: row.checks_planned,
        checks: reported.iter().take(MAX_CHECKS).map(check_line).collect(),
    })
}

fn check_line(outcome: &Outcome) -> CheckLine {
    let status = match outcome.status {
        Status::Succeeded => ("succeeded", "good"),
        Status::Failed => ("failed", "bad"),
        Status::TimedOut => ("out of time", "bad"),
        Status::NotMeasured => ("not measured", "unsure"),
        Status::Skipped => ("skipped", "off"),
    };
    CheckLine {
        check: outcome.check.to_string(),
        kind: outcome.kind.name(),
        target: outcome.target.as_ref().map(ToString::to_string).unwrap_or_default(),
        status,
        note: outcome.note.as_ref().map(|note| note.why.clone()).unwrap_or_default(),
    }
}
