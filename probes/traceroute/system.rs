//! ICMP probes by the interface of Windows, which any user may use. The system numbers and matches the requests itself, so all that is
//! chosen is the TTL: whether routers that share load take the probes for one flow is theirs to say.

use super::machine::{Answer, ProbeNumber};
use super::wire::{Heard, Packet, Traits, Wire};
use crate::capture::flow::Flow;
use crate::clock::Clock;
use crate::packet::echo_asking::{Asked, start, turn_now};
use crate::packet::echo_status::{Verdict, verdict};
use crate::platform::windows::echo::EchoRequest;
use netsonde_contract::failure::{Failure, Step};
use netsonde_contract::observation::{TraceClock, TraceIds, TraceLacks};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// As Windows' own program sends.
const PAYLOAD: usize = 64;

pub(super) struct SystemWire {
    target: IpAddr,
    timeout: Duration,
    clock: Clock,
    /// For threads that hand over what they were told.
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    answers: Mutex<Vec<(ProbeNumber, Asked)>>,
    some: Notify,
}

/// Each probe is waited for as long as the trace waits for an answer; a later one goes unheard.
pub(super) fn open(target: IpAddr, timeout: Duration, clock: Clock) -> SystemWire {
    SystemWire { target, timeout, clock, told: Arc::default() }
}

impl Wire for SystemWire {
    fn traits(&self) -> Traits {
        let lacks = vec![TraceLacks::QuotedHeaders, TraceLacks::ConstantFlow, TraceLacks::Duplicates];
        Traits { ids: TraceIds::Classic, clock: TraceClock::Process, lacks, privileged: false }
    }

    async fn ready(&self) -> io::Result<()> {
        self.told.some.notified().await;
        Ok(())
    }

    fn flows(&self) -> Vec<Flow> {
        Vec::new()
    }

    fn send(&mut self, packet: Packet) -> io::Result<()> {
        let headers = if self.target.is_ipv4() { 28 } else { 48 };
        let size = if packet.size == 0 { PAYLOAD } else { usize::from(packet.size).saturating_sub(headers) };
        let request = EchoRequest {
            target: self.target,
            ttl: packet.ttl,
            dont_fragment: true,
            payload: vec![0; size],
            timeout: self.timeout,
        };
        let told = Arc::clone(&self.told);
        start(request, self.clock, turn_now()?, move |asked| {
            told.answers.lock().unwrap_or_else(PoisonError::into_inner).push((packet.probe, asked));
            told.some.notify_one();
        })
    }

    fn hear(&mut self, _clock: &Clock) -> Vec<Heard> {
        let answers = std::mem::take(&mut *self.told.answers.lock().unwrap_or_else(PoisonError::into_inner));
        answers.into_iter().flat_map(|(probe, asked)| heard(probe, &asked)).collect()
    }
}

/// What the probe's thread was told, in the order in which it came to pass.
fn heard(probe: ProbeNumber, asked: &Asked) -> Vec<Heard> {
    let found = match &asked.result {
        Ok(found) => found,
        Err(error) => return vec![Heard::Unsent { probe, failure: Failure::from_io(error, Step::Send) }],
    };
    let answer = |icmp| Heard::Answer {
        probe,
        answer: Answer { ttl: found.ttl, ..Answer::plain(found.from, icmp) },
        at: Some(asked.answered_by()),
    };
    let left = Heard::Left { probe, at: asked.began };
    match verdict(found.status, found.from) {
        Verdict::Reply => vec![left, answer(None)],
        Verdict::Error(error) => vec![left, answer(Some(error))],
        Verdict::Silence => vec![left],
        Verdict::Unsent(failure) => vec![Heard::Unsent { probe, failure }],
    }
}
