//! Real runs of real sets against loopback; intervals are shorter than a file may have them, so that nobody waits.

use super::*;
use crate::daemon::tests::World;
use crate::history::{Ring, Wanted};
use netsonde_contract::agent_config::Timing;
use netsonde_contract::history::{Changed, Health};
use netsonde_contract::id::BundleId;
use std::net::TcpListener;

const SET: &str = "name = \"one\"\nquestion = \"Does it answer?\"\ntarget = \"endpoint\"\nbudget = \"20s\"\n[[check]]\nid = \"connect\"\nkind = \"tcp\"\nrequired = true\n[check.with]\nhost = \"{target.host}\"\nport = \"{target.port}\"\n";

fn schedule(name: &str, target: &str) -> String {
    format!(
        "[[schedule]]\nname = \"{name}\"\nset = \"./one.toml\"\ntargets = [\"{target}\"]\nevery = \"10s\"\nsplay = \"1ms\"\n[schedule.health]\nfailing_after = 1\nok_after = 1\n"
    )
}

/// The schedules as the file has them, every 20 ms.
fn rounds(state: StateDirectory, files: Files, text: &str) -> Rounds {
    std::fs::write(files.config.parent().unwrap().join("one.toml"), SET).unwrap();
    std::fs::write(&files.config, text).unwrap();
    let mut config = agent_file::load(&files.config).unwrap();
    for schedule in &mut config.schedules {
        schedule.timing = Timing::Every(Duration::from_millis(20));
    }
    Rounds::over_file(state, files, tokio::sync::mpsc::unbounded_channel().0, "agent".into(), config, None).unwrap()
}

fn place(folder: &Path) -> (StateDirectory, Files) {
    let state = StateDirectory::open(Some(&folder.join("state"))).unwrap();
    (state, Files { config: folder.join("agent.toml"), policy: folder.join("policy.toml") })
}

/// Runs them until `enough` has been seen, and tells how long the stop took.
fn run_until(rounds: impl FnOnce() -> Rounds + Send + 'static, enough: impl FnOnce()) -> Duration {
    let stop = CancellationToken::new();
    let token = stop.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { rounds().run(&Interruption::of(token)).await });
    });
    enough();
    let clock = Clock::start();
    stop.cancel();
    thread.join().unwrap();
    clock.now()
}

