//! Echo requests under way by the system's own interface, each in a thread that waits for its answer and nothing else.

use crate::clock::Clock;
use crate::platform::windows::echo::{EchoAnswer, EchoRequest, ask};
use std::io;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests under way at once, of all checks of this process. A traceroute of the widest settings has some two hundred, and each costs
/// a small stack.
const MAX_UNDER_WAY: usize = 256;
/// The call needs little; the system rounds it up.
const STACK_BYTES: usize = 128 << 10;

static UNDER_WAY: Semaphore = Semaphore::const_new(MAX_UNDER_WAY);

/// What came of a request, with the program's own stamps around the call.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    pub(crate) result: io::Result<EchoAnswer>,
}

impl Asked {
    /// When the answer was there at the latest: the program's own stamp holds the waking of its thread, and the system says in which
    /// millisecond the round trip ended.
    pub(crate) fn answered_by(&self) -> Duration {
        let told = self.result.as_ref().ok().map(|found| Duration::from_millis(u64::from(found.system_rtt_ms) + 1));
        told.map_or(self.ended, |told| self.ended.min(self.began + told))
    }
}

/// Leave to have one request more under way.
pub(crate) struct Turn(SemaphorePermit<'static>);

/// Waits until fewer than [`MAX_UNDER_WAY`] are under way.
pub(crate) async fn turn() -> Option<Turn> {
    UNDER_WAY.acquire().await.ok().map(Turn)
}

/// As [`turn`], without waiting.
pub(crate) fn turn_now() -> io::Result<Turn> {
    let full = |_| io::Error::other(format!("{MAX_UNDER_WAY} echo requests are under way already: send fewer at once"));
    UNDER_WAY.try_acquire().map(Turn).map_err(full)
}

/// Sends the request from a thread of its own, and has that thread hand over what came of it.
///
/// # Errors
/// Where the system has no thread left.
pub(crate) fn start(request: EchoRequest, clock: Clock, turn: Turn, then: impl FnOnce(Asked) + Send + 'static) -> io::Result<()> {
    let work = move || {
        let began = clock.now();
        let result = ask(&request);
        let ended = clock.now();
        drop(turn.0);
        then(Asked { began, ended, result });
    };
    std::thread::Builder::new().name("echo".into()).stack_size(STACK_BYTES).spawn(work).map(|_| ())
}
