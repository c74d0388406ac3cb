//! A stream of bytes that notes what passes over it: the first bytes received, when a request went out and when its answer began,
//! and how reading ended. TLS and HTTP libraries hide all of this behind errors of their own.

use super::failure;
use crate::clock::Clock;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Enough of a reply to recognise a protocol by its banner.
const FIRST_BYTES: usize = 128;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A TCP connection, a tunnel through a proxy, or TLS over either.
pub(crate) type Wire = Box<dyn Duplex>;

/// A wire with its notes taken.
pub(crate) struct Watched {
    wire: Wire,
    clock: Clock,
    notes: Notes,
}

/// What passed over a watched wire. Clones read the same notes, also after the wire is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    first: Vec<u8>,
    asking: bool,
    written: bool,
    /// When the first bytes were handed over.
    spoke_at: Option<Duration>,
    sent_at: Option<Duration>,
    answered_at: Option<Duration>,
    ended: Option<Failure>,
    sent_bytes: u64,
    received_bytes: u64,
}

impl Watched {
    pub(crate) fn new(wire: Wire, clock: Clock) -> (Self, Notes) {
        let notes = Notes::default();
        (Self { wire, clock, notes: notes.clone() }, notes)
    }
}

impl Notes {
    /// From now on, the next bytes written are the request, and the next received after them its answer.
    pub(crate) fn asking(&self) {
        let mut noted = self.noted();
        noted.asking = true;
        noted.written = false;
    }

    /// When the request had been handed over entirely, on the run's clock.
    pub(crate) fn sent_at(&self) -> Option<Duration> {
        self.noted().sent_at
    }

    /// When the first bytes were handed over, on the run's clock: in TLS, the ClientHello.
    pub(crate) fn spoke_at(&self) -> Option<Duration> {
        self.noted().spoke_at
    }

    /// When the first byte after the request came.
    pub(crate) fn answered_at(&self) -> Option<Duration> {
        self.noted().answered_at
    }

    /// The first bytes received on the wire.
    pub(crate) fn first_bytes(&self) -> Vec<u8> {
        self.noted().first.clone()
    }

    /// How reading ended, if it ended: an error, or `closed` where the peer closed.
    pub(crate) fn ended(&self) -> Option<Failure> {
        self.noted().ended.clone()
    }

    /// Bytes written and read.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let noted = self.noted();
        (noted.sent_bytes, noted.received_bytes)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received(&self, bytes: &[u8], now: Duration) {
        let mut noted = self.noted();
        let room = FIRST_BYTES.saturating_sub(noted.first.len()).min(bytes.len());
        noted.first.extend_from_slice(&bytes[..room]);
        noted.received_bytes += bytes.len() as u64;
        if bytes.is_empty() {
            noted.ended.get_or_insert_with(|| Failure::new(FailureCode::Closed, Step::Receive, "the peer closed the connection"));
        } else if noted.sent_at.is_some() {
            noted.answered_at.get_or_insert(now);
        }
    }

    fn flushed(&self, now: Duration) {
        let mut noted = self.noted();
        if noted.asking && noted.written {
            noted.sent_at.get_or_insert(now);
        }
    }

    fn failed(&self, error: &io::Error, during: Step) {
        self.noted().ended.get_or_insert_with(|| failure::from_io(error, during));
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let room = buffer.remaining();
        let result = ready!(Pin::new(&mut self.wire).poll_read(context, buffer));
        match &result {
            Ok(()) if room > 0 => self.notes.received(&buffer.filled()[before..], self.clock.now()),
            Ok(()) => {}
            Err(error) => self.notes.failed(error, Step::Receive),
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Before it is handed over: on loopback the answer may be there when the call returns.
        let now = self.clock.now();
        let result = ready!(Pin::new(&mut self.wire).poll_write(context, bytes));
        match &result {
            Ok(0) => {}
            Ok(count) => {
                let mut noted = self.notes.noted();
                noted.spoke_at.get_or_insert(now);
                noted.written = true;
                noted.sent_bytes += *count as u64;
            }
            Err(error) => self.notes.failed(error, Step::Send),
        }
        Poll::Ready(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.wire).poll_flush(context));
        match &result {
            Ok(()) => self.notes.flushed(self.clock.now()),
            Err(error) => self.notes.failed(error, Step::Send),
        }
        Poll::Ready(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(context)
    }
}
