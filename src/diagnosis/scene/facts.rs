//! Facts as probes record them, with all that a test does not care about filled in.

use super::timestamp;
use netsonde_contract::failure::{Failure, FailureCode, IcmpError, Step};
use netsonde_contract::kind::{LatencyBy, LoadDirection};
use netsonde_contract::observation::{
    Certificate, Clock, CloudHint, CloudMetadata, CloudProvider, Connect, DnsFlags, DnsReply, DnssecChain, Echo, EchoReply,
    EchoStatistics, Exchange, Fact, FetchedIssuer, Handshake, HandshakeVariant, Header, Hold, Hop, HopProbe, HopReply, HostsLine,
    Interface, LatencySeries, Load, LoadedPhase, Lookup, LookupSource, Machine, Mtu, MtuLimit, MtuTransport, NameSources,
    NameVerdict, Ocsp, OtherMessage, PlatformAddress, PlatformService, Proxies, Proxy, ProxySetting, Purpose, QueryReason, Quic,
    Record, Reflection, ReplyKind, Resolvers, Revocation, RevocationSource, Route, RttDistribution, Security, SentQuery, Service,
    SystemLoad, TimeOffset, TlsSupport, Trace, TraceProtocol, Transfer, Transport, TrustReason, TrustStore, TrustVerdict,
    Variant, VersionSupport, ZoneServer,
};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};

pub(crate) fn failure(code: FailureCode, during: Step) -> Failure {
    let text = format!("{code:?}").to_lowercase();
    Failure::new(code, during, text)
}

pub(crate) fn icmp(offender: &str, kind: u8, code: u8) -> IcmpError {
    IcmpError { offender: offender.parse().unwrap(), kind, code, mtu: None }
}

// Names.

pub(crate) fn system(name: &str, addresses: &[&str]) -> Fact {
    let failed = addresses.is_empty().then(|| failure(FailureCode::ResolveFailed, Step::Resolve));
    lookup(name, "ADDRESS", LookupSource::System, addresses, None, failed)
}

pub(crate) fn no_reply(server: &str, name: &str, record_type: &str, failure: Failure) -> Fact {
    lookup(name, record_type, of_server(server, Transport::Udp), &[], None, Some(failure))
}

pub(crate) fn dns_silent(server: &str, name: &str, record_type: &str) -> Fact {
    no_reply(server, name, record_type, failure(FailureCode::TimedOut, Step::Receive))
}

pub(crate) fn answer(server: &str, name: &str, addresses: &[&str]) -> Fact {
    let of_type = |address: &&str| if address.contains(':') { "AAAA" } else { "A" };
    let record_type = addresses.first().map_or("A", of_type);
    let reply = reply(server, 0, name, addresses.iter().map(|address| (of_type(address), *address)).collect(), &[]);
    lookup(name, record_type, of_server(server, Transport::Udp), addresses, Some(reply), None)
}

/// A reply without data; `authority` lists (owner, type) of its authority section.
pub(crate) fn rcode(server: &str, name: &str, record_type: &str, number: u16, authority: &[(&str, &str)]) -> Fact {
    let reply = reply(server, number, name, Vec::new(), authority);
    lookup(name, record_type, of_server(server, Transport::Udp), &[], Some(reply), None)
}

/// A lookup that took as long as a program waits for a silent server.
pub(crate) fn slowly(mut fact: Fact) -> Fact {
    if let Fact::Lookup(lookup) = &mut fact {
        lookup.took_us = Some(5_000_000);
    }
    fact
}

/// The same question with checking disabled.
pub(crate) fn unchecked(mut fact: Fact) -> Fact {
    if let Fact::Lookup(lookup) = &mut fact {
        lookup.purpose = Purpose::CheckingDisabled;
    }
    fact
}

/// A chain of signatures with this end.
pub(crate) fn dnssec_chain(name: &str, verdict: Security, why: Option<&str>) -> Fact {
    Fact::DnssecChain(Box::new(DnssecChain {
        name: name.into(),
        record_type: "A".into(),
        verdict,
        why: why.map(str::to_owned),
        zones: Vec::new(),
        verified_at: timestamp("2026-05-15T12:00:00Z"),
    }))
}

