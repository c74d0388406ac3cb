use crate::spool::Link;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether what can wait may be sent now. The rounds look, whoever sends asks.
#[derive(Debug, Default)]
pub(crate) struct Uplink {
    quiet: AtomicBool,
    metered: AtomicBool,
}

impl Uplink {
    pub(crate) fn now(&self) -> Link {
        Link { quiet: self.quiet.load(Ordering::Relaxed), metered: self.metered.load(Ordering::Relaxed) }
    }

    pub(super) fn note(&self, link: Link) {
        self.quiet.store(link.quiet, Ordering::Relaxed);
        self.metered.store(link.metered, Ordering::Relaxed);
    }
}

/// Whether the machine's way out is a mobile one, for whose bytes somebody pays: the only thing that the system itself tells of it.
#[cfg(target_os = "linux")]
pub(super) fn is_metered() -> bool {
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
pub(super) fn is_metered() -> bool {
    false
}
