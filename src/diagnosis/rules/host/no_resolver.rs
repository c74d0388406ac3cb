use crate::candidate::Candidate;
use crate::evidence::{Evidence, NameView};
use crate::rule::Rule;
use crate::spot::Spot;
use netsonde_contract::finding::{Place, Severity, Who};
use netsonde_contract::id::ObservationId;

pub(in crate::rules) const RULE: Rule = Rule::new("host.no_resolver", &["dns.resolver_unreachable"], evaluate);

/// The configuration names no server, and the system could not resolve. A library that asks by other means would have resolved.
const CONFIDENCE: f64 = 0.95;

fn evaluate(evidence: &Evidence<'_>) -> Vec<Candidate> {
    let named = |view: &NameView<'_>| !view.servers.is_empty() || view.system_gave_address() || view.system.is_empty();
    let names = evidence.names();
    let unresolved = names.iter().filter(|view| !named(view));
    unresolved.filter_map(|view| without_server(evidence, view)).collect()
}

fn without_server(evidence: &Evidence<'_>, view: &NameView<'_>) -> Option<Candidate> {
    let read = evidence.resolvers.first()?;
    if evidence.resolvers.iter().any(|resolvers| !resolvers.servers.is_empty()) {
        return None;
    }
    let ids: Vec<&ObservationId> = evidence.resolvers.iter().map(|resolvers| resolvers.id).collect();
    let name = view.name;
    let sentence = format!(
        "This machine has no name server set: {} names none, so that {name} and other names cannot be turned into addresses.",
        read.read_from
    );
    let candidate = Candidate::new(Severity::Problem, CONFIDENCE, sentence)
        .at(Place { name: Some(name.to_owned()), ..Place::default() })
        .about(Spot::Name(name.to_owned()))
        .stopping()
        .resting_on(ids.iter().copied())
        .resting_on(view.system_failures())
        .rejecting("dns.resolver_unreachable", "There is no name server that could be unreachable.", ids)
        .next(
            Who::Customer,
            "Give this machine a name server: connect it to its network again (DHCP, VPN), or set one in the network settings.",
        );
    Some(candidate)
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, resolvers, system};
    use netsonde_contract::kind::Kind;
    use netsonde_contract::outcome::Status;

    const NAME: &str = "shop.example";

    #[test]
    fn a_machine_without_a_name_server_resolves_nothing() {
        let scene = Scene::new(NAME).check(Kind::Dns, [resolvers(&[]), system(NAME, &[])]).ended(Kind::Tcp, Status::Skipped, []);
        let finding = scene.finds("host.no_resolver");
        assert!(finding.sentence.contains("/etc/resolv.conf names none"), "{}", finding.sentence);
    }

    #[test]
    fn a_name_of_the_hosts_file_needs_no_name_server() {
        let scene = Scene::new("localhost").check(Kind::Dns, [resolvers(&[]), system("localhost", &["127.0.0.1"])]);
        assert!(scene.is_healthy().is_empty());
    }

    #[test]
    fn a_name_server_that_is_set_is_another_matter() {
        let scene = Scene::new(NAME).check(Kind::Dns, [resolvers(&["10.0.0.53"]), system(NAME, &[])]);
        let diagnosis = scene.is_unexplained();
        assert_eq!(diagnosis.unexplained[0].what, "Asking the system for shop.example: resolvefailed.");
    }
}
