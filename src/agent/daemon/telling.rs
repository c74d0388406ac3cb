//! What the backend does not take is told again, ever later, and holds up no other report meanwhile.

use super::sending::Told;
use netsonde_contract::id::OrderId;
use std::collections::BTreeMap;
use std::time::Duration;

/// A report that was not taken rests for so long …
const FIRST_REST: Duration = Duration::from_secs(60);
/// … doubled each time up to this: a backend that is mended hears of it within the hour.
const LONGEST_REST: Duration = Duration::from_secs(3_600);
/// More reports than an agent has; the one that rests longest goes where there are more.
const MOST: usize = 512;

/// Reports that the backend did not take. It reads no clock: `now` is any clock that goes forward.
#[derive(Debug, Default)]
pub(super) struct Untaken {
    /// Until when each order's report rests, and for how long that is.
    resting: BTreeMap<OrderId, (Duration, Duration)>,
}

impl Untaken {
    pub(super) fn rests(&self, order: &OrderId, now: Duration) -> bool {
        self.resting.get(order).is_some_and(|(until, _)| now < *until)
    }

    /// Takes in what became of a report.
    pub(super) fn told(&mut self, order: &OrderId, told: Told, now: Duration) {
        match told {
            Told::Lost => {}
            Told::Heard => drop(self.resting.remove(order)),
            Told::NotTaken => {
                let rest = self.resting.get(order).map_or(FIRST_REST, |(_, rest)| (*rest * 2).min(LONGEST_REST));
                self.resting.insert(order.clone(), (now + rest, rest));
                if self.resting.len() > MOST
                    && let Some(last) = self.resting.iter().max_by_key(|(_, (until, _))| *until).map(|(order, _)| order.clone())
                {
                    self.resting.remove(&last);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> OrderId {
        OrderId::new(format!("{number:032x}"))
    }

    #[test]
    fn what_is_not_taken_is_told_again_ever_later_until_it_is_heard() {
        let (mut untaken, mut now) = (Untaken::default(), Duration::ZERO);
        for least in [60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
            untaken.told(&id(1), Told::NotTaken, now);
            let least = Duration::from_secs(least);
            assert!(untaken.rests(&id(1), now + least - Duration::from_millis(1)) && !untaken.rests(&id(1), now + least));
            now += least;
        }
        untaken.told(&id(1), Told::Lost, now);
        assert!(!untaken.rests(&id(1), now) && !untaken.rests(&id(2), now));
        untaken.told(&id(1), Told::Heard, now);
        untaken.told(&id(1), Told::NotTaken, now);
        assert!(!untaken.rests(&id(1), now + FIRST_REST));
    }

    #[test]
    fn no_more_is_remembered_than_an_agent_has_to_tell() {
        let mut untaken = Untaken::default();
        for number in 0..MOST * 2 {
            untaken.told(&id(number), Told::NotTaken, Duration::ZERO);
        }
        assert_eq!(untaken.resting.len(), MOST);
    }
}
