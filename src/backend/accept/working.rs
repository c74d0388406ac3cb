use crate::clock::moment_in;
use crate::limits::MIN_BODY_RATE;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Whose turn it is on a connection: this program's from a request's head until its answer, but for the time it waits for the body. Where several
/// requests are answered at once, it is this program's turn while it works on any of them.
#[derive(Clone, Default)]
pub(super) struct Working {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    answering: AtomicUsize,
    awaiting_body: AtomicUsize,
}

/// An answer is being made until this is dropped.
pub(super) struct Answering(Working);

impl Working {
    pub(super) fn begin(&self) -> Answering {
        self.state.answering.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    pub(super) fn is_ours(&self) -> bool {
        self.state.answering.load(Ordering::Relaxed) > self.state.awaiting_body.load(Ordering::Relaxed)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.state.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One body is waited for, or not.
struct Awaiting {
    working: Working,
    is_so: bool,
}

impl Awaiting {
    fn set(&mut self, awaits: bool) {
        match (self.is_so, awaits) {
            (false, true) => _ = self.working.state.awaiting_body.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.working.state.awaiting_body.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
        self.is_so = awaits;
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// A request's body, which says when it is waited for and ends with an error where it only drips in.
pub(super) struct WatchedBody {
    body: Incoming,
    awaiting: Awaiting,
    slow_start: Duration,
    pace: Option<Pace>,
}

/// The body came more slowly than any link that could carry a bundle.
#[derive(Debug, thiserror::Error)]
#[error("the body comes too slowly")]
struct TooSlow;

type BodyError = Box<dyn std::error::Error + Send + Sync>;

impl WatchedBody {
    pub(super) fn new(body: Incoming, working: Working, slow_start: Duration) -> Self {
        Self { body, awaiting: Awaiting { working, is_so: false }, slow_start, pace: None }
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let now = moment_in(Duration::ZERO);
        let slow_start = self.slow_start;
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.awaiting.set(polled.is_pending());
        let pace = self.pace.get_or_insert_with(|| Pace { until: now + slow_start, bytes: 0 });
        polled.map(|frame| {
            frame.map(|frame| {
                let frame = frame?;
                pace.came(frame.data_ref().map_or(0, Bytes::len), now)?;
                Ok(frame)
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes over time. It reads no clock.
struct Pace {
    /// Before this, any pace will do.
    until: Instant,
    bytes: u64,
}

impl Pace {
    fn came(&mut self, bytes: usize, now: Instant) -> Result<(), TooSlow> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let least = now.saturating_duration_since(self.until).as_secs().saturating_mul(MIN_BODY_RATE);
        if self.bytes < least { Err(TooSlow) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_drips_in_is_given_up_and_a_slow_one_is_not() {
        let until = moment_in(Duration::ZERO);
        let after = |seconds: u64| until + Duration::from_secs(seconds);
        let mut slow = Pace { until, bytes: 0 };
        let mut dripping = Pace { until, bytes: 0 };
        for second in 1..600 {
            assert!(slow.came(MIN_BODY_RATE as usize, after(second)).is_ok());
        }
        assert!(dripping.came(1, until).is_ok(), "the start may be slow");
        assert!(dripping.came(1, after(2)).is_err());
    }

    #[test]
    fn the_turn_is_the_peers_before_the_answer_and_while_its_body_is_waited_for() {
        let working = Working::default();
        assert!(!working.is_ours());
        let answering = working.begin();
        assert!(working.is_ours());
        let mut awaiting = Awaiting { working: working.clone(), is_so: false };
        awaiting.set(true);
        assert!(!working.is_ours());
        let another = working.begin();
        assert!(working.is_ours(), "it works on another answer");
        drop(another);
        drop(awaiting);
        assert!(working.is_ours());
        drop(answering);
        assert!(!working.is_ours());
    }
}
