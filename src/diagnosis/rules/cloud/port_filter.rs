use super::runs_in;
use crate::candidate::Candidate;
use crate::evidence::{Endpoint, Evidence, is_private};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["tcp.filtered"],
    settled_by: Some(
        "a capture on the target: a connection that arrives there is dropped by its own firewall, one that does not by the cloud's rules",
    ),
    ..Rule::new("cloud.port_filter", &["path.blackhole", "tcp.refused"], evaluate)
};

/// Nothing but the cloud's rules and the target's own firewall lies between; which of the two it is, is not seen from here.
const CONFIDENCE: f64 = 0.85;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let Some((cloud, known)) = runs_in(evidence) else { return Vec::new() };
    evidence.endpoints().iter().filter_map(|endpoint| filtered(evidence, endpoint, &cloud, &known)).collect()
}

fn filtered(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>, cloud: &str, known: &[&ObservationId]) -> Option<Candidate> {
    let address = endpoint.address.ip();
    let alive = evidence.answered(address);
    if !endpoint.silent() || alive.is_empty() || !is_private(address) || evidence.is_own(address) {
        return None;
    }
    let near = near(evidence, endpoint)?;
    let (host, port) = (named(endpoint.host(), address), endpoint.address.port());
    let ids: Vec<&ObservationId> = endpoint.ids().collect();
    let severity = if evidence.connected_elsewhere(endpoint).is_some() { Severity::Degraded } else { Severity::Problem };
    let sentence = format!(
        "A security rule drops connections to {host} on port {port}: this machine runs in {cloud}, the target is in the same private network with no router \
         between, and it answers otherwise."
    );
    let action = format!(
        "Look at the security rules of {cloud} on both sides, for the target's subnet and interface inwards and for this machine's outwards: allow TCP port \
         {port} to {address}. If they do, look at the target's own firewall."
    );
    let candidate = Candidate::new(severity, CONFIDENCE, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(ids.iter().copied())
        .resting_on(near)
        .resting_on(alive.iter().copied())
        .resting_on(known.iter().copied())
        .rejecting("path.blackhole", "The address answers on another port or protocol: the way to it is open.", alive)
        .rejecting("tcp.refused", "No refusal came back.", ids)
        .next(Who::Customer, action);
    Some(candidate)
}

/// What shows that no router lies between: the route, or a trace whose first distance is the target. The clouds' own routers show in neither.
fn near<'a>(evidence: &Evidence<'a>, endpoint: &Endpoint<'_>) -> Option<Vec<&'a ObservationId>> {
    let address = endpoint.address.ip();
    let hops = evidence.hops_of(address);
    let first = hops.iter().find(|hop| hop.ttl == 1 && hop.addresses().contains(&address));
    if let Some(hop) = first {
        return Some(vec![hop.id]);
    }
    let on_link = evidence.on_link(address) == Some(true);
    on_link.then(|| evidence.route_of(address).map(|route| route.id).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, cloud_hint, cloud_machine, connected, echo, interface, refused, silent, trace};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{CloudProvider, Fact};

    const CAUSE: &str = "cloud.port_filter";

    fn silent_port(address: &str) -> Scene {
        let endpoint = format!("{address}:5432");
        Scene::new("db.example").check(Kind::Tcp, [silent(&endpoint), silent(&endpoint), silent(&endpoint)])
    }

    #[test]
    fn a_silent_port_of_a_living_neighbour_in_a_cloud_points_at_a_security_rule() {
        let scene = silent_port("10.0.2.5").check(Kind::Host, [cloud_machine("azure")]);
        let finding = scene.check(Kind::Traceroute, trace("10.0.2.5", &["10.0.2.5"])).finds(CAUSE);
        assert!(finding.sentence.contains("runs in Azure") && finding.refines == ["tcp.filtered"], "{finding:?}");
    }

    #[test]
    fn the_own_network_is_near_without_a_trace() {
        let facts: [Fact; 2] = [interface("10.0.2.4/24"), cloud_hint(Some(CloudProvider::Aws))];
        silent_port("10.0.2.5").check(Kind::Host, facts).check(Kind::Icmp, [echo("10.0.2.5", &[900])]).finds(CAUSE);
    }

    #[test]
    fn a_router_between_a_public_address_or_a_machine_of_no_cloud_leave_it_a_filter() {
        let cloud = || cloud_machine("aws");
        let far = silent_port("10.0.2.5").check(Kind::Host, [cloud()]);
        far.check(Kind::Traceroute, trace("10.0.2.5", &["10.0.1.1", "10.0.2.5"])).finds("tcp.filtered");
        let public = silent_port("192.0.2.1").check(Kind::Host, [cloud()]);
        public.check(Kind::Traceroute, trace("192.0.2.1", &["192.0.2.1"])).finds("tcp.filtered");
        let own = silent_port("10.0.2.5").check(Kind::Host, [interface("10.0.2.4/24")]);
        own.check(Kind::Traceroute, trace("10.0.2.5", &["10.0.2.5"])).finds("tcp.filtered");
    }

    #[test]
    fn a_refusal_or_a_silent_host_is_no_filter() {
        let machine = || Scene::new("db.example").check(Kind::Host, [cloud_machine("azure"), interface("10.0.2.4/24")]);
        assert!(!machine().check(Kind::Tcp, [refused("10.0.2.5:5432", 300)]).names(CAUSE));
        assert!(!machine().check(Kind::Tcp, [silent("10.0.2.5:5432")]).check(Kind::Icmp, [echo("10.0.2.5", &[])]).names(CAUSE));
        assert!(!machine().check(Kind::Tcp, [connected("10.0.2.5:5432")]).names(CAUSE));
    }
}
