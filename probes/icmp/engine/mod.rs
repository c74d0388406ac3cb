//! The own engine: kernel timestamps, a few sockets for any number of targets, one thread that listens.
//!
//! The sending side is a task that keeps to the rate; [`hearing`] is the thread; what belongs together is found by [`matching`], which
//! is pure, and becomes facts in [`facts`].

/// From what was matched to observations.
mod facts;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
/// The thread that listens.
mod hearing;
/// Which reply, error and stamp belongs to which request.
mod matching;
/// Requests, replies and errors on the wire.
mod packet;
/// Kernel stamps on the run's clock.
mod stamps;

use super::targets::Aim;
use super::{Answered, denied};
use crate::capture::flow::Flow;
use crate::context::{Context, NotMeasurable};
use crate::neighbour_search::GIVEN_UP;
use crate::platform::echo_socket::{EchoOptions, EchoSocket};
use crate::platform::known_mtu;
use facts::{Manner, SweepTimes};
use hearing::{Listener, Shared};
use matching::{Matching, Place, StampKey, Target};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::IcmpParams;
use netsonde_contract::observation::Fact;
use packet::Signature;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Up to so many targets each have a series of their own; beyond, one summary keeps the run readable and its bundle small.
const MAX_SERIES: usize = 64;
/// The kernel begins to stamp incoming packets shortly after the first socket asks for it, not at once.
const STAMPS_BEGIN: Duration = Duration::from_millis(2);
/// Sending that fell behind its schedule makes up for so much at once, and forgets the rest: a burst would be lost on the way.
const MOST_BEHIND: Duration = Duration::from_millis(10);
/// A full send buffer is tried again after this.
const SEND_PAUSE: Duration = Duration::from_millis(1);
/// An interface that sends nothing for so many pauses is a failure.
const MAX_PAUSES: usize = 250;
/// An ICMP error that came for an earlier request makes one later call fail on a ping socket; this many in a row are no such accident.
const MAX_TRIES: usize = 3;

/// Why the engine cannot measure anything.
pub(super) enum NoEngine {
    /// The process lacks the right.
    Denied(NotMeasurable),
    /// The kernel stamps no packets.
    Unsupported,
}

/// Sends every request, waits for the replies and records. Says which addresses answered in time.
pub(super) async fn run(context: &Context, params: &IcmpParams, aims: &[Aim]) -> Result<Answered, NoEngine> {
    let mut sending = Sending::open(context, params, aims)?;
    let listener = Listener::start(&sending.shared);
    match &listener {
        Ok(_) => {
            tokio::time::sleep(STAMPS_BEGIN).await;
            sending.send_all().await;
            sending.wait_for_answers().await;
        }
        Err(error) => sending.failure = Some(Failure::from_io(error, Step::Open)),
    }
    Ok(sending.answered())
}

/// The sending side. It records when it is dropped, so that a deadline in the midst of it keeps what was seen.
struct Sending<'c> {
    context: &'c Context,
    params: &'c IcmpParams,
    aims: &'c [Aim],
    shared: Arc<Shared>,
    /// The next packet's number on each socket.
    next_numbers: Vec<u32>,
    began: Duration,
    last_sent: Duration,
    /// Why nothing more is sent to anybody.
    failure: Option<Failure>,
}

