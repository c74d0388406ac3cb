use crate::clock::Clock;
use crate::command::{Running, Settings};
use crate::limits::Limits;
use jiff::Timestamp;
use netsonde_contract::api::{Problem, TicketIssued, TicketRequest, header, path};
use netsonde_contract::desk_token::DeskToken;
use netsonde_contract::pin::{Pin, client_config};
use netsonde_contract::ticket::Ticket;
use reqwest::{Client, RequestBuilder, Response, redirect};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server with its own folder, its own clock and its own port.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) client: Client,
    pub(super) password: String,
    pub(super) desk_token: String,
    pub(super) app: Arc<crate::app::App>,
    pub(super) address: std::net::SocketAddr,
    folder: PathBuf,
    kept: Option<TempDir>,
    alerts: Option<PathBuf>,
    seconds: Arc<AtomicI64>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

pub(super) struct Options {
    pub(super) plain: bool,
    pub(super) limits: Limits,
    pub(super) alerts: Option<PathBuf>,
}

/// When every test begins, in seconds since 1970.
const BEGAN: i64 = 1_700_000_000;

impl Default for Options {
    fn default() -> Self {
        Self { plain: true, limits: Limits::default(), alerts: None }
    }
}

impl Server {
    pub(super) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(super) async fn with(options: Options) -> Self {
        let seconds = Arc::new(AtomicI64::new(BEGAN));
        let kept = tempfile::tempdir().unwrap();
        let folder = kept.path().to_owned();
        Self { kept: Some(kept), ..Self::on(folder, seconds, options).await }
    }

    /// On a folder that another server was killed on.
    pub(super) async fn over(folder: &Path, options: Options) -> Self {
        Self::on(folder.to_owned(), Arc::new(AtomicI64::new(BEGAN)), options).await
    }

    async fn on(folder: PathBuf, seconds: Arc<AtomicI64>, options: Options) -> Self {
        let clock = {
            let seconds = Arc::clone(&seconds);
            Clock::of(move || Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap())
        };
        let settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            data: folder.join("data"),
            public_url: None,
            plain: options.plain,
            alerts: options.alerts.clone(),
            limits: options.limits,
            clock,
        };
        let running = Running::start(settings).await.unwrap();
        running.keep_first_run().await.unwrap();
        let (app, address) = (Arc::clone(&running.app), running.address);
        let (password, desk_token) = match &running.first_run {
            Some(first) => (first.password.clone(), DeskToken::parse(&first.desk_token).unwrap().token.to_string()),
            None => (String::new(), String::new()),
        };
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(running.until(async {
            let _ = stopped.await;
        }));
        let client = client(app.place.tls_pin.as_ref());
        Self {
            url: app.place.url.clone(),
            client,
            password,
            desk_token,
            app,
            address,
            folder,
            kept: None,
            alerts: options.alerts,
            seconds,
            stop,
            running,
        }
    }

    /// Stops the server and starts another on the same folder.
    pub(super) async fn restart(self) -> Self {
        let Self { app, folder, kept, alerts, seconds, stop, running, password, desk_token, .. } = self;
        drop(app);
        stop.send(()).unwrap();
        running.await.unwrap();
        let options = Options { alerts, ..Options::default() };
        Self { password, desk_token, kept, ..Self::on(folder, seconds, options).await }
    }

    /// Stops it, and waits until every connection and task is done.
    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap();
    }

    pub(super) fn advance(&self, by: Duration) {
        self.seconds.fetch_add(i64::try_from(by.as_secs()).unwrap(), Ordering::Relaxed);
    }

    pub(super) fn data(&self, name: &str) -> PathBuf {
        self.folder.join("data").join(name)
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    pub(super) async fn ticket(&self, set: &str) -> (TicketIssued, Ticket) {
        let request = TicketRequest {
            case: "4711".into(),
            set: set.into(),
            targets: vec!["https://shop.example/".into()],
            parameters: [].into(),
            valid_for_s: None,
        };
        let issued = self.post(path::TICKETS).bearer_auth(&self.desk_token).json(&request).send().await.unwrap();
        assert_eq!(issued.status(), 201);
        let issued: TicketIssued = issued.json().await.unwrap();
        let ticket = Ticket::parse(&issued.ticket).unwrap();
        (issued, ticket)
    }

    /// How many files the blobs and the uploads have.
    pub(super) fn files(&self) -> (usize, usize) {
        (count(&self.data("blobs")), count(&self.data("uploads")))
    }
}

/// Sends the head of a request over plain HTTP, and a body that never ends.
pub(super) async fn hung_post(server: &Server, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n--x\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Speaks to the server that the pin names, follows nothing, and uses no proxy of the machine.
pub(super) fn client(pin: Option<&Pin>) -> Client {
    let nobody = Pin::of_public_key_info(b"");
    let tls = client_config(pin.unwrap_or(&nobody));
    Client::builder().tls_backend_preconfigured(tls).redirect(redirect::Policy::none()).no_proxy().build().unwrap()
}

fn count(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

/// The problem document of a refusal, once its form is seen to be right.
pub(super) async fn problem(response: Response) -> Problem {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status().as_u16();
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.status, status);
    assert!(problem.known_code().is_some(), "{problem:?}");
    assert!(!problem.title.is_empty() && !problem.detail.is_empty());
    problem
}

pub(super) fn offset(response: &Response) -> u64 {
    response.headers()[header::UPLOAD_OFFSET].to_str().unwrap().parse().unwrap()
}
