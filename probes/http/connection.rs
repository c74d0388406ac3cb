use super::payload::Payload;
use crate::clock::Clock;
use crate::tls::connect::Connected;
use crate::tls::wire::{Notes, Watched, Wire};
use http::Response;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::{SockRef, Socket};
use std::net::SocketAddr;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// A response's head may be so large: servers and proxies commonly stop at 8 to 32 KiB.
const MAX_HEAD_BYTES: u32 = 65_536;

/// Header fields of one response at most; real ones have some dozens.
const MAX_HEADERS: usize = 256;

/// A TCP connection before anything is said over it.
pub(super) struct Link {
    pub(super) wire: Wire,
    pub(super) address: SocketAddr,
    pub(super) local: Option<SocketAddr>,
    /// The same socket once more, to ask the kernel about it when the libraries have closed theirs.
    pub(super) socket: Option<Socket>,
    /// No certificate of a proxy was in the way.
    pub(super) trusted: bool,
}

impl Link {
    pub(super) fn of(connected: Connected) -> Self {
        let Connected { stream, address, .. } = connected;
        let local = stream.local_addr().ok();
        let socket = SockRef::from(&*stream).try_clone().ok();
        Self { wire: Box::new(stream), address, local, socket, trusted: true }
    }
}

/// A connection for one request.
pub(super) struct Connection {
    sender: Sender,
    clock: Clock,
    notes: Notes,
    /// Moves the bytes. It ends with the connection, so that a check that is cut off leaves nothing running.
    driver: AbortOnDropHandle<()>,
}

/// How long the end of a connection may take: what was asked has been answered, and nobody waits for more.
const FAREWELL_WAIT: Duration = Duration::from_millis(250);

enum Sender {
    Http1(http1::SendRequest<Payload>),
    Http2(http2::SendRequest<Payload>),
}

/// A response's head with its times.
pub(super) struct Head {
    pub(super) response: Response<Incoming>,
    /// When the first byte of the response came, on the run's clock.
    pub(super) first_byte_at: Duration,
    /// When the head had been read.
    pub(super) read_at: Duration,
}

impl Connection {
    /// Begins to speak HTTP over the wire. The notes outlive the connection and any error.
    pub(super) async fn open(wire: Wire, version: http::Version, clock: Clock) -> (Result<Self, hyper::Error>, Notes) {
        let (watched, notes) = Watched::new(wire, clock);
        (Self::start(watched, version, clock, notes.clone()).await, notes)
    }

    async fn start(watched: Watched, version: http::Version, clock: Clock, notes: Notes) -> Result<Self, hyper::Error> {
        let io = TokioIo::new(watched);
        // An error of the connection reaches the request's own future as well.
        let (sender, driver) = if version == http::Version::HTTP_2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_header_list_size(MAX_HEAD_BYTES);
            let (sender, connection) = builder.handshake(io).await?;
            (Sender::Http2(sender), tokio::spawn(async move { drop(connection.await) }))
        } else {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(MAX_HEAD_BYTES as usize).max_headers(MAX_HEADERS);
            let (sender, connection) = builder.handshake(io).await?;
            (Sender::Http1(sender), tokio::spawn(async move { drop(connection.with_upgrades().await) }))
        };
        Ok(Self { sender, clock, notes, driver: AbortOnDropHandle::new(driver) })
    }

    /// Ends the connection as its protocols want it (RFC 9110 section 3.3; close_notify, RFC 8446 section 6.1, and a FIN): one that is
    /// just dropped looks cut off to the server. The response has to be read or dropped before.
    pub(super) async fn farewell(self) {
        let Self { sender, driver, .. } = self;
        drop(sender);
        // A server that goes on, or is gone, is left.
        let _ = tokio::time::timeout(FAREWELL_WAIT, driver).await;
    }

    /// Sends the request and waits for the response's head.
    pub(super) async fn send(&mut self, request: http::Request<Payload>) -> Result<Head, hyper::Error> {
        self.notes.asking();
        let (response, first_byte_at) = match &mut self.sender {
            Sender::Http1(sender) => (sender.send_request(request).await?, self.notes.answered_at()),
            // Frames about the connection come and go at any time; only the head itself is the answer.
            Sender::Http2(sender) => (sender.send_request(request).await?, None),
        };
        let read_at = self.clock.now();
        Ok(Head { response, first_byte_at: first_byte_at.unwrap_or(read_at), read_at })
    }
}
