//! Kernel stamps on the run's own clock.
//!
//! Stamps are of the wall clock, which somebody may set at any moment; two stamps are therefore never subtracted from one another.
//! Each is moved to the run's monotonic clock by the offset between the two clocks that was measured just after it was read. That
//! offset is constant (slewing changes the rate of both clocks alike) until the wall clock is set; stamps read around such a step are
//! refused.

use std::time::Duration;

/// Two measurements of the offset that differ by more are a step: each is good to a microsecond.
const STEP_NS: u64 = 20_000;
/// After a step so many batches of stamps are refused: the one in which it was noticed, and one more, because a packet that was
/// stamped before the step may have been read after it.
const REFUSED_BATCHES: u8 = 2;

#[derive(Debug, Default)]
pub(super) struct StampClock {
    offset_ns: Option<i64>,
    refused_batches: u8,
}

impl StampClock {
    /// Takes the offset (wall clock minus run clock) that was measured after a batch of stamps was read.
    pub(super) fn measured(&mut self, offset_ns: i64) {
        let stepped = self.offset_ns.is_some_and(|before| before.abs_diff(offset_ns) > STEP_NS);
        self.refused_batches = if stepped { REFUSED_BATCHES } else { self.refused_batches.saturating_sub(1) };
        self.offset_ns = Some(offset_ns);
    }

    /// The stamp on the run's clock; nothing where the wall clock was set around the time it was made.
    pub(super) fn on_run_clock(&self, stamp_ns: i64) -> Option<Duration> {
        let offset_ns = self.offset_ns.filter(|_| self.refused_batches == 0)?;
        u64::try_from(stamp_ns.checked_sub(offset_ns)?).ok().map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_error_of_measurement_is_no_step() {
        let mut clock = StampClock::default();
        clock.measured(1_000_000_000);
        clock.measured(1_000_000_900);
        assert_eq!(clock.on_run_clock(1_000_500_900), Some(Duration::from_micros(500)));
    }

    proptest! {
        /// Packets are stamped, and read in batches; the wall clock is set in between at any time. Every stamp either comes out at
        /// its true time or is refused, and after the last step stamps are used again.
        #[test]
        fn no_step_of_the_wall_clock_moves_a_stamp(
            steps in prop::collection::vec((0_u64..1_000, -5_000_000_000_i64..5_000_000_000), 0..4),
            stamped in prop::collection::vec(0_u64..1_000, 1..200),
            delay in 0_u64..10,
        ) {
            const START: i64 = 1_700_000_000_000_000_000;
            let offset_at = |at: u64| START + steps.iter().filter(|(when, _)| *when <= at).map(|(_, by)| by).sum::<i64>();
            let mut stamped = stamped;
            stamped.sort_unstable();
            let mut clock = StampClock::default();
            let mut waiting = stamped.into_iter().peekable();
            let mut last_used = false;
            clock.measured(offset_at(0));
            // A batch every ten milliseconds takes what was stamped at least `delay` before it was measured.
            for batch in 1..=103_u64 {
                let measured_at = batch * 10;
                let mut taken = Vec::new();
                while let Some(at) = waiting.next_if(|at| at + delay <= measured_at) {
                    taken.push(at);
                }
                clock.measured(offset_at(measured_at));
                for at in taken {
                    let stamp = offset_at(at) + i64::try_from(at * 1_000_000).unwrap();
                    if let Some(moved) = clock.on_run_clock(stamp) {
                        let small = steps.iter().all(|(_, by)| by.unsigned_abs() <= STEP_NS);
                        prop_assert!(small || moved == Duration::from_millis(at), "stamped at {at} ms, moved to {moved:?}");
                    }
                }
                last_used = clock.on_run_clock(offset_at(measured_at) + 1).is_some();
            }
            prop_assert!(last_used);
        }
    }
}
