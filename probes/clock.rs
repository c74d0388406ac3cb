use jiff::Timestamp;
use std::time::{Duration, Instant};

/// The run's clock: a monotonic one that starts at zero, beside the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
    pub fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// Time since the run began.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
    pub fn now(&self) -> Duration {
        Instant::now().duration_since(self.began)
    }

    /// The monotonic clock itself, for state machines that count in its terms.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
    pub(crate) fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Time since the run began, in microseconds.
    pub fn now_us(&self) -> u64 {
        microseconds(self.now())
    }

    /// The wall clock (since 1970) minus this clock, in nanoseconds: constant until somebody sets the wall clock.
    ///
    /// The wall clock is read between two readings of this one. Where the program was interrupted in between, they lie far apart; the
    /// closest of a few tries counts.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clocks")]
    pub fn wall_offset_ns(&self) -> i64 {
        const TRIES: usize = 5;
        const CLOSE: Duration = Duration::from_micros(1);
        let mut best = (Duration::MAX, 0);
        for _ in 0..TRIES {
            let before = self.now();
            let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let apart = self.now().saturating_sub(before);
            if apart < best.0 {
                best = (apart, nanoseconds(wall) - nanoseconds(before + apart / 2));
            }
            if apart < CLOSE {
                break;
            }
        }
        best.1
    }

    /// The machine's wall clock, which may be wrong and may jump.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    pub fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Nanoseconds; a duration too long for the type counts as its maximum.
fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Whole microseconds; a duration too long for the type counts as its maximum.
pub fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
