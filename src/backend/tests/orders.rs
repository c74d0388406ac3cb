use super::organisation::{ENGINEER, Machine, signed};
use super::pages::{Browser, form_token};
use super::sample::Agent;
use super::server::{Options, Server, client, client_of_http2, problem};
use crate::command::follow_audit;
use crate::limits::Limits;
use crate::store::{Note, Noted};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use netsonde_contract::api::fleet::{
    AgentSummary, DeliveryState as State, Draft, KeptDraft, OrderDetail, OrderSummary, Progress, StateReport, SubmitOrder, Work,
};
use netsonde_contract::api::{DRAFT_INTEROP_VERSION, ProblemCode, header, path};
use netsonde_contract::bundle::{Packed, Predicate};
use netsonde_contract::dsse::Envelope;
use netsonde_contract::history::History;
use netsonde_contract::id::{AgentId, CaseId, OrderId};
use netsonde_contract::order::{Addressee, Addressees, Epoch, Epochs, Order, RefusalCode, Situation, verify};
use netsonde_contract::receipt::Receipt;
use netsonde_contract::trust::{Anchor, RootStatement};
use reqwest::{Method, Response};
use std::time::Duration;

/// From the moment that an order is taken until whoever listens has it.
const AT_ONCE: Duration = Duration::from_millis(100);

impl Machine {
    pub(super) async fn report(&self, server: &Server, order: &OrderId, state: State, code: Option<&str>) -> Response {
        let code = code.map(str::to_owned);
        let detail = code.as_ref().map(|code| format!("because of {code}"));
        let report = StateReport { state, code, detail, bundle: None };
        self.request(server, Method::POST, &path::work_state(order), &report).send().await.unwrap()
    }

    /// A bundle of this machine's for the order, of the set that it carries.
    pub(super) async fn bundle(&self, server: &Server, order: Option<&OrderId>) -> Packed {
        self.packed(server, |predicate| predicate.order = order.cloned()).await
    }

    /// A bundle of this machine's without a ticket.
    pub(super) async fn packed(&self, server: &Server, change: impl FnOnce(&mut Predicate)) -> Packed {
        self.packed_with(server, None, change).await
    }

    /// The same with the past of scheduled checks.
    pub(super) async fn packed_with(
        &self,
        server: &Server,
        history: Option<&History>,
        change: impl FnOnce(&mut Predicate),
    ) -> Packed {
        let (_, ticket) = server.ticket("web").await;
        let agent = Agent { key: self.bundle.clone() };
        agent.packed_with(&ticket, history, |_, predicate| {
            predicate.ticket = None;
            change(predicate);
        })
    }

    pub(super) async fn begin(&self, server: &Server, bundle: &Packed) -> Response {
        self.post_empty(server, path::UPLOADS)
            .header(header::DRAFT_INTEROP, DRAFT_INTEROP_VERSION)
            .header(header::UPLOAD_LENGTH, bundle.bytes.len())
            .header(header::UPLOAD_COMPLETE, "?0")
            .header(header::BUNDLE, bundle.id.as_str())
            .header(header::KEY, STANDARD.encode(self.bundle.verifying_key().as_bytes()))
            .send()
            .await
            .unwrap()
    }

    pub(super) async fn upload(&self, server: &Server, bundle: &Packed) -> Response {
        let begun = self.begin(server, bundle).await;
        assert_eq!(begun.status(), 201);
        let upload = begun.headers()["location"].to_str().unwrap().to_owned();
        server.part(&upload, 0, &bundle.bytes, true).send().await.unwrap()
    }
}

impl Server {
    pub(super) async fn detail(&self, order: &OrderId) -> OrderDetail {
        self.get(&path::order(order)).bearer_auth(&self.desk_token).send().await.unwrap().json().await.unwrap()
    }
}

pub(super) fn order_id(number: u8) -> OrderId {
    OrderId::from_bytes([number; 16])
}

