use super::quiet::Quiet;
use super::scheduler::zone_of;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use netsonde_contract::agent_config::{Schedule, Timing};
use std::time::Duration;

/// So many slots in a row without a measurement make one that is older worthless: one that is late, one that failed to be taken, and one more.
const MISSED: u32 = 3;

/// A schedule's slots as whoever holds a measurement against them counts them: on the wall clock, as measurements are dated, and from the measurement
/// on. Which place in the splay the agent has is not known here; where it matters, the whole splay is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Expected<'a> {
    schedule: &'a Schedule,
    zone: TimeZone,
    quiet: Quiet,
}

impl<'a> Expected<'a> {
    pub(crate) fn of(schedule: &'a Schedule) -> Self {
        // With a zone that this machine does not know, no agent begins.
        let zone = zone_of(schedule).unwrap_or(TimeZone::UTC);
        let quiet = Quiet { hours: schedule.quiet.clone(), zone: zone.clone(), offset: Duration::ZERO };
        Self { schedule, zone, quiet }
    }

    /// Whether three slots in a row went by since `last` without a measurement, each of a run that may take `budget`. What quiet hours hold back comes when
    /// they end, as one slot; where cron has none, or the hours are quiet, there is nothing to miss.
    pub(crate) fn is_stale(&self, last: Timestamp, budget: Duration, now: Timestamp) -> bool {
        let (mut at, mut held_back) = (last, false);
        for slot in 0..MISSED {
            // A run that takes longer than its interval lets the next one begin when it has ended, and tells of itself then.
            let Some(next) = self.next(at, if slot == 0 { Duration::ZERO } else { budget }) else { return false };
            at = self.after_quiet(next);
            held_back |= at > next;
            if now <= at {
                return false;
            }
        }
        let has_place = held_back || matches!(self.schedule.timing, Timing::Cron(_));
        let late = self.schedule.jitter + if has_place { self.schedule.splay } else { Duration::ZERO };
        now > self.after_quiet(after(at, late))
    }

    /// The slot that follows one whose run took so long.
    fn next(&self, at: Timestamp, took: Duration) -> Option<Timestamp> {
        match &self.schedule.timing {
            Timing::Every(interval) => Some(after(at, took.max(*interval))),
            Timing::Cron(cron) => Some(cron.next_after(at, &self.zone)?.max(after(at, took))),
        }
    }

    /// Where it is always quiet, as if it never were: what does not come is missed.
    fn after_quiet(&self, at: Timestamp) -> Timestamp {
        self.quiet.left(at).map_or(at, |left| at.saturating_add(left).unwrap_or(Timestamp::MAX))
    }
}

fn after(at: Timestamp, duration: Duration) -> Timestamp {
    at.saturating_add(duration).unwrap_or(Timestamp::MAX)
}
