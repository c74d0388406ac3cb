use super::machine::allowance::Allowance;
use super::machine::ledger::Ledger;
use super::machine::schedule::Schedule;
use super::machine::search::{Question, Search};
use super::machine::series::{Sampled, Series};
use super::machine::sizes::Sizes;
use super::machine::{Command, Machine, Phase, Plan};
use super::udp::is_too_long;
use super::wire::{Heard, Packet, Traits, Wire};
use crate::clock::microseconds;
use crate::context::Context;
use crate::neighbour_search::GIVEN_UP;
use netsonde_contract::failure::{Failure, FailureCode, Step};
use netsonde_contract::kind::{FlowChoice, TracerouteParams};
use netsonde_contract::observation::{
    Fact, Hop, HopName, Multipath, Trace, TraceClock, TraceIds, TraceLacks, TracePath, TraceProtocol,
};
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

/// Addresses whose names are asked for.
const MAX_NAMES: usize = 64;

/// A trace as far as it has come. It is recorded when it is dropped, so that a deadline in the midst of it keeps what was seen.
pub(super) struct Tracing<'c> {
    context: &'c Context,
    params: &'c TracerouteParams,
    target: IpAddr,
    protocol: TraceProtocol,
    began: Duration,
    machine: Machine,
    sizes: Option<Sizes>,
    search: Option<Search>,
    /// Along the paths that the search found, to a target that limits its answers and to one that does not.
    limited: Option<Series>,
    series: Option<Schedule>,
    rates: Option<Schedule>,
    current: Part,
    /// The first probe number of each later part, with the part.
    numbered: Vec<(u16, Part)>,
    traits: Option<Traits>,
    stamped: (bool, bool),
    unmatched: u32,
    names: Vec<HopName>,
    failure: Option<Failure>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Hops,
    Sizes,
    Search,
    Limited,
    Series,
    Rates,
}

impl<'c> Tracing<'c> {
    pub(super) fn begin(context: &'c Context, params: &'c TracerouteParams, target: IpAddr, protocol: TraceProtocol) -> Self {
        let began = context.clock.now();
        Self {
            context,
            params,
            target,
            protocol,
            began,
            machine: Machine::new(plan(context, params, target, params.flow == FlowChoice::Each), began),
            sizes: None,
            search: None,
            limited: None,
            series: None,
            rates: None,
            current: Part::Hops,
            numbered: Vec::new(),
            traits: None,
            stamped: (false, false),
            unmatched: 0,
            names: Vec::new(),
            failure: None,
            ended: false,
        }
    }

    /// Keeps why the trace could not go on.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Carries out one part after the other. Says whether the target answered.
    pub(super) async fn run(mut self, mut wire: impl Wire) -> bool {
        let traits = wire.traits();
        // A wire may have to make each probe a flow of its own.
        let each_flow = self.params.flow == FlowChoice::Each || traits.ids == TraceIds::Classic;
        self.machine = Machine::new(plan(self.context, self.params, self.target, each_flow), self.context.clock.now());
        self.traits = Some(traits);
        self.carry_out(&mut wire).await;
        self.show();
        if self.failure.is_none() {
            self.go_deeper(&mut wire).await;
        }
        if self.params.hop_names {
            self.ask_names().await;
        }
        self.ended = true;
        self.distance().is_some()
    }

    /// Of the target, as the first trace has it, or where that one's own way did not lead there, as another flow's has.
    fn distance(&self) -> Option<u8> {
        self.machine.distance().or_else(|| self.search.as_ref()?.distance())
    }

