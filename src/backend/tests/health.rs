use super::organisation::Machine;
use super::pages::{Browser, form_token};
use super::server::{Options, Server, problem};
use crate::health::look;
use crate::limits::Limits;
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::api::fleet::CheckedIn;
use netsonde_contract::api::have::{Have, Wanted};
use netsonde_contract::api::health::{CheckState, HealthHeard, HealthReport, MAX_CHANGES, NumberedChange};
use netsonde_contract::api::{CaseDetail, CaseSummary, Imported, ProblemCode, path};
use netsonde_contract::bundle::{MEDIA_TYPE, Packed, Scheduled, ScheduledFor};
use netsonde_contract::history::{Change, Changed, CheckHistory, Health, History, SCHEMA, Sample, Series, Verdict};
use netsonde_contract::id::{BundleId, OrderId};
use netsonde_contract::kind::Kind;
use netsonde_contract::receipt::Receipt;
use reqwest::{Method, Response};
use std::time::Duration;

pub(super) const TARGET: &str = "https://shop.example/";

pub(super) fn series(check: &str) -> Series {
    Series { schedule: "shop".into(), check: check.into(), kind: Kind::Tcp, target: Some(TARGET.into()), required: true }
}

pub(super) fn change(number: u64, at: Timestamp, from: Health, to: Health) -> NumberedChange {
    let sentence = format!("connect to {TARGET} is {}: refused in 3 of 3", to.name());
    let change = Change {
        at,
        began: at - SignedDuration::from_mins(2),
        series: series("connect"),
        what: Changed::Health { from, to },
        sentence,
        silenced: false,
    };
    NumberedChange { number, change, bundle: None }
}

impl Machine {
    pub(super) async fn tell(&self, server: &Server, health: Health, changes: Vec<NumberedChange>) -> Response {
        let now = server.app.clock.now();
        let state = CheckState { series: series("connect"), health, since: now, measured: Some(now), silenced: false };
        let report = HealthReport { at: now, next_within_seconds: 60, checks: vec![state], partial: Some(Vec::new()), changes };
        self.request(server, Method::POST, path::OWN_HEALTH, &report).send().await.unwrap()
    }

    /// Tells that it changed just now.
    pub(super) async fn turn(&self, server: &Server, number: u64, from: Health, to: Health) {
        let told = vec![change(number, server.app.clock.now(), from, to)];
        let heard = self.tell(server, to, told).await;
        assert_eq!(heard.status(), 200);
        assert_eq!(heard.json::<HealthHeard>().await.unwrap().heard, number);
    }

    async fn scheduled(&self, server: &Server, why: ScheduledFor) -> Packed {
        let scheduled = Scheduled { schedule: "shop".into(), why, target: Some(TARGET.into()) };
        self.packed(server, |predicate| predicate.scheduled = Some(scheduled)).await
    }
}

impl Server {
    pub(super) async fn cases(&self) -> Vec<CaseSummary> {
        self.get(path::CASES).bearer_auth(&self.desk_token).send().await.unwrap().json().await.unwrap()
    }

    /// Those that were opened by themselves.
    pub(super) async fn watched(&self) -> Vec<CaseSummary> {
        self.cases().await.into_iter().filter(|case| case.watched.is_some()).collect()
    }

    async fn bring(&self, bundle: &Packed, case: &str) -> Response {
        let post = self.post(&format!("{}{case}", path::BUNDLES)).bearer_auth(&self.desk_token);
        post.header("content-type", MEDIA_TYPE).body(bundle.bytes.clone()).send().await.unwrap()
    }
}

