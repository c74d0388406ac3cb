//! When a bundle that did not arrive is sent again. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The first wait is up to this long.
const FIRST: Duration = Duration::from_secs(30);
/// A machine that was offline for a weekend is heard of within the hour after it is back.
const LONGEST: Duration = Duration::from_secs(3_600);
/// A backend may ask for so much and no more: a hint of a year is a mistake, and a bundle must not wait for ever on one.
const LONGEST_HINT: Duration = Duration::from_secs(24 * 3_600);
/// What went wrong is kept in so many characters.
const MAX_REASON: usize = 300;

/// Evenly spread from 0 to 1: whoever draws it has randomness, and tests have none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance(pub(crate) f64);

/// What sending a bundle came to so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tries {
    #[serde(default)]
    pub(crate) failed: u32,
    /// When the last one failed, by this machine's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<Timestamp>,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Timestamp>,
    /// Why the last one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl Tries {
    pub(crate) fn is_none(&self) -> bool {
        self.failed == 0
    }

    /// One more that failed. The wait is full jitter: evenly spread between nothing and a bound that doubles with each failure, so that those
    /// who failed together do not come back together. What the backend asked for comes before that, and is never cut short.
    pub(crate) fn after_failure(&self, now: Timestamp, hint: Option<Duration>, reason: &str, chance: Chance) -> Self {
        let failed = self.failed.saturating_add(1);
        let bound = FIRST.saturating_mul(1_u32 << (failed - 1).min(16)).min(LONGEST);
        let wait = hint.unwrap_or_default().min(LONGEST_HINT) + bound.mul_f64(chance.0.clamp(0.0, 1.0));
        let next = SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok());
        Self { failed, last: Some(now), next, reason: Some(reason.chars().take(MAX_REASON).collect()) }
    }

    /// When it is tried again, seen from `now`; nothing where that is now. A clock that was set back, or forward from far in the past, makes no
    /// bundle wait longer than it would have.
    pub(crate) fn rest(&self, now: Timestamp) -> Option<Timestamp> {
        let (last, next) = (self.last?, self.next?);
        let longest = LONGEST_HINT + LONGEST;
        let is_sane = last <= now && next.duration_since(now).unsigned_abs() <= longest;
        (is_sane && now < next).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn waits_grow_are_spread_over_their_whole_length_and_end_at_an_hour() {
        let mut tries = Tries::default();
        for bound in [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
            let next = |chance| tries.after_failure(at(0), None, "no answer", Chance(chance)).next;
            assert_eq!((next(0.0), next(1.0)), (Some(at(0)), Some(at(bound))));
            tries = tries.after_failure(at(0), None, "no answer", Chance(0.5));
        }
        assert_eq!(tries.failed, 9);
    }

    #[test]
    fn the_backends_hint_is_never_cut_short_but_has_a_bound() {
        let hinted = |hint, chance| Tries::default().after_failure(at(0), Some(hint), "busy", Chance(chance)).next;
        assert_eq!(hinted(Duration::from_secs(600), 0.0), Some(at(600)));
        assert_eq!(hinted(Duration::from_secs(600), 1.0), Some(at(630)));
        assert_eq!(hinted(Duration::MAX, 0.0), Some(at(24 * 3_600)));
    }

    #[test]
    fn a_clock_that_jumps_holds_no_bundle_back() {
        let tries = Tries::default().after_failure(at(0), None, "no answer", Chance(1.0));
        assert_eq!(tries.rest(at(10)), Some(at(30)));
        assert_eq!(tries.rest(at(30)), None);
        assert_eq!(tries.rest(at(-10)), None, "the clock was set back");
        let future = Tries { last: Some(at(0)), next: Some(at(90_000_000)), ..tries };
        assert_eq!(future.rest(at(1)), None, "the clock stood years ahead");
        assert_eq!(Tries::default().rest(at(0)), None);
    }
}
