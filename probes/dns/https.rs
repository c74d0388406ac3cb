//! One question over HTTPS: a POST of the message, and the reply as the response's body (RFC 8484).

use super::asking::Asking;
use super::exchange::{Exchange, Patience, broken};
use super::secure;
use super::stream::{Local, connect};
use crate::context::Context;
use crate::tls::entropy;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::net::SocketAddr;
use tokio_util::task::AbortOnDropHandle;

/// RFC 8484 section 6.
const MESSAGE: &str = "application/dns-message";

const AGENT: &str = concat!("netsonde/", env!("CARGO_PKG_VERSION"));

/// The longest DNS message there can be: its length elsewhere has two bytes.
const MAX_BODY_BYTES: usize = 65_535;

/// The server of a URL: `https://NAME-OR-ADDRESS:PORT/PATH`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resource<'a> {
    pub address: SocketAddr,
    pub name: Option<&'a str>,
    pub path: &'a str,
}

pub(super) async fn ask(context: &Context, mut asking: Asking, resource: Resource<'_>, patience: Patience) -> Exchange {
    entropy::ready(context).await;
    let (mut exchange, stream) = connect(context, resource.address.into(), resource.address, patience).await;
    let Some(stream) = stream else { return exchange };
    let (address, name) = (resource.address, resource.name);
    let stream = match secure::shake(context, stream, address, name, &["h2", "http/1.1"], patience.timeout, &mut exchange).await {
        Ok(stream) => stream,
        Err(failure) => return exchange.failed(failure),
    };
    let local = stream.local();
    let version = match exchange.tls.as_ref().and_then(|tls| tls.alpn.as_deref()) {
        Some("h2") => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    let mut connection = match Connection::open(stream, version).await {
        Ok(connection) => connection,
        Err(error) => return exchange.failed(failure(&error, Step::Send)),
    };
    loop {
        let (query, which, why) = asking.current();
        exchange.sends(query, which, why, local);
        let bytes = query.bytes().to_vec();
        match tokio::time::timeout(patience.timeout, connection.post(resource, bytes, &mut exchange)).await {
            Ok(Ok(body)) => match asking.take(&body, None) {
                Ok(received) => {
                    exchange.replied(&received);
                    if let Some(reply) = asking.replied(received) {
                        exchange.outcome = Ok(reply);
                        return exchange;
                    }
                }
                Err(why) => {
                    exchange.other(&asking, &body, None);
                    return exchange.failed(broken(&why));
                }
            },
            Ok(Err(failure)) => return exchange.ends_with(failure, &mut asking),
            Err(_) => {
                let text = format!("no response within {} ms", patience.timeout.as_millis());
                return exchange.ends_in_silence(Failure::new(FailureCode::TimedOut, Step::Receive, text), &mut asking);
            }
        }
    }
}

struct Connection {
    sender: Sender,
    /// Moves the bytes. It ends with the connection, so that a check that is cut off leaves nothing running.
    _driver: AbortOnDropHandle<()>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    async fn open(stream: secure::Secured, version: Version) -> Result<Self, hyper::Error> {
        let io = TokioIo::new(stream);
        // An error of the connection reaches the request's own future as well.
        let (sender, driver) = if version == Version::HTTP_2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(io).await?;
            (Sender::Http2(sender), tokio::spawn(async move { drop(connection.await) }))
        } else {
            let (sender, connection) = http1::Builder::new().handshake(io).await?;
            (Sender::Http1(sender), tokio::spawn(async move { drop(connection.await) }))
        };
        Ok(Self { sender, _driver: AbortOnDropHandle::new(driver) })
    }

    /// The body of a response of status 200 and the right type.
    async fn post(&mut self, resource: Resource<'_>, message: Vec<u8>, exchange: &mut Exchange) -> Result<Bytes, Failure> {
        let request = self.request(resource, message).map_err(|error| {
            Failure::new(
                FailureCode::ProtocolError,
                Step::Send,
                format!("the path `{}` makes no request: {error}", resource.path),
            )
        })?;
        let sent = match &mut self.sender {
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender) => sender.send_request(request).await,
        };
        let response = sent.map_err(|error| failure(&error, Step::Receive))?;
        exchange.http_status = Some(response.status().as_u16());
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_message = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MESSAGE));
        if response.status() != http::StatusCode::OK || !is_message {
            let what = if is_message { String::new() } else { format!(" with a body that is no DNS message ({})", shown(kind)) };
            let text = format!("the response has status {}{what}", response.status().as_u16());
            return Err(Failure::new(FailureCode::ProtocolError, Step::Receive, text));
        }
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| {
            Failure::new(FailureCode::ProtocolError, Step::Receive, format!("the body could not be read: {error}"))
        })
    }

    fn request(&self, resource: Resource<'_>, message: Vec<u8>) -> Result<Request<Full<Bytes>>, http::Error> {
        let host = match (resource.name, resource.address) {
            (Some(name), _) => name.to_owned(),
            (None, SocketAddr::V4(v4)) => v4.ip().to_string(),
            (None, SocketAddr::V6(v6)) => format!("[{}]", v6.ip()),
        };
        let authority = format!("{host}:{}", resource.address.port());
        let builder = match self.sender {
            Sender::Http1(_) => Request::builder().uri(resource.path).header(HOST, authority),
            Sender::Http2(_) => Request::builder().version(Version::HTTP_2).uri(format!("https://{authority}{}", resource.path)),
        };
        builder
            .method(Method::POST)
            .header(CONTENT_TYPE, MESSAGE)
            .header(ACCEPT, MESSAGE)
            .header(USER_AGENT, AGENT)
            .body(Full::new(Bytes::from(message)))
    }
}

/// A server's content type, in printable ASCII and no longer than any that is registered.
fn shown(kind: &str) -> String {
    match kind {
        "" => "no content type".to_owned(),
        kind => kind.chars().filter(|c| c.is_ascii_graphic()).take(64).collect(),
    }
}

fn failure(error: &hyper::Error, step: Step) -> Failure {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return crate::tls::failure::from_io(io, step);
        }
        source = inner.source();
    }
    let code = if error.is_incomplete_message() { FailureCode::Closed } else { FailureCode::ProtocolError };
    Failure::new(code, step, error.to_string())
}
