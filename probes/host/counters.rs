//! What the kernel counts, before and after the run. Only the process's own network namespace is counted, but all of its programs.

use super::read;
use crate::clock::Clock;
use crate::platform::host;
use netsonde_contract::id::ObservationId;
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{Counter, Counters, CpuTime, Fact, InterfaceGrowth, Observation};
use netsonde_contract::outcome::Outcome;

const FILES: [&str; 2] = ["/proc/self/net/snmp", "/proc/self/net/netstat"];
const FILE_V6: &str = "/proc/self/net/snmp6";
const PROCESSOR: &str = "/proc/stat";

/// The kernel's unit of processor time in `/proc/stat`: 100 a second on every system that this program runs on (USER_HZ).
const MS_PER_TICK: u64 = 10;

/// Interfaces whose counters are kept: as many as the check keeps interfaces.
const MAX_INTERFACES: usize = 128;

/// The counters that a fault moves, of the several hundred there are.
const TELLING: [&str; 52] = [
    "Ip.InReceives",
    "Ip.InHdrErrors",
    "Ip.InAddrErrors",
    "Ip.InDiscards",
    "Ip.OutRequests",
    "Ip.OutDiscards",
    "Ip.OutNoRoutes",
    "Ip.ReasmFails",
    "Ip.FragFails",
    "IpExt.InCsumErrors",
    "IpExt.InCEPkts",
    "Icmp.InMsgs",
    "Icmp.InErrors",
    "Icmp.InDestUnreachs",
    "Icmp.InTimeExcds",
    "Icmp.InRedirects",
    "Icmp.OutMsgs",
    "Icmp.OutDestUnreachs",
    "Icmp.OutRateLimitHost",
    "Tcp.ActiveOpens",
    "Tcp.AttemptFails",
    "Tcp.EstabResets",
    "Tcp.InSegs",
    "Tcp.OutSegs",
    "Tcp.RetransSegs",
    "Tcp.InErrs",
    "Tcp.OutRsts",
    "Tcp.InCsumErrors",
    "Udp.InDatagrams",
    "Udp.NoPorts",
    "Udp.InErrors",
    "Udp.OutDatagrams",
    "Udp.RcvbufErrors",
    "Udp.SndbufErrors",
    "Udp.InCsumErrors",
    "TcpExt.ListenOverflows",
    "TcpExt.ListenDrops",
    "TcpExt.TCPTimeouts",
    "TcpExt.TCPLostRetransmit",
    "TcpExt.TCPSynRetrans",
    "TcpExt.TCPAbortOnTimeout",
    "TcpExt.TCPAbortOnMemory",
    "TcpExt.TCPMemoryPressures",
    "TcpExt.TCPBacklogDrop",
    "TcpExt.TCPZeroWindowDrop",
    "TcpExt.TCPRcvQDrop",
    "TcpExt.TCPTimeWaitOverflow",
    "TcpExt.TCPReqQFullDrop",
    "TcpExt.IPReversePathFilter",
    "TcpExt.PFMemallocDrop",
    "TcpExt.TCPOFODrop",
    "TcpExt.TCPSpuriousRTOs",
];

/// The same for IPv6, which has a file and names of its own.
const TELLING_V6: [&str; 12] = [
    "Ip6InReceives",
    "Ip6InDiscards",
    "Ip6InNoRoutes",
    "Ip6InTooBigErrors",
    "Ip6OutRequests",
    "Ip6OutDiscards",
    "Ip6OutNoRoutes",
    "Ip6ReasmFails",
    "Icmp6InErrors",
    "Icmp6InDestUnreachs",
    "Icmp6InPktTooBigs",
    "Udp6RcvbufErrors",
];

/// What is counted now; nothing where the system has none of it. Blocks on files.
pub(super) fn read() -> Option<Counters> {
    let mut counters: Vec<Counter> =
        FILES.iter().filter_map(|path| read::text(path).ok()).flat_map(|text| paired(&text)).collect();
    counters.extend(read::text(FILE_V6).ok().iter().flat_map(|text| listed(text)));
    #[cfg(windows)]
    counters.extend(crate::platform::windows::counters::counters());
    #[cfg(target_os = "macos")]
    counters.extend(crate::platform::macos::counters());
    let mut interfaces: Vec<InterfaceGrowth> = host::interface_counters()
        .unwrap_or_default()
        .into_iter()
        .map(|(name, counters)| InterfaceGrowth { name, counters })
        .collect();
    interfaces.truncate(MAX_INTERFACES);
    let cpu = read::text(PROCESSOR).ok().and_then(|text| cpu_time(&text));
    #[cfg(windows)]
    let cpu = cpu.or_else(crate::platform::windows::counters::cpu_time);
    let read = Counters { over_us: None, counters, interfaces, cpu };
    (read != Counters::default()).then_some(read)
}