#[tokio::test]
async fn a_change_that_is_told_twice_is_kept_once_and_a_report_beyond_its_bounds_is_refused() {
    let server = Server::start().await;
    let [machine, stranger] = server.enrolled([1, 2]).await;
    machine.turn(&server, 1, Health::Ok, Health::Failing).await;
    machine.turn(&server, 1, Health::Ok, Health::Failing).await;
    let cases = server.watched().await;
    assert_eq!(cases.len(), 1);
    let watched = cases[0].watched.clone().unwrap();
    assert_eq!((watched.state.as_str(), watched.failures, watched.target.as_deref()), ("failing", 1, Some(TARGET)));
    let now = server.app.clock.now();
    let many = (1..=MAX_CHANGES as u64 + 1).map(|number| change(number, now, Health::Ok, Health::Degraded)).collect();
    let backwards = vec![change(3, now, Health::Ok, Health::Degraded), change(2, now, Health::Ok, Health::Degraded)];
    for changes in [many, backwards] {
        let refused = problem(stranger.tell(&server, Health::Ok, changes).await).await;
        assert_eq!(refused.known_code(), Some(ProblemCode::MalformedRequest));
    }
    let unsigned = server.post(path::OWN_HEALTH).json(&serde_json::json!({})).send().await.unwrap();
    assert_eq!(problem(unsigned).await.known_code(), Some(ProblemCode::AgentUnknown));
    assert_eq!(server.app.store.heard(None, 9).await.unwrap().len(), 1, "nothing of what was refused");
}

#[tokio::test]
async fn an_agent_that_falls_silent_is_noticed_by_the_server_itself() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    assert_eq!(machine.tell(&server, Health::Ok, Vec::new()).await.status(), 200);
    server.advance(Duration::from_secs(119));
    assert_eq!(look(&server.app).await.ok(), Some(0));
    server.advance(Duration::from_secs(1));
    assert_eq!(look(&server.app).await.ok(), Some(1));
    assert_eq!(look(&server.app).await.ok(), Some(0));
    assert_eq!(machine.tell(&server, Health::Ok, Vec::new()).await.status(), 200);
    let server = server.restart().await;
    server.advance(Duration::from_secs(100_000));
    let server = server.restart().await;
    assert_eq!(look(&server.app).await.ok(), Some(0), "nobody could have been heard meanwhile");
    server.advance(Duration::from_secs(120));
    assert_eq!(look(&server.app).await.ok(), Some(1));
}

#[tokio::test]
async fn a_scheduled_bundle_goes_to_the_case_of_its_change_whichever_comes_first() {
    let server = Server::start().await;
    let [machine, other] = server.enrolled([1, 2]).await;
    let deep = machine.scheduled(&server, ScheduledFor::Failing).await;
    let stored = machine.upload(&server, &deep).await;
    assert_eq!(stored.status(), 200);
    let receipt = Receipt::verify(&stored.bytes().await.unwrap(), &server.app.receipt_key.verifying_key()).unwrap();
    let cases = server.watched().await;
    assert_eq!((cases.len(), cases[0].watched.as_ref().unwrap().state.as_str()), (1, "collecting"));
    assert_eq!(receipt.case.as_ref(), Some(&cases[0].id));
    machine.turn(&server, 1, Health::Ok, Health::Failing).await;
    let cases = server.watched().await;
    assert_eq!((cases.len(), cases[0].watched.as_ref().unwrap().state.as_str()), (1, "failing"));
    assert_eq!(cases[0].bundles, 1);
    let detail = server.get(&path::case(&cases[0].id)).bearer_auth(&server.desk_token).send().await.unwrap();
    assert!(detail.json::<CaseDetail>().await.unwrap().bundles[0].known);
    let stolen = other.packed(&server, |predicate| predicate.scheduled = None).await;
    let refused = problem(other.upload(&server, &stolen).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::UnknownKey), "neither ticket nor order nor schedule");
    let mut verified = crate::command::verify_store(
        &*server.app.store,
        &server.app.blobs,
        &server.app.staging,
        &server.app.receipt_key.verifying_key(),
    )
    .await
    .unwrap();
    assert_eq!((verified.bundles, verified.faults.pop()), (1, None));
}

