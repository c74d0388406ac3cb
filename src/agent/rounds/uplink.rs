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
    linux::is_metered(std::path::Path::new("/proc/net"), std::path::Path::new("/sys/class/net"))
}

#[cfg(not(target_os = "linux"))]
fn is_metered() -> bool {
    false
}

/// What the kernel's tables tell.
#[cfg(target_os = "linux")]
mod linux {
    use std::fs::read_to_string;
    use std::path::Path;

    /// Some tens of routes on an ordinary machine; a router's thousands are cut off.
    const MAX_ROUTES: usize = 512;
    /// What `ipv6_route` calls a route that refuses (RTF_REJECT of linux/route.h); a machine without a way out has one to everywhere.
    const REJECTS: u32 = 0x200;

    /// By the default routes of the kernel's tables, IPv4's where there is one, else IPv6's.
    pub(super) fn is_metered(tables: &Path, devices: &Path) -> bool {
        let table = |name: &str| read_to_string(tables.join(name)).unwrap_or_default();
        let out = first(table("route").lines().skip(1), v4).or_else(|| first(table("ipv6_route").lines(), v6));
        out.is_some_and(|name| {
            let about = read_to_string(devices.join(name).join("uevent")).unwrap_or_default();
            about.lines().any(|line| line == "DEVTYPE=wwan")
        })
    }

    /// The device of the default route with the lowest metric.
    fn first<'a>(lines: impl Iterator<Item = &'a str>, read: fn(&[&str]) -> Option<(u32, String)>) -> Option<String> {
        let routes = lines.take(MAX_ROUTES).filter_map(|line| read(&line.split_whitespace().collect::<Vec<_>>()));
        routes.min().map(|(_, device)| device)
    }

    /// Device, destination, gateway, flags, two counts, metric and mask: numbers in hexadecimal, the counts and the metric in decimal.
    fn v4(words: &[&str]) -> Option<(u32, String)> {
        match words {
            [device, "00000000", _, _, _, _, metric, "00000000", ..] => Some((metric.parse().ok()?, (*device).to_owned())),
            _ => None,
        }
    }

    /// Destination and its length, source and its length, next hop, metric, two counts, flags and device: all numbers in hexadecimal.
    fn v6(words: &[&str]) -> Option<(u32, String)> {
        let [to, "00", _, _, _, metric, _, _, flags, device] = words else { return None };
        let hexadecimal = |word: &str| u32::from_str_radix(word, 16).ok();
        let leads_out = to.bytes().all(|digit| digit == b'0') && hexadecimal(flags)? & REJECTS == 0;
        if leads_out { Some((hexadecimal(metric)?, (*device).to_owned())) } else { None }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::fs::{create_dir_all, write};

        const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

        fn route(device: &str, metric: u32) -> String {
            format!("{device}\t00000000\t0102A8C0\t0003\t0\t0\t{metric}\t00000000\t0\t0\t0\n")
        }

        fn route6(device: &str, metric: u32, flags: u32) -> String {
            let zero = "0".repeat(32);
            format!(
                "{zero} 00 {zero} 00 fe800000000000000000000000000001 {metric:08x} 00000001 00000000 {flags:08x} {device:>8}\n"
            )
        }

        fn is_metered_with(v4: &str, v6: &str) -> bool {
            let folder = tempfile::tempdir().unwrap();
            for (device, about) in
                [("eth0", "INTERFACE=eth0\nIFINDEX=2\n"), ("wwan0", "DEVTYPE=wwan\nINTERFACE=wwan0\nIFINDEX=3\n")]
            {
                create_dir_all(folder.path().join(device)).unwrap();
                write(folder.path().join(device).join("uevent"), about).unwrap();
            }
            write(folder.path().join("route"), HEAD.to_owned() + v4).unwrap();
            write(folder.path().join("ipv6_route"), v6).unwrap();
            is_metered(folder.path(), folder.path())
        }

        #[test]
        fn somebody_pays_where_the_way_out_is_a_mobile_one_of_either_protocol() {
            let local = "wwan0\t000110AC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
            let half = "wwan0\t00000000\t00000000\t0003\t0\t0\t0\t00000080\t0\t0\t0\n";
            let nowhere = route6("lo", u32::MAX, 0x0020_0200);
            let cases = [
                ("a modem alone", route("wwan0", 700), String::new(), true),
                ("a cable before the modem", route("wwan0", 700) + &route("eth0", 100), String::new(), false),
                ("a modem before the cable", route("eth0", 700) + &route("wwan0", 100), String::new(), true),
                (
                    "a modem for one network, and for half of the addresses",
                    route("eth0", 100) + local + half,
                    String::new(),
                    false,
                ),
                ("a modem that speaks IPv6 alone", String::new(), route6("wwan0", 1_024, 0x0045_0003) + &nowhere, true),
                ("a cable with IPv6 alone", String::new(), route6("eth0", 256, 3) + &route6("wwan0", 1_024, 3), false),
                ("IPv4 over the cable, IPv6 over the modem", route("eth0", 100), route6("wwan0", 1_024, 3), false),
                ("no way out", String::new(), nowhere.clone(), false),
                ("what is no table", "x".to_owned(), "\0\n00 00".to_owned(), false),
            ];
            for (what, v4, v6, expected) in cases {
                assert_eq!(is_metered_with(&v4, &v6), expected, "{what}");
            }
        }

        #[test]
        fn a_machine_without_tables_pays_nothing() {
            assert!(!is_metered(Path::new("/nowhere"), Path::new("/nowhere")));
        }
    }
}
