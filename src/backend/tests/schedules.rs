use super::organisation::{ENGINEER, Machine, signed};
use super::pages::{Browser, form_token};
use super::server::Server;
use jiff::SignedDuration;
use netsonde_contract::api::fleet::{DeliveryState as State, SubmitOrder};
use netsonde_contract::api::health::{CheckState, HealthReport};
use netsonde_contract::api::path;
use netsonde_contract::bundle::{Scheduled, ScheduledFor};
use netsonde_contract::dsse::Envelope;
use netsonde_contract::history::{Health, Series};
use netsonde_contract::id::OrderId;
use netsonde_contract::kind::Kind;
use netsonde_contract::order::{Order, Repeat, schedule_name};
use netsonde_contract::set::find_built_in;
use reqwest::Method;
use std::time::Duration;

const TARGET: &str = "https://shop.example/";

fn id() -> OrderId {
    OrderId::from_bytes([7; 16])
}

impl Server {
    /// A signed schedule of the set `web` with the deep set `tls` for these machines.
    fn schedule(&self, machines: &[&Machine]) -> SubmitOrder {
        let once = self.order(7, machines);
        let envelope = Envelope::from_json(once.envelope.as_bytes()).unwrap();
        let order = Order {
            repeat: Some(Repeat { every_seconds: 300, life_seconds: 7 * 86_400 }),
            deep: Some(find_built_in("tls").unwrap().text.to_owned()),
            ..Order::unverified(&envelope).unwrap()
        };
        SubmitOrder { envelope: signed(order.envelope(), &[ENGINEER]), ..once }
    }
}

impl Machine {
    async fn tell_schedule(&self, server: &Server, health: Health) {
        let now = server.app.clock.now();
        let series = Series {
            schedule: schedule_name(&id()),
            check: "connect".into(),
            kind: Kind::Tcp,
            target: Some(TARGET.into()),
            required: true,
        };
        let measured = Some(now - SignedDuration::from_secs(5));
        let state = CheckState { series, health, since: now, measured, silenced: false };
        let report = HealthReport { at: now, next_within_seconds: 60, checks: vec![state], partial: None, changes: Vec::new() };
        assert_eq!(self.request(server, Method::POST, path::OWN_HEALTH, &report).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_signed_schedule_says_who_keeps_it_until_when_how_it_is_and_how_it_ends() {
    let server = Server::start().await;
    let [keeps, refuses] = server.enrolled([1, 2]).await;
    let mut browser = Browser::new(&server);
    assert_eq!(browser.get("/schedules").await.status(), 303, "it needs a session");
    browser.sign_in(&server.password).await;
    let empty = browser.page("/schedules").await;
    assert!(empty.contains("No signed schedule") && empty.contains("--every 5m --for 7d"));
    for page in ["/agents", "/health", "/orders"] {
        assert!(browser.page(page).await.contains("href=\"/schedules\""), "{page} leads there");
    }

    let submitted = server.submit(&server.schedule(&[&keeps, &refuses])).await;
    assert_eq!(submitted.status(), 201, "{}", submitted.text().await.unwrap());
    assert_eq!(server.submit(&server.order(8, &[&keeps])).await.status(), 201, "an order that is no schedule");
    let waiting = browser.page("/schedules").await;
    assert!(waiting.contains("to be taken before") && waiting.contains("waiting for the agent"));
    keeps.report(&server, &id(), State::Running, Some("repeated")).await;
    refuses.report(&server, &id(), State::Refused, Some("schedule_not_allowed")).await;
    let taken = server.app.clock.now();
    let silent = browser.page("/schedules").await;
    assert!(silent.contains("Nothing was told of it yet") && silent.contains("none told") && !silent.contains("badge good\">ok"));
    keeps.tell_schedule(&server, Health::Failing).await;
    let page = browser.page("/schedules").await;
    let until = (taken + SignedDuration::from_hours(7 * 24)).strftime("%Y-%m-%d").to_string();
    let last = (server.app.clock.now() - SignedDuration::from_secs(5)).strftime("%H:%M:%S UTC").to_string();
    let stop = format!("netsonde-desk orders cancel {}", id());
    for expected in [
        "order-07070707",
        "every 5m for 168h",
        "tls",
        "key 210",
        "Asha",
        "/cases/4711",
        "badge bad\">failing",
        "connect of https://shop.example/",
        "because of schedule_not_allowed",
        &until,
        &last,
        &stop,
        "netsonde orders stop 07070707",
    ] {
        assert!(page.contains(expected), "{expected} in {page}");
    }
    assert_eq!(page.matches("To end it").count(), 1, "the order that runs once is not here");
    assert!(!page.contains("<script") && !page.contains("<b>1</b>"), "no script, and what a machine calls itself is text");
    assert!(browser.page(&format!("/agents/{}", keeps.id())).await.contains(&format!("/schedules?agent={}", keeps.id())));
    let own = browser.page(&format!("/schedules?agent={}", refuses.id())).await;
    assert!(own.contains("because of schedule_not_allowed") && !own.contains("connect of"), "its own line alone");
    assert_eq!(browser.get("/schedules?agent=nobody").await.status(), 404);

    server.advance(Duration::from_secs(120));
    let silent = browser.page("/schedules").await;
    assert!(silent.contains("The agent is silent.") && silent.contains("badge unknown\">unknown"), "{silent}");
    let token = form_token(&silent);
    let ended = browser.post(&format!("/orders/{}/cancel", id()), &[("form_token", &token)]).await;
    assert_eq!(ended.status(), 303);
    let over = browser.page("/schedules").await;
    assert!(over.contains("cancelled") && !over.contains("To end it"), "{over}");
}

#[tokio::test]
async fn a_bundle_of_the_deep_set_is_the_schedules_and_one_of_any_other_set_is_not() {
    let server = Server::start().await;
    let [machine] = server.enrolled([1]).await;
    assert_eq!(server.submit(&server.schedule(&[&machine])).await.status(), 201);
    machine.report(&server, &id(), State::Running, Some("repeated")).await;
    let why = Scheduled { schedule: schedule_name(&id()), why: ScheduledFor::Failing, target: Some(TARGET.into()) };
    let of = async |set: &'static str, scheduled: Option<Scheduled>| {
        let reference = find_built_in(set).unwrap().parse().unwrap().reference();
        let bundle = machine
            .packed(&server, |predicate| {
                (predicate.set, predicate.order, predicate.scheduled) = (reference, Some(id()), scheduled);
            })
            .await;
        machine.upload(&server, &bundle).await.status()
    };
    assert_eq!(of("dns", Some(why.clone())).await, 409);
    assert_eq!(of("tls", None).await, 409, "the deep set is the schedule's alone");
    assert_eq!(of("tls", Some(why)).await, 200);
    let cases = server.cases().await;
    assert_eq!((cases.len(), cases[0].id.as_str(), cases[0].bundles), (1, "4711", 1));
}
