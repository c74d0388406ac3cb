use super::{Told, subject};
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::agent_config::Thresholds;
use netsonde_contract::history::{Changed, Health, Sample, Series, Verdict};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Failures are counted among this many measurements.
const WINDOW: u32 = 10;
/// An intermittent fault is over when no more failures than this are among them.
const CALM: u32 = 1;

/// One check's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) health: Health,
    /// By the machine's clock.
    pub(super) since: Timestamp,
    /// The last measurements' failures, the newest in the lowest bit.
    failures: u32,
    streak: Streak,
    /// When it was last measured.
    pub(super) last: Timestamp,
}

/// Measurements of one kind in a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Streak {
    class: Class,
    count: u32,
    began: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Class {
    Good,
    Slow,
    Bad,
    Unmeasured,
}

impl State {
    pub(super) fn begin(now: Timestamp) -> Self {
        let streak = Streak { class: Class::Unmeasured, count: 0, began: now };
        Self { health: Health::Unknown, since: now, failures: 0, streak, last: now }
    }

    pub(super) fn observe(&mut self, thresholds: &Thresholds, sample: &Sample, series: &Series) -> Option<Told> {
        let class = class(thresholds, sample);
        self.last = sample.at;
        if class != Class::Unmeasured {
            self.failures = (self.failures << 1 | u32::from(class == Class::Bad)) & ((1 << WINDOW) - 1);
        }
        if self.streak.class == class {
            self.streak.count = self.streak.count.saturating_add(1);
            // A clock that was set back: what began in its future has lasted since now.
            self.streak.began = self.streak.began.min(sample.at);
        } else {
            self.streak = Streak { class, count: 1, began: sample.at };
        }
        let to = self.next(thresholds, sample.at);
        let sentence = self.reason(to, sample, series);
        self.turn(to, sample.at, sentence)
    }

    /// Nothing was measured lately.
    pub(super) fn lapse(&mut self, now: Timestamp, series: &Series) -> Option<Told> {
        let age = now.duration_since(self.last);
        // What comes next begins a streak of its own.
        self.streak = Streak { class: Class::Unmeasured, count: 0, began: self.last };
        let sentence = format!("{} is unknown: it was last measured {}, {} ago", subject(series), self.last, span(age));
        self.turn(Health::Unknown, now, sentence)
    }

    /// Where the last measurements lead.
    fn next(&self, thresholds: &Thresholds, now: Timestamp) -> Health {
        let held = now.duration_since(self.streak.began) >= SignedDuration::try_from(thresholds.hold).unwrap_or_default();
        let long = |count: u32| self.streak.count >= count && held;
        let failures = self.failures.count_ones();
        let intermittent = failures >= thresholds.degraded_of_ten;
        match self.streak.class {
            Class::Bad if long(thresholds.failing_after) => Health::Failing,
            Class::Slow if long(thresholds.failing_after) => Health::Degraded,
            Class::Unmeasured if long(thresholds.failing_after) => Health::Unknown,
            Class::Good if long(thresholds.ok_after) && !intermittent => match self.health {
                // An intermittent fault that paused is not over.
                Health::Degraded if failures > CALM => Health::Degraded,
                _ => Health::Ok,
            },
            Class::Good if long(thresholds.ok_after) => Health::Degraded,
            Class::Bad if intermittent && self.health == Health::Ok => Health::Degraded,
            _ => self.health,
        }
    }

    fn turn(&mut self, to: Health, now: Timestamp, sentence: String) -> Option<Told> {
        let from = self.health;
        if from == to {
            return None;
        }
        let told = Told { began: self.streak.began, what: Changed::Health { from, to }, sentence };
        (self.health, self.since) = (to, now);
        Some(told)
    }

    fn reason(&self, to: Health, sample: &Sample, series: &Series) -> String {
        let Streak { count, began, .. } = self.streak;
        let failures = self.failures.count_ones();
        let why = match (to, self.streak.class) {
            (Health::Failing, _) => {
                let code = sample.failure.as_deref().unwrap_or("not as expected");
                match count {
                    1 => format!("the measurement at {began} failed: {code}"),
                    _ => format!("{count} measurements in a row failed since {began}, the last one: {code}"),
                }
            }
            (Health::Degraded, Class::Slow) => {
                let took = sample.rtt_us.unwrap_or_default() / 1_000;
                match count {
                    1 => format!("the measurement at {began} took too long: {took} ms"),
                    _ => format!("{count} measurements in a row since {began} took too long, the last one {took} ms"),
                }
            }
            (Health::Degraded, _) => format!("{failures} of the last {WINDOW} measurements failed, though not all in a row"),
            (Health::Unknown, _) => {
                let (when, last) = match count {
                    1 => (format!("it could not be measured at {began}"), ""),
                    _ => (format!("{count} times in a row it could not be measured, since {began}"), "the last time "),
                };
                let code = sample.failure.as_deref();
                let code = code.map_or_else(String::new, |code| format!(", {last}for a trouble of this machine's own: {code}"));
                when + &code
            }
            (Health::Ok, _) if count == 1 => format!("the measurement at {began} was good"),
            (Health::Ok, _) => format!("{count} measurements in a row were good since {began}"),
        };
        format!("{} is {}: {why}", subject(series), to.name())
    }
}

fn class(thresholds: &Thresholds, sample: &Sample) -> Class {
    let is_slow = || thresholds.slow.zip(sample.rtt_us).is_some_and(|(slow, rtt)| Duration::from_micros(rtt) > slow);
    match sample.verdict {
        Verdict::Good if is_slow() => Class::Slow,
        Verdict::Good => Class::Good,
        Verdict::Bad => Class::Bad,
        Verdict::Unmeasured => Class::Unmeasured,
    }
}

/// A duration in words, to the minute.
fn span(duration: SignedDuration) -> String {
    let minutes = duration.as_secs() / 60;
    if minutes < 120 { format!("{minutes} min") } else { format!("{} h", minutes / 60) }
}
