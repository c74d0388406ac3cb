use super::*;
use futures_util::future::BoxFuture;
use netsonde_contract::document::SetReference;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{Connect, Fact};
use netsonde_diagnosis::Cost;
use netsonde_probes::clock::Clock;
use netsonde_probes::context::ProxyChoice;
use netsonde_probes::gate::{Gate, Limits};
use netsonde_probes::names::Names;
use netsonde_probes::{Context, Ending, NotMeasurable, Recorder, Trust};
use serde_json::json;
use std::sync::Arc;

/// Every connection stays without an answer, and everything else cannot be measured.
fn all_silent(context: Context, params: Params) -> BoxFuture<'static, Result<Ending, NotMeasurable>> {
    Box::pin(async move {
        let Params::Tcp(params) = params else { return Err(NotMeasurable::new("as the test says")) };
        let failure = Some(Failure::new(FailureCode::TimedOut, Step::Connect, "no answer"));
        let address = format!("{}:{}", params.host, params.port);
        let connect: Connect = serde_json::from_value(json!({
            "host": params.host, "address": address, "attempt": 1, "took_us": 3_000_000, "failure": failure
        }))
        .unwrap();
        context.recorder.record(0, Fact::Connect(connect));
        Ok(Ending::Failed)
    })
}

fn means() -> Means {
    let clock = Clock::start();
    let context = Context {
        gate: Arc::new(Gate::new(Limits::PERSON, clock)),
        clock,
        names: Arc::new(Names::default()),
        trust: Arc::new(Trust::default()),
        proxy: ProxyChoice::None,
        recorder: Recorder::new(CheckId::new("run")),
        max_segment_bytes: None,
    };
    Means { context, measure: all_silent, watcher: None, at_once: runner::MAX_AT_ONCE }
}

fn plan(budget: Duration) -> Plan {
    let params = Params::parse(Kind::Tcp, json!({"host": "192.0.2.1", "port": 443})).unwrap();
    let check = PlannedCheck {
        id: CheckId::new("connect"),
        required: true,
        target: None,
        needs: Vec::new(),
        when: Vec::new(),
        deadline: Duration::from_secs(5),
        samples: Samples::ONE,
        params,
    };
    Plan {
        set: SetReference { name: "lean".into(), version: 1, sha256: String::new() },
        question: String::new(),
        targets: Vec::new(),
        repeated: Vec::new(),
        proxies: Vec::new(),
        budget,
        bytes: None,
        checks: vec![check],
    }
}

fn environment() -> Environment {
    Environment { raw_sockets: true, ping_sockets: true, ..netsonde_probes::environment("0", &Clock::start()) }
}

/// Runs the plan and what is asked further; the outcomes and the journal.
async fn asked_after(plan: &Plan, interrupted: bool) -> (Ran, String) {
    let means = means();
    let mut journal = Journal::default();
    let mut ran = runner::run(plan, &means, std::future::pending(), &mut |_| ()).await;
    let mut told = Told { progress: Some(Progress::of(plan)), journal: &mut journal, outcomes: None };
    let stop = || async move {
        if !interrupted {
            std::future::pending::<()>().await;
        }
    };
    ask(plan, &means, &environment(), stop, &mut ran, &mut told).await;
    told.progress.into_iter().for_each(Progress::clear);
    (ran, String::from_utf8(journal.into_lines()).unwrap())
}

