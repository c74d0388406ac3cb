//! How far the machine's clock is off, by time servers (SNTP: RFC 4330 and RFC 5905 section 14).
//!
//! Both of the client's times come from one reading of the wall clock and the monotonic time since, so that a clock which is set while
//! the question is under way spoils no answer. The times are taken around the calls, not by the kernel: the scheduler's delay is part of
//! the round trip, and thereby of the stated bound.

/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
/// The 48 bytes of question and answer.
mod packet;
#[cfg(test)]
mod tests;

use crate::capture::flow::Flow;
use crate::clock::microseconds;
use crate::context::{Context, Ending, NotMeasurable};
use crate::platform::error_queue;
use crate::tls::draft::{Draft, Drafted};
use crate::zone;
use futures_util::future::join_all;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::NtpParams;
use netsonde_contract::observation::{Fact, Leap, TimeMessage, TimeOffset, TimeSample};
use packet::Answer;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::time::Duration;
use tokio::net::UdpSocket;

/// Addresses asked of one name: pools have four.
const MAX_ADDRESSES: usize = 4;
/// Answers that fit no question are passed over up to this many, so that a flood cannot hold the check.
const MAX_STRAY: usize = 64;

/// Asks every server at once. Ends as expected where more than half of the servers that give an offset put the clock within the bound.
///
/// # Errors
/// Where no server's name gives an address.
pub(crate) async fn run(context: &Context, params: &NtpParams) -> Result<Ending, NotMeasurable> {
    if params.others.len() > NtpParams::MAX_OTHERS {
        return Err(NotMeasurable::new(format!("others takes at most {} servers", NtpParams::MAX_OTHERS)));
    }
    let mut servers = Vec::new();
    let mut unresolved = None;
    for host in std::iter::once(&params.host).chain(&params.others) {
        match context.names.resolve(&context.gate, host).await {
            Ok(addresses) => servers.extend(addresses.into_iter().take(MAX_ADDRESSES).map(|address| (host, address))),
            Err(failure) => unresolved = unresolved.or(Some(NotMeasurable::unresolved(host, &failure))),
        }
    }
    if let (true, Some(reason)) = (servers.is_empty(), unresolved) {
        return Err(reason);
    }
    let asked = servers.into_iter().map(|(host, address)| measure(context, params, host, zone::socket(address, params.port)));
    let facts = join_all(asked).await;
    let bound_us = params.max_offset_ms.saturating_mul(1_000);
    let offsets: Vec<i64> = facts.iter().filter_map(|fact| fact.offset_us).collect();
    let within = offsets.iter().filter(|offset_us| offset_us.unsigned_abs() <= bound_us).count();
    Ok(if within * 2 > offsets.len() { Ending::AsExpected } else { Ending::Failed })
}

