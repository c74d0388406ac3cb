use super::answer::{Answer, Body};
use super::retry_after;
use super::signer::RequestSigner;
use crate::stop::with_causes;
use netsonde_contract::api::fleet::MAX_DETAIL_CHARS;
use netsonde_contract::api::{self, Problem, TicketState};
use netsonde_contract::harmless::clean_up_to;
use netsonde_contract::id::TicketId;
use netsonde_contract::pin::{self, Pin};
use netsonde_contract::receipt;
use netsonde_contract::target::{Target, TargetForm};
use netsonde_contract::ticket::Ticket;
use netsonde_probes::clock::Clock;
use netsonde_probes::context::ProxyChoice;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Method, Proxy, RequestBuilder, Response, StatusCode, redirect};
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A handshake through a slow proxy takes seconds; longer means that nothing answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// Between two pieces of an answer. The backend verifies and stores a whole bundle before its last answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// For one request of an upload, from its first byte to the answer's last: a part's time at the backend, and its verification. What answers byte
/// by byte for ever is left then.
const LONGEST: Duration = Duration::from_secs(180);
/// For the question whether a ticket is still good, which must not hold up a run.
const STATE_TIMEOUT: Duration = Duration::from_secs(6);
/// A connection over which nothing has come for so long is dead, in whichever way nobody says so: the other end is gone, or something on the way
/// forgot the flow. Also for what was sent and is not acknowledged (Linux: TCP_USER_TIMEOUT, tcp(7), RFC 5482). A request that is held for 50 s
/// would else be waited for until its time is over.
#[cfg(any(target_os = "linux", target_os = "android"))]
const DEAD_AFTER: Duration = Duration::from_secs(20);
/// The kernel asks the other end whether it is still there after so long without a packet (RFC 9293 section 3.8.4) …
const KEPT_ALIVE_EVERY: Duration = Duration::from_secs(10);
/// … and where it does not answer again after this, …
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// … so often until the connection is dead: 10 s and twice 5 s. At most 6 questions a minute, of 52 bytes over IPv4 and answered by as many, and none of
/// them wakes the program; what forgets a silent flow after a time hears of this one before.
const ASKED_TIMES: u32 = 2;
/// TCP's questions end at a proxy. Those of HTTP/2 (PING, RFC 9113 section 6.7) reach the backend through it; a held request costs two of them, each
/// of which wakes the program for a moment.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// Answers are receipts and problem documents; what is longer is neither.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Orders come several at a time, with their sets.
const MAX_REPLY_BYTES: usize = 16 << 20;

/// The support backend, over one kind of trust.
pub(crate) struct Backend {
    base: String,
    way: Way,
    /// Has the connections. Another one comes in its place where these are good for nothing any more.
    client: watch::Sender<Client>,
    /// Who answered last: the backend, or its proxy.
    peer: Mutex<Option<SocketAddr>>,
    /// Signs every request, where an enrolled agent sends it.
    signer: Option<Arc<RequestSigner>>,
    /// The bound on one request of an upload.
    longest: Duration,
}

/// How the backend is reached.
struct Way {
    pin: Option<Pin>,
    proxy: ProxyChoice,
    source: Option<IpAddr>,
}

/// A whole answer.
struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

/// What became of an agent's request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    /// Where the backend says what is wrong.
    pub(crate) problem: Option<Box<Problem>>,
    pub(crate) bytes: Vec<u8>,
}

/// How the backend's TLS is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsTrust {
    /// By the pin in the ticket; by the platform where it has none.
    Ticket,
    /// By the platform, although the ticket has a pin: a person agreed to it. Receipts are still checked by the ticket's key.
    Platform,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// Something answers, but not with the key that the ticket names: an inspecting proxy, or another server.
    PinMismatch,
    /// No connection came about, or what answers there is no netsonde backend.
    Unreachable(String),
    /// The connection stood, and the answer did not come, or not whole.
    Cut(String),
}

impl Way {
    fn client(&self) -> Result<Client, String> {
        let mut builder = Client::builder()
            .user_agent(concat!("netsonde/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .tcp_keepalive(KEPT_ALIVE_EVERY)
            .tcp_keepalive_interval(ASKED_AGAIN_AFTER)
            .tcp_keepalive_retries(ASKED_TIMES)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_PATIENCE)
            .local_address(self.source);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            builder = builder.tcp_user_timeout(DEAD_AFTER);
        }
        builder = match &self.pin {
            Some(pin) => builder.tls_backend_preconfigured(pin::client_config(pin)),
            None => judged_by_platform(builder)?,
        };
        builder = match &self.proxy {
            ProxyChoice::Environment => builder,
            ProxyChoice::None => builder.no_proxy(),
            ProxyChoice::Url(url) => {
                let proxy = Proxy::all(url).map_err(|error| format!("the proxy cannot be used: {}", with_causes(&error)))?;
                builder.no_proxy().proxy(proxy)
            }
        };
        builder.build().map_err(|error| format!("the HTTP client cannot be made: {}", with_causes(&error)))
    }
}

