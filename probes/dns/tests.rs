use super::answering::{self, Answers, Server, reply_to};
use super::*;
use crate::clock::Clock;
use crate::context::{ProxyChoice, Recorder};
use crate::gate::{Gate, Limits};
use crate::tls::servers::{self, Authority};
use bytes::Bytes;
use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption, NSIDPayload};
use hickory_proto::rr::rdata::{A, CNAME, NS, SOA};
use hickory_proto::rr::{RData, Record};
use http_body_util::{BodyExt, Full};
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::id::CheckId;
use netsonde_contract::kind::DnsTransport;
use netsonde_contract::observation::{Cookie, DnsReply, LookupSource, QueryReason, Security, Transport};
use std::net::SocketAddr;
use std::sync::Arc;

fn context(limits: Limits) -> Context {
    let clock = Clock::start();
    behind(Gate::new(limits, clock), clock)
}

/// What the policy of a customer lets through.
fn closed() -> Context {
    let clock = Clock::start();
    behind(crate::gate::closed(clock), clock)
}

fn behind(gate: Gate, clock: Clock) -> Context {
    Context {
        gate: Arc::new(gate),
        clock,
        names: Arc::default(),
        trust: Arc::default(),
        proxy: ProxyChoice::None,
        recorder: Recorder::new(CheckId::new("resolve")),
        max_segment_bytes: None,
    }
}

/// Far more than loopback needs on a busy machine, where an answer is to come.
const ANSWERED_MS: u64 = 5_000;
/// Where none will.
const SILENT_MS: u64 = 50;

/// Asks one server for the A records of www.example.
async fn lookups(server: SocketAddr, transport: DnsTransport, timeout_ms: u64) -> (Ending, Vec<Lookup>) {
    let params = DnsParams {
        types: vec!["A".into()],
        servers: vec![server.to_string()],
        transport,
        system: false,
        timeout_ms,
        attempts: 2,
        ..from_defaults()
    };
    let context = context(Limits::PERSON);
    let ending = run(&context, &params).await.unwrap();
    let facts = context.recorder.observations().into_iter().map(|observation| observation.fact);
    let lookups = facts.map(|fact| if let Fact::Lookup(lookup) = fact { lookup } else { panic!("{fact:?}") }).collect();
    (ending, lookups)
}

async fn udp_lookup(timeout_ms: u64, answer: impl Fn(&Message, bool) -> Answers + Send + Sync + 'static) -> (Ending, Lookup) {
    let server = Server::start(answer).await;
    let (ending, mut found) = lookups(server.address, DnsTransport::UdpThenTcp, timeout_ms).await;
    assert_eq!(found.len(), 1, "{found:?}");
    (ending, found.remove(0))
}

fn replied(lookup: &Lookup) -> &DnsReply {
    lookup.reply.as_ref().unwrap_or_else(|| panic!("{:?}", lookup.failure))
}

fn failed(lookup: &Lookup) -> &Failure {
    lookup.failure.as_ref().unwrap()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn good(question: &Message) -> Message {
    let mut reply = reply_to(question);
    reply.add_answer(Record::from_rdata(name("www.example."), 300, RData::CNAME(CNAME(name("host.example.")))));
    reply.add_answer(Record::from_rdata(name("host.example."), 60, RData::A(A::new(192, 0, 2, 7))));
    reply
}

#[tokio::test]
async fn a_good_reply_is_kept_whole() {
    let (ending, lookup) = udp_lookup(ANSWERED_MS, |question, _| vec![good(question).to_vec().unwrap()]).await;
    assert_eq!(ending, Ending::AsExpected);
    assert_eq!((lookup.name.as_str(), lookup.record_type.as_str(), lookup.attempts), ("www.example", "A", 1));
    assert_eq!(lookup.addresses, ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]);
    assert!(lookup.took_us.is_some() && lookup.failure.is_none());
    let reply = replied(&lookup);
    assert!(reply.flags.rd && reply.flags.ra && !reply.flags.aa && !reply.flags.tc);
    let short: Vec<_> =
        reply.answers.iter().map(|r| (r.name.as_str(), r.record_type.as_str(), r.ttl_s, r.data.as_str())).collect();
    assert_eq!(short, [("www.example.", "CNAME", 300, "host.example."), ("host.example.", "A", 60, "192.0.2.7")]);
}

#[tokio::test]
async fn nxdomain_keeps_the_zones_soa() {
    let (ending, lookup) = udp_lookup(ANSWERED_MS, |question, _| {
        let mut reply = reply_to(question);
        reply.metadata.response_code = ResponseCode::NXDomain;
        let soa = SOA::new(name("ns.example."), name("host\\.master.example."), 7, 3600, 600, 86400, 300);
        reply.add_authority(Record::from_rdata(name("example."), 900, RData::SOA(soa)));
        vec![reply.to_vec().unwrap()]
    })
    .await;
    assert_eq!(ending, Ending::Failed);
    assert_eq!((replied(&lookup).rcode.as_str(), replied(&lookup).rcode_number), ("NXDOMAIN", 3));
    assert_eq!(replied(&lookup).authority[0].data, "ns.example. host\\.master.example. 7 3600 600 86400 300");
    assert_eq!(lookup.failure, None, "a reply that says no is a reply");
}