#[tokio::test]
async fn an_open_question_is_asked_and_stands_in_outcomes_and_journal() {
    let (ran, journal) = asked_after(&plan(Duration::from_secs(30)), false).await;
    let further: Vec<_> = ran.outcomes.iter().filter(|outcome| !outcome.separates.is_empty()).collect();
    assert!(!further.is_empty() && further.len() <= MAX_FOLLOW_UPS, "{further:#?}");
    assert!(further.iter().all(|outcome| !outcome.required && outcome.check.as_str().starts_with("follow-up-")), "{further:#?}");
    let asked = |outcome: &&Outcome| ["host", "target"].iter().any(|name| outcome.parameters[*name] == "192.0.2.1");
    assert!(further.iter().all(asked), "nobody else is asked: {further:#?}");
    let mut ids: Vec<_> = ran.outcomes.iter().map(|outcome| outcome.check.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), ran.outcomes.len(), "each has a name of its own");
    assert!(journal.contains(r#""event":"follow_up","check":"follow-up-1","between":["#), "{journal}");
    assert!(!journal.contains("192.0.2.1"), "the journal names no address: {journal}");
    assert!(ran.limits_hit.is_empty());
}

#[tokio::test]
async fn a_run_whose_time_is_over_or_that_was_interrupted_asks_nothing() {
    let (ran, journal) = asked_after(&plan(Duration::from_millis(500)), false).await;
    assert_eq!(ran.outcomes.len(), 1, "{journal}");
    let (mut ran, _) = asked_after(&plan(Duration::from_secs(30)), true).await;
    assert!(ran.interrupted, "it hears of an interruption while it asks");
    let before = ran.outcomes.len();
    let means = means();
    let mut journal = Journal::default();
    let mut told = Told { progress: None, journal: &mut journal, outcomes: None };
    ask(&plan(Duration::from_secs(30)), &means, &environment(), std::future::pending::<()>, &mut ran, &mut told).await;
    assert_eq!(ran.outcomes.len(), before);
}

fn follow_up(packets: u32, seconds: u64) -> FollowUp {
    FollowUp {
        params: Params::parse(Kind::Icmp, json!({"host": "192.0.2.1", "interval_ms": 50})).unwrap(),
        target: None,
        between: vec!["tcp.filtered", "path.target_silent", "path.blackhole"],
        cost: Cost { packets, time: Duration::from_secs(seconds) },
        separation: 1.0,
    }
}

#[test]
fn what_is_chosen_stays_within_every_bound() {
    let mut allowance = Allowance { checks: MAX_FOLLOW_UPS, packets: 100, time: Duration::from_secs(4) };
    let chosen = choose(
        vec![follow_up(60, 2), follow_up(60, 2), follow_up(10, 9), follow_up(10, 1), follow_up(1, 1), follow_up(1, 1)],
        &mut allowance,
    );
    assert_eq!(chosen.iter().map(|chosen| chosen.cost.packets).collect::<Vec<_>>(), [60, 10, 1]);
    assert_eq!((allowance.packets, allowance.checks), (29, MAX_FOLLOW_UPS - 3));
    let mut used_up = Allowance { checks: 0, packets: 100, time: Duration::from_secs(4) };
    assert!(choose(vec![follow_up(1, 1)], &mut used_up).is_empty());
    let mut late = Allowance { checks: 5, packets: 100, time: Duration::from_millis(900) };
    assert!(choose(vec![follow_up(1, 0)], &mut late).is_empty());
}

#[test]
fn slow_pings_and_a_trace_of_the_same_way_are_made_one_after_the_other() {
    let made = |kind, value| FollowUp { params: Params::parse(kind, value).unwrap(), ..follow_up(30, 5) };
    let slow = || made(Kind::Icmp, json!({"host": "192.0.2.1", "interval_ms": 250}));
    let chosen = |beside: FollowUp| {
        let mut allowance = Allowance { checks: MAX_FOLLOW_UPS, packets: 100, time: Duration::from_secs(9) };
        choose(vec![slow(), beside], &mut allowance).len()
    };
    assert_eq!(chosen(made(Kind::Traceroute, json!({"host": "192.0.2.1"}))), 1);
    assert_eq!(chosen(made(Kind::Icmp, json!({"host": "192.0.2.1", "interval_ms": 50}))), 1);
    assert_eq!(chosen(made(Kind::Traceroute, json!({"host": "192.0.2.9"}))), 2, "another way");
    assert_eq!(chosen(made(Kind::Traceroute, json!({"host": "192.0.2.1", "protocol": "tcp"}))), 2, "no pings");
    assert_eq!(chosen(made(Kind::Tcp, json!({"host": "192.0.2.1", "port": 443}))), 2);
}

#[test]
fn a_person_reads_what_is_asked_and_why() {
    assert_eq!(apart(&follow_up(1, 1).between), "tcp.filtered from path.target_silent or path.blackhole");
    let round = round(&plan(Duration::from_secs(30)), &[follow_up(1, 1)], 4, Duration::from_secs(9));
    assert_eq!((round.checks[0].id.as_str(), round.checks[0].required), ("follow-up-4", false));
    assert!(round.checks[0].deadline <= Duration::from_secs(9));
}

#[test]
fn a_run_that_took_long_by_itself_asks_no_longer_than_a_verdict_is_waited_for() {
    let left =
        |began, now| super::time_left(Duration::from_secs(45), Duration::from_secs(began), Duration::from_secs(now)).as_secs();
    assert_eq!(left(4, 4), 13, "the bound of the follow-ups themselves");
    assert_eq!((left(16, 16), left(16, 24)), (9, 1), "25 seconds after the run began");
    assert_eq!((left(34, 34), left(34, 38)), (5, 1), "one round");
    assert_eq!(left(44, 44), 1, "the run's own budget");
}
