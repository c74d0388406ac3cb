use super::observation;
use serde_json::{Value, json};

/// A machine in some trouble: a twin of its address, few ports and descriptors left, a card that drops, a busy processor.
pub(crate) fn state() -> Vec<Value> {
    let facts = [
        counted(0, json!({"retransmits": 1_204, "rx_errors": 7})),
        json!({"fact": "capacity", "conntrack": {"count": 64_901, "max": 65_536, "dropped": 311, "dropped_early": 4, "insert_failed": 0},
            "own_descriptors": {"used": 21, "limit": 1_024}, "system_descriptors": {"used": 9_120, "limit": 100_000}}),
        json!({"fact": "system_load", "processors": 4, "average": [7.5, 4.0, 2.25], "runnable": 9, "memory_total_bytes": 8_000_000_000_u64,
            "memory_available_bytes": 410_000_000, "swap_used_bytes": 1_000_000,
            "pressure": [{"of": "cpu", "some_10_s": 61.0, "some_60_s": 40.0}]}),
        json!({"fact": "machine", "vendor": "Example Systems", "product": "Virtual Machine", "hypervisor": true, "container": "docker"}),
        json!({"fact": "firewall", "legacy_tables": ["ip filter"], "tables": [{"family": "inet", "name": "filter", "chains": [
            {"name": "input", "hook": "input", "policy": "drop", "rules": 12, "drop_rules": 2, "dropped": 88, "reject_rules": 1, "rejected": 5},
        ]}]}),
        json!({"fact": "proxies", "settings": [{"scheme": "https", "url": "http://proxy.example:3128", "set_by": "https_proxy"}],
            "of_system": [{"scheme": "https", "url": "http://old.example:8080", "set_by": "/etc/environment"}],
            "unread": {"why": "GNOME keeps the user's settings in a database (~/.config/dconf/user) that netsonde does not read"}}),
        json!({"fact": "neighbours", "total": 5, "entries": [
            {"address": "10.0.1.1", "interface": "eth0", "state": "reachable", "hardware_address": "02:00:5e:10:00:01", "gateway": true},
        ]}),
        json!({"fact": "sockets", "udp": 14, "udp_drops": 3, "complete": true,
            "tcp": [{"state": "established", "count": 210}, {"state": "time_wait", "count": 27_900}],
            "owners": [{"user_id": 1_000, "own": true, "count": 44}], "processes": [{"process": "worker", "count": 40}],
            "remote_ports": [{"port": 587, "count": 27_850}],
            "towards_target": [{"address": "192.0.2.25", "states": [{"state": "time_wait", "count": 27_850}]}],
            "ephemeral": {"low": 32_768, "high": 60_999, "in_use": 28_100, "towards": [{"address": "192.0.2.25", "port": 587, "in_use": 27_850}]}}),
        json!({"fact": "address_probe", "address": "10.0.1.20", "interface": "eth0", "sent": 3,
            "answers": [{"hardware_address": "02:00:5e:10:00:99", "after_us": 420}]}),
        counted(8_900_000, json!({"over_us": 8_900_000, "retransmits": 31, "rx_errors": 5})),
    ];
    facts.into_iter().enumerate().map(|(at, fact)| observation(&format!("machine/{}", at + 1), fact)).collect()
}

/// A reading of the counters: the first, or what grew since.
fn counted(at_us: u64, figures: Value) -> Value {
    let mut fact = json!({
        "fact": "counters", "counters": [{"name": "Tcp.RetransSegs", "value": figures["retransmits"]}],
        "interfaces": [{"name": "eth0", "counters": {
            "rx_packets": 90_112, "tx_packets": 80_004, "rx_bytes": 51_000_000, "tx_bytes": 9_000_000,
            "rx_errors": figures["rx_errors"], "tx_errors": 0, "rx_dropped": 2, "tx_dropped": 0,
        }}],
        "cpu": {"busy_ms": 7_900, "idle_ms": 900, "steal_ms": 1_200},
    });
    if at_us > 0 {
        fact["over_us"] = figures["over_us"].clone();
    }
    fact
}
