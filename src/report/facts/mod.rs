//! Facts in words. Each fact has one line that says what was seen, and details for those who want every flag; each outcome has
//! one line that sums its observations up. Terminal, markdown and HTML all show these lines.

mod cloud;
mod delegation;
mod dns;
mod dnssec;
mod failure;
mod host;
mod host_details;
mod host_state;
mod http;
mod http_beside;
mod icmp;
mod load;
mod mtu;
mod ntp;
mod proxy;
mod quic;
mod reflect;
mod revocation;
mod route;
mod route_depth;
mod service;
mod tcp;
mod tcp_grouped;
mod tls;
mod tls_compared;

pub(crate) use delegation::{verdict as zone_server_verdict, who as zone_server};
pub(crate) use dns::{
    flags as dns_flags, purpose as dns_purpose, remark as dns_remark, source as dns_source, verdict as dns_verdict,
};
pub(crate) use failure::short as short_failure;
pub(crate) use http::phases;
pub(crate) use route_depth::depth as hop_depth;
pub(crate) use tls::{names as certificate_names, store, trust, validity};

use crate::clean::shortened;
use crate::{shown, units};
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::Fact;
use netsonde_contract::outcome::Outcome;

/// Longest JSON shown of a fact that this version does not know; the whole stands in the bundle.
const MAX_UNKNOWN_CHARS: usize = 300;

/// The check's result in one line; why there is none where it was not measured.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    let mut summary = match outcome.kind {
        Kind::Dns => dns::outcome(outcome),
        Kind::Tcp => tcp::outcome(outcome),
        Kind::Icmp => icmp::outcome(outcome),
        Kind::Traceroute => route::outcome(outcome),
        Kind::Tls => tls::outcome(outcome),
        Kind::Http => http::outcome(outcome),
        Kind::Load => load::outcome(outcome),
        Kind::Proxy => proxy::outcome(outcome),
        Kind::Mtu => mtu::outcome(outcome),
        Kind::Ntp => ntp::outcome(outcome),
        Kind::Quic => quic::outcome(outcome),
        Kind::Reflect => reflect::outcome(outcome),
        Kind::Cloud => cloud::outcome(outcome),
        Kind::Service => service::outcome(outcome),
        Kind::Host => host::outcome(outcome),
    };
    if summary.is_empty() && !outcome.observations.is_empty() {
        summary = units::counted(outcome.observations.len(), "observation", "observations");
    }
    match (&outcome.note, summary.is_empty()) {
        (Some(note), true) => note.why.clone(),
        (Some(note), false) => format!("{summary}; {}", note.why),
        (None, true) => "nothing was recorded".to_owned(),
        (None, false) => summary,
    }
}

/// What one observation saw, in one line.
pub(crate) fn line(fact: &Fact) -> String {
    match fact {
        Fact::Lookup(fact) => dns::line(fact),
        Fact::NameSources(fact) => dns::sources(fact),
        Fact::Delegation(fact) => delegation::zone(fact),
        Fact::ZoneServer(fact) => delegation::server(fact),
        Fact::DnssecChain(fact) => dnssec::line(fact),
        Fact::Connect(fact) => tcp::line(fact),
        Fact::Race(fact) => tcp::race(fact),
        Fact::PortSweep(fact) => tcp::port_sweep(fact),
        Fact::Echo(fact) => icmp::line(fact),
        Fact::Sweep(fact) => icmp::sweep(fact),
        Fact::Hop(fact) => route::hop(fact),
        Fact::Trace(fact) => route::trace(fact),
        Fact::Handshake(fact) => tls::line(fact),
        Fact::HandshakeVariant(fact) => tls_compared::variant(fact),
        Fact::TlsSupport(fact) => tls_compared::support(fact),
        Fact::FetchedIssuer(fact) => tls_compared::fetched(fact),
        Fact::Revocation(fact) => revocation::line(fact),
        Fact::Exchange(fact) => http::line(fact),
        Fact::Comparison(fact) => http_beside::comparison(fact),
        Fact::Load(fact) => load::line(fact),
        Fact::Proxy(fact) => proxy::line(fact),
        Fact::Mtu(fact) => mtu::line(fact),
        Fact::TimeOffset(fact) => ntp::line(fact),
        Fact::Quic(fact) => quic::line(fact),
        Fact::Reflection(fact) => reflect::line(fact),
        Fact::CloudHint(fact) => cloud::hint(fact),
        Fact::CloudMetadata(fact) => cloud::line(fact),
        Fact::PlatformAddress(fact) => cloud::address(fact),
        Fact::Service(fact) => service::line(fact),
        Fact::Interface(fact) => host::interface(fact),
        Fact::Route(fact) => host::route(fact),
        Fact::Resolvers(fact) => host::resolvers(fact),
        Fact::Proxies(fact) => host::proxies(fact),
        Fact::Clock(fact) => host::clock(fact),
        Fact::Neighbours(fact) => host_state::neighbours(fact),
        Fact::Sockets(fact) => host_state::sockets(fact),
        Fact::Firewall(fact) => host_state::firewall(fact),
        Fact::Capacity(fact) => host_state::capacity(fact),
        Fact::Counters(fact) => host_state::counters(fact),
        Fact::SystemLoad(fact) => host_state::load(fact),
        Fact::Machine(fact) => host_state::machine(fact),
        Fact::AddressProbe(fact) => host_state::address_probe(fact),
        Fact::Unknown(fields) => {
            let name = fields.get("fact").and_then(serde_json::Value::as_str).unwrap_or("fact");
            let json = serde_json::Value::Object(fields.clone()).to_string();
            format!("{name}, which this version cannot read: {}", shortened(&json, MAX_UNKNOWN_CHARS))
        }
    }
}