#[tokio::test]
async fn a_request_is_held_over_http2_and_others_pass_it_on_the_same_connection() {
    let mut server = Server::with(Options { plain: false, ..Options::default() }).await;
    server.client = client_of_http2(server.app.place.tls_pin.as_ref().unwrap());
    let [machine] = server.enrolled([1]).await;
    let held = machine.hold(&server, "/v1/work?wait=50&root=1&list=1");
    server.until_listening(&machine).await;
    let health = server.get(path::HEALTH).send().await.unwrap();
    assert_eq!((health.version(), health.status()), (reqwest::Version::HTTP_2, reqwest::StatusCode::OK));
    assert_eq!(server.submit(&server.order(1, &[&machine])).await.status(), 201);
    let work: Work = tokio::time::timeout(AT_ONCE, held).await.expect("it is woken at once").unwrap();
    assert_eq!(work.orders.len(), 1);
    let held = machine.hold(&server, &format!("/v1/work?after={}&wait=50&root=1&list=1", work.cursor));
    server.until_listening(&machine).await;
    tokio::time::timeout(Duration::from_secs(5), server.stop()).await.expect("a held request is answered when the server stops");
    assert_eq!(held.await.unwrap().orders.len(), 0);
}

#[tokio::test]
async fn an_order_reaches_who_listens_at_once_and_verifies_there() {
    let server = Server::start().await;
    let [machine, other] = server.enrolled([1, 2]).await;
    let held = machine.hold(&server, "/v1/work?wait=50&root=1&list=1");
    let idle = other.hold(&server, "/v1/work?wait=50&root=1&list=1");
    server.until_listening(&machine).await;
    server.until_listening(&other).await;
    let submitted = server.order(1, &[&machine]);
    assert_eq!(server.submit(&submitted).await.status(), 201);
    let work: Work = tokio::time::timeout(AT_ONCE, held).await.expect("it is woken at once").unwrap();
    assert_eq!((work.orders.len(), &work.orders[0].id), (1, &order_id(1)));
    assert!(!idle.is_finished(), "nobody else is woken");

    let documents = server.app.trust.current().unwrap().documents.clone();
    let root = documents.roots[0].as_bytes();
    let fingerprint = RootStatement::fingerprint(Envelope::from_json(root).unwrap().unverified());
    let mut anchor = Anchor::pinned(root, &fingerprint).unwrap();
    anchor.accept_list(documents.list.unwrap().as_bytes()).unwrap();
    let epochs = Epochs { current: machine.epoch.clone(), previous: None, boot: None, drawn: Duration::ZERO };
    let now = server.app.clock.now();
    let situation = Situation { anchor: &anchor, agent: &machine.id(), epochs: &epochs, now, taken: &|_| false };
    let verified = verify(work.orders[0].envelope.as_bytes(), work.orders[0].proof.as_ref(), &situation).unwrap();
    assert_eq!(verified.order.requester, "Asha");

    assert!(machine.work(&server, work.cursor, 0).await.orders.is_empty(), "it is told once");
    assert_eq!(server.submit(&submitted).await.status(), 201, "the same order sent again is no second one");
    assert_eq!(machine.work(&server, 0, 0).await.orders.len(), 1);
    let held = machine.hold(&server, &format!("/v1/work?after={}&wait=50&root=1&list=1", work.cursor));
    server.until_listening(&machine).await;
    let cancelled = server.post(&path::order_cancel(&order_id(1))).bearer_auth(&server.desk_token).send().await.unwrap();
    assert_eq!(cancelled.status(), 204);
    let work: Work = tokio::time::timeout(AT_ONCE, held).await.expect("at once").unwrap();
    assert_eq!((work.orders.len(), work.cancelled), (0, vec![order_id(1)]));
    tokio::time::timeout(Duration::from_secs(5), server.stop()).await.expect("a held request is answered when the server stops");
    assert_eq!(idle.await.unwrap().orders.len(), 0);
}

