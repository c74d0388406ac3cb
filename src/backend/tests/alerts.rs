use super::health::TARGET;
use super::pages::{Browser, form_token};
use super::server::{Options, Server};
use crate::store::{AlertRow, AlertState};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use netsonde_contract::api::alert::{Alert, event};
use netsonde_contract::history::Health;
use sha2::Sha256;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

const KEY: &[u8; 32] = b"a key of thirty-two octets, here";
/// Longer than the sender waits between two looks, and than a test may take.
const SOON: Duration = Duration::from_secs(20);

/// What a webhook brought.
#[derive(Clone, Debug)]
struct Hook {
    id: String,
    alert: Alert,
    signed: bool,
}

/// A receiver, the statuses that it answers with one after the other, and what came.
struct Receiver {
    address: SocketAddr,
    came: Arc<Mutex<(Vec<u16>, Vec<Hook>)>>,
}

impl Receiver {
    async fn start(listener: TcpListener, answers: &[u16]) -> Self {
        let address = listener.local_addr().unwrap();
        let came = Arc::new(Mutex::new((answers.to_vec(), Vec::new())));
        let app = Router::new().route("/hook", post(take)).with_state(Arc::clone(&came));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, came }
    }

    fn hooks(&self) -> Vec<Hook> {
        self.came.lock().unwrap().1.clone()
    }

    async fn until(&self, count: usize) -> Vec<Hook> {
        until(|| Some(self.hooks()).filter(|hooks| hooks.len() >= count)).await
    }
}

async fn take(State(came): State<Arc<Mutex<(Vec<u16>, Vec<Hook>)>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, timestamp) = (text("webhook-id"), text("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let signed = text("webhook-signature") == expected && text("content-type") == "application/json";
    let mut came = came.lock().unwrap();
    came.1.push(Hook { id, alert: serde_json::from_slice(&body).unwrap(), signed });
    let status = if came.0.is_empty() { 200 } else { came.0.remove(0) };
    StatusCode::from_u16(status).unwrap()
}

async fn until<T>(look: impl Fn() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, found).await.expect("it happens soon")
}

