//! Packets that are lost, connections that stand late: a link, a limit on ICMP, one of several ways, or a server's queue? More
//! connections from other source ports, pings at a calm pace and longer traces tell.

use super::doubt::Doubt;
use super::{Question, params};
use crate::evidence::Endpoint;
use netsonde_contract::kind::Kind;
use serde_json::json;
use std::net::IpAddr;
use std::time::Duration;

const LOST: &[&str] = &["path.loss", "path.icmp_rate_limited"];
const UNEVEN: &[&str] = &["tcp.accept_queue_full", "path.ecmp_member_bad", "path.loss"];
const OF_FLOWS: &[&str] = &["path.ecmp_member_bad", "path.loss"];

/// Connections that show whether silence goes with the flow, with chance or with their number.
const FLOWS: u32 = 16;
/// Pings after which none lost means few: the upper end of the interval is then below one in ten.
const PINGS: u32 = 40;
/// Pings slow enough for every limit on answers that is common; enough of them that none lost is below one in eight.
const SLOW_PINGS: u32 = 25;
const SLOW_INTERVAL_MS: u32 = 200;
/// Pings at a quiet time of which none lost is below one in eight.
const QUIET_PINGS: u32 = 25;
/// Rounds of a trace that show from which hop on packets are lost.
const ROUNDS: u8 = 10;

pub(super) fn questions(doubt: &Doubt<'_, '_>) -> Vec<Question> {
    let mut questions: Vec<Question> = Vec::new();
    let endpoints = doubt.evidence.endpoints();
    for address in doubt.open(LOST).filter_map(|finding| finding.place.address) {
        // A finding may name the router at which the loss begins; the way is that to the target.
        let of_target = |endpoint: &&Endpoint<'_>| endpoint.connected();
        questions.extend(endpoints.iter().find(of_target).and_then(|endpoint| connects(endpoint, LOST, 0.6)));
        questions.extend(long_trace(doubt, address));
        questions.extend(slow_pings(doubt, address));
        questions.extend(quiet_pings(doubt, address));
    }
    for endpoint in &endpoints {
        let address = endpoint.address.ip();
        let uneven = endpoint.attempts.iter().filter(|attempt| attempt.connected_late() || attempt.silent()).count();
        if address.is_loopback() || !endpoint.connected() || uneven == 0 {
            continue;
        }
        let open = doubt.is_open_on(UNEVEN, endpoint.ids()) || endpoint.ids().any(|id| doubt.is_unexplained(id));
        if open || (doubt.connects_unevenly() && uneven > 1) {
            questions.extend(calm_pings(doubt, address));
            questions.extend(connects(endpoint, UNEVEN, 0.6));
        }
        if doubt.is_open_on(&["path.ecmp_member_bad"], endpoint.ids()) {
            questions.extend(parallel_ways(doubt, address, endpoint.address.port()));
        }
    }
    questions
}

/// More connections at once, each from a source port of its own. So many were made where a check brought as many.
fn connects(endpoint: &Endpoint<'_>, between: &'static [&'static str], separation: f64) -> Option<Question> {
    if endpoint.attempts.len() >= usize::try_from(FLOWS).unwrap_or(usize::MAX) {
        return None;
    }
    let value = json!({
        "host": endpoint.address.ip().to_string(), "port": endpoint.address.port(),
        "attempts": FLOWS, "concurrent": FLOWS, "timeout_ms": 3_500
    });
    Some(Question::new(params(Kind::Tcp, value)?, between, separation, FLOWS * 2, Duration::from_millis(3_500)))
}

/// Pings slow enough that no limit on ICMP explains what is lost of them.
fn calm_pings(doubt: &Doubt<'_, '_>, address: IpAddr) -> Option<Question> {
    let had = doubt.evidence.lost_calmly(address).of;
    if !doubt.can_ping || had >= PINGS {
        return None;
    }
    let value = json!({"host": address.to_string(), "count": PINGS, "interval_ms": 50});
    Some(Question::new(params(Kind::Icmp, value)?, UNEVEN, 0.7, PINGS, Duration::from_secs(3)))
}

/// Pings while nothing is fetched, where those that were lost came beside a transfer of netsonde's own.
fn quiet_pings(doubt: &Doubt<'_, '_>, address: IpAddr) -> Option<Question> {
    let (own_load, quiet) = doubt.evidence.lost_beside_own_load(address);
    if !doubt.can_ping || own_load.cases == 0 || quiet.of >= QUIET_PINGS {
        return None;
    }
    let value = json!({"host": address.to_string(), "count": QUIET_PINGS, "interval_ms": 60});
    Some(Question::new(params(Kind::Icmp, value)?, LOST, 0.9, QUIET_PINGS, Duration::from_secs(2)))
}

/// The same pings slowly, where only fast ones were lost.
fn slow_pings(doubt: &Doubt<'_, '_>, address: IpAddr) -> Option<Question> {
    let had = doubt.evidence.lost_calmly(address).of;
    if !doubt.can_ping || had >= SLOW_PINGS || doubt.evidence.lost_in_bursts(address).cases == 0 {
        return None;
    }
    let value = json!({"host": address.to_string(), "count": SLOW_PINGS, "interval_ms": SLOW_INTERVAL_MS});
    Some(Question::new(params(Kind::Icmp, value)?, LOST, 0.8, SLOW_PINGS, Duration::from_secs(6)))
}

/// Loss that begins at a hop and stays until the target.
fn long_trace(doubt: &Doubt<'_, '_>, address: IpAddr) -> Option<Question> {
    let long = |probes: usize| probes >= usize::from(ROUNDS);
    if doubt.evidence.hops_of(address).iter().any(|hop| long(hop.probes.len())) {
        return None;
    }
    let value = json!({"host": address.to_string(), "rounds": ROUNDS, "timeout_ms": 700});
    Some(Question::new(params(Kind::Traceroute, value)?, LOST, 0.6, 100, Duration::from_secs(5)))
}

/// All parallel ways, and what each of them loses.
fn parallel_ways(doubt: &Doubt<'_, '_>, address: IpAddr, port: u16) -> Option<Question> {
    if doubt.evidence.traces_of(address).any(|trace| trace.multipath.is_some()) {
        return None;
    }
    // Which flows take which way is seen with what routers hash: ports. SYNs of one flow need raw sockets.
    let protocol = if doubt.evidence.environment.raw_sockets { "tcp" } else { "udp" };
    let value = json!({"host": address.to_string(), "protocol": protocol, "tcp_port": port, "multipath": true, "rounds": 1, "timeout_ms": 500, "path_probes": 10, "confidence": 80});
    Some(Question::new(params(Kind::Traceroute, value)?, OF_FLOWS, 0.5, 150, Duration::from_secs(4)))
}
