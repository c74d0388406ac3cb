//! The part of the story that is about enrolled agents. It comes after the one about tickets, on the same database.

use super::{
    Accepted, AgentRow, Asking, BundleRow, DeliveryRow, Enrolled, EnrolmentRow, LinkShown, Note, Noted, OrderRow, Origin, Sender,
    ShownLink, Store, UploadRow, WorkRow,
};
use crate::clock::from_micros;
use ed25519_dalek::SigningKey;
use netsonde_contract::api::fleet::{
    CheckIn, DeliveryState as State, Draft, KeptDraft, PolicySummary, Progress, StateReport, TrustDocuments,
};
use netsonde_contract::api::protocol::Protocol;
use netsonde_contract::audit::follow;
use netsonde_contract::bundle::key_id;
use netsonde_contract::enrolment::CodeProofKey;
use netsonde_contract::finding::Diagnosis;
use netsonde_contract::id::{AgentId, BundleId, CaseId, OrderId, OrganisationId, TicketId};
use netsonde_contract::order::{Addressees, Epoch, Order, Repeat};

pub(super) async fn run(store: &dyn Store) {
    codes_are_counted_and_an_agent_may_ask_again(store).await;
    a_newer_introduction_replaces_an_older_one_only(store).await;
    of_two_machines_with_one_identity_one_is_found_out(store).await;
    a_nonce_is_spent_once(store).await;
    an_order_comes_in_waves_and_stops_at_failures(store).await;
    an_order_is_told_once_and_its_cancellation_too(store).await;
    a_delivery_takes_one_bundle(store).await;
    what_nobody_took_expires(store).await;
    drafts_are_kept_until_they_are_signed(store).await;
    store.set_trust(&TrustDocuments { roots: vec!["root".into()], list: None }, "root 1", time(1)).await.unwrap();
    the_audit_log_follows(store).await;
}

pub(super) async fn run_after_restart(store: &dyn Store) {
    assert_eq!(store.trust().await.unwrap().unwrap().roots, ["root"]);
    let work = told_to(store, (&agent_id(1), 0), time(30), 16).await;
    assert_eq!(work.orders.iter().map(|(id, ..)| id.clone()).collect::<Vec<_>>(), [order_id(2)], "an order outlives a restart");
    let again = told_to(store, (&agent_id(1), u64::MAX), time(30), 16).await;
    assert_eq!(again.orders, work.orders, "a cursor of a later life of the store is none");
    assert_eq!(store.note(&[nonce("one")]).await.unwrap().0, [Noted::Old], "a nonce stays spent");
    whoever_falls_silent_in_a_run_has_failed_until_its_bundle_comes(store).await;
    a_cancellation_is_told_until_the_agent_says_that_it_ended(store).await;
    what_an_agent_runs_goes_on_under_its_next_id(store).await;
    however_many_cancellations_there_are_each_is_told(store).await;
    the_audit_log_follows(store).await;
}

async fn told_to(store: &dyn Store, (agent, after): (&AgentId, u64), now: jiff::Timestamp, count: usize) -> WorkRow {
    // Beside others who ask at the same moment, of whom one is unknown.
    let asking = |agent: &AgentId, after| Asking { agent: agent.clone(), after };
    let asked = [asking(&agent_id(99), 0), asking(agent, after), asking(agent, u64::MAX)];
    let mut found = store.work(&asked, now, count).await.unwrap();
    assert_eq!((found.len(), &found[0].orders), (3, &Vec::new()));
    found.swap_remove(1)
}

