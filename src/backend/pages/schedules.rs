//! Schedules that engineers signed: which agents keep them and until when, how their last runs were, who signed, and how to end them.

use super::session::Engineer;
use super::{Frame, render, shown};
use crate::api::unknown_agent;
use crate::app::App;
use crate::clock::later;
use crate::health::is_silent;
use crate::limits::{MAX_FLEET, MAX_LISTED};
use crate::problem::Refused;
use crate::store::{AgentRow, CheckRow, DeliveryRow, HeardRow, OrderRow};
use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use netsonde_contract::api::fleet::DeliveryState;
use netsonde_contract::dsse::Envelope;
use netsonde_contract::history::Health;
use netsonde_contract::id::AgentId;
use netsonde_contract::order::{Order, schedule_name};
use netsonde_contract::set::ProbeSet;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Checks that are read for one page: of signed schedules, 20,000 agents with five checks each.
const MAX_CHECKS: u32 = 100_000;

#[derive(Template)]
#[template(path = "schedules.html")]
struct SchedulesPage {
    frame: Frame,
    /// Only those of this agent are shown.
    agent: Option<String>,
    name: String,
    schedules: Vec<Schedule>,
    /// There may be more than are shown.
    cut: bool,
}

struct Schedule {
    id: String,
    short: String,
    /// As health, history and metrics call it.
    name: String,
    state: (&'static str, &'static str),
    open: bool,
    set: String,
    targets: String,
    how: String,
    deep: Option<String>,
    case: String,
    requester: String,
    submitted: String,
    signers: Vec<String>,
    agents: Vec<Line>,
}

/// One agent that keeps it, or is to.
struct Line {
    agent: String,
    name: String,
    delivery: (&'static str, &'static str),
    why: String,
    until: String,
    last: String,
    health: (&'static str, &'static str),
    note: String,
    since: String,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    agent: String,
}

/// What the lines are made of, read once for all of them.
struct Known {
    agents: HashMap<AgentId, AgentRow>,
    heard: HashMap<AgentId, HeardRow>,
    /// By agent and schedule.
    checks: HashMap<(AgentId, String), Vec<CheckRow>>,
    now: Timestamp,
}

pub(super) async fn page(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    let only = match wanted.agent.as_str() {
        "" => None,
        text => Some(AgentId::parse(text).ok_or_else(unknown_agent)?),
    };
    let known = known(&app).await?;
    let mut schedules = Vec::new();
    let (orders, mut cut) = repeated(&app).await?;
    let mut lines = 0;
    for (row, order) in orders {
        let mut deliveries = app.store.deliveries(&row.id, MAX_LISTED).await?;
        deliveries.retain(|delivery| only.as_ref().is_none_or(|only| delivery.agent == *only));
        lines += deliveries.len();
        if lines > MAX_LISTED as usize {
            cut = true;
            break;
        }
        if !deliveries.is_empty() {
            schedules.push(schedule(row, &order, deliveries, &known));
        }
    }
    let name = only.as_ref().and_then(|id| known.agents.get(id)).map(name_of).unwrap_or_default();
    let agent = only.map(|id| id.to_string());
    render(StatusCode::OK, &SchedulesPage { frame: Frame::of(&engineer), agent, name, schedules, cut })
}

/// The orders that are schedules: those that go on, then those that ended lately, each the latest first; and whether there may be more.
async fn repeated(app: &App) -> Result<(Vec<(OrderRow, Order)>, bool), Refused> {
    let open = app.store.open_orders(MAX_LISTED).await?;
    let latest = app.store.orders(None, MAX_LISTED).await?;
    let cut = open.len() >= MAX_LISTED as usize;
    let is_open: std::collections::HashSet<_> = open.iter().map(|row| row.id.clone()).collect();
    let over = latest.into_iter().filter(|row| !is_open.contains(&row.id));
    let all: Vec<OrderRow> = open.into_iter().chain(over).collect();
    let read = |row: OrderRow| {
        let envelope = Envelope::from_json(row.envelope.as_bytes()).ok()?;
        let order = Order::unverified(&envelope).ok().filter(|order| order.repeat.is_some())?;
        Some((row, order))
    };
    Ok((all.into_iter().filter_map(read).collect(), cut))
}

async fn known(app: &App) -> Result<Known, Refused> {
    let mut checks: HashMap<(AgentId, String), Vec<CheckRow>> = HashMap::new();
    for check in app.store.checks(None, MAX_CHECKS).await? {
        checks.entry((check.agent.clone(), check.series.schedule.clone())).or_default().push(check);
    }
    Ok(Known {
        agents: app.store.agents(MAX_FLEET).await?.into_iter().map(|agent| (agent.id.clone(), agent)).collect(),
        heard: app.store.heard(None, MAX_FLEET).await?.into_iter().map(|heard| (heard.agent.clone(), heard)).collect(),
        checks,
        now: app.clock.now(),
    })
}

fn name_of(agent: &AgentRow) -> String {
    agent.host_name.clone().unwrap_or_else(|| agent.id.short().to_owned())
}

