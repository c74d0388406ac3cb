//! A connection of HTTP/1.1, which costs little while it waits.
//!
//! hyper holds a read buffer of 8 KiB and its parser's memory for as long as a connection lives. A request that is held for a minute has its
//! answer's head at once; from then on the connection needs neither. So hyper is let go as soon as the head has left, what makes the body is
//! waited for beside a peer that may hang up, the body is sent as one chunk (RFC 9112 section 7.1), and hyper serves what comes after it.

use super::later::{Waiting, WaitingRoom};
use super::wire::{Unsent, Wire};
use crate::limits::MAX_HEAD_BYTES;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, TE};
use hyper::server::conn::http1::{Builder, Connection};
use hyper::service::Service;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// Why a connection ended before its peer wanted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("HTTP: {0}")]
    Http(#[source] hyper::Error),
    #[error("a held answer could not be sent: {0}")]
    Write(#[source] std::io::Error),
}

/// Whether the answer to this request comes in chunks over a connection that goes on, which is what [`serve`] can send by itself.
pub(super) fn may_wait<B: HttpBody>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11 && !request.headers().contains_key(CONNECTION) && !request.headers().contains_key(TE)
}

/// Serves requests until one of the sides ends the connection; after `stopping` no further one.
pub(super) async fn serve<S, H>(
    mut wire: Wire<S>,
    mut service: H,
    room: WaitingRoom,
    headers: Duration,
    stopping: CancellationToken,
) -> Result<(), Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    loop {
        let mut builder = Builder::new();
        // The router refuses a head that is too large with a problem document; what does not even fit here gets a bare 431.
        builder.timer(TokioTimer::new()).header_read_timeout(headers).max_buf_size(2 * MAX_HEAD_BYTES);
        let unsent = wire.unsent();
        // Boxed, so that its room is given back while the connection waits.
        let mut connection = Box::new(builder.serve_connection(TokioIo::new(wire), service));
        let Some(waiting) = until_waiting(&mut connection, (&room, &unsent), &stopping).await? else { return Ok(()) };
        let parts = connection.into_parts();
        (wire, service) = (parts.io.into_inner(), parts.service);
        wire.put_back(parts.read_buf);
        let Some(body) = wait(&mut wire, waiting).await else { return Ok(()) };
        wire.write_all(&last_chunk(&body)).await.map_err(Ended::Write)?;
        wire.flush().await.map_err(Ended::Write)?;
        if stopping.is_cancelled() {
            return wire.shutdown().await.map_err(Ended::Write);
        }
    }
}

/// Lets hyper work until the connection has nothing left but to wait for a body: the answer's head has left. Nothing where it has ended.
async fn until_waiting<S, H>(
    connection: &mut Connection<TokioIo<Wire<S>>, H>,
    (room, unsent): (&WaitingRoom, &Unsent),
    stopping: &CancellationToken,
) -> Result<Option<Waiting>, Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    let mut connection = Pin::new(connection);
    let mut stop = std::pin::pin!(stopping.cancelled());
    let mut is_told = false;
    poll_fn(|context| {
        if !is_told && stop.as_mut().poll(context).is_ready() {
            is_told = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            return Poll::Ready(ended.map(|()| None).map_err(Ended::Http));
        }
        if room.is_empty() || unsent.is_some() { Poll::Pending } else { Poll::Ready(Ok(room.take())) }
    })
    .await
}

/// What `waiting` makes; nothing where the peer has hung up before.
async fn wait<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>, mut waiting: Waiting) -> Option<Bytes> {
    poll_fn(|context| match waiting.as_mut().poll(context) {
        Poll::Ready(body) => Poll::Ready(Some(body)),
        Poll::Pending => wire.poll_hung_up(context).map(|()| None),
    })
    .await
}

/// The whole body as a chunk, and the end of the body.
fn last_chunk(body: &[u8]) -> Vec<u8> {
    const END: &[u8] = b"0\r\n\r\n";
    let length = if body.is_empty() { String::new() } else { format!("{:x}\r\n", body.len()) };
    let line_end: &[u8] = if body.is_empty() { b"" } else { b"\r\n" };
    [length.as_bytes(), body, line_end, END].concat()
}

#[cfg(test)]
mod tests {
    use super::super::later::LaterBody;
    use super::*;
    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt, DuplexStream};
    use tokio::sync::oneshot;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A connection whose first answer's body comes through the channel; all others are empty.
    fn connection(stopping: &CancellationToken) -> (DuplexStream, oneshot::Sender<&'static str>, tokio::task::JoinHandle<()>) {
        let (peer, stream) = tokio::io::duplex(256);
        let (send, body) = oneshot::channel::<&'static str>();
        let (room, body) = (WaitingRoom::default(), std::sync::Mutex::new(Some(body)));
        let has_room = room.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let room = may_wait(&request).then(|| has_room.clone());
            let body = body.lock().unwrap().take();
            let later = async move {
                match body {
                    Some(body) => Bytes::from(body.await.unwrap_or_default()),
                    None => Bytes::new(),
                }
            };
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::new(LaterBody::new(room, later)))))
        });
        let stopping = stopping.clone();
        let serving = tokio::spawn(async move {
            serve(Wire::new(stream), service, room, PATIENCE, stopping).await.unwrap();
        });
        (peer, send, serving)
    }

    async fn until(peer: &mut DuplexStream, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            assert!(peer.read_buf(&mut text).await.unwrap() > 0, "{}", String::from_utf8_lossy(&text));
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn the_head_comes_at_once_the_body_later_and_then_the_next_answer() {
        let (mut peer, send, _serving) = connection(&CancellationToken::new());
        peer.write_all(REQUEST).await.unwrap();
        let head = until(&mut peer, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("transfer-encoding: chunked"), "{head}");
        // The next request comes before the answer, as a pipelining client sends it, and in two pieces.
        peer.write_all(&REQUEST[..9]).await.unwrap();
        send.send("a body of twenty-two!!").unwrap();
        assert_eq!(until(&mut peer, "0\r\n\r\n").await, "16\r\na body of twenty-two!!\r\n0\r\n\r\n");
        peer.write_all(&REQUEST[9..]).await.unwrap();
        assert!(until(&mut peer, "0\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[tokio::test]
    async fn who_hangs_up_is_not_waited_for() {
        let (mut peer, mut send, serving) = connection(&CancellationToken::new());
        peer.write_all(REQUEST).await.unwrap();
        until(&mut peer, "\r\n\r\n").await;
        drop(peer);
        tokio::time::timeout(PATIENCE, send.closed()).await.expect("what would have answered is dropped");
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_is_to_end_after_its_answer_is_left_to_http() {
        for head in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"] {
            let (mut peer, send, serving) = connection(&CancellationToken::new());
            peer.write_all(head.as_bytes()).await.unwrap();
            until(&mut peer, "\r\n\r\n").await;
            send.send("body").unwrap();
            let mut rest = String::new();
            peer.read_to_string(&mut rest).await.unwrap();
            assert!(rest.contains("body"), "{rest}");
            serving.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_stop_lets_the_held_answer_go_and_ends_the_connection() {
        let stopping = CancellationToken::new();
        let (mut peer, send, serving) = connection(&stopping);
        peer.write_all(REQUEST).await.unwrap();
        until(&mut peer, "\r\n\r\n").await;
        stopping.cancel();
        send.send("last").unwrap();
        let mut rest = String::new();
        peer.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "4\r\nlast\r\n0\r\n\r\n");
        serving.await.unwrap();
    }
}
