//! Packets that are lost, connections that stand late: a link, a limit on ICMP, one of several ways, or a server's queue? More
//! connections from other source ports, pings at a calm pace and longer traces tell.

use super::doubt::Doubt;
use super::{Question, params};
use crate::evidence::{ENOUGH_MOMENTS, Endpoint, LEAST_SLOW, Paces};
use crate::rules::{Numbers, pings};
use netsonde_contract::kind::{IcmpParams, Kind};
use serde_json::json;
use std::net::IpAddr;
use std::time::Duration;

const LOST: &[&str] = &["path.loss", "path.icmp_rate_limited"];
const UNEVEN: &[&str] = &["tcp.accept_queue_full", "path.ecmp_member_bad", "path.loss"];
const LIMITED: &[&str] = &["tcp.snat_exhausted", "path.ecmp_member_bad"];
const OF_FLOWS: &[&str] = &["path.ecmp_member_bad", "path.loss"];

/// Connections that show whether silence goes with the flow, with chance or with their number.
const FLOWS: u32 = 16;
/// Connections one after the other, of which each that is lost costs its wait. They wait until a SYN was sent again (RFC 6298 section 2),
/// as the end of the one before may still be on its way to whoever counts them.
const ONE_BY_ONE: u32 = 5;
const ONE_TIMEOUT_MS: u64 = 1_200;
/// Connections that begin so many milliseconds apart, over more than a second: of a fifth that is lost four meet it.
const IN_TURN: u32 = 20;
const SPREAD_MS: u64 = 60;
/// Pings after which none lost means few: the upper end of the interval is then below one in ten.
const PINGS: u32 = 40;
/// Pings of which not one was answered: a way that loses nine in ten lets some of so many through, nine times in ten.
const DARK: u32 = 20;
/// Pings slow enough for every limit on answers that is common; enough of them that none lost is below one in eight.
const SLOW_PINGS: u32 = 25;
const SLOW_INTERVAL_MS: u64 = 200;
/// They are asked for slower than that: at the very pace of a limit the least delay of one ping drops the next.
const ASKED_INTERVAL_MS: u64 = 250;
/// Pings at a quiet time of which none lost is below one in eight.
const QUIET_PINGS: u32 = 25;
/// Rounds of a trace that show from which hop on packets are lost.
const ROUNDS: u8 = 10;

const LIMITED_PACE: &[&str] = &["path.policed", "path.loss"];
/// Connections that begin slowly, and how far apart.
const SLOWLY: u32 = 10;
const APART_MS: u64 = 400;
/// So many, and so many in a hundred, of those in quick succession waited: less is lost by most ways that lose packets.
const LEAST_WAITING: u32 = 4;
const MANY_PERCENT: f64 = 30.0;

pub(super) fn questions(doubt: &Doubt<'_, '_>) -> Vec<Question> {
    let mut questions: Vec<Question> = Vec::new();
    let endpoints = doubt.evidence.endpoints();
    let of_tcp_alone = |address: &IpAddr| {
        let pings = doubt.evidence.lost_calmly(*address);
        pings.of >= DARK && pings.cases == 0
    };
    // Where many pings came back, more of them, slower connections and a longer trace tell nothing: what is lost is of TCP, or of another way.
    let lost = doubt.open(LOST).filter_map(|finding| finding.place.address);
    for address in lost.filter(|address| !of_tcp_alone(address)) {
        // A finding may name the router at which the loss begins; the way is that to the target.
        let of_target = |endpoint: &&Endpoint<'_>| endpoint.connected();
        let at_address = endpoints.iter().filter(|endpoint| endpoint.address.ip() == address);
        // A full queue takes some of them and not others, by chance as loss does: where no ping tells, they would not separate the two.
        let may_queue = doubt.evidence.lost_calmly(address).of == 0 && doubt.evidence.sent_again(address).late.len() > 1;
        let in_turn = at_address.filter(of_target).filter(|_| !may_queue).take(1);
        questions.extend(in_turn.filter_map(|endpoint| connects_in_turn(doubt, endpoint)));
        questions.extend(long_trace(doubt, address));
        questions.extend(slow_pings(doubt, address));
        questions.extend(quiet_pings(doubt, address));
    }
    for address in doubt.evidence.addresses().into_iter().filter(|address| doubt.lost_once(*address)) {
        questions.extend(calm_pings(doubt, address, LOST));
        let at_address = endpoints.iter().filter(|endpoint| endpoint.address.ip() == address && endpoint.connected());
        questions.extend(at_address.take(1).filter_map(|endpoint| connects_in_turn(doubt, endpoint)));
    }
    for endpoint in &endpoints {
        let address = endpoint.address.ip();
        let uneven = endpoint.attempts.iter().filter(|attempt| attempt.connected_late() || attempt.silent()).count();
        if address.is_loopback() || !endpoint.connected() || uneven == 0 {
            continue;
        }
        // More at once would only be more of the same, and would be counted with those that are made one after the other.
        match Numbers::of(doubt.evidence, endpoint) {
            Some(numbers) if numbers.wants_turns() => {
                questions.extend(connects_one_by_one(endpoint));
                questions.extend(calm_pings(doubt, address, UNEVEN));
                continue;
            }
            Some(numbers) if numbers.are_limited() => continue,
            _ => {}
        }
        let open = doubt.is_open_on(UNEVEN, endpoint.ids()) || endpoint.ids().any(|id| doubt.is_unexplained(id));
        questions.extend(connects_slowly(doubt, endpoint));
        if open || (doubt.connects_unevenly() && uneven > 1) {
            questions.extend(calm_pings(doubt, address, UNEVEN));
            questions.extend(connects(doubt, endpoint, UNEVEN, 0.6));
        }
        // Where pings are not lost, they may have taken another way.
        let may_be_a_way = of_tcp_alone(&address) && doubt.is_open_on(&["path.loss"], endpoint.ids());
        if may_be_a_way || doubt.is_open_on(&["path.ecmp_member_bad"], endpoint.ids()) {
            questions.extend(parallel_ways(doubt, address, endpoint.address.port()));
        }
    }
    questions
}

