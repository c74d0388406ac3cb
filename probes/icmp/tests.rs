//! The engines on loopback. A process that may open neither raw nor ping sockets has nothing to test here, and says so.

use super::*;
use crate::context::{ProxyChoice, Recorder};
use crate::gate::{Gate, Limits};
use crate::{Trust, clock::Clock};
use netsonde_contract::id::CheckId;
use netsonde_contract::kind::EchoEngine;
use netsonde_contract::observation::{Echo, Fact, Sweep};
use std::sync::Arc;

async fn measure(params: &IcmpParams, limits: Limits) -> (Result<Ending, NotMeasurable>, Vec<Fact>) {
    let clock = Clock::start();
    measure_behind(Gate::new(limits, clock), clock, params).await
}

async fn measure_behind(gate: Gate, clock: Clock, params: &IcmpParams) -> (Result<Ending, NotMeasurable>, Vec<Fact>) {
    let recorder = Recorder::new(CheckId::new("icmp"));
    let context = Context {
        gate: Arc::new(gate),
        clock,
        names: Arc::default(),
        trust: Arc::new(Trust::new(Vec::new()).unwrap()),
        proxy: ProxyChoice::None,
        recorder: recorder.clone(),
        max_segment_bytes: None,
    };
    let ending = run(&context, params).await;
    drop(context);
    (ending, recorder.observations().into_iter().map(|observation| observation.fact).collect())
}

fn allowed(ending: &Result<Ending, NotMeasurable>) -> bool {
    match ending {
        Err(NotMeasurable(note)) if note.grant.is_some() => {
            eprintln!("skipped: an echo series on loopback: {}", note.why);
            false
        }
        _ => true,
    }
}

fn quick(host: &str) -> IcmpParams {
    IcmpParams { count: 5, interval_ms: 10, ..IcmpParams::of(host) }
}

