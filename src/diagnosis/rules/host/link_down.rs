use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::{list, named};
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::Interface;
use std::net::IpAddr;

pub(in crate::rules) const RULE: Rule = Rule {
    refines: &["host.no_route", "host.gateway_unresolved"],
    ..Rule::new("host.link_down", &["host.no_route", "host.gateway_unresolved"], evaluate)
};

/// The system says so of its own interface.
const CONFIDENCE: f64 = 0.95;

/// Kinds of interface that join others, and have no carrier by themselves while none of these has one.
const JOINING_KINDS: [&str; 4] = ["bridge", "dummy", "ifb", "ovs-system"];

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let addresses = evidence.addresses();
    if addresses.is_empty() {
        return unlinked(evidence).into_iter().collect();
    }
    addresses.into_iter().filter_map(|address| towards(evidence, address)).collect()
}

fn towards(evidence: &Evidence<'_>, address: IpAddr) -> Option<Candidate> {
    if address.is_loopback() || evidence.is_own(address) || !evidence.answered(address).is_empty() {
        return None;
    }
    let failed = failures(evidence, address);
    failed.first()?;
    let dead = match evidence.interface_to(address) {
        Some(interface) => vec![Some(interface).filter(|interface| is_dead(interface))?],
        None => all_dead(evidence)?,
    };
    let what = format!("nothing to {} leaves this machine", named(&evidence.host_at(address), address));
    let route = evidence.route_of(address).filter(|route| route.failure.is_none());
    let mut candidate = candidate(&dead, &what).about(Spot::Address(address)).resting_on(failed).rejecting(
        "host.no_route",
        "The routing table knows the way; it leads out of this interface.",
        route.map(|route| route.id),
    );
    // With no other way out the name servers are as far away as the target.
    if all_dead(evidence).is_some() {
        candidate = candidate.about(Spot::Everything);
    }
    Some(candidate)
}

/// No name could be looked up, so that no address is known, and no interface has a link.
fn unlinked(evidence: &Evidence<'_>) -> Option<Candidate> {
    let names = evidence.names();
    let view = names.iter().find(|view| !view.resolved())?;
    let dead = all_dead(evidence)?;
    let ids = view.servers.iter().flat_map(|server| server.ids()).chain(view.system_failures());
    let what = format!("not even {} can be looked up", view.name);
    Some(candidate(&dead, &what).about(Spot::Everything).resting_on(ids))
}

/// What packets to the address met: no route, no next hop, a network that is down, or silence.
fn failures<'a>(evidence: &Evidence<'a>, address: IpAddr) -> Vec<&'a ObservationId> {
    let down = evidence.failures_to(address).into_iter().filter(|(failure, _)| failure.code == FailureCode::NetworkDown);
    let mut ids = evidence.without_route(address);
    ids.extend(evidence.next_hop_unresolved(address));
    ids.extend(down.map(|(_, id)| id));
    if evidence.is_silent(address) {
        ids.extend(evidence.sent_to(address));
    }
    ids
}

fn is_dead(interface: &Interface) -> bool {
    !interface.up || interface.carrier == Some(false)
}

/// The interfaces that lead out, where none of them has a link.
pub(in crate::rules) fn all_dead<'a>(evidence: &Evidence<'a>) -> Option<Vec<Seen<'a, Interface>>> {
    let joins = |interface: &Interface| interface.kind.as_deref().is_some_and(|kind| JOINING_KINDS.contains(&kind));
    let outward: Vec<_> = evidence.interfaces.iter().filter(|one| !one.loopback && !joins(one)).copied().collect();
    // A tunnel needs another interface below it, unless there is none: then it is all that the machine has.
    let below: Vec<_> = outward.iter().filter(|one| !one.tunnel).copied().collect();
    let ways = if below.is_empty() { outward } else { below };
    (!ways.is_empty() && ways.iter().all(|one| is_dead(one))).then_some(ways)
}