/// The first alert, once it is as `wanted`.
async fn until_alert(server: &Server, wanted: impl Fn(&AlertRow) -> bool) -> AlertRow {
    let found = async {
        loop {
            let alerts = server.app.store.alerts(None, 9).await.unwrap();
            if let Some(alert) = alerts.into_iter().find(|alert| wanted(alert)) {
                return alert;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, found).await.expect("it becomes so soon")
}

fn webhook_to(address: SocketAddr) -> String {
    format!(
        "allow = [\"127.0.0.1\"]\n[[webhook]]\nname = \"ops\"\nurl = \"http://{address}/hook\"\nsecret = \"whsec_{}\"\n",
        STANDARD.encode(KEY)
    )
}

fn write(folder: &Path, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join("alerts.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

async fn server_with(text: &str) -> (Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let alerts = Some(write(folder.path(), text));
    (Server::with(Options { alerts, ..Options::default() }).await, folder)
}

#[tokio::test]
async fn a_receiver_that_was_down_is_told_once_it_is_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (server, _folder) = server_with(&webhook_to(address)).await;
    let [machine] = server.enrolled([1]).await;
    machine.turn(&server, 1, Health::Ok, Health::Failing).await;
    let waiting = until_alert(&server, |alert| alert.attempts == 1).await;
    assert_eq!(waiting.state, AlertState::Waiting);
    assert!(waiting.trouble.unwrap().contains("cannot be reached"));
    let receiver = Receiver::start(TcpListener::bind(address).await.unwrap(), &[]).await;
    server.advance(Duration::from_secs(5));
    let hook = receiver.until(1).await.remove(0);
    assert!(hook.signed && hook.id == waiting.id, "{hook:?}");
    let data = &hook.alert.data;
    assert_eq!(
        (hook.alert.event.as_str(), data.target.as_deref(), data.agent.clone()),
        (event::CASE_OPENED, Some(TARGET), machine.id())
    );
    assert_eq!(data.labels["site"], "oslo");
    assert_eq!(data.url, format!("{}/cases/{}", server.url, data.case.as_ref().unwrap()));
    until_alert(&server, |alert| alert.state == AlertState::Sent).await;
    machine.turn(&server, 2, Health::Failing, Health::Ok).await;
    let told: Vec<String> = receiver.until(2).await.into_iter().map(|hook| hook.alert.event).collect();
    assert_eq!(told, [event::CASE_OPENED, event::CASE_RECOVERED]);
}

#[tokio::test]
async fn a_receiver_that_answers_500_gets_the_same_alert_again() {
    let receiver = Receiver::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), &[500, 302]).await;
    let (server, _folder) = server_with(&webhook_to(receiver.address)).await;
    let [machine] = server.enrolled([1]).await;
    machine.turn(&server, 1, Health::Ok, Health::Failing).await;
    until_alert(&server, |alert| alert.trouble.as_deref().is_some_and(|words| words.contains("500"))).await;
    server.advance(Duration::from_secs(5));
    until_alert(&server, |alert| alert.trouble.as_deref().is_some_and(|words| words.contains("302"))).await;
    server.advance(Duration::from_secs(10));
    let hooks = receiver.until(3).await;
    assert!(hooks.iter().all(|hook| hook.signed && hook.id == hooks[0].id && hook.alert == hooks[0].alert));
    let sent = until_alert(&server, |alert| alert.state == AlertState::Sent).await;
    assert_eq!(sent.attempts, 3);
    server.advance(Duration::from_secs(100_000));
    machine.turn(&server, 2, Health::Failing, Health::Ok).await;
    assert_eq!(receiver.until(4).await.len(), 4, "what was sent is not sent again");
}

#[tokio::test]
async fn an_alert_that_nobody_took_is_given_up_after_a_day_or_when_the_receiver_wants_no_more() {
    let receiver = Receiver::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), &[503, 503, 410]).await;
    let (server, _folder) = server_with(&webhook_to(receiver.address)).await;
    let [machine] = server.enrolled([1]).await;
    machine.turn(&server, 1, Health::Ok, Health::Failing).await;
    until_alert(&server, |alert| alert.attempts == 1).await;
    server.advance(Duration::from_secs(24 * 3600));
    let given_up = until_alert(&server, |alert| alert.state == AlertState::GivenUp).await;
    assert!(given_up.trouble.unwrap().contains("503"));
    machine.turn(&server, 2, Health::Failing, Health::Ok).await;
    let gone =
        until_alert(&server, |alert| alert.alert.event == event::CASE_RECOVERED && alert.state == AlertState::GivenUp).await;
    assert_eq!(gone.attempts, 1, "410 is the receiver's last word");
    let mut browser = Browser::new(&server);
    browser.sign_in(&server.password).await;
    let page = browser.page("/alerts").await;
    assert!(page.contains("2 alerts were given up") && page.contains("503") && page.contains("case.recovered"), "{page}");
    assert!(page.contains(&format!("http://{}", receiver.address)) && !page.contains("/hook"), "paths often hold secrets");
    let retry = format!("/alerts/{}/retry", gone.id);
    assert_eq!(browser.post(&retry, &[("form_token", &form_token(&page))]).await.status(), 303);
    until_alert(&server, |alert| alert.id == gone.id && alert.state == AlertState::Sent).await;
}

#[tokio::test]
async fn an_address_inside_is_not_connected_to_unless_the_operator_names_it() {
    let receiver = Receiver::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), &[]).await;
    let text = webhook_to(receiver.address).replace("allow = [\"127.0.0.1\"]", "").replace("http://", "https://");
    let (server, _folder) = server_with(&text).await;
    let [machine] = server.enrolled([1]).await;
    machine.turn(&server, 1, Health::Ok, Health::Failing).await;
    let waiting = until_alert(&server, |alert| alert.attempts == 1).await;
    assert!(waiting.trouble.unwrap().contains("allow = [\"127.0.0.1\"]"));
    assert!(receiver.hooks().is_empty());
}

/// Set for the process that is to be killed: its folder.
const VICTIM: &str = "NETSONDE_TEST_VICTIM";

