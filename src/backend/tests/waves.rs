use super::organisation::{ENGINEER, Machine, signed};
use super::pages::{Browser, form_token};
use super::server::{Server, problem};
use netsonde_contract::api::fleet::{DeliveryState as State, SubmitOrder};
use netsonde_contract::api::{ProblemCode, path};
use netsonde_contract::dsse::Envelope;
use netsonde_contract::id::OrderId;
use netsonde_contract::order::{Order, SERVING, Serve};
use std::time::Duration;

fn id() -> OrderId {
    OrderId::from_bytes([1; 16])
}

/// Those who have the order now.
async fn have(server: &Server, machines: &[Machine]) -> Vec<usize> {
    let mut found = Vec::new();
    for (place, machine) in machines.iter().enumerate() {
        if machine.work(server, 0, 0).await.orders.iter().any(|item| item.id == id()) {
            found.push(place);
        }
    }
    found
}

async fn end(server: &Server, machine: &Machine, well: bool) {
    if well {
        let bundle = machine.bundle(server, Some(&id())).await;
        assert_eq!(machine.upload(server, &bundle).await.status(), 200);
    } else {
        assert_eq!(machine.report(server, &id(), State::Failed, Some("run_failed")).await.status(), 204);
    }
}

#[tokio::test]
async fn one_then_ten_then_the_rest_which_waits_for_a_look_where_too_many_failed() {
    let server = Server::start().await;
    let machines = server.enrolled([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]).await;
    let all: Vec<&Machine> = machines.iter().collect();
    let order = SubmitOrder { waves: vec![1, 10], stop_at_failed_percent: Some(20), ..server.order(1, &all) };
    assert_eq!(server.submit(&order).await.status(), 201);
    let resume = async || server.post(&path::order_resume(&id())).bearer_auth(&server.desk_token).send().await.unwrap();
    let first = have(&server, &machines).await;
    assert_eq!(first.len(), 1);
    assert_eq!(problem(resume().await).await.known_code(), Some(ProblemCode::OrderNotStopped));
    end(&server, &machines[first[0]], true).await;
    let second = have(&server, &machines).await;
    assert_eq!(second.len(), 10);
    for (place, machine) in second.iter().enumerate() {
        assert!(!server.detail(&id()).await.order.stopped);
        end(&server, &machines[*machine], place >= 3).await;
    }
    assert!(server.detail(&id()).await.order.stopped, "three of ten failed");
    assert!(have(&server, &machines).await.is_empty());
    assert_eq!(resume().await.status(), 204);
    assert!(!server.detail(&id()).await.order.stopped);
    assert_eq!(have(&server, &machines).await.len(), 3, "the rest");
    assert_eq!(problem(resume().await).await.known_code(), Some(ProblemCode::OrderNotStopped));
    let log = server.get(path::AUDIT).bearer_auth(&server.desk_token).send().await.unwrap().text().await.unwrap();
    assert!(log.contains("order.stopped") && log.contains("order.resumed"), "{log}");
}

/// An order for three machines, which stopped once the first two had ended: one well and the other one not.
async fn stopped(server: &Server) -> [Machine; 3] {
    let machines = server.enrolled([1, 2, 3]).await;
    let all: Vec<&Machine> = machines.iter().collect();
    let order = SubmitOrder { waves: vec![2], stop_at_failed_percent: Some(20), ..server.order(1, &all) };
    assert_eq!(server.submit(&order).await.status(), 201);
    let first = have(server, &machines).await;
    end(server, &machines[first[0]], true).await;
    end(server, &machines[first[1]], false).await;
    assert!(server.detail(&id()).await.order.stopped);
    machines
}

#[tokio::test]
async fn an_engineer_sees_on_the_page_what_failed_and_lets_the_rest_go_on() {
    let server = Server::start().await;
    let machines = stopped(&server).await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&server.password).await;
    let (own, resume) = (format!("/orders/{}", id()), format!("/orders/{}/resume", id()));
    let page = browser.page(&own).await;
    let place = |badge: &str| page.find(&format!("\">{badge}</span>")).unwrap();
    assert!(place("failed") < place("waiting for the agent") && place("waiting for the agent") < place("done"), "{page}");
    assert!(page.contains("1 to 3 of 3") && page.contains(&format!("{own}?state=failed")), "{page}");
    assert!(page.contains(&format!("action=\"{resume}\"")) && page.contains("waits for an engineer"), "{page}");
    let failed = browser.page(&format!("{own}?state=failed")).await;
    assert!(failed.contains("1 to 1 of 1") && !failed.contains("\">done</span>"), "{failed}");
    assert_eq!(browser.get(&format!("{own}?state=lost")).await.status(), 404);

    assert_eq!(browser.post(&resume, &[("form_token", "forged")]).await.status(), 403);
    assert!(server.detail(&id()).await.order.stopped, "a page of somebody else's resumes nothing");
    assert_eq!(browser.post(&resume, &[("form_token", &form_token(&page))]).await.status(), 303);
    assert!(!server.detail(&id()).await.order.stopped);
    assert_eq!(have(&server, &machines).await.len(), 1, "the rest");
    assert!(!browser.page(&own).await.contains(&resume), "once");
    let log = server.app.store.audit_after(0, 1_000).await.unwrap();
    let resumed = log.iter().find(|entry| entry.action == "order.resumed").unwrap();
    assert_eq!((resumed.actor.as_str(), resumed.subject.as_str()), ("page", id().as_str()));
}