fn only_echo(facts: &[Fact]) -> &Echo {
    match facts {
        [Fact::Echo(echo)] => echo,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn both_ends_are_stamped_by_the_kernel_in_both_families() {
    for host in ["127.0.0.1", "::1"] {
        let (ending, facts) = measure(&quick(host), Limits::PERSON).await;
        if !allowed(&ending) {
            return;
        }
        assert_eq!(ending, Ok(Ending::AsExpected));
        let echo = only_echo(&facts);
        assert_eq!((echo.sent, echo.replies.len(), echo.clock.as_str()), (5, 5, "kernel_rx_tx"), "{echo:?}");
        assert!(echo.replies.iter().all(|reply| reply.ttl == Some(64) && !reply.corrupt && reply.from.is_none()), "{echo:?}");
        let found = echo.statistics.as_deref().unwrap();
        assert_eq!((found.received, found.lost, found.dropped_here, found.stamps_refused), (5, 0, 0, 0));
        assert!(found.rtt.is_some() && found.jitter_us.is_some());
    }
}

#[tokio::test]
async fn the_portable_engine_measures_by_the_programs_clock() {
    let params = IcmpParams { engine: EchoEngine::Portable, ..quick("127.0.0.1") };
    let (ending, facts) = measure(&params, Limits::PERSON).await;
    if allowed(&ending) {
        let echo = only_echo(&facts);
        assert_eq!((echo.sent, echo.replies.len(), echo.clock.as_str()), (5, 5, "process"), "{echo:?}");
        assert_eq!(echo.statistics.as_deref().unwrap().received, 5);
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_socket_that_gets_whole_packets_measures_by_the_programs_clock_in_both_families() {
    for host in ["127.0.0.1", "::1"] {
        let clock = Clock::start();
        let recorder = Recorder::new(CheckId::new("icmp"));
        let context = Context {
            gate: Arc::new(Gate::new(Limits::PERSON, clock)),
            clock,
            names: Arc::default(),
            trust: Arc::new(Trust::new(Vec::new()).unwrap()),
            proxy: ProxyChoice::None,
            recorder: recorder.clone(),
            max_segment_bytes: None,
        };
        let aim = Aim { host: host.to_owned(), address: host.parse().unwrap() };
        let params = IcmpParams { size_bytes: 248, ..quick(host) };
        let answered = datagram::run(&context, &params, std::slice::from_ref(&aim), socket2::Type::RAW).await;
        if !allowed(&answered.as_ref().map(|_| Ending::AsExpected).map_err(Clone::clone)) {
            return;
        }
        assert_eq!(answered, Ok(HashSet::from([aim.address])));
        drop(context);
        let facts: Vec<Fact> = recorder.observations().into_iter().map(|observation| observation.fact).collect();
        let echo = only_echo(&facts);
        assert_eq!((echo.sent, echo.replies.len(), echo.clock.as_str()), (5, 5, "process"), "{echo:?}");
        assert!(echo.replies.iter().all(|reply| reply.ttl == Some(64)), "{echo:?}");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn many_targets_become_one_sweep_and_each_is_asked_once() {
    let targets = vec!["127.0.1.0-127.0.2.255".to_owned(), "127.0.1.7".to_owned()];
    let params = IcmpParams { count: 1, rate: 20_000, targets, ..IcmpParams::of("127.0.0.1") };
    let (ending, facts) = measure(&params, Limits::PERSON).await;
    if !allowed(&ending) {
        return;
    }
    let [Fact::Sweep(sweep)] = &facts[..] else { panic!("{facts:?}") };
    let Sweep { targets, answered, sent, received, dropped_here, .. } = **sweep;
    assert_eq!((targets, answered, sent, received, dropped_here), (513, 513, 513, 513, 0));
    assert!(sweep.silent.is_empty() && sweep.failure.is_none() && sweep.rtt.is_some());
}

#[tokio::test]
async fn a_used_up_budget_keeps_what_was_seen_and_says_so() {
    let limits = Limits { packets: 3, ..Limits::PERSON };
    let (ending, facts) = measure(&quick("127.0.0.1"), limits).await;
    if allowed(&ending) {
        let echo = only_echo(&facts);
        assert_eq!((echo.sent, echo.replies.len()), (3, 3), "{echo:?}");
        assert_eq!(echo.failure.as_ref().unwrap().code.clone(), netsonde_contract::failure::FailureCode::BudgetExhausted);
    }
}

#[tokio::test]
async fn an_address_that_policy_forbids_is_not_asked() {
    let clock = Clock::start();
    let params = IcmpParams { targets: vec!["127.0.0.0/29".to_owned()], ..quick("127.0.0.1") };
    let (ending, facts) = measure_behind(crate::gate::closed(clock), clock, &params).await;
    assert!(ending.unwrap_err().to_string().contains("no network of the policy"));
    assert!(facts.is_empty());
}

/// Too long a label is refused by the system's resolver before it asks anybody.
fn unresolvable() -> String {
    format!("{}.example", "x".repeat(64))
}

#[tokio::test]
async fn a_further_name_that_does_not_resolve_fails_the_check_and_is_told() {
    let params = IcmpParams { targets: vec![unresolvable()], ..quick("127.0.0.1") };
    let (ending, facts) = measure(&params, Limits::PERSON).await;
    if allowed(&ending) {
        assert_eq!(ending, Ok(Ending::Failed));
        let [Fact::Lookup(lookup), Fact::Echo(echo)] = &facts[..] else { panic!("{facts:?}") };
        assert!(lookup.name == unresolvable() && lookup.failure.is_some(), "{lookup:?}");
        assert_eq!(echo.replies.len(), 5);
    }
}

#[tokio::test]
async fn of_listed_hosts_each_must_answer_and_of_a_range_any() {
    let dead = "240.0.0.1";
    let params = |targets: &[&str]| {
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        IcmpParams { targets, count: 1, timeout_ms: 50, ..IcmpParams::of("127.0.0.1") }
    };
    // Class E addresses have no route, or are refused at once: nothing of it leaves this machine.
    let (ending, facts) = measure(&params(&["127.0.0.2"]), Limits::PERSON).await;
    if !allowed(&ending) {
        return;
    }
    assert_eq!((ending, facts.len()), (Ok(Ending::AsExpected), 2));
    let asked = |targets: &[&str], answered: &[&str]| {
        let group = |entry: &&str| targets::group_of(entry);
        let asked = targets::Asked { aims: Vec::new(), groups: targets.iter().map(group).collect() };
        asked.is_answered_by(&answered.iter().map(|address| address.parse().unwrap()).collect())
    };
    assert!(!asked(&["127.0.0.1", dead], &["127.0.0.1"]), "one of two listed hosts is dead");
    assert!(asked(&["127.0.0.1", dead], &["127.0.0.1", dead]));
    assert!(asked(&["127.0.0.0-127.0.0.150"], &["127.0.0.40"]), "a range is answered by any of its addresses");
    assert!(!asked(&["127.0.0.1", "127.0.1.0/24"], &["127.0.0.1"]), "a range of which nothing answers is not");
}

#[tokio::test]
async fn addresses_beyond_the_bound_are_told_with_their_number() {
    let over = (0..3).map(|last| Aim { host: "h".into(), address: [127, 9, 9, last].into() }).collect();
    let (aims, cut) = targets::within(over, 2);
    let (first, failure) = cut.unwrap();
    assert_eq!((aims.len(), first.address), (2, [127, 9, 9, 2].into()));
    assert!(failure.text.contains("1 address more than the 2"), "{failure:?}");
}