async fn codes_are_counted_and_an_agent_may_ask_again(store: &dyn Store) {
    store.add_enrolment(&enrolment()).await.unwrap();
    assert!(store.add_enrolment(&enrolment()).await.is_err(), "an id is used once");
    let read = store.enrolment(&code()).await.unwrap().unwrap();
    assert_eq!((read.uses, read.labels, read.expires), (5, enrolment().labels, enrolment().expires));
    assert_eq!(read.proof_key.to_bytes(), enrolment().proof_key.to_bytes());
    assert!(store.enrolment(&TicketId::from_bytes([99; 10])).await.unwrap().is_none());
    for number in 1..=5 {
        assert_eq!(store.enrol(&agent(number), &code(), time(1)).await.unwrap(), Enrolled::Done);
    }
    assert_eq!(store.enrol(&agent(6), &code(), time(1)).await.unwrap(), Enrolled::UsedUp);
    assert_eq!(store.enrol(&agent(1), &code(), time(200)).await.unwrap(), Enrolled::Done, "whose answer was lost");
    assert_eq!(store.enrol(&agent(6), &code(), time(200)).await.unwrap(), Enrolled::Expired);
    assert_eq!(store.agent(agent_id(1).as_str()).await.unwrap(), Some(agent(1)));
    assert_eq!(store.agent(&key_id(&agent(2).transport_key)).await.unwrap(), Some(agent(2)));
    assert!(store.agent(agent_id(6).as_str()).await.unwrap().is_none());
    assert!(store.revoke_agent(&agent_id(5), time(2)).await.unwrap().is_some());
    assert!(store.revoke_agent(&agent_id(5), time(2)).await.unwrap().is_some(), "it is known, and ended already");
    assert!(store.revoke_agent(&agent_id(6), time(2)).await.unwrap().is_none());
    assert_eq!(store.enrol(&agent(5), &code(), time(3)).await.unwrap(), Enrolled::Revoked);
    let labels = [("site".to_owned(), "bergen".to_owned())].into();
    assert!(store.set_labels(&agent_id(4), &labels, time(3)).await.unwrap());
    assert_eq!(store.agent(agent_id(4).as_str()).await.unwrap().unwrap().labels, labels);
}

async fn a_newer_introduction_replaces_an_older_one_only(store: &dyn Store) {
    let next = AgentRow { number: 2, transport_key: key(60).verifying_key(), ..agent(4) };
    assert!(store.introduce(&next, &agent_id(4), time(4)).await.unwrap());
    assert!(!store.introduce(&agent(4), &agent_id(4), time(4)).await.unwrap());
    assert_eq!(store.agent(agent_id(4).as_str()).await.unwrap().unwrap().transport_key, next.transport_key);
    let replaced = AgentRow { number: 3, ..agent(8) };
    assert!(store.introduce(&replaced, &agent_id(4), time(5)).await.unwrap());
    assert_eq!(store.agent(agent_id(4).as_str()).await.unwrap().unwrap().replaced, Some((agent_id(8), time(5))));
    let listed: Vec<AgentId> = store.agents(99).await.unwrap().into_iter().map(|agent| agent.id).collect();
    assert!(listed.contains(&agent_id(8)) && !listed.contains(&agent_id(4)));
}

async fn of_two_machines_with_one_identity_one_is_found_out(store: &dyn Store) {
    let id = agent_id(3);
    let check_in = agent(3).check_in;
    let shows = async |shown: u8, next: u8| {
        store.check_in(&id, &check_in, Some(ShownLink { digest: [shown; 32], given: None }), [next; 32], time(6)).await.unwrap()
    };
    assert_eq!(shows(3, 101).await, LinkShown::Taken);
    assert_eq!(shows(3, 102).await, LinkShown::Taken, "the answer with 101 was lost, or a copy shows what both had");
    assert_eq!(shows(102, 103).await, LinkShown::Taken);
    assert!(!store.agent(id.as_str()).await.unwrap().unwrap().cloned);
    let absent = store.check_in(&id, &check_in, None, [110; 32], time(6)).await.unwrap();
    assert_eq!(absent, LinkShown::Taken, "one that lost its link is no copy for that");
    assert_eq!(shows(101, 104).await, LinkShown::Superseded, "so the answer was not lost");
    assert!(store.agent(id.as_str()).await.unwrap().unwrap().cloned);
    assert_eq!(
        store.check_in(&id, &check_in, None, [105; 32], time(6)).await.unwrap(),
        LinkShown::Superseded,
        "nor is it cleared"
    );
    assert!(store.settle_agent(&id, time(7)).await.unwrap());
    assert_eq!(shows(101, 106).await, LinkShown::Taken);
    assert_eq!(shows(106, 107).await, LinkShown::Taken);
    // Links that are not known: one was given before the last check-in, the other after it, by a later state of the database.
    let given = async |at, next: u8| {
        let shown = ShownLink { digest: [200; 32], given: Some(time(at)) };
        store.check_in(&id, &check_in, Some(shown), [next; 32], time(6)).await.unwrap()
    };
    assert_eq!(given(9, 108).await, LinkShown::Taken, "the database was put back to an older state");
    assert!(!store.agent(id.as_str()).await.unwrap().unwrap().cloned);
    assert_eq!(given(5, 109).await, LinkShown::Superseded, "a copy shows what was superseded");
    assert!(store.settle_agent(&id, time(7)).await.unwrap());
    assert!(!store.agent(id.as_str()).await.unwrap().unwrap().cloned);
    store.share_agent(&id, "both ask at once", time(8)).await.unwrap();
    assert!(store.agent(id.as_str()).await.unwrap().unwrap().cloned);
    assert!(store.settle_agent(&id, time(9)).await.unwrap());
}

