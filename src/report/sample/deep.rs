use super::{observation, outcome, run};
use serde_json::{Value, json};

/// A mail server looked at in depth, behind a path that swallows large packets, from a machine whose clock is off.
pub(crate) fn deep() -> Value {
    let target = json!({"text": "mail.example:587", "host": "mail.example", "port": 587});
    let tls = vec![handshake(), classic(), resumed(), other_name(), support(), fetched()];
    run(
        "probe-tls",
        &[target],
        json!({
            "state": "unexplained", "took": 9_000_000, "privileged": false, "findings": [], "not_measured": [],
            "unexplained": [{"check": "tls", "required": true, "what": "TLS handshake with 192.0.2.25:587 is not trusted", "ruled_out": []}],
            "outcomes": [
                outcome("machine", "host", false, "succeeded", 400, 14_000, super::machine::state()),
                outcome("tls", "tls", true, "failed", 14_000, 800_000, tls),
                outcome("mtu", "mtu", false, "failed", 14_000, 8_000_000, vec![swallowed(), told()]),
                outcome("time", "ntp", false, "failed", 14_000, 30_000, vec![ahead(), refusing()]),
                outcome("quic", "quic", false, "failed", 14_000, 1_200_000, vec![over_quic(), refusing_quic(), silent_quic()]),
                outcome("web", "http", false, "failed", 14_000, 300_000, super::http::depth()),
                outcome("load", "load", false, "succeeded", 14_000, 12_000_000, vec![super::http::load()]),
                outcome("proxy", "proxy", false, "failed", 14_000, 30_000, vec![proxy()]),
                outcome("ends", "reflect", false, "failed", 14_000, 3_000_000, vec![reflection()]),
                outcome("cloud", "cloud", false, "failed", 14_000, 1_500_000, vec![hint(), metadata(), platform()]),
                outcome("mail", "service", false, "failed", 14_000, 5_100_000, vec![serving(), turned_away(), mistaken(), speechless()]),
            ],
        }),
    )
}

fn certificate(subject: &str, issuer: &str, is_ca: bool) -> Value {
    json!({
        "subject": subject, "issuer": issuer, "names": if is_ca { vec![] } else { vec!["mail.example"] }, "not_before": "2026-08-03T00:00:00Z",
        "not_after": "2027-08-01T00:00:00Z", "key": "RSA 2048", "signature": "sha256WithRSAEncryption", "is_ca": is_ca, "self_signed": false,
        "sha256": "c0ffee".repeat(10) + "beef",
    })
}

fn handshake() -> Value {
    observation(
        "tls/1",
        json!({
            "fact": "handshake", "host": "mail.example", "address": "192.0.2.25:587", "server_name": "mail.example", "connect_us": 11_100,
            "took_us": 19_400, "protocol": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "group": "X25519MLKEM768",
            "chain": [certificate("CN=mail.example", "CN=Example Issuing CA 3, O=Example Trust", false)],
            "name": {"wanted": "mail.example", "fits": true},
            "trust": [{"store": "platform", "trusted": false, "reason": "unknown_issuer", "text": "invalid peer certificate: UnknownIssuer"}],
            "verified_at": "2026-11-21T20:24:28Z", "ocsp_stapled": true,
            "ocsp": {
                "status": "revoked", "about_leaf": true, "signature_valid": false, "produced": "2026-11-20T00:00:00Z",
                "this_update": "2026-11-20T00:00:00Z", "next_update": "2026-11-27T00:00:00Z", "revoked_at": "2026-10-01T12:00:00Z", "revocation_reason": 1,
            },
            "built": {
                "path": [0], "in_order": true, "ends_in_root": false, "missing_issuer": "CN=Example Issuing CA 3, O=Example Trust",
                "issuer_url": "http://ca.example/issuing-3.crt",
            },
            "timestamps": [
                {"version": 0, "log_sha256": "ab".repeat(32), "at": "2026-08-03T00:00:01Z"},
                {"version": 0, "log_sha256": "cd".repeat(32), "at": "2026-08-03T00:00:02Z"},
            ],
            "pin": {"wanted": "0d".repeat(32), "key_sha256": "1e".repeat(32), "fits": false},
            "certificate_request": {"authorities": ["CN=Clients, O=Example Trust"]},
            "tickets": {"count": 2, "max_early_data_bytes": 16_384},
            "starttls": {"protocol": "smtp", "greeting": "220 mail.example ESMTP", "agreed": true, "took_us": 23_000},
        }),
    )
}

