use super::{failure, http, of, tcp};
use crate::units;
use netsonde_contract::kind::{LatencyBy, LoadDirection};
use netsonde_contract::observation::{Fact, LatencySeries, Load, LoadedPhase, RttDistribution, TransferEnd};
use netsonde_contract::outcome::Outcome;

pub(super) fn outcome(outcome: &Outcome) -> String {
    let facts = of(outcome, |fact| if let Fact::Load(load) = fact { Some(&**load) } else { None });
    facts.into_iter().map(line).collect::<Vec<_>>().join("; ")
}

/// `192.0.2.7:443 idle 11 ms; download 5.1 MB/s, then 240 ms (+229 ms)`.
pub(super) fn line(load: &Load) -> String {
    let place = load.address.map_or_else(|| load.url.clone(), |address| address.to_string());
    let proxy = load.proxy.as_ref().map_or(String::new(), |proxy| format!(" (the proxy {proxy})"));
    let mut parts: Vec<String> = tcp::before(&load.attempts).into_iter().collect();
    if let Some(idle) = &load.idle {
        parts.push(format!("idle {}", median(idle)));
    }
    parts.extend(load.loaded.iter().map(|phase| {
        let rate = phase.transfer.rate.map_or_else(|| "at no rate to tell".to_owned(), http::rate);
        let grown = phase.increase_us.map_or(String::new(), |increase| format!(" ({})", signed(increase)));
        let failed = phase.failure.as_ref().map_or(String::new(), |found| format!(", {}", failure::short(found)));
        let short = if phase.failure.is_none() && phase.transfer.took_us < ENOUGH_US {
            ", too short to tell the delay under load"
        } else {
            ""
        };
        let bounded = bound(phase).map_or(String::new(), |bound| format!(", ended early at its bound of {bound}"));
        let carried = carried(phase).map_or(String::new(), |share| format!(", carried in {share} % of the time only"));
        let cut = if phase.transfer.ended == TransferEnd::CutOff { ", cut off" } else { "" };
        format!("{} {rate}, delay {}{grown}{carried}{short}{bounded}{cut}{failed}", direction(phase), median(&phase.latency))
    }));
    parts.extend(load.failure.as_ref().map(failure::short));
    format!("{place}{proxy} {}", parts.join("; "))
}

/// A queue needs about this long to fill and to be measured; a transfer that ends before tells little of either figure.
const ENOUGH_US: u64 = 1_000_000;

/// The bound that ended the load before its time.
fn bound(phase: &LoadedPhase) -> Option<String> {
    match phase.transfer.ended {
        TransferEnd::ByteLimit => Some(units::size(phase.transfer.bytes)),
        TransferEnd::RequestLimit => Some(units::counted(phase.requests as usize, "request", "requests")),
        _ => None,
    }
}

/// The share of the time in which a body was under way, where it is less than most: then little loaded the path.
fn carried(phase: &LoadedPhase) -> Option<u64> {
    const MOST: u64 = 80;
    let carried_us = phase.transfer.took_us.saturating_sub(phase.transfer.waiting_us);
    let share = carried_us.saturating_mul(100).checked_div(phase.transfer.took_us)?;
    (share < MOST && phase.transfer.bytes > 0).then_some(share)
}

fn direction(phase: &LoadedPhase) -> &'static str {
    match phase.direction {
        LoadDirection::Download => "download",
        LoadDirection::Upload => "upload",
        LoadDirection::Both => "both ways",
    }
}

fn median(series: &LatencySeries) -> String {
    series.rtt.as_ref().map_or_else(|| "without an answer".to_owned(), |rtt| units::duration(rtt.median_us))
}

fn signed(us: i64) -> String {
    let sign = if us < 0 { "−" } else { "+" };
    format!("{sign}{}", units::duration(us.unsigned_abs()))
}

