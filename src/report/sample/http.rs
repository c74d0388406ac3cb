use super::observation;
use serde_json::{Value, json};

/// A web page behind a proxy that meddles, asked in every way that there is.
pub(super) fn depth() -> Vec<Value> {
    let mut question = exchange(json!({
        "purpose": "question", "way": "environment", "local": "192.0.2.200:50412", "request_bytes": 96, "response_bytes": 5_000_412,
        "expectations": [
            {"about": "status", "relation": "equals", "wanted": "2xx", "got": "200", "met": true},
            {"about": "header", "name": "server", "relation": "equals", "wanted": "nginx", "got": "edge", "met": false},
            {"about": "json", "name": "/status", "relation": "equals", "wanted": "a text of 2 bytes", "got": "a number", "met": false},
        ],
        "transfer": {"bytes": 5_000_000, "took_us": 1_200_000, "rate": 4_166_666, "stalls": 2, "longest_pause_us": 400_000, "ended": "byte_limit"},
        "at_close": {
            "rtt_us": 11_300, "rtt_deviation_us": 900, "min_rtt_us": 10_800, "retransmits": 3, "mss_bytes": 1_448, "path_mtu_bytes": 1_500,
            "congestion_window": 10, "ecn": false, "ecn_seen": false, "timestamps": true, "sack": true, "delivery_rate": 5_200_000,
        },
        "server_timing": [{"name": "db", "took_us": 53_000}, {"name": "cache"}],
        "alternatives": [{"protocol": "h3", "port": 443, "max_age_s": 86_400}],
        "strict_transport": {"max_age_s": 3_600, "include_subdomains": true, "preload": false},
    }));
    (question["body_bytes"], question["body_cut"]) = (json!(5_000_000), json!(true));
    let portal = exchange(json!({
        "purpose": "known_answer", "url": "http://known.example/204", "status": 302, "expected": false, "location": "http://portal.example/",
    }));
    let part = exchange(json!({
        "purpose": "range", "status": 206, "range": {"asked": "bytes=0-99", "honoured": true, "first": 0, "last": 99, "total": 5_000_000},
    }));
    let echo = exchange(json!({
        "purpose": "header_echo", "url": "http://echo.example/",
        "echoed": {
            "sent": 5, "lost": ["x-netsonde-echo"], "changed": [{"name": "cache-control", "sent": "no-cache", "got": "max-age=60"}],
            "added": [{"name": "via", "value": "1.1 squid"}],
        },
    }));
    let upload = exchange(json!({
        "purpose": "upload", "method": "POST", "transfer": {
            "bytes": 1_000_000, "took_us": 800_000, "rate": 1_250_000, "stalls": 0, "longest_pause_us": 90_000, "ended": "complete",
        },
    }));
    let facts = [portal, question, comparison(), echo, part, upload];
    facts.into_iter().enumerate().map(|(index, fact)| observation(&format!("web/{}", index + 1), fact)).collect()
}

fn exchange(with: Value) -> Value {
    let mut fact = json!({
        "fact": "exchange", "url": "http://shop.example/", "method": "GET", "redirect": 0, "address": "192.0.2.40:3128",
        "proxy": "http://proxy.example:3128", "version": "HTTP/1.1", "status": 200, "expected": true,
        "phases": {"connect_us": 800, "send_us": 40, "first_byte_us": 61_000, "body_us": 200}, "body_bytes": 0,
    });
    if let (Value::Object(fact), Value::Object(with)) = (&mut fact, with) {
        fact.extend(with);
    }
    fact
}

fn comparison() -> Value {
    let answer = |status: u16, body_bytes: u64| json!({"status": status, "body_bytes": body_bytes, "first_byte_us": 61_000, "took_us": 70_000});
    json!({
        "fact": "comparison", "url": "http://shop.example/", "proxy": "http://proxy.example:3128", "proxied": answer(200, 5_120),
        "direct": answer(403, 48_213), "same_status": false, "same_body": false, "headers_proxied_only": ["via"],
        "headers_changed": ["content-length", "server"],
    })
}

/// A line whose queue holds a quarter of a second.
pub(super) fn load() -> Value {
    let spread = |min: u64, median: u64, p95: u64, max: u64| {
        json!({
            "min_us": min, "mean_us": median, "deviation_us": 100, "median_us": median, "p90_us": p95, "p95_us": p95, "p99_us": max, "max_us": max,
        })
    };
    let series = |sent: u32, answered: u32, rtt: Value| {
        json!({
            "sent": sent, "answered": answered, "rtt": rtt, "timer_late": spread(40, 600, 1_100, 1_300), "loopback": spread(20, 30, 60, 90),
        })
    };
    observation(
        "load/1",
        json!({
            "fact": "load", "url": "http://files.example/large", "address": "192.0.2.7:80", "latency": "connect", "bytes": 10_000_000,
            "idle": series(30, 30, spread(10_200, 11_000, 12_400, 13_000)),
            "loaded": [{
                "direction": "download", "connections": 2, "requests": 2, "increase_us": 229_000, "increase_p95_us": 287_600,
                "transfer": {
                    "bytes": 10_000_000, "took_us": 8_000_000, "rate": 1_250_000, "stalls": 0, "longest_pause_us": 21_000, "ended": "time_limit",
                },
                "latency": series(80, 78, spread(11_000, 240_000, 300_000, 310_000)),
            }],
        }),
    )
}