/// Not a test by itself: the process that `a_server_that_is_killed…` starts and kills.
#[tokio::test]
async fn the_victim_of_a_kill() {
    let Some(folder) = std::env::var_os(VICTIM).map(PathBuf::from) else { return };
    let server = Server::over(&folder, Options { alerts: Some(folder.join("alerts.toml")), ..Options::default() }).await;
    let [machine] = server.enrolled([1]).await;
    machine.turn(&server, 1, Health::Ok, Health::Failing).await;
    std::fs::write(folder.join("acknowledged"), "").unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_server_that_is_killed_before_its_alert_was_taken_sends_it_under_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    // It accepts and never answers, so that the kill comes between what was kept and what was taken.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let alerts = write(folder.path(), &webhook_to(listener.local_addr().unwrap()));
    #[expect(clippy::disallowed_methods, reason = "the process that is killed")]
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tests::alerts::the_victim_of_a_kill"]).env(VICTIM, folder.path());
    let mut victim = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (mut stream, _) = tokio::time::timeout(SOON, listener.accept()).await.unwrap().unwrap();
    let mut head = [0; 2048];
    let length = stream.read(&mut head).await.unwrap();
    until(|| folder.path().join("acknowledged").exists().then_some(())).await;
    victim.kill().unwrap();
    victim.wait().unwrap();
    drop(stream);
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    let id = head.lines().find_map(|line| line.strip_prefix("webhook-id: ")).unwrap().to_owned();

    let receiver = Receiver::start(listener, &[]).await;
    let server = Server::over(folder.path(), Options { alerts: Some(alerts), ..Options::default() }).await;
    let hook = receiver.until(1).await.remove(0);
    assert!(hook.signed && hook.id == id, "{hook:?} {id}");
    until_alert(&server, |alert| alert.state == AlertState::Sent).await;
    server.stop().await;
}

/// The least that a mail server is (RFC 5321), with the reply to each message's end.
async fn mail_server(listener: TcpListener, replies: Vec<&'static str>, came: Arc<Mutex<Vec<String>>>) {
    for reply in replies {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 mx.test\r\n").await.unwrap();
        let mut message: Option<String> = None;
        while let Ok(Some(line)) = lines.next_line().await {
            let answer = match (&mut message, line.as_str()) {
                (Some(text), ".") => {
                    came.lock().unwrap().push(std::mem::take(text));
                    message = None;
                    reply
                }
                (Some(text), line) => {
                    text.push_str(line);
                    text.push('\n');
                    continue;
                }
                (None, "DATA") => {
                    message = Some(String::new());
                    "354 go on"
                }
                (None, "QUIT") => break,
                (None, _) => "250 mx.test",
            };
            write.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_mail_is_sent_again_until_the_relay_takes_it_and_is_the_same_mail() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(mail_server(listener, vec!["451 come again", "250 taken"], Arc::clone(&came)));
    let text = format!(
        "allow = [\"127.0.0.1\"]\n[smtp]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nfrom = \"netsonde@support.example\"\n\
         [[mail]]\nname = \"lead\"\nto = [\"Erika <erika@support.example>\"]\n"
    );
    let (server, _folder) = server_with(&text).await;
    let [machine] = server.enrolled([1]).await;
    machine.turn(&server, 1, Health::Ok, Health::Failing).await;
    let waiting = until_alert(&server, |alert| alert.attempts == 1).await;
    assert!(waiting.trouble.as_deref().unwrap().contains("come again"), "{waiting:?}");
    server.advance(Duration::from_secs(5));
    until_alert(&server, |alert| alert.state == AlertState::Sent).await;
    let mails = came.lock().unwrap().clone();
    assert_eq!(mails.len(), 2);
    let (first, second) = (&mails[0], &mails[1]);
    assert_eq!(first, second);
    for words in [
        "From: netsonde@support.example",
        "To: Erika <erika@support.example>",
        &format!("Message-ID: <{}@support.example>", waiting.id),
        "Subject: [netsonde] ",
        "connect to https://shop.example/ is failing",
    ] {
        assert!(first.contains(words), "{words} in {first}");
    }
    assert!(first.contains(&format!("{}/cases/auto-", server.url)), "{first}");
}