fn variant(id: &str, name: Option<&str>, more: Value) -> Value {
    let mut fact = json!({
        "fact": "handshake_variant", "host": "mail.example", "address": "192.0.2.25:587", "server_name": name, "connect_us": 11_000,
        "took_us": 12_300, "protocol": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "group": "X25519",
    });
    if let (Value::Object(fact), Value::Object(more)) = (&mut fact, more) {
        fact.extend(more);
    }
    observation(id, fact)
}

fn classic() -> Value {
    variant("tls/2", Some("mail.example"), json!({"variant": "classic_groups", "leaf_sha256": "c0ffee".repeat(10) + "beef"}))
}

fn resumed() -> Value {
    variant("tls/3", Some("mail.example"), json!({"variant": "resumption", "resumed": true}))
}

fn other_name() -> Value {
    variant(
        "tls/4",
        None,
        json!({"variant": "server_name", "leaf_subject": "CN=default.invalid", "leaf_sha256": "ba".repeat(32)}),
    )
}

fn support() -> Value {
    let refused =
        json!({"code": "tls_alert", "during": "handshake", "text": "the peer sent the TLS alert protocol_version (70)"});
    observation(
        "tls/5",
        json!({
            "fact": "tls_support", "host": "mail.example", "address": "192.0.2.25:587", "server_name": "mail.example", "connections": 9, "took_us": 210_000,
            "versions": [
                {"protocol": "TLSv1.0", "accepted": false, "failure": refused},
                {"protocol": "TLSv1.1", "accepted": false, "failure": {"code": "timed_out", "during": "handshake", "text": "no answer within 5000 ms"}},
                {
                    "protocol": "TLSv1.2", "accepted": true, "server_order": true,
                    "ciphers": ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_RSA_WITH_3DES_EDE_CBC_SHA"],
                },
                {"protocol": "TLSv1.3", "accepted": true, "ciphers": ["TLS_AES_256_GCM_SHA384"]},
            ],
        }),
    )
}

fn fetched() -> Value {
    observation(
        "tls/6",
        json!({
            "fact": "fetched_issuer", "url": "http://ca.example/issuing-3.crt", "address": "192.0.2.80:80", "took_us": 31_000, "fits": true,
            "certificate": certificate("CN=Example Issuing CA 3, O=Example Trust", "CN=Example Root", true),
            "trust": [{"store": "platform", "trusted": true}],
        }),
    )
}

fn swallowed() -> Value {
    observation(
        "mtu/1",
        json!({
            "fact": "mtu", "host": "mail.example", "address": "192.0.2.25", "passed_bytes": 1_400, "stopped_bytes": 1_401, "limit": "untold", "took_us": 8_000_000,
            "disbelieved": [{"offender": "198.51.100.9", "type": 3, "code": 4, "mtu": 1_480}],
            "probes": [
                {"size_bytes": 576, "answer": "passed", "took_us": 11_000}, {"size_bytes": 1_500, "answer": "too_big", "took_us": 4_000},
                {"size_bytes": 1_480, "answer": "silent"}, {"size_bytes": 1_400, "answer": "passed", "took_us": 11_300},
            ],
        }),
    )
}

fn told() -> Value {
    observation(
        "mtu/2",
        json!({
            "fact": "mtu", "host": "mail.example", "address": "2001:db8::25", "transport": "tcp", "port": 25, "mss_bytes": 1_220, "passed_bytes": 1_480, "stopped_bytes": 1_500, "limit": "told", "took_us": 30_000,
            "told": {"offender": "2001:db8:ff::1", "type": 2, "code": 0, "mtu": 1_480}, "probes": [],
        }),
    )
}

fn ahead() -> Value {
    observation(
        "time/1",
        json!({
            "fact": "time_offset", "host": "time.example", "address": "192.0.2.123:123", "sent": 2, "offset_us": -91_500_000, "delay_us": 22_000,
            "samples": [{"offset_us": -91_500_000, "delay_us": 22_000}, {"offset_us": -91_493_000, "delay_us": 40_000}],
            "server": {
                "version": 4, "stratum": 2, "leap": "insert", "reference_id": "198.51.100.123", "root_delay_us": 1_200, "root_dispersion_us": 900,
                "precision_log2_s": -23, "reference_time": "2026-11-21T20:10:00Z",
            },
            "wall": "2026-11-21T20:24:28Z",
        }),
    )
}

