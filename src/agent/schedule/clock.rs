use jiff::Timestamp;
use std::time::Duration;

/// What the clocks show at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The wall clock, which may be wrong and may jump.
    pub(crate) wall: Timestamp,
    /// Names the boot, where the system has such names; without it `up` tells nothing.
    pub(crate) boot: Option<String>,
    /// Time since the boot, sleep included.
    pub(crate) up: Duration,
}

impl Reading {
    /// Reads the clocks. Where the boot clock cannot be read no boot is named, and the wall clock alone counts.
    #[expect(clippy::disallowed_methods, reason = "this is the place where schedules read the clocks")]
    pub(crate) fn now() -> Self {
        let (boot, up) = up_time();
        Self { wall: Timestamp::now(), boot, up }
    }
}

#[cfg(unix)]
fn up_time() -> (Option<String>, Duration) {
    use nix::time::{ClockId, clock_gettime};
    // Linux counts sleep on a clock of its own; macOS has no name for the boot, so that the wall clock counts there.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::CLOCK_MONOTONIC;
    clock_gettime(clock).map_or((None, Duration::ZERO), |time| (boot_name(), Duration::from(time)))
}

#[cfg(not(unix))]
fn up_time() -> (Option<String>, Duration) {
    (None, Duration::ZERO)
}

#[cfg(unix)]
fn boot_name() -> Option<String> {
    /// A UUID in text.
    const MAX_CHARS: usize = 64;
    let name = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let name = name.trim();
    (!name.is_empty() && name.len() <= MAX_CHARS).then(|| name.to_owned())
}