/// The name servers that the system is set to use, the first asked first.
pub(crate) fn resolvers(servers: &[&str]) -> Fact {
    let servers = servers.iter().map(|server| server.parse().unwrap()).collect();
    Fact::Resolvers(Resolvers { servers, read_from: "/etc/resolv.conf".into(), ..Resolvers::default() })
}

/// Changes a lookup.
pub(crate) fn with_lookup(mut fact: Fact, change: impl FnOnce(&mut Lookup)) -> Fact {
    if let Fact::Lookup(lookup) = &mut fact {
        change(lookup);
    }
    fact
}

/// The same lookup over TCP.
pub(crate) fn over_tcp(fact: Fact) -> Fact {
    with_lookup(fact, |lookup| {
        if let LookupSource::Server { transport, .. } = &mut lookup.source {
            *transport = Transport::Tcp;
        }
    })
}

/// The same lookup beside the check's own question.
pub(crate) fn beside(fact: Fact, purpose: Purpose) -> Fact {
    with_lookup(fact, |lookup| lookup.purpose = purpose)
}

/// A query of a lookup, and the code of its reply where it got one.
pub(crate) fn sent(why: QueryReason, edns: bool, rcode: Option<&str>) -> SentQuery {
    SentQuery { after_us: 0, why, id: 1, local: None, edns, size_bytes: 40, rcode: rcode.map(str::to_owned) }
}

/// A message that came beside a reply.
pub(crate) fn other_message(second_reply: bool, reply: Option<DnsReply>, why: &str) -> OtherMessage {
    OtherMessage { after_us: 9_000, second_reply, why: why.into(), size_bytes: 60, ip_ttl: None, reply }
}

/// Where the system looks for the name: addresses of its hosts file and suffixes of its search list, tried first.
pub(crate) fn name_sources(name: &str, hosts: &[&str], search: &[&str]) -> Fact {
    let line = |(at, address): (usize, &&str)| HostsLine {
        line: at as u32 + 1,
        address: address.parse().unwrap(),
        names: vec![name.to_owned()],
    };
    let mut tried: Vec<String> = search.iter().map(|suffix| format!("{name}.{suffix}")).collect();
    tried.push(name.to_owned());
    Fact::NameSources(NameSources {
        name: name.into(),
        hosts: hosts.iter().enumerate().map(line).collect(),
        hosts_file: "/etc/hosts".into(),
        order: vec!["files".into(), "dns".into()],
        search: search.iter().map(|suffix| (*suffix).to_owned()).collect(),
        ndots: 1,
        tried,
    })
}

/// A name server of the zone `example` and what it says of `shop.example`; none for one that is silent.
pub(crate) fn zone_server(address: &str, authoritative: Option<bool>, addresses: &[&str]) -> Fact {
    let answers = addresses.iter().map(|address| ("A", *address)).collect();
    let silence = || failure(FailureCode::TimedOut, Step::Receive);
    Fact::ZoneServer(Box::new(ZoneServer {
        zone: "example".into(),
        server: format!("ns.{address}.test."),
        address: SocketAddr::new(address.parse().unwrap(), 53),
        reply: authoritative.is_some().then(|| reply(address, 0, "shop.example.", answers, &[])),
        took_us: Some(5_000),
        authoritative,
        serial: None,
        own_name_servers: Vec::new(),
        keys: Vec::new(),
        signatures: Vec::new(),
        attempts: 1,
        failure: authoritative.is_none().then(silence),
    }))
}

/// Changes the reply of a lookup.
pub(crate) fn with_reply(mut fact: Fact, change: impl FnOnce(&mut DnsReply)) -> Fact {
    if let Fact::Lookup(lookup) = &mut fact {
        change(lookup.reply.as_mut().unwrap());
    }
    fact
}

/// Changes the failure of a lookup.
pub(crate) fn with_failure(mut fact: Fact, failure: Failure) -> Fact {
    if let Fact::Lookup(lookup) = &mut fact {
        lookup.failure = Some(failure);
    }
    fact
}

fn of_server(server: &str, transport: Transport) -> LookupSource {
    LookupSource::Server { server: SocketAddr::new(server.parse().unwrap(), 53), transport }
}

