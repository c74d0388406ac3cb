//! Sender and reflector over loopback.

use super::*;
use crate::clock::Clock;
use crate::context::{ProxyChoice, Recorder};
use crate::gate::{Gate, Limits};
use crate::tls::trust::Trust;
use netsonde_contract::id::CheckId;
use netsonde_contract::kind::{Kind, Params};
use serde_json::json;
use std::sync::Arc;

fn key() -> ReflectorKey {
    ReflectorKey::new(b"0123456789abcdef").unwrap()
}

fn context(key: Option<ReflectorKey>) -> Context {
    let clock = Clock::start();
    Context {
        gate: Arc::new(Gate::new(Limits::PERSON, clock)),
        clock,
        names: Arc::default(),
        trust: Arc::new(Trust::default().with_reflector_key(key)),
        proxy: ProxyChoice::None,
        recorder: Recorder::new(CheckId::new("reflect")),
        max_segment_bytes: None,
    }
}

async fn measured(
    address: &str,
    ours: Option<ReflectorKey>,
    theirs: Option<ReflectorKey>,
    more: serde_json::Value,
) -> (Ending, Reflection, ReflectorSummary) {
    let rules = ReflectorRules { allowed: Vec::new(), key: theirs, answers: None, bytes: None };
    let reflector = Reflector::open(&[format!("{address}:0").parse().unwrap()], rules, Clock::start()).unwrap();
    let port = reflector.addresses()[0].port();
    let mut params =
        json!({"host": address.trim_matches(['[', ']']), "port": port, "count": 10, "interval_ms": 5, "timeout_ms": 300});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let Params::Reflect(params) = Params::parse(Kind::Reflect, params).unwrap() else { panic!() };
    let context = context(ours);
    let ending = tokio::select! {
        () = reflector.run() => panic!("the reflector ended"),
        ending = run(&context, &params) => ending.unwrap(),
    };
    let fact = context.recorder.observations().into_iter().next().unwrap().fact;
    let Fact::Reflection(fact) = fact else { panic!("{fact:?}") };
    (ending, *fact, reflector.summary())
}

#[tokio::test]
async fn a_whole_series_is_measured_in_both_families_formats_and_modes() {
    for (address, ptp, key) in
        [("127.0.0.1", false, None), ("[::1]", true, None), ("127.0.0.1", true, Some(key())), ("[::1]", false, Some(key()))]
    {
        let (ending, fact, summary) = measured(address, key.clone(), key, json!({"ptp": ptp, "dscp": 46})).await;
        assert_eq!((ending, fact.sent, fact.received, &fact.failure), (Ending::AsExpected, 10, 10, &None), "{fact:?}");
        assert_eq!((fact.forward.lost, fact.reverse.lost, fact.strays), (Some(0), Some(0), 0));
        // Both ends have the same clock: delays of one direction are true, and no clock is off.
        assert!(fact.offset_us.unwrap().unsigned_abs() <= fact.offset_bound_us.unwrap() + 1, "{fact:?}");
        if cfg!(target_os = "linux") {
            assert!((0..500_000).contains(&fact.forward.least_delay_us.unwrap()), "{fact:?}");
            assert_eq!((&fact.forward.ttls, &fact.reverse.ttls), (&vec![255], &vec![255]));
            assert_eq!((&fact.forward.dscps, &fact.reverse.dscps), (&vec![46], &vec![46]));
            assert_eq!(fact.reflector, ReflectorKind::Stateful);
            assert_eq!(fact.forward.mtu.unwrap().passed_bytes, 1_500);
            assert_eq!(fact.reverse.mtu.unwrap().passed_bytes, 1_500);
        }
        assert_eq!(summary.sessions.iter().map(|session| session.missing).sum::<u32>(), 0);
        assert!(summary.answered >= 11, "{summary:?}");
    }
}

#[tokio::test]
async fn a_reflector_with_another_key_answers_nothing() {
    let other = ReflectorKey::new(b"fedcba9876543210").unwrap();
    let (ending, fact, summary) = measured("127.0.0.1", Some(key()), Some(other), json!({"count": 3})).await;
    assert_eq!((ending, fact.received), (Ending::Failed, 0));
    let failure = fact.failure.unwrap();
    assert_eq!(failure.code, FailureCode::TimedOut);
    assert!(failure.text.contains("netsonde reflect --key FILE"), "{}", failure.text);
    assert_eq!((fact.forward.lost, fact.reverse.lost, fact.lost_unknown), (None, None, 3));
    assert_eq!((summary.answered, summary.refused), (0, vec![("not sealed with the key", 3)]));
}

#[tokio::test]
async fn a_key_at_the_other_end_only_is_thought_of() {
    let (ending, fact, _) = measured("127.0.0.1", None, Some(key()), json!({"count": 3})).await;
    assert_eq!((ending, fact.received), (Ending::Failed, 0));
    let failure = fact.failure.unwrap();
    assert!(failure.text.contains("--reflector-key FILE"), "{}", failure.text);
}

#[tokio::test]
async fn a_closed_port_is_said_at_once() {
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let params = json!({"host": "127.0.0.1", "port": closed.port(), "count": 3, "interval_ms": 5});
    let Params::Reflect(params) = Params::parse(Kind::Reflect, params).unwrap() else { panic!() };
    let context = context(None);
    assert_eq!(run(&context, &params).await, Ok(Ending::Failed));
    let fact = context.recorder.observations().into_iter().next().unwrap().fact;
    assert_eq!(fact.failure().unwrap().code, FailureCode::Refused);
}
