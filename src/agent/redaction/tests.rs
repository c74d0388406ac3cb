use super::header::tests::kept_names;
use super::*;
use crate::bundling::tests::packed_files;
use netsonde_contract::document::{Document, SCHEMA};
use netsonde_contract::observation::{Fact, Observation};
use serde_json::{Value, json};
use std::sync::{LazyLock, OnceLock};

/// At the default level, for somebody called annabelle or anna.
pub(super) fn redactor() -> Redactor<'static> {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| vec!["annabelle".to_owned(), "anna".to_owned()]);
    Redactor::new(None, &NAMES)
}

/// A document in which every fact type stands with every field filled in.
pub(crate) fn full_document() -> Value {
    let failure = json!({"code": "from_afar", "during": "connect", "text": "no", "os_error": 1,
        "icmp": {"offender": "203.0.113.1", "type": 3, "code": 1, "mtu": 1400}});
    let record = json!({"name": "shop.example", "record_type": "TXT", "ttl_s": 1, "data": "text"});
    let dropped = ["x-thing", "link", "set-cookie", "etag", "x-request-idea"];
    let attempts = json!([{"address": "203.0.113.7:443", "began_us": 0, "took_us": 1, "reset": {"ttl": 64, "ip_id": 1, "at_us": 1},
        "gateway": "203.0.113.1", "failure": failure}]);
    let tcp_state = json!({"rtt_us": 1, "rtt_deviation_us": 1, "retransmits": 1, "mss_bytes": 1, "path_mtu_bytes": 1, "congestion_window": 1, "ecn": false,
        "ecn_seen": false, "timestamps": true, "sack": true, "bytes_sent": 1, "bytes_resent": 1, "bytes_acknowledged": 0, "segments_sacked": 0});
    let headers: Vec<Value> = kept_names().chain(dropped).map(|name| json!({"name": name, "value": "v"})).collect();
    let reply = json!({"id": 1, "flags": {"aa": true, "tc": false, "rd": true, "ra": true, "ad": false, "cd": false}, "rcode": "NOERROR",
        "rcode_number": 0, "edns": {"version": 0, "udp_size_bytes": 1232, "dnssec_ok": false, "nsid": "ns1.fra",
        "cookie": {"client_matches": true, "server_bytes": 16}, "client_subnet": {"address": "203.0.113.0", "source_prefix": 24, "scope_prefix": 0}},
        "extended_errors": [{"code": 1, "name": "Other", "text": "why"}], "answers": [record], "authority": [record],
        "additional": [record], "size_bytes": 9, "from": "203.0.113.53:53", "ip_ttl": 60});
    let distribution =
        json!({"min_us": 1, "mean_us": 1, "deviation_us": 1, "median_us": 1, "p90_us": 1, "p95_us": 1, "p99_us": 1, "max_us": 1});
    let direction = json!({"lost": 1, "duplicates": 0, "reordered": 0, "least_delay_us": 1, "variation": distribution, "jitter_us": 1, "ttls": [250],
        "dscps": [46], "ecns": [0], "mtu": {"passed_bytes": 1400, "stopped_bytes": 1401, "own_interface": false}});
    let counters = json!({"rx_packets": 1, "tx_packets": 1, "rx_bytes": 1, "tx_bytes": 1, "rx_errors": 1, "tx_errors": 1, "rx_dropped": 1,
        "tx_dropped": 1, "carrier_changes": 1});
    let facts = json!([
        {"fact": "lookup", "name": "shop.example", "record_type": "A", "source": "server", "server": "203.0.113.53:53", "transport": "udp",
         "addresses": ["203.0.113.7"], "took_us": 1, "attempts": 1, "purpose": "control", "http_status": 200, "failure": failure, "reply": reply,
         "sent": [{"after_us": 0, "why": "first", "id": 1, "local": "203.0.113.200:5000", "edns": true, "size_bytes": 40, "rcode": "NOERROR"}],
         "others": [{"after_us": 2, "second_reply": true, "why": "second", "size_bytes": 9, "ip_ttl": 9, "reply": reply}],
         "tls": {"host": "shop.example", "address": "203.0.113.53:853", "server_name": "shop.example", "connect_us": 1, "took_us": 1,
         "protocol": "TLSv1.3", "failure": failure}},
        {"fact": "name_sources", "name": "shop.example", "hosts": [{"line": 3, "address": "203.0.113.7", "names": ["shop.example"]}],
         "hosts_file": "/etc/hosts", "order": ["files", "dns"], "search": ["corp.example"], "ndots": 1, "tried": ["shop.example"]},
        {"fact": "delegation", "name": "shop.example", "zone": "example", "given_by": "203.0.113.54:53", "name_servers": [{"name": "ns.example",
         "glue": ["203.0.113.55"], "resolved": ["203.0.113.56"], "failure": failure}], "secure": true, "stopped": "why",
         "signed_by": [{"key_tag": 1, "algorithm": 13, "digest_type": 2}]},
        {"fact": "zone_server", "zone": "example", "server": "ns.example", "address": "203.0.113.55:53", "reply": reply, "took_us": 1,
         "authoritative": true, "serial": 1, "own_name_servers": ["ns.example"], "attempts": 3, "failure": failure,
         "keys": [{"key_tag": 1, "algorithm": 13, "entry_point": true, "revoked": false}],
         "signatures": [{"covers": "A", "key_tag": 1, "algorithm": 13, "inception": "2026-01-01T00:00:00Z", "expiration": "2026-02-01T00:00:00Z"}]},
        {"fact": "dnssec_chain", "name": "shop.example", "record_type": "A", "verdict": "bogus", "why": "why", "zones": [{"zone": "example",
         "server": "203.0.113.55:53", "verdict": "secure", "why": "why", "key_tag": 1}], "verified_at": "2026-01-01T00:00:00Z"},
        {"fact": "connect", "host": "shop.example", "address": "203.0.113.7:443", "attempt": 1, "local": "203.0.113.200:5000",
         "interface": "eth0", "took_us": 1, "kernel_rtt_us": 1,
         "reset": {"ttl": 57, "ip_id": 1, "at_us": 1}, "gateway": "203.0.113.1", "syn_ack": {"ttl": 57, "at_us": 1}, "answer_unread": {"why": "because", "grant": "sudo x"}, "syn_retransmits": 0, "syns_left": 0,
         "banner": {"bytes": 8, "text": "220", "first_byte_us": 1},
         "hold": {"asked_s": 1, "keepalive_s": 0, "idle_us": 1, "answered": false, "failure": failure}, "failure": failure},
        {"fact": "race", "host": "shop.example", "order": ["203.0.113.7:443"], "attempt_delay_us": 1, "winner": "203.0.113.7:443",
         "racing_us": 1, "in_turn_us": 1, "v6_minus_v4_us": -1},
        {"fact": "port_sweep", "host": "shop.example", "address": "203.0.113.7", "asked": 1, "took_us": 1,
         "ports": [{"port": 1, "took_us": 1, "failure": failure}], "failure": failure},
        {"fact": "echo", "host": "shop.example", "address": "203.0.113.7", "sent": 1,
         "replies": [{"sequence": 0, "rtt_us": 5, "ttl": 60, "from": "203.0.113.8", "system_rtt_ms": 0}],
         "errors": [failure["icmp"]], "size_bytes": 56, "clock": "process", "socket": "raw",
         "extra": [{"sequence": 0, "kind": "duplicate", "rtt_us": 6}], "failure": failure},
        {"fact": "sweep", "targets": 2, "asked": 2, "answered": 1, "sent": 2, "received": 1, "silent": ["203.0.113.9"],
         "errors": [{"offender": "203.0.113.1", "type": 3, "code": 1, "count": 1, "first": "203.0.113.9"}],
         "answering": [{"address": "203.0.113.7", "min_rtt_us": 5, "ttl": 60}], "slowest": [{"address": "203.0.113.7", "min_rtt_us": 5}], "size_bytes": 56, "clock": "kernel_rx_tx", "socket": "raw",
         "sending_us": 1, "took_us": 1, "failure": failure},
        {"fact": "hop", "target": "203.0.113.7", "protocol": "udp", "ttl": 1,
         "probes": [{"round": 0, "duplicates": 1, "late_us": 5, "reply": {"from": "203.0.113.9", "rtt_us": 1, "kind": "unreachable",
         "icmp": failure["icmp"], "reply_ttl": 60, "return_hops": 5,
         "labels": [{"label": 16004, "traffic_class": 0, "bottom_of_stack": true, "ttl": 1}],
         "quoted": {"ttl": 1, "dscp": 0, "ecn": 0, "dscp_sent": 10, "ecn_sent": 2, "source": "203.0.113.77",
         "source_port": {"sent": 1, "quoted": 2}, "checksum": {"sent": 1, "quoted": 2}}}}],
         "names": [{"address": "203.0.113.9", "name": "r1.shop.example"}], "mtu_bytes": 1500, "mtu_silent_bytes": 1501,
         "origins": [{"address": "203.0.113.9", "prefix_length": 24, "asn": 64500, "name": "Example Net"}],
         "rate": {"slow": {"gap_us": 1, "sent": 10, "answered": 10, "answers": {"share": 1.0, "low": 0.5, "high": 1.0}},
         "fast": {"gap_us": 1, "sent": 50, "answered": 5, "answers": {"share": 0.125, "low": 0.0625, "high": 0.25}}, "verdict": "rate_limited"}},
        {"fact": "trace", "host": "shop.example", "target": "203.0.113.7", "protocol": "udp", "arrived": true, "distance": 4, "max_ttl": 30,
         "rounds": 1, "privileged": false, "took_us": 1, "failure": failure, "ids": "dublin", "clock": "kernel_rx_tx",
         "lacks": ["quoted_headers"], "unmatched": 1, "changes": [{"ttl": 2, "round": 1, "before": "203.0.113.9", "after": "203.0.113.10"}],
         "multipath": {"confidence": 95, "complete": true, "flows": 6, "probes": 24, "paths": [{"flow": 0, "flows": 6,
         "hops": ["203.0.113.9", null, "203.0.113.7"], "sent": 20, "answered": 10, "loss": {"share": 0.5, "low": 0.25, "high": 0.75},
         "rtt": {"min_us": 1, "median_us": 2, "max_us": 3}}]}},
        {"fact": "handshake", "host": "shop.example", "address": "203.0.113.7:443", "server_name": "shop.example", "connect_us": 1, "attempts": attempts, "took_us": 1,
         "protocol": "TLSv1.3", "cipher": "c", "group": "g", "alpn": "h2", "chain": [{"subject": "CN=shop.example", "issuer": "CN=ca",
         "names": ["shop.example"], "not_before": "2026-01-01T00:00:00Z", "not_after": "2027-01-01T00:00:00Z", "key": "k", "signature": "sha256WithRSAEncryption",
         "is_ca": false, "self_signed": false, "sha256": "ab".repeat(32), "der_base64": "MIIB"}],
         "name": {"wanted": "shop.example", "fits": true},
         "trust": [{"store": "platform", "trusted": false, "reason": "expired", "text": "expired"}],
         "verified_at": "2026-01-01T00:00:00Z", "ocsp_stapled": true, "plain_reply": "220 mail", "at_close": tcp_state, "failure": failure,
         "ocsp": {"status": "revoked", "about_leaf": true, "signature_valid": true, "produced": "2026-01-01T00:00:00Z",
         "this_update": "2026-01-01T00:00:00Z", "next_update": "2026-01-08T00:00:00Z", "revoked_at": "2025-12-01T00:00:00Z", "revocation_reason": 1},
         "built": {"path": [0], "in_order": true, "ends_in_root": false, "missing_issuer": "CN=ca", "issuer_url": "http://ca.example/ca.crt"},
         "timestamps": [{"version": 0, "log_sha256": "cd".repeat(32), "at": "2026-01-01T00:00:00Z"}],
         "pin": {"wanted": "ab".repeat(32), "key_sha256": "ef".repeat(32), "fits": false},
         "certificate_request": {"authorities": ["CN=clients"]}, "tickets": {"count": 2, "max_early_data_bytes": 0},
         "starttls": {"protocol": "smtp", "greeting": "220 mail", "received_bytes": 9, "agreed": true, "took_us": 1}},
        {"fact": "handshake_variant", "host": "shop.example", "address": "203.0.113.7:443", "variant": "server_name",
         "server_name": "shop.example", "connect_us": 1, "took_us": 1, "protocol": "TLSv1.3", "cipher": "c", "group": "g",
         "leaf_sha256": "ab".repeat(32), "leaf_subject": "CN=shop.example", "resumed": false, "failure": failure},
        {"fact": "tls_support", "host": "shop.example", "address": "203.0.113.7:443", "server_name": "shop.example",
         "versions": [{"protocol": "TLSv1.2", "accepted": true, "ciphers": ["c"], "server_order": true, "failure": failure}],
         "connections": 3, "took_us": 1, "failure": failure},
        {"fact": "fetched_issuer", "url": "http://ca.example/ca.crt", "address": "203.0.113.8:80", "took_us": 1, "certificate":
         {"subject": "CN=ca", "issuer": "CN=root", "names": ["ca.example"], "not_before": "2026-01-01T00:00:00Z",
         "not_after": "2027-01-01T00:00:00Z", "key": "k", "signature": "sha256WithRSAEncryption", "is_ca": true, "self_signed": false, "sha256": "ab".repeat(32),
         "der_base64": "MIIB"}, "fits": true, "trust": [{"store": "platform", "trusted": false, "reason": "expired", "text": "expired"}],
         "failure": failure},
        {"fact": "revocation", "host": "shop.example", "server": "203.0.113.7:443", "by": "ocsp", "url": "http://ocsp.ca.example/abc",
         "address": "203.0.113.8:80", "took_us": 1, "statement": {"status": "revoked", "about_leaf": true, "signature_valid": true,
         "produced": "2026-01-01T00:00:00Z", "this_update": "2026-01-01T00:00:00Z", "next_update": "2026-01-08T00:00:00Z",
         "revoked_at": "2025-12-01T00:00:00Z", "revocation_reason": 1}, "failure": failure},
        {"fact": "mtu", "host": "shop.example", "address": "203.0.113.7", "transport": "tcp", "port": 443, "mss_bytes": 1360, "passed_bytes": 1400, "stopped_bytes": 1401, "limit": "told",
         "told": failure["icmp"], "disbelieved": [failure["icmp"]],
         "probes": [{"size_bytes": 1400, "answer": "passed", "took_us": 1}], "took_us": 1, "failure": failure},
        {"fact": "time_offset", "host": "shop.example", "address": "203.0.113.7:123", "sent": 1,
         "samples": [{"offset_us": 1, "delay_us": 1}], "offset_us": 1, "delay_us": 1, "server": {"version": 4, "stratum": 2, "leap": "none",
         "reference_id": "203.0.113.9", "root_delay_us": 1, "root_dispersion_us": 1, "precision_log2_s": -20,
         "reference_time": "2026-01-01T00:00:00Z", "kiss": "RATE"},
         "others": [{"after_us": 1, "size_bytes": 20, "why": "it is shorter than 48 bytes"}], "wall": "2026-01-01T00:00:00Z", "failure": failure},
        {"fact": "quic", "host": "shop.example", "address": "203.0.113.7:443", "first_reply_us": 1, "took_us": 2, "version": "1",
         "server_versions": ["1"], "retry": true, "rtt_us": 1, "ecn": true, "largest_payload_bytes": 1472, "packets_sent": 9, "packets_received": 9,
         "packets_lost": 1, "tls": {"host": "shop.example", "address": "203.0.113.7:443", "server_name": "shop.example", "connect_us": 0, "took_us": 1,
         "protocol": "TLSv1.3", "alpn": "h3"},
         "parameters": {"max_idle_timeout_ms": 1, "max_udp_payload_bytes": 1472, "initial_max_data_bytes": 1, "initial_max_streams_bidi": 1,
         "initial_max_streams_uni": 1, "max_ack_delay_ms": 25, "disable_active_migration": true, "max_datagram_frame_bytes": 1, "preferred_address": true},
         "close": {"application": true, "code": 1, "name": "NO_ERROR", "reason": "bye"}, "failure": failure},
        {"fact": "reflection", "host": "shop.example", "address": "203.0.113.7:862", "authenticated": true, "timestamps": "ntp", "clock": "kernel_rx",
         "payload_bytes": 172, "sent": 2, "received": 1, "lost_unknown": 0, "reflector": "stateful", "forward": direction, "reverse": direction,
         "round_trip": distribution, "round_trip_jitter_us": 1, "turnaround": distribution, "offset_us": 1, "offset_bound_us": 1,
         "reflector_synchronised": true, "reflector_error_us": 1, "clock_moved_us": 0, "strays": 0,
         "samples": [{"sequence": 0, "reflector_sequence": 0, "forward_us": 1, "reverse_us": 1, "round_trip_us": 2}], "took_us": 1, "failure": failure},
        {"fact": "cloud_hint", "provider": "azure", "vendor": "Microsoft Corporation", "product": "Virtual Machine"},
        {"fact": "cloud_metadata", "provider": "azure", "address": "169.254.169.254:80", "recognised": true, "status": 200, "connect_us": 1,
         "answer_us": 1, "fields": {"region": "westeurope"}, "took_us": 1, "failure": failure},
        {"fact": "platform_address", "provider": "azure", "address": "168.63.129.16:80", "service": "agent", "recognised": true, "connect_us": 1,
         "answer_us": 1, "status": 200, "failure": failure},
        {"fact": "service", "host": "shop.example", "address": "203.0.113.7:25", "protocol": "smtp", "reached": "secured", "at_close": tcp_state, "connect_us": 1, "attempts": attempts,
         "first_byte_us": 1, "steps": [{"name": "EHLO", "took_us": 1, "answered": true}], "greeting": "220", "product": "Postfix",
         "version": "3.7", "capabilities": ["SIZE 9", "cipher aes128-gcm@openssh.com"], "tls_upgrade": {"offered": true, "required": true, "version": "TLSv1.3", "cipher": "c",
         "took_us": 1, "failure": failure}, "spoke": "HTTP", "refusal": {"code": "554", "text": "no"}, "received_bytes": 9, "failure": failure},
        {"fact": "proxy", "url": "https://shop.example/", "proxy": "https://proxy.example:3128", "protocol": "https", "way": "given",
         "address": "203.0.113.3:3128", "resolve_us": 1, "connect_us": 1, "lets_in_anybody": false, "methods": [{"name": "Basic", "realm": "office"}],
         "signed_in": true, "connect": {"asked": "shop.example:443", "status": 407, "took_us": 1, "via": "1.1 gate", "server": "squid", "failure": failure},
         "get": {"asked": "http://shop.example/", "status": 200}, "socks": {"version": 5, "method": 0, "reply": 0, "took_us": 1}, "product": "Squid", "failure": failure},
        {"fact": "exchange", "url": "https://shop.example/", "method": "GET", "redirect": 0, "address": "203.0.113.7:443", "attempts": attempts,
         "proxy": "http://proxy.example:3128", "version": "HTTP/1.1", "status": 200, "expected": true,
         "headers": headers,
         "block_page": "FortiGuard", "socks": {"version": 5, "method": 0, "reply": 0, "took_us": 1}, "location": "https://shop.example/", "redirect_stopped": "loop",
         "phases": {"resolve_us": 1, "connect_us": 1, "tls_us": 1, "send_us": 1, "first_byte_us": 1, "body_us": 1},
         "body_bytes": 1, "body_cut": false, "body_sha256": "ab".repeat(32), "plain_reply": "220 mail", "failure": failure,
         "purpose": "header_echo", "local": "203.0.113.200:5000", "way": "given", "request_bytes": 1, "response_bytes": 1,
         "expectations": [{"about": "header", "name": "x-thing", "relation": "equals", "wanted": "v", "got": "v", "met": false},
         {"about": "body_sha256", "relation": "equals", "wanted": "ab".repeat(32), "got": "cd".repeat(32), "met": false},
         {"about": "json", "name": "/status", "relation": "equals", "wanted": "a text of 2 bytes", "got": "a number", "met": false}],
         "transfer": {"bytes": 1, "took_us": 1, "rate": 1, "stalls": 0, "longest_pause_us": 1, "slices": [1], "ended": "complete"},
         "certificate_sha256": "ab".repeat(32), "tls": {"host": "shop.example", "address": "203.0.113.7:443", "connect_us": 1, "took_us": 1},
         "server_timing": [{"name": "db", "took_us": 1}], "alternatives": [{"protocol": "h3", "host": "alt.example", "port": 443, "max_age_s": 1}],
         "strict_transport": {"max_age_s": 1, "include_subdomains": true, "preload": false},
         "range": {"asked": "bytes=0-1", "honoured": true, "first": 0, "last": 1, "total": 2},
         "echoed": {"sent": 2, "lost": ["accept"], "changed": [{"name": "user-agent", "sent": "a", "got": "b"}],
         "added": [{"name": "x-forwarded-for", "value": "v"}]}},
        {"fact": "comparison", "url": "https://shop.example/", "proxy": "http://proxy.example:3128",
         "proxied": {"status": 200, "body_sha256": "ab".repeat(32), "body_bytes": 1, "certificate_sha256": "ab".repeat(32), "first_byte_us": 1,
         "took_us": 1, "failure": failure}, "direct": {"status": 200, "body_bytes": 1, "took_us": 1}, "same_status": true,
         "same_body": true, "same_certificate": true, "headers_proxied_only": ["via"], "headers_direct_only": ["etag"],
         "headers_changed": ["server"]},
        {"fact": "load", "url": "https://shop.example/", "address": "203.0.113.7:443", "connect_us": 1, "attempts": attempts, "proxy": "http://proxy.example:3128",
         "latency": "connect", "idle": {"sent": 1, "answered": 1}, "loaded": [{"direction": "download", "connections": 1, "requests": 1,
         "transfer": {"bytes": 1, "took_us": 2, "waiting_us": 1, "rate": 1, "stalls": 0, "longest_pause_us": 1, "slices": [1], "ended": "complete"},
         "latency": {"sent": 1, "answered": 1}, "increase_us": 1, "increase_p95_us": 1, "failure": failure}], "bytes": 1, "failure": failure},
        {"fact": "interface", "name": "eth0", "up": true, "carrier": true, "mtu": 1500, "addresses": ["203.0.113.200/24"],
         "loopback": false, "tunnel": false, "kind": "vlan", "hardware_address": "02:00:5e:10:00:01", "speed_mbit": 1000, "full_duplex": true,
         "offloads": ["tso"], "counters": counters},
        {"fact": "route", "target": "203.0.113.7", "gateway": "203.0.113.1", "interface": "eth0", "source": "203.0.113.200",
         "matched": "203.0.113.0/24", "table": 254, "rule": {"priority": 1, "from": "203.0.113.0/24", "to": "203.0.113.0/24", "table": 254},
         "metric": 100, "made_by": "dhcp", "mtu": 1500, "tunnel": "tun", "failure": failure},
        {"fact": "resolvers", "servers": ["203.0.113.53"], "search": ["corp.example"], "read_from": "/etc/resolv.conf", "placeholders": 1,
         "behind": [{"read_from": "/run/resolv.conf", "interface": "eth0", "servers": ["203.0.113.53"], "search": ["corp.example"]}]},
        {"fact": "proxies", "settings": [{"scheme": "https", "url": "http://proxy.example", "set_by": "HTTPS_PROXY"}], "excluded": "corp.example",
         "of_system": [{"scheme": "pac", "url": "http://proxy.example/proxy.pac", "set_by": "/etc/environment"}], "unread": {"why": "because", "grant": "sudo x"}},
        {"fact": "clock", "wall": "2026-01-01T00:00:00Z", "synchronised": true, "max_error_us": 1, "state": "ok", "offset_us": -1,
         "rate_correction_ppb": 1, "source": "tsc"},
        {"fact": "neighbours", "total": 1, "entries": [{"address": "203.0.113.1", "interface": "eth0", "state": "reachable",
         "hardware_address": "02:00:5e:10:00:01", "gateway": true}]},
        {"fact": "sockets", "tcp": [{"state": "established", "count": 1}], "udp": 1, "udp_drops": 1,
         "owners": [{"user_id": 1, "own": true, "count": 1}], "processes": [{"process": "curl", "count": 1}],
         "remote_ports": [{"port": 443, "count": 1}], "towards_target": [{"address": "203.0.113.7", "states": [{"state": "time_wait", "count": 1}]}],
         "listening": [{"port": 22, "protocol": "tcp", "address": "203.0.113.200", "user_id": 0, "process": "sshd"}],
         "ephemeral": {"low": 32768, "high": 60999, "in_use": 1, "towards": [{"address": "203.0.113.7", "port": 443, "in_use": 1}]}, "complete": true,
         "unseen": {"why": "because", "grant": "sudo x"}},
        {"fact": "firewall", "tables": [{"family": "inet", "name": "filter", "chains": [{"name": "input", "hook": "input", "policy": "drop",
         "rules": 1, "drop_rules": 1, "dropped": 1, "reject_rules": 1, "rejected": 1}]}], "legacy_tables": ["ip filter"],
         "unread": {"why": "because", "grant": "sudo x"}},
        {"fact": "capacity", "conntrack": {"count": 1, "max": 2, "dropped": 1, "dropped_early": 1, "insert_failed": 1},
         "own_descriptors": {"used": 1, "limit": 2}, "system_descriptors": {"used": 1, "limit": 2}},
        {"fact": "counters", "over_us": 1, "counters": [{"name": "Tcp.RetransSegs", "value": 1}], "interfaces": [{"name": "eth0", "counters": counters}],
         "cpu": {"busy_ms": 1, "idle_ms": 1, "steal_ms": 1}},
        {"fact": "system_load", "processors": 2, "average": [0.5, 0.5, 0.5], "runnable": 1, "pressure": [{"of": "cpu", "some_10_s": 0.5, "some_60_s": 0.5}],
         "memory_total_bytes": 1, "memory_available_bytes": 1, "swap_used_bytes": 1},
        {"fact": "machine", "vendor": "Vendor", "product": "Virtual Machine", "hypervisor": true, "container": "docker", "cloud": "azure"},
        {"fact": "address_probe", "address": "203.0.113.200", "interface": "eth0", "sent": 3, "answers": [{"hardware_address": "02:00:5e:10:00:02",
         "after_us": 1}], "unasked": {"why": "because", "grant": "sudo x"}, "failure": failure},
        {"fact": "quic_of_tomorrow", "anything": "text"}
    ]);
    let with_ids = facts.as_array().unwrap().iter().enumerate().map(|(index, fact)| {
        let mut observation = fact.clone();
        observation["id"] = format!("c/{}", index + 1).into();
        observation["check"] = "c".into();
        observation["at_us"] = 1.into();
        observation
    });
    let target = json!({"text": "https://shop.example/", "scheme": "https", "host": "shop.example", "port": 443, "path": "/"});
    let outcome = |kind: &str, parameters: Value| {
        json!({"check": "c", "kind": kind, "required": true, "target": target, "parameters": parameters, "status": "failed",
            "note": {"why": "because", "grant": "sudo x"}, "began_us": 1, "took_us": 1, "observations": []})
    };
    let mut first = outcome("http", json!({"url": "https://shop.example/", "expect_status": ["2xx"]}));
    first["observations"] = with_ids.collect();
    json!({"schema": SCHEMA, "state": "explained", "bundle": {"id": "ab".repeat(32), "path": "/x", "case_url": "https://x.example"},
        "run": {"id": "r", "set": {"name": "web", "version": 1, "sha256": "ab".repeat(32)}, "targets": [target], "case": "4711",
            "ticket": "a".repeat(16), "began": "2026-01-01T00:00:00Z", "took_us": 1, "interrupted": false, "limits_hit": ["limit"],
            "asked": {"parameters": {"word": "text"}, "expect_status": ["2xx"], "resolvers": ["203.0.113.53"], "proxy": "http://proxy.example:3128"}},
        "environment": {"version": "0.1.0", "os": "linux", "os_release": "r", "kernel": "k", "architecture": "x86_64", "hostname": "vm",
            "raw_sockets": true, "ping_sockets": true, "elevated": true, "began": "2026-01-01T00:00:00Z",
            "confinement": {"files": "f", "capabilities": ["c"]}},
        "findings": [{"cause": "tcp.refused", "severity": "problem", "confidence": 1.0, "where": {"name": "n", "url": "u", "interface": "i"},
            "sentence": "s", "evidence": ["c/1"], "rejected": [{"cause": "c", "reason": "r", "evidence": []}],
            "next_step": {"who": "server", "action": "a"}, "article": "a", "target": "t", "settled_by": "s"}],
        "unexplained": [{"check": "c", "required": true, "what": "w", "ruled_out": []}],
        "not_measured": [{"check": "c", "required": true, "why": "w", "grant": "g"}],
        "outcomes": [first,
            outcome("http", json!({"url": "https://shop.example/", "known_url": "http://known.example/", "known_body": "text",
                "echo_url": "http://echo.example/", "upload_url": "http://up.example/", "expect_body": ["text"]})),
            outcome("http", json!({"url": "https://shop.example/", "expect_json": ["/status=up"]})),
            outcome("http", json!({"url": "https://shop.example/", "expect_headers": ["x-thing=v"]})),
            outcome("http", json!({"url": "https://shop.example/", "expect_body_sha256": "ab".repeat(32)})),
            outcome("load", json!({"url": "https://shop.example/", "direction": "both", "upload_url": "https://shop.example/up"})),
            outcome("dns", json!({"name": "shop.example", "types": ["A"], "servers": ["203.0.113.53"]})),
            outcome("tls", json!({"host": "shop.example", "server_name": "shop.example", "alpn": ["h2"], "pin": "ab".repeat(32), "compare_names": ["other.example"]})),
            outcome("tcp", json!({"host": "shop.example", "port": 1})), outcome("icmp", json!({"host": "shop.example", "targets": ["203.0.113.8", "203.0.113.0/28", "www.shop.example"]})),
            outcome("traceroute", json!({"host": "shop.example"})), outcome("proxy", json!({"url": "https://shop.example/", "script_url": "http://proxy.example/proxy.pac"})), outcome("mtu", json!({"host": "shop.example"})),
            outcome("reflect", json!({"host": "shop.example"})), outcome("cloud", json!({"providers": ["azure"]})),
            outcome("ntp", json!({"host": "shop.example", "others": ["time.example"]})),
            outcome("quic", json!({"host": "shop.example", "server_name": "shop.example", "alpn": ["h3"]})),
            outcome("service", json!({"host": "shop.example", "protocol": "smtp"})),
            outcome("host", json!({"target": "shop.example"}))]})
}

