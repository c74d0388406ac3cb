//! Connections to a TCP port: every address of the host at once, the attempts at one address one after the other or several at once.

/// The packets that answered.
pub(crate) mod answer;
/// One attempt at one address.
mod attempt;
/// What a server says first.
mod banner;
/// The parsers here, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
/// Connections kept open and idle.
mod hold;
/// Many ports, of one address or of many.
mod ports;
/// What racing applications would have seen.
mod race;
/// The packets that answered a sweep.
mod swept;
/// Many targets.
mod targets;

use crate::context::{Context, Ending, NotMeasurable};
use crate::platform::host;
use crate::zone;
use answer::{Answered, Answers};
use attempt::Seen;
use futures_util::future::join_all;
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::kind::TcpParams;
use netsonde_contract::observation::{Connect, Fact, Interface};
use netsonde_contract::outcome::Note;
use race::First;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// Ends as expected where any attempt connected and, where it was to be held, stood, and where each further target has an open port.
///
/// # Errors
/// Where the host gives no address to connect to.
pub(crate) async fn run(context: &Context, params: &TcpParams) -> Result<Ending, NotMeasurable> {
    let addresses = context.names.resolve(&context.gate, &params.host).await;
    let addresses = addresses.map_err(|failure| NotMeasurable::unresolved(&params.host, &failure))?;
    let interfaces = host::interfaces().unwrap_or_default();
    let began_us = context.clock.now_us();
    let work = Work { context, params, interfaces: &interfaces };
    let series = addresses.iter().map(|address| work.connect_repeatedly(zone::socket(*address, params.port)));
    let series = join_all(series).await;
    let firsts: Vec<First> = series.iter().filter_map(|series| series.first).collect();
    if let Some(race) = race::race(&params.host, &firsts) {
        context.recorder.record(began_us, Fact::Race(race));
    }
    if !params.ports.is_empty() {
        join_all(addresses.iter().map(|address| ports::sweep(context, params, *address))).await;
    }
    let listed = params.targets.is_empty() || targets::sweep(context, params).await;
    let stood = listed && series.iter().any(|series| series.stood);
    Ok(if stood { Ending::AsExpected } else { Ending::Failed })
}

struct Work<'c> {
    context: &'c Context,
    params: &'c TcpParams,
    interfaces: &'c [Interface],
}

/// What all attempts at one address came to.
#[derive(Default)]
struct Series {
    first: Option<First>,
    /// An attempt connected, and stood for as long as it was to be held.
    stood: bool,
    /// Nothing more may be sent.
    stopped: bool,
}

/// One attempt's fact. It is recorded when it is dropped, so that a deadline while a connection is held keeps what was seen.
struct Record<'c> {
    context: &'c Context,
    at_us: u64,
    connect: Connect,
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.context.recorder.record(self.at_us, Fact::Connect(self.connect.clone()));
    }
}

