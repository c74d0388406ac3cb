use super::answering::{Answers, Server, reply_to};
use super::*;
use crate::clock::Clock;
use crate::context::{ProxyChoice, Recorder};
use crate::gate::{Gate, Limits};
use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{RData, Record};
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::id::CheckId;
use netsonde_contract::observation::DnsReply;
use std::sync::Arc;

fn context(limits: Limits) -> Context {
    let clock = Clock::start();
    Context {
        gate: Arc::new(Gate::new(limits, clock)),
        clock,
        names: Arc::default(),
        trust: Arc::default(),
        proxy: ProxyChoice::None,
        recorder: Recorder::new(CheckId::new("resolve")),
    }
}

/// Far more than loopback needs on a busy machine, where an answer is to come.
const ANSWERED_MS: u64 = 5_000;
/// Where none will.
const SILENT_MS: u64 = 50;

/// Asks one server for the A records of www.example.
async fn lookups(server: SocketAddr, transport: DnsTransport, timeout_ms: u64) -> (Ending, Vec<Lookup>) {
    let params = DnsParams {
        name: "www.example".into(),
        types: vec!["A".into()],
        servers: vec![server.to_string()],
        transport,
        system: false,
        timeout_ms,
        attempts: 2,
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
    let (ending, found) = lookups(server.address, DnsTransport::Udp, ANSWERED_MS).await;
    assert_eq!((ending, found.len()), (Ending::Failed, 1), "UDP only stays with what was cut");
}

#[tokio::test]
async fn silence_is_a_time_out_after_every_attempt() {
    let (ending, lookup) = udp_lookup(SILENT_MS, |_, _| Vec::new()).await;
    assert_eq!((ending, lookup.attempts, lookup.took_us), (Ending::Failed, 2, None));
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
    assert_eq!((lookup.attempts, lookup.failure), (1, None));
}

#[tokio::test]
async fn garbage_and_nothing_better_breaks_the_protocol() {
    let (ending, lookup) = udp_lookup(SILENT_MS, |_, _| vec![b"\xff".repeat(40)]).await;
    assert_eq!((ending, lookup.attempts), (Ending::Failed, 2));
    assert_eq!(failed(&lookup).code, FailureCode::ProtocolError);
    assert!(failed(&lookup).text.contains("does not parse"), "{}", failed(&lookup).text);
    let server = Server::start(|_, _| vec![b"\xff".repeat(40)]).await;
    let (_, found) = lookups(server.address, DnsTransport::Tcp, ANSWERED_MS).await;
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
    let closed = Limits { private_addresses: false, ..Limits::PERSON };
    let params = DnsParams { servers: vec!["127.0.0.1:9".into()], system: false, ..from_defaults() };
    let context = context(closed);
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
    assert!(matches!(&kept[..], [one] if one.fact.failure().is_none()), "{kept:?}");
}

#[tokio::test]
async fn the_systems_view_stands_beside_and_decides() {
    let good = Server::start(|question, _| vec![good(question).to_vec().unwrap()]).await;
    let params = DnsParams { name: "127.0.0.1".into(), servers: vec![good.address.to_string()], ..from_defaults() };
    let context = context(Limits::PERSON);
    assert_eq!(run(&context, &params).await, Ok(Ending::AsExpected));
    let found = context.recorder.observations();
    let system = found.iter().find_map(|one| match &one.fact {
        Fact::Lookup(lookup) if lookup.source == LookupSource::System => Some(lookup),
        _ => None,
    });
    let system = system.unwrap();
    assert_eq!((system.record_type.as_str(), system.addresses.len()), ("ADDRESS", 1));
    assert!(found.iter().any(|one| matches!(&one.fact, Fact::Lookup(lookup) if lookup.source == LookupSource::Library)));
}

fn from_defaults() -> DnsParams {
    serde_json::from_value(serde_json::json!({"name": "www.example"})).unwrap()
}