#[tokio::test]
async fn an_order_outlives_a_restart_and_its_states_go_forward() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    server.submit(&server.order(1, &[&machine])).await;
    let server = server.restart().await;
    let work = machine.work(&server, 0, 0).await;
    assert_eq!(work.orders.len(), 1);
    for state in [State::Delivered, State::Accepted, State::Running, State::Delivered] {
        assert_eq!(machine.report(&server, &order_id(1), state, None).await.status(), 204);
    }
    assert_eq!(server.detail(&order_id(1)).await.deliveries[0].state, State::Running);
    assert!(machine.work(&server, 0, 0).await.orders.is_empty(), "the machine has it on its disk");
    let claimed = problem(machine.report(&server, &order_id(1), State::Uploaded, None).await).await;
    assert_eq!(claimed.known_code(), Some(ProblemCode::MalformedRequest), "there is no bundle");
    let unknown = problem(machine.report(&server, &order_id(9), State::Running, None).await).await;
    assert_eq!(unknown.known_code(), Some(ProblemCode::OrderUnknown));
    let mut progress = Progress { sequence: 1, checks_planned: 5, checks_done: 2, outcomes: Vec::new() };
    for done in [2, 4] {
        progress.checks_done = done;
        let sent = machine.request(&server, Method::POST, &path::work_progress(&order_id(1)), &progress).send().await.unwrap();
        assert_eq!(sent.status(), 204);
    }
    assert_eq!(server.detail(&order_id(1)).await.deliveries[0].checks_done, 2, "a repeated report is dropped");
    let endless = Progress { sequence: u64::MAX, ..progress };
    let refused = machine.request(&server, Method::POST, &path::work_progress(&order_id(1)), &endless).send().await.unwrap();
    assert_eq!(refused.status(), 400, "it would fail what is written together with it");
    server.advance(Duration::from_secs(3600));
    server.app.store.sweep_fleet(server.app.clock.now()).await.unwrap();
    assert_eq!(server.detail(&order_id(1)).await.deliveries[0].state, State::Running, "what runs goes on");
    server.advance(Duration::from_secs(3600));
    server.app.store.sweep_fleet(server.app.clock.now()).await.unwrap();
    let delivery = server.detail(&order_id(1)).await.deliveries.remove(0);
    assert_eq!((delivery.state, delivery.code.as_deref()), (State::Failed, Some("agent_silent")), "nobody will hear of it");
}

#[tokio::test]
async fn an_order_that_is_over_is_not_cancelled_any_more() {
    let server = Server::start().await;
    let [first, second] = server.enrolled([1, 2]).await;
    let cancel = async |number| {
        let post = server.post(&path::order_cancel(&order_id(number))).bearer_auth(&server.desk_token);
        post.json(&serde_json::json!({})).send().await.unwrap()
    };
    for number in [1, 2] {
        assert_eq!(server.submit(&server.order(number, &[&first, &second])).await.status(), 201);
        first.report(&server, &order_id(number), State::Refused, Some("orders_off")).await;
    }
    assert_eq!(cancel(2).await.status(), 204, "one of two goes on");
    assert_eq!(cancel(2).await.status(), 204, "said twice");
    second.report(&server, &order_id(1), State::Failed, Some("run_failed")).await;
    assert_eq!(problem(cancel(1).await).await.known_code(), Some(ProblemCode::OrderOver));
    assert!(!server.detail(&order_id(1)).await.order.cancelled && server.detail(&order_id(2)).await.order.cancelled);
    // What expired without a word may run on where nobody hears of it.
    assert_eq!(server.submit(&server.order(3, &[&first])).await.status(), 201);
    server.advance(Duration::from_secs(2 * 3600));
    server.app.store.sweep_fleet(server.app.clock.now()).await.unwrap();
    assert_eq!(cancel(3).await.status(), 204);
    assert_eq!(problem(cancel(9).await).await.known_code(), Some(ProblemCode::OrderUnknown));
}

#[tokio::test]
async fn what_no_agent_would_take_is_refused_with_its_code() {
    let server = Server::start().await;
    let machine = Machine::new(1);
    let early = problem(server.submit(&server.order(1, &[&machine])).await).await;
    assert_eq!(early.reason.as_deref(), Some(RefusalCode::NoKeyList.as_str()));
    let [machine] = server.enrolled([1]).await;
    let stranger = Machine::new(9);
    let good = server.order(1, &[&machine]);
    let payload = |change: &dyn Fn(&mut Order)| {
        let mut order = Order::unverified(&Envelope::from_json(good.envelope.as_bytes()).unwrap()).unwrap();
        change(&mut order);
        SubmitOrder { envelope: signed(order.envelope(), &[ENGINEER]), ..good.clone() }
    };
    let by = |seed: u8| {
        let order = Order::unverified(&Envelope::from_json(good.envelope.as_bytes()).unwrap()).unwrap();
        SubmitOrder { envelope: signed(order.envelope(), &[seed]), ..good.clone() }
    };
    let readdressed = Addressee { epoch: Epoch::from_bytes([9; 16]), ..machine.addressee() };
    let cases = [
        (SubmitOrder { envelope: "{}".into(), ..good.clone() }, RefusalCode::Malformed),
        (by(9), RefusalCode::SignerUnknown),
        (by(230), RefusalCode::SignerRevoked),
        (payload(&|order| order.signatures = 2), RefusalCode::TooFewSignatures),
        (payload(&|order| order.expires = order.not_before), RefusalCode::WindowTooLong),
        (payload(&|order| order.set = "nonsense".into()), RefusalCode::UnusableSet),
        (SubmitOrder { agents: vec![readdressed], ..good.clone() }, RefusalCode::OtherAgent),
        (SubmitOrder { agents: vec![], ..good.clone() }, RefusalCode::OtherAgent),
        (server.order(1, &[&stranger]), RefusalCode::OtherAgent),
    ];
    for (wrong, code) in cases {
        let refused = problem(server.submit(&wrong).await).await;
        assert_eq!((refused.known_code(), refused.reason.as_deref()), (Some(ProblemCode::OrderRefused), Some(code.as_str())));
        assert_eq!(refused.next_step.as_deref(), Some(code.advice()));
    }
    assert_eq!(server.submit(&good).await.status(), 201);
    let other = payload(&|order| order.reason = "another".into());
    let refused = problem(server.submit(&other).await).await;
    assert_eq!(refused.reason.as_deref(), Some(RefusalCode::Replayed.as_str()));
    let without = server.post(path::ORDERS).json(&good).send().await.unwrap();
    assert_eq!(problem(without).await.known_code(), Some(ProblemCode::Unauthorized));
}

