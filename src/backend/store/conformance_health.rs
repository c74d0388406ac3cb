//! The part of the story that is about scheduled checks. It comes after the one about agents, on the same database.

use super::conformance_fleet::{agent_id, time};
use super::{
    Accepted, AlertState, Attempt, BundleRow, Channel, Origin, PlaceOf, ReportRow, Spent, Store, WatchedRow, WatchedState, What,
};
use ed25519_dalek::SigningKey;
use netsonde_contract::api::alert::event;
use netsonde_contract::api::health::{CheckState, HealthReport, NumberedChange};
use netsonde_contract::bundle::{Scheduled, ScheduledFor};
use netsonde_contract::finding::{Diagnosis, State};
use netsonde_contract::history::{Change, Changed, Health, Series};
use netsonde_contract::id::{AgentId, BundleId, CaseId};
use netsonde_contract::kind::Kind;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(1_000_000);
const URL: &str = "https://support.example";

pub(super) async fn run(store: &dyn Store) {
    a_failing_check_opens_one_case_however_often_it_is_told(store).await;
    a_check_that_comes_and_goes_stays_in_its_case(store).await;
    what_was_silenced_opens_its_case_once_that_is_over(store).await;
    silence_is_noticed_once_and_ends(store).await;
    what_a_cut_report_leaves_out_is_not_gone(store).await;
    what_is_removed_while_it_fails_ends_its_failure(store).await;
    scheduled_bundles_find_their_case(store).await;
    alerts_wait_until_they_are_taken_or_given_up(store).await;
}

pub(super) async fn run_after_restart(store: &dyn Store) {
    let waiting = store.alerts(Some(AlertState::Waiting), 99).await.unwrap();
    assert!(!waiting.is_empty(), "what was not sent is sent after a restart");
    assert_eq!(store.missing(&[bundle_id(99), bundle_id(81)]).await.unwrap(), [bundle_id(99)]);
}

async fn a_failing_check_opens_one_case_however_often_it_is_told(store: &dyn Store) {
    let told = || vec![failing(1, "a"), failing(2, "b")];
    assert_eq!(hear(store, 1, 100, &[("a", Health::Failing), ("b", Health::Failing)], told()).await, 2);
    assert_eq!(hear(store, 1, 110, &[("a", Health::Failing), ("b", Health::Failing)], told()).await, 2, "the answer was lost");
    let case = only_case(store, 1).await;
    assert_eq!((case.state, case.failures, case.since), (WatchedState::Failing, 1, time(90)));
    assert_eq!(store.changes(&case, time(0), 99).await.unwrap().len(), 2);
    assert_eq!(store.changes(&case, time(91), 99).await.unwrap().len(), 0);
    assert_eq!(told_events(store, &case.case).await, [event::CASE_OPENED]);
    assert_eq!(store.checks(Some(&agent_id(1)), 99).await.unwrap().len(), 2);
    assert!(
        store.heard(None, 99).await.unwrap().iter().any(|heard| heard.agent == agent_id(1) && heard.silent_after == time(230))
    );
}

async fn a_check_that_comes_and_goes_stays_in_its_case(store: &dyn Store) {
    let case = only_case(store, 1).await;
    let half_well = hear(store, 1, 120, &[("a", Health::Ok), ("b", Health::Failing)], vec![well(3, "a")]).await;
    assert_eq!((half_well, only_case(store, 1).await.state), (3, WatchedState::Failing));
    // Within one report it becomes well, fails, and becomes well.
    let flapping = vec![well(4, "b"), failing(5, "b"), well(6, "b")];
    assert_eq!(hear(store, 1, 130, &[("a", Health::Ok), ("b", Health::Ok)], flapping).await, 6);
    let recovered = only_case(store, 1).await;
    assert_eq!((&recovered.case, recovered.state, recovered.failures), (&case.case, WatchedState::Recovered, 2));
    let told = told_events(store, &case.case).await;
    assert_eq!(told, [event::CASE_RECOVERED, event::CASE_FAILING, event::CASE_RECOVERED, event::CASE_OPENED], "the latest first");
    for number in 0..20 {
        let flap = vec![failing(7 + 2 * number, "b"), well(8 + 2 * number, "b")];
        hear(store, 1, 140, &[("a", Health::Ok), ("b", Health::Ok)], flap).await;
    }
    assert_eq!(only_case(store, 1).await.failures, 22);
    assert_eq!(told_events(store, &case.case).await.len(), 6, "nobody is told of everything");
    assert!(store.close_watched(&case.case, time(150)).await.unwrap());
    assert!(!store.close_watched(&case.case, time(151)).await.unwrap());
    // What fails since before it was closed opens nothing; what began after does.
    hear(store, 1, 160, &[("a", Health::Failing)], Vec::new()).await;
    assert_eq!(open_cases(store, 1).await.len(), 0);
    hear(store, 1, 170, &[("a", Health::Failing)], vec![change(50, "a", Health::Ok, Health::Failing, 165)]).await;
    assert_ne!(only_case(store, 1).await.case, case.case);
}

