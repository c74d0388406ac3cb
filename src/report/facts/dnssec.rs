use crate::units;
use netsonde_contract::observation::{DnssecChain, Security, ZoneSecurity};

/// `DNSSEC of shop.example (A): bogus: the A records of shop.example have no signature`.
pub(super) fn line(chain: &DnssecChain) -> String {
    let why = chain.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
    format!("DNSSEC of {} ({}): {}{why}", chain.name, chain.record_type, word(chain.verdict))
}

pub(super) fn details(chain: &DnssecChain) -> Vec<String> {
    let zone = |zone: &ZoneSecurity| {
        let name = if zone.zone == "." { "the root" } else { &zone.zone };
        let key = zone.key_tag.map_or(String::new(), |tag| format!(", keys signed by {tag}"));
        let server = zone.server.map_or(String::new(), |server| format!(", as {server} gives it"));
        format!("{name} {}{key}{server}", word(zone.verdict))
    };
    let mut lines: Vec<String> = chain.zones.iter().map(zone).collect();
    lines.push(format!("by the clock of this machine, {}", units::moment(chain.verified_at)));
    lines
}

fn word(verdict: Security) -> &'static str {
    match verdict {
        Security::Secure => "secure",
        Security::Insecure => "not signed",
        Security::Bogus => "bogus",
        Security::Indeterminate => "not determined",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_broken_chain_says_where_it_breaks() {
        let chain: DnssecChain = serde_json::from_value(json!({
            "name": "shop.example", "record_type": "A", "verdict": "bogus", "why": "the A records of shop.example have no signature",
            "zones": [{"zone": ".", "verdict": "secure", "key_tag": 20326, "server": "192.0.2.53:53"}], "verified_at": "2026-11-21T20:24:28Z",
        }))
        .unwrap();
        assert_eq!(line(&chain), "DNSSEC of shop.example (A): bogus: the A records of shop.example have no signature");
        assert_eq!(details(&chain)[0], "the root secure, keys signed by 20326, as 192.0.2.53:53 gives it");
    }
}