fn lookup(
    name: &str,
    record_type: &str,
    source: LookupSource,
    addresses: &[&str],
    reply: Option<DnsReply>,
    failure: Option<Failure>,
) -> Fact {
    Fact::Lookup(Lookup {
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        took_us: Some(5_000),
        attempts: 1,
        reply: reply.map(Box::new),
        failure,
        ..Lookup::new(name, record_type, source)
    })
}

fn reply(server: &str, number: u16, name: &str, answers: Vec<(&str, &str)>, authority: &[(&str, &str)]) -> DnsReply {
    let record = |name: &str, record_type: &str, data: &str| Record {
        name: name.into(),
        record_type: record_type.into(),
        ttl_s: 60,
        data: data.into(),
    };
    let names = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
    DnsReply {
        id: 1,
        flags: DnsFlags { rd: true, ra: true, ..DnsFlags::default() },
        rcode: names[usize::from(number)].into(),
        rcode_number: number,
        edns: None,
        extended_errors: Vec::new(),
        answers: answers.into_iter().map(|(record_type, data)| record(name, record_type, data)).collect(),
        authority: authority.iter().map(|(owner, record_type)| record(owner, record_type, "x")).collect(),
        additional: Vec::new(),
        size_bytes: 64,
        from: SocketAddr::new(server.parse().unwrap(), 53),
        ip_ttl: None,
    }
}

// The machine.

pub(crate) fn route(target: &str, gateway: Option<&str>) -> Fact {
    Fact::Route(Route {
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        interface: Some("eth0".into()),
        source: Some("10.0.0.100".parse().unwrap()),
        ..Route::to(target.parse().unwrap())
    })
}

pub(crate) fn no_route(target: &str) -> Fact {
    let failure = Some(failure(FailureCode::NetworkUnreachable, Step::Other));
    Fact::Route(Route { failure, ..Route::to(target.parse().unwrap()) })
}

pub(crate) fn interface(cidr: &str) -> Fact {
    Fact::Interface(Interface {
        name: "eth0".into(),
        up: true,
        carrier: Some(true),
        mtu: Some(1500),
        addresses: vec![cidr.into()],
        ..Interface::default()
    })
}

pub(crate) fn proxies(url: &str, set_by: &str) -> Fact {
    let setting = ProxySetting { scheme: "http".into(), url: url.into(), set_by: set_by.into() };
    Fact::Proxies(Proxies { settings: vec![setting], ..Proxies::default() })
}

pub(crate) fn clock(synchronised: Option<bool>) -> Fact {
    Fact::Clock(Clock { wall: timestamp("2026-05-15T12:00:00Z"), synchronised, ..Clock::default() })
}

// Connections.

pub(crate) fn connect(address: &str, took_us: u64, failure: Option<Failure>) -> Fact {
    let address: SocketAddr = address.parse().unwrap();
    Fact::Connect(Connect {
        host: "shop.example".into(),
        address,
        attempt: 1,
        local: None,
        interface: None,
        took_us,
        kernel_rtt_us: None,
        syn_retransmits: None,
        at_connect: None,
        at_close: None,
        banner: None,
        hold: None,
        reset: None,
        gateway: None,
        syn_ack: None,
        syns_left: None,
        answer_unread: None,
        failure,
    })
}

pub(crate) fn connected(address: &str) -> Fact {
    connect(address, 20_000, None)
}

pub(crate) fn refused(address: &str, took_us: u64) -> Fact {
    connect(address, took_us, Some(failure(FailureCode::Refused, Step::Connect)))
}

/// A connection that stood only after its SYN had been sent again.
pub(crate) fn connected_late(address: &str) -> Fact {
    let mut fact = connect(address, 1_020_000, None);
    if let Fact::Connect(connect) = &mut fact {
        connect.syn_retransmits = Some(1);
    }
    fact
}

/// A connection that was held idle, with keepalive probes every so many seconds (0 for none), and how that ended.
pub(crate) fn held(address: &str, keepalive_s: u32, idle_s: u64, ended: Option<FailureCode>) -> Fact {
    let mut fact = connected(address);
    if let Fact::Connect(connect) = &mut fact {
        connect.hold = Some(Box::new(Hold {
            asked_s: 60,
            keepalive_s,
            idle_us: idle_s * 1_000_000,
            answered: Some(ended.is_none()),
            failure: ended.map(|code| failure(code, Step::Receive)),
        }));
    }
    fact
}