impl Work<'_> {
    /// Makes every attempt at one address, so many at once as are asked for; those that connected stay open until all of their group
    /// have ended.
    async fn connect_repeatedly(&self, address: SocketAddr) -> Series {
        let mut series = Series::default();
        let answers = Answers::and_syns_of(address);
        let numbers: Vec<u32> = (1..=self.params.attempts).collect();
        for group in numbers.chunks(usize::try_from(self.params.concurrent.max(1)).unwrap_or(1)) {
            let attempts = join_all(
                group.iter().zip(0..).map(|(number, nth)| self.attempt_in_turn(address, *number, nth, answers.as_ref())),
            )
            .await;
            for (first, open) in &attempts {
                series.first = series.first.or(*first);
                series.stood |= open.is_some();
                series.stopped |= first.is_none();
            }
            if series.stopped {
                break;
            }
        }
        series
    }

    /// The attempt at its place among those that are made at once.
    async fn attempt_in_turn(
        &self,
        address: SocketAddr,
        attempt: u32,
        nth: u32,
        answers: Result<&Answers, &Note>,
    ) -> (Option<First>, Option<TcpStream>) {
        if self.params.spread_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.params.spread_ms) * nth).await;
        }
        self.attempt(address, attempt, answers).await
    }

    /// The attempt's result, and the connection where it stands; no result where the gate refused.
    async fn attempt(
        &self,
        address: SocketAddr,
        attempt: u32,
        answers: Result<&Answers, &Note>,
    ) -> (Option<First>, Option<TcpStream>) {
        let clock = self.context.clock;
        let refusal = self.context.gate.packet(address, 0).await.err();
        let at_us = clock.now_us();
        let is_refused = refusal.is_some();
        let seen = match refusal {
            Some(failure) => Seen::failed(failure),
            None => attempt::connect(self.context, address, Duration::from_millis(self.params.timeout_ms)).await,
        };
        let woken_us = clock.now_us().saturating_sub(at_us);
        let local_port = seen.local.map(|local| local.port());
        let answered = answers.ok().zip(local_port).map_or_else(Answered::default, |(answers, port)| answers.to(port, clock));
        let syns_left = answers.ok().zip(local_port).and_then(|(answers, port)| answers.syns_left(port));
        let took_us = decided_us(at_us, woken_us, &seen, &answered);
        let first = (!is_refused).then_some(First { address, took_us, connected: seen.failure.is_none() });
        let by_reset = |failure: &Failure| failure.code == FailureCode::Refused && failure.icmp.is_none();
        let refused = seen.failure.as_ref().is_some_and(by_reset);
        let gateway = if answered.reset.is_some() { answer::gateway(address.ip()).await } else { None };
        let connect = Connect {
            host: self.params.host.clone(),
            address,
            attempt,
            local: seen.local,
            interface: seen.local.and_then(|local| self.interface_of(local.ip())),
            took_us,
            kernel_rtt_us: seen
                .at_connect
                .map(|state| state.rtt_us.into())
                .filter(|rtt_us| *rtt_us > 0 && seen.failure.is_none()),
            syn_retransmits: seen.at_connect.map(|state| state.retransmits),
            at_connect: seen.at_connect.filter(|_| seen.failure.is_none()).map(Box::new),
            at_close: None,
            banner: None,
            hold: None,
            reset: answered.reset,
            gateway,
            syn_ack: answered.syn_ack,
            syns_left,
            answer_unread: answers.err().filter(|_| refused).cloned(),
            failure: seen.failure,
        };
        let mut record = Record { context: self.context, at_us, connect };
        if let Some(stream) = &seen.stream {
            if self.params.banner_bytes > 0 {
                record.connect.banner = Some(banner::read(self.context, stream, self.params).await);
            }
            if self.params.hold_s > 0 {
                record.connect.hold = Some(Box::new(hold::hold(stream, self.params, clock).await));
            }
            if record.connect.banner.is_some() || record.connect.hold.is_some() {
                record.connect.at_close = attempt::state(stream).map(Box::new);
            }
        }
        let is_lost = record.connect.hold.as_ref().is_some_and(|hold| hold.failure.is_some());
        (first, seen.stream.filter(|_| !is_lost))
    }

    fn interface_of(&self, local: IpAddr) -> Option<String> {
        let has = |interface: &&Interface| {
            interface.addresses.iter().any(|address| address.split('/').next().and_then(|text| text.parse().ok()) == Some(local))
        };
        // All of 127.0.0.0/8 is local, though only one address of it is listed.
        let on_loopback = |interface: &&Interface| interface.loopback && local.is_loopback();
        self.interfaces.iter().find(has).or_else(|| self.interfaces.iter().find(on_loopback)).map(|found| found.name.clone())
    }
}

/// When the attempt was decided: by the kernel's stamp of the packet that decided it, where that was read. What this program took to
/// wake up is no part of it.
fn decided_us(at_us: u64, woken_us: u64, seen: &Seen, answered: &Answered) -> u64 {
    let by = match &seen.failure {
        None => answered.syn_ack,
        Some(failure) if failure.code == FailureCode::Refused && failure.icmp.is_none() => answered.reset,
        Some(_) => None,
    };
    let stamped = by.and_then(|segment| segment.at_us.checked_sub(at_us));
    stamped.map_or(woken_us, |stamped| stamped.min(woken_us))
}

#[cfg(test)]
mod tests;