async fn a_nonce_is_spent_once(store: &dyn Store) {
    let other = Note::Nonce { agent: agent_id(2), nonce: "one".into(), until: time(900) };
    let (noted, woken) = store.note(&[nonce("one"), other, nonce("one"), nonce("two")]).await.unwrap();
    assert_eq!(noted, [Noted::Kept, Noted::Kept, Noted::Old, Noted::Kept]);
    assert!(woken.is_empty());
    let seen = Note::Seen { agent: agent_id(1), at: time(8) };
    store.note(&[seen, Note::Seen { agent: agent_id(1), at: time(7) }]).await.unwrap();
    assert_eq!(store.agent(agent_id(1).as_str()).await.unwrap().unwrap().last_seen, Some(time(8)));
}

async fn an_order_comes_in_waves_and_stops_at_failures(store: &dyn Store) {
    let order = OrderRow { stop_at_failed: Some(50), ..order(1) };
    let deliveries = [delivery(1, 1, 0), delivery(1, 2, 1), delivery(1, 3, 1), delivery(1, 8, 2)];
    assert_eq!(store.add_order(&order, &deliveries).await.unwrap(), Some(vec![agent_id(1)]));
    assert_eq!(store.add_order(&order, &deliveries).await.unwrap(), None);
    assert_eq!(store.order(&order.id).await.unwrap(), Some(order.clone()));
    assert_eq!(store.orders(Some(&case()), 9).await.unwrap(), std::slice::from_ref(&order));
    assert_eq!(store.orders(None, 9).await.unwrap().len(), 1);
    assert!(told_to(store, (&agent_id(2), 0), time(9), 16).await.orders.is_empty(), "it is not its turn");
    let reported = async |agent: u8, state: State| {
        let report = StateReport { state, code: None, detail: None, bundle: None };
        let note = Note::State { order: order_id(1), agent: agent_id(agent), report, at: time(9) };
        let (noted, mut woken) = store.note(&[note]).await.unwrap();
        woken.sort();
        (noted[0].clone(), woken)
    };
    assert_eq!(reported(1, State::Running).await, (Noted::Kept, vec![]));
    assert_eq!(reported(1, State::Delivered).await, (Noted::Old, vec![]), "states go forward only");
    assert_eq!(reported(4, State::Running).await.0, Noted::Unknown);
    let mut second = vec![agent_id(2), agent_id(3)];
    second.sort();
    assert_eq!(reported(1, State::Cancelled).await, (Noted::Kept, second));
    assert_eq!(reported(2, State::Failed).await, (Noted::Kept, vec![]));
    assert_eq!(reported(3, State::Refused).await, (Noted::Kept, vec![]), "all of the wave failed");
    assert!(store.order(&order.id).await.unwrap().unwrap().stopped);
    let states = store.order_states(&order.id).await.unwrap();
    assert_eq!(states, [("cancelled", 1), ("failed", 1), ("queued", 1), ("refused", 1)].map(|(n, c)| (n.to_owned(), c)).into());
    assert_eq!(store.order_codes(&order.id).await.unwrap(), [].into(), "nobody said why");
}