pub(crate) fn silent(address: &str) -> Fact {
    connect(address, 3_000_000, Some(failure(FailureCode::TimedOut, Step::Connect)))
}

/// A connection that an ICMP error ended.
pub(crate) fn icmp_ended(address: &str, took_us: u64, code: FailureCode, error: IcmpError) -> Fact {
    connect(address, took_us, Some(failure(code, Step::Connect).with_icmp(error)))
}

// The path.

pub(crate) fn echo(address: &str, rtts_us: &[u64]) -> Fact {
    let reply =
        |(sequence, rtt_us): (usize, &u64)| EchoReply { sequence: sequence as u16, rtt_us: *rtt_us, ..EchoReply::default() };
    Fact::Echo(Echo {
        host: "shop.example".into(),
        address: address.parse().unwrap(),
        // All were answered, or none of five.
        sent: if rtts_us.is_empty() { 5 } else { rtts_us.len() as u32 },
        replies: rtts_us.iter().enumerate().map(reply).collect(),
        errors: Vec::new(),
        size_bytes: 56,
        clock: "process".into(),
        socket: None,
        dont_fragment: false,
        dscp: 0,
        extra: Vec::new(),
        statistics: None,
        failure: None,
    })
}

/// A series of so many requests of which the first so many were lost and the others took 20 ms, with statistics as the test wants them.
pub(crate) fn echo_series(address: &str, sent: u32, lost: u32, change: impl FnOnce(&mut EchoStatistics)) -> Fact {
    let mut fact = echo(address, &vec![20_000; (sent - lost) as usize]);
    if let Fact::Echo(echo) = &mut fact {
        echo.sent = sent;
        let mut statistics = EchoStatistics { received: sent - lost, lost, ..EchoStatistics::default() };
        change(&mut statistics);
        echo.statistics = Some(Box::new(statistics));
    }
    fact
}

/// The same series with requests of another size.
pub(crate) fn sized(mut fact: Fact, size_bytes: u32) -> Fact {
    if let Fact::Echo(echo) = &mut fact {
        echo.size_bytes = size_bytes;
    }
    fact
}

pub(crate) fn mtu(limit: MtuLimit, passed: u32, stopped: Option<u32>) -> Fact {
    Fact::Mtu(Box::new(Mtu {
        host: "shop.example".into(),
        address: "192.0.2.1".parse().unwrap(),
        transport: MtuTransport::Udp,
        port: None,
        mss_bytes: None,
        passed_bytes: Some(passed),
        stopped_bytes: stopped,
        limit,
        told: None,
        disbelieved: Vec::new(),
        probes: Vec::new(),
        took_us: 1_000_000,
        failure: None,
    }))
}

/// The same over TCP, with the segments that the host allows.
pub(crate) fn tcp_mtu(limit: MtuLimit, passed: u32, stopped: Option<u32>, mss: u32) -> Fact {
    let Fact::Mtu(udp) = mtu(limit, passed, stopped) else { unreachable!("this is what it makes") };
    Fact::Mtu(Box::new(Mtu { transport: MtuTransport::Tcp, port: Some(443), mss_bytes: Some(mss), ..*udp }))
}

/// The same by echo requests, as on Windows.
pub(crate) fn echo_mtu(limit: MtuLimit, passed: u32, stopped: Option<u32>) -> Fact {
    let Fact::Mtu(udp) = mtu(limit, passed, stopped) else { unreachable!("this is what it makes") };
    Fact::Mtu(Box::new(Mtu { transport: MtuTransport::Icmp, ..*udp }))
}

/// What a time server says of this machine's clock.
pub(crate) fn time_offset(address: &str, seconds: i64) -> Fact {
    Fact::TimeOffset(Box::new(TimeOffset {
        host: "time.example".into(),
        address: address.parse().unwrap(),
        sent: 1,
        samples: Vec::new(),
        offset_us: Some(seconds * 1_000_000),
        delay_us: Some(20_000),
        server: None,
        others: Vec::new(),
        wall: timestamp("2026-05-15T12:00:00Z"),
        failure: None,
    }))
}

