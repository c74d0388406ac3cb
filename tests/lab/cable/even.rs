//! Chances that fall evenly: of each run of cases exactly one, at a place in the run that dice choose.

use super::super::dice::Dice;
use std::collections::HashMap;
use std::hash::Hash;

/// What was seen so far of each kind of case.
pub(super) struct Even<K> {
    runs: HashMap<K, Run>,
}

/// The cases since the last run began.
struct Run {
    seen: u64,
    chosen: u64,
}

impl<K> Default for Even<K> {
    fn default() -> Self {
        Self { runs: HashMap::new() }
    }
}

impl<K: Eq + Hash> Even<K> {
    /// Whether it happens in this case, the next one of its kind.
    pub(super) fn falls(&mut self, kind: K, chance: f64, dice: &mut Dice) -> bool {
        if chance <= 0.0 {
            return false;
        }
        let length = (1.0 / chance).round().max(1.0) as u64;
        let run = self.runs.entry(kind).or_insert(Run { seen: length, chosen: 0 });
        if run.seen >= length {
            *run = Run { seen: 0, chosen: dice.whole(0, length - 1) };
        }
        let falls = run.seen == run.chosen;
        run.seen += 1;
        falls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_run_of_cases_exactly_one_is_chosen_and_not_always_the_same_place() {
        let (mut even, mut dice) = (Even::default(), Dice::new(3));
        let runs: Vec<Vec<bool>> = (0..40).map(|_| (0..5).map(|_| even.falls("ping", 0.2, &mut dice)).collect()).collect();
        assert!(runs.iter().all(|run| run.iter().filter(|fell| **fell).count() == 1));
        assert!((0..5).all(|place| runs.iter().any(|run| run[place])));
    }

    #[test]
    fn each_kind_has_runs_of_its_own() {
        let (mut even, mut dice) = (Even::default(), Dice::new(3));
        let mut count = |kind| (0..4).filter(|_| even.falls(kind, 0.25, &mut dice)).count();
        assert_eq!((count(1), count(2), count(1)), (1, 1, 1));
    }
}