impl Backend {
    /// # Errors
    /// Where the proxy given by hand is none.
    pub(crate) fn new(ticket: &Ticket, trust: TlsTrust, proxy: &ProxyChoice) -> Result<Self, String> {
        Self::at(&ticket.backend, ticket.tls_pin.as_ref().filter(|_| trust == TlsTrust::Ticket), proxy)
    }

    /// The backend at `base`, whose TLS is judged by `pin`, or by the platform where there is none.
    ///
    /// # Errors
    /// Where the proxy given by hand is none.
    pub(crate) fn at(base: &str, pin: Option<&Pin>, proxy: &ProxyChoice) -> Result<Self, String> {
        // No proxy leads to this machine itself.
        let proxy = if is_loopback(base) { &ProxyChoice::None } else { proxy };
        Self::from(base, pin, proxy, None)
    }

    /// The same by this very proxy, and from this address of the machine's where one is given.
    ///
    /// # Errors
    /// Where the proxy given by hand is none.
    pub(crate) fn from(base: &str, pin: Option<&Pin>, proxy: &ProxyChoice, source: Option<IpAddr>) -> Result<Self, String> {
        let way = Way { pin: pin.cloned(), proxy: proxy.clone(), source };
        let client = watch::Sender::new(way.client()?);
        Ok(Self { base: base.to_owned(), way, client, peer: Mutex::default(), signer: None, longest: LONGEST })
    }

