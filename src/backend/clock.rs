//! The only place of this program that reads time.

use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Tells the time; tests make one that stands where they set it.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    pub(crate) fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that reads `now`, for tests.
    #[cfg(test)]
    pub(crate) fn of(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time in whole microseconds, which is what the database keeps.
    pub(crate) fn now(&self) -> Timestamp {
        from_micros((self.0)().as_microsecond())
    }
}

/// A time as the database keeps it; one that no calendar has reads as the epoch.
pub(crate) fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `time` and so much more, or the last time there is.
pub(crate) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// `time` and so much less, or the first time there is.
pub(crate) fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_sub(by).unwrap_or(Timestamp::MIN)
}

/// The monotonic moment that lies `wait` ahead, for timers.
pub(crate) fn moment_in(wait: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + wait
}