#[tokio::test]
async fn each_of_more_agents_than_an_order_lists_gets_its_own_proof() {
    const MANY: usize = 101;
    let server = Server::start().await;
    let machines: [Machine; MANY] = server.enrolled(std::array::from_fn(|place| u8::try_from(place + 1).unwrap())).await;
    let submitted = server.order(1, &machines.each_ref());
    let answer = server.submit(&submitted).await;
    assert_eq!(answer.status(), 201);
    for machine in [&machines[0], &machines[64], &machines[MANY - 1]] {
        let work = machine.work(&server, 0, 0).await;
        let Addressees::Tree { root, count } =
            Order::unverified(&Envelope::from_json(work.orders[0].envelope.as_bytes()).unwrap()).unwrap().agents
        else {
            panic!("so many are not listed")
        };
        assert!(work.orders[0].proof.as_ref().unwrap().holds(&machine.addressee().leaf(), &root, count));
    }
}

#[tokio::test]
async fn an_agent_with_too_many_connections_hears_why_its_oldest_ends() {
    let limits = Limits { connections_per_agent: 2, ..Limits::default() };
    let server = Server::with(Options { limits, ..Options::default() }).await;
    let [machine] = server.enrolled([1]).await;
    let held = machine.hold(&server, "/v1/work?wait=50&root=1&list=1");
    server.until_listening(&machine).await;
    let report = StateReport { state: State::Running, code: None, detail: None, bundle: None };
    // A client of its own is a connection of its own.
    let others = [client(None), client(None)];
    for other in &others {
        let request = machine.request(&server, Method::POST, &path::work_state(&order_id(9)), &report).build().unwrap();
        assert_eq!(other.execute(request).await.unwrap().status(), 404);
    }
    let because = tokio::time::timeout(Duration::from_secs(5), held).await.expect("it is answered at once").unwrap().because;
    assert!(because.as_ref().is_some_and(|why| why.contains("more than 2 connections")), "{because:?}");
    let older = machine.hold(&server, "/v1/work?wait=50&root=1&list=1");
    server.until_listening(&machine).await;
    let newer = machine.hold(&server, "/v1/work?wait=50&root=1&list=1");
    assert!(older.await.unwrap().because.is_some_and(|why| why.contains("newer request")));
    server.submit(&server.order(1, &[&machine])).await;
    assert_eq!(newer.await.unwrap().orders.len(), 1);
}

#[tokio::test]
async fn a_note_that_cannot_be_kept_costs_no_other_that_waits_with_it() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    server.submit(&server.order(1, &[&machine])).await;
    let report = StateReport { state: State::Running, code: None, detail: None, bundle: None };
    let running = Note::State { order: order_id(1), agent: machine.id(), report, at: server.app.clock.now() };
    let progress = |sequence| {
        let progress = Progress { sequence, checks_planned: 5, checks_done: 2, outcomes: Vec::new() };
        Note::Progress { order: order_id(1), agent: machine.id(), progress }
    };
    let notebook = &server.app.notebook;
    let (first, impossible, last) =
        tokio::join!(notebook.keep(running), notebook.keep(progress(u64::MAX)), notebook.keep(progress(1)));
    assert!(matches!(first, Ok(Noted::Kept)) && impossible.is_err() && matches!(last, Ok(Noted::Kept)));
    let delivery = server.detail(&order_id(1)).await.deliveries.remove(0);
    assert_eq!((delivery.state, delivery.checks_done), (State::Running, 2));
}