impl<'c> Sending<'c> {
    fn open(context: &'c Context, params: &'c IcmpParams, aims: &'c [Aim]) -> Result<Self, NoEngine> {
        let options = EchoOptions { dont_fragment: params.dont_fragment, dscp: params.dscp };
        let timeout = Duration::from_millis(params.timeout_ms);
        let mut matching = Matching::new(aims.iter().map(|aim| aim.address), timeout);
        let (mut sockets, mut signatures, mut was_denied) = (Vec::new(), Vec::new(), false);
        for family in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
            if !aims.iter().any(|aim| aim.address.is_ipv4() == family.is_ipv4()) {
                continue;
            }
            match EchoSocket::open(family, options) {
                Ok(socket) => {
                    let identifier = socket.given_identifier().unwrap_or_else(rand::random);
                    context.flow(Flow::Echo { identifier });
                    let size = usize::try_from(params.size_bytes).unwrap_or_default();
                    signatures.push(Signature { identifier, nonce: rand::random(), size });
                    sockets.push(socket);
                }
                Err(error) if error.kind() == io::ErrorKind::Unsupported => return Err(NoEngine::Unsupported),
                Err(error) => {
                    // The right is there, the family is not: that is a fact about its addresses, and the others go on.
                    was_denied |= error.kind() == io::ErrorKind::PermissionDenied;
                    fail_family(&mut matching, family, &Failure::from_io(&error, Step::Open));
                }
            }
        }
        if sockets.is_empty() && was_denied {
            return Err(NoEngine::Denied(denied()));
        }
        let next_numbers = vec![0; sockets.len()];
        let shared = Arc::new(Shared::new(matching, sockets, signatures, context.clock));
        let began = context.clock.now();
        Ok(Self { context, params, aims, shared, next_numbers, began, last_sent: began, failure: None })
    }

    /// One request to every target, then the next to every target: no target gets two within its interval, and all together no more
    /// than the rate.
    async fn send_all(&mut self) {
        let clock = self.context.clock;
        let gap = Duration::from_secs(1) / self.params.rate.max(1);
        self.began = clock.now();
        let mut due = self.began;
        for round in 0..self.params.count {
            due = due.max(self.began + Duration::from_millis(self.params.interval_ms) * round);
            for (place, aim) in (0..).map(Place).zip(self.aims) {
                if !self.shared.with(|matching| matching.target_mut(place).is_some_and(|target| target.failure.is_none())) {
                    continue;
                }
                let now = clock.now();
                due = due.max(now.saturating_sub(MOST_BEHIND));
                if due > now {
                    tokio::time::sleep(due - now).await;
                }
                let Err(failure) = self.send(place, aim.address).await else {
                    due += gap;
                    continue;
                };
                let is_final = failure.code == FailureCode::BudgetExhausted;
                self.shared.with(|matching| {
                    // Nothing more is sent where something could not be: the reason is local and does not pass within a series.
                    if let Some(target) = matching.target_mut(place) {
                        target.failure.get_or_insert(failure.clone());
                    }
                });
                if is_final {
                    self.failure = Some(failure);
                    return;
                }
            }
        }
    }

    async fn send(&mut self, place: Place, address: IpAddr) -> Result<(), Failure> {
        self.context.gate.packet(address, usize::try_from(self.params.size_bytes).unwrap_or_default()).await?;
        let shared = Arc::clone(&self.shared);
        let of_family = |socket: &EchoSocket| socket.is_v4() == address.is_ipv4();
        let Some(at) = shared.sockets.iter().position(of_family) else {
            return Err(Failure::new(FailureCode::Other("no_socket".into()), Step::Open, "there is no socket of this family"));
        };
        let (socket, signature) = (&shared.sockets[at], &shared.signatures[at]);
        let (mut pauses, mut tries) = (0, 1);
        loop {
            let generation = shared.generations[at].load(Ordering::Acquire);
            let key = StampKey { is_v4: socket.is_v4(), generation, number: self.next_numbers[at] };
            let now = self.context.clock.now();
            let Some(sequence) = shared.with(|matching| matching.sending(place, key, now)) else { return Ok(()) };
            match socket.send(&signature.request(socket.is_v4(), place.0, sequence), address) {
                Ok(()) => {
                    self.next_numbers[at] = self.next_numbers[at].wrapping_add(1);
                    self.last_sent = now;
                    return Ok(());
                }
                Err(error) => {
                    shared.with(|matching| matching.unsent(place, key));
                    self.count_anew(at);
                    let failure = Failure::from_io(&error, Step::Send);
                    let is_full = error.kind() == io::ErrorKind::WouldBlock || failure.code == FailureCode::BuffersExhausted;
                    if is_full && pauses < MAX_PAUSES {
                        pauses += 1;
                        tokio::time::sleep(SEND_PAUSE).await;
                    } else if !is_full && !socket.is_raw() && tries < MAX_TRIES {
                        tries += 1;
                    } else {
                        return Err(self.explained(failure, address));
                    }
                }
            }
        }
    }

    /// A request that is too long is told with its size and the largest that goes in one piece.
    fn explained(&self, failure: Failure, address: IpAddr) -> Failure {
        if failure.code != FailureCode::MessageTooLong {
            return failure;
        }
        let headers = if address.is_ipv4() { 20 + 8 } else { 40 + 8 };
        let size = self.params.size_bytes.saturating_add(headers);
        let least = match known_mtu(address) {
            Ok(mtu) => format!(
                "the way to {address} takes {mtu} bytes in one piece, as far as this machine knows; ask with a size of at most {} bytes, \
                 or without dont_fragment",
                mtu.saturating_sub(headers)
            ),
            Err(_) => format!(
                "this machine's interface does not take as much towards {address} in one piece; ask with a smaller size, or without \
                 dont_fragment"
            ),
        };
        Failure { text: format!("the packet of {size} bytes does not leave this machine: {least}"), ..failure }
    }

    /// Kernels differ in whether a packet that was not sent counts.
    fn count_anew(&mut self, at: usize) {
        if self.shared.sockets[at].number_stamps_from_zero().is_ok() {
            self.shared.generations[at].fetch_add(1, Ordering::AcqRel);
            self.next_numbers[at] = 0;
        }
    }

    /// Until each request was answered or has timed out; longer where an address gave no sign at all, as a router that looks for it may
    /// still say that it is not there.
    async fn wait_for_answers(&self) {
        let timed_out = self.last_sent + self.shared.with(|matching| matching.timeout());
        self.wait_until(timed_out).await;
        let is_silent = self.shared.with(|matching| {
            let mut asked = matching.targets().iter().filter(|target| !target.requests.is_empty());
            // Of a whole range many addresses are in nobody's use.
            if matching.targets().len() > MAX_SERIES { asked.all(Target::is_silent) } else { asked.any(Target::is_silent) }
        });
        if is_silent && self.context.recorder.lingers() {
            self.wait_until(self.began + GIVEN_UP).await;
        }
    }

    async fn wait_until(&self, until: Duration) {
        while !self.shared.with(|matching| matching.is_settled()) {
            let left = until.saturating_sub(self.context.clock.now());
            if left.is_zero() || tokio::time::timeout(left, self.shared.heard.notified()).await.is_err() {
                break;
            }
        }
    }

    fn answered(&self) -> Answered {
        self.shared.with(|matching| {
            let timeout = matching.timeout();
            let in_time =
                |request: &matching::Request| request.answer.is_some_and(|answer| request.timing(&answer).rtt <= timeout);
            let answered = matching.targets().iter().filter(|target| target.requests.iter().any(in_time));
            answered.map(|target| target.address).collect()
        })
    }

    fn manner(&self) -> Manner {
        Manner {
            size_bytes: self.params.size_bytes,
            dont_fragment: self.params.dont_fragment,
            dscp: self.params.dscp,
            is_raw: self.shared.sockets.iter().any(EchoSocket::is_raw),
            dropped_here: self.shared.sockets.iter().filter_map(EchoSocket::dropped).sum(),
        }
    }
}