async fn what_was_silenced_opens_its_case_once_that_is_over(store: &dyn Store) {
    let mut silenced = failing(1, "a");
    silenced.change.silenced = true;
    let mut report = report(2, 100, &[("a", Health::Failing)], vec![silenced]);
    report.report.checks[0].silenced = true;
    store.hear(&report, &channels()).await.unwrap();
    assert_eq!(open_cases(store, 2).await, []);
    let mut supporting = report.clone();
    supporting.report.checks[0].silenced = false;
    supporting.report.checks[0].series.required = false;
    store.hear(&supporting, &channels()).await.unwrap();
    assert_eq!(open_cases(store, 2).await, [], "the target's state does not rest on it");
    hear(store, 2, 110, &[("a", Health::Failing)], Vec::new()).await;
    assert_eq!(only_case(store, 2).await.state, WatchedState::Failing);
}

async fn silence_is_noticed_once_and_ends(store: &dyn Store) {
    let note = async |seconds, up_for| store.note_silence(time(seconds), up_for, URL, &channels()).await.unwrap();
    hear(store, 2, 200, &[("a", Health::Failing)], Vec::new()).await;
    hear(store, 1, 1000, &[("a", Health::Failing)], Vec::new()).await;
    assert_eq!(note(319, LONG).await, 0);
    assert_eq!(note(321, Duration::from_secs(60)).await, 0, "this program has not listened for long enough");
    assert_eq!(note(321, LONG).await, 1);
    assert_eq!(note(322, LONG).await, 0, "once");
    let case = only_case(store, 2).await;
    let latest = store.changes(&case, time(0), 1).await.unwrap().remove(0);
    assert_eq!((latest.what, latest.at, latest.kept), (What::Silent, time(320), time(321)));
    hear(store, 2, 400, &[("a", Health::Failing)], Vec::new()).await;
    assert_eq!(store.changes(&case, time(0), 1).await.unwrap()[0].what, What::Heard);
    let events: Vec<String> = store.alerts(None, 2).await.unwrap().into_iter().map(|row| row.alert.event).collect();
    assert_eq!(events, [event::AGENT_HEARD, event::AGENT_SILENT]);
    assert_eq!(note(600, LONG).await, 1, "and again");
    // An agent that was revoked is expected no more.
    hear(store, 5, 100, &[("a", Health::Ok)], Vec::new()).await;
    assert_eq!(note(700, LONG).await, 0);
    assert!(store.heard(None, 99).await.unwrap().iter().all(|heard| heard.agent != agent_id(5)));
}

/// Of these checks, among which not all of the schedule are.
async fn hear_partly(store: &dyn Store, at: i64, checks: &[(&str, Health)], changes: Vec<NumberedChange>) {
    let mut report = report(3, at, checks, changes);
    report.report.partial = Some(vec!["shop".into()]);
    store.hear(&report, &channels()).await.unwrap();
}

async fn known(store: &dyn Store, agent: u8) -> Vec<(String, Health)> {
    let checks = store.checks(Some(&agent_id(agent)), 99).await.unwrap();
    checks.into_iter().map(|check| (check.series.check, check.health)).collect()
}

async fn what_a_cut_report_leaves_out_is_not_gone(store: &dyn Store) {
    let is = |check: &str, health| (check.to_owned(), health);
    hear(store, 3, 100, &[("a", Health::Failing), ("b", Health::Ok), ("c", Health::Ok)], vec![failing(1, "a")]).await;
    hear_partly(store, 110, &[("a", Health::Failing)], Vec::new()).await;
    assert_eq!(known(store, 3).await, [is("a", Health::Failing), is("b", Health::Ok), is("c", Health::Ok)]);
    // What is told of them since counts, and what was heard before does not count again.
    let c_degrades = change(2, "c", Health::Ok, Health::Degraded, 111);
    let d_begins = change(3, "d", Health::Unknown, Health::Ok, 111);
    hear_partly(store, 120, &[("b", Health::Ok)], vec![c_degrades.clone(), d_begins]).await;
    let after = [is("a", Health::Failing), is("b", Health::Ok), is("c", Health::Degraded), is("d", Health::Ok)];
    assert_eq!(known(store, 3).await, after);
    hear_partly(store, 130, &[("c", Health::Ok)], vec![c_degrades]).await;
    assert_eq!(known(store, 3).await[2], is("c", Health::Ok));
    assert_eq!(only_case(store, 3).await.state, WatchedState::Failing, "nobody said that `a` is well");
    // An agent that does not say whether its report is whole ends nothing either.
    let mut older = report(3, 140, &[("b", Health::Ok)], Vec::new());
    older.report.checks[0].series.required = false;
    older.report.partial = None;
    store.hear(&older, &channels()).await.unwrap();
    assert_eq!(only_case(store, 3).await.state, WatchedState::Failing);
    hear(store, 3, 150, &[("a", Health::Failing)], Vec::new()).await;
    assert_eq!(known(store, 3).await, [is("a", Health::Failing)], "a whole report leaves out what is measured no more");
}

