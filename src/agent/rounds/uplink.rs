use crate::spool::Link;
use crate::upload::Pace;
use netsonde_contract::agent_config::{Metered, Rate};
use netsonde_probes::clock::Clock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// Whether what can wait may be sent now, and how fast anything goes. The rounds look, whoever sends asks.
#[derive(Debug, Default)]
pub(crate) struct Uplink {
    quiet: AtomicBool,
    metered: AtomicBool,
    pace: RwLock<Pace>,
}

impl Uplink {
    pub(crate) fn now(&self) -> Link {
        Link { quiet: self.quiet.load(Ordering::Relaxed), metered: self.metered.load(Ordering::Relaxed) }
    }

    pub(super) fn note(&self, link: Link) {
        self.quiet.store(link.quiet, Ordering::Relaxed);
        self.metered.store(link.metered, Ordering::Relaxed);
    }

    pub(crate) fn pace(&self) -> Pace {
        self.pace.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same rate again keeps what was sent already in mind.
    pub(super) fn limit(&self, rate: Option<Rate>, clock: Clock) {
        let mut pace = self.pace.write().unwrap_or_else(PoisonError::into_inner);
        if pace.rate() != rate {
            *pace = Pace::of(rate, clock);
        }
    }
}

/// Whether somebody pays for the bytes: what the file says, else what the system tells.
pub(super) fn costs(metered: Metered) -> bool {
    match metered {
        Metered::Always => true,
        Metered::Never => false,
        Metered::Detect => is_metered(),
    }
}

/// Whether the machine's way out is a mobile one, for whose bytes somebody pays: the only thing that the system itself tells of it.
#[cfg(target_os = "linux")]
fn is_metered() -> bool {
    /// Some tens of routes on an ordinary machine; a router's thousands are cut off.
    const MAX_ROUTES: usize = 512;
    let Ok(routes) = std::fs::read_to_string("/proc/net/route") else { return false };
    let is_default = |line: &&str| line.split_whitespace().nth(1) == Some("00000000");
    let mut ways = routes.lines().skip(1).take(MAX_ROUTES).filter(is_default).filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, metric) = (words.next()?, words.nth(5)?);
        Some((metric.parse::<u32>().ok()?, name))
    });
    let first = ways.by_ref().min();
    first.is_some_and(|(_, name)| {
        let about = std::fs::read_to_string(format!("/sys/class/net/{name}/uevent")).unwrap_or_default();
        about.lines().any(|line| line == "DEVTYPE=wwan")
    })
}

#[cfg(not(target_os = "linux"))]
fn is_metered() -> bool {
    false
}