#[tokio::test]
async fn an_agent_has_a_days_worth_of_scheduled_bundles_and_orders_besides() {
    let limits = Limits { scheduled_bundles: 1, ..Limits::default() };
    let server = Server::with(Options { limits, ..Options::default() }).await;
    let [machine] = server.enrolled([1]).await;
    let first = machine.scheduled(&server, ScheduledFor::Slot).await;
    assert_eq!(machine.upload(&server, &first).await.status(), 200);
    assert_eq!(machine.begin(&server, &first).await.status(), 200, "the receipt was lost");
    server.advance(Duration::from_secs(60));
    let second = machine.packed(&server, |predicate| {
        predicate.scheduled = Some(Scheduled { schedule: "shop".into(), why: ScheduledFor::Slot, target: None });
        predicate.sequence = 2;
    });
    let second = second.await;
    let refused = machine.upload(&server, &second).await;
    assert_eq!(refused.headers()["retry-after"], "3600");
    let refused = problem(refused).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::RateLimited));
    assert!(refused.next_step.unwrap().contains("less often"));
    server.submit(&server.order(1, &[&machine])).await;
    let ordered = machine.packed(&server, |predicate| predicate.order = Some(OrderId::from_bytes([1; 16]))).await;
    assert_eq!(machine.upload(&server, &ordered).await.status(), 200);
    server.advance(Duration::from_secs(24 * 3600));
    assert_eq!(machine.begin(&server, &second).await.status(), 201, "a day later");
    assert_eq!(server.files().0, 2);
}

#[tokio::test]
async fn a_backend_asks_for_the_bundles_that_it_lost_and_only_for_those() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    let kept = machine.scheduled(&server, ScheduledFor::Slot).await;
    assert_eq!(machine.upload(&server, &kept).await.status(), 200);
    let lost = BundleId::new("ab".repeat(32));
    let ask = async |bundles: Vec<BundleId>| {
        machine.request(&server, Method::POST, path::HAVE, &Have { bundles }).send().await.unwrap()
    };
    let wanted: Wanted = ask(vec![lost.clone(), kept.id.clone()]).await.json().await.unwrap();
    assert_eq!(wanted.bundles, [lost]);
    let refused = problem(ask(vec![BundleId::new("../x")]).await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::MalformedRequest));
    // As after a restore of a backup from before the upload.
    server.change_rows("DELETE FROM bundles").await;
    let wanted: Wanted = ask(vec![kept.id.clone()]).await.json().await.unwrap();
    assert_eq!(wanted.bundles, std::slice::from_ref(&kept.id));
    let server = server.restart().await;
    assert_eq!(machine.begin(&server, &kept).await.status(), 201, "it is taken once more");
}

#[tokio::test]
async fn an_engineer_brings_the_file_of_a_machine_that_has_no_way_here() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    let nobody = Machine::new(9).packed(&server, |_| {}).await;
    let refused = problem(server.bring(&nobody, "").await).await;
    assert_eq!(refused.known_code(), Some(ProblemCode::InvalidParameter));
    assert!(refused.next_step.unwrap().contains("--case"));
    let brought = server.bring(&nobody, "?case=4720").await;
    assert_eq!(brought.status(), 201);
    let brought: Imported = brought.json().await.unwrap();
    assert_eq!((brought.case.as_str(), &brought.bundle), ("4720", &nobody.id));
    assert_eq!(server.bring(&nobody, "?case=4721").await.json::<Imported>().await.unwrap(), brought, "it is here already");
    let detail = server.get("/v1/cases/4720").bearer_auth(&server.desk_token).send().await.unwrap();
    assert!(!detail.json::<CaseDetail>().await.unwrap().bundles[0].known, "nobody knows whose key it is");
    let offline = machine.scheduled(&server, ScheduledFor::Slot).await;
    let brought: Imported = server.bring(&offline, "").await.json().await.unwrap();
    assert_eq!(brought.case, server.watched().await[0].id, "its schedule says where it belongs");
    let unsigned = server.post(path::BUNDLES).header("content-type", MEDIA_TYPE).body(nobody.bytes.clone()).send().await.unwrap();
    assert_eq!(problem(unsigned).await.known_code(), Some(ProblemCode::Unauthorized));
    let altered = Packed { bytes: nobody.bytes[..nobody.bytes.len() - 9].to_vec(), ..nobody };
    assert_eq!(problem(server.bring(&altered, "?case=4720").await).await.known_code(), Some(ProblemCode::BundleRefused));
}

