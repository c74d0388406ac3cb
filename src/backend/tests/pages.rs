use super::sample::Agent;
use super::server::Server;
use netsonde_contract::ticket::Ticket;
use reqwest::Response;

/// A browser with its cookies; it follows nothing by itself.
pub(super) struct Browser<'s> {
    server: &'s Server,
    cookies: Vec<(String, String)>,
}

impl<'s> Browser<'s> {
    pub(super) fn new(server: &'s Server) -> Self {
        Self { server, cookies: Vec::new() }
    }

    fn keep(&mut self, response: &Response) {
        for cookie in response.headers().get_all("set-cookie") {
            let text = cookie.to_str().unwrap();
            assert!(text.contains("HttpOnly") && text.contains("SameSite=Strict") && text.contains("Path=/"), "{text}");
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(kept, _)| kept != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    pub(super) async fn get(&mut self, path: &str) -> Response {
        let request = self.server.get(path).header("accept", "text/html").header("cookie", self.cookie_header());
        let response = request.send().await.unwrap();
        self.keep(&response);
        response
    }

    pub(super) async fn page(&mut self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.unwrap()
    }

    pub(super) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Response {
        let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let request = self.server.post(path).header("accept", "text/html").header("cookie", self.cookie_header());
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body.join("&"));
        let response = request.send().await.unwrap();
        self.keep(&response);
        response
    }

    pub(super) async fn sign_in(&mut self, password: &str) -> Response {
        let token = form_token(&self.page("/sign-in?next=/cases/4711").await);
        let form = [("user", "engineer"), ("password", password), ("form_token", &token), ("next", "/cases/4711")];
        self.post("/sign-in", &form).await
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

pub(super) fn form_token(page: &str) -> String {
    let after = page.split("name=\"form_token\" value=\"").nth(1).unwrap();
    after.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn pages_need_a_session_and_the_right_password_gives_one() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    for path in ["/cases", "/cases/4711", "/tickets/new", "/bundles/x"] {
        let sent = browser.get(path).await;
        assert_eq!(
            (sent.status().as_u16(), sent.headers()["location"].to_str().unwrap()),
            (303, &*format!("/sign-in?next={path}"))
        );
    }
    assert_eq!(browser.sign_in("wrong").await.status(), 403);
    assert_eq!(browser.get("/cases").await.status(), 303);
    let done = browser.sign_in(&server.password.clone()).await;
    assert_eq!((done.status().as_u16(), &done.headers()["location"]), (303, &"/cases/4711".parse().unwrap()));
    let cases = browser.page("/cases").await;
    assert!(cases.contains("No case yet"));
    let out = browser.post("/sign-out", &[("form_token", &form_token(&cases))]).await;
    assert_eq!(out.status(), 303);
    assert_eq!(browser.get("/cases").await.status(), 303);
}

#[tokio::test]
async fn a_form_without_its_token_changes_nothing() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    let forged = [("user", "engineer"), ("password", &*server.password), ("form_token", "forged")];
    assert_eq!(browser.post("/sign-in", &forged).await.status(), 403);
    browser.sign_in(&server.password).await;
    let forged = [("case", "1"), ("set", "web"), ("targets", "shop.example"), ("days", "7"), ("form_token", "forged")];
    assert_eq!(browser.post("/tickets/new", &forged).await.status(), 403);
    assert_eq!(browser.post("/sign-out", &[("form_token", "")]).await.status(), 403);
    assert!(browser.page("/cases").await.contains("No case yet"));
}

#[tokio::test]
async fn guessing_the_password_is_slowed_down() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    for _ in 0..8 {
        assert_eq!(browser.sign_in("guess").await.status(), 403);
    }
    let token = form_token(&browser.page("/sign-in").await);
    let form = [("user", "engineer"), ("password", &*server.password), ("form_token", &token)];
    let right = browser.post("/sign-in", &form);
    tokio::pin!(right);
    let at_once = tokio::time::timeout(std::time::Duration::from_millis(500), &mut right).await;
    assert!(at_once.is_err(), "it takes a while");
    assert_eq!(right.await.status(), 303, "and then the right password is right");
}

#[tokio::test]
async fn a_new_sign_in_ends_the_session_before() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&server.password).await;
    let mut before = Browser { server: &server, cookies: browser.cookies.clone() };
    assert_eq!(before.get("/cases").await.status(), 200);
    browser.sign_in(&server.password).await;
    assert_eq!(browser.get("/cases").await.status(), 200);
    assert_eq!(before.get("/cases").await.status(), 303);
}