#[test]
fn a_run_that_hangs_or_panics_takes_no_other_along_and_holds_no_stop_up() {
    fn work(job: &Job, cancel: &CancellationToken) -> Told {
        match job.schedule.name.as_str() {
            "hangs" => loop {
                std::thread::park();
            },
            "panics" => panic!("a fault of a check"),
            _ => running::work(job, cancel),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = target.local_addr().unwrap().to_string();
    let text = ["hangs", "panics", "works"].map(|name| schedule(name, &address)).concat();
    let begin = move || Rounds { work, ..rounds(state, files, &text) };
    let took = run_until(begin, || {
        for _ in 0..5 {
            target.accept().unwrap();
        }
    });
    assert!(took < Duration::from_secs(5), "{took:?}");
    let recorded = Ring::at(&folder.path().join("state")).read(&Wanted::default()).unwrap();
    assert_eq!(recorded.checks.len(), 1);
    assert!(recorded.checks[0].samples.len() >= 3, "{recorded:?}");
}

#[test]
fn a_run_that_the_end_of_the_agent_cuts_off_is_due_again() {
    fn hang(_: &Job, cancel: &CancellationToken) -> Told {
        while !cancel.is_cancelled() {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Told::Cancelled
    }
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let kept = state.path().join("schedules.json");
    let last = || {
        let text = std::fs::read(&kept).ok()?;
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()["schedules"]["shop"]["last"].as_i64()
    };
    let mut taken = None;
    let begin = move || Rounds { work: hang, ..rounds(state, files, &schedule("shop", "127.0.0.1:1")) };
    run_until(begin, || {
        while taken.is_none() {
            taken = last();
            std::thread::yield_now();
        }
    });
    assert!(last() < taken, "{:?} and {taken:?}", last());
}

#[test]
fn what_failed_in_a_silence_is_told_and_packed_when_that_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let bad = closed();
    let silence = "[[silence]]\nuntil = \"2099-01-01T00:00:00Z\"\nreason = \"the database moves\"\n";
    let silent = rounds(state, files.clone(), &(schedule("shop", &bad) + silence));
    assert!(matches!(run_once(&silent), Told::Measured { packed: None, noted, .. } if noted[0].change.silenced));
    drop(silent);
    let mut rounds = rounds(place(folder.path()).0, files, &schedule("shop", &bad));
    rounds.next_tick = Duration::ZERO;
    rounds.tick();
    let job = rounds.waiting.pop_front().unwrap();
    assert!(matches!(&job.purpose, Purpose::Deep(fault) if fault.target.as_deref() == Some(bad.as_str())), "{:?}", job.purpose);
    assert_eq!(Owing::of(&rounds.state).all().len(), 1, "an agent that is killed now looks again");
}

#[tokio::test]
async fn metrics_are_served_once_their_port_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("[metrics]\nlisten = \"{}\"\n", taken.local_addr().unwrap());
    let mut rounds = rounds(state, files, &text);
    rounds.serve();
    assert!(rounds.serving.is_none());
    drop(taken);
    rounds.next_tick = Duration::ZERO;
    rounds.tick();
    assert!(rounds.serving.is_some());
}

#[test]
fn a_pause_ends_the_run_of_a_signed_schedule() {
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let shelf = crate::standing::Shelf::of(&state);
    let text = schedule("own", "127.0.0.1:1");
    let mut rounds = rounds(state, files, &text);
    assert_eq!(rounds.look_at_ordered(), Duration::MAX, "nothing was ordered");
    let run = |order: &OrderId| Ordered { order: order.clone(), policy: Policy::absent(), cancel: CancellationToken::new() };
    let (stays, stopped) = (OrderId::from_bytes([1; 16]), OrderId::from_bytes([2; 16]));
    let slot = |name: &str| (name.to_owned(), true);
    rounds.ordered = [(slot("a"), run(&stays)), (slot("b"), run(&stopped))].into();
    let ended = |rounds: &Rounds| ["a", "b"].map(|name| rounds.ordered[&slot(name)].cancel.is_cancelled());
    for id in [&stays, &stopped] {
        let envelope = "{}".to_owned();
        let taken = jiff::Timestamp::UNIX_EPOCH;
        shelf.put(&crate::standing::Shelved { id: id.clone(), envelope, taken, approved: false, began_ms: None }).unwrap();
    }
    assert!(rounds.look_at_ordered() <= Duration::from_secs(1));
    assert_eq!(ended(&rounds), [false, false]);
    assert!(shelf.remove(&stopped).unwrap());
    rounds.look_at_ordered();
    assert_eq!(ended(&rounds), [false, true], "what was stopped by hand");
    crate::identity::Home::of(&rounds.state).set_paused(true).unwrap();
    rounds.look_at_ordered();
    assert_eq!(ended(&rounds), [true, true]);
}

#[test]
fn a_policy_that_is_changed_ends_the_run_of_a_signed_schedule_and_holds_for_what_waits() {
    fn hang(_: &Job, cancel: &CancellationToken) -> Told {
        while !cancel.is_cancelled() {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Told::Cancelled
    }
    let world = World::new("allow");
    let rules =
        "[orders]\nremote = \"allow\"\n[targets]\nnetworks = [\"127.0.0.0/8\"]\n[schedules]\nlife = \"2h\"\nevery = \"1m\"\n";
    world.policy(rules);
    let held = Arc::new(Held::of(world.shelved(1)).unwrap());
    let mut rounds = Rounds { work: hang, ..rounds(world.state(), world.files(), &schedule("own", "127.0.0.1:1")) };
    crate::standing::Shelf::of(&rounds.state).put(&held.shelved).unwrap();
    let job = |rounds: &Rounds| {
        let job = rounds.job(&held.schedule(), held.plan().unwrap(), Purpose::Slot { packed_lately: Vec::new() });
        Job { held: Some(Arc::clone(&held)), ..job }
    };
    let go_on = |rounds: &Rounds| rounds.ordered.values().filter(|run| !run.cancel.is_cancelled()).count();
    let first = job(&rounds);
    rounds.waiting.push_back(first);
    rounds.begin();
    world.policy(&format!("# of today\n{rules}"));
    rounds.look_at_ordered();
    assert_eq!((go_on(&rounds), rounds.under_way.len()), (1, 1), "a comment changes nothing");
    let second = job(&rounds);
    rounds.waiting.push_back(second);
    world.policy(&rules.replace("127.0.0.0/8", "127.0.0.2/32"));
    rounds.look_at_ordered();
    assert_eq!(go_on(&rounds), 0, "it went by the rules of before");
    rounds.begin();
    assert_eq!((rounds.waiting.len(), rounds.under_way.len()), (0, 1), "what waited is not let go on under the new ones");
}

#[test]
fn a_signed_schedule_for_whose_checks_the_file_leaves_no_room_does_not_run_and_the_engineer_hears_why() {
    let world = World::new("allow");
    world.policy(
        "[orders]\nremote = \"allow\"\n[targets]\nnetworks = [\"127.0.0.0/8\"]\n[schedules]\nlife = \"2h\"\nevery = \"1m\"\n",
    );
    let held = Arc::new(Held::of(world.shelved(1)).unwrap());
    let (words, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let mut rounds = Rounds { words, ..rounds(world.state(), world.files(), &schedule("own", "127.0.0.1:1")) };
    let mut heard_why = || match heard.try_recv() {
        Ok(Word::Weighed(weighed)) => weighed.objection.map(|refusal| refusal.to_string()),
        _ => panic!("nothing was told"),
    };
    let plan = held.plan().unwrap();
    assert!(rounds.weighed(&held, &plan).unwrap().is_some());
    assert_eq!(heard_why(), None);
    rounds.file_checks.store(MAX_CHECKS, Ordering::Relaxed);
    assert!(rounds.weighed(&held, &plan).unwrap().is_none());
    let why = heard_why().unwrap();
    assert!(why.contains("1025 checks on this machine"), "{why}");
}

#[test]
fn each_failing_target_of_a_signed_schedule_without_a_deep_set_is_looked_at_by_itself() {
    let world = World::new("allow");
    let held = Arc::new(Held::of(world.shelved(1)).unwrap());
    let mut rounds = rounds(world.state(), world.files(), &schedule("own", "127.0.0.1:1"));
    rounds.standing = [(held.name(), Arc::clone(&held))].into();
    rounds.renew_schedules();
    let target = Some(held.order.targets[0].clone());
    let fault = Fault { target, changes: Vec::new(), since: Timestamp::UNIX_EPOCH };
    rounds.look_deep(&held.name(), fault.clone());
    let job = rounds.waiting.pop_front().unwrap();
    assert_eq!(job.purpose, Purpose::Deep(fault));
    assert_eq!((job.plan.targets.len(), job.plan.set.name.as_str(), job.held.is_some()), (1, "one", true));
}

#[test]
fn a_run_that_is_over_its_time_is_given_up_and_said() {
    fn hang(_: &Job, _: &CancellationToken) -> Told {
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let rounds = rounds(state, files, &schedule("shop", "127.0.0.1:1"));
    let schedule = rounds.config.schedules[0].clone();
    let plan = plan(&rounds.files.config, &schedule, &schedule.set).unwrap();
    let job =
        Job { longest: Duration::from_millis(5), ..rounds.job(&schedule, plan, Purpose::Slot { packed_lately: Vec::new() }) };
    let cancel = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async { running::start(job, hang, cancel.clone()).unwrap().1.await });
    assert!(matches!(ended.told, Told::Failed(why) if why.contains("given up")));
    assert!(cancel.is_cancelled(), "what it finds later is not recorded");
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_one_that_is_right_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let mut rounds = rounds(state, files.clone(), &schedule("shop", "127.0.0.1:1"));
    for wrong in [schedule("Shop!", "127.0.0.1:1"), schedule("mail", "127.0.0.1:1").replace("one.toml", "nowhere.toml")] {
        std::fs::write(&files.config, wrong).unwrap();
        rounds.reload();
        assert_eq!(rounds.describe(), "shop");
    }
    std::fs::write(&files.config, schedule("mail", "127.0.0.1:1")).unwrap();
    rounds.reload();
    assert_eq!(rounds.describe(), "mail");
    std::fs::remove_file(&files.config).unwrap();
    rounds.reload();
    assert!(!rounds.has_work());
}

#[test]
fn the_backend_hears_each_change_once_and_in_order_across_a_restart() {
    let world = World::new("deny");
    let address = world.target.local_addr().unwrap().to_string();
    let text = schedule("shop", &address);
    let begin = || {
        let (state, files, text) = (world.state(), world.files(), text.clone());
        move || rounds(state, files, &text)
    };
    let turned = |to: Health| {
        let world = &world;
        move || {
            world.backend.wait_for(to.name(), |told| {
                told.health.iter().flat_map(|report| &report.changes).find_map(|numbered| match numbered.change.what {
                    Changed::Health { to: now, .. } if now == to => Some(numbered.number),
                    _ => None,
                })
            });
        }
    };
    run_until(begin(), turned(Health::Ok));
    let told = world.backend.told.lock().unwrap().health.clone();
    assert!(told[0].checks.is_empty() || told[0].changes.len() == 1, "{told:?}");
    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let text = schedule("shop", &closed);
    let (state, files) = (world.state(), world.files());
    run_until(move || rounds(state, files, &text), turned(Health::Failing));
    let told = world.backend.told.lock().unwrap();
    assert_eq!(told.unsigned(), Vec::<String>::new());
    let numbers: Vec<u64> = told.health.iter().flat_map(|report| &report.changes).map(|change| change.number).collect();
    let distinct: std::collections::BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(distinct.into_iter().collect::<Vec<_>>(), (1..=*numbers.iter().max().unwrap()).collect::<Vec<_>>());
    let last = told.health.last().unwrap();
    assert!(last.checks.iter().any(|check| check.health == Health::Failing), "{last:?}");
}

/// The bundles of the spool once there are so many.
fn bundles(state: &StateDirectory, at_least: usize) -> Vec<(Entry, netsonde_contract::bundle::Bundle)> {
    let clock = Clock::start();
    loop {
        let ready = state.lock().map(|_lock| state.spool().scan(crate::spool::Depth::Entries).ready).unwrap();
        if ready.len() >= at_least {
            let read = |entry: Entry| {
                let bytes = std::fs::read(state.spool().file(crate::spool::Stage::Ready, &entry)).unwrap();
                (entry, netsonde_contract::bundle::verify(&bytes).unwrap())
            };
            return ready.into_iter().map(read).collect();
        }
        assert!(clock.now() < Duration::from_secs(30), "no bundle was made");
        std::thread::yield_now();
    }
}

#[test]
fn a_target_that_becomes_failing_is_looked_at_deeply_and_the_bundle_tells_its_past() {
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let good = TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = schedule("shop", &good.local_addr().unwrap().to_string())
        .replace("targets = [", &format!("deep = \"./deep.toml\"\ntargets = [\"{bad}\", "))
        .replace("failing_after = 1", "failing_after = 2");
    let deep = SET.replace("\"one\"", "\"deep\"").replace("\"connect\"", "\"again\"");
    std::fs::write(folder.path().join("deep.toml"), deep).unwrap();
    let begun = text.clone();
    let seen = StateDirectory::open(Some(state.path())).unwrap();
    let mut made = Vec::new();
    let begin = StateDirectory::open(Some(state.path())).unwrap();
    run_until(move || rounds(begin, files, &begun), || made = bundles(&seen, 1));
    assert_eq!(made.len(), 1, "the good target is left alone, and the bad one is packed once");
    let (entry, bundle) = &made[0];
    assert_eq!((entry.schedule.as_deref(), entry.order.is_none(), entry.ticket.is_none()), (Some("shop"), true, true));
    let scheduled = bundle.predicate.scheduled.as_ref().unwrap();
    assert_eq!((scheduled.schedule.as_str(), scheduled.target.as_deref()), ("shop", Some(bad.to_string().as_str())));
    assert_eq!(bundle.predicate.consent, netsonde_contract::bundle::Consent::None, "`upload` is never");
    assert_eq!(bundle.predicate.set.name, "deep");
    assert_eq!(bundle.document().unwrap().run.targets.len(), 1);
    let history: netsonde_contract::history::History = serde_json::from_slice(&bundle.files["history.json"]).unwrap();
    assert_eq!(history.checks.len(), 2);
    assert!(history.changes.iter().any(|change| matches!(change.what, Changed::Health { to: Health::Failing, .. })));
    let report = String::from_utf8(bundle.files["report.html"].clone()).unwrap();
    assert!(report.contains("It began 20") && report.contains("failed first"), "{report}");
    let recorded = Ring::at(state.path()).read(&Wanted::default()).unwrap();
    assert!(recorded.checks.iter().all(|check| check.series.check != "again"), "a deep run is not part of the history");
    let others = crate::service_control::removal::others(state.path(), crate::state_names::in_state);
    assert_eq!(
        others.unwrap(),
        Vec::<std::path::PathBuf>::new(),
        "whatever schedules make stands in the list by which it is removed"
    );
}

/// One run of the first schedule, as its slot has it.
fn run_once(rounds: &Rounds) -> Told {
    let schedule = rounds.config.schedules[0].clone();
    let plan = plan(&rounds.files.config, &schedule, &schedule.set).unwrap();
    let purpose = Purpose::Slot { packed_lately: rounds.packed_lately(&schedule.name) };
    running::work(&rounds.job(&schedule, plan, purpose), &CancellationToken::new())
}

/// An address where nobody listens.
fn closed() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_target_that_stays_is_measured_as_before_when_the_one_before_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let seen = StateDirectory::open(Some(state.path())).unwrap();
    let (goes, stays) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let [goes, stays] = [&goes, &stays].map(|target| target.local_addr().unwrap().to_string());
    let rounds = rounds(state, files.clone(), &schedule("shop", &format!("{goes}\", \"{stays}")));
    assert!(matches!(run_once(&rounds), Told::Measured { .. }));
    let of = |state: &StateDirectory, target: &str| {
        let book = crate::health::load(state).unwrap();
        let own = book.checks().filter(|(series, ..)| series.target.as_deref() == Some(target));
        own.map(|(series, health, since)| (series.check.clone(), health, since)).collect::<Vec<_>>()
    };
    let before = of(&seen, &stays);
    assert!(before.len() == 1 && before[0].0 == "connect" && before[0].1 == Health::Ok, "{before:?}");
    let rounds = self::rounds(StateDirectory::open(Some(seen.path())).unwrap(), files, &schedule("shop", &stays));
    assert!(matches!(run_once(&rounds), Told::Measured { noted, .. } if noted.is_empty()));
    assert_eq!((of(&seen, &stays), of(&seen, &goes)), (before, Vec::new()));
}

#[test]
fn every_target_that_becomes_failing_has_a_bundle_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let seen = StateDirectory::open(Some(state.path())).unwrap();
    let bad = [closed(), closed(), closed()];
    let text = schedule("shop", &bad.join("\", \""));
    let mut made = Vec::new();
    run_until(move || rounds(state, files, &text), || made = bundles(&seen, 3));
    let mut of: Vec<String> = made.iter().filter_map(|(_, made)| made.predicate.scheduled.clone()?.target).collect();
    of.sort_unstable();
    let mut expected = bad.to_vec();
    expected.sort_unstable();
    assert_eq!(of, expected);
}

#[test]
fn an_agent_that_ends_during_the_deep_run_looks_again_when_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    std::fs::write(folder.path().join("deep.toml"), SET.replace("\"one\"", "\"deep\"")).unwrap();
    let bad = closed();
    let text = schedule("shop", &bad).replace("targets = [", "deep = \"./deep.toml\"\ntargets = [");
    let again = StateDirectory::open(Some(state.path())).unwrap();
    let first = rounds(state, files.clone(), &text);
    assert!(matches!(run_once(&first), Told::Measured { packed: None, .. }));
    // It is killed here.
    drop(first);
    let mut rounds = rounds(again, files, &text);
    rounds.take_up_owed();
    let job = rounds.waiting.pop_front().unwrap();
    assert!(matches!(&job.purpose, Purpose::Deep(fault) if fault.target.as_deref() == Some(bad.as_str())), "{:?}", job.purpose);
    assert_eq!(job.plan.set.name, "deep");
    assert!(matches!(running::work(&job, &CancellationToken::new()), Told::Deep(_)));
    assert!(Owing::of(&rounds.state).all().is_empty(), "what is packed is owed no more");
    rounds.take_up_owed();
    assert!(rounds.waiting.is_empty());
}

