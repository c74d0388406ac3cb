use super::{FollowUp, follow_ups};
use crate::diagnose;
use crate::scene::*;
use netsonde_contract::failure::{FailureCode, Step};
use netsonde_contract::id::CheckId;
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{Purpose, QueryReason, TcpState};
use netsonde_contract::outcome::{Outcome, Status};

fn ask(scene: &Scene) -> Vec<FollowUp> {
    let diagnosis = diagnose(scene.outcomes(), &scene.environment());
    follow_ups(scene.outcomes(), &scene.environment(), &diagnosis)
}

fn kinds(scene: &Scene) -> Vec<Kind> {
    ask(scene).iter().map(|follow_up| follow_up.params.kind()).collect()
}

fn parameter(follow_up: &FollowUp, name: &str) -> serde_json::Value {
    follow_up.params.to_value()[name].clone()
}

fn can_ping(mut scene: Scene) -> Scene {
    scene.be_privileged();
    scene
}

fn silent_port() -> Scene {
    Scene::new("shop.example").check(Kind::Tcp, [silent("192.0.2.1:443")])
}

#[test]
fn a_lone_silent_port_asks_for_a_ping_a_trace_and_more_attempts_at_the_same_address() {
    let asked = ask(&can_ping(silent_port()));
    let kinds: Vec<Kind> = asked.iter().map(|follow_up| follow_up.params.kind()).collect();
    assert_eq!(kinds[0], Kind::Icmp, "the cheapest that separates comes first: {asked:#?}");
    assert!(kinds.contains(&Kind::Traceroute) && kinds.contains(&Kind::Tcp), "{kinds:?}");
    assert!(asked[0].between.contains(&"tcp.filtered") && asked[0].between.contains(&"path.target_silent"));
}

#[test]
fn without_the_right_to_ping_no_ping_is_asked_for() {
    assert!(!kinds(&silent_port()).contains(&Kind::Icmp));
}

#[test]
fn what_is_settled_or_healthy_asks_nothing() {
    let own = icmp_ended("192.0.2.1:443", 60, FailureCode::Refused, icmp("10.0.0.100", 3, 3));
    let settled = Scene::new("shop.example").check(Kind::Host, [interface("10.0.0.100/24")]).check(Kind::Tcp, [own]);
    assert!(settled.finds("host.firewall_local").confidence >= 0.9);
    assert_eq!(ask(&can_ping(settled)), []);
    assert_eq!(ask(&can_ping(Scene::new("shop.example").check(Kind::Tcp, [connected("192.0.2.1:443")]))), []);
    assert_eq!(ask(&Scene::new("shop.example").check(Kind::Host, [no_route("192.0.2.1")])), []);
}

#[test]
fn an_answer_that_is_there_is_not_asked_for_again() {
    let scene = can_ping(silent_port()).check(Kind::Icmp, [echo("192.0.2.1", &[])]);
    assert!(!kinds(&scene).contains(&Kind::Icmp));
}

#[test]
fn where_nothing_comes_back_at_all_the_own_address_is_asked_for_and_where_a_router_answers_it_is_not() {
    let asks = |scene: &Scene| ask(scene).iter().any(|asked| parameter(asked, "duplicates") == true);
    let silent = || can_ping(silent_port()).check(Kind::Icmp, [echo("192.0.2.1", &[])]);
    assert!(asks(&silent().check(Kind::Traceroute, trace("192.0.2.1", &["*", "*"]))));
    assert!(!asks(&silent().check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "*"]))));
    assert!(!asks(&silent_port()), "it needs raw sockets");
    let probed = silent().check(Kind::Host, [address_probe("10.0.0.100", &[])]);
    assert!(!asks(&probed), "it was asked");
}