/// A time server whose port refused the question.
pub(crate) fn time_refused(address: &str, failure: Failure) -> Fact {
    let mut fact = time_offset(address, 0);
    if let Fact::TimeOffset(offset) = &mut fact {
        (offset.offset_us, offset.delay_us, offset.failure) = (None, None, Some(failure));
    }
    fact
}

pub(crate) fn echo_error(address: &str, error: IcmpError) -> Fact {
    let mut fact = echo(address, &[]);
    if let Fact::Echo(echo) = &mut fact {
        echo.errors.push(error);
    }
    fact
}

pub(crate) fn echo_failed(address: &str, failure: Failure) -> Fact {
    let mut fact = echo(address, &[]);
    if let Fact::Echo(echo) = &mut fact {
        echo.failure = Some(failure);
    }
    fact
}

/// A traceroute: each hop is an address, `*` for silence, or `address !kind/code` for an unreachable message, each answering
/// after 5 ms times its distance. It arrives where the last hop is the target.
pub(crate) fn trace(target: &str, hops: &[&str]) -> Vec<Fact> {
    trace_after(target, hops, 5_000)
}

/// The same with the time that a hop adds.
pub(crate) fn trace_after(target: &str, hops: &[&str], hop_us: u64) -> Vec<Fact> {
    let address: IpAddr = target.parse().unwrap();
    let mut facts = Vec::new();
    for (at, text) in hops.iter().enumerate() {
        let ttl = at as u8 + 1;
        let reply = (*text != "*").then(|| {
            let (from, error) = text.split_once(" !").unwrap_or((text, ""));
            let (from, error): (IpAddr, _) = (from.parse().unwrap(), error.split_once('/'));
            let icmp = error.map(|(kind, code)| IcmpError {
                offender: from,
                kind: kind.parse().unwrap(),
                code: code.parse().unwrap(),
                mtu: None,
            });
            let kind = match &icmp {
                _ if from == address => ReplyKind::Arrived,
                Some(_) => ReplyKind::Unreachable,
                None => ReplyKind::TimeExceeded,
            };
            HopReply {
                from,
                rtt_us: u64::from(ttl) * hop_us,
                kind,
                icmp,
                reply_ttl: None,
                return_hops: None,
                labels: Vec::new(),
                quoted: None,
            }
        });
        facts.push(Fact::Hop(Hop {
            target: address,
            protocol: TraceProtocol::Udp,
            ttl,
            probes: vec![HopProbe { round: 0, reply, duplicates: 0, late_us: None }],
            names: Vec::new(),
            origins: Vec::new(),
            mtu_bytes: None,
            mtu_silent_bytes: None,
            rate: None,
        }));
    }
    let arrived = hops.last() == Some(&target);
    facts.push(Fact::Trace(Trace {
        host: "shop.example".into(),
        target: address,
        protocol: TraceProtocol::Udp,
        arrived,
        distance: arrived.then_some(hops.len() as u8),
        max_ttl: 30,
        rounds: 1,
        privileged: false,
        took_us: 1_000_000,
        failure: None,
        ids: None,
        clock: None,
        lacks: Vec::new(),
        unmatched: 0,
        changes: Vec::new(),
        multipath: None,
    }));
    facts
}

/// The same with SYNs to port 443.
pub(crate) fn syn_trace(target: &str, hops: &[&str]) -> Vec<Fact> {
    let mut facts = trace(target, hops);
    for fact in &mut facts {
        match fact {
            Fact::Hop(hop) => hop.protocol = TraceProtocol::Tcp,
            Fact::Trace(trace) => trace.protocol = TraceProtocol::Tcp,
            _ => {}
        }
    }
    facts
}

/// A traceroute of several rounds: each hop with `+` for a probe that it answered and `-` for one that it did not.
pub(crate) fn trace_rounds(target: &str, hops: &[(&str, &str)]) -> Vec<Fact> {
    let addresses: Vec<&str> = hops.iter().map(|(address, _)| *address).collect();
    let mut facts = trace(target, &addresses);
    for (fact, (_, rounds)) in facts.iter_mut().zip(hops) {
        if let Fact::Hop(hop) = fact {
            let reply = hop.probes[0].reply.clone();
            let probe = |(round, mark)| HopProbe {
                round: round as u8,
                reply: reply.clone().filter(|_| mark == '+'),
                duplicates: 0,
                late_us: None,
            };
            hop.probes = rounds.chars().enumerate().map(probe).collect();
        }
    }
    facts
}