#[tokio::test]
async fn servfail_keeps_the_extended_error() {
    let (ending, lookup) = udp_lookup(ANSWERED_MS, |question, _| {
        let mut reply = reply_to(question);
        reply.metadata.response_code = ResponseCode::ServFail;
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(15, b"\x00\x07expired 2026-01-01".to_vec()));
        reply.set_edns(edns);
        vec![reply.to_vec().unwrap()]
    })
    .await;
    assert_eq!(ending, Ending::Failed);
    assert_eq!(replied(&lookup).rcode, "SERVFAIL");
    let error = &replied(&lookup).extended_errors[0];
    assert_eq!((error.code, error.name.as_str(), error.text.as_str()), (7, "Signature Expired", "expired 2026-01-01"));
}

#[tokio::test]
async fn a_truncated_reply_is_asked_for_again_over_tcp() {
    let server = Server::start(|question, over_tcp| {
        let mut reply = if over_tcp { good(question) } else { reply_to(question) };
        reply.metadata.truncation = !over_tcp;
        vec![reply.to_vec().unwrap()]
    })
    .await;
    let (ending, found) = lookups(server.address, DnsTransport::UdpThenTcp, ANSWERED_MS).await;
    assert_eq!(ending, Ending::AsExpected);
    assert!(replied(&found[0]).flags.tc && found[0].addresses.is_empty());
    let over_tcp = LookupSource::Server { server: server.address, transport: Transport::Tcp };
    assert_eq!((&found[1].source, found[1].addresses.len(), found[1].attempts), (&over_tcp, 1, 1));
    assert_eq!(found[1].sent[0].why, QueryReason::Truncated);
    let (ending, found) = lookups(server.address, DnsTransport::Udp, ANSWERED_MS).await;
    assert_eq!((ending, found.len()), (Ending::Failed, 1), "UDP only stays with what was cut");
}

#[tokio::test]
async fn silence_is_a_time_out_after_every_attempt_and_one_without_edns() {
    let (ending, lookup) = udp_lookup(SILENT_MS, |_, _| Vec::new()).await;
    assert_eq!((ending, lookup.attempts, lookup.took_us), (Ending::Failed, 3, None));
    let why: Vec<_> = lookup.sent.iter().map(|sent| (sent.why, sent.edns)).collect();
    assert_eq!(why, [(QueryReason::First, true), (QueryReason::Silence, true), (QueryReason::SilenceWithEdns, false)]);
    assert!(lookup.sent.iter().all(|sent| sent.rcode.is_none() && sent.local == lookup.sent[0].local), "one port");
    assert!(lookup.sent[0].local.unwrap().port() != 0);
    assert_eq!(failed(&lookup).code, FailureCode::TimedOut);
}

#[tokio::test]
async fn a_closed_port_is_refused_at_once_and_names_who_said_so() {
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_, found) = lookups(closed, DnsTransport::Udp, ANSWERED_MS).await;
    assert_eq!((&failed(&found[0]).code, found[0].attempts), (&FailureCode::Refused, 1));
    if cfg!(target_os = "linux") {
        let icmp = failed(&found[0]).icmp.as_ref().unwrap();
        assert_eq!((icmp.offender, icmp.kind, icmp.code), (closed.ip(), 3, 3));
    }
    let (_, found) = lookups(closed, DnsTransport::Tcp, ANSWERED_MS).await;
    assert_eq!(failed(&found[0]).code, FailureCode::Refused);
}

