use super::{failure, of};
use crate::units;
use netsonde_contract::observation::{Echo, EchoReply, EchoStatistics, ExtraKind, Fact, RttDistribution, Sweep, SweepTarget};
use netsonde_contract::outcome::Outcome;
use std::net::IpAddr;

/// Replies listed one by one; beyond that, smallest, middle and largest say more.
const MAX_REPLIES: usize = 100;
/// Answering addresses listed: a /24, one line each would be read by nobody.
const MAX_ANSWERING: usize = 256;
/// Silent addresses listed; the whole list stands in the bundle.
const MAX_SILENT: usize = 20;

pub(super) fn outcome(outcome: &Outcome) -> String {
    let echoes = of(outcome, |fact| if let Fact::Echo(echo) = fact { Some(echo) } else { None });
    let sweeps = of(outcome, |fact| if let Fact::Sweep(sweep) = fact { Some(sweep) } else { None });
    let lines = echoes.iter().map(|echo| line(echo)).chain(sweeps.iter().map(|found| sweep(found)));
    lines.collect::<Vec<_>>().join("; ")
}

/// `192.0.2.7 5 of 5 replies, RTT 10 ms to 14 ms, median 11 ms`.
pub(super) fn line(echo: &Echo) -> String {
    let mut line = format!("{} {} of {} replies", echo.address, echo.replies.len(), echo.sent);
    let rtts = || echo.replies.iter().map(|reply| reply.rtt_us);
    if let (Some(min), Some(median), Some(max)) = (rtts().min(), units::median(rtts()), rtts().max()) {
        let [min, median, max] = [min, median, max].map(units::duration);
        if min == max {
            line.push_str(&format!(", RTT {min}"));
        } else {
            line.push_str(&format!(", RTT {min} to {max}, median {median}"));
        }
    }
    line.push_str(&ttls(&echo.replies));
    for oddity in echo.statistics.iter().flat_map(|statistics| oddities(statistics)) {
        line.push_str(&format!(", {oddity}"));
    }
    if let Some(error) = echo.errors.first() {
        line.push_str(&format!(", {} from {}", error.in_full(), error.offender));
    }
    if let Some(found) = &echo.failure {
        line.push_str(&format!(", {}", failure::short(found)));
    }
    line
}

/// `, TTL 61`; `, TTL 57 to 61` where they differ; nothing where no socket told.
fn ttls(replies: &[EchoReply]) -> String {
    let ttls = || replies.iter().filter_map(|reply| reply.ttl);
    match (ttls().min(), ttls().max()) {
        (Some(least), Some(most)) if least == most => format!(", TTL {least}"),
        (Some(least), Some(most)) => format!(", TTL {least} to {most}"),
        _ => String::new(),
    }
}

/// What a healthy network does not do.
fn oddities(found: &EchoStatistics) -> Vec<String> {
    let counts = [
        (found.duplicates, "duplicate", "duplicates"),
        (found.late, "late reply", "late replies"),
        (found.corrupt, "corrupt reply", "corrupt replies"),
        (found.reordered, "overtaken reply", "overtaken replies"),
    ];
    let counted = counts.iter().filter(|(count, ..)| *count > 0);
    let mut oddities: Vec<String> = counted.map(|(count, one, many)| units::counted(*count as usize, one, many)).collect();
    if found.longest_loss > 1 {
        oddities.push(format!("up to {} lost in a row", found.longest_loss));
    }
    oddities
}

