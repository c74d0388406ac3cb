use crate::clean::shortened;
use crate::units;
use netsonde_contract::kind::TracerouteParams;
use netsonde_contract::observation::{Hop, Multipath, RateVerdict, Share, Trace, TraceLacks, TracePath, TraceProtocol};
use std::net::IpAddr;

/// Names are somebody else's text.
const MAX_NAME_CHARS: usize = 100;

/// Name and network of an address, in brackets.
pub(super) fn address_notes(hop: &Hop, address: IpAddr) -> String {
    let name =
        hop.names.iter().find(|name| name.address == address).map(|name| shortened(&name.name, MAX_NAME_CHARS).to_string());
    let origin = hop.origins.iter().find(|origin| origin.address == address).map(|origin| match &origin.name {
        Some(name) => format!("AS{} {}", origin.asn, shortened(name, MAX_NAME_CHARS)),
        None => format!("AS{}", origin.asn),
    });
    let notes: Vec<String> = name.into_iter().chain(origin).collect();
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) }
}

/// What is known of a distance beyond addresses and times: names and networks first.
pub(crate) fn depth(hop: &Hop) -> Vec<String> {
    let named = |address: IpAddr| Some(address_notes(hop, address)).filter(|notes| !notes.is_empty());
    let trimmed = |notes: String| notes.trim_matches([' ', '(', ')']).to_owned();
    hop.addresses().into_iter().filter_map(named).map(trimmed).chain(notes(hop)).collect()
}

/// The same without names, each part behind a comma.
pub(super) fn hop_notes(hop: &Hop) -> String {
    notes(hop).iter().map(|note| format!(", {note}")).collect()
}

fn notes(hop: &Hop) -> Vec<String> {
    let replies = || hop.probes.iter().filter_map(|probe| probe.reply.as_ref());
    let mut notes = Vec::new();
    if let Some(reply) = replies().find(|reply| !reply.labels.is_empty()) {
        let labels: Vec<String> = reply.labels.iter().map(|label| label.label.to_string()).collect();
        notes.push(format!("MPLS {}", labels.join("/")));
    }
    if let Some(back) = replies().find_map(|reply| reply.return_hops).filter(|back| *back != hop.ttl) {
        notes.push(format!("{} back", units::counted(back.into(), "hop", "hops")));
    }
    for quoted in replies().filter_map(|reply| reply.quoted).take(1) {
        if quoted.is_rewritten() {
            notes.push("addresses or ports are translated before it".to_owned());
        }
        if let Some(sent) = quoted.dscp_sent {
            notes.push(format!("DSCP {sent} arrives as {}", quoted.dscp));
        }
        if let Some(sent) = quoted.ecn_sent {
            notes.push(format!("ECN {sent} arrives as {}", quoted.ecn));
        }
        if quoted.ttl > 1 {
            notes.push(format!("the probe arrives with a TTL of {}", quoted.ttl));
        }
    }
    notes.extend(hop.mtu_bytes.map(|bytes| {
        let largest = if bytes >= TracerouteParams::LARGEST_HOP_MTU.into() { ", the largest tried" } else { "" };
        let silent = hop.mtu_silent_bytes.map(|_| format!(", no answer above {bytes} bytes and no word why"));
        format!("{bytes} bytes pass{largest}{}", silent.unwrap_or_default())
    }));
    let duplicates: u32 = hop.probes.iter().map(|probe| probe.duplicates).sum();
    if duplicates > 0 {
        notes.push(units::counted(duplicates.try_into().unwrap_or(usize::MAX), "duplicate", "duplicates"));
    }
    let late = hop.probes.iter().filter(|probe| probe.late_us.is_some()).count();
    if late > 0 {
        notes.push(format!("{} too late", units::counted(late, "reply", "replies")));
    }
    notes.extend(hop.rate.map(|rate| {
        let says = match rate.verdict {
            RateVerdict::RateLimited => "limits its answers",
            RateVerdict::Loss => "loses probes at any rate",
            RateVerdict::AnswersAll => "answers all",
            RateVerdict::Unclear => "no clear answer on loss",
        };
        format!("{says} (slow {}, fast {})", percent(rate.slow.answers), percent(rate.fast.answers))
    }));
    notes
}

/// The paths side by side, a line each.
pub(super) fn paths(trace: &Trace) -> Vec<String> {
    let Some(found) = &trace.multipath else { return Vec::new() };
    let sure = if found.complete {
        format!("none further at {} % confidence", found.confidence)
    } else {
        "the search did not come to its end".to_owned()
    };
    let count = units::counted(found.paths.len(), "path", "paths");
    // ICMP has no ports: what hashes them sends all its flows one way, however many there are.
    let among = if trace.protocol == TraceProtocol::Icmp {
        ", as far as routers spread ICMP (udp or tcp show those by ports)"
    } else {
        ""
    };
    let mut lines = vec![format!("{count} for {} flows, {sure}{among}", found.flows)];
    lines.extend(found.paths.iter().map(|path| one(found, path)));
    lines
}

