//! The multipath detection algorithm (Veitch, Augustin, Friedman, Teixeira: "Failure Control in Multipath Route Tracing", 2009): at
//! each router, further flows are sent through it until, with the certainty asked for, no way out of it was missed.
//!
//! A flow's way is known from the same flow at every distance. Where too few known flows pass a router, further flows are sent to its
//! distance until enough of them do. A probe that stays unanswered is sent again, more slowly, before its distance counts as silent.

use super::ledger::Ledger;
use super::{Answer, Command, Phase, ProbeNumber, kind};
use crate::traceroute::statistics::{MAX_WAYS, flows_needed};
use netsonde_contract::observation::ReplyKind;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Enough for four ways out of each of two routers in a row, at 99 %.
const MAX_FLOWS: u16 = 256;
/// The search sends no more.
const MAX_PROBES: u16 = 4_096;
/// Between two probes to one distance: six leave within the burst that Linux allows one sender.
const GAP: Duration = Duration::from_millis(100);
/// Between two probes to a distance that left one unanswered: whoever may send one error a second may send one again.
const SLOW_GAP: Duration = Duration::from_millis(1_100);
/// A distance that leaves a flow's probes unanswered so often is silent for it.
const TRIES: u8 = 3;
/// Ways that are longer than the first trace's are followed so far.
const FURTHER: u8 = 3;

/// What to search.
#[derive(Clone, Copy, Debug)]
pub(in crate::traceroute) struct Question {
    pub(in crate::traceroute) target: IpAddr,
    /// How far the target is, or the last router that answered.
    pub(in crate::traceroute) distance: u8,
    pub(in crate::traceroute) arrived: bool,
    pub(in crate::traceroute) max_ttl: u8,
    /// Percent.
    pub(in crate::traceroute) confidence: u8,
}

/// One flow at one distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    UnderWay {
        probe: ProbeNumber,
        tries: u8,
    },
    /// To be asked again.
    Unanswered {
        tries: u8,
    },
    Silent,
    Router(IpAddr),
}

#[derive(Debug)]
pub(in crate::traceroute) struct Search {
    question: Question,
    /// Distances that have answered nobody yet: each flow asks them once, and none once enough have.
    silent: BTreeSet<u8>,
    ledger: Ledger,
    places: BTreeMap<(u8, u16), Place>,
    flows: u16,
    /// By distance, from 1: when it was last asked, and how long to wait after that.
    pace: Vec<(Duration, Duration)>,
    /// Flows needed after so many ways out were found.
    needed: Vec<usize>,
    sending: bool,
    is_complete: bool,
}

/// One way and the flows that take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::traceroute) struct Way {
    /// The flow whose way is known best.
    pub(in crate::traceroute) representative: u16,
    pub(in crate::traceroute) flows: Vec<u16>,
    pub(in crate::traceroute) hops: Vec<Option<IpAddr>>,
}

impl Search {
    pub(in crate::traceroute) fn new(question: Question, silent: BTreeSet<u8>, ledger: Ledger) -> Self {
        let needed: Vec<usize> = (0..=MAX_WAYS).map(|found| flows_needed(found, question.confidence)).collect();
        let flows = needed.first().map_or(MAX_FLOWS, |first| u16::try_from(*first).unwrap_or(MAX_FLOWS));
        let pace = vec![(Duration::ZERO, Duration::ZERO); usize::from(u8::MAX)];
        Self { question, silent, ledger, places: BTreeMap::new(), flows, pace, needed, sending: true, is_complete: false }
    }

    pub(in crate::traceroute) fn len(&self) -> u16 {
        self.ledger.len()
    }

    pub(in crate::traceroute) fn flows(&self) -> u16 {
        self.flows
    }

    pub(in crate::traceroute) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The ways that flows take, each with its flows. A distance that is silent or was not asked for a flow fits every way.
    pub(in crate::traceroute) fn ways(&self) -> Vec<Way> {
        let mut whole: Vec<(u16, Vec<Option<IpAddr>>)> = (0..self.flows).map(|flow| (flow, self.way_of(flow))).collect();
        // Those that know most are what the others are fitted to.
        whole.sort_by_key(|(flow, hops)| (usize::MAX - hops.iter().flatten().count(), *flow));
        let mut ways: Vec<Way> = Vec::new();
        for (flow, hops) in whole.into_iter().filter(|(_, hops)| hops.iter().any(Option::is_some)) {
            match ways.iter_mut().find(|way| fits(&way.hops, &hops)) {
                Some(way) => {
                    way.flows.push(flow);
                    for (known, new) in way.hops.iter_mut().zip(&hops) {
                        *known = known.or(*new);
                    }
                }
                None => ways.push(Way { representative: flow, flows: vec![flow], hops }),
            }
        }
        ways.sort_by_key(|way| way.representative);
        ways
    }

