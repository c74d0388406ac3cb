//! One report of an agent's, as one transaction.

use super::super::{Sqlite, column};
use super::told::Teller;
use super::watched::{self, Found, Subject};
use super::{seen, silence};
use crate::clock::later;
use crate::store::{Channel, CheckRow, ReportRow};
use jiff::Timestamp;
use netsonde_contract::api::alert::event;
use netsonde_contract::api::health::{MAX_CHECKS, NumberedChange};
use netsonde_contract::history::{Change, Changed, Health, Series};
use netsonde_contract::id::CaseId;
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Changes that are kept of one agent: of a check that comes and goes once a minute, three days.
const MAX_KEPT: u32 = 5_000;
/// Checks that are kept of one agent, those included that its report has no room for: whoever calls them by other names each time fills no database.
const MAX_KNOWN: usize = 2 * MAX_CHECKS;

pub(super) async fn hear(store: &Sqlite, row: &ReportRow, channels: &[Channel]) -> sqlx::Result<u64> {
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    watched::inherit(connection, &row.agent).await?;
    let before: Option<(i64, bool)> = sqlx::query_as("SELECT heard, silent FROM health_reports WHERE agent_id = ?")
        .bind(row.agent.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let (heard, was_silent) = before.unwrap_or_default();
    let heard = u64::try_from(heard).unwrap_or_default();
    let mut hearing = Hearing::begin(connection, row, heard, channels).await?;
    if was_silent {
        hearing.speaks_again(connection).await?;
    }
    for change in row.report.changes.iter().filter(|change| change.number > heard) {
        hearing.change(connection, change).await?;
    }
    hearing.states(connection).await?;
    let heard = row.report.changes.iter().map(|change| change.number).max().unwrap_or(0).max(heard);
    let next = Duration::from_secs(u64::from(row.report.next_within_seconds) * 2);
    sqlx::query(
        "INSERT INTO health_reports (agent_id, heard, reported, silent_after) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (agent_id) DO UPDATE SET heard = ?2, reported = ?3, silent_after = ?4, silent = 0",
    )
    .bind(row.agent.as_str())
    .bind(column::to_signed(heard)?)
    .bind(row.received.as_microsecond())
    .bind(later(row.received, next).as_microsecond())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM health_changes WHERE agent_id = ?1
           AND id <= (SELECT id FROM health_changes WHERE agent_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )
    .bind(row.agent.as_str())
    .bind(MAX_KEPT)
    .execute(connection)
    .await?;
    transaction.commit().await?;
    Ok(heard)
}

/// A report on its way into the database, with how the required checks are at this point of it.
struct Hearing<'a> {
    row: &'a ReportRow,
    /// Changes up to this number were told before.
    heard: u64,
    teller: Teller<'a>,
    required: BTreeMap<Subject, BTreeMap<String, Health>>,
    /// As the last report left them.
    stored: Vec<CheckRow>,
}

impl<'a> Hearing<'a> {
    async fn begin(
        connection: &mut SqliteConnection,
        row: &'a ReportRow,
        heard: u64,
        channels: &'a [Channel],
    ) -> sqlx::Result<Self> {
        let teller = Teller {
            agent: &row.agent,
            host_name: row.host_name.as_deref(),
            labels: &row.labels,
            url: &row.url,
            channels,
            now: row.received,
        };
        let stored = seen::checks_of(connection, &row.agent).await?;
        let mut hearing = Self { row, heard, teller, required: BTreeMap::new(), stored: Vec::new() };
        for check in &stored {
            hearing.put(&check.series, check.health);
        }
        Ok(Self { stored, ..hearing })
    }

    fn subject(&self, series: &Series) -> Subject {
        let target = series.target.clone().unwrap_or_default();
        Subject { agent: self.row.agent.clone(), schedule: series.schedule.clone(), target }
    }

    /// The state of a target rests on its required checks alone.
    fn put(&mut self, series: &Series, health: Health) {
        if series.required {
            self.required.entry(self.subject(series)).or_default().insert(series.check.clone(), health);
        }
    }

    fn is_well(&self, subject: &Subject) -> bool {
        self.required.get(subject).is_some_and(|checks| checks.values().all(|health| *health == Health::Ok))
    }

    async fn speaks_again(&self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        let now = self.row.received;
        silence::record(connection, &self.row.agent, "heard", now, now).await?;
        let data = self.teller.about(format!("{} is heard again", self.teller.name()), None);
        self.teller.tell(connection, event::AGENT_HEARD, now, data).await
    }