/// The reading at the run's end: how much everything grew since the reading that the host check took at its beginning. Nothing for
/// checks that took none.
pub async fn closing_reading(clock: Clock, outcome: &Outcome) -> Option<Observation> {
    if outcome.kind != Kind::Host {
        return None;
    }
    let first = outcome.observations.iter().find_map(|observation| match &observation.fact {
        Fact::Counters(counters) if counters.over_us.is_none() => Some((counters.clone(), observation.at_us)),
        _ => None,
    });
    let (earlier, then_us) = first?;
    let at_us = clock.now_us();
    let now = tokio::task::spawn_blocking(read).await.ok()??;
    Some(Observation {
        id: ObservationId::of(&outcome.check, outcome.observations.len() + 1),
        check: outcome.check.clone(),
        at_us,
        fact: Fact::Counters(now.since(&earlier, at_us.saturating_sub(then_us))),
    })
}

/// Lines in pairs, as `Tcp: InSegs OutSegs` above `Tcp: 5 7`.
pub(super) fn paired(text: &str) -> Vec<Counter> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for pair in lines.chunks_exact(2) {
        let Some(((group, names), (again, values))) = pair[0].split_once(':').zip(pair[1].split_once(':')) else { continue };
        if group != again {
            continue;
        }
        let named = names.split_whitespace().map(|name| format!("{group}.{name}"));
        let values = values.split_whitespace().map(|value| value.parse().unwrap_or_default());
        let telling = named.zip(values).filter(|(name, value)| *value > 0 && TELLING.contains(&name.as_str()));
        found.extend(telling.map(|(name, value)| Counter { name, value }));
    }
    found
}

/// A name and a value on each line.
pub(super) fn listed(text: &str) -> Vec<Counter> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, value) = (words.next()?, words.next()?.parse().ok()?);
        (value > 0 && TELLING_V6.contains(&name)).then(|| Counter { name: name.to_owned(), value })
    };
    text.lines().filter_map(line).collect()
}

/// The line of all processors (proc(5), `/proc/stat`): user, nice, system, idle, wait for input, two kinds of interrupts, steal.
pub(super) fn cpu_time(text: &str) -> Option<CpuTime> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [user, nice, system, idle, waiting, interrupts, soft_interrupts, steal, ..] = ticks[..] else { return None };
    let ms = |ticks: [u64; 5]| ticks.into_iter().fold(0, u64::saturating_add).saturating_mul(MS_PER_TICK);
    Some(CpuTime {
        busy_ms: ms([user, nice, system, interrupts, soft_interrupts]),
        idle_ms: ms([idle, waiting, 0, 0, 0]),
        steal_ms: ms([steal, 0, 0, 0, 0]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::observation::InterfaceCounters;
    use proptest::prelude::*;

    #[test]
    fn counters_are_read_by_their_names_wherever_they_stand() {
        let text = "Tcp: Other RetransSegs InErrs\nTcp: 9 12 0\nTcpExt: ListenDrops Unknown\nTcpExt: 3 4\n";
        let found = paired(text);
        assert_eq!(
            found.iter().map(|one| (one.name.as_str(), one.value)).collect::<Vec<_>>(),
            [("Tcp.RetransSegs", 12), ("TcpExt.ListenDrops", 3)]
        );
        assert_eq!(listed("Ip6InReceives \t7\nIp6Unknown 8\nIp6OutNoRoutes x\n").len(), 1);
    }

    #[test]
    fn the_last_reading_says_what_grew_and_a_counter_that_began_anew_does_not_run_below_zero() {
        let reading = |retransmits: u64, errors: u64, steal_ms: u64| Counters {
            counters: vec![Counter { name: "Tcp.RetransSegs".into(), value: retransmits }],
            interfaces: vec![InterfaceGrowth {
                name: "eth0".into(),
                counters: InterfaceCounters { rx_errors: errors, ..InterfaceCounters::default() },
            }],
            cpu: Some(CpuTime { steal_ms, ..CpuTime::default() }),
            ..Counters::default()
        };
        let grown = reading(15, 2, 90).since(&reading(10, 5, 40), 7);
        assert_eq!((grown.value("Tcp.RetransSegs"), grown.interfaces[0].counters.rx_errors), (5, 0));
        assert_eq!((grown.cpu.unwrap().steal_ms, grown.over_us), (50, Some(7)));
        assert!(reading(10, 5, 40).since(&reading(10, 5, 40), 7).counters.is_empty());
    }

    #[test]
    fn steal_is_told_from_idling() {
        let time = cpu_time("cpu  100 0 50 1000 20 0 5 30 0 0\ncpu0 1 1 1 1\n").unwrap();
        assert_eq!((time.busy_ms, time.idle_ms, time.steal_ms), (1_550, 10_200, 300));
    }

    proptest! {
        #[test]
        fn no_file_makes_the_readers_panic(text in "[A-Za-z0-9:. \n]{0,300}") {
            let _ = (paired(&text), listed(&text), cpu_time(&text));
        }
    }
}
