//! Silence: a filter for one port, a target that answers nothing, or a way that is broken? A refusal: by the target, or by a box on the
//! way? Other protocols, other ports and a trace of the same address tell.

use super::doubt::Doubt;
use super::{Question, params};
use crate::evidence::Endpoint;
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{LookupSource, Transport};
use serde_json::json;
use std::net::IpAddr;
use std::time::Duration;

const SILENT: &[&str] = &["tcp.filtered", "path.target_silent", "path.blackhole"];
const REFUSED: &[&str] = &["tcp.refused", "tcp.rejected_by_middlebox"];

/// Below so many attempts a full queue or a loss may be what silences them all.
const ENOUGH_ATTEMPTS: usize = 3;
/// Ports that machines are reached on most: remote shells, web servers.
const OTHER_PORTS: [u16; 3] = [22, 80, 443];
/// Ways to other addresses that are looked at, to see what the last router passes on.
const MAX_NEIGHBOURS: usize = 1;

pub(super) fn questions(doubt: &Doubt<'_, '_>) -> Vec<Question> {
    let mut questions = Vec::new();
    for endpoint in doubt.evidence.endpoints() {
        let address = endpoint.address.ip();
        let ids = || endpoint.ids();
        let open = |causes: &[&str]| doubt.is_open_on(causes, ids()) || ids().any(|id| doubt.is_unexplained(id));
        if address.is_unspecified() {
            continue;
        }
        if endpoint.silent() && open(SILENT) {
            questions.extend(of_silence(doubt, &endpoint));
        }
        let refused = endpoint.attempts.iter().any(|attempt| attempt.refused_by_reset());
        if refused && !address.is_loopback() && open(REFUSED) {
            questions.extend(ping(doubt, address, REFUSED, 0.6));
            questions.extend(trace(doubt, address, REFUSED, 0.4));
            if !endpoint.attempts.iter().any(|attempt| attempt.by_tcp_check) {
                questions.extend(connect(&endpoint, 2, &["tcp.refused", "path.admin_prohibited"], 0.6));
            }
        }
    }
    questions
}

fn of_silence(doubt: &Doubt<'_, '_>, endpoint: &Endpoint<'_>) -> Vec<Question> {
    let address = endpoint.address.ip();
    let evidence = doubt.evidence;
    let mut questions: Vec<Question> = Vec::new();
    questions.extend(ping(doubt, address, SILENT, 0.6));
    questions.extend(trace(doubt, address, SILENT, 0.7));
    if endpoint.attempts.len() < ENOUGH_ATTEMPTS {
        questions.extend(connect(endpoint, 3, &["tcp.filtered", "tcp.accept_queue_full", "path.loss"], 0.5));
    }
    let others_asked =
        evidence.traces_of(address).next().is_some() && (!doubt.can_ping || evidence.echoes_of(address).next().is_some());
    if others_asked && evidence.answered(address).is_empty() {
        questions.extend(other_ports(doubt, endpoint));
        questions.extend(trace_to_port(doubt, endpoint));
        questions.extend(neighbours(doubt, address));
    }
    questions
}

/// An echo of the same address.
pub(super) fn ping(
    doubt: &Doubt<'_, '_>,
    address: IpAddr,
    between: &'static [&'static str],
    separation: f64,
) -> Option<Question> {
    if !doubt.can_ping || doubt.evidence.echoes_of(address).next().is_some() {
        return None;
    }
    let value = json!({"host": address.to_string(), "count": 5, "interval_ms": 100});
    Some(Question::new(params(Kind::Icmp, value)?, between, separation, 5, Duration::from_millis(1_500)))
}

/// The routers on the way to the address.
fn trace(doubt: &Doubt<'_, '_>, address: IpAddr, between: &'static [&'static str], separation: f64) -> Option<Question> {
    if doubt.evidence.traces.iter().any(|trace| trace.target == address) {
        return None;
    }
    let value = json!({"host": address.to_string(), "rounds": 1});
    Some(Question::new(params(Kind::Traceroute, value)?, between, separation, 30, Duration::from_secs(3)))
}