fn one(found: &Multipath, path: &TracePath) -> String {
    let way: Vec<String> = path.hops.iter().map(|hop| hop.map_or("*".to_owned(), |address| address.to_string())).collect();
    let mut parts = vec![format!("path of flow {}: {}", path.flow, way.join(" > "))];
    parts.extend(path.loss.map(|loss| format!("loss {} of {} probes", percent(loss), path.sent)));
    parts.extend(path.doubtful.map(|counts| {
        let missing = counts.sent.saturating_sub(counts.answered);
        format!(
            "{missing} of {} probes unanswered, which its target's limit on answers may explain (tcp tells loss)",
            counts.sent
        )
    }));
    parts.extend(path.rtt.map(|rtt| format!("median {}", units::duration(rtt.median_us))));
    if found.lossiest().is_some_and(|worst| std::ptr::eq(worst, path)) {
        parts.push("the lossy one".to_owned());
    }
    parts.join(", ")
}

/// A share with its interval: `40 % (27 to 55 %)`.
fn percent(share: Share) -> String {
    let of = |part: f64| format!("{:.0}", part * 100.0);
    format!("{} % ({} to {} %)", of(share.share), of(share.low), of(share.high))
}

pub(super) fn lacks(lacks: TraceLacks) -> &'static str {
    match lacks {
        TraceLacks::QuotedHeaders => "no quoted headers, so that rewriting on the way stays unseen",
        TraceLacks::ConstantFlow => "no constant flow, so that parallel paths are not told apart",
        TraceLacks::Duplicates => "no duplicates",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_lossy_one_of_two_paths_is_named_and_only_where_it_stands_out() {
        let path = |flow: u16, hop: &str, answered: u32, loss: [f64; 3]| {
            json!({"flow": flow, "flows": 5, "hops": [hop, null, "192.0.2.1"], "sent": 50, "answered": answered,
                "loss": {"share": loss[0], "low": loss[1], "high": loss[2]}, "rtt": {"min_us": 1_000, "median_us": 2_000, "max_us": 3_000}})
        };
        let trace = |worse: [f64; 3]| -> Trace {
            let paths = [path(0, "10.0.0.1", 50, [0.0, 0.0, 0.07]), path(1, "10.0.0.2", 30, worse)];
            serde_json::from_value(json!({"host": "x", "target": "192.0.2.1", "protocol": "tcp", "arrived": true, "max_ttl": 30, "rounds": 2,
                "privileged": true, "took_us": 1, "multipath": {"confidence": 95, "complete": true, "flows": 11, "probes": 44, "paths": paths}}))
            .unwrap()
        };
        let lines = paths(&trace([0.4, 0.28, 0.54]));
        assert_eq!(lines[0], "2 paths for 11 flows, none further at 95 % confidence");
        assert!(lines[1].ends_with("median 2.0 ms"), "{lines:?}");
        assert!(lines[2].contains("10.0.0.2 > * > 192.0.2.1, loss 40 % (28 to 54 %) of 50 probes"), "{lines:?}");
        assert!(lines[2].ends_with("the lossy one"), "{lines:?}");
        assert!(!paths(&trace([0.1, 0.04, 0.2])).concat().contains("lossy"));
    }

    #[test]
    fn counts_that_a_limit_may_have_made_are_told_without_a_loss() {
        let path = json!({"flow": 0, "flows": 6, "hops": ["10.0.0.1", "192.0.2.1"], "sent": 0, "answered": 0,
            "doubtful": {"sent": 8, "answered": 7}});
        let trace: Trace = serde_json::from_value(json!({"host": "x", "target": "192.0.2.1", "protocol": "udp", "arrived": true,
            "max_ttl": 30, "rounds": 2, "privileged": true, "took_us": 1,
            "multipath": {"confidence": 95, "complete": true, "flows": 6, "probes": 12, "paths": [path]}}))
        .unwrap();
        let lines = paths(&trace);
        assert!(
            lines[1].contains("1 of 8 probes unanswered, which its target's limit") && !lines[1].contains("loss 1"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_hop_says_what_it_does_to_packets() {
        let hop: Hop = serde_json::from_value(json!({"target": "192.0.2.1", "protocol": "udp", "ttl": 3, "mtu_bytes": 1400,
            "names": [{"address": "10.0.0.1", "name": "r1.example"}],
            "origins": [{"address": "10.0.0.1", "prefix_length": 8, "asn": 64500, "name": "Example Net"}],
            "probes": [{"round": 0, "duplicates": 1, "reply": {"from": "10.0.0.1", "rtt_us": 1000, "kind": "time_exceeded", "reply_ttl": 60,
                "return_hops": 5, "labels": [{"label": 16004, "traffic_class": 0, "bottom_of_stack": true, "ttl": 1}],
                "quoted": {"ttl": 1, "dscp": 0, "ecn": 0, "dscp_sent": 10, "checksum": {"sent": 1, "quoted": 2}}}}]}))
        .unwrap();
        assert_eq!(address_notes(&hop, "10.0.0.1".parse().unwrap()), " (r1.example, AS64500 Example Net)");
        assert_eq!(
            hop_notes(&hop),
            ", MPLS 16004, 5 hops back, addresses or ports are translated before it, DSCP 10 arrives as 0, 1400 bytes pass, 1 duplicate"
        );
        let swallowing = Hop { mtu_silent_bytes: Some(1_401), ..hop.clone() };
        assert!(hop_notes(&swallowing).contains("1400 bytes pass, no answer above 1400 bytes and no word why"));
        let widest = Hop { mtu_bytes: Some(9_000), probes: Vec::new(), ..hop };
        assert_eq!(hop_notes(&widest), ", 9000 bytes pass, the largest tried");
    }
}