#[tokio::test]
async fn a_forged_reply_does_not_hide_the_right_one() {
    let (_, lookup) = udp_lookup(ANSWERED_MS, |question, _| {
        let mut forged = good(question);
        forged.metadata.id = question.id.wrapping_add(1);
        forged.answers[1].data = RData::A(A::new(203, 0, 113, 66));
        let mut other = good(question);
        other.queries[0].set_name(name("other.example."));
        vec![forged.to_vec().unwrap(), other.to_vec().unwrap(), b"garbage".to_vec(), good(question).to_vec().unwrap()]
    })
    .await;
    assert_eq!(lookup.addresses, ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((lookup.attempts, &lookup.failure), (1, &None));
    assert_eq!(lookup.others.len(), 3);
    assert!(lookup.others.iter().all(|other| !other.second_reply));
    assert!(lookup.others[0].why.contains("id") && lookup.others[2].why.contains("does not parse"));
    assert_eq!(lookup.others[0].reply.as_ref().unwrap().answers[1].data, "203.0.113.66", "what the forger said is kept");
}

#[tokio::test]
async fn garbage_and_nothing_better_breaks_the_protocol() {
    let (ending, lookup) = udp_lookup(SILENT_MS, |_, _| vec![b"\xff".repeat(40)]).await;
    assert_eq!((ending, lookup.attempts), (Ending::Failed, 3));
    assert_eq!(failed(&lookup).code, FailureCode::ProtocolError);
    assert!(failed(&lookup).text.contains("does not parse"), "{}", failed(&lookup).text);
    let server = Server::start(|_, _| vec![b"\xff".repeat(40)]).await;
    let (_, found) = lookups(server.address, DnsTransport::Tcp, SILENT_MS).await;
    assert_eq!(failed(&found[0]).code, FailureCode::ProtocolError);
}

#[tokio::test]
async fn a_server_that_hangs_up_over_tcp_has_closed() {
    let server = Server::start(|_, _| Vec::new()).await;
    let (_, found) = lookups(server.address, DnsTransport::Tcp, ANSWERED_MS).await;
    assert_eq!(failed(&found[0]).code, FailureCode::Closed);
}

#[tokio::test]
async fn the_gates_refusal_is_the_lookups_failure() {
    let params = DnsParams { servers: vec!["127.0.0.1:9".into()], system: false, ..from_defaults() };
    let context = closed();
    assert_eq!(run(&context, &params).await, Ok(Ending::Failed));
    let found = context.recorder.observations();
    assert_eq!(found.len(), 2, "A and AAAA");
    assert!(found.iter().all(|one| one.fact.failure().is_some_and(|failure| failure.code == FailureCode::NotAllowed)));
}

/// A silent server holds the check up; what another said is there before the check ends.
#[tokio::test]
async fn a_silent_server_holds_back_nothing_that_others_said() {
    let silent = Server::start(|_, _| Vec::new()).await;
    let good = Server::start(|question, _| vec![good(question).to_vec().unwrap()]).await;
    let servers = vec![silent.address.to_string(), good.address.to_string()];
    let params = DnsParams { servers, types: vec!["A".into()], system: false, timeout_ms: 10_000, ..from_defaults() };
    let context = context(Limits::PERSON);
    let recorded = async {
        while context.recorder.observations().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ending = run(&context, &params) => panic!("{ending:?}"),
        () = recorded => {}
    }
    let kept = context.recorder.observations();
    assert!(kept[0].fact.failure().is_none(), "{kept:?}");
    let cut_off = kept[1].fact.failure().unwrap();
    assert_eq!(cut_off.code, FailureCode::Interrupted, "no deadline came: {cut_off:?}");
}

#[tokio::test]
async fn the_systems_view_stands_beside_and_decides() {
    let good = Server::start(|question, _| vec![good(question).to_vec().unwrap()]).await;
    let params = DnsParams { name: "localhost".into(), servers: vec![good.address.to_string()], ..from_defaults() };
    let context = context(Limits::PERSON);
    assert_eq!(run(&context, &params).await, Ok(Ending::AsExpected));
    let found = context.recorder.observations();
    let system = found.iter().find_map(|one| match &one.fact {
        Fact::Lookup(lookup) if lookup.source == LookupSource::System => Some(lookup),
        _ => None,
    });
    let system = system.unwrap();
    assert_eq!(system.record_type, "ADDRESS");
    assert!(!system.addresses.is_empty() && system.addresses.iter().all(|address| address.is_loopback()), "{system:?}");
    assert!(found.iter().any(|one| matches!(&one.fact, Fact::Lookup(lookup) if lookup.source == LookupSource::Library)));
}

fn from_defaults() -> DnsParams {
    serde_json::from_value(serde_json::json!({"name": "www.example"})).unwrap()
}

/// Asks one server with these parameters beside the defaults, and gives every lookup.
async fn asked(server: &str, change: impl FnOnce(&mut DnsParams)) -> (Ending, Vec<Lookup>) {
    let mut params = DnsParams {
        types: vec!["A".into()],
        servers: vec![server.to_owned()],
        system: false,
        timeout_ms: ANSWERED_MS,
        ..from_defaults()
    };
    change(&mut params);
    let context = context(Limits::PERSON);
    let ending = run(&context, &params).await.unwrap();
    let facts = context.recorder.observations().into_iter().map(|observation| observation.fact);
    (ending, facts.filter_map(|fact| if let Fact::Lookup(lookup) = fact { Some(lookup) } else { None }).collect())
}

/// The cookie of a question, where it has one: the client's part and the server's.
fn cookie_of(question: &Message) -> Option<Vec<u8>> {
    match question.edns.as_ref()?.option(EdnsCode::Cookie)? {
        EdnsOption::Unknown(_, bytes) => Some(bytes.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn a_server_that_drops_edns_is_answered_without_it() {
    let (ending, lookup) = udp_lookup(SILENT_MS, |question, _| match question.edns {
        Some(_) => Vec::new(),
        None => vec![good(question).to_vec().unwrap()],
    })
    .await;
    assert_eq!((ending, lookup.attempts), (Ending::AsExpected, 6));
    let with_edns: Vec<bool> = lookup.sent.iter().map(|sent| sent.edns).collect();
    assert_eq!(with_edns, [true, true, false, true, false, false], "three more tell that it was no chance");
    let last = lookup.sent.last().unwrap();
    assert_eq!((last.why, last.edns, last.rcode.as_deref()), (QueryReason::PlainAgain, false, Some("NOERROR")));
    assert!(last.id != lookup.sent[0].id && lookup.sent[0].rcode.is_none());
}

#[tokio::test]
async fn a_server_that_refuses_edns_is_asked_without_it_at_once() {
    for transport in [DnsTransport::Udp, DnsTransport::Tcp] {
        let server = Server::start(|question, _| {
            let mut reply = good(question);
            if question.edns.is_some() {
                reply = reply_to(question);
                reply.metadata.response_code = ResponseCode::FormErr;
            }
            vec![reply.to_vec().unwrap()]
        })
        .await;
        let (ending, found) = lookups(server.address, transport, ANSWERED_MS).await;
        assert_eq!((ending, found.len()), (Ending::AsExpected, 1));
        let sent: Vec<_> = found[0].sent.iter().map(|sent| (sent.why, sent.rcode.as_deref().unwrap())).collect();
        assert_eq!(sent, [(QueryReason::First, "FORMERR"), (QueryReason::EdnsRefused, "NOERROR")]);
    }
}

#[tokio::test]
async fn edns_that_must_stay_stays_and_edns_that_must_not_never_goes_out() {
    let server = Server::start(|question, _| {
        let mut reply = reply_to(question);
        reply.metadata.response_code = if question.edns.is_some() { ResponseCode::FormErr } else { ResponseCode::NXDomain };
        vec![reply.to_vec().unwrap()]
    })
    .await;
    for (edns, rcode) in [(EdnsUse::Always, "FORMERR"), (EdnsUse::Never, "NXDOMAIN")] {
        let (_, found) = asked(&server.address.to_string(), |params| params.edns = edns).await;
        assert_eq!((replied(&found[0]).rcode.as_str(), found[0].attempts), (rcode, 1));
    }
}

#[tokio::test]
async fn an_instance_names_itself_and_gets_its_cookie_back() {
    let (ending, lookup) = udp_lookup(ANSWERED_MS, |question, _| {
        let Some(cookie) = cookie_of(question) else { return Vec::new() };
        let client: [u8; 8] = cookie[..8].try_into().unwrap();
        let known = cookie[8..] == *b"server's own";
        let mut reply = if known { good(question) } else { reply_to(question) };
        if !known {
            reply.metadata.response_code = ResponseCode::BADCOOKIE;
        }
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::NSID(NSIDPayload::new(*b"ns2.fra").unwrap()));
        edns.options_mut().insert(EdnsOption::Unknown(10, [&client[..], b"server's own"].concat()));
        reply.set_edns(edns);
        vec![reply.to_vec().unwrap()]
    })
    .await;
    assert_eq!(ending, Ending::AsExpected);
    let edns = replied(&lookup).edns.as_ref().unwrap();
    assert_eq!(edns.nsid.as_deref(), Some("ns2.fra"));
    assert_eq!(edns.cookie, Some(Cookie { client_matches: true, server_bytes: 12 }));
    let sent: Vec<_> = lookup.sent.iter().map(|sent| (sent.why, sent.rcode.as_deref().unwrap())).collect();
    assert_eq!(sent, [(QueryReason::First, "BADCOOKIE"), (QueryReason::BadCookie, "NOERROR")]);
}

#[tokio::test]
async fn a_second_reply_to_one_id_is_kept_with_what_it_says_and_its_ttl() {
    let server = Server::start(|question, _| {
        let mut second = good(question);
        second.answers[1].data = RData::A(A::new(203, 0, 113, 66));
        vec![good(question).to_vec().unwrap(), second.to_vec().unwrap()]
    })
    .await;
    let (_, found) = asked(&server.address.to_string(), |params| params.listen_ms = 100).await;
    assert_eq!(found[0].addresses, ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]);
    let [second] = &found[0].others[..] else { panic!("{:?}", found[0].others) };
    assert!(second.second_reply);
    assert_eq!(second.reply.as_ref().unwrap().answers[1].data, "203.0.113.66");
    if cfg!(target_os = "linux") {
        assert_eq!((replied(&found[0]).ip_ttl, second.ip_ttl), (Some(64), Some(64)));
    }
    let (_, found) = asked(&server.address.to_string(), |params| params.listen_ms = DnsParams::LISTEN_MS).await;
    assert_eq!(found[0].others.len(), 1, "the check's own question listens on for a moment");
    let (_, found) = asked(&server.address.to_string(), |params| params.listen_ms = 0).await;
    assert!(found[0].others.is_empty(), "nobody listens on where it was forbidden");
}

#[tokio::test]
async fn a_flood_of_forged_replies_is_kept_in_part() {
    let (_, lookup) = udp_lookup(ANSWERED_MS, |question, _| {
        let mut answers = vec![b"x".to_vec(); 50];
        answers.push(good(question).to_vec().unwrap());
        answers
    })
    .await;
    assert_eq!((lookup.others.len(), lookup.failure), (Lookup::MAX_OTHERS, None));
}

#[tokio::test]
async fn servfail_is_asked_again_with_checking_disabled_and_does_not_decide() {
    let server = Server::start(|question, _| {
        let mut reply = if question.checking_disabled { good(question) } else { reply_to(question) };
        if !question.checking_disabled {
            reply.metadata.response_code = ResponseCode::ServFail;
        }
        vec![reply.to_vec().unwrap()]
    })
    .await;
    let (ending, found) = asked(&server.address.to_string(), |params| params.compare_cd = true).await;
    let short: Vec<_> = found.iter().map(|one| (one.purpose, replied(one).rcode.as_str(), one.addresses.len())).collect();
    assert_eq!(short, [(Purpose::Question, "SERVFAIL", 0), (Purpose::CheckingDisabled, "NOERROR", 1)]);
    assert_eq!(ending, Ending::Failed);
}

#[tokio::test]
async fn a_server_says_who_it_is_in_class_ch() {
    let server = Server::start(|question, _| {
        let mut reply = reply_to(question);
        if question.queries[0].query_class() == hickory_proto::rr::DNSClass::CH {
            let text = hickory_proto::rr::rdata::TXT::new(vec!["unit 1.0".to_owned()]);
            let mut record = Record::from_rdata(question.queries[0].name().clone(), 0, RData::TXT(text));
            record.dns_class = hickory_proto::rr::DNSClass::CH;
            reply.add_answer(record);
        }
        vec![reply.to_vec().unwrap()]
    })
    .await;
    let (_, found) = asked(&server.address.to_string(), |params| params.identity = true).await;
    let mut names: Vec<_> = found.iter().filter(|one| one.purpose == Purpose::Identity).map(|one| one.name.as_str()).collect();
    names.sort();
    assert_eq!(names, ["hostname.bind", "id.server", "version.bind"]);
    let identity = found.iter().find(|one| one.purpose == Purpose::Identity).unwrap();
    assert_eq!(replied(identity).answers[0].data, "\"unit 1.0\"");
}

#[tokio::test]
async fn addresses_are_named_and_another_server_is_compared() {
    let server = Server::start(|question, _| vec![good(question).to_vec().unwrap()]).await;
    let control = Server::start(|question, _| {
        let mut reply = reply_to(question);
        reply.metadata.response_code = ResponseCode::NXDomain;
        vec![reply.to_vec().unwrap()]
    })
    .await;
    let (ending, found) = asked(&server.address.to_string(), |params| {
        params.reverse = true;
        params.control = Some(control.address.to_string());
    })
    .await;
    let of = |purpose| found.iter().find(|one| one.purpose == purpose).unwrap();
    assert_eq!(
        (of(Purpose::Reverse).name.as_str(), of(Purpose::Reverse).record_type.as_str()),
        ("7.2.0.192.in-addr.arpa", "PTR")
    );
    assert_eq!(replied(of(Purpose::Control)).rcode, "NXDOMAIN");
    assert_eq!((ending, found.len()), (Ending::AsExpected, 3));
}

#[tokio::test]
async fn an_address_is_asked_for_by_its_reverse_name() {
    for (address, reverse) in [("192.0.2.7", "7.2.0.192.in-addr.arpa"), ("2001:db8::7", "8.b.d.0.1.0.0.2.ip6.arpa")] {
        let server = Server::start(|question, _| vec![good(question).to_vec().unwrap()]).await;
        let (ending, found) = asked(&server.address.to_string(), |params| {
            params.name = address.to_owned();
            (params.types, params.system) = (vec!["A".into(), "AAAA".into()], true);
        })
        .await;
        assert_eq!(found.len(), 1, "the system is asked for addresses of names only: {found:?}");
        assert!(found[0].name.ends_with(reverse) && found[0].record_type == "PTR", "{found:?}");
        assert_eq!(ending, Ending::AsExpected);
    }
}

#[tokio::test]
async fn the_network_that_is_asked_for_goes_out_and_the_scope_comes_back() {
    let (_, found) = {
        let server = Server::start(|question, _| {
            let mut reply = good(question);
            let Some(EdnsOption::Subnet(subnet)) = question.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet)) else {
                return Vec::new();
            };
            let mut edns = Edns::new();
            let scoped = ClientSubnet::new(subnet.addr(), subnet.source_prefix(), 20);
            edns.options_mut().insert(EdnsOption::Subnet(scoped));
            reply.set_edns(edns);
            vec![reply.to_vec().unwrap()]
        })
        .await;
        asked(&server.address.to_string(), |params| params.client_subnet = Some("192.0.2.77/24".into())).await
    };
    let scope = replied(&found[0]).edns.as_ref().unwrap().client_subnet.unwrap();
    assert_eq!((scope.address.to_string().as_str(), scope.source_prefix, scope.scope_prefix), ("192.0.2.0", 24, 20));
}

