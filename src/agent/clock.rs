//! The clocks that an agent's epochs are counted on. The wall clock and the run's clock are the probes' own.

use std::time::Duration;

/// A stretch of time that no sleep and no clock set by hand can hide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpTime {
    /// Names the boot, where the system has such names; the process elsewhere. Nothing where nobody can tell.
    pub(crate) boot: Option<String>,
    /// Since then or longer, sleep included.
    pub(crate) now: Duration,
}

impl UpTime {
    pub(crate) fn read() -> Self {
        match since_boot() {
            Some(now) => Self { boot: boot_name(), now },
            None => Self { boot: None, now: Duration::ZERO },
        }
    }
}

/// Time since the boot, or since any other moment before; sleep counts. None where nobody can tell.
///
/// Linux counts sleep on a clock of its own; elsewhere the monotonic clock goes on while the machine sleeps.
#[cfg(unix)]
pub(crate) fn since_boot() -> Option<Duration> {
    use nix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::CLOCK_MONOTONIC;
    clock_gettime(clock).ok().map(Duration::from)
}

/// The performance counter goes on while the machine sleeps.
#[cfg(not(unix))]
pub(crate) fn since_boot() -> Option<Duration> {
    static STARTED: std::sync::OnceLock<netsonde_probes::clock::Clock> = std::sync::OnceLock::new();
    Some(STARTED.get_or_init(netsonde_probes::clock::Clock::start).now())
}

#[cfg(target_os = "linux")]
fn boot_name() -> Option<String> {
    /// A UUID in text.
    const MAX_CHARS: usize = 64;
    let name = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let name = name.trim();
    (!name.is_empty() && name.len() <= MAX_CHARS).then(|| name.to_owned())
}

/// Where boots have no names that can be had without further rights, an agent's start counts as one: an epoch more than needed, never one
/// that lives too long.
#[cfg(not(target_os = "linux"))]
fn boot_name() -> Option<String> {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let name = || crate::state::random::<16>().ok().map(|bytes| netsonde_contract::bundle::hexadecimal(&bytes));
    NAME.get_or_init(name).clone()
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
