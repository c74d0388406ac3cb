//! How each scheduled check is, and what of it is worth telling. Pure: samples and the present in, changes out.

/// What changes beside the state: path, certificates, round-trip time.
mod news;
/// One check's state, with thresholds and hysteresis.
mod state;
/// The states on disk.
mod store;
#[cfg(test)]
mod tests;

pub(crate) use store::{load, save};

use jiff::Timestamp;
use netsonde_contract::agent_config::{AgentConfig, Schedule, Timing};
use netsonde_contract::history::{Change, Changed, Health, Sample, Series};
use news::News;
use serde::{Deserialize, Serialize};
use state::State;
use std::time::Duration;

/// So many intervals without a measurement make a check unknown: one that is late, one that failed to be taken, and one more.
const STALE_INTERVALS: u32 = 3;
/// For cron, whose slots may be a weekend apart.
const STALE_CRON: Duration = Duration::from_secs(8 * 24 * 3_600);

/// The health of every check that schedules measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct HealthBook {
    checks: Vec<Watched>,
}

/// One check's state and what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) series: Series,
    state: State,
    news: News,
    /// What its run may take, of the plan of the last one.
    #[serde(default)]
    budget: Duration,
    /// It became what it is while it was silenced, and nobody was told.
    #[serde(default)]
    untold: bool,
}

impl HealthBook {
    /// Takes a measurement in and tells what changed by it.
    pub(crate) fn observe(&mut self, config: &AgentConfig, series: &Series, sample: &Sample) -> Vec<Change> {
        let Some(schedule) = config.schedule(&series.schedule) else { return Vec::new() };
        let place = match self.checks.iter().position(|watched| watched.series == *series) {
            Some(place) => place,
            None => {
                let (state, news) = (State::begin(sample.at), News::default());
                self.checks.push(Watched { series: series.clone(), state, news, budget: Duration::ZERO, untold: false });
                self.checks.len() - 1
            }
        };
        let Some(watched) = self.checks.get_mut(place) else { return Vec::new() };
        let mut told: Vec<_> = watched.state.observe(&schedule.health, sample, &watched.series).into_iter().collect();
        if !told.is_empty() {
            watched.untold = is_silenced(config, series, sample.at);
        }
        told.extend(watched.news.observe(sample, &watched.series));
        told.into_iter().map(|told| told.change(config, series, sample.at)).collect()
    }

    /// Time passes: a check that was not measured lately is unknown, and one that became worse during a silence that is over by now is told.
    pub(crate) fn tick(&mut self, config: &AgentConfig, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        for watched in &mut self.checks {
            let Some(schedule) = config.schedule(&watched.series.schedule) else { continue };
            if let Some(told) = watched.state.tick(stale_after(schedule, watched.budget), now, &watched.series) {
                changes.push(told.change(config, &watched.series, now));
                watched.untold = is_silenced(config, &watched.series, now);
            }
            if watched.untold && !is_silenced(config, &watched.series, now) {
                watched.untold = false;
                let State { health, since, .. } = watched.state;
                if health > Health::Unknown {
                    let what = Changed::Health { from: health, to: health };
                    let sentence =
                        format!("{} is still {} after a silence, since {since}", subject(&watched.series), health.name());
                    changes.push(Told { began: since, what, sentence }.change(config, &watched.series, now));
                }
            }
        }
        changes
    }

    /// Forgets what no schedule measures any more, and tells of what was wrong until then.
    pub(crate) fn retain(&mut self, config: &AgentConfig, now: Timestamp) -> Vec<Change> {
        self.forget(config, now, |watched| config.schedule(&watched.series.schedule).is_none(), "its schedule was removed")
    }

    /// Takes up a schedule's plan: forgets the checks that it has no longer, as [`Self::retain`] does, and keeps what a run of it may take.
    pub(crate) fn follow(
        &mut self,
        config: &AgentConfig,
        (schedule, planned, budget): (&str, &[Series], Duration),
        now: Timestamp,
    ) -> Vec<Change> {
        let is_gone = |watched: &Watched| watched.series.schedule == schedule && !planned.contains(&watched.series);
        let changes = self.forget(config, now, is_gone, "it was removed from its schedule");
        for watched in self.checks.iter_mut().filter(|watched| watched.series.schedule == schedule) {
            watched.budget = budget;
        }
        changes
    }

    fn forget(&mut self, config: &AgentConfig, now: Timestamp, is_gone: impl Fn(&Watched) -> bool, why: &str) -> Vec<Change> {
        let (gone, left) = std::mem::take(&mut self.checks).into_iter().partition(is_gone);
        self.checks = left;
        let gone: Vec<Watched> = gone;
        let was_wrong = gone.into_iter().filter(|watched| watched.state.health > Health::Unknown);
        let told = was_wrong.map(|watched| {
            let what = Changed::Health { from: watched.state.health, to: Health::Unknown };
            let sentence = format!("{} is unknown: {why}", subject(&watched.series));
            Told { began: now, what, sentence }.change(config, &watched.series, now)
        });
        told.collect()
    }

    /// Whether a check was not measured for so long that nothing is known of it.
    pub(crate) fn is_stale(&self, config: &AgentConfig, series: &Series, now: Timestamp) -> bool {
        let watched = self.checks.iter().find(|watched| watched.series == *series);
        watched
            .zip(config.schedule(&series.schedule))
            .is_some_and(|(watched, schedule)| watched.state.is_stale(stale_after(schedule, watched.budget), now))
    }

    /// Each check with its state and since when it is so.
    pub(crate) fn checks(&self) -> impl Iterator<Item = (&Series, Health, Timestamp)> {
        self.checks.iter().map(|watched| (&watched.series, watched.state.health, watched.state.since))
    }

    /// When a check was measured last.
    pub(crate) fn measured(&self, series: &Series) -> Option<Timestamp> {
        self.checks.iter().find(|watched| watched.series == *series).map(|watched| watched.state.last)
    }

    /// The worst state of a target's required checks.
    pub(crate) fn target(&self, schedule: &str, target: Option<&str>) -> Health {
        let of_target = |series: &Series| series.required && series.schedule == schedule && series.target.as_deref() == target;
        self.checks().filter(|(series, ..)| of_target(series)).map(|(_, health, _)| health).max().unwrap_or_default()
    }
}

/// A change before it is known to whom it is told.
#[derive(Debug)]
struct Told {
    began: Timestamp,
    what: Changed,
    sentence: String,
}

impl Told {
    fn change(self, config: &AgentConfig, series: &Series, at: Timestamp) -> Change {
        let silenced = is_silenced(config, series, at);
        Change { at, began: self.began, series: series.clone(), what: self.what, sentence: self.sentence, silenced }
    }
}

/// A run that may take longer than its interval comes as late as the one before it lets it, and tells of itself when it has ended.
fn stale_after(schedule: &Schedule, budget: Duration) -> Duration {
    let Timing::Every(interval) = schedule.timing else { return STALE_CRON };
    // Nothing runs in quiet hours, which may last a weekend.
    let quiet = if schedule.quiet.is_empty() { Duration::ZERO } else { STALE_CRON };
    let late = interval + interval.max(budget) * (STALE_INTERVALS - 1);
    (late + schedule.jitter).max(quiet)
}

fn is_silenced(config: &AgentConfig, series: &Series, at: Timestamp) -> bool {
    config.silences.iter().any(|silence| silence.covers(&series.schedule, at))
}

/// What is measured, in a few words.
fn subject(series: &Series) -> String {
    let target = series.target.as_deref().map_or_else(String::new, |target| format!(" of {target}"));
    format!("{}{target}", series.check)
}
