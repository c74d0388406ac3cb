//! One request over plain HTTP to an address that a certificate names: the issuer's certificate, or a word about revocation. Without
//! redirects, and through the gate like any other connection.

use super::connect;
use crate::context::Context;
use crate::counted;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::net::SocketAddr;
use std::time::Duration;
use url::Url;

/// What is asked for, and how much of it is taken.
pub(super) struct Request<'a> {
    pub(super) url: &'a str,
    /// The body of a POST with its media type; none makes it a GET.
    pub(super) question: Option<(&'static str, Vec<u8>)>,
    pub(super) most_bytes: usize,
    /// For all of it together.
    pub(super) timeout: Duration,
}

/// Told of each step that begins, and of the address as soon as it is known.
type Note<'n> = &'n mut (dyn FnMut(Step, Option<SocketAddr>) + Send);

/// The body of the answer.
///
/// # Errors
/// Where the gate, the network or the answer's status stands against it, with the step that it came to.
pub(super) async fn download(context: &Context, request: &Request<'_>, note: Note<'_>) -> Result<Bytes, Failure> {
    let mut reached = Step::Resolve;
    let outcome = {
        let mut noted = |step: Step, address: Option<SocketAddr>| {
            reached = step;
            note(step, address);
        };
        tokio::time::timeout(request.timeout, exchange(context, request, &mut noted)).await
    };
    outcome.unwrap_or_else(|_| {
        let text = format!("no whole answer within {} ms", request.timeout.as_millis());
        Err(Failure::new(FailureCode::TimedOut, reached, text))
    })
}

async fn exchange(context: &Context, request: &Request<'_>, note: Note<'_>) -> Result<Bytes, Failure> {
    let wrong = |text: String| Failure::new(FailureCode::ProtocolError, Step::Receive, text);
    let parsed = Url::parse(request.url).map_err(|error| wrong(format!("{}: {error}", request.url)))?;
    let host = parsed.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = context.names.of_certificate(&context.gate, host).await?;
    note(Step::Connect, None);
    let port = parsed.port_or_known_default().unwrap_or(80);
    let connected = connect::first_of_certificate(context, &addresses, port, request.timeout).await.map_err(|not_connected| {
        note(Step::Connect, Some(not_connected.address));
        not_connected.failure
    })?;
    note(Step::Receive, Some(connected.address));
    let failed = |error: hyper::Error| counted::used_up(&error, Step::Receive).unwrap_or_else(|| wrong(error.to_string()));
    let (mut sender, connection) = http1::handshake(TokioIo::new(connected.stream)).await.map_err(failed)?;
    let message = message(&parsed, request.question.as_ref()).map_err(|error| wrong(error.to_string()))?;
    let answer = async {
        let response = sender.send_request(message).await.map_err(failed)?;
        if response.status() != http::StatusCode::OK {
            return Err(wrong(format!("the answer has the status {}", response.status().as_u16())));
        }
        let body = Limited::new(response.into_body(), request.most_bytes).collect().await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|error| counted::used_up(error.as_ref(), Step::Receive).unwrap_or_else(|| wrong(error.to_string())))
    };
    // The connection is driven beside the request, and dropped with it.
    tokio::pin!(answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        result = &mut answer => result,
        // The connection may end before the last of the answer was taken.
        _ = &mut connection => answer.await,
    }
}

fn message(url: &Url, question: Option<&(&'static str, Vec<u8>)>) -> http::Result<http::Request<Full<Bytes>>> {
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let authority = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let builder = match question {
        Some((media_type, _)) => http::Request::post(target).header(http::header::CONTENT_TYPE, *media_type),
        None => http::Request::get(target),
    };
    let body = question.map_or_else(Bytes::new, |(_, body)| Bytes::from(body.clone()));
    builder.header(http::header::HOST, authority).body(Full::new(body))
}