#[tokio::test]
async fn where_the_system_looks_stands_beside_its_answer() {
    let good = Server::start(|question, _| vec![good(question).to_vec().unwrap()]).await;
    let params = DnsParams { name: "localhost".into(), servers: vec![good.address.to_string()], ..from_defaults() };
    let context = context(Limits::PERSON);
    run(&context, &params).await.unwrap();
    let found = context.recorder.observations();
    let sources = found.iter().find_map(|one| if let Fact::NameSources(sources) = &one.fact { Some(sources) } else { None });
    assert!(sources.unwrap().tried.contains(&"localhost".to_owned()));
}

/// A secured server's context: its authority is trusted as a person would name it.
async fn secured(server: &str, authority: &Authority, change: impl FnOnce(&mut DnsParams)) -> (Ending, Lookup) {
    let mut params = DnsParams {
        types: vec!["A".into()],
        servers: vec![server.to_owned()],
        system: false,
        timeout_ms: ANSWERED_MS,
        ..from_defaults()
    };
    change(&mut params);
    let context = servers::context(&[authority]);
    let ending = run(&context, &params).await.unwrap();
    let mut facts: Vec<Fact> = context.recorder.observations().into_iter().map(|observation| observation.fact).collect();
    assert_eq!(facts.len(), 1, "the handshake stands within the lookup");
    let Fact::Lookup(lookup) = facts.remove(0) else { panic!("{facts:?}") };
    (ending, lookup)
}