pub(super) fn details(echo: &Echo) -> Vec<String> {
    let mut lines = failure::details(echo.failure.as_ref());
    let lost = u64::from(echo.sent).saturating_sub(echo.replies.len() as u64);
    if echo.sent > 0 {
        let percent = lost * 100 / u64::from(echo.sent);
        let mut manner = format!("payload {}", units::size(echo.size_bytes.into()));
        if echo.dont_fragment {
            manner.push_str(", not to be fragmented");
        }
        if echo.dscp > 0 {
            manner.push_str(&format!(", DSCP {}", echo.dscp));
        }
        lines.push(format!("loss {lost} of {} ({percent} %); {manner}; stamped by {}", echo.sent, clock(&echo.clock)));
    }
    if let Some(found) = &echo.statistics {
        lines.extend(statistics(found));
    }
    if !echo.replies.is_empty() {
        let mut each: Vec<String> = echo.replies.iter().take(MAX_REPLIES).map(reply).collect();
        if echo.replies.len() > MAX_REPLIES {
            each.push(format!("and {} more", echo.replies.len() - MAX_REPLIES));
        }
        lines.push(each.join(", "));
    }
    for extra in echo.extra.iter().take(MAX_REPLIES) {
        let kind = match extra.kind {
            ExtraKind::Duplicate => "again",
            ExtraKind::Late => "too late",
            ExtraKind::Other => "besides",
        };
        let ttl = extra.ttl.map(|ttl| format!(", TTL {ttl}")).unwrap_or_default();
        lines.push(format!("#{} {kind} after {}{ttl}", extra.sequence, units::duration(extra.rtt_us)));
    }
    for error in echo.errors.iter().take(MAX_REPLIES) {
        lines.push(format!("{} from {} (type {} code {})", error.in_full(), error.offender, error.kind, error.code));
    }
    lines
}

fn statistics(found: &EchoStatistics) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(rtt) = &found.rtt {
        let jitter = found.jitter_us.map(|us| format!(", jitter {}", units::duration(us))).unwrap_or_default();
        lines.push(format!("{}{jitter}", distribution(rtt)));
    }
    if found.loss_periods > 0 {
        let runs = units::counted(found.loss_periods as usize, "run of losses", "runs of losses");
        lines.push(format!("{runs}, the longest of {}", found.longest_loss));
    }
    if found.dropped_here > 0 {
        lines.push(format!("this machine dropped {} packets because it could not keep up", found.dropped_here));
    }
    if found.stamps_refused > 0 {
        lines.push(format!("{} replies with unusable kernel stamps", found.stamps_refused));
    }
    lines
}

pub(super) fn distribution(rtt: &RttDistribution) -> String {
    let [mean, deviation, p90, p95, p99] =
        [rtt.mean_us, rtt.deviation_us, rtt.p90_us, rtt.p95_us, rtt.p99_us].map(units::duration);
    format!("RTT mean {mean} ± {deviation}, 90 % within {p90}, 95 % within {p95}, 99 % within {p99}")
}

fn reply(reply: &EchoReply) -> String {
    let mut text = format!("#{} {}", reply.sequence, units::duration(reply.rtt_us));
    text.extend(reply.ttl.map(|ttl| format!(" TTL {ttl}")));
    if reply.corrupt {
        text.push_str(" corrupt");
    }
    if let Some(from) = reply.from {
        text.push_str(&format!(" from {from}"));
    }
    text
}

/// `9,998 of 10,000 addresses answered, RTT 0.1 ms to 4 ms, median 0.2 ms`.
pub(super) fn sweep(sweep: &Sweep) -> String {
    let Sweep { asked, answered, sent, received, .. } = sweep;
    let mut line = format!("{answered} of {asked} addresses answered, {received} of {sent} replies");
    if sweep.asked < sweep.targets {
        line.push_str(&format!(", {} addresses not asked", sweep.targets - sweep.asked));
    }
    if let Some(rtt) = &sweep.rtt {
        let [min, median, max] = [rtt.min_us, rtt.median_us, rtt.max_us].map(units::duration);
        line.push_str(&format!(", RTT {min} to {max}, median {median}"));
    }
    if let Some(found) = &sweep.failure {
        line.push_str(&format!(", {}", failure::short(found)));
    }
    line
}