    async fn change(&mut self, connection: &mut SqliteConnection, told: &NumberedChange) -> sqlx::Result<()> {
        let (change, now) = (&told.change, self.row.received);
        let subject = self.subject(&change.series);
        // A machine's clock may be ahead; nothing happened later than it was told.
        let at = change.at.min(now);
        let mut case = None;
        if let Changed::Health { to, .. } = change.what {
            self.put(&change.series, to);
            if to == Health::Failing && change.series.required && !change.silenced {
                case = Some(self.fails(connection, &subject, at, Some(told)).await?);
            } else if to == Health::Ok && self.is_well(&subject) {
                case = self.recovers(connection, &subject, at, Some(told)).await?;
            }
        }
        if case.is_none() {
            if !change.silenced {
                self.tell_change(connection, told, at).await?;
            }
            case = watched::open_case(connection, &subject).await?.map(|open| open.case);
        }
        sqlx::query(
            "INSERT INTO health_changes (agent_id, number, at, kept, schedule, target, change, bundle_id, case_id)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (agent_id, number) DO NOTHING",
        )
        .bind(self.row.agent.as_str())
        .bind(column::to_signed(told.number)?)
        .bind(at.as_microsecond())
        .bind(now.as_microsecond())
        .bind(&change.series.schedule)
        .bind(&subject.target)
        .bind(column::to_json(change)?)
        .bind(told.bundle.as_ref().map(|bundle| bundle.as_str()))
        .bind(case.as_ref().map(CaseId::as_str))
        .execute(connection)
        .await
        .map(drop)
    }

    /// Puts the report's states in place of those before, and brings cases into agreement with them: a change may have been lost with an older
    /// database, or been silenced when it came.
    async fn states(&mut self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        let now = self.row.received;
        let known = self.known();
        self.replace(connection, &known).await?;
        self.required.clear();
        for check in known.values() {
            self.put(&check.series, check.health);
        }
        let mut failing: BTreeMap<Subject, Timestamp> = BTreeMap::new();
        for check in &self.row.report.checks {
            if check.health == Health::Failing && check.series.required && !check.silenced {
                let since = failing.entry(self.subject(&check.series)).or_insert(Timestamp::MIN);
                *since = check.since.min(now).max(*since);
            }
        }
        for (subject, since) in &failing {
            // An engineer who closed the case knows of it.
            let known = watched::last_closed(connection, subject).await?.is_some_and(|(_, closed)| *since <= closed);
            if !known {
                self.fails(connection, subject, *since, None).await?;
            }
        }
        let well: BTreeSet<Subject> = self.required.keys().filter(|subject| self.is_well(subject)).cloned().collect();
        for subject in &well {
            self.recovers(connection, subject, now, None).await?;
        }
        self.removed(connection).await
    }

    /// Cases whose subject fails and is measured no more, as far as the agent says of what it measures.
    async fn removed(&self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        let Some(partial) = &self.row.report.partial else { return Ok(()) };
        let now = self.row.received;
        for subject in watched::failing(connection, &self.row.agent).await? {
            if partial.contains(&subject.schedule) || self.required.contains_key(&subject) {
                continue;
            }
            if let Some(case) = watched::removed(connection, &subject, now).await? {
                self.tell_case(connection, (event::CASE_REMOVED, Health::Unknown), (&subject, &case), now, None).await?;
            }
        }
        Ok(())
    }

    /// Every check with its state: those of the report, and of the schedules that it has not all checks of the others, as they were told before and changed since.
    fn known(&self) -> BTreeMap<Series, CheckRow> {
        let report = &self.row.report;
        let told = report.checks.iter().map(|check| CheckRow {
            agent: self.row.agent.clone(),
            series: check.series.clone(),
            health: check.health,
            since: check.since.min(self.row.received),
            // A machine's clock may be ahead; nothing was measured later than it was told.
            measured: check.measured.map(|at| at.min(self.row.received)),
            silenced: check.silenced,
        });
        let mut known: BTreeMap<Series, CheckRow> = told.map(|check| (check.series.clone(), check)).collect();
        let is_missing = |series: &Series| report.partial.as_ref().is_some_and(|partial| partial.contains(&series.schedule));
        let mut missing: BTreeMap<&Series, CheckRow> = BTreeMap::new();
        missing.extend(self.stored.iter().filter(|check| is_missing(&check.series)).map(|check| (&check.series, check.clone())));
        for change in report.changes.iter().filter(|told| told.number > self.heard).map(|told| &told.change) {
            if let Changed::Health { to, .. } = change.what
                && is_missing(&change.series)
            {
                let at = change.at.min(self.row.received);
                let (agent, series, silenced) = (self.row.agent.clone(), change.series.clone(), change.silenced);
                missing.insert(&change.series, CheckRow { agent, series, health: to, since: at, measured: Some(at), silenced });
            }
        }
        // A check of another kind by the same name is the same one here.
        let name = |series: &Series| (series.schedule.clone(), series.target.clone(), series.check.clone());
        let told: BTreeSet<_> = known.keys().map(name).collect();
        let room = MAX_KNOWN.saturating_sub(known.len());
        let missing = missing.into_values().filter(|check| !told.contains(&name(&check.series))).take(room);
        known.extend(missing.map(|check| (check.series.clone(), check)));
        known
    }

