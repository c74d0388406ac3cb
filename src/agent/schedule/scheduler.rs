use super::Reading;
use super::elapsed::{Elapsed, Noticed};
use super::machine::{Due, Kept, Machine, Now, Slot};
use super::quiet::local;
use crate::stop::Stop;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use netsonde_contract::agent_config::{AgentConfig, Schedule, Timing};
use netsonde_contract::policy::Hours;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Timers stand still while a machine sleeps, so that nobody waits longer than this before looking at the clocks again: a run is at most so
/// late after waking up, for two wake-ups a minute.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// All schedules of one file.
#[derive(Clone, Debug)]
pub(crate) struct Scheduler {
    elapsed: Elapsed,
    machines: BTreeMap<String, Machine>,
    /// When nothing is sent that can wait.
    uploads_quiet: Vec<Hours>,
    uploads_zone: TimeZone,
}

/// What stays on disk of all schedules. It is written before a slot is run: a crash then costs that slot and never runs it twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Persisted {
    elapsed: Elapsed,
    schedules: BTreeMap<String, Kept>,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Polled {
    /// Schedules to run, with their slots. They count as taken.
    pub(crate) due: Vec<(String, Slot)>,
    /// How long to wait before the next look, by whatever clock.
    pub(crate) wait: Duration,
    pub(crate) noticed: Vec<Noticed>,
}

impl Persisted {
    /// The names of the schedules that had slots.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.schedules.keys().map(String::as_str)
    }
}

impl Scheduler {
    /// # Errors
    /// Where a time zone is not known on this machine.
    pub(crate) fn new(config: &AgentConfig, agent: &str, persisted: Option<Persisted>, now: &Reading) -> Result<Self, Stop> {
        let mut kept = BTreeMap::new();
        let mut elapsed = Elapsed::begin(now);
        if let Some(persisted) = persisted {
            (elapsed, kept) = (persisted.elapsed, persisted.schedules);
        }
        // What passed since then is counted, and told of, by the first poll.
        let mut ahead = elapsed.clone();
        ahead.advance(now);
        let present = Now { wall: now.wall, elapsed: ahead.total() };
        let machine = |schedule: &Schedule| {
            let kept = kept.get(&schedule.name).cloned();
            Ok((schedule.name.clone(), Machine::new(schedule, zone_of(schedule)?, agent, kept, present)))
        };
        let machines = config.schedules.iter().map(machine).collect::<Result<_, Stop>>()?;
        let uploads_zone = zone(config.upload.zone.as_deref(), !config.upload.quiet.is_empty(), || "[upload]".to_owned())?;
        Ok(Self { elapsed, machines, uploads_quiet: config.upload.quiet.clone(), uploads_zone })
    }

    /// What is to run now. A schedule whose last run still goes on is `busy`: its slots wait, and run once.
    pub(crate) fn poll(&mut self, now: &Reading, busy: impl Fn(&str) -> bool) -> Polled {
        let noticed = self.elapsed.advance(now);
        let present = Now { wall: now.wall, elapsed: self.elapsed.total() };
        let mut polled = Polled { due: Vec::new(), wait: LONGEST_WAIT, noticed };
        for (name, machine) in self.machines.iter_mut().filter(|(name, _)| !busy(name)) {
            let mut due = machine.poll(present);
            if let Due::Now(slot) = due {
                machine.take(slot);
                polled.due.push((name.clone(), slot));
                due = machine.poll(present);
            }
            if let Due::In(wait) = due {
                polled.wait = polled.wait.min(wait);
            }
        }
        polled
    }

    /// A schedule's last slot was not run after all, since the agent ends: it is due again, for whoever comes next.
    pub(crate) fn give_back(&mut self, name: &str) {
        if let Some(machine) = self.machines.get_mut(name) {
            machine.give_back();
        }
    }

    /// Whether these are the hours in which nothing is sent that can wait.
    pub(crate) fn are_uploads_quiet(&self, now: Timestamp) -> bool {
        local(now, &self.uploads_zone).is_some_and(|time| self.uploads_quiet.iter().any(|hours| hours.contain(time)))
    }

