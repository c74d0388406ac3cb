use crate::candidate::Candidate;
use crate::evidence::{Evidence, is_barred, is_without_route};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule::new("host.no_route", &["path.no_route"], evaluate);

/// The operating system itself says so, before anything is sent.
const CONFIDENCE: f64 = 0.97;

/// The socket was opened and every name server barred: a route of type prohibit does that, and so may a security policy.
const BARRED: f64 = 0.8;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let addresses = evidence.addresses();
    let found = if addresses.is_empty() { to_resolvers(evidence) } else { to_target(evidence, &addresses) };
    found.or_else(|| to_others(evidence)).into_iter().collect()
}

/// Hosts that a check asks beside the target, such as further time servers, and the cloud's own addresses: all without a route. One of
/// them alone says that its network is not this machine's.
fn to_others(evidence: &Evidence<'_>) -> Option<Candidate> {
    let asked: Vec<_> = evidence.sendings_beside().collect();
    // A machine that has no address of a family at all says so before it looks for a route.
    let without_address = |failure: &Failure| failure.code == FailureCode::AddressNotAvailable && failure.icmp.is_none();
    let unsent = |failure: &Failure| is_without_route(failure) || without_address(failure);
    let unrouted = asked.iter().any(|sending| sending.failure.is_some_and(is_without_route))
        && asked.iter().all(|sending| !sending.answered && sending.failure.is_some_and(unsent));
    let works = evidence.attempts().iter().any(|attempt| attempt.connected());
    if !unrouted || works {
        return None;
    }
    let mut addresses: Vec<IpAddr> = asked.iter().map(|sending| sending.address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let sentence =
        format!("This machine has no route to {}: its own routing table leads nowhere, and nothing was sent.", list(&addresses));
    let ids: Vec<&ObservationId> = asked.iter().map(|sending| sending.id).collect();
    let place = Place { address: addresses.first().copied(), ..Place::default() };
    let action = "Look at the routing table (`ip route`, `route print`): the machine is most likely without a network or a default gateway.";
    Some(candidate(sentence, place, &ids).next(Who::Customer, action))
}

/// Every address of the target is without a route. That one family has none, as on a machine with IPv4 only, is no fault while
/// the other has one.
fn to_target(evidence: &Evidence<'_>, addresses: &[IpAddr]) -> Option<Candidate> {
    let mut ids = Vec::new();
    for address in addresses {
        let here = evidence.without_route(*address);
        if here.is_empty() || !evidence.answered(*address).is_empty() {
            return None;
        }
        ids.extend(here);
    }
    let host = evidence.host();
    let shown =
        if addresses.iter().any(|address| address.to_string() == host) { host } else { format!("{host} ({})", list(addresses)) };
    let place = Place { address: addresses.first().copied(), ..Place::default() };
    let (sentence, action) = match lacking_family(evidence, addresses) {
        Some(Lacking::V4) => {
            (format!("This machine has no IPv4 address, and {shown} is reached by IPv4 alone: nothing was sent."), WITHOUT_V4)
        }
        Some(Lacking::V6) => {
            (format!("This machine has no IPv6 address, and {shown} is reached by IPv6 alone: nothing was sent."), WITHOUT_V6)
        }
        None => (
            format!("This machine has no route to {shown}: its own routing table leads nowhere, and nothing was sent."),
            "Look at the routing table (`ip route`, `route print`): connect the network or VPN that leads there, or add the missing route.",
        ),
    };
    Some(candidate(sentence, place, &ids).next(Who::Customer, action))
}

/// A family of which this machine has no address beyond its own links.
enum Lacking {
    V4,
    V6,
}

const WITHOUT_V4: &str = "Use a name that has an IPv6 address too, or reach IPv4 from here through a proxy or through NAT64 with DNS64, which translates names and no addresses \
     that were typed; or give this machine an IPv4 address.";
const WITHOUT_V6: &str = "Use a name that has an IPv4 address too, or give this machine IPv6.";

/// The one family of all these addresses, where no interface has an address of it; none where no interface was read.
fn lacking_family(evidence: &Evidence<'_>, addresses: &[IpAddr]) -> Option<Lacking> {
    if evidence.own_addresses().is_empty() {
        return None;
    }
    let lacks = |v4: bool| {
        addresses.iter().all(|address| address.is_ipv4() == v4) && !evidence.own_addresses().iter().any(|own| own.is_ipv4() == v4)
    };
    match (lacks(true), lacks(false)) {
        (true, _) => Some(Lacking::V4),
        (_, true) => Some(Lacking::V6),
        _ => None,
    }
}

/// The name could not be looked up because no name server can be sent to.
fn to_resolvers(evidence: &Evidence<'_>) -> Option<Candidate> {
    let names = evidence.names();
    let view = names.iter().find(|view| !view.servers.is_empty() && !view.resolved())?;
    let lookups = || view.servers.iter().flat_map(|server| &server.lookups);
    let all = |barred: fn(&Failure) -> bool| lookups().all(|lookup| lookup.failure.as_ref().is_some_and(barred));
    let confidence = match (all(is_without_route), all(is_barred)) {
        (true, _) => CONFIDENCE,
        (_, true) => BARRED,
        _ => return None,
    };
    let servers: Vec<IpAddr> = view.servers.iter().map(|server| server.server.ip()).collect();
    let ids: Vec<&ObservationId> = lookups().map(|lookup| lookup.id).chain(view.system_failures()).collect();
    let sentence = format!(
        "This machine has no route to its name server {}: nothing was sent, so that {} could not be looked up.",
        list(&servers),
        view.name
    );
    let place = Place { resolver: servers.first().copied(), ..Place::default() };
    let action = "Look at the routing table (`ip route`, `route print`): the machine is most likely without a network or a default gateway.";
    let mut candidate = candidate(sentence, place, &ids).next(Who::Customer, action);
    candidate.confidence = confidence;
    Some(candidate.settled_by("`ip route get` with the name server's address: a route of type prohibit is named there"))
}

fn candidate(sentence: String, place: Place, ids: &[&ObservationId]) -> Candidate {
    Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .at(place)
        .about(Spot::Everything)
        .stopping()
        .resting_on(ids.iter().copied())
        .rejecting(
            "path.no_route",
            "The refusal came from this machine itself, without an ICMP error from a router.",
            ids.iter().copied(),
        )
}

#[cfg(test)]
mod tests {
    use crate::scene::{
        Scene, connect, connected, failure, icmp, icmp_ended, interface, no_reply, no_route, refused, route, system,
    };
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;

    fn unreachable(address: &str) -> netsonde_contract::observation::Fact {
        connect(address, 30, Some(failure(FailureCode::NetworkUnreachable, Step::Connect)))
    }

    #[test]
    fn a_machine_without_a_default_gateway_has_no_route() {
        let scene = Scene::new("192.0.2.1").check(Kind::Host, [no_route("192.0.2.1")]);
        let finding = scene.check(Kind::Tcp, [unreachable("192.0.2.1:443")]).finds("host.no_route");
        assert_eq!(finding.evidence.len(), 2);
        assert_eq!(
            finding.sentence,
            "This machine has no route to 192.0.2.1: its own routing table leads nowhere, and nothing was sent."
        );
    }

    #[test]
    fn a_machine_of_one_family_is_told_that_it_has_not_the_other() {
        let finding = |own: &str, target: &str, at: &str| {
            let facts = [interface("127.0.0.1/8"), interface("fe80::1/64"), interface(own), no_route(target)];
            Scene::new(target).check(Kind::Host, facts).check(Kind::Tcp, [unreachable(at)]).finds("host.no_route")
        };
        let without_v4 = finding("2001:db8::7/64", "192.0.2.1", "192.0.2.1:443");
        assert!(without_v4.sentence.starts_with("This machine has no IPv4 address, and 192.0.2.1 "), "{}", without_v4.sentence);
        assert!(without_v4.next_step.action.contains("NAT64"), "{without_v4:?}");
        let without_v6 = finding("10.0.0.100/24", "2001:db8::1", "[2001:db8::1]:443");
        assert!(without_v6.sentence.starts_with("This machine has no IPv6 address"), "{}", without_v6.sentence);
        let of_both = finding("10.0.0.100/24", "192.0.2.1", "192.0.2.1:443");
        assert!(of_both.sentence.starts_with("This machine has no route to"), "{}", of_both.sentence);
    }

    fn nowhere(during: Step) -> netsonde_contract::failure::Failure {
        failure(FailureCode::NetworkUnreachable, during)
    }

    #[test]
    fn every_kind_that_meets_a_machine_without_a_network_names_it() {
        let at = "192.0.2.1:443";
        let kinds = [
            (Kind::Quic, crate::scene::quic(at, |quic| quic.failure = Some(nowhere(Step::Open)))),
            (Kind::Ntp, crate::scene::time_refused(at, nowhere(Step::Open))),
            (Kind::Tls, crate::scene::handshake(|handshake| handshake.failure = Some(nowhere(Step::Connect)))),
            (Kind::Service, crate::scene::service(|service| service.failure = Some(nowhere(Step::Connect)))),
            (
                Kind::Reflect,
                crate::scene::reflection(at, 0, 0, |fact| (fact.received, fact.failure) = (0, Some(nowhere(Step::Open)))),
            ),
            (Kind::Load, crate::scene::unloaded("https://192.0.2.1/", FailureCode::NetworkUnreachable)),
        ];
        for (kind, fact) in kinds {
            let host = if kind == Kind::Ntp { "time.example" } else { "shop.example" };
            Scene::new(host).check(kind, [fact]).finds("host.no_route");
        }
        let clouds = netsonde_contract::observation::CloudProvider::ALL;
        let silent = clouds.map(|cloud| crate::scene::metadata(cloud, Some(FailureCode::NetworkUnreachable)));
        Scene::new("shop.example").check(Kind::Cloud, silent).finds("host.no_route");
    }

    #[test]
    fn one_further_time_server_without_a_route_is_no_machine_without_a_network() {
        let facts =
            [crate::scene::time_offset("192.0.2.1:123", 0), crate::scene::time_refused("[2001:db8::1]:123", nowhere(Step::Open))];
        assert!(!Scene::new("pool.example").check(Kind::Ntp, facts).names("host.no_route"));
    }

    #[test]
    fn without_a_route_to_the_resolver_the_name_server_is_not_blamed() {
        let lost = |record_type| {
            no_reply("10.0.0.53", "shop.example", record_type, failure(FailureCode::NetworkUnreachable, Step::Send))
        };
        let scene = Scene::new("shop.example").check(Kind::Dns, [lost("A"), lost("AAAA"), system("shop.example", &[])]);
        scene.finds("host.no_route");
    }

    #[test]
    fn name_servers_that_a_route_bars_are_no_missing_right() {
        let barred = |record_type| {
            no_reply("10.0.0.53", "shop.example", record_type, failure(FailureCode::PermissionDenied, Step::Connect))
        };
        let scene = Scene::new("shop.example").check(Kind::Dns, [barred("A"), barred("AAAA"), system("shop.example", &[])]);
        assert_eq!(scene.finds("host.no_route").confidence, 0.8);
    }

    #[test]
    fn a_route_of_type_unreachable_or_prohibit_is_this_machines_own_table() {
        for code in [FailureCode::HostUnreachable, FailureCode::PermissionDenied] {
            let failed = failure(code.clone(), Step::Open);
            let mut fact = no_route("192.0.2.1");
            if let netsonde_contract::observation::Fact::Route(route) = &mut fact {
                route.failure = Some(failed);
            }
            let scene = Scene::new("192.0.2.1").check(Kind::Host, [fact]);
            scene.check(Kind::Tcp, [connect("192.0.2.1:443", 30, Some(failure(code, Step::Connect)))]).finds("host.no_route");
        }
    }

    #[test]
    fn a_route_that_could_not_be_looked_up_is_not_a_missing_one() {
        let mut fact = no_route("192.0.2.1");
        if let netsonde_contract::observation::Fact::Route(route) = &mut fact {
            route.failure = Some(failure(FailureCode::PermissionDenied, Step::Open));
        }
        let scene = Scene::new("192.0.2.1").check(Kind::Host, [fact]).check(Kind::Tcp, [crate::scene::silent("192.0.2.1:443")]);
        scene.is_unexplained();
    }

    #[test]
    fn ipv6_without_a_route_is_no_fault_where_ipv4_works() {
        let scene = Scene::new("shop.example").check(Kind::Host, [no_route("2001:db8::1"), route("192.0.2.1", Some("10.0.0.1"))]);
        let scene = scene.check(Kind::Tcp, [unreachable("[2001:db8::1]:443"), connected("192.0.2.1:443")]);
        assert!(scene.is_healthy().is_empty());
    }

    #[test]
    fn ipv6_without_a_route_does_not_hide_what_is_wrong_with_ipv4() {
        let scene =
            Scene::new("shop.example").check(Kind::Tcp, [unreachable("[2001:db8::1]:443"), refused("192.0.2.1:443", 900)]);
        scene.finds("tcp.refused");
    }

    #[test]
    fn a_router_that_has_no_route_is_not_this_machine() {
        let error = icmp("10.9.0.1", 3, 0);
        let scene = Scene::new("shop.example")
            .check(Kind::Tcp, [icmp_ended("192.0.2.1:443", 9_000, FailureCode::NetworkUnreachable, error)]);
        scene.finds("path.no_route");
    }
}
