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

    /// Time since the run began, in microseconds.
    pub fn now_us(&self) -> u64 {
        microseconds(self.now())
    }

    /// The machine's wall clock, which may be wrong and may jump.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    pub fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Whole microseconds; a duration too long for the type counts as its maximum.
pub fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
