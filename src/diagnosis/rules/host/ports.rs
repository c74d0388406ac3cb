//! Local ports: none left towards one place, or one that another program holds.

use crate::candidate::Candidate;
use crate::evidence::{Endpoint, Evidence, Seen};
use crate::rule::Rule;
use crate::spot::Spot;
use crate::wording::named;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{EphemeralPorts, Sockets};

pub(in crate::rules) const EXHAUSTED_RULE: Rule = Rule {
    settled_by: Some("counting the connections to the same place, waiting ones among them: `ss -tan dst ADDRESS | wc -l`"),
    ..Rule::new("host.ephemeral_ports_exhausted", &["tcp.snat_exhausted"], exhausted)
};

pub(in crate::rules) const IN_USE_RULE: Rule = Rule {
    settled_by: Some("the list of sockets with their programs: `ss -tunap`"),
    ..Rule::new("host.port_in_use", &["host.ephemeral_ports_exhausted"], in_use)
};

/// The system says so, and the ports are counted.
const COUNTED: f64 = 0.95;
/// The system says so after it let some of the same connections out.
const SOME_STOOD: f64 = 0.75;
/// Only the error, which a missing source address gives too.
const ERROR_ALONE: f64 = 0.6;
/// Nothing but the error; which port it is about is not told.
const HELD: f64 = 0.8;

/// Ports count as used up from nine in ten on: the kernel looks for a free one a few times only.
const FULL_TENTHS: u32 = 9;

fn exhausted(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.endpoints().iter().filter_map(|endpoint| towards(evidence, endpoint)).collect()
}

fn is_full(used: u32, size: u32) -> bool {
    used.saturating_mul(10) >= size.saturating_mul(FULL_TENTHS)
}

fn ephemeral<'e>(evidence: &'e Evidence<'_>) -> Option<(&'e EphemeralPorts, &'e Seen<'e, Sockets>)> {
    evidence.sockets.iter().find_map(|sockets| Some((sockets.fact.ephemeral.as_ref()?, sockets)))
}

fn towards(evidence: &Evidence<'_>, endpoint: &Endpoint<'_>) -> Option<Candidate> {
    let is_out = |code: &FailureCode| matches!(code, FailureCode::AddressNotAvailable);
    let failed: Vec<&ObservationId> = endpoint
        .attempts
        .iter()
        .filter(|attempt| attempt.failure.is_some_and(|failure| is_out(&failure.code)))
        .map(|attempt| attempt.id)
        .collect();
    failed.first()?;
    let stood = u32::try_from(endpoint.attempts.iter().filter(|attempt| attempt.connected()).count()).unwrap_or(u32::MAX);
    let ports = ephemeral(evidence);
    let counted = ports.filter(|(ports, _)| {
        let fits = |used: &&netsonde_contract::observation::PortUse| {
            used.address == endpoint.address.ip() && used.port == endpoint.address.port()
        };
        let before = ports.towards.iter().find(fits).map_or(0, |used| used.in_use);
        is_full(before.saturating_add(stood), ports.size()) || is_full(ports.in_use, ports.size())
    });
    let confidence = match (&counted, stood) {
        (Some(_), _) => COUNTED,
        (None, 1..) => SOME_STOOD,
        // IPv6 without an address to send from fails in the same words.
        (None, 0) if endpoint.address.is_ipv4() => ERROR_ALONE,
        (None, 0) => return None,
    };
    let (address, port) = (endpoint.address.ip(), endpoint.address.port());
    let of = counted.map_or(String::new(), |(ports, _)| format!(" of its {}", ports.size()));
    let sentence = format!(
        "This machine has no local port{of} left for another connection to {} on port {port}: {} of {} attempts failed before anything was sent.",
        named(endpoint.host(), address),
        failed.len(),
        endpoint.attempts.len()
    );
    let severity = if stood > 0 { Severity::Degraded } else { evidence.severity_at(address) };
    let candidate = Candidate::new(severity, confidence, sentence)
        .at(Place { address: Some(address), port: Some(port), ..Place::default() })
        .about(Spot::Endpoint(endpoint.address))
        .resting_on(failed.iter().copied())
        .resting_on(counted.map(|(_, sockets)| sockets.id))
        .rejecting("tcp.snat_exhausted", "The refusal came from this machine itself, and nothing was sent.", failed)
        .next(
            Who::Customer,
            "Find the program that opens so many connections to this place (`ss -tanp dst ADDRESS`) and let it keep and reuse them; a wider range of ports (`net.ipv4.ip_local_port_range`) gains time.",
        );
    Some(if stood == 0 { candidate.stopping() } else { candidate })
}