// TLS and HTTP.

pub(crate) fn header(name: &str, value: &str) -> Header {
    Header { name: name.into(), value: value.into() }
}

pub(crate) fn certificate(subject: &str, issuer: &str) -> Certificate {
    Certificate {
        subject: subject.into(),
        issuer: issuer.into(),
        names: vec!["shop.example".into()],
        not_before: timestamp("2026-01-01T00:00:00Z"),
        not_after: timestamp("2026-12-31T00:00:00Z"),
        key: "ECDSA P-256".into(),
        signature: "ECDSA with SHA-256".into(),
        is_ca: false,
        self_signed: subject == issuer,
        sha256: "00".repeat(32),
        der_base64: None,
    }
}

/// A handshake as all is well, on 15 May 2026, changed as the test wants it.
pub(crate) fn handshake(change: impl FnOnce(&mut Handshake)) -> Fact {
    let trusted = |store| TrustVerdict { store, trusted: true, reason: None, text: None };
    let mut handshake = Handshake {
        host: "shop.example".into(),
        address: "192.0.2.1:443".parse().unwrap(),
        server_name: Some("shop.example".into()),
        connect_us: 20_000,
        attempts: Vec::new(),
        took_us: 40_000,
        protocol: Some("TLSv1.3".into()),
        cipher: Some("TLS13_AES_256_GCM_SHA384".into()),
        group: Some("X25519MLKEM768".into()),
        alpn: Some("h2".into()),
        chain: vec![certificate("CN=shop.example", "CN=Middle"), certificate("CN=Middle", "CN=Root")],
        name: Some(NameVerdict { wanted: "shop.example".into(), fits: true }),
        trust: vec![trusted(TrustStore::Platform), trusted(TrustStore::Mozilla)],
        verified_at: Some(timestamp("2026-05-15T12:00:00Z")),
        ocsp_stapled: false,
        ocsp: None,
        built: None,
        timestamps: Vec::new(),
        pin: None,
        certificate_request: None,
        tickets: None,
        starttls: None,
        plain_reply: None,
        at_close: None,
        failure: None,
    };
    change(&mut handshake);
    Fact::Handshake(Box::new(handshake))
}

/// A QUIC handshake as all is well, changed as the test wants it; one that failed has no reply unless the test says so.
pub(crate) fn quic(address: &str, change: impl FnOnce(&mut Quic)) -> Fact {
    let Fact::Handshake(tls) = handshake(|_| {}) else { unreachable!("it makes a handshake") };
    let mut quic: Quic = serde_json::from_value(json!({
        "host": "shop.example", "address": address, "took_us": 40_000, "version": "1", "packets_sent": 9, "packets_received": 8,
    }))
    .unwrap();
    change(&mut quic);
    if quic.failure.is_none() {
        quic.first_reply_us.get_or_insert(20_000);
        quic.tls.get_or_insert(tls);
    }
    Fact::Quic(Box::new(quic))
}

/// Every trust store says no, for this reason.
pub(crate) fn distrust(handshake: &mut Handshake, reason: TrustReason) {
    for verdict in &mut handshake.trust {
        (verdict.trusted, verdict.reason, verdict.text) = (false, Some(reason), Some(format!("{reason:?}")));
    }
}

/// One more handshake with the server of [`handshake`], under this name; completed where no failure is given.
pub(crate) fn variant(variant: Variant, server_name: Option<&str>, failure: Option<Failure>) -> Fact {
    Fact::HandshakeVariant(Box::new(HandshakeVariant {
        host: "shop.example".into(),
        address: "192.0.2.1:443".parse().unwrap(),
        variant,
        server_name: server_name.map(str::to_owned),
        connect_us: 20_000,
        took_us: 40_000,
        protocol: failure.is_none().then(|| "TLSv1.3".into()),
        cipher: None,
        group: None,
        leaf_sha256: None,
        leaf_subject: None,
        resumed: false,
        failure,
    }))
}

