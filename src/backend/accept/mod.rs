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
mod idle;
mod seat;
mod working;

pub(crate) use seat::Seat;

use crate::limits::{Limits, MAX_HEAD_BYTES};
use addresses::Addresses;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use idle::IdleLimit;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
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
    let graceful = GracefulShutdown::new();
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
            watcher: graceful.watcher(),
            peer,
            seat: Seat::of((place, permit)),
        };
        tokio::spawn(connection.run(stream));
    }
    drop(listener);
    tracing::info!(connections = graceful.count(), "stopping: running requests are finished");
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
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
    watcher: Watcher,
    peer: SocketAddr,
    /// Given back when the connection and its last request are gone.
    seat: Seat,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        // Answers are small and whole: waiting to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        match self.tls.clone() {
            None => self.speak(stream).await,
            Some(acceptor) => match tokio::time::timeout(self.limits.handshake, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => self.speak(stream).await,
                Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(peer = %self.peer, "TLS handshake took too long"),
            },
        }
    }

    /// Makes the connection's future in a function that is none itself, and boxes it once it is whole: what is held ten thousand times is as large
    /// as it is, and not as large as what it was made of.
    fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> BoxFuture<'static, ()> {
        let (peer, seat) = (self.peer, self.seat);
        let working = Working::default();
        let (reading, slow_start) = (working.clone(), self.limits.slow_start);
        let service = self.router.map_request(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(|body| Body::new(WatchedBody::new(body, reading.clone(), slow_start)));
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(seat.clone());
            request
        });
        let answering = working.clone();
        let service = ServiceExt::<hyper::Request<Incoming>>::map_future(service, move |answer| {
            let turn = answering.begin();
            async move {
                let answered = answer.await;
                drop(turn);
                answered
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.headers)
            // The router refuses a head that is too large with a problem document; what does not even fit here gets a bare 431.
            .max_buf_size(2 * MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(IdleLimit::new(stream, self.limits.idle, working)), TowerToHyperService::new(service));
        let ended = move |ended: hyper::Result<()>| {
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "connection ended early");
            }
        };
        self.watcher.watch(connection).map(ended).boxed()
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