    /// The same with less patience.
    #[cfg(test)]
    pub(super) fn hurried(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// The same, with every request signed.
    pub(crate) fn signed_by(self, signer: Arc<RequestSigner>) -> Self {
        Self { signer: Some(signer), ..self }
    }

    /// Who answered last: the backend, or its proxy.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up what is under way, since nothing may come any more of what was asked before the machine slept or stood in another network, and makes
    /// new connections from here on, by the system's proxy as it is now.
    pub(crate) fn begin_anew(&self) {
        if let Some(client) = self.another() {
            self.client.send_replace(client);
        }
    }

    /// The same for what is asked from here on alone: one connection that fell silent says nothing good of those that wait beside it, nor so bad that
    /// what is under way over them is lost.
    fn distrust_connections(&self) {
        if let Some(another) = self.another() {
            self.client.send_if_modified(|client| {
                *client = another;
                // Whoever waits is not told.
                false
            });
        }
    }

    fn another(&self) -> Option<Client> {
        self.way.client().inspect_err(|why| tracing::debug!(%why, "the former connections are kept")).ok()
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, NoAnswer> {
        let mut request = request.build().map_err(no_answer)?;
        if let Some(signer) = &self.signer {
            signer.sign(&mut request).map_err(NoAnswer::Unreachable)?;
        }
        let client = self.client.borrow().clone();
        let response = client.execute(request).await.map_err(|error| self.none_for(error))?;
        if let Some(peer) = response.remote_addr() {
            *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = Some(peer);
        }
        Ok(response)
    }

    /// Sends a request and reads its answer, of so many bytes at most, unless [`Backend::begin_anew`] gives it up.
    async fn whole(&self, request: RequestBuilder, most: usize) -> Result<Whole, NoAnswer> {
        let mut given_up = self.client.subscribe();
        let asked = async {
            let response = self.send(request).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok::<_, NoAnswer>(Whole { status, headers, bytes: self.bounded(response, most).await? })
        };
        tokio::select! {
            biased;
            whole = asked => whole,
            _ = given_up.changed() => Err(NoAnswer::Cut(GIVEN_UP.to_owned())),
        }
    }

    async fn bounded(&self, mut response: Response, most: usize) -> Result<Vec<u8>, NoAnswer> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.none_for(error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > most {
                return Err(NoAnswer::Unreachable(format!("its answer is longer than {most} bytes")));
            }
        }
        Ok(bytes)
    }

    fn none_for(&self, error: reqwest::Error) -> NoAnswer {
        if error.is_timeout() && !error.is_connect() {
            self.distrust_connections();
        }
        no_answer(error)
    }

    /// Sends an agent's request and reads the whole answer.
    pub(crate) async fn reply(&self, request: RequestBuilder) -> Result<Reply, NoAnswer> {
        let Whole { status, headers, bytes } = self.whole(request, MAX_REPLY_BYTES).await?;
        let problem = is_problem(&headers).then(|| serde_json::from_slice(&bytes).ok()).flatten();
        let retry_after = wanted_rest(&headers);
        Ok(Reply { status: status.as_u16(), retry_after, problem, bytes })
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.borrow().request(method, format!("{}{path}", self.base))
    }

    /// Whether a ticket is still good, by the backend's own clock.
    pub(crate) async fn ticket_state(&self, id: &TicketId) -> Result<Result<TicketState, Problem>, NoAnswer> {
        let request = self.request(Method::GET, &api::path::ticket_state(id)).timeout(STATE_TIMEOUT);
        let Whole { status, headers, bytes } = self.whole(request, MAX_ANSWER_BYTES).await?;
        let problem = is_problem(&headers);
        let unreadable = |error: serde_json::Error| {
            // It quotes what it cannot read.
            let error = error.to_string();
            let error = clean_up_to(&error, MAX_DETAIL_CHARS);
            NoAnswer::Unreachable(format!(
                "something answers there with status {status}, but it is no netsonde backend ({error})"
            ))
        };
        if status.is_success() {
            serde_json::from_slice(&bytes).map(Ok).map_err(unreadable)
        } else if problem {
            serde_json::from_slice(&bytes).map(Err).map_err(unreadable)
        } else {
            Err(NoAnswer::Unreachable(format!("something answers there with status {status}, but it is no netsonde backend")))
        }
    }

    /// Sends an upload's request and reads the parts of the answer that matter.
    pub(crate) async fn answer(&self, request: RequestBuilder) -> Result<Answer, NoAnswer> {
        let Whole { status, headers, bytes } = self.whole(request.timeout(self.longest), MAX_ANSWER_BYTES).await?;
        let body = if content_type(&headers) == receipt::MEDIA_TYPE {
            Body::Receipt(bytes)
        } else if is_problem(&headers) {
            serde_json::from_slice(&bytes).map_or(Body::Other, Body::Problem)
        } else {
            Body::Other
        };
        Ok(Answer {
            status: status.as_u16(),
            location: text(&headers, "location").and_then(|location| self.own_path(location)),
            offset: number(&headers, api::header::UPLOAD_OFFSET),
            complete: text(&headers, api::header::UPLOAD_COMPLETE) == Some("?1"),
            max_append: text(&headers, api::header::UPLOAD_LIMIT).and_then(max_append),
            retry_after: wanted_rest(&headers),
            body,
        })
    }

    /// A path on this backend; a location elsewhere is none that a bundle is sent to.
    fn own_path(&self, location: &str) -> Option<String> {
        let path = location.strip_prefix(&self.base).unwrap_or(location);
        (path.starts_with('/') && !path.starts_with("//")).then(|| path.to_owned())
    }
}

/// The limit of one append within `Upload-Limit`, a structured dictionary such as `max-size=1, max-append-size=2`.
fn max_append(limits: &str) -> Option<u64> {
    limits.split(',').find_map(|limit| limit.trim().strip_prefix("max-append-size=")?.parse().ok())
}

/// What a person is told where a connection that was there ended: by a backend that restarts, or by something on the way.
const CUT: &str = "the connection was cut before the answer was there";
/// The same where this machine did not wait any longer.
const GIVEN_UP: &str = "the connection was given up: this machine slept since, or stands in another network";

fn no_answer(error: reqwest::Error) -> NoAnswer {
    if certificate_refused(&error) {
        return NoAnswer::PinMismatch;
    }
    // What the libraries say of it names their own innards.
    match (error.is_connect(), was_cut(&error)) {
        (true, _) => NoAnswer::Unreachable(with_causes(&error.without_url())),
        (false, true) => NoAnswer::Cut(CUT.to_owned()),
        (false, false) => NoAnswer::Cut(with_causes(&error.without_url())),
    }
}

/// Looks for the end of a connection among the causes; an I/O error hides its own cause from `source`.
fn was_cut(error: &(dyn Error + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>()
            && (matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
                || error.get_ref().is_some_and(|inner| was_cut(inner)))
        {
            return true;
        }
        // The HTTP library has no kind for an answer that breaks off.
        if error.source().is_none() && ENDS.iter().any(|end| error.to_string().contains(end)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// How hyper says that a connection ended within or before an answer.
const ENDS: [&str; 2] = ["connection closed before message completed", "end of file before message length reached"];

/// Looks for a refused certificate among the causes; an I/O error hides its own cause from `source`.
fn certificate_refused(error: &(dyn Error + 'static)) -> bool {
    let refused = |error: &(dyn Error + 'static)| {
        matches!(error.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidCertificate(_)))
    };
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if refused(error) || inner.is_some_and(|inner| certificate_refused(inner)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Servers are judged by the platform's store. By itself Windows would fetch certificates and revocation lists to do so, wherever they say.
///
/// # Errors
/// Where the cryptography offers no version of TLS.
pub(crate) fn judged_by_platform(builder: ClientBuilder) -> Result<ClientBuilder, String> {
    #[cfg(windows)]
    let builder = {
        let config = netsonde_probes::Trust::client_config();
        builder.tls_backend_preconfigured(config.map_err(|error| format!("TLS cannot be used: {error}"))?)
    };
    Ok(builder)
}

/// The backend is this machine itself.
pub(crate) fn is_loopback(base: &str) -> bool {
    Target::parse(base, TargetForm::Url)
        .is_ok_and(|target| target.host == "localhost" || target.address().is_some_and(|address| address.is_loopback()))
}

/// `Retry-After`, by the clock of whoever answered.
fn wanted_rest(headers: &HeaderMap) -> Option<Duration> {
    let wanted = text(headers, RETRY_AFTER.as_str())?;
    retry_after::parse(wanted, text(headers, DATE.as_str()), Clock::start().wall())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

fn content_type(headers: &HeaderMap) -> &str {
    text(headers, CONTENT_TYPE.as_str()).and_then(|value| value.split(';').next()).unwrap_or_default().trim()
}

fn is_problem(headers: &HeaderMap) -> bool {
    content_type(headers) == api::PROBLEM_MEDIA_TYPE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticket::tests::sample;
    use ed25519_dalek::SigningKey;

    #[test]
    fn a_bundle_is_never_sent_to_another_place_than_the_backend() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let backend = Backend::new(&sample(&SigningKey::from_bytes(&[1; 32])), TlsTrust::Ticket, &ProxyChoice::None).unwrap();
        assert_eq!(backend.own_path("/v1/uploads/1").as_deref(), Some("/v1/uploads/1"));
        assert_eq!(backend.own_path("http://127.0.0.1:1/v1/uploads/1").as_deref(), Some("/v1/uploads/1"));
        for elsewhere in ["https://evil.example/v1", "//evil.example/v1", "http://127.0.0.1:10/v1", "v1"] {
            assert_eq!(backend.own_path(elsewhere), None, "{elsewhere}");
        }
    }

    /// A backend that restarts ends its answers in their midst.
    #[tokio::test]
    async fn a_connection_that_is_cut_is_told_in_plain_words() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf",
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
            let backend = Backend::at(&base, None, &ProxyChoice::None).unwrap();
            let Err(NoAnswer::Cut(words)) = backend.reply(backend.request(Method::GET, "/v1/work")).await else { panic!() };
            assert_eq!(words, CUT, "{answer:?}");
        }
        // Nobody cuts what never stood: a network that is away is no reason to let requests be held for less.
        let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let backend = Backend::at(&format!("http://{nobody}"), None, &ProxyChoice::None).unwrap();
        let asked = backend.reply(backend.request(Method::GET, "/v1/work")).await;
        assert!(matches!(asked, Err(NoAnswer::Unreachable(_))), "{asked:?}");
        let cut = std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            "peer closed connection without sending TLS close_notify: https://docs.rs/",
        );
        assert!(was_cut(&std::io::Error::other(cut)));
        assert!(!was_cut(&std::io::Error::other("no route to host")));
    }

    #[tokio::test]
    async fn what_was_asked_before_a_sleep_is_given_up_and_what_is_asked_after_it_goes_over_another_connection() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let backend = Backend::at(&format!("http://{address}"), None, &ProxyChoice::None).unwrap();
        assert_eq!(backend.peer(), None);
        let (mut first, asleep) = {
            let asked = backend.reply(backend.request(Method::GET, "/v1/work"));
            let taken = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                let under_way = backend.client.subscribe();
                backend.distrust_connections();
                assert!(!under_way.has_changed().unwrap(), "what only distrusts the others leaves it alone");
                backend.begin_anew();
                stream
            };
            let (asked, stream) = tokio::join!(asked, taken);
            (stream, asked)
        };
        let Err(NoAnswer::Cut(words)) = &asleep else { panic!("{asleep:?}") };
        assert_eq!(words, GIVEN_UP);
        assert_eq!(first.read(&mut [0; 4096]).await.unwrap_or(0), 0, "its connection is let go");
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        };
        let (asked, ()) = tokio::join!(backend.reply(backend.request(Method::GET, "/v1/work")), answering);
        assert_eq!(asked.unwrap().status, 200);
        assert_eq!(backend.peer(), Some(address));
    }

    #[test]
    fn the_append_limit_is_found_among_others() {
        assert_eq!(max_append("max-size=67108864, max-append-size=4194304"), Some(4_194_304));
        assert_eq!(max_append("max-size=67108864"), None);
    }
}
