use super::*;
use netsonde_contract::failure::Step;
use netsonde_contract::id::CheckId;
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::{Fact, Resolvers};
use netsonde_contract::set::Samples;
use netsonde_probes::clock::Clock;
use netsonde_probes::gate::{Gate, Limits};
use std::sync::Arc;

/// A plan of host checks; each one's behaviour is told by its `target` parameter.
fn plan(checks: &[(&str, &[&str])], budget: Duration) -> Plan {
    let mut plan = netsonde_contract::set::ProbeSet::parse(
        "test",
        "name = \"test\"\nquestion = \"q\"\n[[check]]\nid = \"x\"\nkind = \"host\"\n",
    )
    .unwrap()
    .plan(&Default::default())
    .unwrap();
    plan.budget = budget;
    let check = |(behaviour, needs): &(&str, &[&str])| PlannedCheck {
        id: CheckId::new(*behaviour),
        required: true,
        target: None,
        needs: needs.iter().map(|need| CheckId::new(*need)).collect(),
        when: Vec::new(),
        deadline: if behaviour.starts_with("late") { Duration::from_millis(1) } else { Duration::from_secs(60) },
        samples: Samples::ONE,
        params: Params::parse(Kind::Host, serde_json::json!({ "target": behaviour })).unwrap(),
    };
    plan.checks = checks.iter().map(check).collect();
    plan
}

fn behave(context: Context, params: Params) -> BoxFuture<'static, Result<Ending, NotMeasurable>> {
    let Params::Host(params) = params else { panic!("only host checks here") };
    let behaviour = params.target.unwrap_or_default();
    Box::pin(async move {
        let fact = Resolvers { read_from: "seen".into(), ..Resolvers::default() };
        context.recorder.record(0, Fact::Resolvers(fact));
        match behaviour.as_str() {
            "good" => Ok(Ending::AsExpected),
            "bad" => Ok(Ending::Failed),
            "unable" => Err(NotMeasurable::with_grant("no right", "sudo")),
            "panics" => panic!("planted fault"),
            "late-known" => {
                context.recorder.has_enough();
                std::future::pending().await
            }
            "late-half" | "half" => {
                let _half = RecordsWhenDropped(context.recorder.clone());
                std::future::pending().await
            }
            _ => std::future::pending().await,
        }
    })
}

/// A measurement that is recorded as far as it came, as probes do.
struct RecordsWhenDropped(Recorder);

impl Drop for RecordsWhenDropped {
    fn drop(&mut self) {
        let why = self.0.cut_off(Step::Receive).code;
        let fact = Resolvers { read_from: format!("{why:?}"), ..Resolvers::default() };
        self.0.record(0, Fact::Resolvers(fact));
    }
}

fn means(watcher: Option<UnboundedSender<Observation>>) -> Means {
    let clock = Clock::start();
    let context = Context {
        gate: Arc::new(Gate::new(Limits::PERSON, clock)),
        clock,
        names: Arc::default(),
        trust: Arc::default(),
        proxy: Default::default(),
        recorder: Recorder::new(CheckId::new("none")),
        max_segment_bytes: None,
    };
    Means { context, measure: behave, watcher, at_once: MAX_AT_ONCE }
}

fn statuses(ran: &Ran) -> Vec<Status> {
    ran.outcomes.iter().map(|outcome| outcome.status).collect()
}

#[tokio::test]
async fn a_panic_in_one_check_costs_the_others_nothing() {
    let plan = plan(&[("panics", &[]), ("good", &[]), ("bad", &[]), ("unable", &[])], Duration::from_secs(60));
    let ran = run(&plan, &means(None), std::future::pending(), &mut |_| {}).await;
    assert_eq!(statuses(&ran), [Status::NotMeasured, Status::Succeeded, Status::Failed, Status::NotMeasured]);
    let panicked = &ran.outcomes[0];
    assert!(panicked.note.as_ref().unwrap().why.contains("planted fault"), "{:?}", panicked.note);
    assert_eq!(panicked.observations.len(), 1, "what was seen before the panic is kept");
    assert_eq!(ran.outcomes[3].note.as_ref().unwrap().grant.as_deref(), Some("sudo"));
}

#[tokio::test]
async fn a_deadline_keeps_what_was_seen_and_skips_what_needs_it() {
    let plan = plan(&[("late", &[]), ("good", &["late"])], Duration::from_secs(60));
    let ran = run(&plan, &means(None), std::future::pending(), &mut |_| {}).await;
    assert_eq!(statuses(&ran), [Status::TimedOut, Status::Skipped]);
    assert_eq!(ran.outcomes[0].observations.len(), 1);
    assert!(!ran.interrupted);
}

