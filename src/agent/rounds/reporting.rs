//! Tells the backend how the checks are: at once where something changed, and now and then where nothing did.

use crate::changes::Untold;
use crate::identity::{Home, Identity};
use crate::redaction::without_names;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::transport::{Client, Fault};
use crate::{contact, health, policy_file, terminal};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use netsonde_contract::agent_config::{AgentConfig, Timing};
use netsonde_contract::api::ProblemCode;
use netsonde_contract::api::fleet::MAX_AGENT_BODY;
use netsonde_contract::api::health::{
    CheckState, HealthHeard, HealthReport, LONGEST_SILENCE_SECONDS, MAX_CHANGES, MAX_CHECKS, MAX_PARTIAL, NumberedChange,
};
use netsonde_contract::redaction::Level;
use netsonde_probes::clock::Clock;
use std::cmp::Reverse;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// After so many of its shortest intervals an agent is heard of again, though nothing changed …
const INTERVALS: u32 = 5;
/// … but not more often than this: ten thousand agents are then some thirty requests a second.
const SHORTEST_SILENCE: Duration = Duration::from_secs(300);
const LONGEST_SILENCE: Duration = Duration::from_secs(LONGEST_SILENCE_SECONDS as u64);
/// A report that was not heard is sent again within this time, which doubles with each one that was not …
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Room for what the body has beside checks and changes.
const MOST_BYTES: usize = MAX_AGENT_BODY - 1_024;

/// An enrolled agent's reports.
pub(super) struct Reporter {
    identity: Identity,
    client: Arc<Client>,
    clock: Clock,
    /// When the next report is due.
    due: Duration,
    failed: u32,
    complaint: Option<String>,
}

/// What became of a report.
pub(super) struct Reported {
    told: Vec<NumberedChange>,
    checks: bool,
    next_within: Duration,
    answer: Result<HealthHeard, Fault>,
}

impl Reporter {
    /// None where the machine is not enrolled.
    ///
    /// # Errors
    /// Where the identity cannot be used.
    pub(super) fn open(state: &StateDirectory, policy: &Path, clock: Clock) -> Result<Option<Self>, Stop> {
        let Some(identity) = Home::of(state).identity()? else { return Ok(None) };
        let identity = identity.by_policy(policy_file::load(policy).ok().as_ref());
        let client = Arc::new(Client::new(&identity, clock)?);
        Ok(Some(Self { identity, client, clock, due: Duration::ZERO, failed: 0, complaint: None }))
    }

    /// Something changed: it is told as soon as nothing else is being told.
    pub(super) fn hurry(&mut self) {
        self.due = Duration::ZERO;
        self.failed = 0;
    }

    /// How long nothing is to be told.
    pub(super) fn rest(&self) -> Duration {
        self.due.saturating_sub(self.clock.now())
    }

