//! What to do about a failure that no cause explains. Nobody is left with "unexplained" alone: either what failed says itself whose
//! turn it is, or more is to be measured, or support looks at the bundle.

use crate::evidence::{Evidence, Symptom};
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::finding::{NextStep, Who};
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::Fact;
use netsonde_contract::outcome::Outcome;

pub(super) fn of(evidence: &Evidence<'_>, outcome: &Outcome, symptoms: &[Symptom<'_>]) -> NextStep {
    let mut failed = symptoms.iter().filter_map(|symptom| {
        outcome.observations.iter().find(|observation| observation.id == *symptom.id).map(|observation| &observation.fact)
    });
    let (who, action) = failed
        .find_map(of_fact)
        .or_else(|| of_kind(outcome))
        .or_else(|| measure_more(evidence, outcome))
        .unwrap_or_else(for_support);
    NextStep { who, action }
}

type Advice = (Who, String);

/// What failed names whoever can do something about it.
fn of_fact(fact: &Fact) -> Option<Advice> {
    if let Fact::Exchange(exchange) = fact
        && exchange.failure.is_none()
        && exchange.unmet().next().is_some()
    {
        let url = &exchange.url;
        let action = format!(
            "Read the whole answer with `netsonde probe http {url} --detail`, and decide which is out of date: the server, or what is expected of it."
        );
        return Some((Who::Customer, action));
    }
    if let Fact::Lookup(lookup) = fact
        && lookup.http_status.is_some_and(|status| !(200..300).contains(&status))
    {
        let action = "Check the resolver's URL, and ask whoever runs it whether this machine may use it: a web server answered, and no resolver.";
        return Some((Who::Server, action.to_owned()));
    }
    of_failure(fact.failure()?)
}

fn of_failure(failure: &Failure) -> Option<Advice> {
    let advice = match &failure.code {
        FailureCode::TooLarge => (Who::Server, "Look at what the server sends there: it is more than any client reads."),
        FailureCode::Other(code) => match code.as_str() {
            "kiss_of_death" => (
                Who::Customer,
                "Let this machine ask that time server less often, or name another: it refuses whoever asks too often or is not on its list.",
            ),
            "server_unsynchronised" => (
                Who::Server,
                "Give that time server a source of time of its own; until it has one, name another to this machine.",
            ),
            "starttls_refused" => (
                Who::Server,
                "Look at the server's log for this connection: its certificate or key cannot be read, or TLS is offered and not set up.",
            ),
            "not_this_cloud" => (
                Who::Customer,
                "Name the cloud that this machine runs in with --providers; outside a cloud, leave the check out.",
            ),
            _ => return None,
        },
        _ => return None,
    };
    Some((advice.0, advice.1.to_owned()))
}

/// Kinds whose failure leaves few places to look at.
fn of_kind(outcome: &Outcome) -> Option<Advice> {
    let asks_dhcp = outcome.parameters.get("protocol").is_some_and(|protocol| protocol == "dhcp");
    match outcome.kind {
        Kind::Service if asks_dhcp => Some((
            Who::Network,
            "Check that a DHCP server or a relay serves this network, and that this machine's port is in the right VLAN.".to_owned(),
        )),
        Kind::Reflect => Some((
            Who::Server,
            "See that `netsonde reflect` still runs there, that its UDP port is let through both ways, and that both ends use the same key, or none."
                .to_owned(),
        )),
        Kind::Load => Some((
            Who::Customer,
            "Name another URL: that of a large file to download, and with --upload-url one that takes uploads.".to_owned(),
        )),
        _ => None,
    }
}

/// One check alone cannot tell causes apart: a set asks further ports and ways of the same target.
fn measure_more(evidence: &Evidence<'_>, outcome: &Outcome) -> Option<Advice> {
    let alone = evidence.outcomes.iter().all(|other| other.kind == outcome.kind);
    let set = match outcome.kind {
        Kind::Tcp => "port",
        Kind::Icmp | Kind::Traceroute | Kind::Mtu => "path",
        Kind::Tls => "tls",
        Kind::Http => "web",
        Kind::Dns => "dns",
        Kind::Ntp => "time",
        Kind::Quic => "quic",
        Kind::Proxy => "proxy",
        Kind::Service => "port",
        _ => return None,
    };
    let target = outcome.target.as_ref().filter(|_| alone)?;
    let target = match (outcome.kind, target.port) {
        // A host alone is what these sets take.
        (Kind::Icmp | Kind::Traceroute | Kind::Mtu | Kind::Dns | Kind::Ntp, _) => target.host.clone(),
        (Kind::Service | Kind::Tcp | Kind::Tls, None) => return None,
        _ => target.to_string(),
    };
    let why = "which asks the same target in further ways and so tells the causes apart";
    Some((Who::Customer, format!("Run `netsonde run {set} --target {target}`, {why}.")))
}

fn for_support() -> Advice {
    (Who::Support, "Hand this run to support: what was seen and what is ruled out stand in it.".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::scene::{Scene, connected, echo, handshake, service, silent};
    use netsonde_contract::failure::{Failure, FailureCode, Step};
    use netsonde_contract::finding::{NextStep, Who};
    use netsonde_contract::kind::Kind;

    fn next(scene: Scene) -> NextStep {
        scene.diagnose().unexplained.remove(0).next_step.unwrap()
    }

    #[test]
    fn a_port_that_stays_silent_is_asked_about_in_further_ways() {
        let step = next(Scene::new("192.0.2.1:443").check(Kind::Tcp, [silent("192.0.2.1:443")]));
        assert_eq!(step.who, Who::Customer);
        assert!(step.action.contains("`netsonde run port --target 192.0.2.1:443`"), "{}", step.action);
    }

    #[test]
    fn a_host_that_no_ping_comes_back_from_is_asked_about_in_further_ways() {
        let step = next(Scene::new("192.0.2.1").check(Kind::Icmp, [echo("192.0.2.1", &[])]));
        assert!(step.action.contains("`netsonde run path --target 192.0.2.1`"), "{}", step.action);
    }

    #[test]
    fn what_says_itself_whose_turn_it_is_needs_no_more_measurements() {
        let refused = Failure::new(FailureCode::Other("starttls_refused".into()), Step::Handshake, "454 not now");
        let of_service = service(|service| service.failure = Some(refused.clone()));
        let of_handshake = handshake(|handshake| (handshake.failure, handshake.chain) = (Some(refused.clone()), Vec::new()));
        for scene in [
            Scene::new("shop.example").check(Kind::Service, [of_service]),
            Scene::new("shop.example:25").check(Kind::Tls, [of_handshake]),
        ] {
            let step = next(scene);
            assert!(step.who == Who::Server && step.action.contains("log"), "{step:?}");
        }
    }

    #[test]
    fn where_all_was_asked_support_looks_at_it() {
        let other = Failure::new(FailureCode::Other("never_heard_of".into()), Step::Receive, "odd");
        let odd = service(|service| service.failure = Some(other));
        let scene = Scene::new("shop.example:25").check(Kind::Tcp, [connected("192.0.2.1:25")]).check(Kind::Service, [odd]);
        assert_eq!(next(scene).who, Who::Support);
    }
}
