use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::rules::path::routing_loop::goes_round;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Who};
use netsonde_contract::id::ObservationId;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["path.target_silent"],
    settled_by: Some("traces to more addresses behind the last router that answers, from here and from another network"),
    ..Rule::new("path.blackhole", &["path.target_silent", "path.routing_loop", "tcp.filtered"], evaluate)
};

/// The last router that answers passes traffic on to others; that the target itself answers nothing is the other possibility.
const CONFIDENCE: f64 = 0.75;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.addresses().into_iter().filter_map(|address| towards(evidence, address)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    if !evidence.is_silent(address) || !evidence.silence_matters(address) || goes_round(evidence, address) {
        return None;
    }
    // The last router of a trace that was to go no further says nothing of what is behind it.
    evidence.traces_of(address).next()?;
    let (hop, router, id) = evidence.last_router(address)?;
    let beyond = passes_on(evidence, address, router)?;
    let host = named(&evidence.host_at(address), address);
    let sentence = format!(
        "Everything sent to {host} is lost behind the router {router} (hop {hop}), which passes traffic to other targets on: the way from there is broken."
    );
    let tried: Vec<&ObservationId> = evidence.sent_to(address);
    let hops: Vec<&ObservationId> = evidence.hops_of(address).iter().map(|hop| hop.id).collect();
    let candidate = Candidate::new(evidence.severity_at(address), CONFIDENCE, sentence)
        .at(Place { hop: Some(hop), address: Some(router), ..Place::default() })
        .about(Spot::Address(address))
        .stopping()
        .resting_on(tried.iter().copied())
        .resting_on([id, beyond])
        .rejecting("path.routing_loop", "The routers on the way do not repeat.", hops)
        .rejecting("tcp.filtered", "No port or protocol of the address answers.", tried)
        .next(
            Who::Network,
            format!("Ask whoever runs {router} (hop {hop}) for its route to {address} and for what stands behind it."),
        );
    Some(candidate)
}

/// On the way to another target of the run the router answers, at a distance behind which others answer too.
fn passes_on<'a>(evidence: &Evidence<'a>, address: IpAddr, router: IpAddr) -> Option<&'a ObservationId> {
    let at = |hop: &&crate::evidence::Seen<'a, netsonde_contract::observation::Hop>| hop.addresses().contains(&router);
    evidence.hops_elsewhere.iter().filter(|hop| hop.target != address).filter(at).find_map(|hop| {
        let farther = evidence.hops_elsewhere.iter().filter(|far| far.target == hop.target && far.ttl > hop.ttl);
        let passed = farther.filter(|far| far.addresses().iter().any(|from| *from != router));
        // Where a neighbour on the target's own network answers, the way to that network is whole, and the target itself is missing.
        passed.filter(|far| !far.addresses().iter().any(|from| is_beside(*from, address))).map(|far| far.id).next()
    })
}

/// On the same network, as far as the usual sizes of networks tell: 24 bits of IPv4 and 64 of IPv6.
fn is_beside(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        (IpAddr::V6(one), IpAddr::V6(other)) => one.segments()[..4] == other.segments()[..4],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, silent, trace};
    use netsonde_contract::kind::Kind;

    fn silent_target() -> Scene {
        let scene = Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443")]);
        scene.check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "10.0.2.1", "*", "*"]))
    }

    #[test]
    fn a_router_that_passes_others_on_and_this_target_not_is_where_it_is_lost() {
        let way = ["10.0.1.1", "10.0.2.1", "10.0.3.1", "198.51.100.1"];
        let scene = silent_target().target("other.example").check(Kind::Traceroute, trace("198.51.100.1", &way));
        let finding = scene.finds("path.blackhole");
        assert_eq!((finding.place.hop, finding.refines), (Some(2), vec!["path.target_silent".to_owned()]));
    }

    #[test]
    fn a_router_behind_which_nobody_answers_proves_nothing() {
        let scene = silent_target()
            .target("other.example")
            .check(Kind::Traceroute, trace("198.51.100.1", &["10.0.1.1", "10.0.2.1", "*"]));
        scene.finds("path.target_silent");
    }

    #[test]
    fn another_target_that_goes_another_way_proves_nothing() {
        let scene = silent_target()
            .target("other.example")
            .check(Kind::Traceroute, trace("198.51.100.1", &["10.0.1.1", "10.0.9.1", "198.51.100.1"]));
        scene.finds("path.target_silent");
    }
}
