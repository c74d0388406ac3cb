//! Name servers that are silent or answer with an error: dead, or silent for this name, this type or this kind of packet? Another
//! question to the same server tells; no other server is asked.

use super::doubt::Doubt;
use super::reach::{ping, trace};
use super::{Question, changed, params};
use crate::evidence::{Answer, NXDOMAIN, NameView, SERVFAIL, Seen, ServerView, host_of};
use crate::rules::{denying_zone, unplaced};
use netsonde_contract::failure::Step;
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{Exchange, LookupSource, Purpose, Transport};
use netsonde_contract::outcome::Outcome;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const SILENT: &[&str] = &["dns.resolver_unreachable", "dns.name_unanswered", "dns.aaaa_dropped", "dns.malformed_reply"];
const BROKEN: &[&str] = &["dns.servfail", "dns.dnssec_bogus"];
const DENIED: &[&str] = &["dns.nxdomain", "dns.nxdomain_injected"];
const PLAIN_ONLY: &[&str] = &["dns.edns_dropped", "dns.resolver_unreachable"];

/// Servers of one name that are asked again: a machine has two or three.
const MAX_SERVERS: usize = 3;

const ONE_TYPE: &[&str] = &["dns.aaaa_dropped"];
const LOSSY: &[&str] = &["path.loss", "dns.resolver_unreachable", "dns.aaaa_dropped"];
/// Packets of one server after which a share of loss is known well enough.
const ENOUGH_PACKETS: usize = 12;

/// One lost question is chance.
const SOME_LOST: u32 = 2;
/// Pings of a name server of which none lost is below one in six.
const PINGS: u32 = 20;

/// Packets of one server with and without EDNS after which chance is ruled out.
const FEW_PACKETS: usize = 5;

const OF_THE_WAY: &[&str] =
    &["path.routing_loop", "path.no_route", "path.target_down", "path.admin_prohibited", "dns.resolver_unreachable"];
const FAR_OR_SLOW: &[&str] = &["dns.resolver_slow", "path.congestion"];

const MISSING: &[&str] = &["dns.nxdomain", "dns.resolver_unreachable", "dns.servfail"];

pub(super) fn questions(doubt: &Doubt<'_, '_>) -> Vec<Question> {
    of_servers(doubt).into_iter().chain(of_other_hosts(doubt)).chain(of_ways(doubt)).collect()
}

/// The way to a name server or a proxy that a router said something of, and how far a slow name server is.
fn of_ways(doubt: &Doubt<'_, '_>) -> Vec<Question> {
    let far = unplaced(doubt.evidence).into_iter();
    let distance = far.filter_map(|server| {
        let ping = ping(doubt, server.ip(), FAR_OR_SLOW, 0.9);
        ping.or_else(|| who_it_is(doubt, server)).or_else(|| trace(doubt, server.ip(), FAR_OR_SLOW, 0.8))
    });
    distance.chain(doubt.broken_ways().into_iter().filter_map(|to| trace(doubt, to, OF_THE_WAY, 0.8))).take(MAX_SERVERS).collect()
}

/// Who a slow name server is, which it knows without asking others: an answer takes as long as the way there and back.
fn who_it_is(doubt: &Doubt<'_, '_>, server: SocketAddr) -> Option<Question> {
    let names = doubt.evidence.names();
    let check = names.iter().flat_map(|view| &view.servers).find(|view| view.server == server).and_then(plain_check)?;
    if is_asked_who_it_is(doubt, server) {
        return None;
    }
    // With the check's own patience: what it waited long for is no loss.
    let changes = json!({"types": ["A"], "identity": true, "attempts": 1});
    ask(check, server, &changes, FAR_OR_SLOW, 0.8, 4, 2_500)
}

fn is_asked_who_it_is(doubt: &Doubt<'_, '_>, server: SocketAddr) -> bool {
    doubt.evidence.beside_of(server).iter().any(|lookup| lookup.purpose == Purpose::Identity)
}

/// The name that a redirect led to and that did not resolve: nobody has asked a name server for it yet.
fn of_other_hosts(doubt: &Doubt<'_, '_>) -> Vec<Question> {
    let names = doubt.evidence.names();
    let unresolved = |exchange: &&Seen<'_, Exchange>| {
        let resolving = exchange.failure.as_ref().is_some_and(|failure| failure.during == Step::Resolve);
        let known = names.iter().any(|view| view.name.eq_ignore_ascii_case(host_of(&exchange.url)));
        resolving && !known && doubt.is_unexplained(exchange.id)
    };
    let exchanges = doubt.evidence.exchanges.iter().filter(unresolved);
    let question = |exchange: &Seen<'_, Exchange>| {
        let value = json!({"name": host_of(&exchange.url), "attempts": 2, "timeout_ms": 1_000});
        Some(Question::new(params(Kind::Dns, value)?, MISSING, 0.9, 8, Duration::from_millis(4_500)))
    };
    exchanges.filter_map(question).take(MAX_SERVERS).collect()
}

fn of_servers(doubt: &Doubt<'_, '_>) -> Vec<Question> {
    let names = doubt.evidence.names();
    let each = names.iter().flat_map(|view| view.servers.iter().take(MAX_SERVERS).map(move |server| (view, server)));
    each.flat_map(|(view, server)| of_server(doubt, view, server)).collect()
}