/// The rest of one observation, a line each.
pub(crate) fn details(fact: &Fact) -> Vec<String> {
    match fact {
        Fact::Lookup(fact) => dns::details(fact),
        Fact::Delegation(fact) => delegation::zone_details(fact),
        Fact::ZoneServer(fact) => delegation::server_details(fact),
        Fact::DnssecChain(fact) => dnssec::details(fact),
        Fact::Connect(fact) => tcp::details(fact),
        Fact::PortSweep(fact) => tcp::port_sweep_details(fact),
        Fact::Echo(fact) => icmp::details(fact),
        Fact::Sweep(fact) => icmp::sweep_details(fact),
        Fact::Handshake(fact) => tls::details(fact),
        Fact::HandshakeVariant(fact) => failure::details(fact.failure.as_ref()),
        Fact::TlsSupport(fact) => tls_compared::support_details(fact),
        Fact::FetchedIssuer(fact) => failure::details(fact.failure.as_ref()),
        Fact::Revocation(fact) => revocation::details(fact),
        Fact::Exchange(fact) => http::details(fact),
        Fact::Comparison(fact) => http_beside::comparison_details(fact),
        Fact::Load(fact) => load::details(fact),
        Fact::Proxy(fact) => proxy::details(fact),
        Fact::Mtu(fact) => mtu::details(fact),
        Fact::TimeOffset(fact) => ntp::details(fact),
        Fact::Quic(fact) => quic::details(fact),
        Fact::Reflection(fact) => reflect::details(fact),
        Fact::CloudMetadata(fact) => failure::details(fact.failure.as_ref()),
        Fact::PlatformAddress(fact) => failure::details(fact.failure.as_ref()),
        Fact::Trace(fact) => route::details(fact),
        Fact::Service(fact) => service::details(fact),
        Fact::Route(fact) => [failure::details(fact.failure.as_ref()), host_details::route(fact)].concat(),
        Fact::Interface(fact) => host_details::interface(fact),
        Fact::Clock(fact) => host_details::clock(fact),
        Fact::Neighbours(fact) => host_details::neighbours(fact),
        Fact::Sockets(fact) => host_details::sockets(fact),
        Fact::Firewall(fact) => host_details::firewall(fact),
        Fact::Counters(fact) => host_details::counters(fact),
        _ => Vec::new(),
    }
}