    /// Up to the target, or to the last distance that answered.
    fn way_of(&self, flow: u16) -> Vec<Option<IpAddr>> {
        let mut hops = Vec::new();
        for ttl in 1..=self.last() {
            let router = match self.places.get(&(ttl, flow)) {
                Some(Place::Router(router)) => Some(*router),
                _ => None,
            };
            hops.push(router);
            if router == Some(self.question.target) {
                break;
            }
        }
        while hops.last() == Some(&None) {
            hops.pop();
        }
        hops
    }

    fn last(&self) -> u8 {
        let further = if self.question.arrived { FURTHER } else { 0 };
        self.question.distance.saturating_add(further).min(self.question.max_ttl)
    }

    /// Takes over what was answered or timed out.
    fn settle(&mut self, now: Duration) {
        for ((ttl, _), place) in &mut self.places {
            let Place::UnderWay { probe, tries } = *place else { continue };
            if !self.ledger.is_settled(probe, now) {
                continue;
            }
            if let Some(pace) = self.pace.get_mut(usize::from(*ttl)) {
                // Back to a quicker pace with every answer.
                pace.1 = (pace.1 / 2).max(GAP);
            }
            let answer = self.ledger.entry(probe).and_then(|entry| entry.answer.as_ref());
            *place = match answer.and_then(|(answer, _)| Some((answer.from, kind(answer, self.question.target)?))) {
                Some((from, ReplyKind::TimeExceeded | ReplyKind::Unreachable)) => Place::Router(from),
                Some((_, ReplyKind::Arrived)) => Place::Router(self.question.target),
                None if self.silent.contains(ttl) => Place::Silent,
                None => {
                    if let Some(pace) = self.pace.get_mut(usize::from(*ttl)) {
                        pace.1 = SLOW_GAP;
                    }
                    if tries < TRIES { Place::Unanswered { tries } } else { Place::Silent }
                }
            };
        }
    }