    async fn go_deeper(&mut self, wire: &mut impl Wire) {
        let timeout = Duration::from_millis(self.params.timeout_ms);
        let now = || self.context.clock.now();
        let answering = self.answering(now());
        let sized = matches!(self.protocol, TraceProtocol::Udp | TraceProtocol::Icmp);
        if self.params.hop_mtu && sized {
            self.sizes = Some(Sizes::new(answering.clone(), Ledger::new(self.number(Part::Sizes), timeout)));
            self.carry_out(wire).await;
        }
        // Connections of one flow follow each other too closely to be told apart: their loss would be of our own making.
        let has_flows = self.traits.as_ref().is_some_and(|traits| !traits.lacks.contains(&TraceLacks::ConstantFlow));
        if self.params.multipath && has_flows && self.failure.is_none() {
            let last = self.machine.distance().or(answering.last().copied()).unwrap_or(0);
            let question = Question {
                target: self.target,
                distance: last,
                arrived: self.machine.distance().is_some(),
                max_ttl: self.params.max_ttl,
                confidence: self.params.confidence,
            };
            let silent = (1..=last).filter(|ttl| !answering.contains(ttl)).collect();
            let answered = self.machine.arrivals();
            let allowance = self.answers_are_limited().then(|| Allowance::after(answered, self.began, now()));
            self.search = Some(Search::new(question, silent, allowance, Ledger::new(self.number(Part::Search), timeout)));
            self.carry_out(wire).await;
            self.show();
        }
        if self.params.multipath && self.context.recorder.lingers() && self.distance().is_none() && self.failure.is_none() {
            self.machine.wait_for_search(GIVEN_UP);
            self.current = Part::Hops;
            self.carry_out(wire).await;
        }
        if self.distance().is_some() && self.params.path_probes > 0 && self.failure.is_none() {
            self.ask_along_paths(wire, timeout).await;
        }
        if self.params.rate_test && self.failure.is_none() {
            let routers: Vec<u8> = answering.into_iter().filter(|ttl| Some(*ttl) != self.distance()).collect();
            let ledger = Ledger::new(self.number(Part::Rates), timeout);
            self.rates = Some(Schedule::two_rates(&routers, ledger, now()));
            self.carry_out(wire).await;
        }
    }

    async fn ask_along_paths(&mut self, wire: &mut impl Wire, timeout: Duration) {
        let Some(search) = &self.search else { return };
        let ways = search.ways();
        let (allowance, now) = (search.allowance(), self.context.clock.now());
        let sampled = |way: &super::machine::search::Way| {
            let (sent, answered) = search.sampled(&way.flows);
            Sampled { flow: way.representative, sent, answered }
        };
        let sampled: Vec<Sampled> = ways.iter().map(sampled).collect();
        let (each, ttl) = (self.params.path_probes, self.params.max_ttl);
        if sampled.is_empty() {
            return;
        }
        if let Some(allowance) = allowance {
            let ledger = Ledger::new(self.number(Part::Limited), timeout);
            self.limited = Some(Series::new(self.target, sampled, (each, ttl), allowance, ledger, now));
        } else {
            let flows: Vec<u16> = sampled.iter().map(|path| path.flow).collect();
            let ledger = Ledger::new(self.number(Part::Series), timeout);
            self.series = Some(Schedule::along(&flows, each, ttl, ledger, now));
        }
        self.carry_out(wire).await;
    }

    /// The first number of the part that is to come, which becomes the current one.
    fn number(&mut self, part: Part) -> u16 {
        let lengths = [
            self.machine.len(),
            self.sizes.as_ref().map_or(0, Sizes::len),
            self.search.as_ref().map_or(0, Search::len),
            self.limited.as_ref().map_or(0, Series::len),
            self.series.as_ref().map_or(0, Schedule::len),
            self.rates.as_ref().map_or(0, Schedule::len),
        ];
        let first = lengths.into_iter().fold(0, u16::saturating_add);
        self.numbered.push((first, part));
        self.current = part;
        first
    }

    fn part(&mut self, part: Part) -> &mut dyn Phase {
        match part {
            Part::Sizes => self.sizes.as_mut().map(|phase| phase as &mut dyn Phase),
            Part::Search => self.search.as_mut().map(|phase| phase as &mut dyn Phase),
            Part::Limited => self.limited.as_mut().map(|phase| phase as &mut dyn Phase),
            Part::Series => self.series.as_mut().map(|phase| phase as &mut dyn Phase),
            Part::Rates => self.rates.as_mut().map(|phase| phase as &mut dyn Phase),
            Part::Hops => None,
        }
        .unwrap_or(&mut self.machine)
    }

    /// The distances from which anything answered.
    fn answering(&self, now: Duration) -> Vec<u8> {
        let hops = self.machine.hops(now).into_iter();
        hops.filter(|hop| hop.probes.iter().any(|probe| probe.reply.is_some())).map(|hop| hop.ttl).collect()
    }

