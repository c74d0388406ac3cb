//! How many answers a target has ready, where it answers with ICMP errors: Linux sends one asker six of them at once, and one a second
//! after that (`icmp_ratelimit`). What it refuses to say it would look as if the network had lost.

use std::time::Duration;

/// One answer takes so long to become ready: Linux' second, and what a busy machine may be late.
const EACH: Duration = Duration::from_millis(1_100);
/// So many are ready at most.
const BURST: u32 = 6;

/// The limit as it is kept by the target, as far as its answers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::traceroute) struct Allowance {
    /// Answers that are ready at `at`, each worth [`EACH`].
    ready: Duration,
    at: Duration,
}

impl Allowance {
    /// After the target has answered so many probes since it was asked first.
    pub(in crate::traceroute) fn after(answered: u32, asked_first: Duration, now: Duration) -> Self {
        let earned = EACH * BURST + now.saturating_sub(asked_first);
        Self { ready: earned.saturating_sub(EACH * answered).min(EACH * BURST), at: now }
    }

    /// Nothing is ready, as where the target was seen to be silent.
    pub(in crate::traceroute) fn none(now: Duration) -> Self {
        Self { ready: Duration::ZERO, at: now }
    }

    /// When an answer is ready.
    pub(in crate::traceroute) fn due(&self) -> Duration {
        self.at + EACH.saturating_sub(self.ready)
    }

    /// A probe is sent that may take one.
    pub(in crate::traceroute) fn take(&mut self, now: Duration) {
        self.earn(now);
        self.ready = self.ready.saturating_sub(EACH);
    }

    /// A probe took none after all: it never arrived.
    pub(in crate::traceroute) fn give_back(&mut self, now: Duration) {
        self.earn(now);
        self.ready = (self.ready + EACH).min(EACH * BURST);
    }

    fn earn(&mut self, now: Duration) {
        self.ready = (self.ready + now.saturating_sub(self.at)).min(EACH * BURST);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_are_ready_at_once_and_then_one_each_second() {
        let start = Duration::from_secs(3);
        let mut allowance = Allowance::after(0, start, start);
        for _ in 0..6 {
            assert_eq!(allowance.due(), start);
            allowance.take(start);
        }
        assert_eq!(allowance.due(), start + EACH);
        allowance.give_back(start);
        assert_eq!(allowance.due(), start);
    }

    #[test]
    fn what_the_trace_used_up_is_not_there_any_more() {
        let (first, now) = (Duration::ZERO, Duration::from_millis(1_650));
        assert_eq!(Allowance::after(7, first, now).due(), now + EACH / 2);
        assert_eq!(Allowance::after(2, first, now).due(), now);
        assert_eq!(Allowance::none(now).due(), now + EACH);
    }
}