/// Ten minutes of one check, of which the last two failed.
fn history(end: Timestamp) -> History {
    let sample = |minute: i64| {
        let verdict = if minute < 8 { Verdict::Good } else { Verdict::Bad };
        Sample {
            at: end - SignedDuration::from_mins(10 - minute),
            verdict,
            took_us: 9_000,
            rtt_us: (verdict == Verdict::Good).then_some(4_000 + 100 * minute.unsigned_abs()),
            failure: (verdict == Verdict::Bad).then(|| "refused".to_owned()),
            phases: [].into(),
            path: None,
            chain: None,
            expires: None,
        }
    };
    let checks = vec![CheckHistory { series: series("connect"), samples: (0..10).map(sample).collect() }];
    History { schema: SCHEMA.into(), checks, changes: Vec::new() }
}

#[tokio::test]
async fn the_page_of_an_automatic_case_shows_what_happened_when_and_an_engineer_closes_it() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    machine.turn(&server, 1, Health::Ok, Health::Failing).await;
    let scheduled = Scheduled { schedule: "shop".into(), why: ScheduledFor::Failing, target: Some(TARGET.into()) };
    let past = history(server.app.clock.now());
    let deep = machine.packed_with(&server, Some(&past), |predicate| predicate.scheduled = Some(scheduled)).await;
    assert_eq!(machine.upload(&server, &deep).await.status(), 200);
    server.advance(Duration::from_secs(60));
    machine.turn(&server, 2, Health::Failing, Health::Ok).await;
    let mut browser = Browser::new(&server);
    assert_eq!(browser.get("/health").await.status(), 303, "it needs a session");
    browser.sign_in(&server.password).await;
    let cases = browser.page("/cases").await;
    assert!(cases.contains("automatic") && cases.contains("recovered") && cases.contains(TARGET), "{cases}");
    let case = server.watched().await[0].id.clone();
    let page = browser.page(&path::case_page(&case)).await;
    for words in [
        "Time line",
        "connect: connect to https://shop.example/ is failing: refused in 3 of 3",
        "aria-label=\"connect: ok from",
        "failing from 2023-11-14 22:13:20 UTC until 2023-11-14 22:14:20 UTC",
        "What its schedule measured before",
        "10 measurements from",
        "2 failed, the first at 2023-11-14 22:11:20 UTC, with refused",
        "<polyline",
        ">known<",
    ] {
        assert!(page.contains(words), "{words} in {page}");
    }
    assert!(
        !page.contains("<script") && !page.contains("style="),
        "it works without scripts, and its policy allows no style of its own"
    );
    let close = format!("/cases/{case}/close");
    assert_eq!(browser.post(&close, &[("form_token", "forged")]).await.status(), 403);
    assert_eq!(browser.post(&close, &[("form_token", &form_token(&page))]).await.status(), 303);
    let page = browser.page(&path::case_page(&case)).await;
    assert!(page.contains(">closed<") && !page.contains("Close the case"));
    assert_eq!(browser.post("/cases/4711/close", &[("form_token", &form_token(&page))]).await.status(), 404);
}

#[tokio::test]
async fn the_fleets_page_has_the_worst_first_and_never_calls_silence_well() {
    let server = Server::start().await;
    let [well, failing, _never] = server.enrolled([1, 2, 3]).await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&server.password).await;
    well.turn(&server, 1, Health::Unknown, Health::Ok).await;
    failing.turn(&server, 1, Health::Ok, Health::Failing).await;
    let page = browser.page("/health").await;
    for count in ["1 failing", "1 unknown", "0 degraded", "1 ok"] {
        assert!(page.contains(&format!(">{count}<")), "{count} in {page}");
    }
    assert!(
        page.contains("It has told nothing of its checks yet.")
            && page.contains("/cases/auto-")
            && page.contains("nobody is told")
    );
    let place = |agent: &Machine| page.find(&format!("/agents/{}", agent.id())).unwrap();
    assert!(place(&failing) < place(&well));
    assert!(browser.page("/health?labels=site%3Drome").await.contains("Nothing fits."));
    let only = browser.page("/health?labels=site%3Doslo&state=ok").await;
    assert!(only.contains(well.id().as_str()) && !only.contains(failing.id().as_str()));
    server.advance(Duration::from_secs(120));
    let page = browser.page("/health").await;
    assert!(page.contains(">3 unknown<") && page.contains(">0 ok<") && page.contains("The agent is silent."), "{page}");
    let case = browser.page(&path::case_page(&server.watched().await[0].id)).await;
    assert!(case.contains("The agent is silent since"));
}