fn reflection() -> Value {
    let spread = |most: u32| json!({"min_us": 0, "mean_us": 300, "deviation_us": 90, "median_us": 250, "p90_us": 600, "p95_us": 700, "p99_us": most, "max_us": most});
    let trip = json!({"min_us": 21_000, "mean_us": 21_400, "deviation_us": 120, "median_us": 21_300, "p90_us": 21_700, "p95_us": 21_800, "p99_us": 22_000, "max_us": 22_100});
    observation(
        "ends/1",
        json!({
            "fact": "reflection", "host": "far.example", "address": "192.0.2.86:862", "authenticated": true, "timestamps": "ntp", "clock": "kernel_rx",
            "payload_bytes": 172, "sent": 50, "received": 46, "lost_unknown": 1, "reflector": "stateful",
            "forward": {
                "lost": 3, "duplicates": 0, "reordered": 1, "least_delay_us": -80_000, "variation": spread(900), "jitter_us": 60, "ttls": [247], "dscps": [0],
                "ecns": [0], "mtu": {"passed_bytes": 1_500, "own_interface": false},
            },
            "reverse": {
                "lost": 0, "duplicates": 2, "reordered": 0, "least_delay_us": 101_000, "variation": spread(1_100), "jitter_us": 70, "ttls": [244, 245],
                "dscps": [0], "ecns": [3], "mtu": {"passed_bytes": 1_400, "stopped_bytes": 1_401, "own_interface": false},
            },
            "round_trip": trip, "round_trip_jitter_us": 80, "offset_us": -90_500, "offset_bound_us": 10_500, "reflector_synchronised": true,
            "reflector_error_us": 900, "clock_moved_us": 4, "strays": 0, "samples": [], "took_us": 3_000_000,
        }),
    )
}

fn proxy() -> Value {
    observation(
        "proxy/1",
        json!({
            "fact": "proxy", "url": "https://mail.example/", "proxy": "http://proxy.example:3128", "protocol": "http", "way": "environment",
            "address": "10.0.0.3:3128", "resolve_us": 900, "connect_us": 400, "lets_in_anybody": false,
            "methods": [{"name": "Negotiate"}, {"name": "Basic", "realm": "Example"}], "product": "Squid",
            "connect": {"asked": "mail.example:443", "status": 407, "took_us": 1_200, "via": "1.1 gate (squid/5.7)", "server": "squid/5.7"},
        }),
    )
}

fn hint() -> Value {
    observation(
        "cloud/1",
        json!({"fact": "cloud_hint", "provider": "azure", "vendor": "Microsoft Corporation", "product": "Virtual Machine"}),
    )
}

fn metadata() -> Value {
    observation(
        "cloud/2",
        json!({
            "fact": "cloud_metadata", "provider": "azure", "address": "169.254.169.254:80", "recognised": true, "status": 200, "connect_us": 400,
            "answer_us": 2_100, "fields": {"region": "westeurope", "size": "Standard_D2s_v5", "image_offer": "debian-12"}, "took_us": 2_200,
        }),
    )
}

fn platform() -> Value {
    observation(
        "cloud/3",
        json!({
            "fact": "platform_address", "provider": "azure", "address": "168.63.129.16:32526", "service": "health",
            "failure": {"code": "timed_out", "during": "connect", "text": "no answer within 1500 ms"},
        }),
    )
}

fn service(id: &str, address: &str, protocol: &str, reached: &str, more: Value) -> Value {
    let mut fact = json!({
        "fact": "service", "host": "mail.example", "address": address, "protocol": protocol, "reached": reached, "connect_us": 11_100,
    });
    if let (Value::Object(fact), Value::Object(more)) = (&mut fact, more) {
        fact.extend(more);
    }
    observation(id, fact)
}