async fn an_order_is_told_once_and_its_cancellation_too(store: &dyn Store) {
    for number in [2, 3] {
        store.add_order(&order(number), &[delivery(number, 1, 0)]).await.unwrap();
    }
    let first = told_to(store, (&agent_id(1), 0), time(10), 1).await;
    assert_eq!(first.orders, [(order_id(2), "{}".to_owned(), None)]);
    let second = told_to(store, (&agent_id(1), first.cursor), time(10), 1).await;
    assert_eq!((second.orders[0].0.clone(), second.orders.len()), (order_id(3), 1));
    assert!(second.cursor > first.cursor);
    let none = told_to(store, (&agent_id(1), second.cursor), time(10), 1).await;
    assert_eq!((none.orders.len(), none.cancelled.len(), none.cursor), (0, 0, second.cursor));
    assert_eq!(store.cancel_order(&order_id(3), "desk", time(11)).await.unwrap(), Some(vec![agent_id(1)]));
    assert_eq!(store.cancel_order(&order_id(3), "desk", time(11)).await.unwrap(), Some(vec![]));
    assert_eq!(store.cancel_order(&order_id(9), "desk", time(11)).await.unwrap(), None);
    let told = told_to(store, (&agent_id(1), second.cursor), time(12), 16).await;
    assert_eq!((told.orders.len(), told.cancelled), (0, vec![order_id(3)]));
    assert!(told.cursor > second.cursor);
    let state = store.delivery_state(&order_id(3), &agent_id(1)).await.unwrap();
    assert_eq!(state, Some(State::Cancelled), "nobody had begun");
}

async fn a_delivery_takes_one_bundle(store: &dyn Store) {
    store.add_order(&order(4), &[delivery(4, 1, 0), delivery(4, 2, 1)]).await.unwrap();
    let progress = |sequence: u64| Note::Progress {
        order: order_id(4),
        agent: agent_id(1),
        progress: Progress { sequence, checks_planned: 4, checks_done: 1, outcomes: Vec::new() },
    };
    let (noted, _) = store.note(&[progress(1), progress(1), progress(2)]).await.unwrap();
    assert_eq!(noted, [Noted::Kept, Noted::Old, Noted::Kept], "a repeated one is dropped");
    assert!(store.reported(&order_id(4), &agent_id(1)).await.unwrap().is_empty());
    let upload = |id: &str, bundle: u8| UploadRow {
        id: id.into(),
        bundle: bundle_id(bundle),
        sender: Sender::Agent(agent_id(1)),
        key: key(1).verifying_key(),
        length: 9,
        offset: 0,
        touched: time(12),
    };
    assert!(store.begin_upload(&upload("x", 91)).await.unwrap().is_empty());
    assert!(store.begin_upload(&upload("y", 92)).await.unwrap().is_empty(), "an agent sends several bundles");
    assert_eq!(store.begin_upload(&upload("z", 91)).await.unwrap(), ["x"]);
    assert_eq!(store.upload("z").await.unwrap(), Some(upload("z", 91)));
    let place = store.delivery_place(&order_id(4), &agent_id(1)).await.unwrap().unwrap();
    assert_eq!((place.case, place.set), (case(), "web".to_owned()));
    assert_eq!(store.delivery_place(&order_id(4), &agent_id(3)).await.unwrap(), None);
    assert_eq!(store.accept(&bundle(91, 4, 1), Some("z")).await.unwrap(), Accepted::Stored(vec![agent_id(2)]));
    assert_eq!(store.accept(&bundle(92, 4, 1), None).await.unwrap(), Accepted::NotOpen);
    assert_eq!(store.bundle(&bundle_id(91)).await.unwrap(), Some(bundle(91, 4, 1)));
    let deliveries = store.deliveries(&order_id(4), 9).await.unwrap();
    assert_eq!((deliveries[0].state, deliveries[0].bundle.clone()), (State::Uploaded, Some(bundle_id(91))));
    assert_eq!((deliveries[0].checks_planned, deliveries[0].checks_done), (4, 1));
    assert_eq!(store.deliveries_to(&agent_id(1), 9).await.unwrap().len(), 4);
}

