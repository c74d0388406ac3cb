//! The fleet's health: each agent's targets, the worst first. Where nothing is known, that is a state of its own, and never a good one.

use super::session::Engineer;
use super::{Frame, fleet, render, shown};
use crate::app::App;
use crate::health::is_silent;
use crate::limits::{MAX_FLEET, MAX_LISTED};
use crate::problem::Refused;
use crate::store::{AgentRow, CheckRow, HeardRow, WatchedState};
use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use netsonde_contract::history::Health;
use netsonde_contract::id::{AgentId, CaseId};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Checks that are read for one page: 20,000 agents with a schedule of five checks.
const MAX_CHECKS: u32 = 100_000;
/// Cases among which a row's own is looked for.
const MAX_CASES: u32 = 5_000;

#[derive(Template)]
#[template(path = "health.html")]
struct HealthPage {
    frame: Frame,
    /// How many targets are in each state, before the filter for the state.
    counts: Vec<Count>,
    lines: Vec<Line>,
    labels: String,
    cut: bool,
    /// Somebody is enrolled.
    any: bool,
    receivers: usize,
}

struct Count {
    name: &'static str,
    state: (&'static str, &'static str),
    count: usize,
    chosen: bool,
}

struct Line {
    agent: String,
    name: String,
    labels: String,
    subject: Option<(String, Option<String>)>,
    health: Health,
    state: (&'static str, &'static str),
    why: String,
    since: String,
    heard: String,
    silenced: bool,
    case: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    labels: String,
    #[serde(default)]
    state: String,
}

pub(super) async fn page(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    let now = app.clock.now();
    let agents = app.store.agents(MAX_FLEET).await?;
    let any = !agents.is_empty();
    let heard: HashMap<AgentId, HeardRow> =
        app.store.heard(None, MAX_FLEET).await?.into_iter().map(|heard| (heard.agent.clone(), heard)).collect();
    let mut checks: HashMap<AgentId, Vec<CheckRow>> = HashMap::new();
    for check in app.store.checks(None, MAX_CHECKS).await? {
        checks.entry(check.agent.clone()).or_default().push(check);
    }
    let cases = open_cases(&app).await?;
    let mut lines: Vec<Line> = Vec::new();
    for agent in agents.iter().filter(|agent| !agent.revoked && fits(agent, &wanted.labels)) {
        let checks = checks.remove(&agent.id).unwrap_or_default();
        lines.extend(lines_of(agent, heard.get(&agent.id), &checks, &cases, now));
    }
    let counts = Health::ALL.into_iter().rev().map(|health| Count {
        name: health.name(),
        state: shown::health(health),
        count: lines.iter().filter(|line| line.health == health).count(),
        chosen: wanted.state == health.name(),
    });
    let counts = counts.collect();
    lines.retain(|line| wanted.state.is_empty() || line.health.name() == wanted.state);
    lines.sort_by(|one, other| urgency(one).cmp(&urgency(other)).then_with(|| one.name.cmp(&other.name)));
    let cut = lines.len() > MAX_LISTED as usize;
    lines.truncate(MAX_LISTED as usize);
    let receivers = app.alerts.receivers.len();
    let page = HealthPage { frame: Frame::of(&engineer), counts, lines, labels: wanted.labels, cut, any, receivers };
    render(StatusCode::OK, &page)
}

/// What fails comes first, then what nobody knows.
fn urgency(line: &Line) -> (u8, bool) {
    let place = match line.health {
        Health::Failing => 0,
        Health::Unknown => 1,
        Health::Degraded => 2,
        Health::Ok => 3,
    };
    (place, line.silenced)
}

/// `site=oslo role=edge`: all must fit.
fn fits(agent: &AgentRow, wanted: &str) -> bool {
    let mut pairs = wanted.split([' ', ',']).filter(|word| !word.is_empty());
    pairs.all(|pair| match pair.split_once('=') {
        Some((name, value)) => agent.labels.get(name).is_some_and(|given| given == value),
        None => agent.labels.contains_key(pair),
    })
}

/// Which case is open for an agent's schedule and target.
type Cases = HashMap<(AgentId, String, Option<String>), CaseId>;

async fn open_cases(app: &App) -> Result<Cases, Refused> {
    let watched = app.store.cases(MAX_CASES).await?.into_iter().filter_map(|case| case.watched);
    let open = watched.filter(|watched| watched.state != WatchedState::Closed);
    Ok(open.map(|watched| ((watched.agent, watched.schedule, watched.target), watched.case)).collect())
}

