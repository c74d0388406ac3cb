//! The parsers of replies and of files that say where names come from, one function each. Each also holds what its facts promise.

use super::asking::Asking;
use super::query::{Query, Shape};
use super::{chain, dnssec, options, record, reply};
use hickory_proto::dnssec::rdata::{DNSSECRData, DS};
use hickory_proto::dnssec::{DigestType, Verifier};
use hickory_proto::op::{Message, Query as Question};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use jiff::Timestamp;
use netsonde_contract::observation::QueryReason;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Seeds and inputs answer this question: id 4660, `www.example. A`, and this client cookie.
const ID: u16 = 0x1234;
const COOKIE: [u8; options::CLIENT_COOKIE_BYTES] = *b"netsonde";
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);
/// Within the days for which the seeds are signed; a clock would make runs differ.
const NOW_S: i64 = 1_700_000_000;

fn name() -> Option<Name> {
    Name::from_ascii("www.example.").ok()
}

fn query() -> Option<Query> {
    let shape =
        Shape { class: DNSClass::IN, recursion: true, checking_disabled: false, edns: Some(super::query::Offer::default()) };
    Query::built(ID, Question::query(name()?, RecordType::A), shape, Some(COOKIE), &[]).ok()
}

/// A message as the reply to the question, and as one that came beside it.
pub(crate) fn reply(bytes: &[u8]) {
    let Some(query) = query() else { return };
    let mut asking = Asking::new(query, QueryReason::First, 2, true);
    if let Ok(received) = asking.take(bytes, Some(64)) {
        let fact = reply::of(&received, SERVER);
        assert!(fact.answers.len() <= record::MAX_RECORDS);
        assert!(fact.extended_errors.iter().all(|error| !error.text.chars().any(char::is_control)));
        assert!(reply::addresses(&received.message).len() <= record::MAX_RECORDS);
        asking.replied(received);
    }
    if let Ok(message) = Message::from_vec(bytes) {
        reply::reply(&message, bytes.len(), SERVER, Some(&COOKIE));
        let records = || message.answers.iter().chain(&message.authorities);
        dnssec::vouched(records());
        dnssec::keys(records());
        dnssec::signatures(records());
    }
}

/// A message as the keys of a zone, as a delegation and as the answer, in a chain that vouches for the keys in it: the signatures are
/// what it fails at.
pub(crate) fn chain(bytes: &[u8]) {
    let (Ok(message), Some(name), Ok(now)) = (Message::from_vec(bytes), name(), Timestamp::from_second(NOW_S)) else { return };
    let zone = message.answers.first().map_or_else(Name::root, |record| record.name.clone());
    let keys = message.answers.iter().filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::DNSKEY(key)) => {
            let digest = key.to_digest(&zone, DigestType::SHA256).ok()?;
            Some(DS::new(key.calculate_key_tag().ok()?, key.algorithm(), DigestType::SHA256, digest.as_ref().to_vec()))
        }
        _ => None,
    });
    let vouched: Vec<DS> = keys.take(4).chain(chain::anchors(&[])).collect();
    let begun = || chain::Chain::new(vouched.clone(), now);
    let mut keyed = begun();
    keyed.zone(&zone, Some(SERVER), Some(&message));
    keyed.delegated(&zone, &name, &message);
    keyed.answer(&zone, Some(&message));
    keyed.verdict(&name, "A");
    let mut unkeyed = begun();
    unkeyed.delegated(&zone, &name, &message);
    unkeyed.answer(&zone, Some(&message));
    unkeyed.verdict(&name, "A");
}

/// A message behind its length.
#[cfg(feature = "doq")]
pub(crate) fn framed(bytes: &[u8]) {
    assert!(super::doq::message(bytes).is_none_or(|message| message.len() + 2 <= bytes.len()));
}

/// hosts(5) and nsswitch.conf(5).
pub(crate) fn files(bytes: &[u8]) {
    let named = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    super::name_sources::hosts_lines(bytes, "www.example");
    super::name_sources::hosts_lines(bytes, &String::from_utf8_lossy(named));
    super::name_sources::order(bytes);
}
