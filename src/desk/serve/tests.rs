use super::*;
use crate::organisation::tests::founded;
use crate::signing;
use crate::test_backend::{CASE, Kept, Shared, TARGET, agent, start};
use netsonde_contract::api::fleet::{Draft, KeptDraft};
use netsonde_contract::id::CaseId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DRAFT: &str = "aaaaaaaaaaaaaaaa";

struct Served {
    address: std::net::SocketAddr,
    token: String,
    kept: Shared,
    _place: tempfile::TempDir,
}

impl Served {
    async fn begin() -> Self {
        let place = tempfile::tempdir().unwrap();
        let signer = signing::make(&place.path().join("asha"), "asha", None).unwrap();
        let own = founded(place.path(), &[&signer]);
        let draft = Draft {
            set: "web".into(),
            targets: vec![TARGET.into()],
            parameters: Default::default(),
            agents: vec![agent(1).id],
            labels: Default::default(),
            case: CaseId::new(CASE),
            requester: "<b>Bo</b>".into(),
            reason: String::new(),
            spread_seconds: None,
        };
        let kept = KeptDraft { id: DRAFT.into(), made: jiff::Timestamp::UNIX_EPOCH, draft };
        let (backend, kept) = start(Kept { agents: vec![agent(1)], drafts: vec![kept], ..Kept::default() }).await;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let token = fresh_token().unwrap();
        let site = Site::new(backend, own, signer, Guard::new(address, token.clone()));
        tokio::spawn(accept(listener, Arc::new(site)));
        Self { address, token, kept, _place: place }
    }

    async fn send(&self, head: &str, host: &str, more: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{head} HTTP/1.1\r\nhost: {host}\r\n{more}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(&self, rest: &str) -> String {
        self.send(&format!("GET /{}/{rest}", self.token), &self.address.to_string(), "", "").await
    }

    async fn post(&self, rest: &str, body: &str) -> String {
        let (host, origin) = (self.address.to_string(), format!("http://{}", self.address));
        self.send(&format!("POST /{}/{rest}", self.token), &host, &form(&origin), body).await
    }

    /// Opens the draft; the id of the order that was composed of it.
    async fn open(&self) -> String {
        let page = self.get(&format!("drafts/{DRAFT}")).await;
        let (_, rest) = page.split_once("name=\"order\" value=\"").unwrap_or_else(|| panic!("{page}"));
        rest[..32].to_owned()
    }

    fn submitted(&self) -> usize {
        self.kept.lock().unwrap().submitted.len()
    }
}

fn form(origin: &str) -> String {
    format!("origin: {origin}\r\ncontent-type: application/x-www-form-urlencoded\r\n")
}

#[tokio::test]
async fn a_draft_is_shown_signed_once_and_followed() {
    let served = Served::begin().await;
    let start = served.get("").await;
    assert!(start.starts_with("HTTP/1.1 200") && start.contains(DRAFT) && !start.contains("<b>Bo"), "{start}");
    assert!(start.contains("content-security-policy: default-src 'none'") && !start.contains("<script"), "{start}");
    let order = served.open().await;
    let fields = format!("token={}&order={order}", served.token);
    let answer = served.post("sign", &fields).await;
    assert!(answer.starts_with("HTTP/1.1 303") && answer.contains(&format!("orders/{order}")), "{answer}");
    assert_eq!(served.submitted(), 1);
    assert!(served.get(&format!("orders/{order}")).await.contains("running"));
    assert!(served.post("sign", &fields).await.starts_with("HTTP/1.1 400"), "sent again");
    assert_eq!(served.submitted(), 1);
}

#[tokio::test]
async fn a_signed_order_that_the_backend_did_not_take_is_kept_and_sent_again() {
    let served = Served::begin().await;
    let order = served.open().await;
    let fields = format!("token={}&order={order}", served.token);
    assert!(served.post("send", &fields).await.starts_with("HTTP/1.1 400"), "nothing is signed yet");
    served.kept.lock().unwrap().refuses = true;
    for way in ["sign", "send"] {
        let page = served.post(way, &fields).await;
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("Signed, and not submitted"), "{page}");
        assert!(page.contains("disk is full") && page.contains(&order) && page.contains("/send\""), "{page}");
    }
    assert_eq!(served.submitted(), 0);
    served.kept.lock().unwrap().refuses = false;
    let answer = served.post("send", &fields).await;
    assert!(answer.starts_with("HTTP/1.1 303") && answer.contains(&format!("orders/{order}")), "{answer}");
    assert_eq!(served.submitted(), 1);
    assert!(served.post("send", &fields).await.starts_with("HTTP/1.1 400"), "it is there");
}

