//! Loss, delay and packet size of each direction, with a STAMP reflector at the other end (RFC 8762, RFC 8972).
//!
//! The reflector numbers what it receives, so that a packet lost on the way there is told from a reply lost on the way back. [`account`],
//! [`sizes`], [`packet`], [`tlv`] and [`time`] are pure; [`wire`] sends and hears, and [`reflector`] is the other end.

/// What follows from packets and replies.
mod account;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
/// The key that both ends share.
mod key;
/// Test packets, byte by byte.
mod packet;
/// The other end.
mod reflector;
/// Which size to try next.
mod sizes;
#[cfg(test)]
mod tests;
/// Times on the wire.
mod time;
/// What stands behind a packet's base.
mod tlv;
/// One session's socket.
mod wire;

pub use key::ReflectorKey;
pub use reflector::{Reflector, ReflectorRules, ReflectorSession, ReflectorSummary};

use crate::clock::microseconds;
use crate::context::{Context, Ending, NotMeasurable};
use crate::platform::stamped::STAMPED_BY;
use crate::tls::draft::{Draft, Drafted};
use crate::zone;
use account::Heard;
use futures_util::future::join_all;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::ReflectParams;
use netsonde_contract::observation::{DirectionMtu, Fact, ReflectDirection, Reflection, ReflectorKind};
use sizes::{Sizes, Trial};
use std::net::SocketAddr;
use std::time::Duration;
use time::{ErrorEstimate, Format};
use wire::{Event, Wire};

/// Packets after the series, so that one is answered and tells which way the last losses went.
const CLOSING_PACKETS: u32 = 8;
/// What a deadline would keep is summed up after so many packets, as each summing up goes through all of them.
const CONCLUDE_EVERY: u32 = 16;
/// Replies kept at most: each packet's, and as many doubled ones.
const MAX_HEARD: usize = 4_096;
/// A size that was not answered is tried so often: a single loss is no limit.
const TRIES: u32 = 3;
/// Small packets after a large one, of which one has to come back to tell what became of it.
const WITNESSES: u32 = 3;
/// Beyond the slowest round trip, silence is waited for this many times as long, and no shorter than [`LEAST_WAIT`].
const PATIENCE: u32 = 8;
const LEAST_WAIT: Duration = Duration::from_millis(100);

/// Measures every address of the host, all at once. Ends as expected where a reflector answers every packet of a series, and no path to one
/// that answers swallows large packets.
///
/// # Errors
/// Where the host gives no address.
pub(crate) async fn run(context: &Context, params: &ReflectParams) -> Result<Ending, NotMeasurable> {
    let addresses = context.names.resolve(&context.gate, &params.host).await;
    let addresses = addresses.map_err(|failure| NotMeasurable::unresolved(&params.host, &failure))?;
    let measured = addresses.into_iter().map(|address| measure(context, params, zone::socket(address, params.port)));
    let facts = join_all(measured).await;
    let any = facts.iter().any(|fact| fact.received > 0);
    let whole = |fact: &Reflection| fact.received == 0 || fact.received == fact.sent;
    Ok(if any && facts.iter().all(whole) { Ending::AsExpected } else { Ending::Failed })
}

async fn measure(context: &Context, params: &ReflectParams, address: SocketAddr) -> Reflection {
    let mut draft = Draft::begin(context, Step::Send, blank(context, params, address));
    let began = context.clock.now();
    if let Err(failure) = series_and_sizes(context, params, &mut draft).await {
        draft.failure = Some(failure);
    }
    draft.took_us = microseconds(context.clock.now().saturating_sub(began));
    draft.finish()
}

async fn series_and_sizes(context: &Context, params: &ReflectParams, draft: &mut Draft<Reflection>) -> Result<(), Failure> {
    let format = if params.ptp { Format::Ptp } else { Format::Ntp };
    let key = context.trust.reflector_key();
    let address = draft.address;
    let open = || Wire::open(address, context.clock, key, format, params.dscp);
    let failed = |error: std::io::Error| Failure::from_io(&error, Step::Open);
    let mut wire = open().map_err(failed)?;
    context.datagrams(wire.local(), address);
    let offset_before = context.clock.wall_offset_ns();
    let outcome = series(context, params, &mut wire, draft).await;
    let moved = context.clock.wall_offset_ns().abs_diff(offset_before);
    draft.clock_moved_us = moved / 1_000;
    outcome?;
    if draft.received == 0 {
        let text = unanswered(key.is_some());
        return Err(Failure::new(FailureCode::TimedOut, Step::Receive, text));
    }
    if params.mtu {
        // Another session: what it loses belongs to no series.
        let mut wire = open().map_err(failed)?;
        context.datagrams(wire.local(), address);
        search(context, params, &mut wire, draft).await?;
    }
    Ok(())
}