fn in_use(evidence: &Evidence<'_>) -> Vec<Candidate> {
    evidence.outcomes.iter().filter_map(|outcome| {
        let failures = outcome.observations.iter().filter_map(|seen| Some((seen, seen.fact.failure()?)));
        let held: Vec<_> = failures.filter(|(_, failure)| failure.code == FailureCode::AddressInUse).collect();
        let (_, failure) = held.first()?;
        let ids: Vec<&ObservationId> = held.iter().map(|(seen, _)| &seen.id).collect();
        let ports = ephemeral(evidence);
        // Where no port is left at all, asking for any one fails in the same words.
        if ports.is_some_and(|(ports, _)| is_full(ports.in_use, ports.size())) {
            return None;
        }
        let severity = if outcome.required { Severity::Problem } else { Severity::Notice };
        let sentence = format!(
            "Another program on this machine holds the local port that the {} check needs ({}): nothing was sent.",
            outcome.kind.name(),
            failure.words()
        );
        let candidate = Candidate::new(severity, HELD, sentence)
            .resting_on(ids)
            .rejecting(
                "host.ephemeral_ports_exhausted",
                "Most of the ports that the system chooses from are free.",
                ports.map(|(_, sockets)| sockets.id),
            )
            .next(Who::Customer, "Find the program that holds the port (`ss -tunlp`, Windows: `netstat -ano`) and end it, or choose another port.");
        Some(candidate)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connect, connected, failure, ports};
    use netsonde_contract::failure::{FailureCode, Step};
    use netsonde_contract::finding::Severity;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::observation::Fact;

    fn without_port(address: &str) -> Fact {
        connect(address, 20, Some(failure(FailureCode::AddressNotAvailable, Step::Connect)))
    }

    #[test]
    fn every_port_towards_one_place_taken_is_this_machines_own_limit() {
        let scene = Scene::new("shop.example").check(Kind::Host, [ports(1_000, 400, 990)]);
        let finding = scene.check(Kind::Tcp, [without_port("192.0.2.1:443")]).finds("host.ephemeral_ports_exhausted");
        assert_eq!((finding.severity, finding.confidence), (Severity::Problem, 0.95));
        assert!(finding.sentence.contains("no local port of its 1000 left"), "{}", finding.sentence);
    }

    #[test]
    fn the_runs_own_connections_take_ports_too() {
        let scene = Scene::new("shop.example").check(Kind::Host, [ports(4, 0, 0)]);
        let mut facts = vec![connected("192.0.2.1:443"); 4];
        facts.push(without_port("192.0.2.1:443"));
        let finding = scene.check(Kind::Tcp, facts).finds("host.ephemeral_ports_exhausted");
        assert_eq!((finding.severity, finding.confidence), (Severity::Degraded, 0.95));
    }

    #[test]
    fn ipv6_without_an_address_to_send_from_is_not_out_of_ports() {
        let scene = Scene::new("shop.example").check(Kind::Host, [ports(1_000, 4, 0)]);
        assert!(!scene.check(Kind::Tcp, [without_port("[2001:db8::1]:443")]).names("host.ephemeral_ports_exhausted"));
    }

    #[test]
    fn a_held_port_is_told_from_a_machine_without_any() {
        let held = || connect("192.0.2.1:443", 20, Some(failure(FailureCode::AddressInUse, Step::Open)));
        let free = Scene::new("shop.example").check(Kind::Host, [ports(1_000, 4, 0)]).check(Kind::Tcp, [held()]);
        assert_eq!(free.finds("host.port_in_use").rejected[0].cause, "host.ephemeral_ports_exhausted");
        let full = Scene::new("shop.example").check(Kind::Host, [ports(1_000, 999, 0)]).check(Kind::Tcp, [held()]);
        assert!(!full.names("host.port_in_use"));
    }
}
