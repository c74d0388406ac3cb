//! A connection of HTTP/2, as browsers and proxies speak it over TLS.
//!
//! What HTTP/1.1 bounds by the turns that the sides take is bounded here by counts: streams at once, bytes that wait. A peer can keep a
//! connection of HTTP/2 alive without ever asking for anything (PING, RFC 9113 section 6.7), so one on which no request begins for a while is
//! told to go: what runs on it is finished, and a peer that wants more opens another.

use crate::limits::{Limits, MAX_HEAD_BYTES};
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

/// As it is negotiated in TLS (RFC 9113 section 3.1).
pub(crate) const ALPN: &[u8] = b"h2";

/// Requests at once: a browser's page, or an agent that waits for work, reports and uploads.
const MAX_STREAMS: u32 = 32;
/// Bytes of a body that wait for whoever reads it; a part of an upload comes at 600 kB/s over a satellite.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for all bodies of a connection.
const CONNECTION_WINDOW: u32 = 512 << 10;
/// Bytes of an answer that wait for the peer.
const SEND_BUFFER: usize = 64 << 10;

/// How many requests have begun on a connection.
#[derive(Clone, Default)]
pub(super) struct Begun(Arc<AtomicU64>);

impl Begun {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serves requests until one of the sides ends the connection; after `stopping` no further one.
pub(super) async fn serve<S, H>(
    stream: S,
    service: H,
    begun: Begun,
    limits: &Limits,
    stopping: CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(2 * MAX_HEAD_BYTES).unwrap_or(u32::MAX));
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let is_unused = async {
        loop {
            let before = begun.so_far();
            tokio::time::sleep(limits.idle).await;
            if begun.so_far() == before {
                return;
            }
        }
    };
    tokio::select! {
        ended = &mut connection => return ended,
        () = is_unused => {}
        () = stopping.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    // The longest that one request may take: the ticket page's form.
    tokio::time::timeout(limits.form, connection).await.unwrap_or(Ok(()))
}
