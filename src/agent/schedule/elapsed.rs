use super::Reading;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A wall clock that leaves the boot clock by more than this was set; what NTP does in small steps is not worth telling.
const CLOCK_SET: SignedDuration = SignedDuration::from_secs(2);
/// Nobody looked for so long: the machine slept, or the program hung.
const ASLEEP: Duration = Duration::from_secs(120);
/// Across a boot only the wall clock tells how long the machine was off, and it may lie.
const LONGEST_OFF: Duration = Duration::from_secs(31 * 24 * 3_600);

/// Time that passed since the schedules began, sleep included; kept over restarts. It never goes back, and nobody who sets the clock moves it
/// while the machine is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Elapsed {
    total_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    up_ms: u64,
    wall: Timestamp,
}

/// What was noticed of the clocks since they were last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Noticed {
    /// Somebody or something set the wall clock by this much.
    ClockSet(SignedDuration),
    /// For so long nobody looked, though the machine was not started anew.
    Asleep(Duration),
    /// The machine was started anew.
    Booted,
}

impl Elapsed {
    pub(crate) fn begin(now: &Reading) -> Self {
        Self { total_ms: 0, boot: now.boot.clone(), up_ms: milliseconds(now.up), wall: now.wall }
    }

    pub(crate) fn total(&self) -> Duration {
        Duration::from_millis(self.total_ms)
    }

    /// `later` is this one within the same boot, and less than `most` after it.
    pub(crate) fn is_soon_before(&self, later: &Self, most: Duration) -> bool {
        self.boot == later.boot && later.total().saturating_sub(self.total()) < most
    }

    /// Goes on to this reading.
    pub(crate) fn advance(&mut self, now: &Reading) -> Vec<Noticed> {
        let up_ms = milliseconds(now.up);
        let by_wall = now.wall.duration_since(self.wall);
        let mut noticed = Vec::new();
        let same_boot = self.boot.is_some() && self.boot == now.boot && up_ms >= self.up_ms;
        let passed = if same_boot {
            let passed = Duration::from_millis(up_ms - self.up_ms);
            let set = by_wall - SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
            if set.abs() > CLOCK_SET {
                noticed.push(Noticed::ClockSet(set));
            }
            if passed > ASLEEP {
                noticed.push(Noticed::Asleep(passed));
            }
            passed
        } else {
            if self.boot.is_some() {
                noticed.push(Noticed::Booted);
            }
            Duration::try_from(by_wall).unwrap_or_default().min(LONGEST_OFF)
        };
        self.total_ms = self.total_ms.saturating_add(milliseconds(passed));
        (self.boot, self.up_ms, self.wall) = (now.boot.clone(), up_ms, now.wall);
        noticed
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall: i64, boot: Option<&str>, up: u64) -> Reading {
        let wall = Timestamp::from_second(1_800_000_000 + wall).unwrap();
        Reading { wall, boot: boot.map(str::to_owned), up: Duration::from_secs(up) }
    }

    #[test]
    fn a_clock_that_is_set_moves_nothing_while_the_machine_is_up() {
        let mut elapsed = Elapsed::begin(&reading(0, Some("a"), 100));
        assert_eq!(elapsed.advance(&reading(10, Some("a"), 110)), []);
        assert_eq!(elapsed.advance(&reading(-3_580, Some("a"), 120)), [Noticed::ClockSet(SignedDuration::from_hours(-1))]);
        assert_eq!(elapsed.total(), Duration::from_secs(20));
    }

    #[test]
    fn eight_hours_of_sleep_pass() {
        let mut elapsed = Elapsed::begin(&reading(0, Some("a"), 0));
        let slept = Duration::from_secs(8 * 3_600);
        assert_eq!(elapsed.advance(&reading(28_800, Some("a"), 28_800)), [Noticed::Asleep(slept)]);
        assert_eq!(elapsed.total(), slept);
    }

    #[test]
    fn a_boot_counts_by_the_wall_clock_forward_only() {
        let mut elapsed = Elapsed::begin(&reading(0, Some("a"), 500));
        assert_eq!(elapsed.advance(&reading(60, Some("b"), 5)), [Noticed::Booted]);
        assert_eq!(elapsed.total(), Duration::from_secs(60));
        // A dead battery: 1970.
        elapsed.advance(&reading(-1_700_000_000, Some("c"), 5));
        assert_eq!(elapsed.total(), Duration::from_secs(60));
        elapsed.advance(&reading(0, Some("d"), 5));
        assert_eq!(elapsed.total(), Duration::from_secs(60) + LONGEST_OFF);
    }
}
