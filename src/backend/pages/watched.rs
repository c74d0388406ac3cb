//! What a case that was opened by itself watches: its states over time, and what changed.

use super::session::Engineer;
use super::shown;
use crate::api::unknown_case;
use crate::app::App;
use crate::body::Form;
use crate::clock::earlier;
use crate::health::is_silent;
use crate::problem::Refused;
use crate::store::{BundleRow, CheckRow, TimedChange, WatchedRow, WatchedState, What};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Redirect;
use jiff::Timestamp;
use netsonde_contract::api::path;
use netsonde_contract::history::{Changed, Health};
use netsonde_contract::id::CaseId;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// Changes that one page shows; a check that comes and goes every minute has so many in two hours.
const MAX_CHANGES: u32 = 200;
/// Before the case was opened, so that what led to it is seen.
const LEAD: Duration = Duration::from_secs(6 * 3600);
/// Before the first change that is shown, at least.
const MARGIN: Duration = Duration::from_secs(60);
/// The drawing's own width; a page stretches it.
const WIDTH: f64 = 1000.0;
const HEIGHT: u32 = 24;

#[derive(Template)]
#[template(path = "watched.html")]
pub(super) struct Watched {
    case: String,
    pub(super) state: (&'static str, &'static str),
    open: bool,
    since: String,
    failures: u32,
    agent: String,
    agent_short: String,
    agent_name: String,
    schedule: String,
    target: Option<String>,
    /// Nothing is known since then.
    silent: Option<String>,
    /// Two machines have the agent's identity: since when nothing is known.
    twice: Option<String>,
    bars: Vec<Bar>,
    from: String,
    until: String,
    changes: Vec<Line>,
    cut: bool,
    form_token: String,
}

/// How one check was, from left to right.
struct Bar {
    check: String,
    required: bool,
    now: (&'static str, &'static str),
    /// The same in words.
    words: String,
    segments: Vec<Segment>,
}

struct Segment {
    x: String,
    width: String,
    /// A worse state stands higher, so that colour is not all that tells it.
    y: u32,
    height: u32,
    class: &'static str,
    title: String,
}

struct Line {
    at: String,
    class: &'static str,
    what: String,
    words: String,
    silenced: bool,
    bundle: Option<(String, String)>,
}

/// What the page of `case` shows of it.
pub(super) async fn read(app: &App, case: &WatchedRow, bundles: &[BundleRow], engineer: &Engineer) -> Result<Watched, Refused> {
    let now = app.clock.now();
    let until = if case.state == WatchedState::Closed { case.since } else { now };
    let changes = app.store.changes(case, earlier(case.opened, LEAD), MAX_CHANGES).await?;
    let first = changes.last().map_or(case.opened, |change| change.at.min(case.opened));
    // What happened fills most of the drawing.
    let from = earlier(first, (Duration::try_from(until.duration_since(first)).unwrap_or_default() / 4).max(MARGIN));
    let agent = app.store.agent(case.agent.as_str()).await?;
    let heard = app.store.heard(Some(&case.agent), 1).await?;
    let silent = heard.iter().find(|heard| is_silent(heard, now)).map(|heard| heard.silent_after);
    let is_open = case.state != WatchedState::Closed;
    // Neither machine is heard any more, and which of them was until then, nobody knows.
    let is_twice = is_open && agent.as_ref().is_some_and(|agent| agent.cloned);
    let twice = is_twice.then(|| heard.first().map_or(case.since, |heard| heard.reported));
    let unknown = twice.or(silent);
    let checks = app.store.checks(Some(&case.agent), crate::limits::MAX_LISTED).await?;
    let own = |check: &&CheckRow| check.series.schedule == case.schedule && check.series.target == case.target;
    let name = agent.and_then(|agent| agent.host_name);
    Ok(Watched {
        case: case.case.to_string(),
        state: if is_twice { shown::health(Health::Unknown) } else { shown::watched_state(case.state) },
        open: is_open,
        since: shown::time(case.since),
        failures: case.failures,
        agent: case.agent.to_string(),
        agent_short: case.agent.short().to_owned(),
        agent_name: name.unwrap_or_else(|| case.agent.short().to_owned()),
        schedule: case.schedule.clone(),
        target: case.target.clone(),
        silent: silent.filter(|_| !is_twice).map(shown::time),
        twice: twice.map(shown::time),
        bars: checks.iter().filter(own).map(|check| bar(check, &changes, (from, until), unknown)).collect(),
        from: shown::time(from),
        until: shown::time(until),
        cut: changes.len() >= MAX_CHANGES as usize,
        changes: changes.iter().map(|change| line(change, case, bundles)).collect(),
        form_token: engineer.form_token.clone(),
    })
}

