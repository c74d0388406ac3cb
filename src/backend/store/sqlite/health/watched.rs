//! Cases that are opened by themselves, one that is open for each agent, schedule and target.

use super::super::audit::{self, About, Deed};
use super::super::{Sqlite, column};
use crate::store::{PlaceOf, WatchedRow, WatchedState};
use jiff::Timestamp;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::id::{AgentId, BundleId, CaseId};
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

/// Of one case in one hour: enough to see that it comes and goes, and no more of it.
const TOLD_AN_HOUR: u32 = 6;
const HOUR_MICROS: i64 = 3_600_000_000;

const FIND: &str = "SELECT case_id, agent_id, schedule, target, opened AS watched_from, state AS watched_state, since, failures FROM health_cases";

/// What a case is opened for. No target is the empty text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subject {
    pub(super) agent: AgentId,
    pub(super) schedule: String,
    pub(super) target: String,
}

impl Subject {
    /// Short enough to be read out, and another one each time that a case is opened.
    fn case(&self, opened: Timestamp) -> CaseId {
        let mut digest = Sha256::new();
        for part in [self.agent.as_str(), &self.schedule, &self.target] {
            digest = digest.chain_update(part).chain_update([0]);
        }
        let digest = digest.chain_update(opened.as_microsecond().to_be_bytes()).finalize();
        CaseId::new(format!("auto-{}", hexadecimal(&digest[..6])))
    }
}

/// How a failure found its case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// For the first time.
    Opened,
    Again,
    /// It was failing already.
    Joined,
}

pub(super) async fn get(store: &Sqlite, case: &CaseId) -> sqlx::Result<Option<WatchedRow>> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{FIND} WHERE case_id = ?")))
        .bind(case.as_str())
        .fetch_optional(&store.reader)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The one that is open.
pub(super) async fn open_case(connection: &mut SqliteConnection, subject: &Subject) -> sqlx::Result<Option<WatchedRow>> {
    let find = format!("{FIND} WHERE agent_id = ? AND schedule = ? AND target = ? AND state <> 'closed'");
    let row = sqlx::query(sqlx::AssertSqlSafe(find))
        .bind(subject.agent.as_str())
        .bind(&subject.schedule)
        .bind(&subject.target)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The last one that an engineer closed, and when.
pub(super) async fn last_closed(
    connection: &mut SqliteConnection,
    subject: &Subject,
) -> sqlx::Result<Option<(CaseId, Timestamp)>> {
    let row = sqlx::query(
        "SELECT case_id, since FROM health_cases
         WHERE agent_id = ? AND schedule = ? AND target = ? AND state = 'closed' ORDER BY since DESC LIMIT 1",
    )
    .bind(subject.agent.as_str())
    .bind(&subject.schedule)
    .bind(&subject.target)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((CaseId::new(row.try_get::<String, _>("case_id")?), column::time(&row, "since")?))).transpose()
}

/// Opens the subject's case, or says in the open one that it fails.
pub(super) async fn fails(
    connection: &mut SqliteConnection,
    subject: &Subject,
    at: Timestamp,
    now: Timestamp,
) -> sqlx::Result<(CaseId, Found)> {
    let Some(open) = open_case(connection, subject).await? else {
        let case = open(connection, subject, WatchedState::Failing, at, now).await?;
        return Ok((case, Found::Opened));
    };
    if open.state == WatchedState::Failing {
        return Ok((open.case, Found::Joined));
    }
    turn(connection, &open.case, WatchedState::Failing, at, now).await?;
    sqlx::query("UPDATE health_cases SET failures = failures + 1 WHERE case_id = ?")
        .bind(open.case.as_str())
        .execute(connection)
        .await?;
    Ok((open.case, if open.failures == 0 { Found::Opened } else { Found::Again }))
}