#[tokio::test]
async fn an_order_that_is_over_is_not_resumed_and_says_why() {
    for (why, words) in [("expired", "has expired"), ("cancelled", "was cancelled")] {
        let server = Server::start().await;
        stopped(&server).await;
        if why == "expired" {
            server.advance(Duration::from_secs(2 * 3_600));
        } else {
            let cancelled = server.post(&path::order_cancel(&id())).bearer_auth(&server.desk_token).send().await.unwrap();
            assert_eq!(cancelled.status(), 204);
        }
        let refused = server.post(&path::order_resume(&id())).bearer_auth(&server.desk_token).send().await.unwrap();
        let problem = problem(refused).await;
        assert_eq!(problem.known_code(), Some(ProblemCode::OrderNotStopped), "{why}");
        assert!(problem.detail.contains(words) && problem.next_step.is_some(), "{problem:?}");
        let mut browser = Browser::new(&server);
        browser.sign_in(&server.password).await;
        assert!(!browser.page(&format!("/orders/{}", id())).await.contains("/resume"), "{why}");
    }
}

#[tokio::test]
async fn after_a_resumption_the_next_wave_is_judged_by_itself() {
    let server = Server::start().await;
    let machines = server.enrolled([1, 2, 3]).await;
    let all: Vec<&Machine> = machines.iter().collect();
    let order = SubmitOrder { waves: vec![1, 1], stop_at_failed_percent: Some(20), ..server.order(1, &all) };
    assert_eq!(server.submit(&order).await.status(), 201);
    end(&server, &machines[have(&server, &machines).await[0]], false).await;
    assert!(server.detail(&id()).await.order.stopped);
    let resume = server.post(&path::order_resume(&id())).bearer_auth(&server.desk_token).send().await.unwrap();
    assert_eq!(resume.status(), 204);
    end(&server, &machines[have(&server, &machines).await[0]], true).await;
    assert!(!server.detail(&id()).await.order.stopped, "half of all failed, and none since it went on");
    assert_eq!(have(&server, &machines).await.len(), 1);
}

/// An order in which the second machine answers the first.
fn serving(server: &Server, machines: &[&Machine]) -> SubmitOrder {
    let submitted = server.order(1, machines);
    let order = Order::unverified(&Envelope::from_json(submitted.envelope.as_bytes()).unwrap()).unwrap();
    let serve = Serve {
        agent: machines[1].id(),
        port: 862,
        peers: vec!["198.51.100.7".parse().unwrap()],
        seconds: 60,
        key: "0f".repeat(32),
    };
    SubmitOrder { envelope: signed(Order { serve: Some(serve), ..order }.envelope(), &[ENGINEER]), ..submitted }
}

#[tokio::test]
async fn who_measures_gets_the_order_once_the_other_one_answers() {
    let server = Server::start().await;
    let machines = server.enrolled([1, 2]).await;
    let order = serving(&server, &[&machines[0], &machines[1]]);
    let waves = problem(server.submit(&SubmitOrder { waves: vec![1], ..order.clone() }).await).await;
    assert_eq!(waves.known_code(), Some(ProblemCode::MalformedRequest));
    assert_eq!(server.submit(&order).await.status(), 201);
    assert_eq!(have(&server, &machines).await, [1]);
    assert_eq!(machines[1].report(&server, &id(), State::Accepted, None).await.status(), 204);
    assert!(have(&server, &machines[..1]).await.is_empty());
    assert_eq!(machines[1].report(&server, &id(), State::Running, Some(SERVING)).await.status(), 204);
    assert_eq!(have(&server, &machines[..1]).await, [0], "its turn has come while the other one runs");
}

#[tokio::test]
async fn where_nobody_answers_nobody_measures() {
    let server = Server::start().await;
    let machines = server.enrolled([1, 2]).await;
    assert_eq!(server.submit(&serving(&server, &[&machines[0], &machines[1]])).await.status(), 201);
    assert_eq!(machines[1].report(&server, &id(), State::Refused, Some("serving_not_allowed")).await.status(), 204);
    assert!(server.detail(&id()).await.order.stopped);
    assert!(have(&server, &machines).await.is_empty());
}
