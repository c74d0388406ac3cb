use super::*;
use crate::clock::Clock as RunClock;
use crate::context::{ProxyChoice, Recorder};
use crate::gate::{Gate, Limits};
use netsonde_contract::id::CheckId;
use std::sync::Arc;

fn context() -> Context {
    let clock = RunClock::start();
    Context {
        gate: Arc::new(Gate::new(Limits::PERSON, clock)),
        clock,
        names: Arc::default(),
        trust: Arc::default(),
        proxy: ProxyChoice::None,
        recorder: Recorder::new(CheckId::new("machine")),
        max_segment_bytes: None,
    }
}

async fn facts(target: Option<&str>) -> (Ending, Vec<Fact>) {
    let context = context();
    let ending = run(&context, &HostParams { target: target.map(str::to_owned), ..HostParams::default() }).await.unwrap();
    (ending, context.recorder.observations().into_iter().map(|observation| observation.fact).collect())
}

#[tokio::test]
async fn the_loopback_interface_and_the_route_over_it_are_seen() {
    let (ending, facts) = facts(Some("127.0.0.1")).await;
    assert_eq!(ending, Ending::AsExpected);
    let is_loopback = |fact: &&Fact| matches!(fact, Fact::Interface(one) if one.loopback && one.up && one.addresses.iter().any(|a| a == "127.0.0.1/8"));
    assert_eq!(facts.iter().filter(is_loopback).count(), 1);
    let route = facts.iter().find_map(|fact| if let Fact::Route(route) = fact { Some(route) } else { None }).unwrap();
    assert_eq!((route.source, &route.gateway, &route.failure), (Some("127.0.0.1".parse().unwrap()), &None, &None));
    assert!(route.interface.is_some() || cfg!(not(target_os = "linux")));
    for name in ["resolvers", "proxies", "clock"] {
        let count = facts.iter().filter(|fact| serde_json::to_value(fact).unwrap()["fact"] == name).count();
        assert_eq!(count, 1, "{name}");
    }
}

#[tokio::test]
async fn without_a_target_only_the_ways_to_everything_else_are_read() {
    let (ending, facts) = facts(None).await;
    assert_eq!(ending, Ending::AsExpected);
    let is_other = |fact: &Fact| matches!(fact, Fact::Route(route) if !route.target.is_unspecified() || route.failure.is_some());
    assert!(!facts.iter().any(is_other), "{facts:?}");
}

/// Longer than a name may be (RFC 1035 section 2.3.4), so that no resolver is asked.
#[tokio::test]
async fn a_target_that_does_not_resolve_leaves_the_machine_and_says_what_is_missing() {
    let context = context();
    let target = vec!["a".repeat(60); 5].join(".");
    let missing = run(&context, &HostParams { target: Some(target.clone()), ..HostParams::default() }).await.unwrap_err();
    assert!(missing.0.why.contains(&target) && missing.0.why.contains("did not resolve"), "{missing}");
    assert!(context.recorder.observations().iter().any(|observation| matches!(observation.fact, Fact::Interface(_))));
}

#[tokio::test]
async fn for_a_further_target_only_its_route_is_read() {
    let context = context();
    let params = HostParams { target: Some("127.0.0.1".into()), only_route: true, duplicates: false };
    assert_eq!(run(&context, &params).await, Ok(Ending::AsExpected));
    let facts: Vec<Fact> = context.recorder.observations().into_iter().map(|observation| observation.fact).collect();
    assert!(matches!(&facts[..], [Fact::Route(_)]), "{facts:?}");
}

#[test]
fn interfaces_with_an_address_stay_where_there_are_too_many() {
    let interface = |number: usize, addresses: Vec<String>| Interface {
        name: format!("i{number}"),
        up: true,
        addresses,
        ..Interface::default()
    };
    let mut many: Vec<_> = (0..MAX_INTERFACES * 2).map(|number| interface(number, Vec::new())).collect();
    many.push(interface(9_999, vec!["192.0.2.1/24".into()]));
    let kept = telling(many);
    assert_eq!(kept.len(), MAX_INTERFACES);
    assert_eq!(kept[0].name, "i9999");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn every_part_of_the_machine_is_recorded_once() {
    let (_, facts) = facts(Some("127.0.0.1")).await;
    for name in ["counters", "capacity", "system_load", "firewall", "neighbours", "sockets"] {
        let count = facts.iter().filter(|fact| serde_json::to_value(fact).unwrap()["fact"] == name).count();
        assert_eq!(count, 1, "{name}");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn the_closing_reading_counts_what_the_run_itself_sent() {
    let context = context();
    run(&context, &HostParams::default()).await.unwrap();
    let outcome = netsonde_contract::outcome::Outcome {
        check: CheckId::new("machine"),
        kind: netsonde_contract::kind::Kind::Host,
        required: false,
        target: None,
        parameters: serde_json::Value::Null,
        status: netsonde_contract::outcome::Status::Succeeded,
        note: None,
        began_us: 0,
        took_us: 0,
        separates: Vec::new(),
        observations: context.recorder.observations(),
    };
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..20 {
        socket.send_to(b"x", listener.local_addr().unwrap()).unwrap();
    }
    let last = closing_reading(context.clock, &outcome).await.unwrap();
    let Fact::Counters(counters) = last.fact else { panic!("no counters") };
    assert!(counters.value("Udp.OutDatagrams") >= 20 && counters.over_us.is_some(), "{counters:?}");
    assert_eq!(last.id, netsonde_contract::id::ObservationId::of(&outcome.check, outcome.observations.len() + 1));
}