async fn what_nobody_took_expires(store: &dyn Store) {
    let short = OrderRow { expires: time(20), ..order(5) };
    store.add_order(&short, &[delivery(5, 1, 0), delivery(5, 2, 0), delivery(5, 3, 1)]).await.unwrap();
    let report = StateReport { state: State::Running, code: None, detail: None, bundle: None };
    let running = Note::State { order: order_id(5), agent: agent_id(2), report, at: time(13) };
    store.note(&[running]).await.unwrap();
    assert!(told_to(store, (&agent_id(1), 0), time(20), 16).await.orders.iter().all(|(id, ..)| *id != order_id(5)));
    store.sweep_fleet(time(20)).await.unwrap();
    store.sweep_fleet(time(20)).await.unwrap();
    let states = store.order_states(&order_id(5)).await.unwrap();
    assert_eq!(states, [("expired", 2), ("running", 1)].map(|(name, count)| (name.to_owned(), count)).into());
    // Two had taken it in time, and could not say so: what they say and send counts all the same.
    assert!(matches!(store.accept(&bundle(95, 5, 1), None).await.unwrap(), Accepted::Stored(_)));
    let told = |state: State, code: Option<&str>| {
        let report = StateReport { state, code: code.map(str::to_owned), detail: None, bundle: None };
        Note::State { order: order_id(5), agent: agent_id(3), report, at: time(21) }
    };
    assert_eq!(store.note(&[told(State::Accepted, None)]).await.unwrap().0, [Noted::Kept]);
    let states = store.order_states(&order_id(5)).await.unwrap();
    assert_eq!(states, [("accepted", 1), ("running", 1), ("uploaded", 1)].map(|(name, count)| (name.to_owned(), count)).into());
    assert_eq!(store.note(&[told(State::Expired, Some("expired"))]).await.unwrap().0, [Noted::Kept]);
    assert_eq!(
        store.note(&[told(State::Cancelled, Some("cancelled"))]).await.unwrap().0,
        [Noted::Old],
        "its own word is the last"
    );
    assert_eq!(store.note(&[nonce("one")]).await.unwrap().0, [Noted::Old], "it is not forgotten yet");
    let page = async |states: &[State], skipped: u32| -> Vec<(AgentId, State)> {
        let rows = store.deliveries_in(&order_id(5), states, skipped, 2).await.unwrap();
        rows.into_iter().map(|row| (row.agent, row.state)).collect()
    };
    let (worst, middle, best) = ((agent_id(3), State::Expired), (agent_id(2), State::Running), (agent_id(1), State::Uploaded));
    assert_eq!(page(&State::BY_URGENCY, 0).await, [worst.clone(), middle.clone()]);
    assert_eq!(page(&State::BY_URGENCY, 1).await, [middle, best.clone()]);
    assert_eq!(page(&State::BY_URGENCY, 2).await, std::slice::from_ref(&best));
    assert_eq!(page(&[State::Uploaded], 0).await, [best]);
    assert!(page(&State::BY_URGENCY, 3).await.is_empty() && page(&[State::Expired], 1).await.is_empty());
    let told = store.deliveries_after(&order_id(5), 0, 2).await.unwrap();
    assert!(told.more && told.rows.len() == 2);
    let rest = store.deliveries_after(&order_id(5), told.cursor, 2).await.unwrap();
    assert!(!rest.more && rest.rows.len() == 1 && rest.cursor > told.cursor);
    assert_eq!(rest.rows[0].agent, agent_id(3), "what changed last comes last");
}

async fn whoever_falls_silent_in_a_run_has_failed_until_its_bundle_comes(store: &dyn Store) {
    let minute = 60;
    for (number, repeat) in [(40, None), (41, Some(Repeat { every_seconds: 300, life_seconds: 86_400 }))] {
        runs(store, &signed(number, repeat), &[1, 2]).await;
    }
    let states = async |number| -> Vec<(State, Option<String>)> {
        store.deliveries(&order_id(number), 9).await.unwrap().into_iter().map(|one| (one.state, one.code)).collect()
    };
    let silent = || (State::Failed, Some("agent_silent".to_owned()));
    let running = || (State::Running, None);
    // Two minutes beyond the longest that the run may take.
    let last = 2_100 + i64::try_from(signed(40, None).longest_run().as_secs()).unwrap() + 2 * minute;
    store.note(&[Note::Seen { agent: agent_id(2), at: time(last) }]).await.unwrap();
    store.sweep_fleet(time(last - 1)).await.unwrap();
    assert_eq!(states(40).await, [running(), running()], "its time is not over");
    store.sweep_fleet(time(last)).await.unwrap();
    assert_eq!(states(40).await, [silent(), running()], "the other one is there, and may still send it");
    store.sweep_fleet(time(last + 120 * minute)).await.unwrap();
    assert_eq!(states(40).await, [silent(), silent()]);
    assert_eq!(states(41).await, [running(), running()], "a schedule goes on");
    let open = store.open_orders(100).await.unwrap();
    assert!(open.iter().any(|row| row.id == order_id(41)) && open.iter().all(|row| row.id != order_id(40)));
    assert!(matches!(store.accept(&bundle(94, 40, 1), None).await.unwrap(), Accepted::Stored(_)));
    assert_eq!(states(40).await, [(State::Uploaded, None), silent()], "late is not lost");
}