    /// Most reports say what is known: then nothing is written.
    async fn replace(&self, connection: &mut SqliteConnection, known: &BTreeMap<Series, CheckRow>) -> sqlx::Result<()> {
        let is_same = |stored: &CheckRow| known.get(&stored.series) == Some(stored);
        if known.len() == self.stored.len() && self.stored.iter().all(is_same) {
            return Ok(());
        }
        sqlx::query("DELETE FROM health_checks WHERE agent_id = ?")
            .bind(self.row.agent.as_str())
            .execute(&mut *connection)
            .await?;
        for check in known.values() {
            keep(connection, check).await?;
        }
        Ok(())
    }

    async fn fails(
        &self,
        connection: &mut SqliteConnection,
        subject: &Subject,
        at: Timestamp,
        told: Option<&NumberedChange>,
    ) -> sqlx::Result<CaseId> {
        let (case, found) = watched::fails(connection, subject, at, self.row.received).await?;
        let event = match found {
            Found::Opened => event::CASE_OPENED,
            Found::Again => event::CASE_FAILING,
            Found::Joined => return Ok(case),
        };
        self.tell_case(connection, (event, Health::Failing), (subject, &case), at, told).await?;
        Ok(case)
    }

    async fn recovers(
        &self,
        connection: &mut SqliteConnection,
        subject: &Subject,
        at: Timestamp,
        told: Option<&NumberedChange>,
    ) -> sqlx::Result<Option<CaseId>> {
        let case = watched::recovers(connection, subject, at, self.row.received).await?;
        if let Some(case) = &case {
            self.tell_case(connection, (event::CASE_RECOVERED, Health::Ok), (subject, case), at, told).await?;
        }
        Ok(case)
    }

    async fn tell_case(
        &self,
        connection: &mut SqliteConnection,
        (event, health): (&str, Health),
        (subject, case): (&Subject, &CaseId),
        at: Timestamp,
        told: Option<&NumberedChange>,
    ) -> sqlx::Result<()> {
        if !watched::may_tell(connection, case, self.row.received).await? {
            return Ok(());
        }
        let target = Some(subject.target.clone()).filter(|target| !target.is_empty());
        let what = target.as_ref().map_or_else(
            || format!("schedule {}", subject.schedule),
            |target| format!("{target}, schedule {}", subject.schedule),
        );
        let verb = match health {
            Health::Ok => "is well again",
            Health::Unknown => "was failing and is measured no more: its checks were removed there",
            Health::Degraded | Health::Failing => "is failing",
        };
        let mut data = self.teller.about(format!("{what}, seen from {}, {verb}", self.teller.name()), Some(case));
        data.schedule = Some(subject.schedule.clone());
        data.target = target;
        data.health = Some(health);
        if let Some(told) = told {
            describe(&mut data, &told.change);
            data.bundle = told.bundle.clone();
        }
        self.teller.tell(connection, event, at, data).await
    }

    async fn tell_change(&self, connection: &mut SqliteConnection, told: &NumberedChange, at: Timestamp) -> sqlx::Result<()> {
        let change = &told.change;
        let mut data = self.teller.about(format!("{}: {}", self.teller.name(), change.sentence), None);
        data.schedule = Some(change.series.schedule.clone());
        data.target = change.series.target.clone();
        if let Changed::Health { to, .. } = change.what {
            data.health = Some(to);
        }
        describe(&mut data, change);
        data.bundle = told.bundle.clone();
        self.teller.tell(connection, event::CHECK_CHANGED, at, data).await
    }
}

async fn keep(connection: &mut SqliteConnection, check: &CheckRow) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO health_checks (agent_id, schedule, name, target, kind, required, health, since, silenced, measured)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(check.agent.as_str())
    .bind(&check.series.schedule)
    .bind(&check.series.check)
    .bind(check.series.target.as_deref().unwrap_or_default())
    .bind(column::to_word(&check.series.kind)?)
    .bind(check.series.required)
    .bind(check.health.name())
    .bind(check.since.as_microsecond())
    .bind(check.silenced)
    .bind(check.measured.map(Timestamp::as_microsecond))
    .execute(connection)
    .await
    .map(drop)
}

fn describe(data: &mut netsonde_contract::api::alert::AlertData, change: &Change) {
    data.check = Some(change.series.check.clone());
    data.sentence = Some(change.sentence.clone()).filter(|sentence| !sentence.is_empty());
    data.change = Some(change.what);
    data.began = Some(change.began);
}