    /// The next report on its way, where one is due. Keys may have been changed by hand since the last one.
    pub(super) fn next(
        &mut self,
        state: &StateDirectory,
        config: &AgentConfig,
        policy: &Path,
    ) -> Option<BoxFuture<'static, Reported>> {
        if !self.rest().is_zero() {
            return None;
        }
        self.renew(state, policy);
        let next_within = silence(config);
        match self.report(state, config, policy, next_within) {
            Ok(Some((report, told))) => {
                let client = Arc::clone(&self.client);
                let checks = !report.checks.is_empty();
                Some(
                    async move {
                        let answer = client.health(&report).await;
                        Reported { told, checks, next_within, answer }
                    }
                    .boxed(),
                )
            }
            Ok(None) => {
                self.due = self.clock.now() + next_within;
                None
            }
            Err(error) => {
                self.complain(&format!("how the checks are cannot be told: {error}"));
                self.due = self.clock.now() + LONGEST_WAIT;
                None
            }
        }
    }

    fn renew(&mut self, state: &StateDirectory, policy: &Path) {
        let Ok(Some(identity)) = Home::of(state).identity() else { return };
        let identity = identity.by_policy(policy_file::load(policy).ok().as_ref());
        let is_other = identity.number != self.identity.number || identity.tls_pin != self.identity.tls_pin;
        if is_other && let Ok(client) = Client::new(&identity, self.clock) {
            (self.client, self.identity) = (Arc::new(client), identity);
        }
    }

    /// With the changes as they stand on the disk. Nothing where there are no checks and the backend knows of none.
    fn report(
        &self,
        state: &StateDirectory,
        config: &AgentConfig,
        policy: &Path,
        next_within: Duration,
    ) -> io::Result<Option<(HealthReport, Vec<NumberedChange>)>> {
        let _lock = state.lock_soon()?;
        let untold = Untold::load(state, &self.identity.agent)?;
        let mut book = health::load(state)?;
        let now = self.clock.wall();
        // Where the disk takes no note of it, too: what was not measured lately is unknown.
        book.tick(config, now);
        let known = book.checks().filter(|(series, ..)| config.schedule(&series.schedule).is_some());
        let mut checks: Vec<CheckState> = known
            .map(|(series, health, since)| CheckState {
                measured: book.measured(series),
                series: series.clone(),
                health,
                since,
                silenced: config.is_silenced(&series.schedule, now),
            })
            .collect();
        worst_first(&mut checks);
        // A book that was lost knows nothing of the others.
        let unmeasured =
            config.schedules.iter().filter(|schedule| checks.iter().all(|check| check.series.schedule != schedule.name));
        let partial = unmeasured.map(|schedule| schedule.name.clone()).take(MAX_PARTIAL).collect();
        let changes = untold.next(MAX_CHANGES).to_vec();
        if checks.is_empty() && changes.is_empty() && !untold.told_checks {
            return Ok(None);
        }
        let next_within_seconds = u32::try_from(next_within.as_secs()).unwrap_or(LONGEST_SILENCE_SECONDS);
        let mut report = HealthReport { at: now, next_within_seconds, checks, partial: Some(partial), changes: changes.clone() };
        // A policy that counts for nothing lets nothing out that it might have kept in.
        let level = policy_file::load(policy).map_or(Level::Strict, |policy| policy.redaction);
        if level == Level::Strict {
            let key = state.mapping_key().map_err(|stop| io::Error::other(stop.message))?;
            report = without_names(&report, &key);
        }
        fit(&mut report)?;
        let mut told = changes;
        told.truncate(report.changes.len());
        Ok(Some((report, told)))
    }

    /// Notes what the backend has heard.
    pub(super) fn reported(&mut self, state: &StateDirectory, reported: Reported, chance: f64) {
        let now = self.clock.now();
        let Reported { told, checks, next_within, answer } = reported;
        let heard = match answer {
            Ok(heard) => heard,
            Err(fault) => return self.not_heard(&fault, chance),
        };
        if self.complaint.take().is_some() {
            terminal::say("netsonde: the backend hears again how the checks are");
        }
        if let Err(error) = contact::note(state, self.clock.wall()) {
            tracing::warn!(%error, "when the backend heard is not noted");
        }
        match self.note(state, &told, checks, heard.heard) {
            // More waits: it follows at once.
            Ok((true, true)) => (self.failed, self.due) = (0, now),
            Ok((false, true)) => self.wait(chance, None),
            // Before the backend would take this agent for silent, by as much as a way may take.
            Ok((_, false)) => (self.failed, self.due) = (0, now + next_within.mul_f64(0.8)),
            Err(error) => {
                self.complain(&format!("what the backend has heard cannot be noted: {error}"));
                self.wait(chance, None);
            }
        }
    }

    /// Whether fewer changes wait than before, and whether any do.
    fn note(&self, state: &StateDirectory, told: &[NumberedChange], checks: bool, heard: u64) -> io::Result<(bool, bool)> {
        let _lock = state.lock_soon()?;
        let mut untold = Untold::load(state, &self.identity.agent)?;
        let fewer = untold.heard(told, heard);
        if fewer || untold.told_checks != checks {
            untold.told_checks = checks;
            untold.save(state)?;
        }
        Ok((fewer, !untold.next(1).is_empty()))
    }

    fn not_heard(&mut self, fault: &Fault, chance: f64) {
        let now = self.clock.now();
        match fault {
            Fault::Skewed => self.due = now,
            Fault::NotNow { .. } | Fault::Interposed { .. } => self.wait(chance, fault.retry_after()),
            Fault::Refused(problem) if !matches!(problem.known_code(), Some(ProblemCode::RateLimited)) => {
                self.complain(&format!("the backend does not take how the checks are: {problem}"));
                self.due = now + LONGEST_SILENCE.mul_f64(chance.max(0.5));
            }
            fault => {
                tracing::debug!(%fault, "a health report was not heard");
                self.wait(chance, None);
            }
        }
    }

    /// Full jitter, after what the backend asked for.
    fn wait(&mut self, chance: f64, hint: Option<Duration>) {
        let bound = FIRST_WAIT.saturating_mul(1 << self.failed.min(16)).min(LONGEST_WAIT);
        self.failed = self.failed.saturating_add(1);
        self.due = self.clock.now() + hint.unwrap_or_default().min(LONGEST_SILENCE) + bound.mul_f64(chance.max(0.1));
    }

    fn complain(&mut self, words: &str) {
        if self.complaint.as_deref() != Some(words) {
            terminal::warn(&format!("netsonde: {words}"));
            self.complaint = Some(words.to_owned());
        }
    }
}