#[tokio::test]
async fn an_order_from_the_form_is_shown_before_it_is_signed() {
    let served = Served::begin().await;
    let fields = format!(
        "token={}&set=web&case={CASE}&targets=https%3A%2F%2Fshop.example%2F&agent={}&labels=&parameters=&reason=slow",
        served.token,
        agent(1).id
    );
    let page = served.post("orders", &fields).await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("Sign this order?") && page.contains("shop.example"), "{page}");
    assert_eq!(served.submitted(), 0);
    let start = served.get("").await;
    for name in ["expires", "requester", "waves", "stop_at", "spread", "every", "for", "deep", "with", "answering"] {
        assert!(start.contains(&format!("name=\"{name}\"")), "{name} is missing in the form");
    }
    let page = served.post("orders", &format!("{fields}&every=5m&for=7d&expires=4h&requester=Bo")).await;
    assert!(page.contains("every 5m for 168h") && page.contains("asked by  Bo"), "{page}");
    assert!(served.post("orders", &format!("{fields}&every=5m")).await.contains("how often, and for how long"));
}

#[tokio::test]
async fn no_other_page_name_or_token_signs_anything() {
    let served = Served::begin().await;
    let order = served.open().await;
    let own = format!("token={}&order={order}", served.token);
    let head = format!("POST /{}/sign", served.token);
    let (host, origin) = (served.address.to_string(), format!("http://{}", served.address));
    let other_host = format!("rebound.example:{}", served.address.port());
    let wrong = "0".repeat(32);
    let without_type = format!("origin: {origin}\r\ncontent-type: text/plain\r\n");
    let cross = format!("{}sec-fetch-site: cross-site\r\n", form(&origin));
    let big = format!("{own}&reason={}", "x".repeat(20_000));
    let attacks: [(&str, &str, &str, String, &str, &str); 9] = [
        ("a rebound name", &head, &other_host, form(&origin), &own, "421"),
        ("another site", &head, &host, form("http://evil.example"), &own, "403"),
        ("a sandboxed page", &head, &host, form("null"), &own, "403"),
        ("no origin", &head, &host, "content-type: application/x-www-form-urlencoded\r\n".into(), &own, "403"),
        ("told by the browser", &head, &host, cross, &own, "403"),
        ("no token in the path", "POST /sign", &host, form(&origin), &own, "404"),
        ("a guessed token in the form", &head, &host, form(&origin), &format!("token={wrong}&order={order}"), "404"),
        ("a body that needs no preflight", &head, &host, without_type, &own, "415"),
        ("a huge form", &head, &host, form(&origin), &big, "413"),
    ];
    for (what, head, host, more, body, status) in attacks {
        let answer = served.send(head, host, &more, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {answer}");
        assert!(!answer.contains(&served.token), "{what}: the token is told");
        assert_eq!(served.submitted(), 0, "{what}");
    }
    assert!(served.get(&format!("sign?order={order}")).await.starts_with("HTTP/1.1 404"), "a link signs nothing");
    // The control: the same order by its own page.
    assert!(served.post("sign", &own).await.starts_with("HTTP/1.1 303"));
    assert_eq!(served.submitted(), 1);
}