/// What the backend is to hear: each change with the bundle that was made of it.
fn told(state: &StateDirectory) -> Vec<Option<BundleId>> {
    let identity = crate::identity::Home::of(state).identity().unwrap().unwrap();
    let untold = crate::changes::Untold::load(state, &identity.agent).unwrap();
    untold.next(MAX_CHECKS).iter().map(|numbered| numbered.bundle.clone()).collect()
}

#[test]
fn a_kill_between_keeping_a_bundle_and_noting_it_makes_no_second_one_and_the_backend_hears_of_the_first() {
    let world = World::new("deny");
    let (state, files) = (world.state(), world.files());
    std::fs::write(files.config.with_file_name("deep.toml"), SET.replace("\"one\"", "\"deep\"")).unwrap();
    let bad = closed();
    let text = schedule("shop", &bad).replace("targets = [", "deep = \"./deep.toml\"\ntargets = [");
    let begin = || {
        let mut rounds = rounds(world.state(), files.clone(), &text);
        rounds.take_up_owed();
        rounds
    };
    let mut first = begin();
    let Told::Measured { noted, .. } = run_once(&first) else { panic!("it was not measured") };
    faults(&noted).into_iter().for_each(|fault| first.look_deep("shop", fault));
    let before = ["owed.json", "changes.json"].map(|name| (name, std::fs::read(state.path().join(name)).unwrap()));
    let job = first.waiting.pop_front().unwrap();
    assert!(matches!(running::work(&job, &CancellationToken::new()), Told::Deep(_)));
    let (entry, _) = bundles(&state, 1).remove(0);
    let die_before_noting = || before.iter().for_each(|(name, bytes)| std::fs::write(state.path().join(name), bytes).unwrap());
    let of_the_target = [Some(bad.clone())];
    for is_delivered in [false, true] {
        die_before_noting();
        if is_delivered {
            state.spool().delivered(&entry, b"{}", entry.made.unwrap()).unwrap();
        }
        assert_eq!(told(&state), [None]);
        let again = begin();
        assert!(again.waiting.is_empty(), "delivered: {is_delivered}");
        assert_eq!((Owing::of(&state).all(), told(&state)), (Vec::new(), vec![Some(entry.bundle.clone())]));
        assert_eq!(again.packed_lately("shop"), of_the_target);
    }
    assert_eq!(begin().packed_lately("shop"), of_the_target, "a kill after it was noted");
    // What is in the spool and is no bundle any more is none.
    die_before_noting();
    std::fs::write(state.spool().file(crate::spool::Stage::Sent, &entry), vec![0; usize::try_from(entry.size_bytes).unwrap()])
        .unwrap();
    let again = begin();
    assert_eq!((again.waiting.len(), Owing::of(&state).all().len()), (1, 1));
}