/// How long the agent is silent at most.
fn silence(config: &AgentConfig) -> Duration {
    let intervals = config.schedules.iter().filter_map(|schedule| match schedule.timing {
        Timing::Every(interval) => Some(interval),
        Timing::Cron(_) => None,
    });
    let shortest = intervals.min().unwrap_or(LONGEST_SILENCE);
    shortest.saturating_mul(INTERVALS).clamp(SHORTEST_SILENCE, LONGEST_SILENCE)
}

/// Where not all checks can be told, those are left out of which there is nothing to say: a target whose failing check were left out would count as well.
fn worst_first(checks: &mut [CheckState]) {
    checks.sort_by_key(|check| Reverse(check.health));
}

/// Leaves out what would make the body longer than the backend reads: changes wait for the next report; of the checks the last are left out, and their schedules
/// named.
fn fit(report: &mut HealthReport) -> io::Result<()> {
    cut(report, MAX_CHECKS);
    while serde_json::to_vec(&*report).map_err(io::Error::other)?.len() > MOST_BYTES {
        if report.changes.len() > 1 {
            report.changes.truncate(report.changes.len() / 2);
        } else if report.checks.is_empty() {
            return Err(io::Error::other("a single change is longer than the backend reads"));
        } else {
            cut(report, report.checks.len() * 3 / 4);
        }
    }
    Ok(())
}