    /// Carries out the current part's commands until it is finished.
    async fn carry_out(&mut self, wire: &mut impl Wire) {
        let context = self.context;
        loop {
            let now = context.clock.now();
            match self.part(self.current).poll(now) {
                Command::Finished => return,
                Command::Wait { until } => {
                    let wait = tokio::time::sleep(until.saturating_sub(context.clock.now()));
                    tokio::pin!(wait);
                    // Whatever is heard may change the command.
                    self.hear_or(wire, wait).await;
                }
                Command::Send { probe, ttl, flow, size } => {
                    let turn = context.gate.packet(self.target, usize::from(size));
                    tokio::pin!(turn);
                    let admitted = loop {
                        if let Some(admitted) = self.hear_or(wire, turn.as_mut()).await {
                            break admitted;
                        }
                    };
                    let packet = Packet { probe, ttl, flow, size };
                    if let Err(failure) = admitted.and_then(|()| self.send(wire, packet)) {
                        self.fail(failure);
                        // What is under way may still be answered.
                        self.part(self.current).stop_sending();
                    }
                }
            }
        }
    }

    fn send(&mut self, wire: &mut impl Wire, packet: Packet) -> Result<(), Failure> {
        let current = self.current;
        // While the gate had it wait, the target may have answered from nearer.
        if self.part(current).is_wanted(packet.probe) {
            let now = self.context.clock.now();
            match wire.send(packet) {
                Ok(()) => {
                    for flow in wire.flows() {
                        self.context.flow(flow);
                    }
                    self.part(current).handle_sent(packet.probe, now);
                }
                Err(error) if packet.size > 0 && is_too_long(&error) => self.part(current).handle_too_long(packet.probe),
                Err(error) => return Err(Failure::from_io(&error, Step::Send)),
            }
        }
        Ok(())
    }

    /// Waits until something is heard, which goes to its part, or `work` is done, whose result is returned.
    async fn hear_or<T>(&mut self, wire: &mut impl Wire, work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        tokio::select! {
            // Answers first, so that their time is the time they came.
            biased;
            Ok(()) = wire.ready() => {}
            done = work => return Some(done),
        }
        let now = self.context.clock.now();
        for heard in wire.hear(&self.context.clock) {
            let (Heard::Left { probe, .. } | Heard::Answer { probe, .. } | Heard::Unsent { probe, .. }) = heard else {
                self.unmatched = self.unmatched.saturating_add(1);
                continue;
            };
            let later = self.numbered.iter().rev().find(|(first, _)| probe.0 >= *first).map(|(_, part)| *part);
            let part = later.unwrap_or(Part::Hops);
            match heard {
                Heard::Left { probe, at } => {
                    self.stamped.0 = true;
                    self.part(part).handle_sent(probe, at);
                }
                Heard::Answer { probe, answer, at } => {
                    self.stamped.1 |= at.is_some();
                    self.part(part).handle_answer(probe, answer, at.unwrap_or(now));
                }
                Heard::Unsent { probe, failure } if part == Part::Sizes && failure.code == FailureCode::MessageTooLong => {
                    self.part(part).handle_too_long(probe);
                }
                Heard::Unsent { failure, .. } => {
                    self.fail(failure);
                    self.part(part).stop_sending();
                }
                Heard::Unmatched => {}
            }
        }
        None
    }

