//! What this machine's own firewall drops without a word: connections of which no packet leaves, though the way is open for others, and
//! answers that come in and never reach the program. Both are seen below the filter, by whoever may read packets.

use crate::candidate::Candidate;
use crate::evidence::{Attempt, Endpoint, Evidence};
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;

/// Other packets take the same way, and the packet filter that was read has what drops them.
const WITH_ITS_RULE: f64 = 0.95;
/// Only one of both is known: a tunnel of the system's own (IPsec) hides what it carries, and a drop may be made elsewhere than in the
/// packet filter.
const ALONE: f64 = 0.8;

/// Where packets leave, and where they come in. What others call may be called from either.
const ON_THE_WAY_OUT: &[&str] = &["output", "postrouting", "egress"];
const ON_THE_WAY_IN: &[&str] = &["input", "prerouting", "ingress"];

/// Replies that another rule of the machine drops, for coming in on the wrong interface.
const BY_REVERSE_PATH: &str = "TcpExt.IPReversePathFilter";

/// The rule's candidates for each port that is dropped here.
pub(super) fn candidates(evidence: &Evidence<'_>) -> Vec<Candidate> {
    // Where connections stand of which no packet was seen, packets cannot be watched here: the system redirects or encrypts them.
    let blind = evidence.attempts().iter().any(|attempt| attempt.connected() && attempt.syns_left == Some(0));
    if blind {
        return Vec::new();
    }
    let endpoints = evidence.endpoints();
    let out = endpoints.iter().filter_map(|endpoint| kept_in(evidence, endpoint));
    out.chain(endpoints.iter().filter_map(|endpoint| kept_out(evidence, endpoint))).collect()
}

/// No SYN of any attempt left by an interface.
fn kept_in(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let watched = || endpoint.attempts.iter().filter(|attempt| attempt.syns_left.is_some());
    let kept: Vec<&Attempt<'_>> = watched().filter(|attempt| attempt.syns_left == Some(0)).collect();
    let rejected = kept.iter().any(|attempt| attempt.refused_by_reset());
    let stayed = |attempt: &&Attempt<'_>| attempt.silent() || attempt.refused_by_reset();
    // Without a next hop nothing leaves either, which is no filter's doing.
    let passes = !evidence.answered(address).is_empty() || evidence.last_router(address).is_some();
    if kept.is_empty()
        || kept.len() < watched().count()
        || !kept.iter().all(stayed)
        || !evidence.next_hop_unresolved(address).is_empty()
    {
        return None;
    }
    let rule = if rejected { evidence.own_filter_rejects() } else { evidence.own_filter_drops(ON_THE_WAY_OUT) };
    let confidence = match (passes || rejected, rule.is_some()) {
        (true, true) => WITH_ITS_RULE,
        (true, false) | (false, true) => ALONE,
        (false, false) => return None,
    };
    let (host, port) = (named(endpoint.host(), address), endpoint.address.port());
    let does = if rejected { "refuses" } else { "drops" };
    let sentence = format!(
        "A firewall on this machine itself {does} connections to {host} on port {port}: not one packet of {} left the machine{}.",
        attempts(kept.len()),
        if passes { ", while others to the same address do" } else { "" }
    );
    let ids: Vec<&ObservationId> = kept.iter().map(|attempt| attempt.id).collect();
    let candidate = of_endpoint(evidence, endpoint, confidence, sentence)
        .resting_on(ids.iter().copied())
        .resting_on(rule)
        .rejecting("tcp.filtered", "No packet left this machine: no filter on the way can have dropped it.", ids.iter().copied())
        .rejecting("host.permission_denied", "The socket was opened, and the connection was begun.", ids.iter().copied());
    Some(if rejected {
        candidate.rejecting("tcp.refused", "Nothing left that the target could have refused.", ids)
    } else {
        candidate
    })
}

/// The target's SYN-ACK came in, and the connection never stood.
fn kept_out(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let answered: Vec<&Attempt<'_>> =
        endpoint.attempts.iter().filter(|attempt| attempt.silent() && attempt.syn_ack.is_some()).collect();
    let by_reverse_path = evidence.grown().is_some_and(|counters| counters.value(BY_REVERSE_PATH) > 0);
    if answered.is_empty() || endpoint.connected() || by_reverse_path {
        return None;
    }
    let rule = evidence.own_filter_drops(ON_THE_WAY_IN);
    let (host, port) = (named(endpoint.host(), address), endpoint.address.port());
    let sentence = format!(
        "A firewall on this machine itself drops what {host} answers on port {port}: the answers to {} came in and reached no program.",
        attempts(answered.len())
    );
    let ids: Vec<&ObservationId> = answered.iter().map(|attempt| attempt.id).collect();
    let candidate = of_endpoint(evidence, endpoint, if rule.is_some() { WITH_ITS_RULE } else { ALONE }, sentence)
        .resting_on(ids.iter().copied())
        .resting_on(rule)
        .rejecting("tcp.filtered", "The target's answer arrived at this machine.", ids.iter().copied())
        .rejecting("tcp.refused", "The answer accepts the connection.", ids.iter().copied())
        .rejecting("host.permission_denied", "The socket was opened, and the connection was begun.", ids);
    Some(candidate)
}