async fn what_is_removed_while_it_fails_ends_its_failure(store: &dyn Store) {
    let case = only_case(store, 3).await;
    let removed = change(4, "a", Health::Failing, Health::Unknown, 160);
    hear(store, 3, 160, &[], vec![removed]).await;
    let ended = only_case(store, 3).await;
    assert_eq!((&ended.case, ended.state, ended.since), (&case.case, WatchedState::Removed, time(160)));
    assert_eq!(told_events(store, &case.case).await, [event::CASE_REMOVED, event::CASE_OPENED]);
    hear(store, 3, 165, &[], Vec::new()).await;
    assert_eq!(told_events(store, &case.case).await.len(), 2, "once");
    // It comes back, and goes on in its case.
    hear(store, 3, 170, &[("a", Health::Failing)], vec![change(5, "a", Health::Unknown, Health::Failing, 168)]).await;
    let again = only_case(store, 3).await;
    assert_eq!((&again.case, again.state, again.failures), (&case.case, WatchedState::Failing, 2));
    hear(store, 3, 180, &[], Vec::new()).await;
    hear(store, 3, 190, &[("a", Health::Ok)], Vec::new()).await;
    assert_eq!(only_case(store, 3).await.state, WatchedState::Recovered);
}

async fn scheduled_bundles_find_their_case(store: &dyn Store) {
    let place = async |bundle: u8, why, measured| {
        let scheduled = Scheduled { schedule: "shop".into(), why, target: Some("https://shop.example/".into()) };
        let wanted =
            PlaceOf { agent: agent_id(2), bundle: bundle_id(bundle), scheduled, measured: time(measured), now: time(800) };
        store.place_of(&wanted).await.unwrap()
    };
    let failing_case = only_case(store, 2).await.case;
    assert_eq!(place(80, ScheduledFor::Failing, 500).await, failing_case);
    assert!(store.close_watched(&failing_case, time(810)).await.unwrap());
    assert_eq!(place(80, ScheduledFor::Failing, 500).await, failing_case, "its run was before the case was closed");
    let other = place(81, ScheduledFor::Slot, 900).await;
    assert_ne!(other, failing_case);
    assert_eq!(place(82, ScheduledFor::Slot, 901).await, other);
    let watched = store.watched(&other).await.unwrap().unwrap();
    assert_eq!((watched.state, watched.failures), (WatchedState::Collecting, 0));
    let row = bundle(81, other.clone());
    assert_eq!(store.accept(&row, None).await.unwrap(), Accepted::Stored(Vec::new()));
    assert_eq!(store.bundle(&row.id).await.unwrap(), Some(row));
    assert_eq!(store.spent(&agent_id(2), time(0)).await.unwrap(), Spent { bundles: 1, bytes: 7 });
    assert_eq!(store.spent(&agent_id(2), time(900)).await.unwrap(), Spent::default());
    let brought = BundleRow { origin: Origin::Brought, ..bundle(83, CaseId::new("4720")) };
    assert_eq!(store.accept(&brought, None).await.unwrap(), Accepted::Stored(Vec::new()));
    let case = store.case(&CaseId::new("4720")).await.unwrap().unwrap();
    assert_eq!((case.bundles, case.watched), (1, None));
    assert_eq!(store.bundle(&brought.id).await.unwrap(), Some(brought));
    assert_eq!(store.case(&other).await.unwrap().unwrap().watched.unwrap().case, other);
}