/// A reflector answers nothing that is not sealed with its key, and one without a key answers no sealed packet as it should: both look like
/// a silent one.
fn unanswered(sealed: bool) -> &'static str {
    if sealed {
        "no packet was answered, so that nothing tells which way they were lost; a reflector that has no key, or another one, leaves sealed packets unanswered: give it the same file with `netsonde reflect --key FILE`"
    } else {
        "no packet was answered, so that nothing tells which way they were lost; a reflector that was started with --key leaves packets without a seal unanswered: give this end the same file with `--reflector-key FILE`"
    }
}

/// The series, and what follows it until the last losses are told.
async fn series(
    context: &Context,
    params: &ReflectParams,
    wire: &mut Wire<'_>,
    draft: &mut Draft<Reflection>,
) -> Result<(), Failure> {
    let mut heard = Vec::new();
    let interval = Duration::from_millis(params.interval_ms);
    let began = context.clock.now();
    for number in 0..params.count {
        let due = began + interval * number;
        listen(context, wire, draft, &mut heard, due, |_| false).await?;
        context.gate.packet(draft.address, params.payload_bytes as usize).await?;
        wire.send(params.payload_bytes as usize).map_err(|error| wire.failed(&error, Step::Send))?;
        draft.sent += 1;
        if number % CONCLUDE_EVERY == 0 {
            account::conclude(draft, params.count, &heard);
        }
    }
    let wait = Duration::from_millis(params.timeout_ms);
    let last = params.count - 1;
    let all = |heard: &[Heard]| heard.len() >= params.count as usize && heard.iter().any(|reply| reply.sequence == last);
    listen(context, wire, draft, &mut heard, context.clock.now() + wait, all).await?;
    for _ in 0..CLOSING_PACKETS {
        if heard.is_empty() || heard.iter().any(|reply| reply.sequence >= last) {
            break;
        }
        context.gate.packet(draft.address, params.payload_bytes as usize).await?;
        wire.send(params.payload_bytes as usize).map_err(|error| wire.failed(&error, Step::Send))?;
        let until = context.clock.now() + patience(draft, wait);
        listen(context, wire, draft, &mut heard, until, |heard| heard.iter().any(|reply| reply.sequence > last)).await?;
    }
    account::conclude(draft, params.count, &heard);
    Ok(())
}

/// How long to wait for what should come as fast as all before it.
fn patience(draft: &Reflection, most: Duration) -> Duration {
    let slowest = draft.round_trip.as_ref().map(|trip| Duration::from_micros(trip.max_us));
    slowest.map_or(most, |slowest| (slowest * PATIENCE).max(LEAST_WAIT).min(most))
}

/// Hears until then, or until it is enough. What comes is kept at once, so that a deadline loses nothing.
async fn listen(
    context: &Context,
    wire: &mut Wire<'_>,
    draft: &mut Draft<Reflection>,
    heard: &mut Vec<Heard>,
    until: Duration,
    enough: impl Fn(&[Heard]) -> bool,
) -> Result<(), Failure> {
    while !enough(heard) {
        let left = until.saturating_sub(context.clock.now());
        match tokio::time::timeout(left, wire.receive()).await {
            Err(_) => break,
            Ok(Ok(Event::Reply(reply, error))) => {
                if heard.len() < MAX_HEARD {
                    heard.push(reply);
                }
                note(draft, error);
            }
            Ok(Ok(Event::Stray)) => draft.strays = draft.strays.saturating_add(1),
            Ok(Err(error)) => return Err(wire.failed(&error, Step::Receive)),
        }
    }
    Ok(())
}

fn note(draft: &mut Reflection, error: ErrorEstimate) {
    draft.reflector_synchronised = Some(error.synchronised);
    draft.reflector_error_us = Some(error.error_ns.div_ceil(1_000));
}

/// The largest packet of each direction.
async fn search(
    context: &Context,
    params: &ReflectParams,
    wire: &mut Wire<'_>,
    draft: &mut Draft<Reflection>,
) -> Result<(), Failure> {
    if draft.reflector != ReflectorKind::Stateful {
        // Without the reflector's count nothing tells which way a large packet was lost.
        return Ok(());
    }
    let headers = if draft.address.is_ipv4() { 20 + 8 } else { 40 + 8 };
    let small = u32::try_from(wire.least_payload()).unwrap_or(0) + headers;
    let mut sizes = Sizes::new(small.max(params.payload_bytes + headers), params.max_bytes);
    let wait = patience(draft, Duration::from_millis(params.timeout_ms));
    let mut bench = Bench { context, address: draft.address, headers, wait, seen: 0 };
    while let Some(size) = sizes.next() {
        let Some(trial) = bench.trial(wire, size).await? else { break };
        sizes.handle(size, trial);
        let mtu = |(passed_bytes, stopped_bytes): sizes::Found, own_interface| DirectionMtu {
            passed_bytes,
            stopped_bytes,
            own_interface,
        };
        draft.forward.mtu = Some(mtu(sizes.forward(), sizes.own_interface()));
        draft.reverse.mtu = Some(mtu(sizes.reverse(), false));
    }
    Ok(())
}