#[test]
fn a_target_that_fails_again_while_it_is_looked_at_stays_owed_until_its_bundle_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let bad = closed();
    let mut rounds = rounds(state, files, &schedule("shop", &bad));
    let fault = |second| Fault { target: Some(bad.clone()), changes: Vec::new(), since: Timestamp::from_second(second).unwrap() };
    let owing = Owing::of(&rounds.state);
    for second in [1, 2] {
        owing.add("shop", &[fault(second)]).unwrap();
        rounds.look_deep("shop", fault(second));
    }
    assert_eq!((rounds.waiting.len(), owing.all().len()), (1, 1));
    assert_eq!(owing.all()[0].fault, fault(1));
    // One bundle tells of all that was wrong with the target before it, and of no other target.
    owing.add("shop", &[fault(3), Fault { target: None, ..fault(2) }]).unwrap();
    owing.made("shop", &fault(3)).unwrap();
    assert_eq!(owing.all().into_iter().map(|owed| owed.fault.target).collect::<Vec<_>>(), [None]);
}

#[test]
fn a_slot_that_the_disk_takes_no_note_of_counts_as_a_run_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    // A folder that is not empty stands where the slots are noted.
    std::fs::create_dir_all(state.path().join("schedules.json/full")).unwrap();
    let mut rounds = rounds(state, files, &schedule("shop", "127.0.0.1:1"));
    let clock = Clock::start();
    while rounds.source.latest.runs().is_empty() {
        rounds.take_due();
        assert!(clock.now() < Duration::from_secs(10), "no slot came");
    }
    let (name, runs) = rounds.source.latest.runs().remove(0);
    assert_eq!((name.as_str(), runs.measured, runs.failed), ("shop", 0, 1));
    assert!(rounds.waiting.is_empty(), "what is not noted does not run");
}