#[tokio::test]
async fn facts_that_no_browser_could_show_are_left_to_the_download() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.packed(&ticket, |document, _| {
        let observations = &mut document.outcomes[0].observations;
        *observations = vec![observations[0].clone(); 6_000];
    });
    assert_eq!(server.upload_whole(&agent, &ticket, &bundle).await.status(), 200);
    let mut browser = Browser::new(&server);
    browser.sign_in(&server.password).await;
    let page = browser.page("/cases/4711").await;
    assert!(page.contains("too much for a page") && page.contains(&format!("<a href=\"/bundles/{}\">", bundle.id)));
    assert!(page.len() < 2 << 20, "{}", page.len());
}

#[tokio::test]
async fn a_session_ends_by_itself() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&server.password).await;
    server.advance(std::time::Duration::from_secs(12 * 3600));
    assert_eq!(browser.get("/cases").await.status(), 303);
}

#[tokio::test]
async fn an_engineer_makes_a_ticket_and_reads_what_came_of_it() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&server.password).await;
    let token = form_token(&browser.page("/tickets/new?case=4711").await);
    let form = |set: &'static str| {
        [("case", "4711"), ("set", set), ("targets", "https://shop.example/\r\n"), ("days", "7"), ("form_token", &*token)]
    };
    let wrong = browser.post("/tickets/new", &form("wbe")).await;
    assert_eq!(wrong.status(), 422);
    let wrong = wrong.text().await.unwrap();
    assert!(wrong.contains("Did you mean web?") && wrong.contains("https://shop.example/"), "the form keeps what was typed");
    let ready = browser.post("/tickets/new", &form("web")).await;
    assert_eq!(ready.status(), 201);
    let ready = ready.text().await.unwrap();
    let ticket = ready.split_whitespace().find(|word| word.starts_with("nst1_")).unwrap();
    let ticket = Ticket::parse(ticket).unwrap();
    assert!(browser.page("/cases/4711").await.contains("No bundle yet"));

    let agent = Agent::new(1);
    let bundle = agent.bundle(&ticket);
    assert_eq!(server.upload_whole(&agent, &ticket, &bundle).await.status(), 200);
    assert!(browser.page("/cases").await.contains("/cases/4711"));
    let case = browser.page("/cases/4711").await;
    assert!(case.contains("The two diagnoses differ"));
    assert!(case.contains(">intact<") && case.contains(">known<") && case.contains(bundle.id.as_str()));
    assert!(case.contains("vm&#60;b&#62;1") || case.contains("vm&lt;b&gt;1"), "what the customer's machine says is text");
    assert!(!case.contains("<b>1</b>") && !case.contains("<script") && !case.contains(" style="));
    let download = browser.get(&format!("/bundles/{}", bundle.id)).await;
    assert_eq!(download.bytes().await.unwrap(), bundle.bytes);
    assert_eq!(browser.get("/cases/4712").await.status(), 404);
    assert_eq!(browser.get(&format!("/cases/4711?bundle={}", "0".repeat(64))).await.status(), 404);
}

#[tokio::test]
async fn a_stored_bundle_that_was_changed_is_said_to_be_and_not_shown() {
    let server = Server::start().await;
    let (agent, (_, ticket)) = (Agent::new(1), server.ticket("web").await);
    let bundle = agent.bundle(&ticket);
    server.upload_whole(&agent, &ticket, &bundle).await;
    let row = server.app.store.bundle(&bundle.id).await.unwrap().unwrap();
    let file = server.data("blobs/sha256").join(&row.file_sha256[..2]).join(&row.file_sha256);
    std::fs::write(file, &bundle.bytes[..100]).unwrap();
    let mut browser = Browser::new(&server);
    browser.sign_in(&server.password).await;
    let case = browser.page("/cases/4711").await;
    assert!(case.contains("Not intact") && !case.contains(">intact<"));
}

#[tokio::test]
async fn an_open_ticket_can_be_revoked_from_its_case() {
    let server = Server::start().await;
    let (issued, _) = server.ticket("web").await;
    let mut browser = Browser::new(&server);
    browser.sign_in(&server.password).await;
    let token = form_token(&browser.page("/cases/4711").await);
    let revoke = format!("/tickets/{}/revoke", issued.id);
    assert_eq!(browser.post(&revoke, &[("form_token", "forged")]).await.status(), 403);
    assert_eq!(browser.post(&revoke, &[("form_token", &token)]).await.status(), 303);
    assert!(browser.page(&format!("/t/{}", issued.id)).await.contains("withdrew"));
}