/// More connections to the port itself.
fn connect(endpoint: &Endpoint<'_>, attempts: u32, between: &'static [&'static str], separation: f64) -> Option<Question> {
    let value = json!({
        "host": endpoint.address.ip().to_string(), "port": endpoint.address.port(),
        "attempts": attempts, "concurrent": attempts, "timeout_ms": 3_500
    });
    let time = Duration::from_millis(3_500);
    Some(Question::new(params(Kind::Tcp, value)?, between, separation, attempts * 3, time))
}

/// Other ports of the same address, where it answers neither ping nor traceroute.
fn other_ports(doubt: &Doubt<'_, '_>, endpoint: &Endpoint<'_>) -> Option<Question> {
    let address = endpoint.address.ip();
    if doubt.evidence.port_sweeps.iter().any(|sweep| sweep.address == address) {
        return None;
    }
    let tried: Vec<u16> = doubt
        .evidence
        .endpoints()
        .iter()
        .filter(|other| other.address.ip() == address)
        .map(|other| other.address.port())
        .collect();
    let ports: Vec<u16> = OTHER_PORTS.into_iter().filter(|port| !tried.contains(port)).collect();
    let value = json!({"host": address.to_string(), "port": endpoint.address.port(), "timeout_ms": 1_500, "ports": ports});
    let between = &["tcp.filtered", "path.target_silent"];
    Some(Question::new(params(Kind::Tcp, value)?, between, 0.5, 8, Duration::from_secs(3)))
}

/// A trace with SYNs to the port, where filters let no other trace pass: no router was seen at all.
fn trace_to_port(doubt: &Doubt<'_, '_>, endpoint: &Endpoint<'_>) -> Option<Question> {
    let address = endpoint.address.ip();
    if doubt.evidence.last_router(address).is_some() {
        return None;
    }
    let value = json!({"host": address.to_string(), "protocol": "tcp", "tcp_port": endpoint.address.port(), "rounds": 1});
    let time = Duration::from_secs(4);
    Some(Question::new(params(Kind::Traceroute, value)?, SILENT, 0.4, 30, time))
}

/// The way to another address that the run already uses: what the last router passes on for it, and not for the target, is lost behind it.
fn neighbours(doubt: &Doubt<'_, '_>, silent: IpAddr) -> Vec<Question> {
    let evidence = doubt.evidence;
    if evidence.last_router(silent).is_none() {
        return Vec::new();
    }
    let resolvers = evidence.lookups.iter().filter_map(|lookup| match lookup.source {
        LookupSource::Server { server, transport: Transport::Udp | Transport::Tcp } => Some(server.ip()),
        _ => None,
    });
    let own = evidence.addresses().into_iter().filter(|address| !evidence.answered(*address).is_empty());
    let elsewhere = evidence.attempts_elsewhere().iter().map(|attempt| attempt.address.ip());
    let usable = |address: &IpAddr| {
        *address != silent
            && address.is_ipv4() == silent.is_ipv4()
            && !address.is_loopback()
            && !address.is_unspecified()
            && !evidence.is_own(*address)
            && !evidence.traces.iter().any(|trace| trace.target == *address)
            && !evidence.hops_elsewhere.iter().any(|hop| hop.target == *address)
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in own.chain(elsewhere).chain(resolvers).filter(usable) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let between = &["path.blackhole", "path.target_silent"];
    let time = Duration::from_secs(3);
    let question = |address: &IpAddr| {
        let value = json!({"host": address.to_string(), "rounds": 1});
        let params = params(Kind::Traceroute, value)?;
        Some(Question { elsewhere: true, ..Question::new(params, between, 0.35, 30, time) })
    };
    addresses.iter().take(MAX_NEIGHBOURS).filter_map(question).collect()
}
