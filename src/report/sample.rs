//! Documents for the golden files: five runs as the agent would print them, written as JSON so that a field which a newer contract
//! adds does not have to be added here.

mod deep;
mod http;
mod machine;

pub(crate) use deep::deep;

use netsonde_contract::document::Document;
use serde_json::{Value, json};

/// The golden files' names, and what they are made from.
pub(crate) fn all() -> Vec<(&'static str, Document)> {
    let cases = [("expired", expired()), ("refused", refused()), ("healthy", healthy()), ("silent", silent()), ("deep", deep())];
    cases.into_iter().map(|(name, value)| (name, document(value))).collect()
}

pub(crate) fn document(value: Value) -> Document {
    serde_json::from_value(value).expect("a sample is a document")
}

/// A shop whose certificate ran out; everything below works.
pub(crate) fn expired() -> Value {
    run(
        "web",
        &[web_target("shop.example")],
        json!({
            "state": "explained",
            "took": 2_340_000,
            "privileged": true,
            "findings": [{
                "cause": "tls.expired", "severity": "problem", "confidence": 0.97,
                "where": {"name": "shop.example", "address": "192.0.2.7", "port": 443},
                "sentence": "The certificate of shop.example expired on 2026-11-01, 20 days ago, so programs on this machine refuse to talk to it.",
                "evidence": ["tls/1", "machine/5"],
                "rejected": [
                    {"cause": "host.clock_skew", "reason": "this machine's clock is synchronised to within 12 ms", "evidence": ["machine/5"]},
                    {"cause": "tls.not_yet_valid", "reason": "the certificate's life had begun, on 2026-08-03", "evidence": ["tls/1"]},
                ],
                "next_step": {"who": "server", "action": "Renew the certificate of shop.example, install it with its chain, and reload the server."},
                "article": "docs/causes/tls.expired.md", "target": "https://shop.example/", "suppressed": ["tls.unknown_issuer"],
            }],
            "unexplained": [], "not_measured": [],
            "outcomes": [
                machine("192.0.2.7"),
                resolve("shop.example", &["192.0.2.7"]),
                outcome("connect", "tcp", true, "succeeded", 14_000, 11_400, vec![connect("connect/1", "192.0.2.7:443", 1, 11_200, None), connect("connect/2", "192.0.2.7:443", 2, 11_400, None)]),
                outcome("tls", "tls", true, "failed", 26_000, 31_000, vec![handshake()]),
                skipped("http", "http", true, "it needs tls, which did not succeed"),
                outcome("echo", "icmp", false, "succeeded", 14_000, 830_000, vec![echo("echo/1", "192.0.2.7", 5, &[(0, 11_020), (1, 10_950), (2, 14_310), (4, 11_100)])]),
                outcome("path", "traceroute", false, "succeeded", 14_000, 420_000, vec![
                    hop("path/1", "192.0.2.7", 1, &[Some(("10.0.1.1", 410)), Some(("10.0.1.1", 390)), Some(("10.0.1.1", 402))], "time_exceeded"),
                    hop("path/2", "192.0.2.7", 2, &[None, None, None], "time_exceeded"),
                    hop("path/3", "192.0.2.7", 3, &[Some(("198.51.100.9", 9_800)), Some(("198.51.100.13", 10_100)), Some(("198.51.100.9", 9_700))], "time_exceeded"),
                    hop("path/4", "192.0.2.7", 4, &[Some(("192.0.2.7", 11_000)), Some(("192.0.2.7", 11_300)), Some(("192.0.2.7", 10_900))], "arrived"),
                    trace("path/5", "shop.example", "192.0.2.7", Some(4), true),
                ]),
            ],
        }),
    )
}