async fn alerts_wait_until_they_are_taken_or_given_up(store: &dyn Store) {
    let due = async |seconds| store.due("ops", time(seconds), 1).await.unwrap().into_iter().next();
    let first = due(900).await.unwrap();
    let failed = Attempt::Failed { trouble: "status 500".into(), next: time(2_000) };
    store.attempted(&first.id, &failed).await.unwrap();
    assert_ne!(due(900).await.map(|alert| alert.id), Some(first.id.clone()));
    let again = due(2_000).await.unwrap();
    assert_eq!((&again.id, again.attempts, again.trouble.as_deref()), (&first.id, 1, Some("status 500")));
    store.attempted(&first.id, &Attempt::GivenUp { trouble: "too old".into(), at: time(2_001) }).await.unwrap();
    assert_eq!(store.alerts(Some(AlertState::GivenUp), 9).await.unwrap().len(), 1);
    assert!(store.retry_alert(&first.id, time(2_002)).await.unwrap());
    assert!(!store.retry_alert(&first.id, time(2_002)).await.unwrap());
    store.attempted(&first.id, &Attempt::Sent { at: time(2_003) }).await.unwrap();
    store.attempted(&first.id, &failed).await.unwrap();
    assert_eq!(store.alerts(Some(AlertState::Sent), 9).await.unwrap().len(), 1, "what was sent stays sent");
    store.sweep_alerts(time(2_003)).await.unwrap();
    assert_eq!(store.alerts(Some(AlertState::Sent), 9).await.unwrap().len(), 1);
    store.sweep_alerts(time(2_004)).await.unwrap();
    assert_eq!(store.alerts(Some(AlertState::Sent), 9).await.unwrap().len(), 0);
    assert!(store.due("nobody", time(9_000), 9).await.unwrap().is_empty());
}

fn channels() -> [Channel; 1] {
    [Channel { name: "ops".into(), events: event::ALL.map(str::to_owned).into() }]
}

async fn hear(store: &dyn Store, agent: u8, at: i64, checks: &[(&str, Health)], changes: Vec<NumberedChange>) -> u64 {
    store.hear(&report(agent, at, checks, changes), &channels()).await.unwrap()
}

fn report(agent: u8, at: i64, checks: &[(&str, Health)], changes: Vec<NumberedChange>) -> ReportRow {
    let state = |(check, health): &(&str, Health)| CheckState {
        series: series(check),
        health: *health,
        since: time(90),
        measured: None,
        silenced: false,
    };
    ReportRow {
        agent: agent_id(agent),
        host_name: Some("vm1".into()),
        labels: [("site".to_owned(), "oslo".to_owned())].into(),
        report: HealthReport {
            at: time(at),
            next_within_seconds: 60,
            checks: checks.iter().map(state).collect(),
            partial: Some(Vec::new()),
            changes,
        },
        received: time(at),
        url: URL.into(),
    }
}

fn series(check: &str) -> Series {
    let target = Some("https://shop.example/".into());
    Series { schedule: "shop".into(), check: check.into(), kind: Kind::Tcp, target, required: true }
}

fn failing(number: u64, check: &str) -> NumberedChange {
    change(number, check, Health::Ok, Health::Failing, 90)
}

fn well(number: u64, check: &str) -> NumberedChange {
    change(number, check, Health::Failing, Health::Ok, 95)
}

fn change(number: u64, check: &str, from: Health, to: Health, at: i64) -> NumberedChange {
    let change = Change {
        at: time(at),
        began: time(at),
        series: series(check),
        what: Changed::Health { from, to },
        sentence: format!("{check} number {number}"),
        silenced: false,
    };
    NumberedChange { number, change, bundle: None }
}

async fn open_cases(store: &dyn Store, agent: u8) -> Vec<WatchedRow> {
    let of = agent_id(agent);
    let cases = store.cases(999).await.unwrap().into_iter().filter_map(|case| case.watched);
    cases.filter(|watched| watched.agent == of && watched.state != WatchedState::Closed).collect()
}

async fn only_case(store: &dyn Store, agent: u8) -> WatchedRow {
    let mut open = open_cases(store, agent).await;
    assert_eq!(open.len(), 1, "{open:?}");
    open.remove(0)
}

/// The latest first.
async fn told_events(store: &dyn Store, case: &CaseId) -> Vec<String> {
    let alerts = store.alerts(None, 999).await.unwrap();
    let told = alerts.into_iter().filter(|row| row.alert.data.case.as_ref() == Some(case));
    told.map(|row| row.alert.event).collect()
}

fn bundle_id(number: u8) -> BundleId {
    BundleId::new(format!("{number:02x}").repeat(32))
}

fn bundle(number: u8, case: CaseId) -> BundleRow {
    let nothing = Diagnosis { state: State::AsExpected, findings: Vec::new(), unexplained: Vec::new(), not_measured: Vec::new() };
    let scheduled = Scheduled { schedule: "shop".into(), why: ScheduledFor::Slot, target: None };
    BundleRow {
        id: bundle_id(number),
        file_sha256: format!("{number:02x}").repeat(32),
        size_bytes: 7,
        key: SigningKey::from_bytes(&[2; 32]).verifying_key(),
        origin: Origin::Scheduled { agent: AgentId::new(agent_id(2).to_string()), scheduled },
        case,
        set: "web".into(),
        received: time(820),
        receipt: vec![1],
        agent: nothing.clone(),
        backend: nothing,
        diagnosed_by: "test".into(),
    }
}