/// The pointers of every text in the document.
fn texts(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(at),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| texts(item, format!("{at}/{index}"), found)),
        Value::Object(fields) => fields.iter().for_each(|(name, item)| texts(item, format!("{at}/{name}"), found)),
        _ => {}
    }
}

/// Fields that stay by design: what identifies the run, and at the default level the names of what was asked for, which are
/// public or on the case already.
fn stays(pointer: &str, strict: bool) -> bool {
    const IDENTITY: [&str; 7] = ["/schema", "/run/id", "/run/case", "/run/ticket", "/run/set/name", "/run/set/sha256", "/fact"];
    const NAMES: &[&str] = &[
        "host",
        "name",
        "hostname",
        "server_name",
        "wanted",
        "subject",
        "issuer",
        "search",
        "names",
        "addresses",
        "target",
        "missing_issuer",
        "authorities",
        "leaf_subject",
        "compare_names",
        "others",
        "reference_id",
        "targets",
        "zone",
        "server",
        "own_name_servers",
        "tried",
    ];
    const BYTES: &str = "der_base64";
    let own = pointer.rsplit('/').find(|part| part.parse::<u32>().is_err()).unwrap_or_default();
    let is_word = pointer.contains("/headers/") || pointer.contains("/extended_errors/") || pointer.contains("/interface");
    let identity = IDENTITY.iter().any(|end| pointer.ends_with(end)) || matches!(own, "check" | "id" | "evidence");
    identity || (!strict && !is_word && (NAMES.contains(&own) || own == BYTES))
}