fn line(change: &TimedChange, case: &WatchedRow, bundles: &[BundleRow]) -> Line {
    let (class, what, words, silenced) = match &change.what {
        What::Silent => ("unsure", "silent".to_owned(), "The agent is silent; nothing is known of its checks.".to_owned(), false),
        What::Heard => ("off", "heard".to_owned(), "The agent is heard again.".to_owned(), false),
        What::Check(change) => {
            let class = match change.what {
                Changed::Health { to, .. } => shown::health(to).1,
                _ => "off",
            };
            (class, changed(change.what), format!("{}: {}", change.series.check, change.sentence), change.silenced)
        }
    };
    let bundle = change.bundle.as_ref().filter(|id| bundles.iter().any(|row| row.id == **id));
    let bundle = bundle.map(|id| (format!("{}?bundle={id}", path::case_page(&case.case)), id.short().to_owned()));
    Line { at: shown::second(change.at), class, what, words, silenced, bundle }
}

fn changed(what: Changed) -> String {
    match what {
        Changed::Health { to, .. } => to.name().to_owned(),
        Changed::NewPath => "new path".to_owned(),
        Changed::NewChain => "new certificates".to_owned(),
        Changed::Expiry { days } => format!("expires in {days} days"),
        Changed::Rtt { .. } => "another round-trip time".to_owned(),
    }
}

/// The states of a check between two moments. Where the agent was silent, and since `unknown`, nothing is known, whatever it said before.
fn bar(check: &CheckRow, changes: &[TimedChange], (from, until): (Timestamp, Timestamp), unknown: Option<Timestamp>) -> Bar {
    let now = if unknown.is_some() { Health::Unknown } else { check.health };
    let steps = steps(check, changes, from, unknown);
    let span = (until.as_microsecond() - from.as_microsecond()).max(1) as f64;
    let place = |at: Timestamp| (at.as_microsecond() - from.as_microsecond()) as f64 / span * WIDTH;
    let mut segments = Vec::new();
    let mut words = Vec::new();
    for (index, (at, health)) in steps.iter().enumerate() {
        let end = steps.get(index + 1).map_or(until, |(next, _)| *next).min(until);
        let begin = (*at).max(from);
        if begin >= end {
            continue;
        }
        let height = match health {
            Health::Ok => 6,
            Health::Unknown => 11,
            Health::Degraded => 16,
            Health::Failing => HEIGHT,
        };
        let title = format!("{} from {} until {}", health.name(), shown::second(begin), shown::second(end));
        segments.push(Segment {
            x: format!("{:.1}", place(begin)),
            // What lasted a moment is still seen.
            width: format!("{:.1}", (place(end) - place(begin)).max(1.5)),
            y: HEIGHT - height,
            height,
            class: shown::health(*health).1,
            title: title.clone(),
        });
        words.push(title);
    }
    Bar {
        check: check.series.check.clone(),
        required: check.series.required,
        now: shown::health(now),
        words: format!("{}: {}", check.series.check, words.join(", ")),
        segments,
    }
}

