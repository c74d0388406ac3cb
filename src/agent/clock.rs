//! The clocks that an agent's epochs are counted on. The wall clock and the run's clock are the probes' own.

use std::time::Duration;

/// How long the machine has been up, sleep included, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpTime {
    /// Names the boot, where the system has such names.
    pub(crate) boot: Option<String>,
    pub(crate) now: Duration,
}

impl UpTime {
    /// Reads the boot clock. Where it cannot be read nobody can tell how much time has passed, and no boot is named.
    #[cfg(unix)]
    pub(crate) fn read() -> Self {
        use nix::time::{ClockId, clock_gettime};
        // Linux counts sleep on a clock of its own; elsewhere the monotonic clock goes on while the machine sleeps.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let clock = ClockId::CLOCK_BOOTTIME;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let clock = ClockId::CLOCK_MONOTONIC;
        match clock_gettime(clock) {
            Ok(time) => Self { boot: boot_name(), now: Duration::from(time) },
            Err(_) => Self { boot: None, now: Duration::ZERO },
        }
    }

    /// Without a clock that is known to count sleep, no stretch of time is known.
    #[cfg(not(unix))]
    pub(crate) fn read() -> Self {
        Self { boot: None, now: Duration::ZERO }
    }
}

#[cfg(unix)]
fn boot_name() -> Option<String> {
    /// A UUID in text.
    const MAX_CHARS: usize = 64;
    let name = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let name = name.trim();
    (!name.is_empty() && name.len() <= MAX_CHARS).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_goes_forward_within_one_boot() {
        let (first, second) = (UpTime::read(), UpTime::read());
        assert_eq!(first.boot, second.boot);
        assert!(second.now >= first.now);
    }
}