#[test]
fn a_slot_whose_plan_cannot_be_made_counts_as_a_run_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let mut rounds = rounds(state, files, &schedule("shop", "127.0.0.1:1"));
    std::fs::write(folder.path().join("one.toml"), "name = ").unwrap();
    let clock = Clock::start();
    while rounds.source.latest.runs().is_empty() {
        rounds.take_due();
        assert!(clock.now() < Duration::from_secs(10), "no slot was counted");
    }
    let (name, runs) = rounds.source.latest.runs().remove(0);
    assert_eq!((name.as_str(), runs.measured, runs.failed), ("shop", 0, 1));
}

#[test]
fn a_signed_run_that_a_broken_policy_holds_up_counts_as_one_that_failed() {
    let world = World::new("allow");
    let held = Arc::new(Held::of(world.shelved(1)).unwrap());
    let mut rounds = rounds(world.state(), world.files(), &schedule("own", "127.0.0.1:1"));
    let job = rounds.job(&held.schedule(), held.plan().unwrap(), Purpose::Slot { packed_lately: Vec::new() });
    rounds.waiting.push_back(Job { held: Some(Arc::clone(&held)), ..job });
    world.policy("[orders]\nremote = ");
    rounds.begin();
    assert!(rounds.under_way.is_empty());
    let runs = rounds.source.latest.runs();
    assert_eq!(runs.iter().map(|(name, runs)| (name.clone(), runs.failed)).collect::<Vec<_>>(), [(held.name(), 1)]);
}