/// What the server of [`handshake`] accepts: versions, each with a cipher suite.
pub(crate) fn support(accepted: &[(&str, &str)]) -> Fact {
    let of_version = |protocol: &str| {
        let ciphers: Vec<String> =
            accepted.iter().filter(|(known, _)| *known == protocol).map(|(_, cipher)| (*cipher).to_owned()).collect();
        VersionSupport { protocol: protocol.into(), accepted: !ciphers.is_empty(), ciphers, server_order: None, failure: None }
    };
    Fact::TlsSupport(Box::new(TlsSupport {
        host: "shop.example".into(),
        address: "192.0.2.1:443".parse().unwrap(),
        server_name: Some("shop.example".into()),
        versions: ["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"].map(of_version).to_vec(),
        connections: 4,
        took_us: 100_000,
        failure: None,
    }))
}

/// An issuer's certificate that was fetched and fits, and whether the chain is trusted with it.
pub(crate) fn fetched_issuer(url: &str, trusted: bool, self_signed: bool) -> Fact {
    let verdict = TrustVerdict { store: TrustStore::Platform, trusted, reason: None, text: None };
    Fact::FetchedIssuer(Box::new(FetchedIssuer {
        url: url.into(),
        address: None,
        took_us: 30_000,
        certificate: Some(certificate("CN=Middle", if self_signed { "CN=Middle" } else { "CN=Root" })),
        fits: true,
        trust: vec![verdict],
        failure: None,
    }))
}

/// What came of asking the responder that the certificate of [`handshake`] names.
pub(crate) fn revocation(said: Result<Ocsp, Failure>) -> Fact {
    let (statement, failure) = match said {
        Ok(statement) => (Some(statement), None),
        Err(failure) => (None, Some(failure)),
    };
    Fact::Revocation(Box::new(Revocation {
        host: "shop.example".into(),
        server: "192.0.2.1:443".parse().unwrap(),
        by: RevocationSource::Ocsp,
        url: "http://ocsp.example/".into(),
        address: None,
        took_us: 30_000,
        statement,
        failure,
    }))
}

/// An exchange as all is well, changed as the test wants it.
pub(crate) fn exchange(url: &str, change: impl FnOnce(&mut Exchange)) -> Fact {
    let mut exchange: Exchange = serde_json::from_value(json!({
        "url": url, "method": "GET", "redirect": 0, "address": "192.0.2.1:443", "version": "HTTP/1.1", "status": 200, "expected": true,
        "headers": [{"name": "server", "value": "nginx"}], "phases": {"connect_us": 20_000, "first_byte_us": 60_000}, "body_bytes": 10,
    }))
    .unwrap();
    change(&mut exchange);
    Fact::Exchange(Box::new(exchange))
}

/// A proxy that lets this machine out.
pub(crate) fn proxy(url: &str, change: impl FnOnce(&mut Proxy)) -> Fact {
    let mut proxy: Proxy = serde_json::from_value(json!({
        "url": url, "proxy": "http://proxy.example:3128", "protocol": "http", "way": "given", "address": "10.0.0.3:3128", "connect_us": 400,
        "lets_in_anybody": true, "connect": {"asked": "shop.example:443", "status": 200, "took_us": 20_000},
    }))
    .unwrap();
    change(&mut proxy);
    Fact::Proxy(Box::new(proxy))
}

/// Every value of a distribution is this one.
pub(crate) fn distribution(us: u64) -> RttDistribution {
    RttDistribution { min_us: us, mean_us: us, deviation_us: 0, median_us: us, p90_us: us, p95_us: us, p99_us: us, max_us: us }
}

/// A download that was measured, with the round trips while idle and under load, on a machine that is not busy.
pub(crate) fn load(url: &str, idle_us: u64, loaded_us: u64, change: impl FnOnce(&mut LoadedPhase)) -> Fact {
    let series = |us| LatencySeries {
        sent: 50,
        answered: 50,
        rtt: Some(distribution(us)),
        timer_late: Some(distribution(100)),
        loopback: Some(distribution(60)),
    };
    let mut phase = LoadedPhase {
        direction: LoadDirection::Download,
        connections: 2,
        requests: 2,
        transfer: Transfer { bytes: 1_000_000, took_us: 6_000_000, ..Transfer::default() },
        latency: series(loaded_us),
        increase_us: None,
        increase_p95_us: None,
        at_close: Vec::new(),
        failure: None,
    };
    change(&mut phase);
    Fact::Load(Box::new(Load {
        url: url.into(),
        address: Some("192.0.2.1:443".parse().unwrap()),
        connect_us: Some(20_000),
        attempts: Vec::new(),
        proxy: None,
        latency: LatencyBy::Connect,
        idle: Some(series(idle_us)),
        loaded: vec![phase],
        bytes: 1_000_000,
        failure: None,
    }))
}