/// What fails in cases of the agent, by the cases that are open.
pub(super) async fn failing(connection: &mut SqliteConnection, agent: &AgentId) -> sqlx::Result<Vec<Subject>> {
    let find = "SELECT schedule, target FROM health_cases WHERE agent_id = ? AND state = 'failing'";
    let found: Vec<(String, String)> = sqlx::query_as(find).bind(agent.as_str()).fetch_all(connection).await?;
    Ok(found.into_iter().map(|(schedule, target)| Subject { agent: agent.clone(), schedule, target }).collect())
}

/// Where the subject's open case fails, nobody measures it any more. The case, where there is one.
pub(super) async fn removed(
    connection: &mut SqliteConnection,
    subject: &Subject,
    now: Timestamp,
) -> sqlx::Result<Option<CaseId>> {
    let open = open_case(connection, subject).await?.filter(|open| open.state == WatchedState::Failing);
    if let Some(open) = &open {
        turn(connection, &open.case, WatchedState::Removed, now, now).await?;
    }
    Ok(open.map(|open| open.case))
}

/// Where the subject's open case fails, or its subject was measured no more, it is well again. The case that recovered.
pub(super) async fn recovers(
    connection: &mut SqliteConnection,
    subject: &Subject,
    at: Timestamp,
    now: Timestamp,
) -> sqlx::Result<Option<CaseId>> {
    let is_to = |open: &WatchedRow| matches!(open.state, WatchedState::Failing | WatchedState::Removed);
    let open = open_case(connection, subject).await?.filter(is_to);
    if let Some(open) = &open {
        turn(connection, &open.case, WatchedState::Recovered, at, now).await?;
    }
    Ok(open.map(|open| open.case))
}

/// Counts one more alert of the case. False where it has had its share of this hour.
pub(super) async fn may_tell(connection: &mut SqliteConnection, case: &CaseId, now: Timestamp) -> sqlx::Result<bool> {
    let told: u32 = sqlx::query_scalar(
        "UPDATE health_cases SET told = CASE WHEN told_since > ?2 - ?3 THEN told + 1 ELSE 1 END,
             told_since = CASE WHEN told_since > ?2 - ?3 THEN told_since ELSE ?2 END
         WHERE case_id = ?1 RETURNING told",
    )
    .bind(case.as_str())
    .bind(now.as_microsecond())
    .bind(HOUR_MICROS)
    .fetch_one(connection)
    .await?;
    Ok(told <= TOLD_AN_HOUR)
}

/// Open cases of an agent that this one has replaced are this one's.
pub(super) async fn inherit(connection: &mut SqliteConnection, agent: &AgentId) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE OR IGNORE health_cases SET agent_id = ?1
         WHERE state <> 'closed' AND agent_id IN (SELECT id FROM agents WHERE replaced_by = ?1)",
    )
    .bind(agent.as_str())
    .execute(connection)
    .await
    .map(drop)
}

pub(super) async fn close(store: &Sqlite, case: &CaseId, now: Timestamp) -> sqlx::Result<bool> {
    let mut transaction = store.begin().await?;
    const CLOSE: &str =
        "UPDATE health_cases SET state = 'closed', since = ?2 WHERE case_id = ?1 AND state <> 'closed' RETURNING agent_id";
    let closed: Option<String> =
        sqlx::query_scalar(CLOSE).bind(case.as_str()).bind(now.as_microsecond()).fetch_optional(&mut *transaction).await?;
    if let Some(agent) = &closed {
        let about = About::One(agent);
        let deed = Deed { actor: "engineer", action: "case.closed", subject: case.as_str(), detail: "", about };
        audit::append(&mut transaction, now, deed).await?;
    }
    transaction.commit().await?;
    Ok(closed.is_some())
}

