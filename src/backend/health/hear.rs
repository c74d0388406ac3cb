use crate::app::App;
use crate::fleet::{FromAgent, check_single, unknown_agent};
use crate::problem::Refused;
use crate::store::ReportRow;
use netsonde_contract::api::health::{HealthHeard, HealthReport, LONGEST_SILENCE_SECONDS, MAX_CHANGES, MAX_CHECKS, MAX_PARTIAL};
use netsonde_contract::bundle::Scheduled;
use netsonde_contract::harmless::clean;
use netsonde_contract::history::Series;

/// Names of schedules and checks are words; targets are URLs at most.
const MAX_NAME_CHARS: usize = 128;
const MAX_TARGET_CHARS: usize = 512;
/// A change in words.
const MAX_SENTENCE_CHARS: usize = 1024;
const SHORTEST_SILENCE_SECONDS: u32 = 10;

/// `POST /v1/agents/self/health`: keeps what the agent tells, and says up to where.
pub(crate) async fn hear(app: &App, from: FromAgent) -> Result<HealthHeard, Refused> {
    check_single(from.agent.standing)?;
    let mut report: HealthReport = from.json()?;
    check(&report)?;
    for check in &mut report.checks {
        tidy_series(&mut check.series);
    }
    for name in report.partial.iter_mut().flatten() {
        *name = short(name, MAX_NAME_CHARS);
    }
    for told in &mut report.changes {
        tidy_series(&mut told.change.series);
        told.change.sentence = short(&told.change.sentence, MAX_SENTENCE_CHARS);
    }
    let received = app.clock.now();
    let known = app.store.agent(from.agent.id.as_str()).await?.ok_or_else(unknown_agent)?;
    let row = ReportRow {
        agent: from.agent.id,
        host_name: known.host_name.map(|name| short(&name, MAX_NAME_CHARS)),
        labels: known.labels,
        report,
        received,
        url: app.place.url.clone(),
    };
    let heard = app.store.hear(&row, &app.alerts.channels).await?;
    Ok(HealthHeard { heard, server_time: received })
}

/// # Errors
/// Where the report is beyond its bounds, or its changes have no order.
fn check(report: &HealthReport) -> Result<(), Refused> {
    if report.checks.len() > MAX_CHECKS || report.changes.len() > MAX_CHANGES {
        return Err(Refused::malformed(format!("A report has {MAX_CHECKS} checks and {MAX_CHANGES} changes at most."))
            .next_step("Tell the oldest changes first and the rest with the next report."));
    }
    if report.partial.as_ref().is_some_and(|names| names.len() > MAX_PARTIAL) {
        return Err(Refused::malformed(format!("A report names {MAX_PARTIAL} schedules at most of which checks are missing.")));
    }
    if !(SHORTEST_SILENCE_SECONDS..=LONGEST_SILENCE_SECONDS).contains(&report.next_within_seconds) {
        return Err(Refused::malformed(format!(
            "The next report must come within {SHORTEST_SILENCE_SECONDS} to {LONGEST_SILENCE_SECONDS} seconds."
        )));
    }
    let ascending = report.changes.is_sorted_by(|one, next| one.number < next.number);
    let counted = report.changes.iter().all(|change| change.number > 0 && i64::try_from(change.number).is_ok());
    if ascending && counted {
        return Ok(());
    }
    Err(Refused::malformed("Changes are numbered from 1 and told in their order."))
}

/// What agents call things goes into pages, mails and the log.
fn tidy_series(series: &mut Series) {
    series.schedule = short(&series.schedule, MAX_NAME_CHARS);
    series.check = short(&series.check, MAX_NAME_CHARS);
    series.target = series.target.as_deref().map(|target| short(target, MAX_TARGET_CHARS)).filter(|target| !target.is_empty());
}

/// A schedule's bundle is told by the same names as its checks.
pub(crate) fn tidy(scheduled: &Scheduled) -> Scheduled {
    let target = scheduled.target.as_deref().map(|target| short(target, MAX_TARGET_CHARS)).filter(|target| !target.is_empty());
    Scheduled { schedule: short(&scheduled.schedule, MAX_NAME_CHARS), why: scheduled.why, target }
}

fn short(text: &str, chars: usize) -> String {
    clean(text).chars().take(chars).collect()
}
