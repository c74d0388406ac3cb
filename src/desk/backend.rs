use crate::stop::Stop;
use crate::terminal::harmless;
use netsonde_contract::api::{Imported, Problem, path};
use netsonde_contract::bundle::{MAX_BYTES, MEDIA_TYPE};
use netsonde_contract::desk_token::DeskToken;
use netsonde_contract::id::{BundleId, CaseId};
use netsonde_contract::pin;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::time::Duration;
use zeroize::Zeroizing;

/// A backend that is there answers its connection sooner, from anywhere.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Nothing arriving for this long means that nothing will.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest list of cases is far smaller.
const MAX_JSON_BYTES: usize = 16 << 20;

/// The support backend that the engineer signed in to.
pub(crate) struct Backend {
    base: String,
    pin: Option<pin::Pin>,
    token: Zeroizing<String>,
    client: reqwest::Client,
}

impl Backend {
    pub(crate) fn new(token: &DeskToken) -> Result<Self, Stop> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("netsonde-desk/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            // A redirect would carry the token elsewhere.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(expected) = &token.tls_pin {
            builder = builder.tls_backend_preconfigured(pin::client_config(expected));
        }
        let client = builder.build().map_err(|error| {
            Stop::failed(format!("the HTTPS client cannot be set up: {}", causes(&error)))
                .next("check SSL_CERT_FILE and the proxy variables")
        })?;
        Ok(Self { base: token.backend.clone(), pin: token.tls_pin.clone(), token: token.token.clone(), client })
    }

    /// The backend's address, for people.
    pub(crate) fn address(&self) -> String {
        harmless(&self.base)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, what: &str, path: &str) -> Result<T, Stop> {
        self.json(what, self.request(Method::GET, path)).await
    }

    /// The same with a query, each of whose values may be any text.
    pub(crate) async fn get_where<T: DeserializeOwned>(&self, what: &str, path: &str, query: &[(&str, &str)]) -> Result<T, Stop> {
        let url = Url::parse_with_params(&format!("{}{path}", self.base), query).map_err(|error| {
            Stop::failed(format!("{what}: {} is no address: {error}", self.address()))
                .next("sign in again with `netsonde-desk login`")
        })?;
        self.json(what, self.client.get(url).bearer_auth(self.token.as_str())).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, what: &str, path: &str, body: &impl Serialize) -> Result<T, Stop> {
        self.json(what, self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn delete(&self, what: &str, path: &str) -> Result<(), Stop> {
        self.send(what, self.request(Method::DELETE, path)).await.map(|_| ())
    }

    /// A request whose answer says nothing but that it was done.
    pub(crate) async fn tell(&self, what: &str, method: Method, path: &str, body: &impl Serialize) -> Result<(), Stop> {
        self.send(what, self.request(method, path).json(body)).await.map(|_| ())
    }

    /// The parts of the sign-in that an enrolment string repeats.
    pub(crate) fn place(&self) -> (&str, Option<&pin::Pin>) {
        (&self.base, self.pin.as_ref())
    }

    /// A bundle's file, of at most the size that a bundle may have. Nothing about it is verified yet.
    pub(crate) async fn bundle(&self, id: &BundleId) -> Result<Vec<u8>, Stop> {
        let what = "downloading the bundle";
        let response = self.send(what, self.request(Method::GET, &path::bundle(id))).await?;
        self.body(what, response, MAX_BYTES).await
    }

    /// Hands in a bundle's file, for a case where one is named.
    pub(crate) async fn bring(&self, what: &str, case: Option<&CaseId>, bytes: Vec<u8>) -> Result<Imported, Stop> {
        // A case's number has no character that a query would have to escape.
        let query = case.map_or_else(String::new, |case| format!("?case={case}"));
        let request = self.request(Method::POST, &format!("{}{query}", path::BUNDLES));
        self.json(what, request.header(CONTENT_TYPE, MEDIA_TYPE).body(bytes)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(self.token.as_str())
    }

    async fn json<T: DeserializeOwned>(&self, what: &str, request: RequestBuilder) -> Result<T, Stop> {
        let response = self.send(what, request).await?;
        let body = self.body(what, response, MAX_JSON_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| {
            Stop::failed(format!("{what}: the answer of {} cannot be understood: {error}", self.address()))
                .next("check that the address is a netsonde backend's, and that backend and desk are of about the same version")
        })
    }

    /// Sends the request; an answer other than success becomes its problem.
    async fn send(&self, what: &str, request: RequestBuilder) -> Result<Response, Stop> {
        let response = request.send().await.map_err(|error| self.unreachable(what, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.body(what, response, MAX_JSON_BYTES).await.unwrap_or_default();
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => of_problem(what, &problem),
            Err(_) => self.of_status(what, status),
        })
    }

    async fn body(&self, what: &str, mut response: Response, bound: usize) -> Result<Vec<u8>, Stop> {
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.unreachable(what, &error))? {
            if body.len() + part.len() > bound {
                return Err(Stop::failed(format!("{what}: the answer of {} is larger than {bound} bytes", self.address()))
                    .next("tell whoever runs the support backend"));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    fn of_status(&self, what: &str, status: StatusCode) -> Stop {
        Stop::failed(format!(
            "{what}: {} answered with status {status}, which is not how a netsonde backend refuses",
            self.address()
        ))
        .next("check the address, and whether a proxy answers in its place")
    }

    fn unreachable(&self, what: &str, error: &reqwest::Error) -> Stop {
        let next = match of_tls(error) {
            Some(rustls::Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure)) => {
                "another server answers than the one you signed in to, or TLS is inspected on the way; if the backend has a new key, sign in with a new token"
            }
            Some(_) => "TLS fails: check the certificate of the backend, and this machine's clock",
            None if error.is_timeout() => "nothing answers in time: check the address, the network and the proxy",
            None => "check that the backend runs, and the address, the network and the proxy",
        };
        Stop::failed(format!("{what}: {} cannot be reached: {}", self.address(), causes(error))).next(next)
    }
}

/// A refusal in the backend's own words, and its next step or ours.
fn of_problem(what: &str, problem: &Problem) -> Stop {
    let next = match (&problem.next_step, problem.code.as_str()) {
        (Some(step), _) => harmless(step),
        (None, "unauthorized") => "sign in again with `netsonde-desk login`".to_owned(),
        (None, "rate_limited" | "unavailable" | "internal") => "try again in a minute".to_owned(),
        (None, "not_found") => "see `netsonde-desk cases` for what there is".to_owned(),
        (None, _) => "change the request accordingly".to_owned(),
    };
    Stop::failed(format!("{what}: {}", harmless(&problem.to_string()))).next(next)
}

/// The innermost texts of an error, without the URL that the message has already.
fn causes(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}

/// The TLS error beneath. An I/O error that wraps another does not name it as its source, but that one's source.
fn of_tls(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<std::io::Error>() {
            Some(error) => error.get_ref().map(|wrapped| wrapped as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::api::ProblemCode;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn a_refusal_keeps_the_backends_words_and_its_next_step() {
        let problem = Problem::new(ProblemCode::TicketUsed, "It was used on Monday.").with_next_step("Make a new one.\u{1b}[2J");
        let stop = of_problem("revoking the ticket", &problem);
        assert_eq!(stop.message, "revoking the ticket: It was used on Monday. (ticket_used)");
        assert_eq!(stop.next.unwrap(), r"Make a new one.\x1b[2J");
        let bare = of_problem("x", &Problem::new(ProblemCode::Unauthorized, ""));
        assert!(bare.next.unwrap().contains("netsonde-desk login"));
    }

    fn token(backend: String, tls_pin: Option<pin::Pin>) -> DeskToken {
        DeskToken { backend, tls_pin, token: Zeroizing::new("secret".into()) }
    }

    /// Answers one request with `answer` and gives back what was asked.
    async fn answer_once(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: String) -> String {
        let mut asked = Vec::new();
        let mut byte = [0];
        while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap() == 1 {
            asked.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        String::from_utf8(asked).unwrap()
    }

    fn http(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    async fn plain(answer: String) -> (Backend, tokio::task::JoinHandle<String>) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Backend::new(&token(format!("http://{}", listener.local_addr().unwrap()), None)).unwrap();
        let server = tokio::spawn(async move { answer_once(listener.accept().await.unwrap().0, answer).await });
        (backend, server)
    }

    #[tokio::test]
    async fn the_token_goes_with_each_request_and_a_redirect_is_not_followed() {
        let (backend, server) =
            plain("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".into()).await;
        let stop = backend.get::<Vec<u8>>("listing", path::CASES).await.unwrap_err();
        let asked = server.await.unwrap();
        assert!(asked.starts_with("GET /v1/cases HTTP/1.1"), "{asked}");
        assert!(asked.to_lowercase().contains("authorization: bearer secret"), "{asked}");
        assert!(stop.message.contains("status 302"), "{stop:?}");
    }

    #[tokio::test]
    async fn an_answer_that_is_no_backends_is_told_as_that() {
        let (backend, _server) = plain(http("200 OK", "<html>Please log in to the guest network</html>")).await;
        let stop = backend.get::<Vec<u8>>("listing", path::CASES).await.unwrap_err();
        assert!(stop.message.contains("cannot be understood") && stop.next.unwrap().contains("netsonde backend"));
    }

    #[tokio::test]
    async fn a_backend_that_is_not_there_is_told_with_its_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let backend = Backend::new(&token(format!("http://{address}"), None)).unwrap();
        let stop = backend.delete("revoking", "/v1/tickets/x").await.unwrap_err();
        assert!(stop.message.starts_with(&format!("revoking: http://{address} cannot be reached: ")), "{stop:?}");
        assert!(stop.message.contains("refused"), "{stop:?}");
    }

    /// A private server whose certificate names another host: only its key counts.
    async fn pinned(own: bool) -> Result<Vec<u8>, Stop> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(vec!["other.example".to_owned()]).unwrap();
        let pin = if own { pin::Pin::of_certificate(made.cert.der()) } else { Some(pin::Pin::of_public_key_info(b"other")) };
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Backend::new(&token(format!("https://{}", listener.local_addr().unwrap()), pin)).unwrap();
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(listener.accept().await.unwrap().0).await {
                answer_once(stream, http("200 OK", "[]")).await;
            }
        });
        backend.get("listing", path::CASES).await
    }

    #[tokio::test]
    async fn a_private_backend_is_known_by_its_pin_and_an_impostor_refused() {
        assert_eq!(pinned(true).await, Ok(Vec::new()));
        let stop = pinned(false).await.unwrap_err();
        assert!(stop.next.as_deref().is_some_and(|next| next.starts_with("another server answers")), "{stop:?}");
    }
}