#[tokio::test]
async fn a_reports_words_are_made_fit_and_a_state_is_told_again_in_other_words() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    server.submit(&server.order(1, &[&machine])).await;
    let tell = async |state, code: &str, detail: &str| {
        let report = StateReport { state, code: Some(code.to_owned()), detail: Some(detail.to_owned()), bundle: None };
        let told = machine.request(&server, Method::POST, &path::work_state(&order_id(1)), &report).send().await.unwrap();
        assert_eq!(told.status(), 204);
        server.detail(&order_id(1)).await.deliveries.remove(0)
    };
    let began = tell(State::Running, "repeated", "it runs every 5m").await;
    server.advance(Duration::from_secs(60));
    let stopped = tell(State::Running, "kind_not_allowed", "it does not run now").await;
    assert_eq!((stopped.code.as_deref(), stopped.changed), (Some("kind_not_allowed"), began.changed));
    let refused = tell(State::Refused, "unusable_set", &format!("\u{202e}{}", "long ".repeat(500))).await;
    let detail = refused.detail.unwrap();
    assert_eq!(detail.chars().count(), 1_024);
    assert!(detail.starts_with("\\u{202e}long"), "{detail}");
    let late = tell(State::Running, "repeated", "it runs every 5m").await;
    assert_eq!((late.state, late.code.as_deref()), (State::Refused, Some("unusable_set")), "what has ended stays as it is");
}

#[tokio::test]
async fn whoever_holds_a_request_takes_no_place_of_others() {
    let limits = Limits { connections: 2, connections_per_address: 2, ..Limits::default() };
    let server = Server::with(Options { limits, ..Options::default() }).await;
    let machines = server.enrolled([1, 2, 3, 4]).await;
    let mut held = Vec::new();
    for machine in &machines {
        held.push(machine.hold(&server, "/v1/work?wait=50&root=1&list=1"));
        server.until_listening(machine).await;
    }
    assert_eq!(server.get(path::HEALTH).send().await.unwrap().status(), 200);
    server.submit(&server.order(1, &machines.each_ref())).await;
    for request in held {
        let work: Work = request.await.unwrap();
        assert_eq!(work.orders.len(), 1);
    }
}

#[tokio::test]
async fn the_next_wave_comes_when_the_first_is_done_and_stops_where_too_many_failed() {
    let server = Server::start().await;
    let [first, second, third] = server.enrolled([1, 2, 3]).await;
    let held = third.hold(&server, "/v1/work?wait=50&root=1&list=1");
    server.until_listening(&third).await;
    let submitted =
        SubmitOrder { waves: vec![1], stop_at_failed_percent: Some(50), ..server.order(1, &[&first, &second, &third]) };
    assert_eq!(server.submit(&submitted).await.status(), 201);
    let work: Work = held.await.unwrap();
    assert_eq!(work.orders.len(), 1, "who listens comes first");
    assert!(first.work(&server, 0, 0).await.orders.is_empty());
    let waiting = first.hold(&server, "/v1/work?wait=50&root=1&list=1");
    server.until_listening(&first).await;
    let bundle = third.bundle(&server, Some(&order_id(1))).await;
    assert_eq!(third.upload(&server, &bundle).await.status(), 200);
    let work = tokio::time::timeout(AT_ONCE, waiting).await.expect("the next wave is woken").unwrap();
    assert_eq!(work.orders.len(), 1);

    let stopping = SubmitOrder { waves: vec![1], stop_at_failed_percent: Some(0), ..server.order(2, &[&first, &second]) };
    assert_eq!(server.submit(&stopping).await.status(), 201);
    assert_eq!(first.report(&server, &order_id(2), State::Refused, Some("paused")).await.status(), 204);
    assert!(server.detail(&order_id(2)).await.order.stopped);
    assert!(second.work(&server, 0, 0).await.orders.iter().all(|item| item.id != order_id(2)));
}