#[test]
fn a_denial_without_a_zone_is_asked_for_again_over_tcp_and_one_with_a_zone_is_not() {
    let denied = |authority: &[(&str, &str)]| {
        let reply = rcode("10.0.0.53", "shop.example", "A", 3, authority);
        let mut scene = Scene::new("shop.example").check(Kind::Dns, [reply, system("shop.example", &[])]);
        scene.outcomes_mut()[0].parameters = serde_json::json!({"name": "shop.example"});
        scene
    };
    let over_tcp_again = |scene: &Scene| ask(scene).iter().any(|asked| parameter(asked, "transport") == "tcp");
    assert!(over_tcp_again(&denied(&[])));
    assert!(!over_tcp_again(&denied(&[("example", "SOA")])));
    let told = over_tcp(rcode("10.0.0.53", "shop.example", "A", 3, &[]));
    assert!(!over_tcp_again(&denied(&[]).check(Kind::Dns, [told])), "it was asked over TCP");
}

#[test]
fn where_ping_and_trace_are_silent_other_ports_of_the_same_address_are_tried() {
    let scene = can_ping(silent_port())
        .check(Kind::Icmp, [echo("192.0.2.1", &[])])
        .check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "*"]));
    let asked = ask(&scene);
    let sweep = asked.iter().find(|follow_up| parameter(follow_up, "ports").as_array().is_some_and(|ports| !ports.is_empty()));
    let sweep = sweep.unwrap_or_else(|| panic!("{asked:#?}"));
    assert_eq!(parameter(sweep, "ports"), serde_json::json!([22, 80]), "the port itself is no other port");
    assert_eq!(parameter(sweep, "host"), "192.0.2.1");
}