async fn a_cancellation_is_told_until_the_agent_says_that_it_ended(store: &dyn Store) {
    let (one_off, schedule) = (order_id(42), order_id(43));
    for (number, repeat) in [(42, None), (43, Some(Repeat { every_seconds: 300, life_seconds: 86_400 }))] {
        runs(store, &signed(number, repeat), &[1, 2]).await;
    }
    let states = async |id: &OrderId| -> Vec<State> {
        store.deliveries(id, 9).await.unwrap().into_iter().map(|delivery| delivery.state).collect()
    };
    let hears =
        async |agent: u8, id: &OrderId, at: i64| told_to(store, (&agent_id(agent), 0), time(at), 16).await.cancelled.contains(id);
    let says_so = async |agent: u8, order: &OrderId, at: i64| {
        let report = StateReport { state: State::Cancelled, code: Some("cancelled".into()), detail: None, bundle: None };
        let note = Note::State { order: order.clone(), agent: agent_id(agent), report, at: time(at) };
        assert_eq!(store.note(&[note]).await.unwrap().0, [Noted::Kept]);
    };
    // The window of both was over at 2,100 s.
    for (id, cancelled_at, over) in [(&one_off, 2_110, 2_280), (&schedule, 45_000, 2_280 + 86_400)] {
        let woken = store.cancel_order(id, "desk", time(cancelled_at)).await.unwrap().unwrap();
        assert_eq!(woken.len(), 2);
        store.sweep_fleet(time(cancelled_at)).await.unwrap();
        assert_eq!(states(id).await, [State::Running, State::Running], "nobody has said that it ended");
        assert!(hears(1, id, cancelled_at).await && hears(2, id, cancelled_at).await);
        says_so(2, id, cancelled_at + 1).await;
        assert!(hears(1, id, over).await && !hears(2, id, over).await);
        store.sweep_fleet(time(over - 1)).await.unwrap();
        assert!(states(id).await.contains(&State::Running), "it may run on where nobody hears of it");
        store.sweep_fleet(time(over)).await.unwrap();
        assert_eq!(states(id).await, [State::Cancelled, State::Cancelled]);
        assert!(hears(1, id, over + 3_600).await, "it never said so itself");
        assert!(!hears(1, id, 2_100 + 31 * 86_400).await, "nothing lives so long");
    }
}

async fn what_an_agent_runs_goes_on_under_its_next_id(store: &dyn Store) {
    let (former, next) = (agent_id(8), AgentRow { number: 4, ..agent(11) });
    for number in [44, 45] {
        runs(store, &signed(number, None), &[8, 1]).await;
    }
    let progress = |agent: &AgentId, sequence| Note::Progress {
        order: order_id(44),
        agent: agent.clone(),
        progress: Progress { sequence, checks_planned: 4, checks_done: 1, outcomes: Vec::new() },
    };
    let state = |order, agent: &AgentId, state| Note::State {
        order: order_id(order),
        agent: agent.clone(),
        report: StateReport { state, code: Some("x".into()), detail: None, bundle: None },
        at: time(2_020),
    };
    store.note(&[progress(&former, 1), state(45, &former, State::Failed)]).await.unwrap();
    assert!(store.introduce(&next, &former, time(2_030)).await.unwrap());
    let found = async |order, agent: &AgentId| store.delivery_state(&order_id(order), agent).await.unwrap();
    assert_eq!((found(44, &former).await, found(44, &next.id).await), (None, Some(State::Running)));
    assert_eq!((found(45, &former).await, found(45, &next.id).await), (Some(State::Failed), None), "it had ended");
    assert_eq!(store.note(&[progress(&next.id, 1), progress(&next.id, 2)]).await.unwrap().0, [Noted::Old, Noted::Kept]);
    let woken = store.cancel_order(&order_id(44), "desk", time(2_040)).await.unwrap().unwrap();
    assert!(woken.contains(&next.id) && !woken.contains(&former));
    assert!(told_to(store, (&next.id, 0), time(2_041), 16).await.cancelled.contains(&order_id(44)));
    assert_eq!(store.note(&[state(44, &next.id, State::Cancelled)]).await.unwrap().0, [Noted::Kept]);
}

