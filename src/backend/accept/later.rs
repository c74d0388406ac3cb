use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// Makes what an answer's body will be.
pub(super) type Waiting = BoxFuture<'static, Bytes>;

/// Where a connection that has nothing to do but to wait for an answer's body finds what it waits for. A connection of HTTP/1.1 has one, and lets
/// go of everything else meanwhile: of what it costs to hold ten thousand agents, the buffers of HTTP would be the most.
#[derive(Clone, Default)]
pub(crate) struct WaitingRoom {
    waiting: Arc<Mutex<Option<Waiting>>>,
}

/// The body of an answer whose head goes out at once: one piece, once it is known.
pub(crate) struct LaterBody(State);

enum State {
    Here(Waiting),
    ToHandOver(Waiting, WaitingRoom),
    /// The connection waits in this body's place, and will never ask it again for anything that counts.
    HandedOver,
    Done,
}

impl WaitingRoom {
    fn place(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.place().is_none()
    }

    pub(super) fn take(&self) -> Option<Waiting> {
        self.place().take()
    }
}

impl LaterBody {
    /// The body that `waiting` makes. Where the connection has a waiting room, the connection waits in this body's place.
    pub(crate) fn new(room: Option<WaitingRoom>, waiting: impl Future<Output = Bytes> + Send + 'static) -> Self {
        let waiting: Waiting = Box::pin(waiting);
        Self(match room {
            Some(room) => State::ToHandOver(waiting, room),
            None => State::Here(waiting),
        })
    }
}

impl Body for LaterBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match std::mem::replace(&mut self.0, State::HandedOver) {
            State::HandedOver => Poll::Pending,
            State::ToHandOver(waiting, room) => {
                *room.place() = Some(waiting);
                Poll::Pending
            }
            State::Here(mut waiting) => {
                let polled = waiting.as_mut().poll(context);
                self.0 = if polled.is_ready() { State::Done } else { State::Here(waiting) };
                polled.map(|bytes| Some(Ok(Frame::data(bytes))))
            }
            State::Done => {
                self.0 = State::Done;
                Poll::Ready(None)
            }
        }
    }
}
