use std::time::Duration;

/// The moments at which one of many machines may send to an address: they take turns, each its own place in the same round. Pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// From one moment to the next; longer than nothing.
    pub interval: Duration,
    /// The first one, on the run's clock.
    pub first: Duration,
}

impl Slots {
    /// The first moment that is not before `earliest`.
    pub(crate) fn turn(self, earliest: Duration) -> Duration {
        let since = earliest.saturating_sub(self.first).as_nanos();
        let interval = self.interval.as_nanos().max(1);
        let after = since.div_ceil(interval).saturating_mul(interval);
        let after = u64::try_from(after).unwrap_or(u64::MAX);
        self.first.saturating_add(Duration::from_nanos(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_never_between_two_of_its_moments() {
        let slots = Slots { interval: Duration::from_secs(5), first: Duration::from_secs(2) };
        for (earliest, turn) in [(0, 2_000), (2_000, 2_000), (2_001, 7_000), (7_000, 7_000), (30_500, 32_000)] {
            assert_eq!(slots.turn(Duration::from_millis(earliest)), Duration::from_millis(turn), "{earliest}");
        }
        assert!(Slots { interval: Duration::ZERO, first: Duration::ZERO }.turn(Duration::from_secs(1)) >= Duration::from_secs(1));
    }
}
