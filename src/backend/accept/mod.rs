//! The own accept loop: every wait of a connection has a bound.
//!
//! The order is what matters. A permit is taken *before* a connection is
//! accepted, so that what is too much waits in the kernel's queue and not in
//! memory. The TLS handshake happens in the connection's own task, so that one
//! slow peer holds up nobody. One address has a share of the connections only. A
//! connection without a byte for too long is cut while it is the peer's turn; the
//! clock stands still while this program works on an answer. On the signal to stop, no connection is accepted any
//! more, running requests are finished, and what is left after the limit is cut.

mod addresses;
mod http1;
mod http2;
mod idle;
mod later;
mod seat;
mod wire;
mod working;

pub(crate) use http2::ALPN as HTTP2;
pub(crate) use later::{LaterBody, WaitingRoom};
pub(crate) use seat::Seat;

use crate::limits::Limits;
use addresses::Addresses;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures_util::future::BoxFuture;
use http2::Begun;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use idle::IdleLimit;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use wire::Wire;
use working::{WatchedBody, Working};

/// Serves `router` until `stop` resolves, then drains. Without `tls` it speaks plain HTTP.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    let addresses = Addresses::of_at_most(limits.connections_per_address);
    let (connections, stopping) = (TaskTracker::new(), CancellationToken::new());
    let mut stop = std::pin::pin!(stop);
    let mut back_off = BackOff::default();
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let (stream, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(wait) = back_off.after(&error) {
                    tracing::warn!(%error, wait_ms = wait.as_millis(), "cannot accept connections; waiting");
                    tokio::time::sleep(wait).await;
                }
                continue;
            }
        };
        back_off = BackOff::default();
        let Some(place) = addresses.begin(peer.ip()) else {
            tracing::debug!(%peer, "too many connections of this address");
            continue;
        };
        let connection = Connection {
            tls: tls.clone(),
            router: router.clone(),
            limits: limits.clone(),
            peer,
            seat: Seat::of((place, permit), stopping.child_token()),
        };
        connections.spawn(connection.run(stream));
    }
    drop(listener);
    tracing::info!(connections = connections.len(), "stopping: running requests are finished");
    stopping.cancel();
    connections.close();
    if tokio::time::timeout(limits.drain, connections.wait()).await.is_err() {
        tracing::warn!("connections were still open at the end of the drain and are cut");
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

struct Connection {
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    peer: SocketAddr,
    /// Given back when the connection and its last request are gone.
    seat: Seat,
}

impl Connection {
    /// A function that is no future itself, so that what is held ten thousand times is as large as it is, and not as large as what it was made
    /// of; nor as what went before it.
    fn run(self, stream: TcpStream) -> BoxFuture<'static, ()> {
        // Answers are small and whole: waiting to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        match self.tls.clone() {
            None => self.speak_http1(stream),
            Some(acceptor) => {
                let handshake: BoxFuture<'static, Option<BoxFuture<'static, ()>>> = Box::pin(async move {
                    match tokio::time::timeout(self.limits.handshake, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => {
                            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
                            let stream = Box::new(stream);
                            return Some(if is_http2 { self.speak_http2(stream) } else { self.speak_http1(stream) });
                        }
                        Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "TLS handshake failed"),
                        Err(_) => tracing::debug!(peer = %self.peer, "TLS handshake took too long"),
                    }
                    None
                });
                Box::pin(async move {
                    let speaking = handshake.await;
                    if let Some(speaking) = speaking {
                        speaking.await;
                    }
                })
            }
        }
    }

    fn speak_http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> BoxFuture<'static, ()> {
        let (peer, room, working) = (self.peer, WaitingRoom::default(), Working::default());
        let (headers, idle, stopping) = (self.limits.headers, self.limits.idle, self.seat.end().clone());
        let has_room = room.clone();
        let service = self.service(&working, move |request| {
            if http1::may_wait(request) {
                request.extensions_mut().insert(has_room.clone());
            }
        });
        let serving = http1::serve(Wire::new(IdleLimit::new(stream, idle, working)), service, room, headers, stopping);
        Box::pin(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%peer, %error, "connection ended early");
            }
        })
    }

    fn speak_http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> BoxFuture<'static, ()> {
        let (peer, begun, working) = (self.peer, Begun::default(), Working::default());
        let (limits, stopping, counted) = (self.limits.clone(), self.seat.end().clone(), begun.clone());
        let service = self.service(&working, move |_| counted.count());
        let stream = IdleLimit::new(stream, limits.idle, working);
        Box::pin(async move {
            if let Err(error) = http2::serve(stream, service, begun, &limits, stopping).await {
                tracing::debug!(%peer, %error, "connection ended early");
            }
        })
    }

    /// The router, which is told of each request where it comes from; `prepare` adds what else a version of HTTP has to say.
    fn service<P: Fn(&mut hyper::Request<Body>) + Clone + Send + 'static>(
        self,
        working: &Working,
        prepare: P,
    ) -> impl Service<hyper::Request<Incoming>, Response = hyper::Response<Body>, Error = Infallible, Future: Send + 'static> + use<P>
    {
        let Self { router, limits, peer, seat, .. } = self;
        let (reading, answering, slow_start) = (working.clone(), working.clone(), limits.slow_start);
        let service = router.map_request(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(|body| Body::new(WatchedBody::new(body, reading.clone(), slow_start)));
            prepare(&mut request);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(seat.clone());
            request
        });
        let service = ServiceExt::<hyper::Request<Incoming>>::map_future(service, move |answer| {
            let turn = answering.begin();
            async move {
                let answered = answer.await;
                drop(turn);
                answered
            }
        });
        TowerToHyperService::new(service)
    }
}

/// How long to wait after an error of `accept`, so that a full descriptor table does not spin the loop.
#[derive(Default)]
struct BackOff {
    failures: u32,
}

impl BackOff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Nothing where the error was the peer's (it hung up while it waited in the queue).
    fn after(&mut self, error: &io::Error) -> Option<Duration> {
        use io::ErrorKind as K;
        if matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::Interrupted) {
            return None;
        }
        let wait = Self::FIRST.saturating_mul(1 << self.failures.min(8)).min(Self::LONGEST);
        self.failures += 1;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_descriptor_table_is_waited_out_and_a_hung_up_peer_is_not() {
        const EMFILE: i32 = 24;
        let mut back_off = BackOff::default();
        let full = io::Error::from_raw_os_error(EMFILE);
        let waits: Vec<u128> = (0..7).filter_map(|_| back_off.after(&full)).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(back_off.after(&io::ErrorKind::ConnectionAborted.into()), None);
    }
}