fn candidate(dead: &[Seen<'_, Interface>], what: &str) -> Candidate {
    let names: Vec<&str> = dead.iter().map(|interface| interface.name.as_str()).collect();
    let (subject, has) = match names.len() {
        1 => (format!("The network interface {}", list(&names)), "has"),
        _ => (format!("The network interfaces {}", list(&names)), "have"),
    };
    let off = dead.iter().all(|interface| !interface.up);
    let (state, action) = match (off, names.len()) {
        (true, 1) => {
            ("is switched off".to_owned(), "Switch the interface on (`ip link set INTERFACE up`, or the network settings).")
        }
        (true, _) => {
            ("are switched off".to_owned(), "Switch an interface on (`ip link set INTERFACE up`, or the network settings).")
        }
        (false, _) => (
            format!("{has} no link: there is no signal on the cable or radio network"),
            "Plug the cable in or join the radio network; with both in place, look at the other end: the switch port may be off. In a virtual machine, look at its network card in the host's settings.",
        ),
    };
    Candidate::new(Severity::Problem, CONFIDENCE, format!("{subject} of this machine {state}, so that {what}."))
        .at(Place { interface: dead.first().map(|interface| interface.name.clone()), ..Place::default() })
        .stopping()
        .resting_on(dead.iter().map(|interface| interface.id))
        .rejecting(
            "host.gateway_unresolved",
            "Without a link nobody on the network can answer.",
            dead.iter().map(|interface| interface.id),
        )
        .next(Who::Customer, action)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connect, connected, failure, icmp, icmp_ended, interface, no_route, route, silent};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    fn without_link(cidr: &str, up: bool) -> Fact {
        let mut fact = interface(cidr);
        if let Fact::Interface(interface) = &mut fact {
            (interface.up, interface.carrier) = (up, up.then_some(false));
        }
        fact
    }

    #[test]
    fn where_a_tunnel_is_all_that_the_machine_has_it_counts() {
        let mut fact = without_link("10.0.0.100/24", false);
        if let Fact::Interface(interface) = &mut fact {
            interface.tunnel = true;
        }
        let scene = Scene::new("shop.example").check(Kind::Host, [fact]).check(Kind::Tcp, [silent("192.0.2.1:443")]);
        assert!(scene.names("host.link_down"));
    }

    #[test]
    fn a_pulled_cable_is_told_rather_than_the_gateway_behind_it() {
        let scene = Scene::new("shop.example")
            .check(Kind::Host, [without_link("10.0.0.100/24", true), route("192.0.2.1", Some("10.0.0.1"))]);
        let error = icmp("10.0.0.100", 3, 1);
        let finding = scene
            .check(Kind::Tcp, [icmp_ended("192.0.2.1:443", 3_000_000, FailureCode::HostUnreachable, error)])
            .finds("host.link_down");
        assert_eq!(finding.place.interface.as_deref(), Some("eth0"));
        assert!(finding.sentence.contains("has no link"), "{}", finding.sentence);
    }

    #[test]
    fn an_interface_that_is_off_is_told_rather_than_the_missing_route() {
        let scene = Scene::new("shop.example").check(Kind::Host, [without_link("10.0.0.100/24", false), no_route("192.0.2.1")]);
        let failed = failure(FailureCode::NetworkUnreachable, Step::Connect);
        let finding = scene.check(Kind::Tcp, [connect("192.0.2.1:443", 30, Some(failed))]).finds("host.link_down");
        assert!(finding.sentence.contains("eth0 of this machine is switched off"), "{}", finding.sentence);
    }

    #[test]
    fn silence_behind_an_interface_with_a_link_is_not_the_links() {
        let scene = Scene::new("shop.example")
            .check(Kind::Host, [interface("10.0.0.100/24"), route("192.0.2.1", Some("10.0.0.1"))])
            .check(Kind::Tcp, [silent("192.0.2.1:443")]);
        assert!(!scene.names("host.link_down"));
    }

    #[test]
    fn an_unplugged_second_interface_troubles_nobody() {
        let mut second = without_link("10.1.0.7/24", true);
        if let Fact::Interface(interface) = &mut second {
            interface.name = "eth1".into();
        }
        let scene = Scene::new("shop.example")
            .check(Kind::Host, [interface("10.0.0.100/24"), second, route("192.0.2.1", Some("10.0.0.1"))])
            .check(Kind::Tcp, [connected("192.0.2.1:443")]);
        assert!(scene.is_healthy().is_empty());
    }
}
