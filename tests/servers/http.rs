//! An HTTP server whose path says how it behaves:
//! `/503` answers with that status · `/slow/1500` waits 1500 ms before the first byte · `/loop` redirects to itself · `/bounce/3`
//! redirects three times and then answers · `/bytes/100000` sends that many bytes · `/to/HOST` redirects to that host or HOST:PORT · `/h3`
//! offers HTTP/3 at port 443 · anything else says hello.

use super::{Server, serve_connections};
use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ALT_SVC, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A body is this large at most, whatever the path asks for.
const MAX_BODY_BYTES: usize = 64 << 20;

/// # Errors
/// Where the address cannot be listened on.
pub async fn serve_http(address: SocketAddr) -> Result<Server> {
    serve_connections(address, converse).await
}

/// Serves HTTP/1.1 on one connection, plain or within TLS, until it ends.
pub(super) async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    // A client that goes away in the middle is its own affair.
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    // Who answers and goes while there is something to read ends the connection with a reset.
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let mut parts = path.trim_matches('/').split('/');
    let (what, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let number = value.parse::<u64>().ok();
    let redirect = |to: String| respond(StatusCode::FOUND, Bytes::new(), Some(to));
    Ok(match (what, number) {
        ("slow", Some(milliseconds)) => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            respond(StatusCode::OK, "late hello\n".into(), None)
        }
        ("loop", _) => redirect("/loop".into()),
        ("to", _) => redirect(format!("http://{value}/")),
        ("bounce", Some(left)) if left > 0 => redirect(format!("/bounce/{}", left - 1)),
        ("h3", _) => {
            let mut response = respond(StatusCode::OK, "hello\n".into(), None);
            response.headers_mut().insert(ALT_SVC, HeaderValue::from_static("h3=\":443\"; ma=60"));
            response
        }
        ("bytes", Some(length)) => {
            respond(StatusCode::OK, vec![b'x'; usize::try_from(length).unwrap_or(0).min(MAX_BODY_BYTES)].into(), None)
        }
        (status, _) => match status.parse::<u16>().ok().and_then(|code| StatusCode::from_u16(code).ok()) {
            Some(status) => respond(status, format!("{status}\n").into(), None),
            None => respond(StatusCode::OK, "hello\n".into(), None),
        },
    })
}

fn respond(status: StatusCode, body: Bytes, location: Option<String>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    if let Some(location) = location.and_then(|text| text.parse().ok()) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