#[tokio::test]
async fn over_tls_the_answer_comes_with_the_servers_chain_and_what_is_wrong_with_it() {
    let authority = Authority::new("unit authority");
    let config = authority.issue(&["dns.example"]).config();
    let address = servers::listen_tls(servers::LOOPBACK, config, |stream| {
        answering::converse(stream, &|question: &Message, _| vec![good(question).to_vec().unwrap()])
    })
    .await;
    let (ending, lookup) = secured(&format!("tls://{address}#dns.example"), &authority, |_| {}).await;
    assert_eq!((ending, lookup.addresses.len(), lookup.attempts), (Ending::AsExpected, 1, 1));
    assert_eq!(lookup.source, LookupSource::Server { server: address, transport: Transport::Tls });
    let tls = lookup.tls.unwrap();
    assert!(tls.deciding_verdict().unwrap().trusted && tls.name.unwrap().fits);
    let (ending, lookup) = secured(&format!("tls://{address}"), &authority, |_| {}).await;
    assert_eq!(ending, Ending::AsExpected, "the answer is a fact, whoever gave it");
    assert!(!lookup.tls.unwrap().name.unwrap().fits, "and that it is not the one asked is another");
}

#[tokio::test]
async fn an_answer_of_somebody_whom_nobody_vouches_for_is_not_as_expected() {
    let (known, foreign) = (Authority::new("unit authority"), Authority::new("another authority"));
    let serve = async |authority: &Authority| {
        servers::listen_tls(servers::LOOPBACK, authority.issue(&["dns.example"]).config(), |stream| {
            answering::converse(stream, &|question: &Message, _| vec![good(question).to_vec().unwrap()])
        })
        .await
    };
    let address = serve(&foreign).await;
    let (ending, lookup) = secured(&format!("tls://{address}#dns.example"), &known, |_| {}).await;
    assert_eq!((ending, lookup.addresses.len()), (Ending::Failed, 1), "what it said is kept");
    let address = serve(&known).await;
    let (ending, _) = secured(&format!("tls://{address}#other.example"), &known, |_| {}).await;
    assert_eq!(ending, Ending::Failed);
}

