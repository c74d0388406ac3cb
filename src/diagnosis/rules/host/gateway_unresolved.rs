use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::failure::IcmpMeaning;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Lookup, Neighbour};
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    settled_by: Some("the state of the gateway in this machine's neighbour table (`ip neigh`)"),
    ..Rule::new("host.gateway_unresolved", &["path.no_route", "path.target_down"], evaluate)
};

/// The system gave up after it had looked for the gateway's hardware address; the neighbour table itself is not read.
const CONFIDENCE: f64 = 0.88;

/// Pods and some clouds have such an entry that is right, and anything may be silent behind it.
const BY_HAND: f64 = 0.6;
/// How the system calls an entry that was made by hand.
const PERMANENT: &str = "permanent";

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let addresses = evidence.addresses();
    if addresses.is_empty() {
        return to_resolver(evidence).into_iter().collect();
    }
    addresses.into_iter().filter_map(|address| towards(evidence, address).or_else(|| entered_wrong(evidence, address))).collect()
}

/// The name could not be looked up, because not even the gateway to a name server answers.
fn to_resolver(evidence: &Evidence<'_>) -> Option<Candidate> {
    let names = evidence.names();
    let view = names.iter().find(|view| !view.servers.is_empty() && !view.resolved())?;
    if view.servers.iter().any(|server| !server.answers().is_empty()) {
        return None;
    }
    let of_own = |lookup: &&Seen<'_, Lookup>| {
        let error = lookup.failure.as_ref().and_then(|failure| failure.icmp.as_ref());
        error.is_some_and(|error| error.meaning() == IcmpMeaning::HostUnreachable && evidence.is_own(error.offender))
    };
    let beyond = view.servers.iter().filter(|server| evidence.on_link(server.server.ip()) == Some(false));
    let (server, ids) = beyond
        .map(|server| (server, server.lookups.iter().filter(of_own).map(|lookup| lookup.id).collect::<Vec<_>>()))
        .find(|(_, ids)| !ids.is_empty())?;
    let address = server.server.ip();
    let sentence = format!(
        "This machine gets no answer from its gateway on its own network, so that nothing to its name server {address} leaves the first cable, and {} cannot be looked up.",
        view.name
    );
    let candidate = Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .at(Place { resolver: Some(address), ..Place::default() })
        .about(Spot::Everything)
        .stopping()
        .resting_on(ids.iter().copied())
        .resting_on(view.system_failures())
        .rejecting("path.no_route", "The error carries this machine's own address, not a router's.", ids)
        .next(
            Who::Network,
            "Look at this machine's gateway: is it switched on, connected to the same network, and is its address right?",
        );
    Some(candidate)
}

/// The gateway's hardware address was entered by hand, and nothing comes back through it: it may be another machine's, or nobody's.
fn entered_wrong(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    let route = evidence.route_of(address)?;
    let gateway = route.gateway.filter(|_| evidence.on_link(address) == Some(false))?;
    let by_hand = |entry: &&Neighbour| entry.gateway && entry.address == gateway && entry.state == PERMANENT;
    let (table, entry) = evidence.neighbours.iter().find_map(|table| Some((table, table.fact.entries.iter().find(by_hand)?)))?;
    // A router that was heard of, on whatever way, is behind this gateway.
    let hops = evidence.hops.iter().chain(&evidence.hops_elsewhere);
    let heard_of_router = hops.flat_map(|hop| &hop.fact.probes).any(|probe| probe.reply.is_some());
    let names = evidence.names();
    let mut servers = names.iter().flat_map(|view| &view.servers);
    let heard_of_server =
        servers.any(|server| !server.answers().is_empty() && evidence.on_link(server.server.ip()) != Some(true));
    let traced: Vec<&ObservationId> = evidence.traces_of(address).map(|trace| trace.id).collect();
    let connected = evidence.attempts_elsewhere().iter().any(|attempt| attempt.connected());
    if traced.is_empty() || heard_of_router || heard_of_server || connected || !evidence.is_silent(address) {
        return None;
    }
    let hardware = entry.hardware_address.as_deref().unwrap_or("none");
    let sentence = format!(
        "Nothing comes back through this machine's gateway {gateway}, not even the gateway's own word, and its hardware address ({hardware}) was entered by hand: it may be the wrong one."
    );
    let candidate = Candidate::new(Severity::Problem, BY_HAND, sentence)
        .at(Place { address: Some(gateway), interface: Some(entry.interface.clone()), ..Place::default() })
        .about(Spot::Address(address))
        .stopping()
        .resting_on([table.id, route.id])
        .resting_on(traced)
        .rejecting(
            "path.target_down",
            "The route leads through a gateway: the target is not on this machine's own network.",
            [route.id],
        )
        .next(
            Who::Customer,
            format!("Compare the static entry of {gateway} (`ip neigh show nud permanent`) with the gateway's own hardware address, or delete it (`ip neigh del {gateway} dev {}`) so that the system asks for it.", entry.interface),
        );
    Some(candidate)
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
        named(&evidence.host_at(address), address)
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
    use crate::scene::{Scene, dns_silent, failure, icmp, icmp_ended, interface, route, silent, system, trace, with_lookup};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::{Fact, Neighbour, Neighbours};

    #[test]
    fn a_name_server_behind_a_gateway_that_nobody_answers_for_is_not_what_is_dead() {
        for (cidr, cause) in [("10.0.0.100/24", "host.gateway_unresolved"), ("10.0.0.100/8", "dns.resolver_unreachable")] {
            let asked = with_lookup(dns_silent("10.9.0.53", "shop.example", "A"), |lookup| {
                let mut failed = failure(FailureCode::HostUnreachable, Step::Receive);
                failed.icmp = Some(icmp("10.0.0.100", 3, 1));
                lookup.failure = Some(failed);
            });
            let scene = Scene::new("shop.example").check(Kind::Host, [interface(cidr)]);
            scene.check(Kind::Dns, [asked, system("shop.example", &[])]).finds(cause);
        }
    }

    /// Silence behind a gateway whose entry has this state, with what a trace heard.
    fn silent_behind(state: &str, hops: &[&str]) -> Scene {
        let entry = Neighbour {
            address: "10.0.0.1".parse().unwrap(),
            interface: "eth0".into(),
            state: state.into(),
            hardware_address: Some("02:00:00:00:00:99".into()),
            gateway: true,
        };
        let table = Fact::Neighbours(Neighbours { entries: vec![entry], total: 1 });
        Scene::new("shop.example")
            .check(Kind::Host, [interface("10.0.0.100/24"), route("192.0.2.1", Some("10.0.0.1")), table])
            .check(Kind::Tcp, [silent("192.0.2.1:443")])
            .check(Kind::Traceroute, trace("192.0.2.1", hops))
    }

    #[test]
    fn silence_behind_an_entry_by_hand_may_be_the_wrong_hardware_address() {
        let finding = silent_behind("permanent", &["*", "*"]).finds("host.gateway_unresolved");
        assert!(finding.sentence.contains("02:00:00:00:00:99") && finding.confidence <= 0.6, "{finding:#?}");
        for (state, hops) in [("reachable", ["*", "*"]), ("permanent", ["10.0.0.1", "*"])] {
            assert!(!silent_behind(state, &hops).names("host.gateway_unresolved"), "{state} {hops:?}");
        }
    }

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