async fn however_many_cancellations_there_are_each_is_told(store: &dyn Store) {
    let numbers = 100..230;
    for number in numbers.clone() {
        store.add_order(&order(number), &[delivery(number, 3, 0)]).await.unwrap();
    }
    for number in numbers.clone() {
        store.cancel_order(&order_id(number), "desk", time(15)).await.unwrap();
    }
    let (mut heard, mut cursor) = (Vec::new(), 0);
    for _ in 0..4 {
        let told = told_to(store, (&agent_id(3), cursor), time(16), 16).await;
        heard.extend(told.cancelled);
        cursor = told.cursor;
    }
    assert!(numbers.map(order_id).all(|id| heard.contains(&id)), "{}", heard.len());
    assert!(told_to(store, (&agent_id(3), cursor), time(16), 16).await.cancelled.is_empty(), "nothing is told for ever");
}

async fn drafts_are_kept_until_they_are_signed(store: &dyn Store) {
    let draft = |id: &str| KeptDraft {
        id: id.into(),
        made: time(14),
        draft: Draft {
            set: "web".into(),
            targets: vec!["https://shop.example/".into()],
            parameters: [].into(),
            agents: vec![agent_id(1)],
            labels: [].into(),
            case: case(),
            requester: "asha".into(),
            reason: String::new(),
            spread_seconds: Some(600),
        },
    };
    store.add_draft(&draft("a"), "page").await.unwrap();
    store.add_draft(&draft("b"), "desk").await.unwrap();
    assert_eq!(store.draft("a").await.unwrap(), Some(draft("a")));
    assert_eq!(store.drafts(9).await.unwrap(), [draft("a"), draft("b")]);
    assert!(store.remove_draft("a").await.unwrap() && !store.remove_draft("a").await.unwrap());
}

async fn the_audit_log_follows(store: &dyn Store) {
    let whole = store.audit_after(0, 1000).await.unwrap();
    assert!(whole.len() > 20);
    assert_eq!(follow(None, &whole).unwrap(), store.audit_head().await.unwrap());
    for action in ["ticket.issued", "bundle.stored", "agent.enrolled", "agent.cloned", "order.submitted", "order.stopped"] {
        assert!(whole.iter().any(|entry| entry.action == action), "{action}");
    }
    let rest = store.audit_after(3, 2).await.unwrap();
    assert_eq!(rest.iter().map(|entry| entry.number).collect::<Vec<_>>(), [4, 5]);
}