fn of_server(doubt: &Doubt<'_, '_>, view: &NameView<'_>, server: &ServerView<'_>) -> Vec<Question> {
    let Some(check) = plain_check(server) else { return Vec::new() };
    let open = |causes: &[&str]| {
        doubt.is_open_on(causes, server.ids())
            || server.ids().chain(view.system.iter().map(|lookup| lookup.id)).any(|id| doubt.is_unexplained(id))
    };
    let mut questions: Vec<Question> = Vec::new();
    if server.unreachable() && open(SILENT) {
        if !is_asked_who_it_is(doubt, server.server) {
            let changes = json!({"types": ["A"], "identity": true, "attempts": 1, "timeout_ms": 1_000});
            questions.extend(ask(check, server.server, &changes, SILENT, 0.8, 5, 2_500));
        }
        if !server.lookups.iter().any(|lookup| is_over(lookup.fact, Transport::Tcp)) {
            let changes = json!({"types": ["A"], "transport": "tcp", "attempts": 1, "timeout_ms": 1_000});
            questions.extend(ask(check, server.server, &changes, SILENT, 0.4, 3, 1_500));
        }
    }
    let failed = server.answers().iter().any(|(_, answer)| *answer == Answer::Code(SERVFAIL));
    let compared = doubt.evidence.unchecked.iter().any(|lookup| is_of(lookup.fact, server.server));
    if failed && !compared && open(BROKEN) {
        questions.extend(ask(check, server.server, &json!({"compare_cd": true, "attempts": 1}), BROKEN, 0.9, 4, 2_000));
    }
    let denied = |(lookup, answer): &(Seen<'_, netsonde_contract::observation::Lookup>, Answer)| {
        *answer == Answer::Code(NXDOMAIN) && denying_zone(lookup).is_none()
    };
    if server.answers().iter().any(denied)
        && !server.lookups.iter().any(|lookup| is_over(lookup.fact, Transport::Tcp))
        && open(DENIED)
    {
        // Whoever makes up an answer on the way does it to packets of UDP.
        let changes = json!({"types": ["A", "AAAA"], "transport": "tcp", "attempts": 1, "timeout_ms": 1_000});
        questions.extend(ask(check, server.server, &changes, DENIED, 0.8, 8, 1_500));
    }
    let over_udp = || server.lookups.iter().filter(|lookup| is_over(lookup, Transport::Udp)).flat_map(|lookup| &lookup.sent);
    let lost = server.lost_questions().cases;
    if lost >= SOME_LOST {
        questions.extend(pings_beside(doubt, server.server.ip()));
    }
    let silent = server.silent_types();
    let by_type =
        (open(ONE_TYPE) || silent.iter().any(|of| *of != "AAAA")) && !silent.is_empty() && over_udp().count() < ENOUGH_PACKETS;
    if (lost > 0 && over_udp().count() < ENOUGH_PACKETS) || by_type {
        // The same two questions over and over, each until it is answered: what is lost by chance is lost and answered.
        let changes = json!({"types": ["A", "AAAA", "A", "AAAA", "A", "AAAA"], "attempts": 4, "timeout_ms": 300});
        questions.extend(ask(check, server.server, &changes, LOSSY, 0.8, 12, 3_500));
    }
    let plain_only =
        over_udp().any(|sent| !sent.edns && sent.rcode.is_some()) && !over_udp().any(|sent| sent.edns && sent.rcode.is_some());
    if open(&["dns.edns_dropped"]) || (lost > 0 && plain_only && over_udp().count() < FEW_PACKETS) {
        let changes = json!({"edns": "fallback", "attempts": 3, "timeout_ms": 500});
        questions.extend(ask(check, server.server, &changes, PLAIN_ONLY, 0.7, 8, 4_500));
    }
    questions
}

/// Pings of the name server's machine: where none is lost and questions are, it is no loss of the way.
fn pings_beside(doubt: &Doubt<'_, '_>, server: IpAddr) -> Option<Question> {
    if !doubt.can_ping || server.is_loopback() || doubt.evidence.echoes_of(server).next().is_some() {
        return None;
    }
    let value = json!({"host": server.to_string(), "count": PINGS, "interval_ms": 60});
    Some(Question::new(params(Kind::Icmp, value)?, LOSSY, 0.8, PINGS, Duration::from_secs(2)))
}

/// The check that asked this server in the clear.
fn plain_check<'a>(server: &ServerView<'a>) -> Option<&'a Outcome> {
    let plain =
        |lookup: &netsonde_contract::observation::Lookup| is_over(lookup, Transport::Udp) || is_over(lookup, Transport::Tcp);
    server.lookups.iter().find(|lookup| lookup.outcome.kind == Kind::Dns && plain(lookup.fact)).map(|lookup| lookup.outcome)
}

fn is_over(lookup: &netsonde_contract::observation::Lookup, wanted: Transport) -> bool {
    matches!(lookup.source, LookupSource::Server { transport, .. } if transport == wanted)
}

fn is_of(lookup: &netsonde_contract::observation::Lookup, wanted: SocketAddr) -> bool {
    matches!(lookup.source, LookupSource::Server { server, .. } if server == wanted)
}

/// The same name at the same server alone, in the way that `changes` say; nothing else that the check did beside it.
fn ask(
    check: &Outcome,
    server: SocketAddr,
    changes: &Value,
    between: &'static [&'static str],
    separation: f64,
    packets: u32,
    time_ms: u64,
) -> Option<Question> {
    let mut all = json!({"servers": [server.to_string()], "system": false, "search": false, "reverse": false, "delegation": false,
        "control": null, "listen_ms": 0, "identity": false, "compare_cd": false, "client_subnet": null});
    all.as_object_mut()?.extend(changes.as_object()?.clone());
    Some(Question::new(changed(check, &all)?, between, separation, packets, Duration::from_millis(time_ms)))
}