fn serving() -> Value {
    let more = json!({
        "first_byte_us": 11_900, "greeting": "220 mail.example ESMTP Postfix (Debian/GNU)", "product": "Postfix", "received_bytes": 182,
        "steps": [
            {"name": "greeting", "took_us": 11_900, "answered": true}, {"name": "EHLO", "took_us": 11_300, "answered": true},
            {"name": "STARTTLS", "took_us": 11_200, "answered": true},
        ],
        "capabilities": ["PIPELINING", "SIZE 10240000", "STARTTLS", "8BITMIME"],
        "tls_upgrade": {"offered": true, "version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "took_us": 23_400},
    });
    service("mail/1", "192.0.2.25:587", "smtp", "secured", more)
}

fn turned_away() -> Value {
    let more = json!({
        "first_byte_us": 11_900, "received_bytes": 41, "steps": [{"name": "greeting", "took_us": 11_900, "answered": true}],
        "refusal": {"code": "554", "text": "5.7.1 no service for this address"},
        "failure": {"code": "service_refused", "during": "receive", "text": "the service refuses: 554 5.7.1 no service for this address"},
    });
    service("mail/2", "192.0.2.26:25", "smtp", "understood", more)
}

fn mistaken() -> Value {
    let more = json!({
        "greeting": "HTTP/1.1 400 Bad Request", "received_bytes": 0, "spoke": "HTTP",
        "steps": [{"name": "greeting", "took_us": 5_000_000, "answered": false}],
        "failure": {"code": "protocol_error", "during": "receive", "text": "the port speaks HTTP, not SMTP"},
    });
    service("mail/3", "192.0.2.27:25", "smtp", "answered", more)
}

fn speechless() -> Value {
    let more = json!({
        "received_bytes": 0, "steps": [{"name": "greeting", "took_us": 5_000_000, "answered": false}],
        "failure": {"code": "timed_out", "during": "receive", "text": "connected, and no word of SMTP came within 5000 ms"},
    });
    service("mail/4", "[2001:db8::25]:25", "smtp", "connected", more)
}

fn refusing() -> Value {
    observation(
        "time/2",
        json!({
            "fact": "time_offset", "host": "busy.example", "address": "[2001:db8::123]:123", "sent": 1,
            "server": {
                "version": 4, "stratum": 0, "leap": "unsynchronised", "reference_id": "RATE", "root_delay_us": 0, "root_dispersion_us": 0,
                "precision_log2_s": 0, "kiss": "RATE",
            },
            "wall": "2026-11-21T20:24:28Z",
            "failure": {"code": "kiss_of_death", "during": "receive", "text": "the server refuses to tell the time: RATE"},
        }),
    )
}

fn over_quic() -> Value {
    observation(
        "quic/1",
        json!({
            "fact": "quic", "host": "mail.example", "address": "192.0.2.25:443", "first_reply_us": 11_400, "took_us": 24_800, "version": "1",
            "server_versions": ["1", "0x6b3343cf"], "retry": true, "rtt_us": 11_300, "ecn": false, "largest_payload_bytes": 1_432,
            "packets_sent": 19, "packets_received": 14, "packets_lost": 1,
            "parameters": {
                "max_idle_timeout_ms": 30_000, "max_udp_payload_bytes": 1_472, "initial_max_data_bytes": 1_048_576, "initial_max_streams_bidi": 100,
                "initial_max_streams_uni": 3, "max_datagram_frame_bytes": 1_200, "disable_active_migration": true, "preferred_address": true,
            },
            "tls": {
                "host": "mail.example", "address": "192.0.2.25:443", "server_name": "mail.example", "connect_us": 0, "took_us": 24_800,
                "protocol": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "group": "X25519", "alpn": "h3",
                "chain": [certificate("CN=mail.example", "CN=Example Issuing CA 3, O=Example Trust", false)],
                "name": {"wanted": "mail.example", "fits": true}, "trust": [{"store": "platform", "trusted": true}],
                "verified_at": "2026-11-21T20:24:28Z", "tickets": {"count": 2, "max_early_data_bytes": 4_294_967_295_u32},
            },
        }),
    )
}

fn refusing_quic() -> Value {
    observation(
        "quic/2",
        json!({
            "fact": "quic", "host": "mail.example", "address": "[2001:db8::25]:443", "first_reply_us": 11_400, "took_us": 11_500,
            "server_versions": ["0x6b3343cf"], "packets_sent": 3, "packets_received": 2,
            "close": {"application": false, "code": 2, "name": "CONNECTION_REFUSED", "reason": "come back later"},
            "failure": {"code": "closed", "during": "handshake", "text": "the server closed the connection: CONNECTION_REFUSED (come back later)"},
        }),
    )
}

fn silent_quic() -> Value {
    observation(
        "quic/3",
        json!({
            "fact": "quic", "host": "mail.example", "address": "192.0.2.26:443", "took_us": 5_000_000, "packets_sent": 8, "packets_received": 0,
            "failure": {"code": "timed_out", "during": "handshake", "text": "nothing came back within 5000 ms"},
        }),
    )
}