fn schedule(row: OrderRow, order: &Order, deliveries: Vec<DeliveryRow>, known: &Known) -> Schedule {
    let mut states: BTreeMap<bool, u32> = BTreeMap::new();
    for delivery in &deliveries {
        *states.entry(goes_on(delivery, &row, known.now)).or_default() += 1;
    }
    let open = states.contains_key(&true) && !row.cancelled;
    let state = match (row.cancelled, open) {
        (true, _) => ("cancelled", "off"),
        (_, true) => ("under way", "good"),
        _ => ("over", "off"),
    };
    let deep = order.deep.as_deref().and_then(|text| ProbeSet::parse("the order's deep set", text).ok()).map(|set| set.name);
    Schedule {
        id: row.id.to_string(),
        short: row.id.short().to_owned(),
        name: schedule_name(&row.id),
        state,
        open,
        targets: row.targets.join(", "),
        how: order.repeat.as_ref().map(|repeat| repeat.in_words()).unwrap_or_default(),
        deep,
        case: row.case.to_string(),
        requester: row.requester.clone(),
        submitted: shown::time(row.submitted),
        signers: row.signers.clone(),
        agents: deliveries.into_iter().map(|delivery| line(delivery, &row, order, known)).collect(),
        set: row.set,
    }
}

/// Whether anything may still come of it at this agent: it runs, or may still be taken.
fn goes_on(delivery: &DeliveryRow, row: &OrderRow, now: Timestamp) -> bool {
    delivery.state == DeliveryState::Running || !delivery.state.is_final() && row.expires > now
}

fn line(delivery: DeliveryRow, row: &OrderRow, order: &Order, known: &Known) -> Line {
    let life = order.repeat.as_ref().map(|repeat| repeat.life()).unwrap_or_default();
    let until = match delivery.state {
        // Its life counts from when the agent took it, in time that passed there: to the minute the same.
        DeliveryState::Running => shown::time(later(delivery.changed, life)),
        state if state.is_final() => format!("ended {}", shown::time(delivery.changed)),
        _ => format!("to be taken before {}", shown::time(row.expires)),
    };
    let key = (delivery.agent.clone(), schedule_name(&row.id));
    let checks = known.checks.get(&key).map(Vec::as_slice).unwrap_or_default();
    let is_twice = known.agents.get(&delivery.agent).is_some_and(|agent| agent.cloned);
    let is_silent = known.heard.get(&delivery.agent).is_some_and(|heard| is_silent(heard, known.now));
    let doubt = if is_twice { Some(shown::IDENTITY_TWICE) } else { is_silent.then_some("The agent is silent.") };
    let (health, note, since) = how(checks, doubt, delivery.state == DeliveryState::Running);
    Line {
        name: known.agents.get(&delivery.agent).map_or_else(|| delivery.agent.short().to_owned(), name_of),
        agent: delivery.agent.to_string(),
        delivery: shown::delivery_state(delivery.state),
        why: delivery.detail.or(delivery.code).unwrap_or_default(),
        until,
        last: checks.iter().filter_map(|check| check.measured).max().map_or_else(|| "none told".to_owned(), shown::second),
        health: shown::health(health),
        note,
        since: since.map(shown::time).unwrap_or_default(),
    }
}

/// The worst of the required checks, which of them it is, and since when. What nobody told of is unknown, and never good, and so is what
/// there is a reason to doubt.
fn how(checks: &[CheckRow], doubt: Option<&str>, runs: bool) -> (Health, String, Option<Timestamp>) {
    let required: Vec<&CheckRow> = checks.iter().filter(|check| check.series.required).collect();
    let counted: Vec<&CheckRow> = if required.is_empty() { checks.iter().collect() } else { required };
    let Some(worst) = counted.iter().map(|check| check.health).max() else {
        let note = if runs { "Nothing was told of it yet." } else { "" };
        return (Health::Unknown, note.to_owned(), None);
    };
    if let Some(doubt) = doubt {
        return (Health::Unknown, doubt.to_owned(), None);
    }
    let of_state: Vec<&&CheckRow> = counted.iter().filter(|check| check.health == worst).collect();
    let mut words: Vec<String> = of_state
        .iter()
        .map(|check| match check.series.target.as_deref() {
            Some(target) => format!("{} of {target}", check.series.check),
            None => check.series.check.clone(),
        })
        .collect();
    if worst == Health::Ok {
        words = vec![format!("all {} checks", counted.len())];
    }
    let since = of_state.iter().map(|check| check.since);
    (worst, words.join(", "), if worst == Health::Ok { since.max() } else { since.min() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;
    use netsonde_contract::history::Series;
    use netsonde_contract::kind::Kind;

    fn check(name: &str, health: Health, required: bool, since: i64) -> CheckRow {
        let series = Series { schedule: "order-1".into(), check: name.into(), kind: Kind::Tcp, target: None, required };
        CheckRow { agent: AgentId::new("a"), series, health, since: from_micros(since), measured: None, silenced: false }
    }

    #[test]
    fn what_nobody_told_of_is_unknown_and_a_supporting_check_decides_nothing() {
        assert_eq!(how(&[], None, true).0, Health::Unknown);
        let mixed = [
            check("a", Health::Ok, true, 1),
            check("b", Health::Failing, true, 7),
            check("c", Health::Failing, true, 5),
            check("d", Health::Failing, false, 2),
        ];
        assert_eq!(how(&mixed, None, true), (Health::Failing, "b, c".to_owned(), Some(from_micros(5))));
        assert_eq!(how(&mixed, Some("silent"), true).0, Health::Unknown, "a silent agent's states are old");
        let well = [check("a", Health::Ok, true, 1), check("b", Health::Ok, true, 3), check("c", Health::Failing, false, 9)];
        assert_eq!(how(&well, None, true), (Health::Ok, "all 2 checks".to_owned(), Some(from_micros(3))));
    }
}
