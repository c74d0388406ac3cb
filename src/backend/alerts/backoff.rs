use std::time::Duration;

/// After the first failure. It doubles with each further one.
const FIRST: Duration = Duration::from_secs(5);
/// Between two attempts at most, whatever the receiver asks for.
const LONGEST: Duration = Duration::from_secs(3600);
/// Between two attempts at least, whatever the dice say.
const SHORTEST: Duration = Duration::from_secs(1);
/// An alert that could not be delivered in a day is no news any more.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How long to wait after the `attempts`-th failure (from 1) of an alert that was made `age` ago; nothing where it is given up. `dice` is from 0 to 1:
/// the wait is a random part of the bound, so that many alerts do not come back together.
pub(super) fn wait(attempts: u32, age: Duration, asked: Option<Duration>, dice: f64) -> Option<Duration> {
    let bound = FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(LONGEST);
    let drawn = bound.mul_f64(dice.clamp(0.0, 1.0)).max(SHORTEST);
    let wait = asked.map_or(drawn, |asked| asked.max(drawn).min(LONGEST));
    (age.saturating_add(wait) < GIVE_UP_AFTER).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_end_after_a_day() {
        let none = Duration::ZERO;
        assert_eq!(wait(1, none, None, 1.0), Some(Duration::from_secs(5)));
        assert_eq!(wait(3, none, None, 1.0), Some(Duration::from_secs(20)));
        assert_eq!(wait(3, none, None, 0.5), Some(Duration::from_secs(10)));
        assert_eq!(wait(1, none, None, 0.0), Some(SHORTEST));
        assert_eq!(wait(4_000_000_000, none, None, 1.0), Some(LONGEST));
        assert_eq!(wait(30, GIVE_UP_AFTER - Duration::from_secs(1), None, 1.0), None);
    }

    #[test]
    fn a_receiver_is_heeded_within_reason() {
        assert_eq!(wait(1, Duration::ZERO, Some(Duration::from_secs(90)), 1.0), Some(Duration::from_secs(90)));
        assert_eq!(wait(1, Duration::ZERO, Some(Duration::from_secs(u64::MAX)), 1.0), Some(LONGEST));
        assert_eq!(wait(5, Duration::ZERO, Some(Duration::ZERO), 1.0), Some(Duration::from_secs(80)));
    }
}
