//! Replies that come twice, and replies that overtake each other.

use crate::candidate::Candidate;
use crate::evidence::{Evidence, Share};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::threshold::BAD_SHARE;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use std::net::IpAddr;

pub(in crate::rules) const DUPLICATES_RULE: Rule = Rule {
    settled_by: Some("a capture at this machine and at the target: on which side the second packet appears"),
    ..Rule::new("path.duplicates", &["path.reordered", "host.duplicate_address"], duplicates)
};

pub(in crate::rules) const REORDERED_RULE: Rule = Rule {
    settled_by: Some("the same series at another time, and a capture at the target"),
    ..Rule::new("path.reordered", &["path.loss", "path.jitter"], reordered)
};

/// Replies are counted, and nothing but a second packet makes a second reply; which way doubles it is open.
const DUPLICATED: f64 = 0.9;
/// Several replies overtook others.
const OVERTAKEN: f64 = 0.9;

fn duplicates(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let towards = |address: IpAddr| {
        let doubled = evidence.of_replies(address, |statistics| statistics.duplicates);
        if !doubled.exceeds(BAD_SHARE) {
            return None;
        }
        let host = named(&evidence.host_at(address), address);
        let sentence = format!(
            "Packets to {host} arrive more than once: {} of the pings had further replies. It costs capacity and confuses programs that do not expect it.",
            doubled.words()
        );
        let in_order = evidence.of_replies(address, |statistics| statistics.reordered);
        let candidate = found(address, DUPLICATED, sentence, &doubled).next(
            Who::Network,
            "Look for a loop between switches, for two paths that both carry the traffic (bonding, mirror ports), and for a radio link that sends again what arrived.",
        );
        Some(match in_order.cases {
            0 => candidate.rejecting("path.reordered", "The replies come in the order of their requests.", in_order.ids),
            _ => candidate,
        })
    };
    evidence.addresses().into_iter().filter_map(towards).collect()
}

fn reordered(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let towards = |address: IpAddr| {
        let overtaken = evidence.of_replies(address, |statistics| statistics.reordered);
        if !overtaken.exceeds(BAD_SHARE) {
            return None;
        }
        let host = named(&evidence.host_at(address), address);
        let sentence = format!(
            "Packets to {host} overtake each other: {} of the replies came after one to a later ping. TCP takes that for loss and slows down.",
            overtaken.words()
        );
        let lost = evidence.lost_calmly(address).and(evidence.lost_in_bursts(address));
        let candidate = found(address, OVERTAKEN, sentence, &overtaken).next(
            Who::Network,
            "Look for links that share single packets instead of flows among them (per-packet balancing, bonding in turn), and for a radio link that sends again out of order.",
        );
        Some(match lost.cases {
            0 => candidate.rejecting("path.loss", "Every reply came.", lost.ids),
            _ => candidate,
        })
    };
    evidence.addresses().into_iter().filter_map(towards).collect()
}

fn found(address: IpAddr, confidence: f64, sentence: String, share: &Share<'_>) -> Candidate {
    Candidate::new(Severity::Degraded, confidence, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .about(Spot::Address(address))
        .resting_on(share.ids.iter().copied())
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, echo_series};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::EchoStatistics;

    fn with(change: impl FnOnce(&mut EchoStatistics)) -> Scene {
        Scene::new("shop.example").check(Kind::Icmp, [echo_series("192.0.2.1", 50, 0, change)])
    }

    #[test]
    fn replies_that_come_twice_are_counted() {
        let finding = with(|statistics| statistics.duplicates = 15).finds("path.duplicates");
        assert!(finding.sentence.contains("15 of 50") && finding.rejected[0].cause == "path.reordered", "{}", finding.sentence);
    }

    #[test]
    fn one_double_among_many_is_no_fault() {
        assert!(with(|statistics| statistics.duplicates = 1).is_healthy().is_empty());
    }

    #[test]
    fn replies_that_overtake_others_are_counted() {
        let finding = with(|statistics| statistics.reordered = 9).finds("path.reordered");
        assert!(finding.sentence.contains("9 of 50") && finding.rejected[0].cause == "path.loss", "{}", finding.sentence);
    }

    #[test]
    fn one_that_was_overtaken_is_no_fault() {
        assert!(with(|statistics| statistics.reordered = 1).is_healthy().is_empty());
    }
}
