//! Handshakes and requests that come to a halt: the server, the name in the hello, its size, or large packets that vanish? And servers
//! that refuse an offer: which one would they take?

use super::doubt::Doubt;
use super::reach::ping;
use super::{Question, changed, params};
use crate::evidence::{LARGE_ECHO_BYTES, LARGE_ECHOES, Seen, host_of, small_segments};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{Exchange, Handshake, MtuLimit};
use serde_json::json;
use std::net::IpAddr;
use std::time::Duration;

const HALTED: &[&str] = &[
    "tls.handshake_timeout",
    "tls.sni_blocked",
    "tls.large_hello_blocked",
    "path.mtu_blackhole",
    "tcp.reset_midstream",
    "tcp.closed_early",
];
const UNHEARD: &[&str] = &["path.udp_blocked", "path.mtu_blackhole"];
const REFUSED_OFFER: &[&str] = &["tls.handshake_rejected", "tls.cipher_unsupported", "tls.version_unsupported"];
const NO_REPLY: &[&str] = &["http.timeout", "path.mtu_blackhole"];
const SLOW: &[&str] = &["http.slow_server", "http.slow_network", "path.loss"];

pub(super) fn questions(doubt: &Doubt<'_, '_>) -> Vec<Question> {
    let mut questions: Vec<Question> = Vec::new();
    for handshake in &doubt.evidence.handshakes {
        questions.extend(of_handshake(doubt, handshake));
    }
    for quic in doubt.evidence.quics.iter().filter(|quic| doubt.is_open_on(UNHEARD, [quic.id])) {
        questions.extend(large_packets(doubt, quic.address.ip(), UNHEARD));
    }
    for exchange in &doubt.evidence.exchanges {
        let Some(address) = exchange.address.filter(|_| exchange.proxy.is_none()).map(|at| at.ip()) else { continue };
        let halted = exchange.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::TimedOut && is_later(failure));
        let in_handshake = exchange.failure.as_ref().is_some_and(|failure| failure.during == Step::Handshake);
        let known = doubt.evidence.handshakes.iter().any(|handshake| handshake.address.ip() == address);
        if in_handshake && !known && doubt.is_unexplained(exchange.id) {
            questions.extend(handshake_alone(exchange.fact));
        }
        if halted && (doubt.is_open_on(NO_REPLY, [exchange.id]) || doubt.is_unexplained(exchange.id)) {
            questions.extend(large_packets(doubt, address, NO_REPLY));
            questions.extend(large_answers(doubt, address, NO_REPLY));
            questions.extend(small_exchange(doubt, exchange, address));
        }
        if doubt.is_open_on(&["path.mtu_blackhole"], [exchange.id]) && halted {
            questions.extend(exchange_again(doubt, exchange));
        }
        if doubt.is_open_on(SLOW, [exchange.id]) {
            questions.extend(pings(doubt, address, SLOW));
        }
    }
    questions
}

/// The connection stood before it came to this.
fn is_later(failure: &Failure) -> bool {
    matches!(failure.during, Step::Handshake | Step::Send | Step::Receive)
}

fn of_handshake(doubt: &Doubt<'_, '_>, handshake: &Seen<'_, Handshake>) -> Vec<Question> {
    let Some(failure) = handshake.failure.as_ref().filter(|failure| is_later(failure)) else { return Vec::new() };
    let open = |causes: &[&str]| doubt.is_open_on(causes, [handshake.id]) || doubt.is_unexplained(handshake.id);
    if handshake.outcome.kind != Kind::Tls || handshake.plain_reply.is_some() {
        return Vec::new();
    }
    let mut questions: Vec<Question> = Vec::new();
    let died = matches!(failure.code, FailureCode::TimedOut | FailureCode::Reset | FailureCode::Closed);
    if died && open(HALTED) {
        let varied = doubt.evidence.variants.iter().any(|variant| variant.address == handshake.address);
        if !varied {
            questions.extend(other_hellos(handshake));
        }
        if failure.code == FailureCode::TimedOut {
            questions.extend(large_packets(doubt, handshake.address.ip(), HALTED));
            questions.extend(large_answers(doubt, handshake.address.ip(), HALTED));
            questions.extend(small_handshake(doubt, handshake));
        }
    }
    let supported = doubt.evidence.tls_support.iter().any(|support| support.address == handshake.address);
    if !died && !supported && open(REFUSED_OFFER) {
        questions.extend(each_offer(handshake));
    }
    questions
}

/// The handshake that a request did not get beyond, by itself: with the certificate, and with other hellos beside it.
fn handshake_alone(exchange: &Exchange) -> Option<Question> {
    let value = json!({"host": host_of(&exchange.url), "port": exchange.address?.port(), "timeout_ms": 1_500,
        "compare_groups": true, "compare_names": ["none"]});
    Some(Question::new(params(Kind::Tls, value)?, HALTED, 0.9, 12, Duration::from_millis(4_500)))
}

/// The same handshake again, with a small hello, and without a name.
fn other_hellos(handshake: &Seen<'_, Handshake>) -> Option<Question> {
    let changes = json!({"compare_groups": true, "compare_names": ["none"], "versions": false, "ciphers": false,
        "resumption": false, "fetch_issuers": false, "revocation": false, "timeout_ms": 1_500});
    let time = Duration::from_millis(4_500);
    Some(Question::new(changed(handshake.outcome, &changes)?, HALTED, 0.9, 12, time))
}