/// A database port with nothing behind it, over both families.
pub(crate) fn refused() -> Value {
    let target = json!({"text": "db.example:5432", "host": "db.example", "port": 5432});
    run(
        "port",
        &[target],
        json!({
            "state": "explained",
            "took": 1_120_000,
            "privileged": true,
            "bundle": {"id": "ab".repeat(32), "path": "/home/user/netsonde-db.example.tar.gz", "case_url": "https://support.example/cases/CASE-4711"},
            "findings": [{
                "cause": "tcp.refused", "severity": "problem", "confidence": 0.85,
                "where": {"name": "db.example", "address": "2001:db8:4:1::25", "port": 5432},
                "sentence": "db.example is up and says no: nothing listens on port 5432 at either of its addresses.",
                "evidence": ["connect/1", "connect/2"],
                "rejected": [
                    {"cause": "tcp.filtered", "reason": "the refusal came at once, it was not silence", "evidence": ["connect/1"]},
                    {"cause": "tcp.rejected_by_middlebox", "reason": "the refusal took as long as the way to the server and back, 1.2 ms", "evidence": ["connect/1", "echo/1"]},
                    {"cause": "path.target_down", "reason": "the host answers ping", "evidence": ["echo/1"]},
                ],
                "next_step": {"who": "server", "action": "Start the service on port 5432, or have it listen on this address and not only on localhost."},
                "article": "docs/causes/tcp.refused.md", "target": "db.example:5432",
                "settled_by": "a capture that shows the refusal's TTL",
                "could_not_separate": [{"cause": "host.firewall_local", "would_take": "this machine's own packet filter, which an administrator may read"}],
            }],
            "unexplained": [], "not_measured": [],
            "outcomes": [
                resolve("db.example", &["192.0.2.25", "2001:db8:4:1::25"]),
                outcome("connect", "tcp", true, "failed", 14_000, 3_000, vec![
                    connect("connect/1", "192.0.2.25:5432", 1, 1_240, Some(("refused", "Connection refused", 111))),
                    connect("connect/2", "[2001:db8:4:1::25]:5432", 1, 1_310, Some(("refused", "Connection refused", 111))),
                ]),
                outcome("echo", "icmp", false, "succeeded", 14_000, 830_000, vec![
                    echo("echo/1", "192.0.2.25", 3, &[(0, 1_190), (1, 1_210), (2, 1_230)]),
                    echo("echo/2", "2001:db8:4:1::25", 3, &[(0, 1_290), (1, 1_250), (2, 1_270)]),
                ]),
                outcome("path", "traceroute", false, "succeeded", 14_000, 120_000, vec![
                    hop("path/1", "192.0.2.25", 1, &[Some(("10.0.1.1", 410))], "time_exceeded"),
                    hop("path/2", "192.0.2.25", 2, &[Some(("192.0.2.25", 1_200))], "arrived"),
                    trace("path/3", "db.example", "192.0.2.25", Some(2), true),
                    hop("path/4", "2001:db8:4:1::25", 1, &[Some(("2001:db8:1::1", 430))], "time_exceeded"),
                    hop("path/5", "2001:db8:4:1::25", 2, &[Some(("2001:db8:4:1::25", 1_280))], "arrived"),
                    trace("path/6", "db.example", "2001:db8:4:1::25", Some(2), true),
                ]),
            ],
        }),
    )
}