#[tokio::test]
async fn the_states_of_a_cloned_agent_are_shown_as_of_either_machine_and_unknown_until_one_is_left() {
    let server = Server::start().await;
    let [mut machine] = server.enrolled([1]).await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&server.password).await;
    machine.turn(&server, 1, Health::Unknown, Health::Failing).await;
    machine.turn(&server, 2, Health::Failing, Health::Ok).await;
    let copy = machine.clone();
    for _ in 0..2 {
        let answer = machine.request(&server, Method::POST, path::OWN_AGENT, &machine.check_in()).send().await.unwrap();
        machine.link = Some(answer.json::<CheckedIn>().await.unwrap().link);
    }
    let case_page = path::case_page(&server.watched().await[0].id);
    let agent_page = format!("/agents/{}", machine.id());
    let is_well = |page: &str| page.contains("recovered</span>") && page.contains("good\">ok</span></figcaption>");
    assert!(is_well(&browser.page(&case_page).await) && !browser.page(&agent_page).await.contains("Two machines"));

    server.advance(Duration::from_secs(30));
    let refused = copy.request(&server, Method::POST, path::OWN_AGENT, &copy.check_in()).send().await.unwrap();
    assert_eq!(problem(refused).await.known_code(), Some(ProblemCode::IdentityTwice));
    let case = browser.page(&case_page).await;
    assert!(!is_well(&case) && case.contains("unknown\">unknown</span></figcaption>"), "{case}");
    for page in [case, browser.page(&agent_page).await] {
        let step = format!("netsonde-desk agents single {}", machine.id().short());
        assert!(page.contains("Two machines report under this agent's identity"));
        assert!(
            page.contains("may be of either") && page.contains("netsonde identity forget --copy") && page.contains(&step),
            "{page}"
        );
    }

    let single = path::agent_single(&machine.id());
    assert_eq!(server.post(&single).bearer_auth(&server.desk_token).send().await.unwrap().status(), 204);
    assert!(is_well(&browser.page(&case_page).await) && !browser.page(&agent_page).await.contains("Two machines"));
}

/// Set for a browser's test: the file that is to say where the fleet is served.
const FOR_BROWSER: &str = "NETSONDE_TEST_BROWSER";

/// Not a test by itself: what `tests/browser/health_page.mjs` looks at, until it is killed.
#[tokio::test]
async fn a_fleet_for_a_browser() {
    let Some(details) = std::env::var_os(FOR_BROWSER) else { return };
    let server = Server::start().await;
    let [shop, office, gone, _never] = server.enrolled([1, 2, 3, 4]).await;
    assert_eq!(gone.tell(&server, Health::Ok, Vec::new()).await.status(), 200);
    server.advance(Duration::from_secs(119));
    office.turn(&server, 1, Health::Unknown, Health::Ok).await;
    let mut state = Health::Ok;
    for (number, next) in (1..).zip([Health::Degraded, Health::Failing, Health::Ok, Health::Failing]) {
        server.advance(Duration::from_secs(50));
        shop.turn(&server, number, state, next).await;
        assert_eq!(office.tell(&server, Health::Ok, Vec::new()).await.status(), 200);
        state = next;
    }
    let scheduled = Scheduled { schedule: "shop".into(), why: ScheduledFor::Failing, target: Some(TARGET.into()) };
    let past = history(server.app.clock.now());
    let deep = shop.packed_with(&server, Some(&past), |predicate| predicate.scheduled = Some(scheduled)).await;
    assert_eq!(shop.upload(&server, &deep).await.status(), 200);
    let _ = look(&server.app).await;
    server.advance(Duration::from_secs(45));
    let case = server.watched().await.remove(0).id;
    let said = serde_json::json!({ "url": server.url, "password": server.password, "case": case, "target": TARGET });
    std::fs::write(details, said.to_string()).unwrap();
    std::future::pending::<()>().await;
}
