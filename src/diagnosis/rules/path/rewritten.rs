use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::wording::{list, named};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::{Hop, Quoted};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule =
    Rule { settled_by: Some("a capture on both sides of the hop before"), ..Rule::new("path.rewritten", &[], evaluate) };

/// The router quotes the packet as it got it.
const CONFIDENCE: f64 = 0.88;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.addresses().into_iter().filter_map(|address| towards(evidence, address)).collect()
}

/// The nearest hop that quotes something else than was sent: the change happened before it, and every later one sees it too.
fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let mut hops = evidence.hops_of(address);
    hops.extend(evidence.marked_hops.iter().filter(|hop| hop.target == address).copied());
    let (hop, router, changes) = hops.iter().find_map(|hop| changed(hop).map(|(router, changes)| (hop, router, changes)))?;
    let sentence = format!(
        "Something on the way to {} changes packets before hop {} ({router}): {}.",
        named(&evidence.host_at(address), address),
        hop.ttl,
        list(&changes)
    );
    let candidate = Candidate::new(Severity::Notice, CONFIDENCE, sentence)
        .at(Place { hop: Some(hop.ttl), address: Some(router), ..Place::default() })
        .resting_on([hop.id])
        .next(
            Who::Network,
            "Nothing has to be done where address translation or a network's own marking is known to be there; else ask whoever runs the hop before this one what changes the packets.",
        );
    Some(candidate)
}

fn changed(hop: &Seen<'_, Hop>) -> Option<(IpAddr, Vec<String>)> {
    let replies = hop.fact.probes.iter().filter_map(|probe| probe.reply.as_ref());
    let mut found = replies.filter_map(|reply| Some((reply.from, changes(reply.quoted.as_ref()?))));
    found.find(|(_, changes)| !changes.is_empty())
}

fn changes(quoted: &Quoted) -> Vec<String> {
    let mark = |what: &str, sent: Option<u8>, now: u8| sent.map(|sent| format!("{what} {sent} became {now}"));
    let field = |what: &str, changed: Option<netsonde_contract::observation::Changed>| {
        changed.map(|changed| format!("{what} {} became {}", changed.sent, changed.quoted))
    };
    let all = [
        mark("the traffic class (DSCP)", quoted.dscp_sent, quoted.dscp),
        mark("the congestion mark (ECN)", quoted.ecn_sent, quoted.ecn),
        quoted.source.map(|source| format!("the source address became {source}")),
        field("source port", quoted.source_port),
        field("destination port", quoted.destination_port),
        field("identification", quoted.identification),
    ];
    let mut told: Vec<String> = all.into_iter().flatten().collect();
    // A checksum changes with what it covers; alone it tells of addresses that were changed and changed back.
    if told.is_empty() && quoted.checksum.is_some() {
        told.push("the checksum, as a translator of addresses has to".to_owned());
    }
    told
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, trace};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Quoted};

    fn scene(quoted: Quoted) -> Scene {
        let mut facts = trace("192.0.2.1", &["10.0.0.1", "10.9.0.1", "192.0.2.1"]);
        if let Fact::Hop(hop) = &mut facts[1] {
            hop.probes[0].reply.as_mut().unwrap().quoted = Some(quoted);
        }
        Scene::new("shop.example").check(Kind::Traceroute, facts)
    }

    #[test]
    fn a_mark_that_was_set_on_the_way_is_told_with_the_hop_that_saw_it() {
        let scene = scene(Quoted { ttl: 1, dscp: 8, dscp_sent: Some(0), ..Quoted::default() });
        assert_eq!(scene.is_healthy(), ["path.rewritten"]);
        let sentence = scene.diagnose().findings.remove(0).sentence;
        assert!(sentence.contains("before hop 2 (10.9.0.1): the traffic class (DSCP) 0 became 8"), "{sentence}");
    }

    #[test]
    fn a_packet_that_is_quoted_as_it_was_sent_was_not_changed() {
        assert!(scene(Quoted { ttl: 1, ..Quoted::default() }).is_healthy().is_empty());
    }
}
