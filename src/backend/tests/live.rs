use super::orders::{order_id, outcome};
use super::pages::{Browser, form_token};
use super::server::{Options, Server};
use crate::limits::Limits;
use netsonde_contract::api::fleet::{DeliveryState as State, Progress};
use netsonde_contract::api::path;
use reqwest::{Method, Response};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

/// Events as they come.
struct Events {
    answer: Response,
    left: String,
}

impl Events {
    async fn of(browser: &mut Browser<'_>, page: &str) -> Self {
        let from = page.split("<div id=\"live\" data-from=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
        let answer = browser.get(&from).await;
        assert_eq!(answer.status(), 200, "{from}");
        for (header, expected) in
            [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
        {
            assert_eq!(answer.headers()[header], expected, "{header}");
        }
        Self { answer, left: String::new() }
    }

    /// The next one's name and content; none where the server ended the answer.
    async fn next(&mut self) -> Option<(String, String)> {
        let reading = async {
            loop {
                if let Some((event, left)) = self.left.split_once("\n\n") {
                    let field =
                        |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned());
                    let read = field("event:").map(|name| (name, field("data:").unwrap_or_default()));
                    self.left = left.to_owned();
                    match read {
                        // What only shows that the connection is alive.
                        None => continue,
                        Some((name, data)) if name == "part" => return Some((name, serde_json::from_str(&data).unwrap())),
                        other => return other,
                    }
                }
                let more = self.answer.chunk().await.ok()??;
                self.left.push_str(std::str::from_utf8(&more).unwrap());
            }
        };
        tokio::time::timeout(SOON, reading).await.expect("nothing came in time")
    }

    /// The first part that has `text`.
    async fn until(&mut self, text: &str) {
        let reading = async {
            while let Some((name, part)) = self.next().await {
                assert_eq!(name, "part", "before {text}");
                if part.contains(text) {
                    return;
                }
            }
            panic!("it ended before {text}");
        };
        tokio::time::timeout(SOON, reading).await.unwrap_or_else(|_| panic!("{text} did not come in time"));
    }
}

/// Signed in, with an order under way.
async fn followed(server: &Server) -> (super::organisation::Machine, Browser<'_>) {
    let [machine] = server.enrolled([1]).await;
    let mut browser = Browser::new(server);
    browser.sign_in(&server.password).await;
    assert_eq!(server.submit(&server.order(1, &[&machine])).await.status(), 201);
    (machine, browser)
}

#[tokio::test]
async fn what_an_agent_reports_is_on_the_pages_at_once_until_its_order_is_over() {
    // It never looks by itself: what comes was reported.
    let limits = Limits { look: Duration::from_secs(3600), ..Limits::default() };
    let server = Server::with(Options { limits, ..Options::default() }).await;
    let (machine, mut browser) = followed(&server).await;
    let addresses =
        [format!("/orders/{}", order_id(1)), format!("/orders/{}?state=queued&page=1", order_id(1)), "/cases/4711".to_owned()];
    let mut following = Vec::new();
    for address in &addresses {
        let answer = browser.get(address).await;
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; connect-src 'self';"), "{policy}");
        let page = answer.text().await.unwrap();
        assert!(
            page.contains("<noscript><meta http-equiv=\"refresh\" content=\"3\"></noscript>")
                && page.contains("<script src=\"/live.js?v=")
        );
        let mut events = Events::of(&mut browser, &page).await;
        events.until("waiting for the agent").await;
        following.push(events);
    }
    let progress = Progress { sequence: 1, checks_planned: 5, checks_done: 2, outcomes: vec![outcome()] };
    machine.request(&server, Method::POST, &path::work_progress(&order_id(1)), &progress).send().await.unwrap();
    for events in &mut following {
        events.until("2 of 5").await;
    }
    machine.report(&server, &order_id(1), State::Refused, Some("orders_off")).await;
    for (mut events, address) in following.into_iter().zip(&addresses) {
        assert_eq!(events.next().await, Some(("over".to_owned(), "over".to_owned())), "{address}");
        assert_eq!(events.next().await, None);
        let answer = browser.get(address).await;
        assert!(answer.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'; style-src"));
        let page = answer.text().await.unwrap();
        assert!(!page.contains("id=\"live\"") && !page.contains("<script"), "nothing changes any more");
    }
}

#[tokio::test]
async fn whoever_signs_out_is_sent_nothing_more() {
    let server = Server::start().await;
    let (machine, mut browser) = followed(&server).await;
    let address = format!("/orders/{}", order_id(1));
    let page = browser.page(&address).await;
    let mut events = Events::of(&mut browser, &page).await;
    assert_eq!(events.next().await.unwrap().0, "part");
    let token = form_token(&page);
    browser.post("/sign-out", &[("form_token", &token)]).await;
    machine.report(&server, &order_id(1), State::Running, None).await;
    assert_eq!(events.next().await, Some(("over".to_owned(), "over".to_owned())));
    assert_eq!(events.next().await, None);
    let sent = browser.get(&format!("{address}/live?state=")).await;
    assert_eq!(sent.status(), 303, "nobody is signed in");
}

#[tokio::test]
async fn one_page_too_many_is_refused_and_a_stop_ends_those_that_are_followed() {
    let server = Server::with(Options { limits: Limits { viewers: 1, ..Limits::default() }, ..Options::default() }).await;
    let (_, mut browser) = followed(&server).await;
    let page = browser.page(&format!("/orders/{}", order_id(1))).await;
    let mut first = Events::of(&mut browser, &page).await;
    assert_eq!(first.next().await.unwrap().0, "part");
    let live = format!("/orders/{}/live?state=", order_id(1));
    assert_eq!(browser.get(&live).await.status(), 503);
    drop(first);
    let again = async {
        loop {
            let answer = browser.get(&live).await;
            if answer.status() == 200 {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = tokio::time::timeout(SOON, again).await.expect("who is gone leaves the place");
    let mut events = Events { answer, left: String::new() };
    assert_eq!(events.next().await.unwrap().0, "part");
    drop(browser);
    let (stopped, ended) = tokio::join!(tokio::time::timeout(Duration::from_secs(2), server.stop()), events.next());
    assert!(stopped.is_ok() && ended.is_none(), "a page holds up no stop");
}
