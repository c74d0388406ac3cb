use crate::candidate::Candidate;
use crate::evidence::{Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::list;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::observation::AddressProbe;

pub(in crate::rules) const RULE: Rule = Rule::new("host.duplicate_address", &["path.loss"], evaluate);

/// Another hardware address claims this machine's address, by ARP or neighbour discovery.
const CONFIDENCE: f64 = 0.95;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.address_probes.iter().filter_map(|probe| claimed(evidence, probe)).collect()
}

fn claimed(evidence: &Evidence<'_>, probe: &Seen<'_, AddressProbe>) -> Option<Candidate> {
    // A machine with two interfaces on one network answers for itself.
    let own = |hardware: &str| {
        let is_it = |address: &str| address.eq_ignore_ascii_case(hardware);
        evidence.interfaces.iter().any(|interface| interface.hardware_address.as_deref().is_some_and(is_it))
    };
    let others: Vec<&str> =
        probe.fact.answers.iter().map(|answer| answer.hardware_address.as_str()).filter(|hardware| !own(hardware)).collect();
    others.first()?;
    let addresses = evidence.addresses();
    let dead = !addresses.is_empty() && addresses.iter().all(|address| evidence.answered(*address).is_empty());
    let used = evidence.routes.iter().any(|route| route.source == Some(probe.address));
    let severity = match (used, dead) {
        (true, true) => Severity::Problem,
        (true, false) => Severity::Degraded,
        // Another of this machine's addresses, which nothing to this target is sent from.
        (false, _) if !evidence.routes.is_empty() => Severity::Notice,
        (false, _) => Severity::Degraded,
    };
    let sentence = format!(
        "Another device on the network of {} uses this machine's address {} too (hardware address {}): what is meant for one of them reaches the other.",
        probe.interface,
        probe.address,
        list(&others)
    );
    let mut candidate = Candidate::new(severity, CONFIDENCE, sentence)
        .at(Place { address: Some(probe.address), interface: Some(probe.interface.clone()), ..Place::default() })
        .resting_on([probe.id])
        .rejecting("path.loss", "Another device answered for this machine's own address, before any way begins.", [probe.id])
        .next(
            Who::Network,
            "Find the device with that hardware address (the switch knows its port) and give one of the two another address; where addresses are handed out by DHCP, take the fixed one out of its range.",
        );
    if severity == Severity::Problem {
        for address in addresses {
            candidate = candidate.about(Spot::Address(address)).resting_on(evidence.sent_to(address));
        }
        candidate = candidate.about(Spot::Everything).stopping();
    }
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, address_probe, connected, interface, route, silent};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    const OTHER: &str = "02:00:5e:10:00:99";

    fn scene(own: &str, answers: &[&str]) -> Scene {
        let mut own_interface = interface("10.0.0.100/24");
        if let Fact::Interface(interface) = &mut own_interface {
            interface.hardware_address = Some(own.into());
        }
        let facts = [own_interface, route("192.0.2.1", Some("10.0.0.1")), address_probe("10.0.0.100", answers)];
        Scene::new("shop.example").check(Kind::Host, facts)
    }

    #[test]
    fn another_device_that_answers_for_our_address_is_named_by_its_hardware() {
        let finding =
            scene("02:00:5e:10:00:01", &[OTHER]).check(Kind::Tcp, [silent("192.0.2.1:443")]).finds("host.duplicate_address");
        assert!(finding.severity == Severity::Problem && finding.sentence.contains(OTHER), "{finding:#?}");
        let works = scene("02:00:5e:10:00:01", &[OTHER]).check(Kind::Tcp, [connected("192.0.2.1:443")]);
        assert_eq!(works.finds("host.duplicate_address").severity, Severity::Degraded);
    }

    #[test]
    fn a_second_interface_of_this_machine_is_no_stranger_and_silence_is_right() {
        for answers in [&[OTHER][..], &[]] {
            let scene = scene(&OTHER.to_uppercase(), answers).check(Kind::Tcp, [connected("192.0.2.1:443")]);
            assert!(scene.is_healthy().is_empty());
        }
    }
}