/// The case of the change that the bundle was made for; else the one that is open; else the one that was closed after the run; else a new one.
pub(super) async fn place_of(store: &Sqlite, bundle: &PlaceOf) -> sqlx::Result<CaseId> {
    let subject = Subject {
        agent: bundle.agent.clone(),
        schedule: bundle.scheduled.schedule.clone(),
        target: bundle.scheduled.target.clone().unwrap_or_default(),
    };
    let mut transaction = store.begin().await?;
    inherit(&mut transaction, &bundle.agent).await?;
    if let Some(case) = told_case(&mut transaction, &bundle.agent, &bundle.bundle).await? {
        return Ok(case);
    }
    if let Some(open) = open_case(&mut transaction, &subject).await? {
        return Ok(open.case);
    }
    if let Some((case, closed)) = last_closed(&mut transaction, &subject).await?
        && bundle.measured <= closed
    {
        return Ok(case);
    }
    // Whether it fails is for the agent's report to say: whoever is told of it is told then.
    let case = open(&mut transaction, &subject, WatchedState::Collecting, bundle.now, bundle.now).await?;
    transaction.commit().await?;
    Ok(case)
}

async fn told_case(connection: &mut SqliteConnection, agent: &AgentId, bundle: &BundleId) -> sqlx::Result<Option<CaseId>> {
    let case: Option<String> = sqlx::query_scalar(
        "SELECT case_id FROM health_changes WHERE bundle_id = ? AND agent_id = ? AND case_id IS NOT NULL LIMIT 1",
    )
    .bind(bundle.as_str())
    .bind(agent.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(case.map(CaseId::new))
}

async fn open(
    connection: &mut SqliteConnection,
    subject: &Subject,
    state: WatchedState,
    at: Timestamp,
    now: Timestamp,
) -> sqlx::Result<CaseId> {
    let case = subject.case(now);
    sqlx::query("INSERT INTO cases (id, opened, updated) VALUES (?1, ?2, ?2)")
        .bind(case.as_str())
        .bind(now.as_microsecond())
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO health_cases (case_id, agent_id, schedule, target, opened, state, since, failures) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(case.as_str())
        .bind(subject.agent.as_str())
        .bind(&subject.schedule)
        .bind(&subject.target)
        .bind(now.as_microsecond())
        .bind(state.name())
        .bind(at.as_microsecond())
        .bind(u32::from(state == WatchedState::Failing))
        .execute(&mut *connection)
        .await?;
    let detail = format!("agent {}, schedule {}, {}", subject.agent.short(), subject.schedule, state.name());
    let about = About::One(subject.agent.as_str());
    let deed = Deed { actor: "backend", action: "case.opened", subject: case.as_str(), detail: &detail, about };
    audit::append(connection, now, deed).await?;
    Ok(case)
}

async fn turn(
    connection: &mut SqliteConnection,
    case: &CaseId,
    state: WatchedState,
    at: Timestamp,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE health_cases SET state = ?2, since = ?3 WHERE case_id = ?1")
        .bind(case.as_str())
        .bind(state.name())
        .bind(at.as_microsecond())
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE cases SET updated = max(updated, ?2) WHERE id = ?1")
        .bind(case.as_str())
        .bind(now.as_microsecond())
        .execute(connection)
        .await
        .map(drop)
}

fn read(row: &SqliteRow) -> sqlx::Result<WatchedRow> {
    let name: &str = row.try_get("watched_state")?;
    let state = WatchedState::ALL.into_iter().find(|state| state.name() == name);
    let target: String = row.try_get("target")?;
    Ok(WatchedRow {
        case: CaseId::new(row.try_get::<String, _>("case_id")?),
        agent: AgentId::new(row.try_get::<String, _>("agent_id")?),
        schedule: row.try_get("schedule")?,
        target: Some(target).filter(|target| !target.is_empty()),
        opened: column::time(row, "watched_from")?,
        state: state.ok_or_else(|| column::unreadable("state", std::io::Error::other(format!("no state is called {name}"))))?,
        since: column::time(row, "since")?,
        failures: row.try_get("failures")?,
    })
}

/// The same of a row that may be another case's.
pub(in super::super) fn read_if_any(row: &SqliteRow) -> sqlx::Result<Option<WatchedRow>> {
    let case: Option<String> = row.try_get("case_id")?;
    case.map(|_| read(row)).transpose()
}