    async fn ask_names(&mut self) {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for hop in self.machine.hops(self.context.clock.now()) {
            addresses.extend(hop.probes.iter().filter_map(|probe| probe.reply.as_ref()).map(|reply| reply.from));
        }
        for way in self.search.iter().flat_map(Search::ways) {
            addresses.extend(way.hops.into_iter().flatten());
        }
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_NAMES);
        self.names = super::hop_names::of(self.context, &addresses).await;
    }

    /// Targets answer UDP with ICMP errors, of which they may send few.
    fn answers_are_limited(&self) -> bool {
        self.protocol == TraceProtocol::Udp
    }

    fn multipath(&self, now: Duration) -> Option<Multipath> {
        let search = self.search.as_ref()?;
        let path = |way: super::machine::search::Way| {
            let flow = way.representative;
            let unlimited = || Some(self.series.as_ref()?.tally(flow, self.target, now));
            let tally = self.limited.as_ref().and_then(|series| series.tally(flow, now)).or_else(unlimited);
            TracePath {
                flow,
                flows: u16::try_from(way.flows.len()).unwrap_or(u16::MAX),
                hops: way.hops,
                sent: tally.map_or(0, |tally| tally.sent),
                answered: tally.map_or(0, |tally| tally.answered),
                loss: tally.and_then(|tally| tally.loss),
                doubtful: None,
                rtt: tally.and_then(|tally| tally.rtt),
            }
        };
        let mut found = Multipath {
            confidence: self.params.confidence,
            complete: search.is_complete(),
            flows: search.flows(),
            probes: search.len().into(),
            paths: search.ways().into_iter().map(path).collect(),
        };
        if self.answers_are_limited() {
            found.doubt_losses();
        }
        Some(found)
    }

    /// Where the times were really taken.
    fn clock(&self) -> Option<TraceClock> {
        self.traits.as_ref().map(|traits| match self.stamped {
            _ if traits.clock == TraceClock::Process => TraceClock::Process,
            (true, true) => TraceClock::KernelRxTx,
            (false, true) => TraceClock::KernelRx,
            (_, false) => TraceClock::Process,
        })
    }

    /// Each distance as it is known now, and when it was asked first.
    fn hops(&self, now: Duration) -> Vec<(Duration, Fact)> {
        let hop = |seen: super::machine::HopSeen| {
            let mut hop = Hop {
                target: self.target,
                protocol: self.protocol,
                ttl: seen.ttl,
                probes: seen.probes,
                names: Vec::new(),
                origins: Vec::new(),
                mtu_bytes: self.sizes.as_ref().and_then(|sizes| sizes.at(seen.ttl)),
                mtu_silent_bytes: self.sizes.as_ref().and_then(|sizes| sizes.silent_at(seen.ttl)),
                rate: self.rates.as_ref().and_then(|rates| rates.rates(seen.ttl, now)),
            };
            let addresses = hop.addresses();
            hop.names = self.names.iter().filter(|name| addresses.contains(&name.address)).cloned().collect();
            hop.origins = addresses.iter().filter_map(|address| self.context.names.origins().of(*address)).collect();
            (seen.first_sent, Fact::Hop(hop))
        };
        self.machine.hops(now).into_iter().map(hop).collect()
    }

    /// The trace as it is known now.
    fn trace(&self, now: Duration) -> Fact {
        let distance = self.distance();
        let traits = self.traits.as_ref();
        Fact::Trace(Trace {
            host: self.params.host.clone(),
            target: self.target,
            protocol: self.protocol,
            arrived: distance.is_some(),
            distance,
            max_ttl: self.params.max_ttl,
            rounds: self.params.rounds,
            privileged: traits.map_or(self.protocol == TraceProtocol::Icmp, |traits| traits.privileged),
            took_us: microseconds(now.saturating_sub(self.began)),
            failure: self.failure.clone(),
            ids: traits.map(|traits| traits.ids),
            clock: self.clock(),
            lacks: traits.map(|traits| traits.lacks.clone()).unwrap_or_default(),
            unmatched: self.unmatched,
            changes: self.machine.changes(),
            multipath: self.multipath(now),
        })
    }

    /// Shows whoever watches what a part has found, as the parts after it take long.
    fn show(&self) {
        if self.context.recorder.shows_parts() {
            let now = self.context.clock.now();
            for (began, fact) in self.hops(now).into_iter().chain([(self.began, self.trace(now))]) {
                self.context.recorder.show(microseconds(began), fact);
            }
        }
    }
}

fn plan(context: &Context, params: &TracerouteParams, target: IpAddr, each_flow: bool) -> Plan {
    let timeout = Duration::from_millis(params.timeout_ms);
    // Where other flows are tried as well, they may arrive: it is waited for after them.
    let search = if context.recorder.lingers() && !params.multipath { GIVEN_UP } else { Duration::ZERO };
    Plan { target, max_ttl: params.max_ttl, rounds: params.rounds, timeout, search, each_flow }
}

impl Drop for Tracing<'_> {
    fn drop(&mut self) {
        let now = self.context.clock.now();
        let recorder = &self.context.recorder;
        if let Some(failure) = recorder.interrupted(Step::Receive).filter(|_| !self.ended) {
            self.failure.get_or_insert(failure);
        }
        for (began, fact) in self.hops(now).into_iter().chain([(self.began, self.trace(now))]) {
            recorder.record(microseconds(began), fact);
        }
    }
}