/// A measurement under load that could not connect.
pub(crate) fn unloaded(url: &str, code: FailureCode) -> Fact {
    let Fact::Load(mut fact) = load(url, 0, 0, |_| {}) else { unreachable!("this is what it makes") };
    (fact.connect_us, fact.idle, fact.loaded, fact.bytes) = (Some(900), None, Vec::new(), 0);
    fact.failure = Some(failure(code, Step::Connect));
    Fact::Load(fact)
}

/// A series of 100 packets to a counting reflector, of which some were lost on the way there and some on the way back.
pub(crate) fn reflection(address: &str, forward: u32, reverse: u32, change: impl FnOnce(&mut Reflection)) -> Fact {
    let mut fact: Reflection = serde_json::from_value(json!({
        "host": "shop.example", "address": address, "timestamps": "ntp", "clock": "kernel_rx", "payload_bytes": 100,
        "sent": 100, "received": 100 - forward - reverse, "reflector": "stateful", "forward": {"lost": forward},
        "reverse": {"lost": reverse}, "took_us": 1_000_000,
    }))
    .unwrap();
    change(&mut fact);
    Fact::Reflection(Box::new(fact))
}

pub(crate) fn system_load(processors: u32, runnable: u32) -> Fact {
    Fact::SystemLoad(SystemLoad { processors, runnable: Some(runnable), ..SystemLoad::default() })
}

/// What the firmware says of the cloud.
pub(crate) fn cloud_hint(provider: Option<CloudProvider>) -> Fact {
    Fact::CloudHint(CloudHint { provider, vendor: None, product: None })
}

/// A machine whose firmware names a cloud.
pub(crate) fn cloud_machine(cloud: &str) -> Fact {
    Fact::Machine(Machine { cloud: Some(cloud.into()), ..Machine::default() })
}

/// A metadata service that answers, or fails so.
pub(crate) fn metadata(provider: CloudProvider, failed: Option<FailureCode>) -> Fact {
    Fact::CloudMetadata(Box::new(CloudMetadata {
        provider,
        address: "169.254.169.254:80".parse().unwrap(),
        recognised: failed.is_none(),
        status: failed.is_none().then_some(200),
        connect_us: None,
        answer_us: None,
        fields: Default::default(),
        took_us: 1_000,
        failure: failed.map(|code| Failure::new(code, Step::Connect, "as the test says")),
    }))
}

/// A service of Azure's platform address that answers, or fails so.
pub(crate) fn platform(service: PlatformService, failed: Option<FailureCode>) -> Fact {
    let port = match service {
        PlatformService::Dns => 53,
        PlatformService::Health => 32_526,
        PlatformService::Agent | PlatformService::Other => 80,
    };
    Fact::PlatformAddress(Box::new(PlatformAddress {
        provider: CloudProvider::Azure,
        address: SocketAddr::from(([168, 63, 129, 16], port)),
        service,
        recognised: failed.is_none() && service == PlatformService::Agent,
        connect_us: None,
        answer_us: None,
        status: None,
        failure: failed.map(|code| Failure::new(code, Step::Connect, "as the test says")),
    }))
}

// Services.

/// A living mail server, changed as the test wants it.
pub(crate) fn service(change: impl FnOnce(&mut Service)) -> Fact {
    let mut service: Service = serde_json::from_value(json!({
        "host": "shop.example", "address": "192.0.2.1:25", "protocol": "smtp", "reached": "understood", "connect_us": 20_000,
        "first_byte_us": 30_000, "greeting": "220 shop.example ESMTP", "received_bytes": 80,
    }))
    .unwrap();
    change(&mut service);
    Fact::Service(Box::new(service))
}