    /// Flows and distances that are to be asked now; none where the stopping rule is met everywhere or answers are awaited.
    fn wanted(&mut self) -> Vec<(u8, u16)> {
        loop {
            let wanted = self.lacking();
            let (silent, asked): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(ttl, _)| self.is_silent(*ttl));
            if silent.is_empty() {
                return asked;
            }
            // Each such place is settled once, so that this ends.
            self.places.extend(silent.into_iter().map(|key| (key, Place::Silent)));
        }
    }

    /// The distance has answered neither the first trace nor as many flows as would have shown a router there.
    fn is_silent(&self, ttl: u8) -> bool {
        let silent = self.of_distance(ttl).filter(|place| **place == Place::Silent).count();
        let enough = self.needed.first().copied().unwrap_or_default();
        self.silent.contains(&ttl) && silent >= enough && !self.of_distance(ttl).any(|place| matches!(place, Place::Router(_)))
    }

    fn of_distance(&self, ttl: u8) -> impl Iterator<Item = &Place> {
        self.places.range((ttl, 0)..=(ttl, u16::MAX)).map(|(_, place)| place)
    }

    /// What the stopping rule still wants, and whether it is met.
    fn lacking(&mut self) -> Vec<(u8, u16)> {
        let again = self.places.iter().filter(|(_, place)| matches!(place, Place::Unanswered { .. })).map(|(key, _)| *key);
        let mut wanted: BTreeSet<(u8, u16)> = again.collect();
        let mut lacking = false;
        for ttl in 1..=self.last() {
            for flows in self.groups(ttl).into_values() {
                let asked = flows.iter().filter(|flow| self.places.contains_key(&(ttl, **flow))).count();
                let needed = self.needed_behind(ttl, &flows);
                let unasked: Vec<u16> = flows.iter().copied().filter(|flow| !self.places.contains_key(&(ttl, *flow))).collect();
                wanted.extend(unasked.iter().take(needed.saturating_sub(asked)).map(|flow| (ttl, *flow)));
                let missing = needed.saturating_sub(flows.len());
                if missing > 0 {
                    lacking |= !self.send_more_to(ttl - 1, missing, &mut wanted);
                }
            }
        }
        let under_way = self.places.values().any(|place| matches!(place, Place::UnderWay { .. }));
        self.is_complete = wanted.is_empty() && !under_way && !lacking;
        wanted.into_iter().collect()
    }

    /// The flows that are known to arrive at a distance, by the router before it; those at the target go no further.
    fn groups(&self, ttl: u8) -> BTreeMap<Option<IpAddr>, Vec<u16>> {
        let mut groups: BTreeMap<Option<IpAddr>, Vec<u16>> = BTreeMap::new();
        // A flow without an answer where others have one has lost it, and its way is not known.
        let has_router = ttl > 1 && self.of_distance(ttl - 1).any(|place| matches!(place, Place::Router(_)));
        for flow in 0..self.flows {
            let before = if ttl == 1 { Some(&Place::Silent) } else { self.places.get(&(ttl - 1, flow)) };
            match before {
                Some(Place::Router(router)) if *router != self.question.target => {
                    groups.entry(Some(*router)).or_default().push(flow);
                }
                Some(Place::Silent) if ttl <= self.question.distance && !has_router => groups.entry(None).or_default().push(flow),
                _ => {}
            }
        }
        groups
    }

    /// How many of these flows are to be asked at the distance, by what was found there. Silence is no way out of its own.
    fn needed_behind(&self, ttl: u8, flows: &[u16]) -> usize {
        let found: BTreeSet<IpAddr> = flows
            .iter()
            .filter_map(|flow| match self.places.get(&(ttl, *flow)) {
                Some(Place::Router(router)) => Some(*router),
                _ => None,
            })
            .collect();
        self.needed.get(found.len().max(1)).or(self.needed.last()).copied().unwrap_or(0)
    }

    /// Sends further flows to the distance before, in the hope that they pass the router that has too few. False at a bound.
    fn send_more_to(&mut self, ttl: u8, missing: usize, wanted: &mut BTreeSet<(u8, u16)>) -> bool {
        // At the first distance all flows arrive, whatever they are.
        if ttl == 0 {
            let before = self.flows;
            self.flows = self.flows.saturating_add(u16::try_from(missing).unwrap_or(MAX_FLOWS)).min(MAX_FLOWS);
            wanted.extend((before..self.flows).map(|flow| (1, flow)));
            return self.flows > before;
        }
        let open = |flow: &u16| !matches!(self.places.get(&(ttl, *flow)), Some(Place::Router(_) | Place::Silent));
        let mut candidates: Vec<u16> = (0..self.flows).filter(open).take(missing).collect();
        while candidates.len() < missing && self.flows < MAX_FLOWS {
            candidates.push(self.flows);
            self.flows += 1;
        }
        let fresh = candidates.iter().filter(|flow| !self.places.contains_key(&(ttl, **flow)));
        wanted.extend(fresh.map(|flow| (ttl, *flow)));
        !candidates.is_empty()
    }

    fn due(&self, ttl: u8) -> Duration {
        self.pace.get(usize::from(ttl)).map_or(Duration::ZERO, |(last, gap)| *last + *gap)
    }

    fn ask(&mut self, ttl: u8, flow: u16, now: Duration) -> Command {
        let tries = match self.places.get(&(ttl, flow)) {
            Some(Place::Unanswered { tries }) => tries + 1,
            _ => 1,
        };
        let probe = self.ledger.give(ttl, flow, now);
        self.places.insert((ttl, flow), Place::UnderWay { probe, tries });
        if let Some(pace) = self.pace.get_mut(usize::from(ttl)) {
            *pace = (now, pace.1.max(GAP));
        }
        Command::Send { probe, ttl, flow, size: 0 }
    }

    /// When the first probe under way is settled at the latest.
    fn first_expiry(&self) -> Option<Duration> {
        let expiry = |place: &Place| match place {
            Place::UnderWay { probe, .. } => self.ledger.expiry(*probe),
            _ => None,
        };
        self.places.values().filter_map(expiry).min()
    }
}

/// Nothing known of the one is contradicted by the other.
fn fits(one: &[Option<IpAddr>], other: &[Option<IpAddr>]) -> bool {
    one.iter().zip(other).all(|pair| match pair {
        (Some(one), Some(other)) => one == other,
        _ => true,
    })
}

impl Phase for Search {
    fn poll(&mut self, now: Duration) -> Command {
        self.settle(now);
        let may_send = self.sending && self.ledger.len() < MAX_PROBES;
        let wanted = if may_send { self.wanted() } else { Vec::new() };
        let next = wanted.into_iter().map(|(ttl, flow)| (self.due(ttl), flow, ttl)).min();
        match (next, self.first_expiry()) {
            (Some((due, flow, ttl)), _) if due <= now => self.ask(ttl, flow, now),
            (Some((due, ..)), Some(expiry)) => Command::Wait { until: due.min(expiry) },
            (Some((until, ..)), None) | (None, Some(until)) => Command::Wait { until },
            (None, None) => Command::Finished,
        }
    }

    fn stop_sending(&mut self) {
        self.sending = false;
    }

    fn handle_sent(&mut self, probe: ProbeNumber, at: Duration) {
        self.ledger.handle_sent(probe, at);
    }

    fn handle_answer(&mut self, probe: ProbeNumber, answer: Answer, at: Duration) {
        self.ledger.handle_answer(probe, answer, at);
    }
}
