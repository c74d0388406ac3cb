//! Silence: a filter for one port, a target that answers nothing, or a way that is broken? A refusal: by the target, or by a box on the
//! way? Other protocols, other ports and a trace of the same address tell.

use super::doubt::Doubt;
use super::{Question, params};
use crate::evidence::Endpoint;
use crate::rules::is_doubtful;
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{LookupSource, Transport};
use serde_json::json;
use std::net::IpAddr;
use std::time::Duration;

const SILENT: &[&str] = &["tcp.filtered", "path.target_silent", "path.blackhole"];
const FILTERED_OR_SILENT: &[&str] = &["tcp.filtered", "path.target_silent"];
const REJECTED_OR_DROPPED: &[&str] = &["tcp.filtered", "path.no_route", "path.target_down", "path.admin_prohibited"];
/// What a router said.
const TOLD: &[&str] = &["path.no_route", "path.target_down", "path.admin_prohibited"];
const OWN_ADDRESS: &[&str] = &["host.duplicate_address", "path.target_silent"];
const DROPPED: &[&str] = &["tcp.filtered", "host.firewall_local", "tcp.accept_queue_full"];
const TAKEN: &[&str] = &["tcp.transparent_proxy", "path.target_silent"];
const UNVOUCHED: &[&str] = &["tls.self_signed", "tls.unknown_issuer", "tls.intercepted"];
const REFUSED: &[&str] = &["tcp.refused", "tcp.rejected_by_middlebox"];

/// Below so many attempts a full queue or a loss may be what silences them all.
const ENOUGH_ATTEMPTS: usize = 3;
/// No longer way is looked at.
const MOST_HOPS: u8 = 30;
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
        // What a router says of pings or traces may be of these alone.
        let hops = doubt.evidence.hops_of(address);
        let about = doubt.evidence.sent_to(address).into_iter().chain(hops.iter().map(|hop| hop.id));
        if endpoint.silent() && doubt.is_open_on(TOLD, about) {
            questions.extend(other_ports(doubt, &endpoint, REJECTED_OR_DROPPED));
        }
        if is_doubtful(doubt.evidence, &endpoint) && !address.is_loopback() && !doubt.evidence.is_own(address) {
            questions.extend(syns(&endpoint, last_seen(doubt, address), TAKEN, 0.5));
        }
        questions.extend(who_shows_the_certificate(doubt, &endpoint));
        let refused = endpoint.attempts.iter().any(|attempt| attempt.refused_by_reset());
        if refused && !address.is_loopback() && open(REFUSED) {
            questions.extend(ping(doubt, address, REFUSED, 0.6));
            questions.extend(trace(doubt, address, REFUSED, 0.4));
            questions.extend(before_the_target(doubt, &endpoint, REFUSED));
            if !endpoint.attempts.iter().any(|attempt| attempt.by_tcp_check) {
                questions.extend(connect(&endpoint, 2, &["tcp.refused", "path.admin_prohibited"], 0.6));
            }
        }
    }
    questions
}

/// A certificate that nobody vouches for: the server's, or of a box that takes the connection before it?
fn who_shows_the_certificate(doubt: &Doubt<'_, '_>, endpoint: &Endpoint<'_>) -> Option<Question> {
    let address = endpoint.address.ip();
    let shown = doubt.evidence.handshakes.iter().filter(|handshake| handshake.address == endpoint.address);
    if address.is_loopback() || doubt.evidence.is_own(address) || !doubt.is_open_on(UNVOUCHED, shown.map(|shown| shown.id)) {
        return None;
    }
    before_the_target(doubt, endpoint, UNVOUCHED)
}

/// SYNs that do not reach as far as the target: what answers them is on the way.
fn before_the_target(doubt: &Doubt<'_, '_>, endpoint: &Endpoint<'_>, between: &'static [&'static str]) -> Option<Question> {
    let evidence = doubt.evidence;
    let distance = evidence.plain_distance(endpoint.address.ip()).filter(|distance| *distance > 1)?;
    let unseen = evidence.syn_trace(endpoint.address).is_none();
    syns(endpoint, distance - 1, between, 0.6).filter(|_| unseen)
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
        questions.extend(other_ports(doubt, endpoint, FILTERED_OR_SILENT));
        questions.extend(trace_to_port(doubt, endpoint));
        questions.extend(neighbours(doubt, address));
    }
    questions.extend(own_address_taken(doubt, address));
    if others_asked && !evidence.answered(address).is_empty() && !address.is_loopback() {
        let unseen = evidence.syn_trace(endpoint.address).is_none();
        // A router or two may be silent; the target itself is known to be.
        let max_ttl = evidence.plain_distance(address).unwrap_or_else(|| last_seen(doubt, address).saturating_add(2));
        questions.extend(syns(endpoint, max_ttl, DROPPED, 0.6).filter(|_| unseen));
    }
    questions
}

/// Where nothing at all comes back, not even from a router, what is meant for this machine may reach another one that has its address.
fn own_address_taken(doubt: &Doubt<'_, '_>, address: IpAddr) -> Option<Question> {
    let evidence = doubt.evidence;
    let anybody = evidence.hops.iter().any(|hop| !hop.addresses().is_empty());
    let heard = anybody || evidence.addresses().into_iter().any(|address| !evidence.answered(address).is_empty());
    let asked = !evidence.address_probes.is_empty();
    if heard || asked || !evidence.environment.raw_sockets || address.is_loopback() || evidence.is_own(address) {
        return None;
    }
    let value = json!({"target": address.to_string(), "only_route": true, "duplicates": true});
    Some(Question::new(params(Kind::Host, value)?, OWN_ADDRESS, 0.4, 6, Duration::from_secs(2)))
}

/// The farthest distance from which a router answered; where none did, as far as a way has routers.
fn last_seen(doubt: &Doubt<'_, '_>, address: IpAddr) -> u8 {
    doubt.evidence.plain_last_router(address).map_or(MOST_HOPS, |router| router.hop)
}

/// How far SYNs to the port get, and who answers them there.
fn syns(endpoint: &Endpoint<'_>, max_ttl: u8, between: &'static [&'static str], separation: f64) -> Option<Question> {
    let value = json!({
        "host": endpoint.address.ip().to_string(), "protocol": "tcp", "tcp_port": endpoint.address.port(),
        "rounds": 2, "timeout_ms": 600, "max_ttl": max_ttl.clamp(1, MOST_HOPS)
    });
    let packets = 2 * u32::from(max_ttl.clamp(1, MOST_HOPS));
    Some(Question::new(params(Kind::Traceroute, value)?, between, separation, packets, Duration::from_secs(2)))
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
pub(super) fn trace(
    doubt: &Doubt<'_, '_>,
    address: IpAddr,
    between: &'static [&'static str],
    separation: f64,
) -> Option<Question> {
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

/// Other ports of the same address, where it answers neither ping nor traceroute, or a router answers these in its place.
fn other_ports(doubt: &Doubt<'_, '_>, endpoint: &Endpoint<'_>, between: &'static [&'static str]) -> Option<Question> {
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