pub(super) fn time(seconds: i64) -> jiff::Timestamp {
    from_micros(1_750_000_000_000_000 + seconds * 1_000_000)
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn case() -> CaseId {
    CaseId::new("4712")
}

fn code() -> TicketId {
    TicketId::from_bytes([50; 10])
}

pub(super) fn agent_id(number: u8) -> AgentId {
    AgentId::of(&key(number).verifying_key())
}

fn order_id(number: u8) -> OrderId {
    OrderId::from_bytes([number; 16])
}

fn bundle_id(number: u8) -> BundleId {
    BundleId::new(format!("{number:02x}").repeat(32))
}

fn nonce(nonce: &str) -> Note {
    Note::Nonce { agent: agent_id(1), nonce: nonce.into(), until: time(900) }
}

fn enrolment() -> EnrolmentRow {
    EnrolmentRow {
        id: code(),
        proof_key: CodeProofKey::from_bytes([7; 32]),
        uses: 5,
        labels: [("site".to_owned(), "oslo".to_owned())].into(),
        created: time(0),
        expires: time(100),
    }
}

fn agent(number: u8) -> AgentRow {
    AgentRow {
        id: agent_id(number),
        bundle_key: key(number).verifying_key(),
        transport_key: key(number + 20).verifying_key(),
        number: 1,
        introduction: vec![number],
        host_name: Some("vm".into()),
        labels: enrolment().labels,
        enrolled: time(1),
        last_seen: Some(time(1)),
        check_in: CheckIn {
            epoch: Epoch::from_bytes([number; 16]),
            version: "0.1.0".into(),
            platform: "x86_64-unknown-linux-gnu".into(),
            policy: PolicySummary::default(),
            kinds: Vec::new(),
            instance: "i".into(),
            protocol: Protocol::NEWEST,
            link: None,
        },
        link: Some([number; 32]),
        link_before: None,
        cloned: false,
        revoked: false,
        replaced: None,
    }
}

fn order(number: u8) -> OrderRow {
    OrderRow {
        id: order_id(number),
        case: case(),
        set: "web".into(),
        set_sha256: "00".repeat(32),
        targets: vec!["https://shop.example/".into()],
        requester: "asha".into(),
        reason: "slow".into(),
        signers: vec!["SHA256:x".into()],
        envelope: "{}".into(),
        submitted: time(9),
        not_before: time(9),
        expires: time(500),
        cancelled: false,
        stopped: false,
        stop_at_failed: None,
    }
}

/// For whoever reads the order itself: a run of it takes 60 s, and its window is from 2,000 s to 2,100 s.
fn signed(number: u8, repeat: Option<Repeat>) -> Order {
    Order {
        organisation: OrganisationId::new("0".repeat(64)),
        id: order_id(number),
        set: "name = \"x\"\nversion = 1\nquestion = \"Q?\"\nbudget = \"60s\"\n[[check]]\nid = \"h\"\nkind = \"host\"\n".into(),
        targets: Vec::new(),
        parameters: [].into(),
        agents: Addressees::Listed(Vec::new()),
        not_before: time(2_000),
        expires: time(2_100),
        case: case(),
        requester: "asha".into(),
        reason: String::new(),
        signatures: 1,
        serve: None,
        repeat,
        bytes: None,
        deep: None,
        spread_seconds: None,
    }
}

/// Adds it, and has these agents run it.
async fn runs(store: &dyn Store, signed: &Order, agents: &[u8]) {
    let mut envelope = signed.envelope();
    envelope.add_signature(&key(1).verifying_key(), [0; 64]);
    let envelope = String::from_utf8(envelope.to_json()).unwrap();
    let row = OrderRow { id: signed.id.clone(), envelope, submitted: time(2_000), expires: signed.expires, ..order(0) };
    let deliveries: Vec<DeliveryRow> =
        agents.iter().map(|agent| DeliveryRow { order: signed.id.clone(), ..delivery(0, *agent, 0) }).collect();
    store.add_order(&row, &deliveries).await.unwrap().unwrap();
    for agent in agents {
        let report = StateReport { state: State::Running, code: None, detail: None, bundle: None };
        let note = Note::State { order: signed.id.clone(), agent: agent_id(*agent), report, at: time(2_010) };
        store.note(&[note]).await.unwrap();
    }
}

fn delivery(order: u8, agent: u8, wave: u32) -> DeliveryRow {
    DeliveryRow {
        order: order_id(order),
        agent: agent_id(agent),
        wave,
        proof: None,
        state: State::Queued,
        changed: time(9),
        code: None,
        detail: None,
        bundle: None,
        checks_planned: 0,
        checks_done: 0,
    }
}

fn bundle(number: u8, order: u8, agent: u8) -> BundleRow {
    let nothing = Diagnosis {
        state: netsonde_contract::finding::State::AsExpected,
        findings: Vec::new(),
        unexplained: Vec::new(),
        not_measured: Vec::new(),
    };
    BundleRow {
        id: bundle_id(number),
        file_sha256: "ef".repeat(32),
        size_bytes: 7,
        key: key(agent).verifying_key(),
        origin: Origin::Order { order: order_id(order), agent: agent_id(agent) },
        case: case(),
        set: "web".into(),
        received: time(13),
        receipt: vec![1, 2, 3],
        agent: nothing.clone(),
        backend: nothing,
        diagnosed_by: "test".into(),
    }
}