/// The facts of one kind among a check's observations.
fn of<'a, T: 'a>(outcome: &'a Outcome, pick: impl Fn(&'a Fact) -> Option<&'a T>) -> Vec<&'a T> {
    shown::observations(outcome).iter().filter_map(|observation| pick(&observation.fact)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    /// The line of a check that made these observations.
    fn line(kind: &str, facts: Vec<Value>) -> String {
        let observations = facts.into_iter().enumerate().map(|(number, mut fact)| {
            fact["id"] = json!(format!("check/{}", number + 1));
            fact["check"] = json!("check");
            fact["at_us"] = json!(0);
            fact
        });
        let outcome = json!({
            "check": "check", "kind": kind, "required": true, "parameters": {}, "status": "failed", "began_us": 0, "took_us": 0,
            "observations": observations.collect::<Vec<_>>(),
        });
        super::outcome(&serde_json::from_value(outcome).unwrap())
    }

    fn lookup(transport: &str, rcode: &str, tc: bool) -> Value {
        json!({
            "fact": "lookup", "name": "a.example", "record_type": "A", "source": "server", "server": "192.0.2.53:53", "transport": transport,
            "took_us": 900, "addresses": if tc { vec![] } else { vec!["192.0.2.1"] },
            "reply": {
                "id": 1, "flags": {"aa": false, "tc": tc, "rd": true, "ra": true, "ad": false, "cd": false}, "rcode": rcode, "rcode_number": 0,
                "answers": [], "authority": [], "additional": [], "size_bytes": 40, "from": "192.0.2.53:53",
            },
        })
    }

    #[test]
    fn a_reply_that_was_cut_counts_by_the_one_over_tcp() {
        assert_eq!(
            line("dns", vec![lookup("udp", "NOERROR", true), lookup("tcp", "NOERROR", false)]),
            "a.example → 192.0.2.1; 1 of 1 server"
        );
        let failed = json!({
            "fact": "lookup", "name": "a.example", "record_type": "A", "source": "server", "server": "192.0.2.53:53", "transport": "tcp",
            "took_us": null, "failure": {"code": "refused", "during": "connect", "text": "Connection refused"},
        });
        assert_eq!(
            line("dns", vec![lookup("udp", "NOERROR", true), failed]),
            "a.example has no address; 0 of 1 server; 192.0.2.53: refused"
        );
    }

    /// The records that a server gave for a type.
    fn records(name: &str, record_type: &str, data: &[&str]) -> Value {
        let mut fact = lookup("udp", "NOERROR", false);
        let each = data.iter().map(|data| json!({"name": name, "record_type": record_type, "ttl_s": 60, "data": data}));
        let each: Vec<Value> = each.collect();
        (fact["name"], fact["record_type"], fact["addresses"]) = (json!(name), json!(record_type), json!([]));
        fact["reply"]["answers"] = json!(each);
        fact
    }

    #[test]
    fn the_records_that_were_asked_for_are_shown_and_not_that_there_is_no_address() {
        let mail = records("a.example", "MX", &["20 b.example.", "10 c.example."]);
        assert_eq!(line("dns", vec![mail.clone()]), "a.example MX 10 c.example., 20 b.example.; 1 of 1 server");
        let address = lookup("udp", "NOERROR", false);
        let text = records("a.example", "TXT", &[]);
        assert_eq!(
            line("dns", vec![address, mail, text]),
            "a.example → 192.0.2.1; MX 10 c.example., 20 b.example.; no TXT record; 1 of 1 server"
        );
        let mut silent = records("a.example", "MX", &[]);
        silent["reply"] = Value::Null;
        silent["failure"] = json!({"code": "timed_out", "during": "receive", "text": "x"});
        assert_eq!(line("dns", vec![silent]), "a.example no answer for MX; 0 of 1 server; 192.0.2.53: timed out");
    }

    #[test]
    fn an_address_that_was_looked_up_is_shown_with_its_name() {
        let reverse = |name: &str| records(name, "PTR", &["b.example."]);
        assert_eq!(line("dns", vec![reverse("9.113.0.203.in-addr.arpa")]), "203.0.113.9 PTR b.example.; 1 of 1 server");
        let nibbles = format!("1.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(23));
        assert_eq!(line("dns", vec![reverse(&nibbles)]), "2001:db8::1 PTR b.example.; 1 of 1 server");
        let mut beside = reverse("1.2.0.192.in-addr.arpa");
        beside["purpose"] = json!("reverse");
        let shown = line("dns", vec![lookup("udp", "NOERROR", false), beside]);
        assert_eq!(shown, "a.example → 192.0.2.1; 1 of 1 server; 192.0.2.1 is called b.example.");
    }

    #[test]
    fn a_control_server_that_says_something_else_and_the_verdict_of_a_chain_stand_in_the_line() {
        let control = |address: &str| {
            let mut fact = lookup("udp", "NOERROR", false);
            (fact["purpose"], fact["server"], fact["addresses"]) = (json!("control"), json!("192.0.2.54:53"), json!([address]));
            line("dns", vec![lookup("udp", "NOERROR", false), fact])
        };
        assert!(control("192.0.2.9").ends_with(", which differs: 192.0.2.9"), "{}", control("192.0.2.9"));
        assert!(control("192.0.2.1").ends_with(", the same"), "{}", control("192.0.2.1"));
        let chain = json!({"fact": "dnssec_chain", "name": "a.example", "record_type": "A", "verdict": "bogus", "why": "why", "zones": [],
            "verified_at": "2026-10-11T00:00:00Z"});
        let shown = line("dns", vec![lookup("udp", "NOERROR", false), chain]);
        assert!(shown.ends_with("DNSSEC of a.example (A): bogus: why"), "{shown}");
    }

    #[test]
    fn what_ends_tls_once_it_is_agreed_is_told_as_such() {
        let handshake = |code: &str, text: &str| {
            let failure = json!({"code": code, "during": "receive", "text": text});
            line(
                "tls",
                vec![json!({"fact": "handshake", "host": "a", "address": "192.0.2.1:443", "connect_us": 1, "took_us": 1,
                "protocol": "TLSv1.3", "chain": [], "trust": [], "failure": failure})],
            )
        };
        assert_eq!(handshake("closed", "x"), "192.0.2.1:443 TLSv1.3 agreed, then closed by the server");
        let alert = handshake("tls_alert", "the peer sent the TLS alert certificate_required (116)");
        assert_eq!(alert, "192.0.2.1:443 TLSv1.3 agreed, then TLS alert certificate_required (116)");
    }

    #[test]
    fn an_expired_authority_is_named_where_the_leaf_is_valid() {
        let certificate = |subject: &str, not_after: &str| {
            json!({
                "subject": subject, "issuer": "CN=I", "names": [], "not_before": "2026-01-01T00:00:00Z", "not_after": not_after, "key": "", "signature": "",
                "is_ca": false, "self_signed": false, "sha256": "",
            })
        };
        let handshake = json!({
            "fact": "handshake", "host": "a", "address": "192.0.2.1:443", "connect_us": 1, "took_us": 1, "protocol": "TLSv1.3",
            "chain": [certificate("CN=leaf", "2027-01-01T00:00:00Z"), certificate("CN=I", "2026-10-01T00:00:00Z")],
            "trust": [{"store": "platform", "trusted": false, "reason": "expired"}], "verified_at": "2026-10-11T00:00:00Z",
        });
        assert_eq!(line("tls", vec![handshake]), "TLSv1.3, not trusted, CN=I expired 2026-10-01 (10 days ago)");
    }

    #[test]
    fn attempts_of_which_some_fail_are_counted() {
        let attempt = |number: u32, failure: Value| json!({"fact": "connect", "host": "a", "address": "192.0.2.1:80", "attempt": number, "took_us": 3_000, "failure": failure});
        let failure = json!({"code": "timed_out", "during": "connect", "text": "no answer", "icmp": {"offender": "10.0.0.1", "type": 3, "code": 13}});
        let connects = vec![attempt(1, Value::Null), attempt(2, failure)];
        let expected = "192.0.2.1:80 in 3.0 ms, 1 of 2 attempts, else timed out (administratively prohibited from 10.0.0.1)";
        assert_eq!(line("tcp", connects), expected);
    }

    #[test]
    fn a_sweep_names_the_router_that_forbids_and_counts_one_as_one() {
        let icmp = json!({"offender": "10.0.0.1", "type": 3, "code": 13});
        let failure = json!({"code": "host_unreachable", "during": "connect", "text": "x", "icmp": icmp});
        let refused = json!({"code": "refused", "during": "connect", "text": "x"});
        let sweep = |ports: Value| json!({"fact": "port_sweep", "host": "192.0.2.9", "address": "192.0.2.9", "asked": ports.as_array().unwrap().len(), "ports": ports, "took_us": 1});
        let forbidden = sweep(json!([{"port": 80, "took_us": 1, "failure": failure}]));
        let expected =
            "192.0.2.9: of 1 port 0 open, 0 refused, 0 silent, 1 host unreachable (administratively prohibited from 10.0.0.1)";
        assert_eq!(line("tcp", vec![forbidden]), expected);
        let both = sweep(json!([{"port": 80, "took_us": 1, "failure": refused}, {"port": 81, "took_us": 1}]));
        assert_eq!(line("tcp", vec![both]), "192.0.2.9: of 2 ports 1 open, 1 refused, 0 silent");
    }

    #[test]
    fn a_body_that_is_cut_short_is_not_called_no_answer() {
        let shown = |code: &str| {
            let failure = json!({"code": code, "during": "receive", "text": "x"});
            line(
                "http",
                vec![json!({
                    "fact": "exchange", "url": "http://a/", "method": "GET", "redirect": 0, "status": 200, "expected": true, "phases": {},
                    "body_bytes": 5, "failure": failure,
                })],
            )
        };
        assert_eq!(shown("closed"), "status 200, then closed before the body was complete, 5 bytes");
        assert_eq!(shown("timed_out"), "status 200, then the body stopped before its end, 5 bytes");
    }

    #[test]
    fn a_chain_with_a_missing_issuer_an_inspecting_one_and_a_wrong_pin_says_all_three() {
        let certificate = json!({
            "subject": "CN=shop.example", "issuer": "CN=Zscaler Intermediate Root CA", "names": [], "not_before": "2026-01-01T00:00:00Z",
            "not_after": "2027-01-01T00:00:00Z", "key": "", "signature": "", "is_ca": false, "self_signed": false, "sha256": "",
        });
        let handshake = json!({
            "fact": "handshake", "host": "a", "address": "192.0.2.1:443", "connect_us": 1, "took_us": 1, "protocol": "TLSv1.3", "chain": [certificate],
            "trust": [{"store": "platform", "trusted": false, "reason": "unknown_issuer"}],
            "built": {"path": [0], "in_order": true, "ends_in_root": false, "missing_issuer": "CN=Zscaler Intermediate Root CA"},
            "pin": {"wanted": "aa", "key_sha256": "bb", "fits": false}, "ocsp": {"status": "revoked", "about_leaf": true},
        });
        let shown = line("tls", vec![handshake]);
        let expected = "TLSv1.3, not trusted: unknown issuer, the issuer CN=Zscaler Intermediate Root CA was not sent, issued by an authority \
                        called like Zscaler's, OCSP says revoked, not the certificate that was expected";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_reply_that_is_not_tls_is_named_and_not_dumped() {
        let shown = |reply: &str| {
            let failure = json!({"code": "not_tls", "during": "handshake", "text": "x"});
            line(
                "tls",
                vec![json!({
                    "fact": "handshake", "host": "a", "address": "192.0.2.1:80", "connect_us": 1, "took_us": 1, "plain_reply": reply, "failure": failure,
                })],
            )
        };
        assert_eq!(shown("HTTP/1.1 400 Bad Request..Server: x"), "192.0.2.1:80 the reply is not TLS: plain HTTP, status 400");
        assert_eq!(shown("<!DOCTYPE HTML><html><head>"), "192.0.2.1:80 the reply is not TLS: plain HTTP");
        assert!(shown(&"x".repeat(128)).len() < 90);
    }

    #[test]
    fn a_path_that_swallows_large_packets_is_told_from_one_that_refuses_them() {
        let mtu = |limit: &str, told: Value| json!({"fact": "mtu", "host": "a", "address": "192.0.2.1", "passed_bytes": 1400, "stopped_bytes": 1401, "limit": limit, "told": told, "took_us": 1});
        let told = json!({"offender": "10.0.0.1", "type": 3, "code": 4, "mtu": 1400});
        let refused = "192.0.2.1 packets up to 1400 bytes pass; 10.0.0.1 says that larger ones do not";
        assert_eq!(line("mtu", vec![mtu("told", told)]), refused);
        let swallowed = "192.0.2.1 packets up to 1400 bytes pass; larger ones vanish without a word";
        assert_eq!(line("mtu", vec![mtu("untold", Value::Null)]), swallowed);
    }

    #[test]
    fn a_time_server_whose_message_does_not_fit_is_not_called_silent() {
        let offset = json!({
            "fact": "time_offset", "host": "t", "address": "192.0.2.123:123", "sent": 1, "wall": "2026-10-11T00:00:00Z",
            "others": [{"after_us": 900, "size_bytes": 20, "why": "it is shorter than 48 bytes"}],
            "failure": {"code": "timed_out", "during": "receive", "text": "x"},
        });
        let expected = "192.0.2.123:123 timed out, 1 message came that is no answer (it is shorter than 48 bytes)";
        assert_eq!(line("ntp", vec![offset]), expected);
    }

    #[test]
    fn a_clock_that_is_ahead_is_said_to_be_ahead() {
        let offset = json!({
            "fact": "time_offset", "host": "t", "address": "192.0.2.123:123", "sent": 1, "offset_us": -90_000_000, "delay_us": 2_000,
            "samples": [{"offset_us": -90_000_000, "delay_us": 2_000}], "wall": "2026-01-01T00:00:00Z",
            "server": {"version": 4, "stratum": 2, "leap": "none", "reference_id": "192.0.2.1", "root_delay_us": 1, "root_dispersion_us": 1,
            "precision_log2_s": -20},
        });
        assert_eq!(line("ntp", vec![offset]), "192.0.2.123:123 the clock is 90 s ahead (± 1.0 ms), stratum 2");
    }

    #[test]
    fn a_connection_that_did_not_survive_its_silence_is_said_to_be_lost() {
        let failure = json!({"code": "timed_out", "during": "receive", "text": "no answer"});
        let hold = json!({"asked_s": 60, "keepalive_s": 0, "idle_us": 60_000_000, "answered": false, "failure": failure});
        let connect =
            json!({"fact": "connect", "host": "a", "address": "192.0.2.1:80", "attempt": 1, "took_us": 3_000, "hold": hold});
        let shown = line("tcp", vec![connect]);
        assert_eq!(shown, "192.0.2.1:80 in 3.0 ms, idle for 60 s; after that the peer was gone: timed out");
    }

    #[test]
    fn a_sweep_of_addresses_and_one_of_ports_are_summed_up() {
        let rtt = json!({"min_us": 90, "mean_us": 200, "deviation_us": 5, "median_us": 200, "p90_us": 300, "p95_us": 300, "p99_us": 400, "max_us": 4_000});
        let sweep = json!({
            "fact": "sweep", "targets": 10_000, "asked": 10_000, "answered": 9_998, "sent": 10_000, "received": 9_998, "silent": ["192.0.2.1", "192.0.2.2"],
            "rtt": rtt, "size_bytes": 56, "clock": "kernel_rx_tx", "sending_us": 500_000, "took_us": 1_500_000,
        });
        assert_eq!(
            line("icmp", vec![sweep]),
            "9998 of 10000 addresses answered, 9998 of 10000 replies, RTT 90 µs to 4.0 ms, median 200 µs"
        );
        let failed = |code: &str| json!({"code": code, "during": "connect", "text": ""});
        let ports = json!([{"port": 22, "took_us": 5}, {"port": 23, "took_us": 5, "failure": failed("refused")}, {"port": 24, "took_us": 5, "failure": failed("timed_out")}]);
        let sweep = json!({"fact": "port_sweep", "host": "a", "address": "192.0.2.1", "asked": 3, "ports": ports, "took_us": 9});
        assert_eq!(line("tcp", vec![sweep]), "192.0.2.1: of 3 ports 1 open, 1 refused, 1 silent");
    }

    #[test]
    fn a_series_names_what_a_healthy_network_does_not_do() {
        let statistics = json!({"received": 3, "lost": 2, "duplicates": 1, "corrupt": 2, "reordered": 0, "loss_periods": 1, "longest_loss": 2});
        let replies = json!([{"sequence": 0, "rtt_us": 90}, {"sequence": 1, "rtt_us": 90}, {"sequence": 4, "rtt_us": 90}]);
        let echo = json!({
            "fact": "echo", "host": "a", "address": "192.0.2.1", "sent": 5, "replies": replies, "size_bytes": 56, "clock": "kernel_rx_tx",
            "statistics": statistics,
        });
        let expected = "192.0.2.1 3 of 5 replies, RTT 90 µs, 1 duplicate, 2 corrupt replies, up to 2 lost in a row";
        assert_eq!(line("icmp", vec![echo]), expected);
    }

    #[test]
    fn redirects_in_a_circle_are_said_to_be_one() {
        let exchange = |redirect: u32, stopped: Value| {
            json!({
                "fact": "exchange", "url": "http://a/", "method": "GET", "redirect": redirect, "status": 302, "expected": true, "phases": {},
                "redirect_stopped": stopped, "body_bytes": 0,
            })
        };
        let shown = line("http", vec![exchange(0, Value::Null), exchange(1, json!("loop"))]);
        assert_eq!(shown, "status 302, redirects go in a circle, after 1 redirect, 0 bytes");
    }
}