/// Answers for addresses, and as `others` says for every other type.
async fn beside_addresses(types: &[&str], system: bool, others: Option<ResponseCode>) -> Ending {
    let server = Server::start(move |question: &Message, _| {
        if question.queries[0].query_type() == RecordType::A {
            return vec![good(question).to_vec().unwrap()];
        }
        let Some(code) = others else { return Vec::new() };
        let mut reply = reply_to(question);
        reply.metadata.response_code = code;
        vec![reply.to_vec().unwrap()]
    })
    .await;
    let name = if system { "localhost" } else { "www.example" };
    let params = DnsParams {
        name: name.to_owned(),
        types: types.iter().map(|name| (*name).to_owned()).collect(),
        servers: vec![server.address.to_string()],
        system,
        attempts: 1,
        timeout_ms: 1_000,
        edns: EdnsUse::Always,
        ..from_defaults()
    };
    run(&context(Limits::PERSON), &params).await.unwrap()
}

#[tokio::test]
async fn a_type_that_nobody_answered_for_fails_the_check_whatever_else_was_answered() {
    for system in [false, true] {
        let ending = async |types: &[&str], others| beside_addresses(types, system, others).await;
        assert_eq!(ending(&["A", "MX"], Some(ResponseCode::ServFail)).await, Ending::Failed, "system: {system}");
        assert_eq!(ending(&["A", "TXT"], None).await, Ending::Failed);
        assert_eq!(ending(&["A", "MX"], Some(ResponseCode::NoError)).await, Ending::AsExpected, "there is none");
        assert_eq!(ending(&["A", "AAAA"], None).await, Ending::AsExpected, "the name has an address");
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_fails_in_the_handshake() {
    let address = servers::listen(servers::LOOPBACK, |mut stream| async move {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example ready\r\n").await;
    })
    .await;
    let (_, lookup) = secured(&format!("tls://{address}"), &Authority::new("unit authority"), |_| {}).await;
    assert_eq!(failed(&lookup).code, FailureCode::NotTls);
    assert!(lookup.tls.unwrap().plain_reply.unwrap().starts_with("220 mail"));
}

/// A server of DNS over HTTPS that answers `/dns-query` over HTTP/2 or HTTP/1.1, as a client's ALPN wants it.
async fn https_server(authority: &Authority, alpn: &[&str]) -> SocketAddr {
    let mut config = authority.issue(&["dns.example"]).config();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    servers::listen_tls(servers::LOOPBACK, config, |stream| async move {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = hyper_util::rt::TokioIo::new(stream);
        let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
            let (parts, body) = request.into_parts();
            let right = parts.method == "POST" && parts.headers["content-type"] == "application/dns-message";
            let question = Message::from_vec(&body.collect().await?.to_bytes()).unwrap();
            assert!(right && question.id == 0);
            let (status, kind) = match parts.uri.path() {
                "/dns-query" => (200, "application/dns-message"),
                "/portal" => (200, "text/html; charset=utf-8"),
                _ => (403, "application/dns-message"),
            };
            let body = Full::new(Bytes::from(good(&question).to_vec().unwrap()));
            Ok::<_, hyper::Error>(http::Response::builder().status(status).header("content-type", kind).body(body).unwrap())
        });
        // That the client hangs up is how it ends.
        let _ = match http2 {
            true => {
                hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new()).serve_connection(io, service).await
            }
            false => hyper::server::conn::http1::Builder::new().serve_connection(io, service).await,
        };
    })
    .await
}