async fn measure(context: &Context, params: &NtpParams, host: &str, address: SocketAddr) -> TimeOffset {
    let blank = TimeOffset {
        host: host.to_owned(),
        address,
        sent: 0,
        samples: Vec::new(),
        offset_us: None,
        delay_us: None,
        server: None,
        others: Vec::new(),
        wall: context.clock.wall(),
        failure: None,
    };
    let mut draft = Draft::begin(context, Step::Open, blank);
    match open(address) {
        Ok(socket) => {
            if let Ok(local) = socket.local_addr() {
                context.flow(Flow::Udp { local_port: local.port(), remote: address });
            }
            for number in 0..params.samples {
                if number > 0 {
                    tokio::time::sleep(Duration::from_millis(params.interval_ms)).await;
                }
                if let Err(failure) = ask(context, params, &socket, &mut draft).await {
                    let ends = !matches!(failure.code, FailureCode::TimedOut);
                    draft.failure.get_or_insert(failure);
                    if ends {
                        break;
                    }
                }
            }
        }
        Err(error) => draft.failure = Some(Failure::from_io(&error, Step::Open)),
    }
    draft.finish()
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    error_queue::enable(&socket, address.ip())?;
    // Connected: only the server's own answers come in, and a closed port is heard of.
    socket.connect(&address.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(StdSocket::from(socket))
}

/// One question and its answer.
async fn ask(context: &Context, params: &NtpParams, socket: &UdpSocket, draft: &mut Draft<TimeOffset>) -> Result<(), Failure> {
    draft.step = Step::Send;
    context.gate.packet(draft.address, packet::LENGTH).await?;
    // A random number in place of the time of sending: it tells nothing of the machine, and nobody can answer without having seen it.
    let cookie: u64 = rand::random::<u64>().max(1);
    let wall = context.clock.wall();
    let sent_at = context.clock.now();
    draft.sent += 1;
    socket.send(&packet::question(cookie)).await.map_err(|error| failed(socket, &error, Step::Send))?;
    draft.step = Step::Receive;
    let timeout = Duration::from_millis(params.timeout_ms);
    let asking = Asking { cookie, sent_at };
    let others = draft.others.len();
    let (answer, received_at) = match tokio::time::timeout(timeout, receive(context, socket, &asking, &mut draft.others)).await {
        Ok(result) => result?,
        Err(_) => {
            let text = match draft.others.get(others) {
                None => format!("no answer within {} ms", timeout.as_millis()),
                Some(TimeMessage { size_bytes, why, .. }) => format!(
                    "no answer to the question within {} ms; a message of {size_bytes} bytes came, and {why}",
                    timeout.as_millis()
                ),
            };
            return Err(Failure::new(FailureCode::TimedOut, Step::Receive, text));
        }
    };
    let elapsed_us = i64::try_from(microseconds(received_at.saturating_sub(sent_at))).unwrap_or(i64::MAX);
    let first = wall.as_microsecond();
    let last = first.saturating_add(elapsed_us);
    let refused = answer.server.kiss.clone();
    let usable = answer.server.leap != Leap::Unsynchronised && (1..=15).contains(&answer.server.stratum);
    let sample = sample(first, last, &answer);
    draft.server = Some(answer.server);
    if let Some(code) = refused {
        let text = format!("the server refuses to tell the time: {code}");
        return Err(Failure::new(FailureCode::Other("kiss_of_death".into()), Step::Receive, text));
    }
    if !usable {
        let text = "the server says that its own clock is not synchronised";
        return Err(Failure::new(FailureCode::Other("server_unsynchronised".into()), Step::Receive, text));
    }
    if draft.delay_us.is_none_or(|best| sample.delay_us < best) {
        (draft.offset_us, draft.delay_us) = (Some(sample.offset_us), Some(sample.delay_us));
    }
    draft.samples.push(sample);
    Ok(())
}

/// RFC 5905 section 8: half of the sum of both ways' differences; the delay without the server's own time.
fn sample(sent_us: i64, received_us: i64, answer: &Answer) -> TimeSample {
    let there = i128::from(answer.receive_us) - i128::from(sent_us);
    let back = i128::from(answer.transmit_us) - i128::from(received_us);
    let own = i128::from(answer.transmit_us) - i128::from(answer.receive_us);
    let delay = i128::from(received_us) - i128::from(sent_us) - own;
    TimeSample {
        offset_us: i64::try_from((there + back) / 2).unwrap_or(i64::MAX),
        // A server with a coarse clock may seem to answer before it was asked.
        delay_us: u64::try_from(delay.max(0)).unwrap_or(u64::MAX),
    }
}

/// The question that is open.
struct Asking {
    cookie: u64,
    sent_at: Duration,
}

/// The answer to this question, with the time on the run's clock. What came beside it is kept.
async fn receive(
    context: &Context,
    socket: &UdpSocket,
    asking: &Asking,
    others: &mut Vec<TimeMessage>,
) -> Result<(Answer, Duration), Failure> {
    let mut wrong = None;
    for _ in 0..MAX_STRAY {
        let mut buffer = [0_u8; 512];
        let count = socket.recv(&mut buffer).await.map_err(|error| failed(socket, &error, Step::Receive))?;
        let at = context.clock.now();
        context.gate.received(count);
        match packet::read(&buffer[..count], asking.cookie) {
            Ok(answer) => return Ok((answer, at)),
            Err(why) => {
                wrong = Some(why);
                if others.len() < TimeOffset::MAX_OTHERS {
                    others.push(TimeMessage {
                        after_us: microseconds(at.saturating_sub(asking.sent_at)),
                        size_bytes: u32::try_from(count).unwrap_or(u32::MAX),
                        why: why.to_owned(),
                    });
                }
            }
        }
    }
    let text = wrong.map_or_else(String::new, |why| format!("no answer fits the question: {why}"));
    Err(Failure::new(FailureCode::ProtocolError, Step::Receive, text))
}

/// With the ICMP error behind it, where the system tells.
fn failed(socket: &UdpSocket, error: &io::Error, during: Step) -> Failure {
    let failure = Failure::from_io(error, during);
    match error_queue::drain(&SockRef::from(socket)).pop() {
        Some(queued) => failure.with_icmp(queued.icmp),
        None => failure,
    }
}

impl Drafted for TimeOffset {
    fn cut_off(&mut self, failure: Failure, _after_us: u64) {
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::TimeOffset(Box::new(self))
    }
}