fn lines_of(agent: &AgentRow, heard: Option<&HeardRow>, checks: &[CheckRow], cases: &Cases, now: Timestamp) -> Vec<Line> {
    let silent = heard.filter(|heard| is_silent(heard, now));
    let line = |health, why: String, since: Option<Timestamp>| Line {
        agent: agent.id.to_string(),
        name: agent.host_name.clone().unwrap_or_else(|| agent.id.short().to_owned()),
        labels: fleet::labels(&agent.labels),
        subject: None,
        health,
        state: shown::health(health),
        why,
        since: since.map_or_else(|| "never".to_owned(), shown::time),
        heard: heard.map_or_else(|| "never".to_owned(), |heard| shown::time(heard.reported)),
        silenced: false,
        case: None,
    };
    if checks.is_empty() {
        let why = match heard {
            None => "It has told nothing of its checks yet.",
            Some(_) => "It measures nothing by itself.",
        };
        return vec![line(Health::Unknown, why.to_owned(), None)];
    }
    let mut targets: BTreeMap<(&str, Option<&str>), Vec<&CheckRow>> = BTreeMap::new();
    for check in checks {
        targets.entry((&check.series.schedule, check.series.target.as_deref())).or_default().push(check);
    }
    let lines = targets.into_iter().map(|((schedule, target), checks)| {
        let required: Vec<&CheckRow> = checks.iter().copied().filter(|check| check.series.required).collect();
        let counted = if required.is_empty() { &checks } else { &required };
        let health = match silent {
            _ if agent.cloned => Health::Unknown,
            Some(_) => Health::Unknown,
            None => counted.iter().map(|check| check.health).max().unwrap_or_default(),
        };
        let of_state: Vec<&str> =
            counted.iter().filter(|check| check.health == health).map(|check| check.series.check.as_str()).collect();
        let (why, since) = match silent {
            _ if agent.cloned => (shown::IDENTITY_TWICE.to_owned(), None),
            Some(heard) => ("The agent is silent.".to_owned(), Some(heard.silent_after)),
            None if health == Health::Ok => (every(counted.len()), newest(counted, health)),
            None => (of_state.join(", "), newest(counted, health)),
        };
        let key = (agent.id.clone(), schedule.to_owned(), target.map(str::to_owned));
        Line {
            case: cases.get(&key).map(ToString::to_string),
            subject: Some((schedule.to_owned(), target.map(str::to_owned))),
            silenced: counted.iter().any(|check| check.silenced),
            ..line(health, why, since)
        }
    });
    lines.collect()
}

fn every(checks: usize) -> String {
    if checks == 1 { "its one check".to_owned() } else { format!("all {checks} checks") }
}

/// Since when the target is in that state: since the first of its checks that are. What is well is so since the last became so.
fn newest(checks: &[&CheckRow], health: Health) -> Option<Timestamp> {
    let mut since = checks.iter().filter(|check| check.health == health).map(|check| check.since);
    if health == Health::Ok { since.max() } else { since.by_ref().min() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;
    use netsonde_contract::api::fleet::{CheckIn, PolicySummary};
    use netsonde_contract::history::Series;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::order::Epoch;

    fn agent() -> AgentRow {
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key();
        AgentRow {
            id: AgentId::of(&key),
            bundle_key: key,
            transport_key: key,
            number: 1,
            introduction: Vec::new(),
            host_name: Some("vm1".into()),
            labels: [("site".to_owned(), "oslo".to_owned())].into(),
            enrolled: from_micros(0),
            last_seen: None,
            check_in: CheckIn {
                epoch: Epoch::from_bytes([1; 16]),
                version: String::new(),
                platform: String::new(),
                policy: PolicySummary { remote: String::new(), paused: false, sha256: None },
                kinds: Vec::new(),
                instance: String::new(),
                protocol: Default::default(),
                link: None,
            },
            link: None,
            link_before: None,
            cloned: false,
            revoked: false,
            replaced: None,
        }
    }

    fn check(name: &str, health: Health, required: bool) -> CheckRow {
        let series = Series { schedule: "s".into(), check: name.into(), kind: Kind::Tcp, target: None, required };
        CheckRow { agent: agent().id, series, health, since: from_micros(5), measured: None, silenced: false }
    }

    fn told(silent_after: i64) -> HeardRow {
        HeardRow { agent: agent().id, reported: from_micros(1), silent_after: from_micros(silent_after) }
    }

    #[test]
    fn nothing_known_is_never_well() {
        let states = |heard: Option<&HeardRow>, checks: &[CheckRow]| -> Vec<Health> {
            lines_of(&agent(), heard, checks, &Cases::new(), from_micros(100)).iter().map(|line| line.health).collect()
        };
        let well = [check("a", Health::Ok, true)];
        assert_eq!(states(None, &[]), [Health::Unknown]);
        assert_eq!(states(Some(&told(101)), &[]), [Health::Unknown]);
        assert_eq!(states(Some(&told(101)), &well), [Health::Ok]);
        assert_eq!(states(Some(&told(100)), &well), [Health::Unknown], "its silence need not have been noticed");
        let cloned = AgentRow { cloned: true, ..agent() };
        let lines = lines_of(&cloned, Some(&told(101)), &well, &Cases::new(), from_micros(100));
        assert!(
            lines.len() == 1 && lines[0].health == Health::Unknown && lines[0].why.contains("identity"),
            "whose word it is, nobody knows"
        );
        let mixed = [check("a", Health::Ok, true), check("b", Health::Failing, false), check("c", Health::Unknown, true)];
        assert_eq!(states(Some(&told(101)), &mixed), [Health::Unknown], "supporting checks do not count");
    }

    #[test]
    fn all_labels_of_a_filter_must_fit() {
        for (wanted, expected) in
            [("", true), ("site=oslo", true), ("site", true), ("site=rome", false), ("site=oslo,role=x", false)]
        {
            assert_eq!(fits(&agent(), wanted), expected, "{wanted}");
        }
    }
}