fn fail_family(matching: &mut Matching, family: IpAddr, failure: &Failure) {
    for place in (0..matching.targets().len()).filter_map(|place| u32::try_from(place).ok()) {
        if let Some(target) = matching.target_mut(Place(place)).filter(|target| target.address.is_ipv4() == family.is_ipv4()) {
            target.failure = Some(failure.clone());
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let (manner, now) = (self.manner(), self.context.clock.now());
        let at_us = crate::clock::microseconds(self.began);
        let facts: Vec<Fact> = self.shared.with(|matching| {
            if matching.targets().len() > MAX_SERIES {
                let (began, last_sent, failure) = (self.began, self.last_sent, self.failure.clone());
                let times = SweepTimes { began, last_sent, ended: now, failure };
                return vec![Fact::Sweep(Box::new(facts::sweep(matching, times, &manner)))];
            }
            let series = matching.targets().iter().zip(self.aims);
            let echo = |(target, aim): (&matching::Target, &Aim)| {
                let mut echo = facts::echo(&aim.host, target, matching.timeout(), now, &manner);
                echo.failure = echo.failure.or_else(|| self.failure.clone());
                Fact::Echo(echo)
            };
            series.map(echo).collect()
        });
        for fact in facts {
            self.context.recorder.record(at_us, fact);
        }
    }
}