#[tokio::test]
async fn what_was_known_before_the_deadline_is_enough_for_those_that_need_it() {
    let plan = plan(&[("late-known", &[]), ("good", &["late-known"])], Duration::from_secs(60));
    let ran = run(&plan, &means(None), std::future::pending(), &mut |_| {}).await;
    assert_eq!(statuses(&ran), [Status::TimedOut, Status::Succeeded]);
}

/// What a probe records when it is dropped tells silence from interruption by this word.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_check_whose_time_was_over_had_no_answer() {
    let cases: [(&str, u64, bool, &str); 3] =
        [("late-half", 60_000, false, "TimedOut"), ("half", 5, false, "TimedOut"), ("half", 60_000, true, "Interrupted")];
    for (check, budget, stopped, why) in cases {
        let plan = plan(&[(check, &[])], Duration::from_millis(budget));
        // The check is under way before it is stopped: it has recorded its first fact.
        let (watcher, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let interrupted = async move {
            seen.recv().await;
            if !stopped {
                std::future::pending::<()>().await;
            }
        };
        let ran = run(&plan, &means(Some(watcher)), interrupted, &mut |_| {}).await;
        assert_eq!(ran.interrupted, stopped);
        let observed = &ran.outcomes[0].observations;
        assert!(matches!(&observed[1].fact, Fact::Resolvers(last) if last.read_from == why), "{check}: {observed:?}");
    }
}

#[tokio::test]
async fn an_interruption_keeps_what_is_there_and_says_so() {
    let plan = plan(&[("good", &[]), ("hangs", &[]), ("never", &["hangs"])], Duration::from_secs(60));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut stop = Some(stop);
    let interrupted = async {
        let _ = stopped.await;
    };
    let ran = run(&plan, &means(None), interrupted, &mut |event| {
        if matches!(event, Event::Ended(_)) {
            stop.take().map(|stop| stop.send(()));
        }
    })
    .await;
    assert!(ran.interrupted);
    assert_eq!(statuses(&ran), [Status::Succeeded, Status::NotMeasured, Status::NotMeasured]);
    assert!(ran.outcomes[2].note.as_ref().unwrap().why.contains("before it began"));
}

#[tokio::test]
async fn the_budget_ends_the_run_and_is_named_as_a_limit() {
    let plan = plan(&[("hangs", &[]), ("never", &["hangs"])], Duration::from_millis(1));
    let ran = run(&plan, &means(None), std::future::pending(), &mut |_| {}).await;
    assert_eq!(statuses(&ran), [Status::TimedOut, Status::NotMeasured]);
    assert_eq!(ran.limits_hit.len(), 1);
}

#[tokio::test]
async fn observations_are_handed_on_as_they_come() {
    let (watcher, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let plan = plan(&[("good", &[])], Duration::from_secs(60));
    let ran = run(&plan, &means(Some(watcher)), std::future::pending(), &mut |_| {}).await;
    assert_eq!(seen.try_recv().unwrap(), ran.outcomes[0].observations[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_cut_off_keeps_what_it_records_on_its_way_out() {
    for (checks, budget) in [([("late-half", &[] as &[&str])], 60_000), ([("half", &[] as &[&str])], 5)] {
        let plan = plan(&checks, Duration::from_millis(budget));
        let ran = run(&plan, &means(None), std::future::pending(), &mut |_| {}).await;
        assert_eq!(statuses(&ran), [Status::TimedOut]);
        assert_eq!(ran.outcomes[0].observations.len(), 2, "{checks:?}");
    }
}

/// Every sample begins anew: one that ran out of its time says nothing of the next, and all that was seen is kept.
#[tokio::test]
async fn samples_are_taken_one_after_the_other_and_each_keeps_what_it_saw() {
    let mut plan = plan(&[("late-half", &[]), ("good", &[])], Duration::from_secs(600));
    for check in &mut plan.checks {
        check.samples = Samples { count: 3, every: Duration::from_millis(1) };
    }
    let ran = run(&plan, &means(None), std::future::pending(), &mut |_| {}).await;
    let [late, good] = &ran.outcomes[..] else { panic!("{ran:?}") };
    assert_eq!((late.status, good.status), (Status::Failed, Status::Succeeded));
    assert_eq!(late.note.as_ref().unwrap().why, "of 3 samples 3 ran out of time");
    // Each sample records what it sees and, as it is cut off, the half of what it was about.
    assert_eq!((late.observations.len(), good.observations.len()), (6, 3));
    let ids: std::collections::BTreeSet<_> = late.observations.iter().map(|observation| observation.id.as_str()).collect();
    assert_eq!(ids.len(), 6, "no two observations share an id");
}
