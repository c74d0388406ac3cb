use super::place::Place;
use super::quiet::Quiet;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::agent_config::{Schedule, Timing};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A wall clock that goes back by up to this much repeats no slot; by more, it was wrong before and is right now. It is what Vixie's cron
/// does, and more than any change of summer time.
const SET_BACK: SignedDuration = SignedDuration::from_hours(3);
/// Missed slots are counted so far; beyond that it says "at least".
const MOST_COUNTED: u32 = 1_000;

/// One schedule's slots. It reads no clock.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    timing: Timing,
    zone: TimeZone,
    quiet: Quiet,
    place: Place,
    offset: Duration,
    jitter: Duration,
    kept: Kept,
    /// The last slot before the one that was taken last.
    before: Option<i64>,
}

/// What stays on disk of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The timing that the slots are counted by; another one begins anew.
    timing: String,
    /// The last slot that ran: its number, or of cron its time in milliseconds since 1970.
    last: i64,
}

/// The present, as schedules count it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) wall: Timestamp,
    pub(super) elapsed: Duration,
}

/// One appointment of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Grows from slot to slot.
    pub(crate) number: i64,
    /// So many earlier slots were missed and are made up for by this run; at most a thousand are counted.
    pub(crate) missed: u32,
    /// How long after its time the oldest of these is.
    pub(crate) late: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Now(Slot),
    In(Duration),
    /// It is always quiet, or the calendar ends.
    Never,
}

impl Machine {
    /// Begins where it was left off, or with the first slot after now.
    pub(super) fn new(schedule: &Schedule, zone: TimeZone, agent: &str, kept: Option<Kept>, now: Now) -> Self {
        let place = Place::of(agent, &schedule.name);
        let offset = place.offset(schedule.splay);
        let timing = match &schedule.timing {
            Timing::Every(interval) => format!("every {} s", interval.as_secs()),
            Timing::Cron(cron) => format!("cron {cron}"),
        };
        let kept = kept.filter(|kept| kept.timing == timing);
        let begun = kept.is_some();
        let mut machine = Self {
            timing: schedule.timing.clone(),
            zone: zone.clone(),
            quiet: Quiet { hours: schedule.quiet.clone(), zone, offset },
            place,
            offset,
            jitter: schedule.jitter,
            kept: kept.unwrap_or(Kept { timing, last: i64::MAX }),
            before: None,
        };
        if !begun {
            machine.kept.last = machine.reached(now);
        }
        machine
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// What is to be done now. A slot that is due stays due until [`Machine::take`].
    pub(super) fn poll(&mut self, now: Now) -> Due {
        self.forget_the_future(now);
        let Some((number, wait)) = self.first(now) else { return Due::Never };
        if wait > SignedDuration::ZERO {
            return match self.quiet.left(now.wall.saturating_add(wait).unwrap_or(Timestamp::MAX)) {
                Some(quiet) => Due::In(unsigned(wait + quiet)),
                None => Due::Never,
            };
        }
        match self.quiet.left(now.wall) {
            Some(SignedDuration::ZERO) => Due::Now(self.all_until(number, wait, now)),
            Some(quiet) => Due::In(unsigned(quiet)),
            None => Due::Never,
        }
    }

    /// The slot is being run.
    pub(super) fn take(&mut self, slot: Slot) {
        self.before = Some(self.kept.last);
        self.kept.last = slot.number;
    }

    /// The slot that was taken last was not run after all: it is due again.
    pub(super) fn give_back(&mut self) {
        if let Some(before) = self.before.take() {
            self.kept.last = before;
        }
    }

    /// A last slot that lies in the future would keep the schedule silent until then: the clock, or the file, was wrong.
    fn forget_the_future(&mut self, now: Now) {
        let reached = self.reached(now);
        let borne = match self.timing {
            Timing::Every(_) => 0,
            Timing::Cron(_) => SET_BACK.as_millis().try_into().unwrap_or(0),
        };
        if self.kept.last > reached.saturating_add(borne) {
            self.kept.last = reached;
        }
    }

    /// The number of the last slot whose time has come, or for cron the present.
    fn reached(&self, now: Now) -> i64 {
        match &self.timing {
            Timing::Every(interval) => {
                (milliseconds(now.elapsed) - milliseconds(self.offset)).div_euclid(milliseconds(*interval).max(1))
            }
            Timing::Cron(_) => now.wall.as_millisecond(),
        }
    }

    /// The first slot that has not run, and how long its run is away; less than nothing where it is overdue.
    fn first(&self, now: Now) -> Option<(i64, SignedDuration)> {
        let (number, at) = match &self.timing {
            Timing::Every(interval) => {
                let number = self.kept.last.saturating_add(1);
                let at = number.saturating_mul(milliseconds(*interval)).saturating_add(milliseconds(self.offset));
                (number, at.saturating_sub(milliseconds(now.elapsed)))
            }
            Timing::Cron(cron) => {
                let next = cron.next_after(Timestamp::from_millisecond(self.kept.last).ok()?, &self.zone)?.as_millisecond();
                (next, next + milliseconds(self.offset) - now.wall.as_millisecond())
            }
        };
        let wait = at.saturating_add(milliseconds(self.place.delay(self.jitter, number)));
        Some((number, SignedDuration::from_millis(wait)))
    }

    /// One run for the first slot and all later ones whose time has come, too.
    fn all_until(&self, first: i64, wait: SignedDuration, now: Now) -> Slot {
        let (number, missed) = match &self.timing {
            Timing::Every(_) => {
                let number = self.reached(now).max(first);
                (number, u32::try_from(number - first).unwrap_or(u32::MAX).min(MOST_COUNTED))
            }
            Timing::Cron(cron) => {
                let until = now.wall.saturating_sub(self.offset).unwrap_or(Timestamp::MIN);
                let last = cron.last_until(until, &self.zone).map_or(first, |last| last.as_millisecond().max(first));
                let mut between = Timestamp::from_millisecond(first).ok();
                let mut missed = 0;
                while let Some(at) = between.filter(|at| at.as_millisecond() < last && missed < MOST_COUNTED) {
                    missed += 1;
                    between = cron.next_after(at, &self.zone);
                }
                (last, missed)
            }
        };
        Slot { number, missed, late: unsigned(-wait) }
    }

    pub(super) fn is_quiet(&self, at: Timestamp) -> bool {
        self.quiet.left(at) != Some(SignedDuration::ZERO)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn unsigned(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default()
}
