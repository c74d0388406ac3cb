//! When the agent measures by itself.
//!
//! [`Scheduler`] is pure: it takes a [`Reading`] of the clocks and says what is to run now and how long nothing is. Intervals are counted on
//! [`Elapsed`] time, which goes on through sleep and is carried over restarts; cron is counted on the wall clock. Each schedule's last slot is
//! kept, so that no slot runs twice, and however many were missed run once.

/// Reads the clocks.
mod clock;
/// Time that really passed, whoever set the clock.
mod elapsed;
/// When a measurement is so old that slots were missed since.
mod expected;
/// One schedule: which slot is due, and when.
mod machine;
/// Where in its splay an agent begins, and how a run is delayed.
mod place;
/// Hours in which nothing runs.
mod quiet;
/// All schedules together.
mod scheduler;
/// The schedules' state on disk.
mod store;
#[cfg(test)]
mod tests;

pub(crate) use clock::Reading;
pub(crate) use elapsed::{Elapsed, Noticed};
pub(crate) use expected::Expected;
pub(crate) use scheduler::{Persisted, Scheduler};
pub(crate) use store::{load, save};