#[tokio::test]
async fn a_bundle_of_an_order_is_known_and_goes_to_its_case() {
    let server = Server::start().await;
    let [machine, other, revoked] = server.enrolled([1, 2, 3]).await;
    server.submit(&server.order(1, &[&machine, &revoked])).await;
    let bundle = machine.bundle(&server, Some(&order_id(1))).await;
    let done = machine.upload(&server, &bundle).await;
    assert_eq!(done.status(), 200);
    let receipt = done.bytes().await.unwrap();
    let read = Receipt::verify(&receipt, &server.app.receipt_key.verifying_key()).unwrap();
    assert_eq!((read.case, read.ticket), (Some(CaseId::new("4711")), None));
    assert!(read.audit.is_some_and(|head| head.number > 0), "the receipt says where the audit log stood");
    let delivery = server.detail(&order_id(1)).await.deliveries.into_iter().find(|one| one.agent == machine.id()).unwrap();
    assert_eq!((delivery.state, delivery.bundle), (State::Uploaded, Some(bundle.id.clone())));
    assert_eq!(machine.report(&server, &order_id(1), State::Uploaded, None).await.status(), 204);

    let foreign = other.bundle(&server, Some(&order_id(1))).await;
    let refused = problem(other.upload(&server, &foreign).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::OrderUnknown), "the order was not made for it");
    let nowhere = other.bundle(&server, None).await;
    let refused = problem(other.upload(&server, &nowhere).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::UnknownKey));
    let posing = Machine { bundle: other.bundle.clone(), ..machine.clone() };
    let refused = problem(posing.begin(&server, &foreign).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::AgentUnknown), "signed by another's transport key");
    let ended = server.post(&path::agent_revoke(&revoked.id())).bearer_auth(&server.desk_token).send().await.unwrap();
    assert_eq!(ended.status(), 204);
    // Nobody would ever hear what became of it.
    let over = server.detail(&order_id(1)).await.deliveries.into_iter().find(|one| one.agent == revoked.id()).unwrap();
    assert_eq!((over.state, over.code.as_deref()), (State::Cancelled, Some("agent_revoked")));
    let late = revoked.bundle(&server, Some(&order_id(1))).await;
    let refused = problem(revoked.begin(&server, &late).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::AgentRevoked));
    assert_eq!(server.files(), (1, 0));
    let mut browser = Browser::new(&server);
    browser.sign_in(&server.password).await;
    let case = browser.page("/cases/4711").await;
    assert!(case.contains(">known<") && case.contains(&format!("/orders/{}", order_id(1))) && !case.contains("<b>1</b>"));
}

#[tokio::test]
async fn an_altered_audit_log_is_found() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    server.submit(&server.order(1, &[&machine])).await;
    let bundle = machine.bundle(&server, Some(&order_id(1))).await;
    assert_eq!(machine.upload(&server, &bundle).await.status(), 200);
    let key = server.app.receipt_key.verifying_key();
    let followed = async || follow_audit(&*server.app.store, &key, |_| Ok(())).await.unwrap();
    let sound = followed().await;
    assert_eq!((sound.receipts, sound.faults.len()), (1, 0), "{sound:?}");
    let exported = server.get(path::AUDIT).bearer_auth(&server.desk_token).send().await.unwrap();
    let exported: Vec<netsonde_contract::audit::Entry> = exported.json().await.unwrap();
    assert_eq!(netsonde_contract::audit::follow(None, &exported), Ok(sound.head.clone()));
    server.change_rows("UPDATE audit SET detail = 'case 4712' WHERE action = 'order.submitted'").await;
    let altered = followed().await;
    assert_eq!(altered.faults.len(), 1, "{altered:?}");
    server.change_rows("DELETE FROM audit").await;
    let emptied = followed().await;
    assert!(emptied.head.is_none() && emptied.faults[0].contains("is missing"), "{emptied:?}");
}

