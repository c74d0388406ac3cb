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

use crate::schedule::Expected;
use jiff::Timestamp;
use netsonde_contract::agent_config::{AgentConfig, Schedule};
use netsonde_contract::history::{Change, Changed, Health, Sample, Series};
use news::News;
use serde::{Deserialize, Serialize};
use state::State;
use std::time::Duration;

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
            watched.untold = config.is_silenced(&series.schedule, sample.at);
        }
        told.extend(watched.news.observe(sample, &watched.series));
        told.into_iter().map(|told| told.change(config, series, sample.at)).collect()
    }

    /// Time passes: a check that was not measured lately is unknown, and one that became worse during a silence that is over by now is told.
    pub(crate) fn tick(&mut self, config: &AgentConfig, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        for watched in &mut self.checks {
            let Some(schedule) = config.schedule(&watched.series.schedule) else { continue };
            let lapsed = watched.is_stale(schedule, now).then(|| watched.state.lapse(now, &watched.series)).flatten();
            if let Some(told) = lapsed {
                changes.push(told.change(config, &watched.series, now));
                watched.untold = config.is_silenced(&watched.series.schedule, now);
            }
            if watched.untold && !config.is_silenced(&watched.series.schedule, now) {
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

    /// The clock may have been set back: nothing was measured after now. Without this what was ok would stay so until the clock is there again.
    pub(crate) fn forget_the_future(&mut self, now: Timestamp) {
        self.checks.iter_mut().for_each(|watched| watched.state.last = watched.state.last.min(now));
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
        watched.zip(config.schedule(&series.schedule)).is_some_and(|(watched, schedule)| watched.is_stale(schedule, now))
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

impl Watched {
    fn is_stale(&self, schedule: &Schedule, now: Timestamp) -> bool {
        Expected::of(schedule).is_stale(self.state.last, self.budget, now)
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
        let silenced = config.is_silenced(&series.schedule, at);
        Change { at, began: self.began, series: series.clone(), what: self.what, sentence: self.sentence, silenced }
    }
}

/// What is measured, in a few words.
fn subject(series: &Series) -> String {
    let target = series.target.as_deref().map_or_else(String::new, |target| format!(" of {target}"));
    format!("{}{target}", series.check)
}