/// Tries sizes one at a time.
struct Bench<'a> {
    context: &'a Context,
    address: SocketAddr,
    headers: u32,
    wait: Duration,
    /// Packets of the session that the reflector is known to have received.
    seen: u32,
}

impl Bench<'_> {
    /// None where nothing comes back any more, so that nothing can be told.
    async fn trial(&mut self, wire: &mut Wire<'_>, size: u32) -> Result<Option<Trial>, Failure> {
        let mut result = None;
        for _ in 0..TRIES {
            match self.once(wire, size).await? {
                Some(best @ (Trial::Both | Trial::NotSent)) => return Ok(Some(best)),
                Some(Trial::ForwardOnly) => result = Some(Trial::ForwardOnly),
                Some(Trial::Neither) => result = result.or(Some(Trial::Neither)),
                None => {}
            }
        }
        Ok(result)
    }

    /// One large packet, and where its reply does not come, a small one that tells whether it was seen. None where that was lost, too.
    async fn once(&mut self, wire: &mut Wire<'_>, size: u32) -> Result<Option<Trial>, Failure> {
        self.context.gate.packet(self.address, size.saturating_sub(self.headers) as usize).await?;
        let number = match wire.send(size.saturating_sub(self.headers) as usize) {
            Ok(number) => number,
            Err(error) => {
                let failure = wire.failed(&error, Step::Send);
                if failure.code == FailureCode::MessageTooLong {
                    return Ok(Some(Trial::NotSent));
                }
                return Err(failure);
            }
        };
        if let Some(seen) = self.reply(wire, number).await? {
            self.seen = seen;
            return Ok(Some(Trial::Both));
        }
        for witness in 0..WITNESSES {
            self.context.gate.packet(self.address, 0).await?;
            let small = wire.send(0).map_err(|error| wire.failed(&error, Step::Send))?;
            if let Some(seen) = self.reply(wire, small).await? {
                // The witness that answered is one of those seen; of earlier ones nothing is known.
                let others = seen.saturating_sub(self.seen).saturating_sub(1);
                self.seen = seen;
                return Ok(match (others, witness) {
                    (0, _) => Some(Trial::Neither),
                    (1.., 0) => Some(Trial::ForwardOnly),
                    (others, witness) if others > witness => Some(Trial::ForwardOnly),
                    _ => None,
                });
            }
        }
        Ok(None)
    }

    /// The reflector's count in the reply to this packet.
    async fn reply(&self, wire: &mut Wire<'_>, number: u32) -> Result<Option<u32>, Failure> {
        let until = self.context.clock.now() + self.wait;
        loop {
            let left = until.saturating_sub(self.context.clock.now());
            match tokio::time::timeout(left, wire.receive()).await {
                Err(_) => return Ok(None),
                Ok(Ok(Event::Reply(reply, _))) if reply.sequence == number => {
                    return Ok(Some(reply.counted.unwrap_or_else(|| reply.reflector_sequence.saturating_add(1))));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    // A router that says that a packet is too big is not the reflector's silence.
                    let failure = wire.failed(&error, Step::Receive);
                    if failure.code != FailureCode::MessageTooLong {
                        return Err(failure);
                    }
                }
            }
        }
    }
}

fn blank(context: &Context, params: &ReflectParams, address: SocketAddr) -> Reflection {
    Reflection {
        host: params.host.clone(),
        address,
        authenticated: context.trust.reflector_key().is_some(),
        timestamps: if params.ptp { "ptp" } else { "ntp" }.to_owned(),
        clock: STAMPED_BY.to_owned(),
        payload_bytes: params.payload_bytes,
        sent: 0,
        received: 0,
        lost_unknown: 0,
        reflector: ReflectorKind::Unknown,
        forward: ReflectDirection::default(),
        reverse: ReflectDirection::default(),
        round_trip: None,
        round_trip_jitter_us: None,
        turnaround: None,
        offset_us: None,
        offset_bound_us: None,
        reflector_synchronised: None,
        reflector_error_us: None,
        clock_moved_us: 0,
        strays: 0,
        samples: Vec::new(),
        took_us: 0,
        failure: None,
    }
}

impl Drafted for Reflection {
    fn cut_off(&mut self, failure: Failure, after_us: u64) {
        self.took_us = after_us;
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::Reflection(Box::new(self))
    }
}
