//! Runs whose request was redirected to something that is out of order, while the target itself works.

use crate::follow_up::follow_ups;
use crate::scene::{Scene, connected, echo, exchange, failure, icmp, interface, rcode, refused, system, trace};
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::finding::Severity;
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::Fact;

const URL: &str = "http://shop.example/";

/// The target answers with a redirect to `url`, at which the request ends so.
fn redirected(
    url: &str,
    address: Option<&str>,
    change: impl FnOnce(&mut netsonde_contract::failure::Failure),
    code: FailureCode,
    during: Step,
) -> Scene {
    let first = exchange(URL, |exchange| {
        (exchange.status, exchange.address) = (Some(302), Some("192.0.2.1:80".parse().unwrap()));
        exchange.location = Some(url.to_owned());
    });
    let second: Fact = exchange(url, |exchange| {
        (exchange.redirect, exchange.status) = (1, None);
        exchange.address = address.map(|address| address.parse().unwrap());
        let mut ended = failure(code, during);
        change(&mut ended);
        exchange.failure = Some(ended);
    });
    Scene::new(URL)
        .check(Kind::Host, [interface("10.0.0.100/24")])
        .check(Kind::Tcp, [connected("192.0.2.1:80")])
        .check(Kind::Http, [first, second])
        .check(Kind::Icmp, [echo("192.0.2.1", &[9_000])])
}

/// A check of the run that was made to tell causes apart.
fn followed(mut scene: Scene, kind: Kind, facts: Vec<Fact>) -> Scene {
    scene = scene.check(kind, facts);
    scene.outcomes_mut().last_mut().unwrap().separates = vec!["path.target_silent".into()];
    scene
}

fn silent_elsewhere() -> Scene {
    redirected("http://pay.example/", Some("198.51.100.9:80"), |_| {}, FailureCode::TimedOut, Step::Connect)
}

#[test]
fn what_the_target_answers_excludes_nothing_at_the_host_of_a_redirect() {
    let diagnosis = silent_elsewhere().is_unexplained();
    assert_eq!(diagnosis.unexplained[0].ruled_out, [], "all of it was seen at another address");
}

#[test]
fn the_host_of_a_redirect_is_followed_up() {
    let mut scene = silent_elsewhere();
    scene.be_privileged();
    let diagnosis = scene.diagnose();
    let asked = follow_ups(scene.outcomes(), &scene.environment(), &diagnosis);
    let of_host: Vec<Kind> = asked
        .iter()
        .filter(|follow_up| follow_up.params.to_value()["host"] == "198.51.100.9")
        .map(|follow_up| follow_up.params.kind())
        .collect();
    for kind in [Kind::Icmp, Kind::Traceroute, Kind::Tcp] {
        assert!(of_host.contains(&kind), "{asked:#?}");
    }
}

#[test]
fn a_silent_host_of_a_redirect_is_found_and_the_redirect_is_named() {
    let scene = followed(silent_elsewhere(), Kind::Icmp, vec![echo("198.51.100.9", &[])]);
    let scene = followed(scene, Kind::Traceroute, trace("198.51.100.9", &["10.0.0.1", "*", "*"]));
    let finding = scene.finds("path.target_silent");
    assert!(
        finding.sentence.contains("pay.example") && finding.sentence.ends_with("A redirect of http://shop.example/ leads there."),
        "{}",
        finding.sentence
    );
    assert!(finding.next_step.action.ends_with("correct the redirect."), "{}", finding.next_step.action);
    assert_eq!(finding.severity, Severity::Problem, "that the target itself connects does not help");
    let other = |id: &netsonde_contract::id::ObservationId| id.as_str().starts_with("tcp1") || id.as_str().starts_with("icmp3");
    assert!(!finding.rejected.iter().flat_map(|rejected| &rejected.evidence).any(other), "{finding:#?}");
}

#[test]
fn a_host_of_a_redirect_that_nobody_has_on_the_own_link_is_down() {
    let own = |failure: &mut netsonde_contract::failure::Failure| failure.icmp = Some(icmp("10.0.0.100", 3, 1));
    let scene = redirected("http://10.0.0.66/", Some("10.0.0.66:80"), own, FailureCode::HostUnreachable, Step::Connect);
    let finding = scene.finds("path.target_down");
    assert_eq!(finding.place.address, Some("10.0.0.66".parse().unwrap()));
    assert!(finding.sentence.contains("A redirect of"), "{}", finding.sentence);
}

#[test]
fn a_closed_port_that_a_redirect_names_is_told_as_the_redirects() {
    let scene = redirected("http://shop.example:81/", Some("192.0.2.1:81"), |_| {}, FailureCode::Refused, Step::Connect);
    let finding = scene.finds("tcp.refused");
    assert!(finding.sentence.ends_with("A redirect of http://shop.example/ leads there."), "{}", finding.sentence);
    let asked = Scene::new("shop.example:81").check(Kind::Tcp, [refused("192.0.2.1:81", 9_000)]).finds("tcp.refused");
    assert!(!asked.sentence.contains("redirect"), "{}", asked.sentence);
}

#[test]
fn a_name_that_only_a_redirect_names_is_asked_for_and_found_missing() {
    let scene = redirected("http://nx.example/", None, |_| {}, FailureCode::ResolveFailed, Step::Resolve);
    let scene = scene.check(Kind::Dns, [system("shop.example", &["192.0.2.1"])]);
    let diagnosis = scene.is_unexplained();
    assert!(diagnosis.unexplained[0].ruled_out.iter().all(|not| not.cause != "dns.resolver_unreachable"), "{diagnosis:#?}");
    let asked = follow_ups(scene.outcomes(), &scene.environment(), &diagnosis);
    assert!(asked.iter().any(|follow_up| follow_up.params.to_value()["name"] == "nx.example"), "{asked:#?}");
    let answers = vec![rcode("10.0.0.53", "nx.example", "A", 3, &[("SOA", "example")]), system("nx.example", &[])];
    let finding = followed(scene, Kind::Dns, answers).finds("dns.nxdomain");
    assert!(finding.sentence.ends_with("A redirect of http://shop.example/ leads there."), "{}", finding.sentence);
}

#[test]
fn a_redirect_to_a_host_that_answers_adds_no_address_to_the_target() {
    let first = exchange(URL, |exchange| (exchange.status, exchange.location) = (Some(302), Some("https://pay.example/".into())));
    let second = exchange("https://pay.example/", |exchange| {
        (exchange.redirect, exchange.address) = (1, Some("198.51.100.9:443".parse().unwrap()));
    });
    let scene = Scene::new(URL).check(Kind::Tcp, [connected("192.0.2.1:443")]).check(Kind::Http, [first, second]);
    assert!(scene.is_healthy().is_empty());
}
