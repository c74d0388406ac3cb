use super::machine::{Command, Machine, Plan, ProbeNumber};
use super::wire::{Wire, heard_something};
use crate::clock::microseconds;
use crate::context::Context;
use netsonde_contract::failure::{Failure, Step};
use netsonde_contract::kind::TracerouteParams;
use netsonde_contract::observation::{Fact, Hop, Trace, TraceProtocol};
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

/// A trace as far as it has come. It is recorded when it is dropped, so that a deadline in the midst of it keeps what was seen.
pub(super) struct Tracing<'c> {
    context: &'c Context,
    params: &'c TracerouteParams,
    target: IpAddr,
    protocol: TraceProtocol,
    began: Duration,
    machine: Machine,
    failure: Option<Failure>,
    ended: bool,
}

impl<'c> Tracing<'c> {
    pub(super) fn begin(context: &'c Context, params: &'c TracerouteParams, target: IpAddr, protocol: TraceProtocol) -> Self {
        let plan =
            Plan { target, max_ttl: params.max_ttl, rounds: params.rounds, timeout: Duration::from_millis(params.timeout_ms) };
        let began = context.clock.now();
        Self { context, params, target, protocol, began, machine: Machine::new(plan, began), failure: None, ended: false }
    }

    /// Keeps why the trace could not go on.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Carries out the machine's commands until it is finished. Says whether the target answered.
    pub(super) async fn run(mut self, mut wire: impl Wire) -> bool {
        let context = self.context;
        loop {
            match self.machine.poll(context.clock.now()) {
                Command::Finished => {
                    self.ended = true;
                    return self.machine.distance().is_some();
                }
                Command::Wait { until } => {
                    let wait = tokio::time::sleep(until.saturating_sub(context.clock.now()));
                    tokio::pin!(wait);
                    // Whatever is heard may change the command.
                    self.hear_or(&mut wire, wait).await;
                }
                Command::Send { probe, ttl } => {
                    let turn = context.gate.packet(self.target);
                    tokio::pin!(turn);
                    let admitted = loop {
                        if let Some(admitted) = self.hear_or(&mut wire, turn.as_mut()).await {
                            break admitted;
                        }
                    };
                    if let Err(failure) = admitted.and_then(|()| self.send(&mut wire, probe, ttl)) {
                        self.fail(failure);
                        // What is under way may still be answered.
                        self.machine.stop_sending();
                    }
                }
            }
        }
    }

    fn send(&mut self, wire: &mut impl Wire, probe: ProbeNumber, ttl: u8) -> Result<(), Failure> {
        // While the gate had it wait, the target may have answered from nearer.
        if self.machine.is_wanted(probe) {
            let now = self.context.clock.now();
            wire.send(probe, ttl).map_err(|error| Failure::from_io(&error, Step::Send))?;
            self.machine.handle_sent(probe, now);
        }
        Ok(())
    }

    /// Waits until something is heard, which goes to the machine, or `work` is done, whose result is returned.
    async fn hear_or<T>(&mut self, wire: &mut impl Wire, work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        tokio::select! {
            // Answers first, so that their time is the time they came.
            biased;
            Ok(()) = heard_something(wire.socket()) => {
                let now = self.context.clock.now();
                for (probe, answer) in wire.hear() {
                    self.machine.handle_answer(probe, answer, now);
                }
                None
            }
            done = work => Some(done),
        }
    }
}

impl Drop for Tracing<'_> {
    fn drop(&mut self) {
        let now = self.context.clock.now();
        let recorder = &self.context.recorder;
        for hop in self.machine.hops(now) {
            let at_us = microseconds(hop.first_sent);
            recorder
                .record(at_us, Fact::Hop(Hop { target: self.target, protocol: self.protocol, ttl: hop.ttl, probes: hop.probes }));
        }
        let distance = self.machine.distance();
        if let Some(failure) = recorder.interrupted(Step::Receive).filter(|_| !self.ended) {
            self.failure.get_or_insert(failure);
        }
        let trace = Trace {
            host: self.params.host.clone(),
            target: self.target,
            protocol: self.protocol,
            arrived: distance.is_some(),
            distance,
            max_ttl: self.params.max_ttl,
            rounds: self.params.rounds,
            privileged: self.protocol == TraceProtocol::Icmp,
            took_us: microseconds(now.saturating_sub(self.began)),
            failure: self.failure.take(),
        };
        recorder.record(microseconds(self.began), Fact::Trace(trace));
    }
}