fn unknown_facts(document: &Document) -> usize {
    let observations = document.outcomes.iter().flat_map(|outcome| &outcome.observations);
    observations.filter(|observation| matches!(observation.fact, Fact::Unknown(_))).count()
}

/// Where the full document takes any text. Fields of a type of their own, such as addresses and dates, do not: with a text in one
/// its fact is no longer that fact.
fn free_texts() -> &'static [String] {
    static FREE: OnceLock<Vec<String>> = OnceLock::new();
    FREE.get_or_init(|| {
        let mut document = full_document();
        let mut pointers = Vec::new();
        texts(&document, String::new(), &mut pointers);
        let takes_any = |pointer: &String| {
            let text = document.pointer_mut(pointer).unwrap();
            let was = std::mem::replace(text, "any text at all".into());
            // One fact tells as much as the whole document, in a fraction of the time.
            let parts: Vec<&str> = pointer.split('/').collect();
            let takes = match parts[..] {
                ["", "outcomes", outcome, "observations", number, ..] => {
                    let fact = document.pointer(&format!("/outcomes/{outcome}/observations/{number}")).unwrap();
                    let is_unknown = |text: &Value| {
                        let parsed = serde_json::from_value::<Observation>(text.clone());
                        parsed.map(|observation| matches!(observation.fact, Fact::Unknown(_)))
                    };
                    let mut before = fact.clone();
                    let inner: String = parts[5..].iter().map(|part| format!("/{part}")).collect();
                    *before.pointer_mut(&inner).unwrap() = was.clone();
                    is_unknown(fact).is_ok_and(|unknown| unknown == is_unknown(&before).unwrap())
                }
                _ => serde_json::from_value::<Document>(document.clone()).is_ok(),
            };
            *document.pointer_mut(pointer).unwrap() = was;
            takes
        };
        pointers.into_iter().filter(takes_any).collect()
    })
}