#[test]
fn more_checks_than_the_backend_can_be_told_of_are_refused_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (_, files) = place(folder.path());
    std::fs::write(folder.path().join("one.toml"), SET).unwrap();
    let targets: Vec<String> = (1..=32).map(|port| format!("127.0.0.1:{port}")).collect();
    let text = |schedules: usize| -> String {
        (0..schedules).map(|number| schedule(&format!("s{number}"), &targets.join("\", \""))).collect()
    };
    let look = |schedules: usize| {
        std::fs::write(&files.config, text(schedules)).unwrap();
        check(&files.config, &agent_file::load(&files.config).unwrap())
    };
    assert_eq!(look(32), Ok(1_024));
    let stop = look(33).unwrap_err();
    assert!(stop.message.contains("`s32` there are 1056 checks, more than the 1024") && stop.next.is_some(), "{stop:?}");
}

#[test]
fn a_strict_policy_leaves_no_name_in_bundle_and_report_but_they_belong_together() {
    let world = World::new("deny");
    world.policy("[orders]\nremote = \"deny\"\n[redaction]\nfloor = \"strict\"\n");
    let bad = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = schedule("canary", &format!("localhost:{}", bad.port()));
    let (state, seen, files) = (world.state(), world.state(), world.files());
    let mut made = Vec::new();
    run_until(
        move || rounds(state, files, &text),
        || {
            made = bundles(&seen, 1);
            let id = made[0].0.bundle.clone();
            world.backend.wait_for("the bundle's change", |told| {
                let mut changes = told.health.iter().flat_map(|report| &report.changes);
                changes.find(|change| change.bundle.as_ref() == Some(&id)).map(|change| change.number)
            });
        },
    );
    let scheduled = made[0].1.predicate.scheduled.clone().unwrap();
    let told = world.backend.told.lock().unwrap();
    let failing = told.health.iter().flat_map(|report| &report.changes).find(|change| change.bundle.is_some()).unwrap();
    assert_eq!((&failing.change.series.schedule, &failing.change.series.target), (&scheduled.schedule, &scheduled.target));
    let words = serde_json::to_string(&told.health).unwrap() + &serde_json::to_string(&scheduled).unwrap();
    assert!(!words.contains("canary") && !words.contains("localhost"), "{words}");
}

