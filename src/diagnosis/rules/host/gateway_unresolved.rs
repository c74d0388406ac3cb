use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the state of the gateway in this machine's neighbour table (`ip neigh`)"),
    ..Rule::new("host.gateway_unresolved", &["path.no_route", "path.target_down"], evaluate)
};

/// The system gave up after it had looked for the gateway's hardware address; the neighbour table itself is not read.
const CONFIDENCE: f64 = 0.88;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.addresses().into_iter().filter_map(|address| towards(evidence, address)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    if evidence.on_link(address) != Some(false) || !evidence.answered(address).is_empty() {
        return None;
    }
    let ids: Vec<&ObservationId> = evidence.next_hop_unresolved(address);
    ids.first()?;
    let route = evidence.route_of(address);
    let gateway = route.and_then(|route| route.gateway);
    let shown = gateway.map_or_else(|| "its gateway".to_owned(), |gateway| format!("its gateway {gateway}"));
    let sentence = format!(
        "This machine gets no answer from {shown} on its own network, so that nothing to {} leaves the first cable.",
        named(&evidence.host(), address)
    );
    let candidate = Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .at(Place { address: gateway, interface: route.and_then(|route| route.fact.interface.clone()), ..Place::default() })
        .about(Spot::Address(address))
        .stopping()
        .resting_on(ids.iter().copied())
        .resting_on(route.map(|route| route.id))
        .rejecting("path.no_route", "The error carries this machine's own address, not a router's.", ids)
        .rejecting(
            "path.target_down",
            "The route leads through a gateway: the target is not on this machine's own network.",
            route.map(|route| route.id),
        )
        .next(
            Who::Network,
            format!("Look at {shown}: is it switched on, connected to the same network, and is its address right?"),
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, icmp, icmp_ended, route};
    use netsonde_contract::failure::FailureCode;
    use netsonde_contract::kind::Kind;

    fn scene(gateway: Option<&str>, offender: &str) -> Scene {
        let error = icmp(offender, 3, 1);
        Scene::new("shop.example")
            .check(Kind::Host, [route("192.0.2.1", gateway)])
            .check(Kind::Tcp, [icmp_ended("192.0.2.1:443", 3_050_000, FailureCode::HostUnreachable, error)])
    }

    #[test]
    fn host_unreachable_with_our_own_address_means_that_the_gateway_is_silent() {
        let finding = scene(Some("10.0.0.1"), "10.0.0.100").finds("host.gateway_unresolved");
        assert!(finding.sentence.contains("its gateway 10.0.0.1"), "{}", finding.sentence);
    }

    #[test]
    fn on_the_own_link_it_is_the_target_that_is_down() {
        scene(None, "10.0.0.100").finds("path.target_down");
    }

    #[test]
    fn host_unreachable_from_a_router_is_not_the_gateways_silence() {
        assert!(!scene(Some("10.0.0.1"), "10.5.0.1").names("host.gateway_unresolved"));
    }
}
