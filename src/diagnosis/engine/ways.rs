//! Name servers and time servers that cannot be reached because of the way to them.

use crate::follow_up::follow_ups;
use crate::scene::{Scene, answer, dns_silent, exchange, failure, icmp, no_reply, system, time_refused, trace};
use netsonde_contract::failure::{FailureCode, IcmpError, Step};
use netsonde_contract::finding::Severity;
use netsonde_contract::kind::Kind;

/// The first question to a name server draws this error of a router; all others too.
fn resolver_behind(error: IcmpError) -> Scene {
    let ended = failure(FailureCode::HostUnreachable, Step::Receive).with_icmp(error);
    let facts = [no_reply("10.0.0.53", "shop.example", "A", ended), system("shop.example", &[])];
    Scene::new("shop.example").check(Kind::Dns, facts)
}

#[test]
fn a_name_server_behind_a_circle_is_a_consequence_of_the_circle() {
    let scene = resolver_behind(icmp("10.0.2.1", 11, 0));
    let finding = scene.finds("path.routing_loop");
    assert_eq!(finding.suppressed, ["dns.resolver_unreachable"]);
    assert_eq!((finding.severity, finding.place.resolver), (Severity::Problem, Some("10.0.0.53".parse().unwrap())));
    assert!(finding.sentence.starts_with("Packets to the name server (10.0.0.53) go round"), "{}", finding.sentence);
    assert!(finding.sentence.contains("shop.example and other names"), "{}", finding.sentence);
}

#[test]
fn what_needs_the_name_follows_from_what_is_wrong_on_the_way_to_its_server() {
    let unresolved = exchange("http://shop.example/", |exchange| {
        (exchange.status, exchange.address) = (None, None);
        exchange.failure = Some(failure(FailureCode::ResolveFailed, Step::Resolve));
    });
    let scene = resolver_behind(icmp("10.0.2.1", 3, 0)).check(Kind::Http, [unresolved]);
    assert_eq!(scene.finds("path.no_route").suppressed, ["dns.resolver_unreachable"]);
    let forbidden = resolver_behind(icmp("10.0.2.1", 3, 13)).finds("path.admin_prohibited");
    assert_eq!(forbidden.suppressed, ["dns.resolver_unreachable"]);
}

#[test]
fn a_port_that_is_closed_is_the_name_servers_and_not_the_ways() {
    resolver_behind(icmp("10.0.0.53", 3, 3)).finds("dns.resolver_unreachable");
}

#[test]
fn a_spare_name_server_behind_a_circle_is_a_notice() {
    let ended = failure(FailureCode::HostUnreachable, Step::Receive).with_icmp(icmp("10.0.2.1", 11, 0));
    let facts = [
        answer("10.0.0.54", "shop.example", &["192.0.2.1"]),
        no_reply("10.0.0.53", "shop.example", "A", ended),
        system("shop.example", &["192.0.2.1"]),
    ];
    assert_eq!(Scene::new("shop.example").check(Kind::Dns, facts).is_healthy(), ["path.routing_loop"]);
}

#[test]
fn of_two_silent_name_servers_one_behind_a_circle_explains_only_itself() {
    let ended = failure(FailureCode::HostUnreachable, Step::Receive).with_icmp(icmp("10.0.2.1", 11, 0));
    let facts = [
        no_reply("10.0.0.53", "shop.example", "A", ended),
        dns_silent("10.0.0.54", "shop.example", "A"),
        system("shop.example", &[]),
    ];
    let diagnosis = Scene::new("shop.example").check(Kind::Dns, facts).diagnose();
    let causes: Vec<&str> = diagnosis.findings.iter().map(|finding| finding.cause.as_str()).collect();
    assert_eq!(causes, ["dns.resolver_unreachable", "path.routing_loop"], "{diagnosis:#?}");
}

#[test]
fn the_way_to_a_name_server_is_looked_at_where_a_router_spoke_of_it() {
    let asks = |scene: &Scene| follow_ups(scene.outcomes(), &scene.environment(), &scene.diagnose());
    let traced = |scene: &Scene| asks(scene).iter().any(|ask| ask.params.kind() == Kind::Traceroute);
    assert!(traced(&resolver_behind(icmp("10.0.2.1", 11, 0))));
    assert!(!traced(&resolver_behind(icmp("10.0.0.53", 3, 3))), "its own machine answered");
}

/// A page that comes, and a time server beside it of which nothing came back but this.
fn time_server_with(failure: netsonde_contract::failure::Failure) -> Scene {
    let page = exchange("http://shop.example/", |_| {});
    Scene::new("http://shop.example/").check(Kind::Http, [page]).check(Kind::Ntp, [time_refused("10.0.0.123:123", failure)])
}

#[test]
fn a_time_server_behind_a_circle_is_named_with_the_circle() {
    let told = failure(FailureCode::HostUnreachable, Step::Receive).with_icmp(icmp("10.0.2.1", 11, 0));
    let finding = time_server_with(told).finds("path.routing_loop");
    assert_eq!(finding.severity, Severity::Degraded);
    assert!(finding.sentence.starts_with("Packets to the time server (10.0.0.123) go round"), "{}", finding.sentence);
}

#[test]
fn the_way_to_a_silent_time_server_is_traced_and_what_the_trace_meets_is_named() {
    let traced = |scene: &Scene| {
        let asks = follow_ups(scene.outcomes(), &scene.environment(), &scene.diagnose());
        asks.iter().any(|ask| ask.params.kind() == Kind::Traceroute && ask.params.to_value()["host"] == "10.0.0.123")
    };
    let mut scene = time_server_with(failure(FailureCode::TimedOut, Step::Receive));
    assert!(traced(&scene));
    let round = ["10.0.1.1", "10.0.2.1", "10.0.1.1", "10.0.2.1", "10.0.1.1", "10.0.2.1", "10.0.1.1", "10.0.2.1"];
    scene = scene.check(Kind::Traceroute, trace("10.0.0.123", &round));
    scene.outcomes_mut().last_mut().unwrap().separates = vec!["path.routing_loop".into()];
    assert!(!traced(&scene), "it was looked at");
    scene.finds("path.routing_loop");
    let closed = failure(FailureCode::Refused, Step::Receive).with_icmp(icmp("10.0.0.123", 3, 3));
    assert!(!traced(&time_server_with(closed)), "its own machine answered");
}
