use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::wording::{count, named};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::ReplyKind;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("a trace from the target's side back to this machine"),
    ..Rule::new("path.asymmetric", &[], evaluate)
};

/// The first TTL of the reply is taken to be a usual one, and routers that hide themselves count on one way only.
const CONFIDENCE: f64 = 0.6;

/// Ways there and back of most networks differ by a router or two.
const LEAST_DIFFERENCE: u8 = 4;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.addresses().into_iter().filter_map(|address| towards(evidence, address)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let hops = evidence.hops_of(address);
    // The target answers at every distance beyond its own as well: the first is its distance.
    let (hop, back) = hops.iter().find_map(|hop| {
        let replies = hop.fact.probes.iter().filter_map(|probe| probe.reply.as_ref());
        let back: Vec<u8> =
            replies.filter(|reply| reply.kind == ReplyKind::Arrived).filter_map(|reply| reply.return_hops).collect();
        let same = back.first().copied().filter(|first| back.iter().all(|other| other == first))?;
        Some((hop, same))
    })?;
    if hop.ttl.abs_diff(back) < LEAST_DIFFERENCE {
        return None;
    }
    let sentence = format!(
        "The way back from {} is another one than the way there: {} there, and about {back} back, by what its replies had left of their TTL.",
        named(&evidence.host_at(address), address),
        count(hop.ttl.into(), "hop")
    );
    let candidate = Candidate::new(Severity::Notice, CONFIDENCE, sentence)
        .at(Place { address: Some(address), ..Place::default() })
        .resting_on([hop.id])
        .next(
            Who::Network,
            "Nothing has to be done for this alone. Where firewalls keep track of connections on only one of the two ways, or only one direction loses packets, trace from the other side as well.",
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, trace};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    fn scene(back: u8) -> Scene {
        let mut facts = trace("192.0.2.1", &["10.0.0.1", "10.9.0.1", "192.0.2.1"]);
        if let Fact::Hop(hop) = &mut facts[2] {
            hop.probes[0].reply.as_mut().unwrap().return_hops = Some(back);
        }
        Scene::new("shop.example").check(Kind::Traceroute, facts)
    }

    #[test]
    fn a_way_back_that_is_much_longer_is_worth_knowing() {
        let scene = scene(9);
        assert_eq!(scene.is_healthy(), ["path.asymmetric"]);
        assert!(scene.diagnose().findings[0].sentence.contains("3 hops there, and about 9 back"));
    }

    #[test]
    fn a_router_more_or_less_is_everyday() {
        assert!(scene(5).is_healthy().is_empty());
    }
}