pub(super) fn sweep_details(sweep: &Sweep) -> Vec<String> {
    let mut lines = failure::details(sweep.failure.as_ref());
    lines.push(format!(
        "sent within {}, payload {}, stamped by {}",
        units::duration(sweep.sending_us),
        units::size(sweep.size_bytes.into()),
        clock(&sweep.clock)
    ));
    lines.extend(sweep.rtt.as_ref().map(distribution));
    if sweep.dropped_here > 0 {
        lines.push(format!("this machine dropped {} packets because it could not keep up", sweep.dropped_here));
    }
    if !sweep.answering.is_empty() {
        let answer = |target: &SweepTarget| {
            let ttl = target.ttl.map(|ttl| format!(" TTL {ttl}")).unwrap_or_default();
            format!("{} {}{ttl}", target.address, units::duration(target.min_rtt_us))
        };
        let mut answering: Vec<String> = sweep.answering.iter().take(MAX_ANSWERING).map(answer).collect();
        let more = (sweep.answered as usize).saturating_sub(answering.len());
        if more > 0 {
            answering.push(format!("and {more} more"));
        }
        lines.push(format!("answers from {}", answering.join(", ")));
    }
    if !sweep.silent.is_empty() {
        let mut silent: Vec<String> = sweep.silent.iter().take(MAX_SILENT).map(IpAddr::to_string).collect();
        let more = u64::from(sweep.asked.saturating_sub(sweep.answered)).saturating_sub(silent.len() as u64);
        if more > 0 {
            silent.push(format!("and {more} more"));
        }
        lines.push(format!("no answer from {}", silent.join(", ")));
    }
    for found in &sweep.errors {
        let error = &found.error;
        let times = units::counted(found.count as usize, "time", "times");
        let what = format!("{} from {} (type {} code {})", error.in_full(), error.offender, error.kind, error.code);
        lines.push(format!("{what}, {times}, first for {}", found.first));
    }
    if !sweep.slowest.is_empty() {
        let slowest = sweep.slowest.iter().map(|target| format!("{} {}", target.address, units::duration(target.min_rtt_us)));
        lines.push(format!("slowest: {}", slowest.collect::<Vec<_>>().join(", ")));
    }
    lines
}

fn clock(clock: &str) -> &str {
    match clock {
        "kernel" | "kernel_rx_tx" => "the kernel",
        "kernel_rx" => "the kernel (replies only)",
        "process" => "the program",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn echo(replies: serde_json::Value, errors: serde_json::Value) -> Echo {
        serde_json::from_value(
            json!({"host": "192.0.2.7", "address": "192.0.2.7", "sent": 2, "replies": replies, "errors": errors,
            "size_bytes": 1472, "clock": "kernel_rx_tx", "dont_fragment": true}),
        )
        .unwrap()
    }

    #[test]
    fn the_ttl_of_each_reply_stands_in_the_text() {
        let reply = |sequence: u16, ttl: u8| json!({"sequence": sequence, "rtt_us": 1_000, "ttl": ttl});
        let alike = echo(json!([reply(0, 61), reply(1, 61)]), json!([]));
        assert_eq!(line(&alike), "192.0.2.7 2 of 2 replies, RTT 1.0 ms, TTL 61");
        assert!(details(&alike).concat().contains("#1 1.0 ms TTL 61"), "{:?}", details(&alike));
        assert!(line(&echo(json!([reply(0, 57), reply(1, 61)]), json!([]))).contains("TTL 57 to 61"));
    }

    #[test]
    fn the_size_that_a_router_allows_stands_in_the_text() {
        let told = json!([{"offender": "10.9.1.1", "type": 3, "code": 4, "mtu": 1400}]);
        let echo = echo(json!([]), told);
        assert_eq!(line(&echo), "192.0.2.7 0 of 2 replies, packet too big, at most 1400 bytes from 10.9.1.1");
    }

    #[test]
    fn a_sweep_says_who_answered_with_time_and_ttl() {
        let sweep: Sweep = serde_json::from_value(json!({"targets": 3, "asked": 3, "answered": 2, "sent": 3, "received": 2,
            "answering": [{"address": "10.0.0.1", "min_rtt_us": 1_000, "ttl": 64}, {"address": "10.0.0.3", "min_rtt_us": 2_000}],
            "silent": ["10.0.0.2"], "size_bytes": 56, "clock": "process", "sending_us": 1, "took_us": 1}))
        .unwrap();
        let lines = sweep_details(&sweep);
        assert!(lines.contains(&"answers from 10.0.0.1 1.0 ms TTL 64, 10.0.0.3 2.0 ms".to_owned()), "{lines:?}");
    }
}