#[tokio::test]
async fn an_engineer_drafts_an_order_and_follows_what_became_of_it() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    let mut browser = Browser::new(&server);
    for page in ["/agents", "/orders", "/orders/new"] {
        assert_eq!(browser.get(page).await.status(), 303, "{page} needs a session");
    }
    browser.sign_in(&server.password).await;
    let fleet = browser.page("/agents").await;
    assert!(fleet.contains(&format!("/agents/{}", machine.id())) && fleet.contains("site=oslo") && fleet.contains("away"));
    assert!(!fleet.contains("<b>1</b>"), "what the machine calls itself is text");
    let link = format!("/agents/{}", machine.id());
    for (query, fits) in [
        ("find=SITE%3Doslo+linux", true),
        ("find=site%3Doslo+absent", false),
        ("state=away", true),
        ("find=oslo&state=online", false),
    ] {
        let found = browser.page(&format!("/agents?{query}")).await;
        assert_eq!(found.contains(&link), fits, "{query}: {found}");
        let drafted = browser.page(&format!("/orders/new?{query}")).await;
        let prefilled = drafted.split("name=\"agents\"").nth(1).unwrap().split("</textarea>").next().unwrap().to_owned();
        assert_eq!(prefilled.contains(machine.id().as_str()), fits, "{query}: {prefilled}");
    }
    let form = browser.page(&format!("/orders/new?case=4711&agent={}", machine.id())).await;
    assert!(form.contains(machine.id().as_str()));
    let token = form_token(&form);
    let id = machine.id();
    let filled = |set: &'static str, token: &str| {
        [("case", "4711"), ("set", set), ("targets", "https://shop.example/"), ("agents", id.as_str()), ("requester", "Asha")]
            .map(|(name, value)| (name, value.to_owned()))
            .into_iter()
            .chain([("spread", "600".to_owned()), ("form_token", token.to_owned())])
            .collect::<Vec<_>>()
    };
    let post = async |browser: &mut Browser<'_>, form: Vec<(&str, String)>| {
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.post("/orders/new", &form).await
    };
    assert_eq!(post(&mut browser, filled("web", "forged")).await.status(), 403);
    assert_eq!(post(&mut browser, filled("wbe", &token)).await.status(), 422);
    let ready = post(&mut browser, filled("web", &token)).await;
    assert_eq!(ready.status(), 201);
    let ready = ready.text().await.unwrap();
    let draft = ready.split("netsonde-desk sign ").nth(1).unwrap().split('<').next().unwrap();
    assert!(machine.work(&server, 0, 0).await.orders.is_empty(), "a draft asks nobody");
    let kept = server.get(&path::draft(&draft)).bearer_auth(&server.desk_token).send().await.unwrap();
    let kept: KeptDraft = kept.json().await.unwrap();
    assert_eq!((kept.draft.agents.as_slice(), kept.draft.spread_seconds), (&[machine.id()][..], Some(600)));
    assert!(ready.contains("each agent begins within 600 s"));
    let mut endless = filled("web", &token);
    endless.iter_mut().for_each(|(name, value)| {
        if *name == "spread" {
            *value = "90000".to_owned()
        }
    });
    assert_eq!(post(&mut browser, endless).await.status(), 422, "longer than any order lives");
    assert!(browser.page("/orders").await.contains(draft));

    let submitted = SubmitOrder { draft: Some(draft.to_owned()), ..server.spread_order(1, &[&machine], Some(600)) };
    assert_eq!(server.submit(&submitted).await.status(), 201);
    let drafts = server.get(path::DRAFTS).bearer_auth(&server.desk_token).send().await.unwrap();
    assert!(drafts.json::<Vec<KeptDraft>>().await.unwrap().is_empty(), "a signed draft is over");
    let page = browser.page(&format!("/orders/{}", order_id(1))).await;
    assert!(page.contains("waiting for the agent") && page.contains("http-equiv=\"refresh\"") && page.contains("key 210"));
    let progress = Progress { sequence: 1, checks_planned: 5, checks_done: 2, outcomes: vec![outcome()] };
    machine.request(&server, Method::POST, &path::work_progress(&order_id(1)), &progress).send().await.unwrap();
    let page = browser.page(&format!("/orders/{}", order_id(1))).await;
    assert!(page.contains("2 of 5") && page.contains("connect#1"));
    let case = browser.page("/cases/4711").await;
    for live in ["http-equiv=\"refresh\" content=\"3\"", "agent by agent", "2 of 5", "<progress", "So far from", "connect#1"] {
        assert!(case.contains(live), "{live} in {case}");
    }
    assert!(page.contains("each agent begins within 600 s of getting it"));
    machine.report(&server, &order_id(1), State::Refused, Some("orders_off")).await;
    let page = browser.page(&format!("/orders/{}", order_id(1))).await;
    assert!(page.contains("because of orders_off") && page.contains("Ask the customer to allow orders"));
    assert!(!page.contains("http-equiv=\"refresh\"") && !page.contains("Cancel the order") && !page.contains("<script"));
    let agent = browser.page(&format!("/agents/{}", machine.id())).await;
    assert!(agent.contains(&format!("/orders/{}", order_id(1))) && agent.contains("refused"));
    let case = browser.page("/cases/4711").await;
    assert!(case.contains("1 refused") && !case.contains("http-equiv=\"refresh\"") && !case.contains("So far from"));
    let listed = server.get("/v1/orders?case=4711").bearer_auth(&server.desk_token).send().await.unwrap();
    let listed = listed.json::<Vec<OrderSummary>>().await.unwrap();
    assert_eq!(listed[0].codes["refused"], [("orders_off".to_owned(), 1)].into(), "why is told with how many");
    let empty = Draft { agents: vec![], ..kept.draft };
    let refused = server.post(path::DRAFTS).bearer_auth(&server.desk_token).json(&empty).send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::InvalidParameter));
}

