//! Which size to try next in each direction. Pure.
//!
//! One packet tries both: where the reflector's numbers say that it came, its size passes forward; where its reply came, of the same size,
//! it passes in reverse, too.

/// Trials to one address at most: bisection of 9,216 sizes in each direction, with room.
pub(super) const MAX_TRIALS: u32 = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// The reply came.
    Both,
    /// The reflector saw the packet, and its reply did not come.
    ForwardOnly,
    /// The reflector did not see it.
    Neither,
    /// This machine's own interface would not send it.
    NotSent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    /// Passes.
    passed: u32,
    stopped: Option<u32>,
}

impl Range {
    fn next(self, largest: u32) -> Option<u32> {
        let stopped = self.stopped.unwrap_or(largest + 1).min(largest + 1);
        (stopped - self.passed > 1)
            .then(|| if self.stopped.is_none() { largest } else { self.passed + (stopped - self.passed) / 2 })
    }
}

#[derive(Debug)]
pub(super) struct Sizes {
    largest: u32,
    forward: Range,
    reverse: Range,
    own_interface: bool,
    trials: u32,
}

/// The result for one direction: the largest that passed, and the smallest that did not.
pub(super) type Found = (u32, Option<u32>);

impl Sizes {
    /// `known` is a size of which packet and reply passed.
    pub(super) fn new(known: u32, largest: u32) -> Self {
        let range = Range { passed: known.min(largest), stopped: None };
        Self { largest, forward: range, reverse: range, own_interface: false, trials: 0 }
    }

    /// The size to try next; none where both directions are known to the byte.
    pub(super) fn next(&self) -> Option<u32> {
        if self.trials >= MAX_TRIALS {
            return None;
        }
        // Nothing larger than what passes forward can come back.
        self.forward.next(self.largest).or_else(|| self.reverse.next(self.forward.passed))
    }

    pub(super) fn handle(&mut self, size: u32, trial: Trial) {
        self.trials += 1;
        match trial {
            Trial::Both => {
                self.forward.passed = self.forward.passed.max(size);
                self.reverse.passed = self.reverse.passed.max(size);
            }
            Trial::ForwardOnly => {
                self.forward.passed = self.forward.passed.max(size);
                self.reverse.stopped = Some(self.reverse.stopped.map_or(size, |stopped| stopped.min(size)));
            }
            Trial::Neither | Trial::NotSent => {
                self.own_interface = trial == Trial::NotSent;
                self.forward.stopped = Some(self.forward.stopped.map_or(size, |stopped| stopped.min(size)));
            }
        }
    }

    pub(super) fn forward(&self) -> Found {
        (self.forward.passed, self.forward.stopped)
    }

    pub(super) fn reverse(&self) -> Found {
        (self.reverse.passed, self.reverse.stopped)
    }

    /// What stopped the smallest size that did not pass forward was this machine itself.
    pub(super) fn own_interface(&self) -> bool {
        self.own_interface
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn searched(forward: u32, reverse: u32, largest: u32) -> (Found, Found, u32) {
        let mut sizes = Sizes::new(200, largest);
        let mut trials = 0;
        while let Some(size) = sizes.next() {
            trials += 1;
            let trial = match size {
                size if size > forward => Trial::Neither,
                size if size > reverse => Trial::ForwardOnly,
                _ => Trial::Both,
            };
            sizes.handle(size, trial);
        }
        (sizes.forward(), sizes.reverse(), trials)
    }

    #[test]
    fn a_wide_path_takes_one_trial() {
        assert_eq!(searched(1_500, 1_500, 1_500), ((1_500, None), (1_500, None), 1));
    }

    #[test]
    fn each_direction_is_found_to_the_byte() {
        let (forward, reverse, _) = searched(1_500, 1_400, 1_500);
        assert_eq!((forward, reverse), ((1_500, None), (1_400, Some(1_401))));
        let (forward, reverse, _) = searched(1_400, 1_500, 1_500);
        assert_eq!((forward, reverse), ((1_400, Some(1_401)), (1_400, None)));
    }

    proptest! {
        #[test]
        fn every_pair_of_limits_is_found_within_the_bound(forward in 200_u32..9_300, reverse in 200_u32..9_300) {
            let ((passed, stopped), back, trials) = searched(forward, reverse, 9_216);
            prop_assert_eq!(passed, forward.min(9_216));
            prop_assert_eq!(stopped, (forward < 9_216).then(|| forward + 1));
            prop_assert_eq!(back.0, reverse.min(passed));
            prop_assert_eq!(back.1, (reverse < passed).then(|| reverse + 1));
            prop_assert!(trials < MAX_TRIALS);
        }
    }
}