fn cut(report: &mut HealthReport, most: usize) {
    let left_out = report.checks.split_off(most.min(report.checks.len()));
    let partial = report.partial.get_or_insert_default();
    for check in left_out {
        if !partial.contains(&check.series.schedule) {
            partial.push(check.series.schedule);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use netsonde_contract::history::{Change, Changed, Health, Series};
    use netsonde_contract::kind::Kind;

    #[test]
    fn a_report_of_everything_there_can_be_fits_what_the_backend_reads() {
        let series = |number: usize| Series {
            schedule: "s".repeat(60),
            check: format!("check-{number}"),
            kind: Kind::Tcp,
            target: Some(format!("https://{}.example", "t".repeat(200))),
            required: true,
        };
        let at = Timestamp::UNIX_EPOCH;
        let check =
            |number| CheckState { series: series(number), health: Health::Failing, since: at, measured: None, silenced: false };
        let change = |number: usize| NumberedChange {
            number: number as u64,
            change: Change {
                at,
                began: at,
                series: series(number),
                what: Changed::NewPath,
                sentence: "x".repeat(2_000),
                silenced: false,
            },
            bundle: None,
        };
        let mut report = HealthReport {
            at,
            next_within_seconds: 300,
            checks: (0..MAX_CHECKS).map(check).collect(),
            partial: Some(vec!["new".into()]),
            changes: (0..MAX_CHANGES).map(change).collect(),
        };
        fit(&mut report).unwrap();
        assert!(serde_json::to_vec(&report).unwrap().len() <= MAX_AGENT_BODY);
        assert!(!report.changes.is_empty() && report.changes[0].number == 0, "the oldest goes first");
        assert!(report.checks.len() < MAX_CHECKS);
        assert_eq!(report.partial, Some(vec!["new".to_owned(), "s".repeat(60)]), "whoever hears it knows that some are missing");
    }

    #[test]
    fn what_is_cut_off_a_report_is_what_is_well() {
        let of = |health: Health| CheckState {
            series: Series { schedule: "s".into(), check: health.name().into(), kind: Kind::Tcp, target: None, required: true },
            health,
            since: Timestamp::UNIX_EPOCH,
            measured: None,
            silenced: false,
        };
        let mut checks: Vec<CheckState> = [Health::Ok, Health::Failing, Health::Unknown, Health::Degraded].map(of).into();
        worst_first(&mut checks);
        let order: Vec<Health> = checks.iter().map(|check| check.health).collect();
        assert_eq!(order, [Health::Failing, Health::Degraded, Health::Unknown, Health::Ok]);
    }

    #[test]
    fn what_nobody_measured_lately_is_told_as_unknown_though_the_disk_still_has_it_as_ok() {
        let world = crate::daemon::tests::World::new("deny");
        let (state, policy) = (world.state(), world.files().policy);
        let config = AgentConfig::parse("x", "[[schedule]]\nname = \"s\"\nset = \"host\"\nevery = \"1m\"\n").unwrap();
        let series = Series { schedule: "s".into(), check: "c".into(), kind: Kind::Tcp, target: None, required: true };
        let mut book = health::HealthBook::default();
        let clock = Clock::start();
        let ago = |minutes: i64| clock.wall() - jiff::SignedDuration::from_mins(minutes);
        for minutes in [61, 60] {
            book.observe(&config, &series, &crate::history::tests::good(ago(minutes)));
        }
        assert_eq!(book.target("s", None), Health::Ok);
        health::save(&state, &book).unwrap();
        let reporter = Reporter::open(&state, &policy, clock).unwrap().unwrap();
        let (report, _) = reporter.report(&state, &config, &policy, LONGEST_WAIT).unwrap().unwrap();
        assert_eq!(report.checks[0].health, Health::Unknown);
        assert_eq!(report.partial, Some(Vec::new()), "every check is in it");
        let further = "[[schedule]]\nname = \"s\"\nset = \"host\"\nevery = \"1m\"\n[[schedule]]\nname = \"t\"\nset = \"host\"\nevery = \"1m\"\n";
        let config = AgentConfig::parse("x", further).unwrap();
        let (report, _) = reporter.report(&state, &config, &policy, LONGEST_WAIT).unwrap().unwrap();
        assert_eq!(report.partial, Some(vec!["t".to_owned()]), "what is not measured yet is not gone");
    }

    #[test]
    fn an_agent_says_when_it_is_heard_of_next() {
        let config = |text: &str| AgentConfig::parse("agent.toml", text).unwrap();
        let minutes = config("[[schedule]]\nname = \"a\"\nset = \"host\"\nevery = \"10s\"\n");
        assert_eq!(silence(&minutes), SHORTEST_SILENCE);
        let hours = config("[[schedule]]\nname = \"a\"\nset = \"host\"\nevery = \"2h\"\n");
        assert_eq!(silence(&hours), LONGEST_SILENCE);
    }
}