/// Connections one after the other, each closed before the next begins: a limit on their number lets them all stand.
fn connects_one_by_one(endpoint: &Endpoint<'_>) -> Option<Question> {
    let value = json!({
        "host": endpoint.address.ip().to_string(), "port": endpoint.address.port(),
        "attempts": ONE_BY_ONE, "concurrent": 1, "timeout_ms": ONE_TIMEOUT_MS
    });
    let time = Duration::from_millis(u64::from(ONE_BY_ONE) * ONE_TIMEOUT_MS);
    Some(Question::new(params(Kind::Tcp, value)?, LIMITED, 0.9, ONE_BY_ONE * 2, time))
}

/// More connections at once, each from a source port of its own. So many were made where a check brought as many; which of those that began
/// one after the other are late does not tell a queue from chance.
fn connects(
    doubt: &Doubt<'_, '_>,
    endpoint: &Endpoint<'_>,
    between: &'static [&'static str],
    separation: f64,
) -> Option<Question> {
    let at_once = doubt.evidence.begun_at_once(endpoint);
    if at_once >= usize::try_from(FLOWS).unwrap_or(usize::MAX) {
        return None;
    }
    let value = json!({
        "host": endpoint.address.ip().to_string(), "port": endpoint.address.port(),
        "attempts": FLOWS, "concurrent": FLOWS, "timeout_ms": 3_500
    });
    Some(Question::new(params(Kind::Tcp, value)?, between, separation, FLOWS * 2, Duration::from_millis(3_500)))
}

/// Connections that begin one after the other for about as long as a series of pings: a limit on pings leaves them alone, and an outage
/// that pings met does not.
fn connects_in_turn(doubt: &Doubt<'_, '_>, endpoint: &Endpoint<'_>) -> Option<Question> {
    if doubt.evidence.beside_pings(endpoint.address.ip()).moments >= ENOUGH_MOMENTS {
        return None;
    }
    let value = json!({
        "host": endpoint.address.ip().to_string(), "port": endpoint.address.port(),
        "attempts": IN_TURN, "concurrent": IN_TURN, "spread_ms": SPREAD_MS, "timeout_ms": 3_500
    });
    Some(Question::new(params(Kind::Tcp, value)?, LOST, 0.9, IN_TURN * 2, Duration::from_millis(4_500)))
}

/// Connections that begin slowly, where pings are lost, many connections in quick succession waited for an answer, and no segment of one that
/// stood was lost: a limit on how many begin in a second lets them all stand.
fn connects_slowly(doubt: &Doubt<'_, '_>, endpoint: &Endpoint<'_>) -> Option<Question> {
    let paces = Paces::of(doubt.evidence, endpoint);
    let many = paces.quick.cases >= LEAST_WAITING && paces.quick.percent() >= MANY_PERCENT;
    // Where pings come back, or nobody answers to any, other connections tell more.
    let loses_pings = pings::of(doubt.evidence, endpoint.address.ip()).lost().is_some();
    if !many || !loses_pings || paces.slow.of >= LEAST_SLOW || doubt.evidence.sent_again(endpoint.address.ip()).segments > 0 {
        return None;
    }
    let value = json!({
        "host": endpoint.address.ip().to_string(), "port": endpoint.address.port(),
        "attempts": SLOWLY, "concurrent": SLOWLY, "spread_ms": APART_MS, "timeout_ms": 3_500
    });
    Some(Question::new(params(Kind::Tcp, value)?, LIMITED_PACE, 0.9, SLOWLY * 2, Duration::from_millis(4_500)))
}

/// Pings slow enough that no limit on ICMP explains what is lost of them.
fn calm_pings(doubt: &Doubt<'_, '_>, address: IpAddr, between: &'static [&'static str]) -> Option<Question> {
    let had = doubt.evidence.lost_calmly(address).of;
    // Whoever answered none of many answers none of more.
    let dark = doubt.evidence.echoes_of(address).any(|echo| echo.sent >= DARK && echo.replies.is_empty());
    if !doubt.can_ping || had >= PINGS || dark {
        return None;
    }
    let value = json!({"host": address.to_string(), "count": PINGS, "interval_ms": 50});
    Some(Question::new(params(Kind::Icmp, value)?, between, 0.7, PINGS, Duration::from_secs(3)))
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

/// The same pings slowly, where only faster ones were lost.
fn slow_pings(doubt: &Doubt<'_, '_>, address: IpAddr) -> Option<Question> {
    let paces = doubt.evidence.lost_by_pace(address);
    let (slow, faster): (Vec<_>, Vec<_>) = paces.into_iter().partition(|(pace, _)| *pace >= SLOW_INTERVAL_MS);
    let had: u32 = slow.iter().map(|(_, share)| share.of).sum();
    if !doubt.can_ping || had >= SLOW_PINGS || faster.iter().all(|(_, share)| share.cases == 0) {
        return None;
    }
    let value = json!({"host": address.to_string(), "count": SLOW_PINGS, "interval_ms": ASKED_INTERVAL_MS});
    Some(Question::new(params(Kind::Icmp, value)?, LOST, 0.8, SLOW_PINGS, Duration::from_secs(7)))
}

/// So slow that a common limit lets them all through.
pub(super) fn is_slow(pings: &IcmpParams) -> bool {
    pings.interval_ms >= SLOW_INTERVAL_MS
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