pub(super) fn details(load: &Load) -> Vec<String> {
    let mut lines = failure::details(load.failure.as_ref());
    let by = match load.latency {
        LatencyBy::Connect => "TCP connections",
        LatencyBy::Echo => "echo requests",
    };
    lines.push(format!("delay measured by {by}; {} of load in all", units::size(load.bytes)));
    lines.extend(tcp::attempts(&load.attempts));
    if let Some(idle) = &load.idle {
        lines.extend(series("idle", idle));
    }
    for phase in &load.loaded {
        let name = direction(phase);
        lines.extend(failure::details(phase.failure.as_ref()));
        lines.push(format!(
            "{name} over {}, {}: {}",
            units::counted(phase.connections as usize, "connection", "connections"),
            units::counted(phase.requests as usize, "request", "requests"),
            http::transfer(&phase.transfer),
        ));
        lines.extend(series(name, &phase.latency));
        if let (Some(median), Some(p95)) = (phase.increase_us, phase.increase_p95_us) {
            lines.push(format!("{name}: under load {} at the median and {} at the 95th percentile", signed(median), signed(p95)));
        }
        lines.extend(phase.at_close.iter().map(|state| format!("{name}: {}", http::kernel(state))));
    }
    lines
}

fn series(name: &str, series: &LatencySeries) -> Vec<String> {
    let spread = |what: &str, rtt: &RttDistribution| {
        let [min, median, p95, max] = [rtt.min_us, rtt.median_us, rtt.p95_us, rtt.max_us].map(units::duration);
        format!("{name}: {what} {min} to {max}, median {median}, p95 {p95}")
    };
    let answered = format!("delay ({} of {} answered)", series.answered, series.sent);
    let rtt = series.rtt.as_ref().map(|rtt| spread(&answered, rtt));
    let none = || format!("{name}: none of {} measurements was answered", series.sent);
    let late = series.timer_late.as_ref().map(|late| spread("own timers late by", late));
    let loopback = series.loopback.as_ref().map(|loopback| spread("within this machine", loopback));
    [Some(rtt.unwrap_or_else(none)), late, loopback].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn load(loaded: serde_json::Value) -> Load {
        let rtt = json!({"min_us": 10_000, "mean_us": 11_000, "deviation_us": 1, "median_us": 11_000, "p90_us": 12_000, "p95_us": 12_000, "p99_us": 12_000, "max_us": 12_000});
        serde_json::from_value(json!({
            "url": "http://a.example/", "address": "192.0.2.7:80", "latency": "connect", "bytes": 1, "loaded": loaded,
            "idle": {"sent": 30, "answered": 30, "rtt": rtt},
        }))
        .unwrap()
    }

    #[test]
    fn a_queue_that_grows_under_load_is_said_in_one_line() {
        let rtt = json!({"min_us": 10_000, "mean_us": 1, "deviation_us": 1, "median_us": 240_000, "p90_us": 1, "p95_us": 300_000, "p99_us": 1, "max_us": 310_000});
        let loaded = json!([{
            "direction": "download", "connections": 2, "requests": 3, "increase_us": 229_000, "increase_p95_us": 288_000,
            "transfer": {"bytes": 1, "took_us": 10_000_000, "rate": 1_250_000, "stalls": 0, "longest_pause_us": 0, "ended": "time_limit"},
            "latency": {"sent": 80, "answered": 78, "rtt": rtt},
        }]);
        let expected = "192.0.2.7:80 idle 11 ms; download 1.3 MB/s (10 Mbit/s), delay 240 ms (+229 ms)";
        assert_eq!(line(&load(loaded)), expected);
    }

    #[test]
    fn a_load_that_a_bound_ended_before_its_time_says_so() {
        for (ended, words) in [("byte_limit", "25 MB"), ("request_limit", "3 requests"), ("time_limit", ""), ("complete", "")] {
            let loaded = json!([{
                "direction": "download", "connections": 2, "requests": 3, "latency": {"sent": 80, "answered": 78},
                "transfer": {"bytes": 25_000_000, "took_us": 2_000_000, "rate": 12_500_000, "stalls": 0, "longest_pause_us": 0, "ended": ended},
            }]);
            let line = line(&load(loaded));
            assert!(line.contains("ended early") != words.is_empty() && line.contains(words), "{ended}: {line}");
        }
    }

    #[test]
    fn a_path_that_went_silent_under_load_is_said_so() {
        let loaded = json!([{
            "direction": "upload", "connections": 1, "requests": 1,
            "transfer": {"bytes": 0, "took_us": 10_000_000, "stalls": 0, "longest_pause_us": 0, "ended": "broken"}, "latency": {"sent": 9, "answered": 0},
            "failure": {"code": "timed_out", "during": "send", "text": "x"},
        }]);
        let load = load(loaded);
        assert_eq!(line(&load), "192.0.2.7:80 idle 11 ms; upload at no rate to tell, delay without an answer, timed out");
        assert!(details(&load).iter().any(|line| line == "upload: none of 9 measurements was answered"));
    }
}
