//! The thread that listens: one for all sockets of an engine.
//!
//! It waits with poll(2), drains error queues before messages (so that a request's stamp is known before its reply), measures how the
//! wall clock stands, and only then enters what it heard.

use super::matching::{Answer, Matching, Place, StampKey};
use super::packet::{Content, Message, Signature, queued_sequence};
use super::stamps::StampClock;
use crate::clock::Clock;
use crate::platform::echo_socket::{self, EchoSocket, FULL_BATCH, Origin, Queue, Received, Receiver};
use netsonde_contract::failure::IcmpError;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Transmit stamps of raw sockets wake nobody, and are looked for at least so often: where no replies come, they must not fill their
/// buffer. At the highest rate these are a thousand.
const LONGEST_WAIT: Duration = Duration::from_millis(20);
/// Batches taken off one queue before the others get their turn: no flood starves them.
const MAX_BATCHES: usize = 32;
/// Beyond IP and ICMP headers with all their options.
const HEADERS: usize = 256;

/// What sender and listener share.
pub(super) struct Shared {
    pub(super) matching: Mutex<Matching>,
    pub(super) sockets: Vec<EchoSocket>,
    /// In the order of the sockets.
    pub(super) signatures: Vec<Signature>,
    /// How often the count of each socket's packets began anew.
    pub(super) generations: Vec<AtomicU32>,
    /// Wakes whoever waits for the last answer.
    pub(super) heard: Notify,
    stop: AtomicBool,
    clock: Clock,
}

/// Ends the thread when dropped.
pub(super) struct Listener {
    shared: Arc<Shared>,
    waker: UnixStream,
}

/// One thing heard, not yet entered.
struct Heard {
    socket: usize,
    at: Duration,
    stamp_ns: Option<i64>,
    what: What,
}

enum What {
    Message(Message),
    Left { number: u32 },
    Error { sequence: u16, target: IpAddr, icmp: IcmpError },
}

impl Shared {
    pub(super) fn new(matching: Matching, sockets: Vec<EchoSocket>, signatures: Vec<Signature>, clock: Clock) -> Self {
        let generations = sockets.iter().map(|_| AtomicU32::new(0)).collect();
        let matching = Mutex::new(matching);
        Self { matching, sockets, signatures, generations, heard: Notify::new(), stop: AtomicBool::new(false), clock }
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Matching) -> T) -> T {
        act(&mut self.matching.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Listener {
    /// # Errors
    /// Where the system gives no thread or no descriptors.
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let (waker, woken) = UnixStream::pair()?;
        let of_thread = Arc::clone(shared);
        std::thread::Builder::new().name("icmp".into()).spawn(move || listen(&of_thread, &woken))?;
        Ok(Self { shared: Arc::clone(shared), waker })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Closing its other end wakes the thread in any case.
        let _ = self.waker.shutdown(std::net::Shutdown::Both);
    }
}

fn listen(shared: &Shared, woken: &UnixStream) {
    let largest = shared.signatures.iter().map(|signature| signature.size).max().unwrap_or(0) + HEADERS;
    let mut receiver = Receiver::new(largest);
    let mut stamps = StampClock::default();
    let mut heard = Vec::new();
    stamps.measured(shared.clock.wall_offset_ns());
    while !shared.stop.load(Ordering::Acquire) {
        for (socket, ready) in echo_socket::wait(&shared.sockets, woken.as_fd(), LONGEST_WAIT).into_iter().enumerate() {
            take(shared, socket, Queue::Errors, &mut receiver, &mut heard);
            if ready {
                take(shared, socket, Queue::Messages, &mut receiver, &mut heard);
                shared.sockets[socket].clear_error();
            }
        }
        stamps.measured(shared.clock.wall_offset_ns());
        let settled = shared.with(|matching| {
            heard.drain(..).for_each(|heard| enter(shared, matching, &stamps, heard));
            matching.is_settled()
        });
        if settled {
            shared.heard.notify_one();
        }
    }
}

fn take(shared: &Shared, socket: usize, queue: Queue, receiver: &mut Receiver, heard: &mut Vec<Heard>) {
    for _ in 0..MAX_BATCHES {
        let count = receiver.receive(&shared.sockets[socket], queue, |received| {
            if let Some(what) = understood(&shared.sockets[socket], &shared.signatures[socket], &received) {
                heard.push(Heard { socket, at: shared.clock.now(), stamp_ns: received.stamp_ns, what });
            }
        });
        if count < FULL_BATCH {
            break;
        }
    }
}

fn understood(socket: &EchoSocket, signature: &Signature, received: &Received<'_>) -> Option<What> {
    let peer = received.peer;
    match received.error {
        Some(error) if error.origin == Origin::Stamp => Some(What::Left { number: error.data }),
        Some(error) if error.origin == Origin::Icmp => {
            let too_big = matches!((socket.is_v4(), error.kind, error.code), (true, 3, 4) | (false, 2, _));
            let mtu = too_big.then_some(error.info);
            let icmp = IcmpError { offender: error.offender?, kind: error.kind, code: error.code, mtu };
            Some(What::Error { sequence: queued_sequence(received.bytes)?, target: peer?, icmp })
        }
        Some(_) => None,
        None if socket.is_raw() && socket.is_v4() => signature.parse_raw_v4(received.bytes).map(What::Message),
        None => {
            let mut message = signature.parse(received.bytes, peer?, socket.is_raw())?;
            message.ttl = received.ttl;
            Some(What::Message(message))
        }
    }
}

fn enter(shared: &Shared, matching: &mut Matching, stamps: &StampClock, heard: Heard) {
    let stamp = heard.stamp_ns.and_then(|stamp| stamps.on_run_clock(stamp));
    match heard.what {
        What::Left { number } => {
            let generation = shared.generations[heard.socket].load(Ordering::Acquire);
            matching.left(StampKey { is_v4: shared.sockets[heard.socket].is_v4(), generation, number }, stamp);
        }
        What::Error { sequence, target, icmp } => matching.refused(sequence, target, icmp),
        What::Message(message) => match message.content {
            Content::Error { target, icmp } => matching.refused(message.sequence, target, icmp),
            Content::Reply { from, place, intact } => {
                let answer = Answer { heard: heard.at, came: stamp, ttl: message.ttl, corrupt: !intact, from, arrival: 0 };
                matching.replied(message.sequence, place.map(Place), answer);
            }
        },
    }
}