/// The same handshake with one version at a time.
fn each_offer(handshake: &Seen<'_, Handshake>) -> Option<Question> {
    let changes = json!({"versions": true, "compare_groups": false, "compare_names": [], "ciphers": false,
        "resumption": false, "fetch_issuers": false, "revocation": false, "timeout_ms": 2_000});
    Some(Question::new(changed(handshake.outcome, &changes)?, REFUSED_OFFER, 0.9, 20, Duration::from_secs(3)))
}

/// The largest packet that passes to the address.
fn large_packets(doubt: &Doubt<'_, '_>, address: IpAddr, between: &'static [&'static str]) -> Option<Question> {
    if address.is_loopback() || doubt.evidence.mtus.iter().any(|mtu| mtu.address == address) {
        return None;
    }
    let value = json!({"host": address.to_string(), "timeout_ms": 500});
    Some(Question::new(params(Kind::Mtu, value)?, between, 0.7, 30, Duration::from_secs(3)))
}

/// Data in a segment that every host and path carries (RFC 9293 section 3.7.1).
const SMALL_SEGMENT_BYTES: u32 = 536;
/// Answers come within it, or not at all.
const AGAIN_TIMEOUT_MS: u64 = 2_000;
/// Enough of a body to show that it goes on.
const AGAIN_BODY_BYTES: u64 = 30_000;

/// The sizes that pass were looked for, and do not explain the halt: what drops the large packets of connections alone shows only here.
fn sizes_do_not_tell(doubt: &Doubt<'_, '_>, address: IpAddr) -> bool {
    let measured = || doubt.evidence.mtus.iter().filter(|mtu| mtu.address == address);
    !address.is_loopback() && measured().next().is_some() && !measured().any(|mtu| mtu.limit == MtuLimit::Untold)
}

/// The same request over small segments.
fn small_exchange(doubt: &Doubt<'_, '_>, exchange: &Seen<'_, Exchange>, address: IpAddr) -> Option<Question> {
    let known = doubt.evidence.exchanges.iter().any(|other| small_segments(other.outcome).is_some() && other.url == exchange.url);
    if known || !sizes_do_not_tell(doubt, address) || exchange.outcome.kind != Kind::Http {
        return None;
    }
    let changes = json!({"max_segment_bytes": SMALL_SEGMENT_BYTES, "timeout_ms": AGAIN_TIMEOUT_MS, "max_body_s": 2,
        "max_body_bytes": AGAIN_BODY_BYTES, "compare": false, "upload_bytes": 0});
    Some(Question::new(changed(exchange.outcome, &changes)?, NO_REPLY, 0.9, 40, Duration::from_millis(4_500)))
}

/// The same request as it was, where it worked over small segments: once might have been chance.
fn exchange_again(doubt: &Doubt<'_, '_>, exchange: &Seen<'_, Exchange>) -> Option<Question> {
    let small = doubt.evidence.exchanges.iter().any(|other| small_segments(other.outcome).is_some() && other.url == exchange.url);
    if !small || exchange.outcome.kind != Kind::Http {
        return None;
    }
    let changes = json!({"max_segment_bytes": null, "timeout_ms": AGAIN_TIMEOUT_MS, "max_body_s": 2,
        "max_body_bytes": AGAIN_BODY_BYTES, "compare": false, "upload_bytes": 0});
    Some(Question::new(changed(exchange.outcome, &changes)?, NO_REPLY, 0.9, 40, Duration::from_millis(4_500)))
}

/// The same handshake over small segments.
fn small_handshake(doubt: &Doubt<'_, '_>, handshake: &Seen<'_, Handshake>) -> Option<Question> {
    let same = |other: &&Seen<'_, Handshake>| other.address == handshake.address && small_segments(other.outcome).is_some();
    if doubt.evidence.handshakes.iter().any(|other| same(&other)) || !sizes_do_not_tell(doubt, handshake.address.ip()) {
        return None;
    }
    let changes = json!({"max_segment_bytes": SMALL_SEGMENT_BYTES, "timeout_ms": AGAIN_TIMEOUT_MS, "compare_groups": false,
        "compare_names": [], "versions": false, "ciphers": false, "resumption": false, "fetch_issuers": false, "revocation": false});
    Some(Question::new(changed(handshake.outcome, &changes)?, HALTED, 0.9, 12, Duration::from_secs(3)))
}

/// Large pings, whose answers are as large: the sizes that are sent out say nothing of the way back.
fn large_answers(doubt: &Doubt<'_, '_>, address: IpAddr, between: &'static [&'static str]) -> Option<Question> {
    let large = doubt.evidence.echoes_of(address).any(|echo| echo.size_bytes >= LARGE_ECHO_BYTES);
    let answers = doubt.evidence.echoes_of(address).next().is_none_or(|echo| !echo.replies.is_empty());
    if address.is_loopback() || !doubt.can_ping || large || !answers {
        return None;
    }
    let value = json!({"host": address.to_string(), "count": LARGE_ECHOES, "interval_ms": 100, "size_bytes": LARGE_ECHO_BYTES});
    Some(Question::new(params(Kind::Icmp, value)?, between, 0.6, LARGE_ECHOES, Duration::from_millis(1_700)))
}

/// Enough pings to see that nothing is lost, and how far it is.
fn pings(doubt: &Doubt<'_, '_>, address: IpAddr, between: &'static [&'static str]) -> Option<Question> {
    ping(doubt, address, between, 0.5)?;
    let value = json!({"host": address.to_string(), "count": 20, "interval_ms": 50});
    Some(Question::new(params(Kind::Icmp, value)?, between, 0.5, 20, Duration::from_secs(2)))
}