/// Two addresses of which nothing is wrong; one answers with a redirect first.
pub(crate) fn healthy() -> Value {
    let mut resolve_other = resolve("status.example", &["203.0.113.80"]);
    resolve_other["check"] = json!("resolve#2");
    resolve_other["target"] = web_target("status.example");
    for (number, observation) in resolve_other["observations"].as_array_mut().expect("a list").iter_mut().enumerate() {
        observation["id"] = json!(format!("resolve#2/{}", number + 1));
        observation["check"] = json!("resolve#2");
    }
    let mut exchange_other = exchange("http#2/1", 0, "https://status.example/", 204, &[]);
    exchange_other["check"] = json!("http#2");
    run(
        "web",
        &[
            json!({"text": "http://shop.example/", "scheme": "http", "host": "shop.example", "port": 80, "path": "/"}),
            web_target("status.example"),
        ],
        json!({
            "state": "as_expected",
            "took": 410_000,
            "privileged": true,
            "findings": [{
                "cause": "path.icmp_unsupported", "severity": "notice", "confidence": 0.9, "where": {"address": "203.0.113.80"},
                "sentence": "status.example does not answer ping; connections to it work, so this is no fault.",
                "evidence": ["echo#2/1", "http#2/1"], "rejected": [],
                "next_step": {"who": "support", "action": "Nothing needs to be done."},
                "article": "docs/causes/path.icmp_unsupported.md", "target": "https://status.example/",
            }],
            "unexplained": [], "not_measured": [],
            "outcomes": [
                resolve("shop.example", &["192.0.2.7", "2001:db8::7"]),
                outcome("http", "http", true, "succeeded", 15_000, 190_000, vec![
                    exchange("http/1", 0, "http://shop.example/", 301, &[("Location", "https://shop.example/"), ("Server", "nginx")]),
                    exchange("http/2", 1, "https://shop.example/", 200, &[("Content-Type", "text/html; charset=utf-8"), ("Server", "nginx")]),
                ]),
                resolve_other,
                outcome("http#2", "http", true, "succeeded", 15_000, 90_000, vec![exchange_other]),
                outcome("echo#2", "icmp", false, "failed", 15_000, 1_000_000, vec![{
                    let mut silent = echo("echo#2/1", "203.0.113.80", 5, &[]);
                    silent["check"] = json!("echo#2");
                    silent
                }]),
            ],
        }),
    )
}