#[tokio::test]
async fn over_https_the_message_is_a_posts_body_in_both_versions() {
    let authority = Authority::new("unit authority");
    for alpn in [&["h2", "http/1.1"][..], &["http/1.1"], &[]] {
        let address = https_server(&authority, alpn).await;
        let (ending, lookup) = secured(&format!("https://{address}/dns-query#dns.example"), &authority, |_| {}).await;
        assert_eq!((ending, lookup.http_status, &lookup.failure), (Ending::AsExpected, Some(200), &None), "{alpn:?}");
        assert_eq!((lookup.sent[0].id, lookup.tls.unwrap().alpn.as_deref()), (0, alpn.first().copied()));
    }
}

#[tokio::test]
async fn a_response_that_is_no_message_is_told_by_status_and_type() {
    let authority = Authority::new("unit authority");
    let address = https_server(&authority, &["h2"]).await;
    for (path, status, text) in [("/portal", 200, "text/html"), ("/other", 403, "status 403")] {
        let (_, lookup) = secured(&format!("https://{address}{path}#dns.example"), &authority, |_| {}).await;
        assert_eq!((lookup.http_status, &failed(&lookup).code), (Some(status), &FailureCode::ProtocolError));
        assert!(failed(&lookup).text.contains(text), "{}", failed(&lookup).text);
    }
}

/// A server for the root, `example` and `sub.example` by what it is asked, each on an address of its own and all on one port.
async fn zones() -> (SocketAddr, Vec<tokio::task::JoinHandle<()>>) {
    let root = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = root.local_addr().unwrap();
    let mut tasks = vec![tokio::spawn(answer_as(root, "."))];
    for (host, zone) in [("127.0.0.2", "example."), ("127.0.0.3", "sub.example."), ("127.0.0.4", "lame")] {
        let socket = tokio::net::UdpSocket::bind((host, address.port())).await.unwrap();
        tasks.push(tokio::spawn(answer_as(socket, zone)));
    }
    (address, tasks)
}

