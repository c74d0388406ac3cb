//! One address: sends what the search wants and tells it what came, until it knows.

use super::search::{Event, Found, Probe, Search, Why};
use super::wire::{Heard, Wire};
use crate::clock::microseconds;
use crate::context::Context;
use crate::tls::draft::{Draft, Drafted};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::MtuParams;
use netsonde_contract::observation::{Fact, Mtu, MtuAnswer, MtuLimit, MtuProbe, MtuTransport};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// Silence is waited for this many times as long as the slowest answer so far took (a probe timer by the round trip, RFC 8899 section
/// 5.1.1): queues fill, but not that much.
const PATIENCE: u32 = 4;
/// And no shorter than this, as hosts may be slow to answer with ICMP, and machines to listen.
const LEAST_WAIT: Duration = Duration::from_millis(100);

pub(super) async fn measure<W: Wire>(context: &Context, params: &MtuParams, address: IpAddr, opened: io::Result<W>) -> Mtu {
    let mut draft = Draft::begin(context, Step::Send, blank(params, address));
    let began = context.clock.now();
    match opened {
        Ok(mut wire) => {
            let mut search = Search::new(address, params.max_bytes, params.tries);
            if let Err(failure) = drive(context, params, &mut wire, &mut search, &mut draft).await {
                draft.failure = Some(failure);
            }
        }
        Err(error) => draft.failure = Some(Failure::from_io(&error, Step::Open)),
    }
    draft.took_us = microseconds(context.clock.now().saturating_sub(began));
    draft.finish()
}

async fn drive<W: Wire>(
    context: &Context,
    params: &MtuParams,
    wire: &mut W,
    search: &mut Search,
    draft: &mut Draft<Mtu>,
) -> Result<(), Failure> {
    let patience = Duration::from_millis(params.timeout_ms);
    let mut slowest = None;
    while let Some(Probe { size, rested }) = search.next() {
        if rested {
            tokio::time::sleep(W::REST).await;
        }
        let wait = wait(slowest, patience);
        let (event, took) = exchange(context, wire, size, wait).await?;
        draft.mss_bytes = wire.mss().map(u32::from).or(draft.mss_bytes);
        let answer = match &event {
            Event::Passed => MtuAnswer::Passed,
            Event::TooBig(_) => MtuAnswer::TooBig,
            Event::NotSent(_) => MtuAnswer::NotSent,
            Event::Refused(_) => MtuAnswer::Refused,
            Event::Silent => MtuAnswer::Silent,
        };
        let answered = matches!(answer, MtuAnswer::Passed | MtuAnswer::TooBig | MtuAnswer::Refused);
        if answered {
            slowest = slowest.max(Some(took));
        }
        draft.probes.push(MtuProbe { size_bytes: size, answer, took_us: answered.then(|| microseconds(took)) });
        search.handle(size, event);
        keep(draft, search.found())?;
    }
    if draft.passed_bytes.is_none() && draft.limit == MtuLimit::Unknown {
        let text = "no packet of any size was answered, so that none can be told from a lost one";
        return Err(Failure::new(FailureCode::TimedOut, Step::Receive, text));
    }
    Ok(())
}

/// How long the answer to a packet is waited for, by the slowest one so far.
fn wait(slowest: Option<Duration>, patience: Duration) -> Duration {
    slowest.map_or(patience, |slowest| (slowest * PATIENCE).max(LEAST_WAIT).min(patience))
}

/// Sends one packet, and again where what it was sent on ended under it; the wire bounds how often. What became of it, and how long
/// that took.
async fn exchange<W: Wire>(context: &Context, wire: &mut W, size: u32, wait: Duration) -> Result<(Event, Duration), Failure> {
    loop {
        wire.ready().await?;
        context.gate.packet(wire.target(), size as usize).await?;
        let sent = context.clock.now();
        let heard = match wire.send(size) {
            Ok(()) => tokio::time::timeout(wait, wire.answer()).await.unwrap_or(Ok(Heard::Event(Event::Silent)))?,
            Err(error) => match Failure::from_io(&error, Step::Send) {
                failure if failure.code == FailureCode::MessageTooLong => Heard::Event(Event::NotSent(Why::Interface)),
                failure => return Err(failure),
            },
        };
        let took = context.clock.now().saturating_sub(sent);
        if let Heard::Event(event) = heard {
            return Ok((event, took));
        }
    }
}

/// Notes what the search found so far.
///
/// # Errors
/// Where an ICMP error ended it.
fn keep(draft: &mut Draft<Mtu>, found: Found) -> Result<(), Failure> {
    (draft.passed_bytes, draft.stopped_bytes, draft.limit) = (found.passed, found.stopped, found.limit);
    (draft.told, draft.disbelieved) = (found.told, found.disbelieved);
    match found.refused {
        None => Ok(()),
        Some(icmp) => {
            let text = format!("{} answered with \"{}\"", icmp.offender, icmp.words());
            Err(Failure::new(FailureCode::HostUnreachable, Step::Receive, text).with_icmp(icmp))
        }
    }
}

fn blank(params: &MtuParams, address: IpAddr) -> Mtu {
    Mtu {
        host: params.host.clone(),
        address,
        transport: params.transport,
        port: (params.transport == MtuTransport::Tcp).then_some(params.port()),
        mss_bytes: None,
        passed_bytes: None,
        stopped_bytes: None,
        limit: MtuLimit::Unknown,
        told: None,
        disbelieved: Vec::new(),
        probes: Vec::new(),
        took_us: 0,
        failure: None,
    }
}

impl Drafted for Mtu {
    fn cut_off(&mut self, failure: Failure, after_us: u64) {
        self.took_us = after_us;
        self.failure.get_or_insert(failure);
    }

    fn into_fact(self) -> Fact {
        Fact::Mtu(Box::new(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_waited_for_by_the_round_trip_and_within_bounds() {
        let patience = Duration::from_secs(1);
        let after = |rtt_ms| wait(Some(Duration::from_millis(rtt_ms)), patience).as_millis();
        assert_eq!(wait(None, patience), patience);
        assert_eq!((after(1), after(25), after(60), after(900)), (100, 100, 240, 1_000));
    }
}