pub(super) fn outcome() -> netsonde_contract::outcome::Outcome {
    use netsonde_contract::id::CheckId;
    use netsonde_contract::kind::Kind;
    use netsonde_contract::outcome::{Outcome, Status};
    Outcome {
        check: CheckId::new("connect#1"),
        kind: Kind::Tcp,
        required: true,
        target: None,
        parameters: serde_json::json!({}),
        separates: Vec::new(),
        status: Status::Succeeded,
        note: None,
        began_us: 1,
        took_us: 2,
        observations: Vec::new(),
    }
}

#[tokio::test]
async fn what_changed_of_an_order_is_told_without_the_rest() {
    let server = Server::start().await;
    let machines = server.enrolled([1, 2, 3]).await;
    let all: Vec<&Machine> = machines.iter().collect();
    assert_eq!(server.submit(&server.order(1, &all)).await.status(), 201);
    let since = async |cursor: u64| -> (Vec<AgentId>, u64) {
        let address = format!("{}?since={cursor}", path::order(&order_id(1)));
        let answer = server.get(&address).bearer_auth(&server.desk_token).send().await.unwrap();
        let detail: OrderDetail = answer.json().await.unwrap();
        let changes = detail.changes.unwrap();
        assert!(!changes.more);
        (detail.deliveries.into_iter().map(|delivery| delivery.agent).collect(), changes.cursor)
    };
    let (first, cursor) = since(0).await;
    assert_eq!(first.len(), 3);
    assert_eq!(since(cursor).await, (Vec::new(), cursor), "nothing is told twice");
    assert_eq!(machines[1].report(&server, &order_id(1), State::Accepted, None).await.status(), 204);
    let (changed, later) = since(cursor).await;
    assert_eq!((changed, later > cursor), (vec![machines[1].id()], true));
    assert_eq!(since(u64::MAX).await.0.len(), 3, "a cursor of a later life of the database is none");
    let whole = server.detail(&order_id(1)).await;
    assert_eq!((whole.deliveries.len(), whole.changes), (3, None), "as older desks ask");
}

#[tokio::test]
async fn one_agent_is_told_without_the_fleet() {
    let server = Server::start().await;
    let machines = server.enrolled([1, 2, 3]).await;
    let told = async |query: &[(&str, &str)]| -> Vec<AgentId> {
        let address = reqwest::Url::parse_with_params(&format!("{}{}", server.url, path::AGENTS), query).unwrap();
        let answer = server.client.get(address).bearer_auth(&server.desk_token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let agents: Vec<AgentSummary> = answer.json().await.unwrap();
        agents.into_iter().map(|agent| agent.id).collect()
    };
    let own = machines[1].id();
    for text in [own.as_str(), &own.as_str()[..12], &own.as_str().to_uppercase()] {
        assert_eq!(told(&[("named", text)]).await, std::slice::from_ref(&own), "{text}");
    }
    assert_eq!(told(&[("named", "vm<b>1</b>")]).await.len(), 3, "all of them call themselves so");
    assert!(told(&[("named", "vm")]).await.is_empty() && told(&[("named", "f".repeat(70).as_str())]).await.is_empty());
    let labels = [("site".to_owned(), "oslo".to_owned()), ("role".to_owned(), "edge\"'".to_owned())].into();
    assert!(server.app.store.set_labels(&own, &labels, server.app.clock.now()).await.unwrap());
    assert_eq!(told(&[("labels", r#"{"site":"oslo"}"#)]).await.len(), 3);
    assert_eq!(told(&[("labels", r#"{"site":"oslo","role":"edge\"'"}"#)]).await, [own]);
    assert!(told(&[("labels", r#"{"site":"bergen"}"#)]).await.is_empty());
    let unreadable = server.get("/v1/agents?labels=oslo").bearer_auth(&server.desk_token).send().await.unwrap();
    assert_eq!(unreadable.status(), 400);
}