fn of_endpoint(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>, confidence: f64, sentence: String) -> Candidate {
    // Programs try the next address, such as that of the other family.
    let works = evidence.connected_elsewhere(endpoint).is_some();
    let place = Place { address: Some(endpoint.address.ip()), port: Some(endpoint.address.port()), ..Place::default() };
    Candidate::new(if works { Severity::Degraded } else { Severity::Problem }, confidence, sentence)
        .at(place)
        .about(Spot::Endpoint(endpoint.address))
        .stopping()
        .next(Who::Customer, "Look at the firewall rules of this machine (`nft list ruleset`, Windows Defender Firewall) for what comes in from this address: answers to its own connections have to pass.")
}

fn attempts(count: usize) -> String {
    if count == 1 { "one attempt".to_owned() } else { format!("{count} attempts") }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, answered_with, connected, echo, refused, silent, with_syns};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Chain, Fact, Firewall, FirewallTable};

    const AT: &str = "192.0.2.1:443";

    fn firewall(hook: &str, drop_rules: u32, reject_rules: u32) -> Fact {
        let chain = Chain { name: "c".into(), hook: Some(hook.into()), rules: 1, drop_rules, reject_rules, ..Chain::default() };
        let table = FirewallTable { family: "inet".into(), name: "t".into(), chains: vec![chain] };
        Fact::Firewall(Firewall { tables: vec![table], ..Firewall::default() })
    }

    fn pinged() -> Scene {
        let mut scene = Scene::new("shop.example").check(Kind::Icmp, [echo("192.0.2.1", &[9_000])]);
        scene.be_privileged();
        scene
    }

    #[test]
    fn connections_of_which_no_packet_leaves_are_dropped_by_this_machine() {
        let kept = || [with_syns(silent(AT), 0), with_syns(silent(AT), 0)];
        let finding =
            pinged().check(Kind::Tcp, kept()).check(Kind::Host, [firewall("output", 1, 0)]).finds("host.firewall_local");
        assert!(finding.confidence > 0.9 && finding.sentence.contains("2 attempts"), "{finding:?}");
        assert!(pinged().check(Kind::Tcp, kept()).finds("host.firewall_local").confidence < 0.9, "no rule is known that does it");
    }

    #[test]
    fn where_another_address_of_the_host_works_it_is_felt_less() {
        let kept = || [with_syns(silent("[2001:db8::1]:443"), 0), with_syns(connected(AT), 1)];
        let scene = pinged().check(Kind::Icmp, [echo("2001:db8::1", &[9_000])]).check(Kind::Tcp, kept());
        let finding = scene.check(Kind::Host, [firewall("output", 1, 0)]).finds("host.firewall_local");
        assert_eq!(finding.severity, netsonde_contract::finding::Severity::Degraded);
    }

    #[test]
    fn packets_that_left_were_dropped_elsewhere() {
        let left = [with_syns(silent(AT), 3), with_syns(silent(AT), 0)];
        pinged().check(Kind::Tcp, left).check(Kind::Host, [firewall("output", 1, 0)]).finds("tcp.filtered");
    }

    #[test]
    fn where_nothing_passes_and_no_rule_drops_there_may_be_no_way_out() {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [with_syns(silent(AT), 0)]);
        assert!(!scene.check(Kind::Host, [firewall("input", 1, 0)]).names("host.firewall_local"));
    }

    #[test]
    fn where_connections_stand_unseen_nothing_is_concluded_from_not_seeing_them() {
        let facts = [with_syns(silent(AT), 0), with_syns(connected("192.0.2.1:80"), 0)];
        pinged().check(Kind::Tcp, facts).check(Kind::Host, [firewall("output", 1, 0)]).finds("tcp.filtered");
    }

    #[test]
    fn a_refusal_of_what_never_left_is_this_machines_own() {
        let scene = pinged().check(Kind::Tcp, [with_syns(refused(AT, 60), 0)]);
        scene.check(Kind::Host, [firewall("output", 0, 1)]).finds("host.firewall_local");
        pinged().check(Kind::Tcp, [with_syns(refused(AT, 9_000), 1)]).finds("tcp.refused");
    }

    #[test]
    fn an_answer_that_came_in_and_reached_nobody_is_dropped_here() {
        let mut fact = with_syns(silent(AT), 3);
        if let (Fact::Connect(connect), Fact::Connect(accepted)) = (&mut fact, answered_with(connected(AT), 61)) {
            connect.syn_ack = accepted.syn_ack;
        }
        let finding = pinged().check(Kind::Tcp, [fact]).check(Kind::Host, [firewall("input", 1, 0)]).finds("host.firewall_local");
        assert!(finding.sentence.contains("came in"), "{}", finding.sentence);
    }
}