async fn answer_as(socket: tokio::net::UdpSocket, zone: &'static str) {
    let mut buffer = [0; 1500];
    while let Ok((size, asker)) = socket.recv_from(&mut buffer).await {
        let question = Message::from_vec(&buffer[..size]).unwrap();
        let mut reply = Message::response(question.id, question.op_code);
        reply.add_queries(question.queries.iter().cloned());
        let asked = question.queries[0].clone();
        let delegate = |reply: &mut Message, zone: &str, servers: &[(&str, u8)]| {
            for (server, last) in servers {
                reply.add_authority(Record::from_rdata(name(zone), 60, RData::NS(NS(name(server)))));
                reply.add_additional(Record::from_rdata(name(server), 60, RData::A(A::new(127, 0, 0, *last))));
            }
            let vouched = hickory_proto::rr::rdata::NULL::with(vec![0xec, 0x45, 13, 2, 1, 2, 3]);
            reply.add_authority(Record::from_rdata(name(zone), 60, RData::Unknown { code: RecordType::DS, rdata: vouched }));
        };
        match (zone, asked.query_type()) {
            ("lame", _) => reply.metadata.response_code = ResponseCode::Refused,
            (zone, RecordType::SOA) if *asked.name() == name(zone) => {
                reply.metadata.authoritative = true;
                let soa = SOA::new(name("ns."), name("h."), 2026, 1, 1, 1, 1);
                reply.add_answer(Record::from_rdata(name(zone), 60, RData::SOA(soa)));
            }
            (zone, RecordType::NS) if *asked.name() == name(zone) => {
                reply.metadata.authoritative = true;
                reply.add_answer(Record::from_rdata(name(zone), 60, RData::NS(NS(name("NS1.example.")))));
            }
            ("sub.example.", RecordType::DNSKEY) => {
                reply.metadata.authoritative = true;
                let key = hickory_proto::rr::rdata::NULL::with(vec![1, 1, 3, 13, 9, 9]);
                reply.add_answer(Record::from_rdata(name(zone), 60, RData::Unknown { code: RecordType::DNSKEY, rdata: key }));
            }
            (".", _) => delegate(&mut reply, "example.", &[("ns1.example.", 2)]),
            ("example.", _) => delegate(&mut reply, "sub.example.", &[("ns1.sub.example.", 3), ("ns2.sub.example.", 4)]),
            _ => {
                reply.metadata.authoritative = true;
                reply.add_answer(Record::from_rdata(asked.name().clone(), 60, RData::A(A::new(192, 0, 2, 7))));
            }
        }
        socket.send_to(&reply.to_vec().unwrap(), asker).await.unwrap();
    }
}

#[tokio::test]
async fn the_walk_names_each_server_of_each_zone_and_the_lame_one() {
    let (root, tasks) = zones().await;
    let params = DnsParams {
        name: "www.sub.example".into(),
        types: vec!["A".into()],
        servers: vec![root.to_string()],
        system: false,
        delegation: true,
        roots: vec![root.to_string()],
        ..from_defaults()
    };
    let context = context(Limits::PERSON);
    run(&context, &params).await.unwrap();
    let facts: Vec<Fact> = context.recorder.observations().into_iter().map(|observation| observation.fact).collect();
    let zones: Vec<_> =
        facts.iter().filter_map(|fact| if let Fact::Delegation(zone) = fact { Some(zone) } else { None }).collect();
    let names: Vec<&str> = zones.iter().map(|zone| zone.zone.as_str()).collect();
    assert_eq!(names, [".", "example", "sub.example"]);
    assert_eq!((zones[1].given_by, zones[1].name_servers[0].name.as_str()), (Some(root), "ns1.example"));
    assert!(zones.iter().all(|zone| zone.stopped.is_none()));
    assert_eq!((zones[0].secure, zones[2].secure, zones[2].signed_by[0].key_tag), (false, true, 60485));
    let keys: Vec<_> =
        facts.iter().filter_map(|fact| if let Fact::ZoneServer(server) = fact { server.keys.first() } else { None }).collect();
    assert!(
        matches!(keys[..], [key] if key.entry_point && key.key_tag != 60485),
        "the zone has another key than the one vouched for: {keys:?}"
    );
    let servers = facts.iter().filter_map(|fact| if let Fact::ZoneServer(server) = fact { Some(server) } else { None });
    let mut said: Vec<_> = servers
        .map(|one| {
            (
                one.zone.clone(),
                one.address.ip().to_string(),
                one.authoritative,
                one.serial,
                one.own_name_servers.len(),
                one.attempts,
            )
        })
        .collect();
    said.sort();
    let said: Vec<_> =
        said.iter().map(|(zone, ip, aa, serial, own, sent)| (zone.as_str(), ip.as_str(), *aa, *serial, *own, *sent)).collect();
    assert_eq!(
        said,
        [
            (".", "127.0.0.1", Some(true), Some(2026), 1, 3),
            ("example", "127.0.0.2", Some(true), Some(2026), 1, 4),
            ("sub.example", "127.0.0.3", Some(true), Some(2026), 1, 4),
            ("sub.example", "127.0.0.4", Some(false), None, 0, 4),
        ]
    );
    let chain = facts.iter().find_map(|fact| if let Fact::DnssecChain(chain) = fact { Some(chain) } else { None }).unwrap();
    assert_eq!((chain.verdict, chain.zones.len()), (Security::Indeterminate, 3), "other roots than everybody's have no anchor");
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn the_walk_sends_nothing_that_the_gate_refuses() {
    let params = DnsParams {
        servers: vec!["127.0.0.1:9".into()],
        system: false,
        delegation: true,
        identity: true,
        control: Some("tls://127.0.0.1:9".into()),
        roots: vec!["127.0.0.1:9".into()],
        ..from_defaults()
    };
    let context = closed();
    assert_eq!(run(&context, &params).await, Ok(Ending::Failed));
    assert_eq!(context.gate.sent(), 0);
    let found = context.recorder.observations();
    let refused = found.iter().filter(|one| one.fact.failure().is_some_and(|failure| failure.code == FailureCode::NotAllowed));
    assert_eq!(
        (refused.count(), found.len()),
        (8, 10),
        "2 questions, 2 of control, 3 of identity, 1 server of the root; the root itself, and the end of its chain of signatures"
    );
}