/// What a dns check records that was asked for everything.
fn deep_dns() -> Vec<Value> {
    let reply = |from: &str, ttl: u8, rcode: &str, number: u16, answers: Value| {
        json!({
            "id": 77, "flags": {"aa": false, "tc": false, "rd": true, "ra": true, "ad": false, "cd": false}, "rcode": rcode, "rcode_number": number,
            "answers": answers, "authority": [], "additional": [], "size_bytes": 57, "from": from, "ip_ttl": ttl,
        })
    };
    let address = |data: &str| json!([{"name": "vpn.example.", "record_type": "A", "ttl_s": 60, "data": data}]);
    let sent = |at: u64, why: &str, edns: bool, rcode: Option<&str>| json!({"after_us": at, "why": why, "id": 77, "local": "10.0.1.9:40001", "edns": edns, "size_bytes": if edns { 55 } else { 29 }, "rcode": rcode});
    let lookup = |number: u32, server: &str, more: Value| {
        let mut fact = json!({
            "fact": "lookup", "name": "vpn.example", "record_type": "A", "source": "server", "server": server, "transport": "udp", "took_us": 900,
            "attempts": 1,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            fact[key] = value.clone();
        }
        observation(&format!("resolve/{number}"), fact)
    };
    let server = |number: u32, host: &str, address: &str, more: Value| {
        let mut fact = json!({
            "fact": "zone_server", "zone": "vpn.example", "server": host, "address": address, "took_us": 12_000, "attempts": 3,
            "own_name_servers": ["ns1.vpn.example", "ns2.vpn.example"],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            fact[key] = value.clone();
        }
        observation(&format!("resolve/{number}"), fact)
    };
    vec![
        lookup(
            6,
            "192.0.2.56:53",
            json!({
                "took_us": 4_001_200, "attempts": 3, "addresses": ["203.0.113.50"], "reply": reply("192.0.2.56:53", 61, "NOERROR", 0, address("203.0.113.50")),
                "sent": [sent(0, "first", true, None), sent(2_000_000, "silence", true, None), sent(4_000_000, "silence_with_edns", false, Some("NOERROR"))],
                "others": [{
                    "after_us": 4_003_000, "second_reply": true, "why": "the reply was there before it", "size_bytes": 57, "ip_ttl": 118,
                    "reply": reply("192.0.2.56:53", 118, "NOERROR", 0, address("10.9.9.9")),
                }, {"after_us": 4_004_000, "second_reply": false, "why": "a message of 3 bytes does not parse: unexpected end", "size_bytes": 3}],
            }),
        ),
        lookup(
            7,
            "192.0.2.54:53",
            json!({
                "purpose": "checking_disabled", "addresses": ["203.0.113.50"], "reply": reply("192.0.2.54:53", 61, "NOERROR", 0, address("203.0.113.50")),
            }),
        ),
        lookup(
            8,
            "192.0.2.99:853",
            json!({
                "purpose": "control", "transport": "tls", "reply": reply("192.0.2.99:853", 61, "NXDOMAIN", 3, json!([])),
                "tls": {"host": "dns.example", "address": "192.0.2.99:853", "connect_us": 800, "took_us": 4_000, "protocol": "TLSv1.3"},
            }),
        ),
        observation(
            "resolve/9",
            json!({
                "fact": "name_sources", "name": "vpn.example", "hosts_file": "/etc/hosts", "order": ["files", "dns"], "search": ["corp.example"], "ndots": 1,
                "hosts": [{"line": 7, "address": "203.0.113.51", "names": ["vpn.example"]}], "tried": ["vpn.example", "vpn.example.corp.example"],
            }),
        ),
        observation(
            "resolve/10",
            json!({
                "fact": "delegation", "name": "vpn.example", "zone": "example", "name_servers": [{"name": "a.nic.example", "glue": ["198.51.100.53"]}], "secure": true,
                "signed_by": [{"key_tag": 60485, "algorithm": 13, "digest_type": 2}],
            }),
        ),
        observation(
            "resolve/11",
            json!({
                "fact": "delegation", "name": "vpn.example", "zone": "vpn.example", "given_by": "198.51.100.53:53", "name_servers": [
                    {"name": "ns1.vpn.example", "glue": ["203.0.113.1"]}, {"name": "ns2.vpn.example", "glue": ["203.0.113.2", "2001:db8::2"]},
                    {"name": "ns.elsewhere.example", "resolved": ["203.0.113.3"]},
                    {"name": "ns.gone.example", "failure": {"code": "resolve_failed", "during": "resolve", "text": "Name or service not known"}},
                ],
            }),
        ),
        observation(
            "resolve/15",
            json!({
                "fact": "zone_server", "zone": "example", "server": "a.nic.example", "address": "198.51.100.53:53", "took_us": 8_000, "attempts": 4,
                "authoritative": true, "serial": 7, "reply": {
                    "id": 78, "flags": {"aa": false, "tc": false, "rd": false, "ra": false, "ad": false, "cd": false}, "rcode": "NOERROR", "rcode_number": 0,
                    "answers": [], "authority": [{"name": "vpn.example.", "record_type": "NS", "ttl_s": 60, "data": "ns1.vpn.example."}], "additional": [],
                    "size_bytes": 80, "from": "198.51.100.53:53",
                },
            }),
        ),
        server(
            12,
            "ns1.vpn.example",
            "203.0.113.1:53",
            json!({
                "authoritative": true, "serial": 2_026_112_101, "keys": [{"key_tag": 4711, "algorithm": 13, "entry_point": true, "revoked": false}],
                "signatures": [{"covers": "A", "key_tag": 4711, "algorithm": 13, "inception": "2026-10-01T00:00:00Z", "expiration": "2026-11-01T00:00:00Z"}],
                "reply": reply("203.0.113.1:53", 60, "NOERROR", 0, address("203.0.113.50")),
            }),
        ),
        server(
            13,
            "ns2.vpn.example",
            "203.0.113.2:53",
            json!({
                "authoritative": false, "own_name_servers": [], "reply": reply("203.0.113.2:53", 60, "REFUSED", 5, json!([])),
            }),
        ),
        server(
            14,
            "ns.elsewhere.example",
            "203.0.113.3:53",
            json!({
                "own_name_servers": [], "took_us": null,
                "failure": {"code": "timed_out", "during": "receive", "text": "no reply to 2 packets within 2000 ms each, nor to one without EDNS"},
            }),
        ),
    ]
}

/// A path on which everything beyond hop 3 is silent, seen without privileges; one of two name servers is ill too.
pub(crate) fn silent() -> Value {
    let target = json!({"text": "vpn.example", "host": "vpn.example"});
    let mut resolve = resolve("vpn.example", &["203.0.113.50"]);
    let observations = resolve["observations"].as_array_mut().expect("a list");
    observations.push(observation("resolve/4", json!({
        "fact": "lookup", "name": "vpn.example", "record_type": "A", "source": "server", "server": "192.0.2.54:53", "transport": "udp",
        "took_us": 4_100, "attempts": 1,
        "reply": {
            "id": 4242, "flags": {"aa": false, "tc": false, "rd": true, "ra": true, "ad": false, "cd": false},
            "rcode": "SERVFAIL", "rcode_number": 2,
            "edns": {
                "version": 0, "udp_size_bytes": 1232, "dnssec_ok": true, "nsid": "res2.fra", "cookie": {"client_matches": true, "server_bytes": 16},
                "client_subnet": {"address": "198.51.100.0", "source_prefix": 24, "scope_prefix": 20},
            },
            "extended_errors": [{"code": 22, "name": "No Reachable Authority", "text": "at delegation vpn.example"}],
            "answers": [], "authority": [], "additional": [], "size_bytes": 61, "from": "192.0.2.54:53",
        },
    })));
    observations.push(observation("resolve/5", json!({
        "fact": "lookup", "name": "vpn.example", "record_type": "A", "source": "server", "server": "192.0.2.55:5353", "transport": "udp",
        "took_us": null, "attempts": 2, "failure": {"code": "timed_out", "during": "receive", "text": "no reply within 2 s"},
    })));
    observations.extend(deep_dns());
    let mut path = outcome(
        "path",
        "traceroute",
        true,
        "failed",
        14_000,
        9_800_000,
        vec![
            hop(
                "path/1",
                "203.0.113.50",
                1,
                &[Some(("10.0.1.1", 410)), Some(("10.0.1.1", 390)), Some(("10.0.1.1", 402))],
                "time_exceeded",
            ),
            hop(
                "path/2",
                "203.0.113.50",
                2,
                &[Some(("198.51.100.1", 4_100)), None, Some(("198.51.100.1", 4_250))],
                "time_exceeded",
            ),
            hop(
                "path/3",
                "203.0.113.50",
                3,
                &[Some(("198.51.100.77", 9_800)), Some(("198.51.100.77", 9_900)), Some(("198.51.100.77", 10_000))],
                "time_exceeded",
            ),
            hop("path/4", "203.0.113.50", 4, &[None, None, None], "time_exceeded"),
            hop("path/5", "203.0.113.50", 5, &[None, None, None], "time_exceeded"),
            hop("path/6", "203.0.113.50", 6, &[None, None, None], "time_exceeded"),
            trace("path/7", "vpn.example", "203.0.113.50", None, false),
        ],
    );
    path["note"] = json!({"why": "the limit of 30 hops was not reached, because 3 in a row were silent"});
    let mut echo = outcome("echo", "icmp", false, "not_measured", 14_000, 200, vec![]);
    echo["note"] = json!({"why": "this user may not send echo requests", "grant": "sudo sysctl -w net.ipv4.ping_group_range=\"0 2147483647\""});
    run(
        "path",
        &[target],
        json!({
            "state": "unexplained",
            "took": 12_020_000,
            "privileged": false,
            "interrupted": true,
            "limits_hit": ["12 of 40 packets a second to one address"],
            "findings": [{
                "cause": "dns.servfail", "severity": "degraded", "confidence": 0.7, "where": {"resolver": "192.0.2.54"},
                "sentence": "The name server 192.0.2.54 cannot answer for vpn.example; another one can, so names resolve, but slowly.",
                "evidence": ["resolve/4"], "rejected": [{"cause": "dns.dnssec_bogus", "reason": "its own words are: No Reachable Authority", "evidence": ["resolve/4"]}],
                "next_step": {"who": "network", "action": "Have whoever runs 192.0.2.54 look at why it cannot reach the zone's own servers."},
                "article": "docs/causes/dns.servfail.md", "target": "vpn.example",
            }, {
                "cause": "path.target_silent", "severity": "degraded", "confidence": 0.55, "where": {"hop": 3, "address": "198.51.100.77"},
                "sentence": "Nothing beyond 198.51.100.77, the third hop, answers.",
                "evidence": ["path/3", "path/4", "path/7"], "rejected": [],
                "next_step": {"who": "network", "action": "Ask whether 198.51.100.77 forwards to 203.0.113.50, and whether that host is up."},
                "article": "docs/causes/path.target_silent.md", "target": "vpn.example",
            }],
            "unexplained": [{
                "check": "path", "required": true, "what": "203.0.113.50 does not answer, and nothing shows whether it is off or filtered.",
                "ruled_out": [{"cause": "path.routing_loop", "reason": "no router appears twice", "evidence": ["path/1", "path/2", "path/3"]}],
                "next_step": {"who": "support", "action": "Hand this run to support: what was seen and what is ruled out stand in it."},
            }],
            "not_measured": [{
                "check": "echo", "required": false, "why": "this user may not send echo requests",
                "grant": "sudo sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"",
            }],
            "outcomes": [
                resolve,
                path,
                echo,
                outcome("quic", "host", false, "succeeded", 15_000, 1_000, vec![observation("quic/1", json!({"fact": "quic_handshake", "versions": [1]}))]),
            ],
        }),
    )
}

/// A whole document around what is particular to a run.
fn run(set: &str, targets: &[Value], particular: Value) -> Value {
    let privileged = &particular["privileged"];
    let mut document = json!({
        "schema": "netsonde.run/1",
        "run": {
            "id": "0193a5c2-7d10-7abc-8def-001122334455", "set": {"name": set, "version": 1, "sha256": "5e".repeat(32)}, "targets": targets,
            "case": "CASE-4711", "began": "2026-11-21T20:24:28Z", "took_us": particular["took"],
            "interrupted": particular["interrupted"].as_bool().unwrap_or(false),
            "limits_hit": particular["limits_hit"].as_array().cloned().unwrap_or_default(),
        },
        "environment": {
            "version": "0.1.0", "os": "linux", "os_release": "Debian GNU/Linux 12 (bookworm)", "kernel": "6.1.0-18-amd64",
            "architecture": "x86_64", "hostname": "app-3", "raw_sockets": privileged, "ping_sockets": privileged, "elevated": privileged,
            "began": "2026-11-21T20:24:28Z",
        },
    });
    for key in ["state", "findings", "unexplained", "not_measured", "outcomes", "bundle"] {
        if !particular[key].is_null() {
            document[key] = particular[key].clone();
        }
    }
    document
}

fn web_target(host: &str) -> Value {
    json!({"text": host, "scheme": "https", "host": host, "port": 443, "path": "/"})
}

fn outcome(
    check: &str,
    kind: &str,
    required: bool,
    status: &str,
    began_us: u64,
    took_us: u64,
    observations: Vec<Value>,
) -> Value {
    json!({
        "check": check, "kind": kind, "required": required, "parameters": {}, "status": status, "began_us": began_us, "took_us": took_us,
        "observations": observations,
    })
}

fn skipped(check: &str, kind: &str, required: bool, why: &str) -> Value {
    let mut outcome = outcome(check, kind, required, "skipped", 0, 0, vec![]);
    outcome["note"] = json!({"why": why});
    outcome
}

fn observation(id: &str, mut fact: Value) -> Value {
    fact["id"] = json!(id);
    fact["check"] = json!(id.split('/').next());
    fact["at_us"] = json!(14_000);
    fact
}

fn machine(target: &str) -> Value {
    outcome(
        "machine",
        "host",
        false,
        "succeeded",
        400,
        2_900,
        vec![
            observation(
                "machine/1",
                json!({"fact": "interface", "name": "eth0", "up": true, "carrier": true, "mtu": 1500, "addresses": ["10.0.1.20/24"], "loopback": false, "tunnel": false}),
            ),
            observation(
                "machine/2",
                json!({"fact": "resolvers", "servers": ["192.0.2.53"], "search": ["corp.example"], "read_from": "/etc/resolv.conf"}),
            ),
            observation("machine/3", json!({"fact": "proxies", "settings": []})),
            observation(
                "machine/4",
                json!({"fact": "route", "target": target, "gateway": "10.0.1.1", "interface": "eth0", "source": "10.0.1.20"}),
            ),
            observation(
                "machine/5",
                json!({"fact": "clock", "wall": "2026-11-21T20:24:28Z", "synchronised": true, "max_error_us": 12_000}),
            ),
        ],
    )
}

fn resolve(name: &str, addresses: &[&str]) -> Value {
    let answers = |want_v6: bool| -> Vec<Value> {
        let of_family = addresses.iter().filter(|address| address.contains(':') == want_v6);
        of_family
            .map(
                |address| json!({"name": name, "record_type": if want_v6 { "AAAA" } else { "A" }, "ttl_s": 300, "data": address}),
            )
            .collect()
    };
    let asked = |id: &str, v6: bool| {
        observation(
            id,
            json!({
                "fact": "lookup", "name": name, "record_type": if v6 { "AAAA" } else { "A" }, "source": "server", "server": "192.0.2.53:53", "transport": "udp",
                "addresses": addresses.iter().filter(|address| address.contains(':') == v6).collect::<Vec<_>>(), "took_us": 2_140, "attempts": 1,
                "reply": {
                    "id": 17, "flags": {"aa": false, "tc": false, "rd": true, "ra": true, "ad": false, "cd": false}, "rcode": "NOERROR", "rcode_number": 0,
                    "edns": {"version": 0, "udp_size_bytes": 1232, "dnssec_ok": false}, "answers": answers(v6), "authority": [], "additional": [],
                    "size_bytes": 57, "from": "192.0.2.53:53",
                },
            }),
        )
    };
    outcome(
        "resolve",
        "dns",
        true,
        "succeeded",
        500,
        12_300,
        vec![
            asked("resolve/1", false),
            asked("resolve/2", true),
            observation(
                "resolve/3",
                json!({"fact": "lookup", "name": name, "record_type": "ADDRESS", "source": "system", "addresses": addresses, "took_us": 1_900}),
            ),
        ],
    )
}

fn connect(id: &str, address: &str, attempt: u32, took_us: u64, failure: Option<(&str, &str, i32)>) -> Value {
    let mut fact = json!({"fact": "connect", "host": "shop.example", "address": address, "attempt": attempt, "took_us": took_us, "syn_retransmits": 0});
    match failure {
        Some((code, text, number)) => {
            fact["failure"] = json!({"code": code, "during": "connect", "text": text, "os_error": number})
        }
        None => {
            fact["kernel_rtt_us"] = json!(took_us - 150);
            fact["local"] = json!("192.0.2.200:50412");
            fact["interface"] = json!("eth0");
            fact["at_connect"] = json!({
                "rtt_us": took_us - 150, "rtt_deviation_us": 5_500, "min_rtt_us": took_us - 150, "retransmits": 0, "mss_bytes": 1_448,
                "path_mtu_bytes": 1_500, "congestion_window": 10, "ecn": false, "ecn_seen": false, "timestamps": true, "sack": true,
            });
        }
    }
    observation(id, fact)
}

fn echo(id: &str, address: &str, sent: u32, replies: &[(u16, u64)]) -> Value {
    let listed: Vec<Value> =
        replies.iter().map(|(sequence, rtt_us)| json!({"sequence": sequence, "rtt_us": rtt_us, "ttl": 61})).collect();
    let mut fact = json!({
        "fact": "echo", "host": "shop.example", "address": address, "sent": sent, "replies": listed, "size_bytes": 56, "clock": "kernel_rx_tx",
        "socket": "raw",
    });
    let mut sorted: Vec<u64> = replies.iter().map(|(_, rtt_us)| *rtt_us).collect();
    sorted.sort_unstable();
    if let [min, .., max] = sorted[..] {
        let mean = sorted.iter().sum::<u64>() / sorted.len() as u64;
        let median = sorted[(sorted.len() - 1) / 2];
        let lost = u64::from(sent) - sorted.len() as u64;
        fact["statistics"] = json!({
            "received": sorted.len(), "lost": lost, "loss_periods": lost.min(1), "longest_loss": lost, "jitter_us": (max - min) / 16,
            "rtt": {"min_us": min, "mean_us": mean, "deviation_us": (max - min) / 2, "median_us": median, "p90_us": max, "p95_us": max, "p99_us": max, "max_us": max},
        });
    }
    observation(id, fact)
}

fn hop(id: &str, target: &str, ttl: u8, replies: &[Option<(&str, u64)>], kind: &str) -> Value {
    let probe = |(round, reply): (usize, &Option<(&str, u64)>)| match reply {
        Some((from, rtt_us)) => json!({"round": round, "reply": {"from": from, "rtt_us": rtt_us, "kind": kind}}),
        None => json!({"round": round}),
    };
    let probes: Vec<Value> = replies.iter().enumerate().map(probe).collect();
    observation(id, json!({"fact": "hop", "target": target, "protocol": "udp", "ttl": ttl, "probes": probes}))
}

fn trace(id: &str, host: &str, target: &str, distance: Option<u8>, privileged: bool) -> Value {
    observation(
        id,
        json!({
            "fact": "trace", "host": host, "target": target, "protocol": "udp", "arrived": distance.is_some(), "distance": distance, "max_ttl": 30,
            "rounds": 3, "privileged": privileged, "took_us": 420_000,
        }),
    )
}

fn handshake() -> Value {
    let certificate = |subject: &str, issuer: &str, not_before: &str, not_after: &str, is_ca: bool| {
        json!({
            "subject": subject, "issuer": issuer, "names": if is_ca { vec![] } else { vec!["shop.example", "www.shop.example"] },
            "not_before": not_before, "not_after": not_after, "key": "ECDSA P-256", "signature": "ECDSA SHA-256", "is_ca": is_ca, "self_signed": false,
            "sha256": "c0ffee".repeat(10) + "beef",
        })
    };
    observation(
        "tls/1",
        json!({
            "fact": "handshake", "host": "shop.example", "address": "192.0.2.7:443", "server_name": "shop.example", "connect_us": 11_100, "took_us": 19_400,
            "protocol": "TLSv1.3", "cipher": "TLS13_AES_256_GCM_SHA384", "group": "X25519MLKEM768", "alpn": "h2",
            "chain": [
                certificate("CN=shop.example", "CN=Example Issuing CA 3, O=Example Trust", "2026-08-03T00:00:00Z", "2026-11-01T00:00:00Z", false),
                certificate("CN=Example Issuing CA 3, O=Example Trust", "CN=Example Root", "2024-01-01T00:00:00Z", "2034-01-01T00:00:00Z", true),
            ],
            "name": {"wanted": "shop.example", "fits": true},
            "trust": [
                {"store": "platform", "trusted": false, "reason": "expired", "text": "certificate has expired"},
                {"store": "mozilla", "trusted": false, "reason": "expired", "text": "invalid peer certificate: Expired"},
            ],
            "verified_at": "2026-11-21T20:24:28Z", "ocsp_stapled": false,
        }),
    )
}

fn exchange(id: &str, redirect: u32, url: &str, status: u16, headers: &[(&str, &str)]) -> Value {
    let headers: Vec<Value> = headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let secure = url.starts_with("https");
    let mut observation = observation(
        id,
        json!({
            "fact": "exchange", "url": url, "method": "GET", "redirect": redirect, "address": if secure { "192.0.2.7:443" } else { "192.0.2.7:80" },
            "version": if secure { "HTTP/2" } else { "HTTP/1.1" }, "status": status, "expected": true, "headers": headers,
            "location": (status == 301).then_some("https://shop.example/"), "redirect_stopped": null,
            "phases": {
                "resolve_us": if redirect == 0 { Some(2_000) } else { None }, "connect_us": 11_200, "tls_us": secure.then_some(19_400), "send_us": 80,
                "first_byte_us": if secure { 62_000 } else { 12_000 }, "body_us": if secure { 31_000 } else { 200 },
            },
            "body_bytes": if status == 200 { 48_213 } else { 0 }, "body_cut": false,
        }),
    );
    observation["at_us"] = json!(15_000 + u64::from(redirect) * 26_000);
    observation
}