/// Every address, host and name server that a follow-up names was named or met by the run itself.
#[test]
fn no_follow_up_asks_anybody_that_the_run_did_not_ask() {
    let known = ["192.0.2.1", "192.0.2.2", "shop.example", "10.0.0.53:53", "10.0.0.53"];
    let died = |code| {
        handshake(move |handshake| {
            (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
            handshake.failure = Some(failure(code, Step::Handshake));
        })
    };
    let mut tls = Scene::new("https://shop.example").check(Kind::Tls, [died(FailureCode::Reset)]);
    give_parameters(&mut tls, serde_json::json!({"host": "shop.example"}));
    let mut names =
        Scene::new("shop.example").check(Kind::Dns, [system("shop.example", &[]), dns_silent("10.0.0.53", "shop.example", "A")]);
    give_parameters(&mut names, serde_json::json!({"name": "shop.example", "control": "198.51.100.9", "delegation": true}));
    let silence = silent_port()
        .check(Kind::Dns, [answer("10.0.0.53", "shop.example", &["192.0.2.1"])])
        .check(Kind::Icmp, [echo("192.0.2.1", &[])])
        .check(Kind::Traceroute, trace("192.0.2.1", &["10.0.1.1", "*"]));
    for scene in [tls, names, silence] {
        let asked = ask(&can_ping(scene));
        assert!(!asked.is_empty());
        for follow_up in &asked {
            let value = follow_up.params.to_value();
            let host = value.get("host").or(value.get("name")).and_then(|host| host.as_str()).unwrap().to_owned();
            assert!(known.contains(&host.as_str()), "{host} in {follow_up:#?}");
            let servers = value.get("servers").and_then(|servers| servers.as_array()).cloned().unwrap_or_default();
            assert!(servers.iter().all(|server| known.contains(&server.as_str().unwrap())), "{follow_up:#?}");
            assert!(value.get("control").is_none_or(serde_json::Value::is_null), "{follow_up:#?}");
            assert_ne!(value.get("fetch_issuers"), Some(&serde_json::Value::Bool(true)), "{follow_up:#?}");
            assert_ne!(value.get("revocation"), Some(&serde_json::Value::Bool(true)), "{follow_up:#?}");
            assert_ne!(value.get("delegation"), Some(&serde_json::Value::Bool(true)), "{follow_up:#?}");
        }
    }
}

/// Taking what is asked for, with nothing learnt from it, comes to an end by itself.
#[test]
fn no_follow_up_repeats_even_where_its_answer_tells_nothing() {
    let mut scene = can_ping(silent_port());
    for round in 0..20 {
        let asked = ask(&scene);
        if asked.is_empty() {
            assert!(round > 0);
            return;
        }
        for (place, follow_up) in asked.into_iter().enumerate() {
            let check = CheckId::new(format!("follow-up-{round}-{place}"));
            let again = scene.outcomes().iter().any(|outcome| {
                outcome.target == follow_up.target
                    && outcome.kind == follow_up.params.kind()
                    && outcome.parameters == follow_up.params.to_value()
            });
            assert!(!again, "{follow_up:#?}");
            scene.add(Outcome {
                check,
                kind: follow_up.params.kind(),
                required: false,
                target: follow_up.target,
                parameters: follow_up.params.to_value(),
                status: Status::NotMeasured,
                note: None,
                began_us: 0,
                took_us: 0,
                separates: follow_up.between.iter().map(|cause| (*cause).to_owned()).collect(),
                observations: Vec::new(),
            });
        }
    }
    panic!("it goes on asking");
}

#[test]
fn a_follow_up_without_an_answer_is_no_failure_of_its_own() {
    let mut scene = silent_port().check(Kind::Icmp, [echo("192.0.2.1", &[])]);
    scene.outcomes_mut()[1].separates = vec!["tcp.filtered".into()];
    let unexplained = scene.diagnose().unexplained;
    assert!(unexplained.iter().all(|failure| failure.check.as_str() != "icmp1"), "{unexplained:?}");
}

#[test]
fn a_dead_handshake_asks_for_another_hello_and_a_silent_one_for_large_packets_as_well() {
    for (code, mtu) in [(FailureCode::Reset, false), (FailureCode::TimedOut, true)] {
        let fact = handshake(|handshake| {
            (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
            handshake.failure = Some(failure(code, Step::Handshake));
        });
        let mut scene = Scene::new("https://shop.example").check(Kind::Tls, [fact]);
        give_parameters(&mut scene, serde_json::json!({"host": "shop.example"}));
        let asked = ask(&scene);
        let hello = asked.iter().find(|follow_up| follow_up.params.kind() == Kind::Tls).unwrap();
        assert_eq!(parameter(hello, "compare_names"), serde_json::json!(["none"]));
        assert_eq!(asked.iter().any(|follow_up| follow_up.params.kind() == Kind::Mtu), mtu, "{asked:#?}");
    }
}

#[test]
fn a_general_alert_asks_for_each_version() {
    let fact = handshake(|handshake| {
        (handshake.chain, handshake.trust, handshake.name) = (Vec::new(), Vec::new(), None);
        let mut alert = failure(FailureCode::TlsAlert, Step::Handshake);
        alert.text = "TLS alert handshake_failure (40)".into();
        handshake.failure = Some(alert);
    });
    let mut scene = Scene::new("https://shop.example").check(Kind::Tls, [fact]);
    give_parameters(&mut scene, serde_json::json!({"host": "shop.example"}));
    let asked = ask(&scene);
    assert!(asked.iter().any(|follow_up| parameter(follow_up, "versions") == true), "{asked:#?}");
}

#[test]
fn servfail_asks_again_with_checking_disabled_and_silence_asks_the_same_server_for_something_else() {
    let parameters = || serde_json::json!({"name": "shop.example"});
    let mut servfail = Scene::new("shop.example")
        .check(Kind::Dns, [system("shop.example", &[]), rcode("10.0.0.53", "shop.example", "A", 2, &[])]);
    give_parameters(&mut servfail, parameters());
    let asked = ask(&servfail);
    assert_eq!(parameter(&asked[0], "compare_cd"), true, "{asked:#?}");
    assert_eq!(parameter(&asked[0], "servers"), serde_json::json!(["10.0.0.53:53"]));
    let mut silent =
        Scene::new("shop.example").check(Kind::Dns, [system("shop.example", &[]), dns_silent("10.0.0.53", "shop.example", "A")]);
    give_parameters(&mut silent, parameters());
    let asked = ask(&silent);
    assert_eq!(parameter(&asked[0], "identity"), true, "{asked:#?}");
    assert!(asked.iter().any(|follow_up| parameter(follow_up, "transport") == "tcp"), "{asked:#?}");
}

#[test]
fn a_slow_name_server_that_no_ping_tells_of_is_asked_who_it_is_and_once() {
    let slow = with_lookup(answer("10.0.0.53", "shop.example", &["192.0.2.1"]), |lookup| lookup.took_us = Some(900_000));
    let mut scene = Scene::new("shop.example").check(Kind::Dns, [slow.clone(), slowly(system("shop.example", &["192.0.2.1"]))]);
    give_parameters(&mut scene, serde_json::json!({"name": "shop.example"}));
    let unpinged = can_ping(scene.clone()).check(Kind::Icmp, [echo("10.0.0.53", &[])]);
    assert_eq!(kinds(&can_ping(scene.clone())), [Kind::Icmp]);
    for scene in [scene, unpinged] {
        let asked = ask(&scene);
        assert_eq!((asked.len(), parameter(&asked[0], "identity")), (1, true.into()), "{asked:#?}");
        assert_eq!(parameter(&asked[0], "servers"), serde_json::json!(["10.0.0.53:53"]));
        let said = |took_us| {
            let said = with_lookup(answer("10.0.0.53", "id.server", &[]), |lookup| lookup.took_us = took_us);
            scene.clone().check(Kind::Dns, [slow.clone(), beside(said, Purpose::Identity)])
        };
        let finding = said(Some(9_000)).finds("dns.resolver_slow");
        assert!(finding.confidence > 0.9, "{finding:?}");
        assert_eq!(ask(&said(Some(9_000))), []);
        assert_eq!(kinds(&said(Some(880_000))), [Kind::Traceroute], "it is slow with everything");
    }
}

#[test]
fn one_question_lost_with_extensions_asks_more_often_with_and_without_them() {
    let lost = with_lookup(answer("10.0.0.53", "shop.example", &["192.0.2.1"]), |lookup| {
        lookup.sent = vec![sent(QueryReason::First, true, None), sent(QueryReason::SilenceWithEdns, false, Some("NOERROR"))];
    });
    let mut scene = Scene::new("shop.example").check(Kind::Dns, [lost]);
    give_parameters(&mut scene, serde_json::json!({"name": "shop.example"}));
    let asked = ask(&scene);
    let again = asked.iter().find(|follow_up| follow_up.between.contains(&"dns.edns_dropped")).unwrap();
    assert_eq!((parameter(again, "edns"), parameter(again, "attempts")), (serde_json::json!("fallback"), serde_json::json!(3)));
}

#[test]
fn a_refusal_of_unknown_distance_asks_how_far_the_target_is() {
    let scene = can_ping(Scene::new("shop.example").check(Kind::Tcp, [refused("192.0.2.1:443", 9_000)]));
    assert_eq!(ask(&scene)[0].between, ["tcp.refused", "tcp.rejected_by_middlebox"]);
    let own = can_ping(Scene::new("shop.example").check(Kind::Tcp, [refused("127.0.0.1:443", 90)]));
    assert_eq!(ask(&own), [], "nothing lies between this machine and itself");
}

#[test]
fn connections_that_stand_late_ask_for_pings_and_more_connections() {
    let at = "192.0.2.1:443";
    let scene = can_ping(Scene::new("shop.example").check(Kind::Tcp, [connected(at), connected_late(at), connected_late(at)]));
    let kinds = kinds(&scene);
    assert!(kinds.contains(&Kind::Icmp) && kinds.contains(&Kind::Tcp), "{kinds:?}");
}

/// As the runner writes down the parameters in force.
fn give_parameters(scene: &mut Scene, value: serde_json::Value) {
    let outcome = scene.outcomes_mut().last_mut().unwrap();
    outcome.parameters = netsonde_contract::kind::Params::parse(outcome.kind, value).unwrap().to_value();
}

fn pings_lost() -> Scene {
    let mut scene = Scene::new("shop.example:443").check(Kind::Tcp, (0..6).map(|_| connected("192.0.2.1:443")));
    // All at once, as sets make them.
    scene.outcomes_mut()[0].observations.iter_mut().for_each(|seen| seen.at_us = 0);
    can_ping(paced(scene.check(Kind::Icmp, [echo_series("192.0.2.1", 20, 15, |_| {})]), 50))
}

#[test]
fn pings_that_are_lost_ask_for_connections_one_after_the_other_slower_pings_and_a_longer_trace() {
    let asked = ask(&pings_lost());
    let spread = asked.iter().find(|follow_up| follow_up.params.kind() == Kind::Tcp).unwrap();
    assert_eq!((parameter(spread, "spread_ms"), parameter(spread, "attempts")), (60.into(), 20.into()));
    let slow = asked.iter().find(|follow_up| follow_up.params.kind() == Kind::Icmp).unwrap();
    assert_eq!(parameter(slow, "interval_ms"), 250);
    assert!(asked.iter().any(|follow_up| parameter(follow_up, "rounds") == 10), "{asked:#?}");
}

fn sent_again_once() -> TcpState {
    TcpState { retransmits: 1, mss_bytes: 1_448, bytes_sent: Some(152), bytes_resent: Some(76), ..TcpState::default() }
}

#[test]
fn one_packet_that_was_lost_asks_for_more_before_it_is_called_chance() {
    let stood = || Scene::new("shop.example:443").check(Kind::Tcp, (0..6).map(|_| connected("192.0.2.1:443")));
    let pings = |lost, of| can_ping(paced(stood().check(Kind::Icmp, [echo_series("192.0.2.1", of, lost, |_| {})]), 50));
    let (none, one) = (pings(0, 20), pings(1, 20));
    assert!(one.is_healthy().is_empty());
    assert_eq!(kinds(&none), []);
    assert!(kinds(&one).contains(&Kind::Icmp) && kinds(&one).contains(&Kind::Tcp), "{:?}", kinds(&one));
    assert!(!kinds(&pings(1, 60)).contains(&Kind::Icmp), "so many show that it was chance");
    let late = stood().check(Kind::Tcp, [connected_late("192.0.2.1:443")]);
    assert!(kinds(&late).contains(&Kind::Tcp), "without the right to ping, connections");
    let lost = stood().check(Kind::Tcp, [silent("192.0.2.1:443")]);
    assert!(kinds(&lost).contains(&Kind::Tcp), "one that never stood, beside others that did");
    let resent = |scene: Scene| {
        scene.check(
            Kind::Http,
            [exchange("https://shop.example/", |exchange| exchange.at_close = Some(Box::new(sent_again_once())))],
        )
    };
    assert!(kinds(&resent(stood())).contains(&Kind::Tcp), "a segment that was sent again, where no ping tells");
    assert_eq!(kinds(&resent(none)), []);
}

#[test]
fn what_the_answers_show_is_counted_and_not_asked_again() {
    let mut scene = pings_lost();
    for at in 0..20 {
        scene = scene.check(Kind::Tcp, [connected("192.0.2.1:443")]);
        scene.outcomes_mut().last_mut().unwrap().observations[0].at_us = at * 60_000;
    }
    assert_eq!(scene.is_healthy(), ["path.icmp_rate_limited"]);
    assert_eq!(ask(&scene), []);
    // Nor does a finding name a measurement that was made.
    let clean = "++++++++++";
    let way = [("10.0.1.1", clean), ("192.0.2.1", "+-+++-++++")];
    let traced = pings_lost().check(Kind::Traceroute, trace_rounds("192.0.2.1", &way));
    let finding = traced.finds("path.loss");
    assert!(finding.could_not_separate.iter().all(|open| !open.would_take.contains("ten rounds")), "{finding:#?}");
}