    /// Whether these are the schedule's quiet hours.
    pub(crate) fn is_quiet(&self, name: &str, now: Timestamp) -> bool {
        self.machines.get(name).is_some_and(|machine| machine.is_quiet(now))
    }

    /// The times of a schedule's next runs, as the clocks go now. It takes nothing.
    pub(crate) fn upcoming(&self, name: &str, now: &Reading, count: usize) -> Vec<Timestamp> {
        let Some(mut machine) = self.machines.get(name).cloned() else { return Vec::new() };
        let mut ahead = self.elapsed.clone();
        ahead.advance(now);
        let mut present = Now { wall: now.wall, elapsed: ahead.total() };
        let mut times = Vec::new();
        while times.len() < count {
            match machine.poll(present) {
                Due::Now(slot) => {
                    machine.take(slot);
                    times.push(present.wall);
                }
                Due::In(wait) => match present.wall.checked_add(wait) {
                    Ok(wall) => present = Now { wall, elapsed: present.elapsed.saturating_add(wait) },
                    Err(_) => break,
                },
                Due::Never => break,
            }
        }
        times
    }

    /// Time that passed since the schedules began, sleep included; nobody who sets a clock moves it while the machine is up.
    pub(crate) fn passed(&self, now: &Reading) -> Duration {
        let mut ahead = self.elapsed.clone();
        ahead.advance(now);
        ahead.total()
    }

    pub(crate) fn persisted(&self) -> Persisted {
        let schedules = self.machines.iter().map(|(name, machine)| (name.clone(), machine.kept().clone())).collect();
        Persisted { elapsed: self.elapsed.clone(), schedules }
    }
}

/// The machine's own zone; UTC where nothing on it names one.
///
/// # Errors
/// Where `TZ` names one that nobody knows: what is to happen at three o'clock would happen at another hour, and nobody would say so.
fn own_zone(variable: &str, system: Result<TimeZone, jiff::Error>) -> Result<TimeZone, Stop> {
    match system {
        Ok(zone) if !zone.is_unknown() => Ok(zone),
        _ if variable.is_empty() => Ok(TimeZone::UTC),
        _ => Err(Stop::usage(format!("this machine does not know its own time zone `{variable}`, which the variable TZ names"))
            .next("set TZ to an IANA name such as Europe/Berlin, or unset it; or give the schedule a `zone`")),
    }
}

/// # Errors
/// Where this machine does not know the zone of the schedule's cron and quiet hours.
pub(super) fn zone_of(schedule: &Schedule) -> Result<TimeZone, Stop> {
    let about = || format!("the schedule `{}` in line {}", schedule.name, schedule.line);
    let by_clock = matches!(schedule.timing, Timing::Cron(_)) || !schedule.quiet.is_empty();
    zone(schedule.zone.as_deref(), by_clock, about)
}

/// The zone of a clock, the machine's own where none is named. `by_clock` is whether anything hangs on it.
///
/// # Errors
/// Where this machine does not know it.
fn zone(name: Option<&str>, by_clock: bool, about: impl FnOnce() -> String) -> Result<TimeZone, Stop> {
    let Some(name) = name else {
        if !by_clock {
            return Ok(TimeZone::UTC);
        }
        return own_zone(&std::env::var("TZ").unwrap_or_default(), TimeZone::try_system());
    };
    TimeZone::get(name).map_err(|_| {
        Stop::usage(format!("this machine does not know the time zone `{name}` of {}", about()))
            .next("write an IANA name such as Europe/Berlin or UTC; Debian has them in the package tzdata")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_zone_of_the_machine_that_nobody_knows_is_said_and_is_not_utc() {
        let unknown = || TimeZone::get("Nowhere/Atall");
        let stop = own_zone("Nowhere/Atall", unknown()).unwrap_err();
        assert!(stop.message.contains("`Nowhere/Atall`") && stop.next.is_some(), "{stop:?}");
        assert!(own_zone("Nowhere/Atall", Ok(TimeZone::unknown())).is_err());
        assert_eq!(own_zone("", unknown()), Ok(TimeZone::UTC), "a machine that names none");
        assert_eq!(own_zone("UTC", Ok(TimeZone::UTC)), Ok(TimeZone::UTC));
    }
}