/// Plants into every text that can take one the shape that it is given, with the text that was there and a canary of its own, and
/// looks for every canary in every file of the bundle.
fn hunt(
    shape: impl Fn(&str, &str) -> String,
    canary: impl Fn(usize) -> String,
    stays: impl Fn(&str) -> bool,
    key: Option<&MappingKey>,
) {
    let mut document = full_document();
    let mut planted = Vec::new();
    for pointer in free_texts().iter().filter(|pointer| !stays(pointer)) {
        let text = document.pointer_mut(pointer).unwrap();
        let canary = canary(planted.len());
        *text = shape(text.as_str().unwrap(), &canary).into();
        planted.push((pointer, canary));
    }
    assert!(planted.len() > 60, "only {} fields took a canary", planted.len());
    let how = key.map_or(Redaction::Default, Redaction::Strict);
    let (redacted, report) = redact(&serde_json::from_value(document).unwrap(), how, &["annabelle".to_owned()]);
    let mut found = Vec::new();
    for (name, content) in packed_files(&redacted, &report) {
        let content = String::from_utf8_lossy(&content);
        let here = planted.iter().filter(|(_, canary)| content.contains(canary));
        found.extend(here.map(|(pointer, canary)| format!("{name} holds {canary} of {pointer}, {}", shape("", canary))));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

const SECRET: &str = "Kq7Zp2Rt9Wm4Xs8Lb3Nd6Vc5";

#[test]
fn no_field_of_any_fact_carries_a_secret_out() {
    let hunt = |shape: fn(&str, &str) -> String| hunt(shape, |_| SECRET.to_owned(), |at| stays(at, false), None);
    hunt(|_, secret| secret.to_owned());
    hunt(|was, secret| format!("{was} {secret}"));
    hunt(|_, secret| format!("https://u:{secret}@shop.example/{secret}?q={secret}#{secret}"));
}

/// A password of a few letters has no shape of its own, so only what stands around it gives it away.
#[test]
fn no_field_of_any_fact_carries_a_short_password_out() {
    // None of these texts can be a name, so names are no exception. A certificate's names are public, and its bytes stay.
    let stays = |at: &str| {
        let own = at.rsplit('/').find(|part| part.parse::<u32>().is_err()).unwrap_or_default();
        stays(at, true) || matches!(own, "subject" | "issuer" | "missing_issuer" | "authorities" | "leaf_subject" | "der_base64")
    };
    let shapes: [fn(&str) -> String; 30] = [
        |c| format!("/cb?code=x&state={c}"),
        |c| format!("https://shop.example/cb?q={c}"),
        |c| format!("https://shop.example/cb#{c}"),
        |c| format!("GET /cb?next={c} failed"),
        |c| format!("shop.example/cb?next={c}"),
        |c| format!("</next?page={c}>; rel=\"next\""),
        |c| format!("<https://shop.example/{{a}}?page={c}>; rel=next"),
        |c| format!("https://shop.example/id={c}/pay"),
        |c| format!("/v1/id={c}/pay"),
        |c| format!("/v1/pay;jsessionid={c}"),
        |c| format!("https://u:{c}@shop.example/"),
        |c| format!("//u:{c}@shop.example/"),
        |c| format!("u:{c}@shop.example"),
        |c| format!("to {c}@shop.example failed"),
        |c| format!("https://shop.example/%3Fid%3D{c}"),
        |c| format!("access_token={c}"),
        |c| format!("client_secret={c}; db_password={c}; PWD={c}"),
        |c| format!("password: {c}"),
        |c| format!("grant=1&code={c}"),
        |c| format!("{{\"password\":\"{c}\"}}"),
        |c| format!("{{\"tokens\": [\"{c}\", \"{c}\"]}}"),
        |c| format!("body {{'api_key': '{c}'}}"),
        |c| format!("\"{{\\\"secret\\\":\\\"{c}\\\"}}\""),
        |c| format!("Cookie: theme={c}; sid={c}"),
        |c| format!("Set-Cookie: a={c}; Path=/"),
        |c| format!("sid={c}; Path=/; HttpOnly"),
        |c| format!("Authorization: Basic {c}"),
        |c| format!("Bearer {c}"),
        |c| format!("X-Api-Key: {c}"),
        |c| format!("220 mail.corp.example login={c}"),
    ];
    for shape in shapes {
        hunt(|_, canary| shape(canary), |place| format!("hunter{place}z"), stays, None);
    }
}

#[test]
fn no_text_carries_the_users_name_or_home_out() {
    let hunt = |text: &'static str, canary: &'static str| {
        hunt(|_, _| text.to_owned(), |_| canary.to_owned(), |at| stays(at, false), None)
    };
    hunt("open /home/annabelle/secret-plans.pem", "annabelle");
    hunt("C:\\Users\\annabelle\\secret-plans.pem", "secret-plans");
}

#[test]
fn at_the_strict_level_no_name_and_no_certificate_gets_out() {
    let key = MappingKey::from_bytes([3; 32]);
    let hunt = |text: &'static str, canary: &'static str| {
        hunt(|_, _| text.to_owned(), |_| canary.to_owned(), |at| stays(at, true), Some(&key));
    };
    hunt(SECRET, SECRET);
    hunt("canary-name.example", "canary-name");
}

#[test]
fn at_the_strict_level_no_address_of_the_run_gets_out() {
    let key = MappingKey::from_bytes([3; 32]);
    let mut document = full_document();
    document["outcomes"][0]["observations"][4]["failure"]["text"] =
        "203.0.113.7:443 and [203.0.113.53]:53 refused shop.example".into();
    let parsed: Document = serde_json::from_value(document).unwrap();
    let (redacted, report) = redact(&parsed, Redaction::Strict(&key), &[]);
    for (name, content) in packed_files(&redacted, &report) {
        let content = String::from_utf8_lossy(&content);
        for planted in ["203.0.113.", "shop.example", "MIIB"] {
            assert!(!content.contains(planted), "{name} still holds {planted}");
        }
    }
    assert!(report.removed["address"] > 0 && report.removed["name"] > 0 && report.removed["certificate"] == 2, "{report:?}");
}

#[test]
fn at_the_strict_level_no_chosen_name_of_an_interface_gets_out_and_each_stays_one() {
    let text = full_document().to_string().replace("\"eth0\"", "\"wg-acme\"");
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["outcomes"][0]["observations"][4]["failure"]["text"] = "no buffer space on wg-acme".into();
    let key = MappingKey::from_bytes([3; 32]);
    let (redacted, report) = redact(&serde_json::from_value(document).unwrap(), Redaction::Strict(&key), &[]);
    for (name, content) in packed_files(&redacted, &report) {
        assert!(!String::from_utf8_lossy(&content).contains("acme"), "{name}");
    }
    let text = serde_json::to_string(&redacted.outcomes).unwrap();
    let token = key.name("wg-acme");
    assert_eq!(
        text.matches(&format!("\"interface\":\"{token}\"")).count(),
        5,
        "connect, route, resolvers, neighbours, address probe: {text}"
    );
    assert_eq!(text.matches(&format!("\"name\":\"{token}\"")).count(), 2, "the interface and its counters");
}

/// The algorithm of a signature looks like a key and is none: the cause must be the same with and without redaction.
#[test]
fn a_certificate_signed_with_sha1_is_named_whatever_is_taken_out() {
    let mut document = full_document();
    let observations = document["outcomes"][0]["observations"].as_array_mut().unwrap();
    observations.retain(|observation| observation["fact"] == "handshake");
    let handshake = observations[0].as_object_mut().unwrap();
    handshake.retain(|field, _| {
        !["failure", "ocsp", "pin", "plain_reply", "certificate_request", "starttls", "built"].contains(&field.as_str())
    });
    handshake["trust"] = json!([{"store": "platform", "trusted": false, "reason": "other", "text": "not accepted"}]);
    handshake["chain"][0]["key"] = "RSA 2048".into();
    handshake["chain"][0]["signature"] = "sha1WithRSAEncryption".into();
    let parsed: Document = serde_json::from_value(document).unwrap();
    for redaction in [Redaction::None, Redaction::Default, Redaction::Strict(&MappingKey::from_bytes([3; 32]))] {
        let is_none = matches!(redaction, Redaction::None);
        let (mut redacted, _) = redact(&parsed, redaction, &[]);
        if is_none {
            redacted.findings = netsonde_diagnosis::diagnose(&redacted.outcomes, &redacted.environment).findings;
        }
        let weak = redacted.findings.iter().find(|finding| finding.cause == "tls.weak_certificate");
        assert!(weak.is_some_and(|finding| finding.sentence.contains("SHA-1")), "{:?}", redacted.findings);
    }
}

/// What is looked for in a page is a part of the page.
#[test]
fn a_text_that_was_looked_for_stays_on_the_own_screen() {
    let mut document = full_document();
    let exchange = document["outcomes"][0]["observations"].as_array_mut().unwrap();
    let exchange = exchange.iter_mut().find(|observation| observation["fact"] == "exchange").unwrap();
    exchange["purpose"] = json!("question");
    exchange["expectations"] = json!([
        {"about": "body_text", "relation": "contains", "wanted": "\"Balance of Anna\"", "got": "a body of 9 bytes without it", "met": false},
        {"about": "json", "name": "/name", "relation": "equals", "wanted": "\"Balance of Anna\"", "got": "a number", "met": false}]);
    let parsed: Document = serde_json::from_value(document).unwrap();
    let (redacted, _) = redact(&parsed, Redaction::Default, &[]);
    let text = serde_json::to_string(&redacted).unwrap();
    assert!(!text.contains("Balance"), "{text}");
    assert_eq!(text.matches(r#""wanted":"a text of 15 bytes""#).count(), 2, "{text}");
    assert!(serde_json::to_string(&parsed).unwrap().contains("Balance of Anna"));
}

#[test]
fn an_ordinary_document_loses_nothing_that_diagnoses() {
    let parsed: Document = serde_json::from_value(full_document()).unwrap();
    assert_eq!(unknown_facts(&parsed), 1, "every other fact of the full document is one that this version knows");
    let (redacted, _) = redact(&parsed, Redaction::Default, &[]);
    for (before, after) in parsed.outcomes[0].observations.iter().zip(&redacted.outcomes[0].observations) {
        let lossy =
            matches!(before.fact, Fact::Handshake(_) | Fact::Exchange(_) | Fact::Quic(_) | Fact::Proxies(_) | Fact::Unknown(_));
        assert!(lossy || before == after, "{before:?}\nbecame\n{after:?}");
    }
    let (untouched, _) = redact(&parsed, Redaction::None, &[]);
    assert_eq!(untouched, parsed);
}