/// The body of an answer, and its status.
fn get(at: SocketAddr, path: &str, host: &str) -> (String, String) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

#[test]
fn metrics_are_served_on_the_loopback_and_only_what_the_file_lets_is_probed() {
    let folder = tempfile::tempdir().unwrap();
    let (state, files) = place(folder.path());
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = target.local_addr().unwrap().to_string();
    // Free a moment ago, and nobody else's on a loopback that only tests use.
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = schedule("shop", &address) + &format!("[metrics]\nlisten = \"{at}\"\nprobe = true\n");
    run_until(
        move || rounds(state, files, &text),
        || {
            for _ in 0..3 {
                target.accept().unwrap();
            }
            let wanted = format!("probe_success{{schedule=\"shop\",check=\"connect\",kind=\"tcp\",target=\"{address}\"}} 1");
            let (status, body) = get(at, "/metrics", "localhost");
            assert!(status == "200" && body.contains(&wanted), "{body}");
            assert!(body.contains("netsonde_schedule_runs_total{schedule=\"shop\",outcome=\"measured\"}"), "{body}");
            let (status, body) = get(at, &format!("/probe?module=port&target={address}"), "127.0.0.1");
            assert!(status == "200" && body.contains("\nprobe_success 1\n"), "{status} {body}");
            assert_eq!(get(at, "/probe?module=port&target=127.0.0.1:22", "127.0.0.1").0, "403");
            assert_eq!(get(at, &format!("/probe?module=nothing&target={address}"), "127.0.0.1").0, "400");
            assert_eq!(get(at, "/metrics", "evil.example").0, "421");
            assert_eq!(get(at, "/other", "localhost").0, "404");
        },
    );
    assert!(std::net::TcpStream::connect(at).is_err(), "it ends with the agent");
}