/// From when on the check was in which state, the oldest first.
fn steps(check: &CheckRow, changes: &[TimedChange], from: Timestamp, unknown: Option<Timestamp>) -> Vec<(Timestamp, Health)> {
    let mut steps: Vec<(Timestamp, Health)> = Vec::new();
    // As the agent says, without regard to its silence.
    let mut said = None;
    for change in changes.iter().rev() {
        match &change.what {
            What::Silent => steps.push((change.at, Health::Unknown)),
            What::Heard => steps.push((change.at, said.unwrap_or(check.health))),
            What::Check(of) if of.series.check == check.series.check => {
                let Changed::Health { from: before, to } = of.what else { continue };
                if steps.is_empty() {
                    steps.push((from, before));
                }
                said = Some(to);
                steps.push((change.at, to));
            }
            What::Check(_) => {}
        }
    }
    if steps.first().is_none_or(|(at, _)| *at > from) {
        let before = if said.is_none() && check.since <= from { check.health } else { Health::Unknown };
        steps.insert(0, (from, before));
    }
    if said.is_none() && check.since > from {
        steps.push((check.since, check.health));
    }
    steps.sort_by_key(|(at, _)| *at);
    steps.extend(unknown.map(|at| (at, Health::Unknown)));
    steps
}

#[derive(Deserialize)]
pub(super) struct Close {
    form_token: String,
}

/// An engineer has seen what there is to see.
pub(super) async fn close(
    engineer: Engineer,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Form(form): Form<Close>,
) -> Result<Redirect, Refused> {
    engineer.check_form(&form.form_token)?;
    let id = CaseId::parse(&id).ok_or_else(unknown_case)?;
    app.store.watched(&id).await?.ok_or_else(unknown_case)?;
    app.store.close_watched(&id, app.clock.now()).await?;
    Ok(Redirect::to(&path::case_page(&id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;
    use netsonde_contract::history::{Change, Series};
    use netsonde_contract::id::AgentId;
    use netsonde_contract::kind::Kind;

    fn at(seconds: i64) -> Timestamp {
        from_micros(seconds * 1_000_000)
    }

    fn series() -> Series {
        Series { schedule: "s".into(), check: "c".into(), kind: Kind::Tcp, target: None, required: true }
    }

    fn change(seconds: i64, what: What) -> TimedChange {
        TimedChange { at: at(seconds), kept: at(seconds), what, bundle: None }
    }

    fn turned(seconds: i64, from: Health, to: Health) -> TimedChange {
        let what = Changed::Health { from, to };
        let change_of =
            Change { at: at(seconds), began: at(seconds), series: series(), what, sentence: String::new(), silenced: false };
        change(seconds, What::Check(Box::new(change_of)))
    }

    fn states(health: Health, since: i64, changes: &[TimedChange], silent: Option<i64>) -> Vec<(i64, Health)> {
        let check =
            CheckRow { agent: AgentId::new("a"), series: series(), health, since: at(since), measured: None, silenced: false };
        let steps = steps(&check, changes, at(100), silent.map(at));
        steps.into_iter().map(|(at, health)| (at.as_second(), health)).collect()
    }

    #[test]
    fn a_silent_agents_checks_are_unknown_until_it_is_heard() {
        let changes = [
            turned(400, Health::Failing, Health::Ok),
            change(300, What::Heard),
            change(200, What::Silent),
            turned(150, Health::Ok, Health::Failing),
        ];
        let expected = [
            (100, Health::Ok),
            (150, Health::Failing),
            (200, Health::Unknown),
            (300, Health::Failing),
            (400, Health::Ok),
            (500, Health::Unknown),
        ];
        assert_eq!(states(Health::Ok, 400, &changes, Some(500)), expected);
    }

    #[test]
    fn before_the_first_word_of_a_check_nothing_is_known() {
        assert_eq!(states(Health::Ok, 50, &[], None), [(100, Health::Ok)]);
        assert_eq!(states(Health::Ok, 130, &[], None), [(100, Health::Unknown), (130, Health::Ok)]);
    }
}
