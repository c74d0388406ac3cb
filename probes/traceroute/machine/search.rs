//! The multipath detection algorithm (Veitch, Augustin, Friedman, Teixeira: "Failure Control in Multipath Route Tracing", 2009): at
//! each router, further flows are sent through it until, with the certainty asked for, no way out of it was missed.
//!
//! A flow's way is known from the same flow at every distance. Where too few known flows pass a router, further flows are sent to its
//! distance until enough of them do; before the first router that shares load all flows do, and none is asked for that. Parallel routers
//! that all lead to the same next one count as one there (as in MDA-Lite: Vermeulen et al. 2018), as long as each was tried twice.
//! A probe that stays unanswered is sent again, more slowly, before its distance counts as silent. Where a router's flows all stay
//! unanswered behind it and those of others do not, one more try is enough: it loses them, or what is behind it does not answer. Which of
//! both shows at the target, which is asked along such flows at once.

use super::allowance::Allowance;
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
/// Flows that stay silent behind a router are asked again so often, all together, where those of other routers are not silent.
const TRIES_OF_LOST: u32 = 1;
/// So many of them are sent to the target: with as many along another way, all and none cannot be chance.
const LOST_TO_TARGET: usize = 4;
/// Flows through each of several routers that lead to one, at the least.
const LEAST_EACH: usize = 2;
/// So many flows have met a router, and no other, before others are taken to pass it.
const LEAST_LONE: usize = 3;
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
    /// Tries of each place.
    asked: BTreeMap<(u8, u16), u8>,
    /// Of the target, where its answers are limited.
    allowance: Option<Allowance>,
    /// Flows that some router loses, as far as it looks now.
    lost_flows: BTreeSet<u16>,
    /// The routers of the first distances, as far as all flows meet one and the same.
    lone: Vec<IpAddr>,
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
    /// The target's answers are limited where there is an `allowance`.
    pub(in crate::traceroute) fn new(
        question: Question,
        silent: BTreeSet<u8>,
        allowance: Option<Allowance>,
        ledger: Ledger,
    ) -> Self {
        let needed: Vec<usize> = (0..=MAX_WAYS).map(|found| flows_needed(found, question.confidence)).collect();
        let flows = needed.first().map_or(MAX_FLOWS, |first| u16::try_from(*first).unwrap_or(MAX_FLOWS));
        let pace = vec![(Duration::ZERO, Duration::ZERO); usize::from(u8::MAX)];
        let (places, asked, lone) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (sending, is_complete) = (true, false);
        let lost_flows = BTreeSet::new();
        Self { question, silent, ledger, places, asked, allowance, lost_flows, lone, flows, pace, needed, sending, is_complete }
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

    /// How far the target is, where it has answered the search or what was before it.
    pub(in crate::traceroute) fn distance(&self) -> Option<u8> {
        let met =
            || self.places.iter().find(|(_, place)| **place == Place::Router(self.question.target)).map(|((ttl, _), _)| *ttl);
        self.question.arrived.then_some(self.question.distance).or_else(met)
    }

    pub(in crate::traceroute) fn allowance(&self) -> Option<Allowance> {
        self.allowance
    }

    /// How many of these flows' first probes to the target are settled, and how many of them were answered.
    pub(in crate::traceroute) fn sampled(&self, flows: &[u16]) -> (u32, u32) {
        let Some(distance) = self.distance() else { return (0, 0) };
        flows.iter().fold((0, 0), |(sent, answered), flow| {
            let tries = self.asked.get(&(distance, *flow)).copied().unwrap_or_default();
            match self.places.get(&(distance, *flow)) {
                Some(Place::UnderWay { .. }) if tries == 1 => (sent, answered),
                Some(Place::Router(router)) if *router != self.question.target => (sent, answered),
                Some(Place::Router(_)) if tries == 1 => (sent + 1, answered + 1),
                _ if tries > 0 => (sent + 1, answered),
                _ => (sent, answered),
            }
        })
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
        let Question { target, distance, arrived, max_ttl, .. } = self.question;
        if arrived {
            return distance.saturating_add(FURTHER).min(max_ttl);
        }
        // The first trace's own way may end where others go on.
        let is_router = |place: &Place| matches!(place, Place::Router(router) if *router != target);
        let furthest = self.places.iter().rev().find(|(_, place)| is_router(place)).map_or(0, |((ttl, _), _)| *ttl);
        distance.max(furthest).saturating_add(1).min(max_ttl)
    }

    /// Each flow asks the distance only once: the first trace had no answer from there.
    fn is_asked_once(&self, ttl: u8) -> bool {
        self.silent.contains(&ttl) || (!self.question.arrived && ttl > self.question.distance)
    }

    /// Takes over what was answered or timed out.
    fn settle(&mut self, now: Duration) {
        let distance = self.distance();
        let once: BTreeSet<u8> = (1..=self.last()).filter(|ttl| self.is_asked_once(*ttl)).collect();
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
            // Whoever did not get the probe has not answered it.
            if let Some(allowance) = self.allowance.as_mut().filter(|_| answer.is_none() && distance == Some(*ttl)) {
                allowance.give_back(now);
            }
            *place = match answer.and_then(|(answer, _)| Some((answer.from, kind(answer, self.question.target)?))) {
                Some((from, ReplyKind::TimeExceeded | ReplyKind::Unreachable)) => Place::Router(from),
                Some((_, ReplyKind::Arrived)) => Place::Router(self.question.target),
                None if once.contains(ttl) => Place::Silent,
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
        self.is_asked_once(ttl) && silent >= enough && !self.has_router(ttl)
    }

    fn has_router(&self, ttl: u8) -> bool {
        self.of_distance(ttl).any(|place| matches!(place, Place::Router(_)))
    }

    fn of_distance(&self, ttl: u8) -> impl Iterator<Item = &Place> {
        self.places.range((ttl, 0)..=(ttl, u16::MAX)).map(|(_, place)| place)
    }

    /// What the stopping rule still wants, and whether it is met.
    fn lacking(&mut self) -> Vec<(u8, u16)> {
        self.lone = self.lone();
        let lost = self.lost();
        self.lost_flows = lost.iter().flat_map(|(_, flows)| flows.iter().copied()).collect();
        for (ttl, flows) in &lost {
            self.spare(*ttl, flows);
        }
        for ttl in lost.iter().map(|(ttl, _)| *ttl).chain(self.distance()) {
            self.hurry(ttl);
        }
        let again = self.places.iter().filter(|(_, place)| matches!(place, Place::Unanswered { .. })).map(|(key, _)| *key);
        let mut wanted: BTreeSet<(u8, u16)> = again.collect();
        let mut lacking = false;
        for ttl in 1..=self.last() {
            let groups = self.groups(ttl);
            let together = self.needed_together(ttl, groups.len());
            for flows in groups.into_values() {
                let asked = flows.iter().filter(|flow| self.places.contains_key(&(ttl, **flow))).count();
                let needed = together.unwrap_or_else(|| self.needed_behind(ttl, &flows));
                let unasked: Vec<u16> = flows.iter().copied().filter(|flow| !self.places.contains_key(&(ttl, *flow))).collect();
                wanted.extend(unasked.iter().take(needed.saturating_sub(asked)).map(|flow| (ttl, *flow)));
                let missing = needed.saturating_sub(flows.len());
                if missing > 0 {
                    lacking |= !self.send_more_to(ttl - 1, missing, &mut wanted);
                }
            }
        }
        if let Some(distance) = self.distance() {
            for (_, flows) in lost.iter().filter(|(ttl, _)| *ttl < distance) {
                self.spare(distance, flows);
                let chosen = flows.iter().take(LOST_TO_TARGET).map(|flow| (distance, *flow));
                wanted.extend(chosen.filter(|key| !self.places.contains_key(key)));
            }
            wanted.retain(|key| self.places.get(key) != Some(&Place::Silent));
        }
        let under_way = self.places.values().any(|place| matches!(place, Place::UnderWay { .. }));
        self.is_complete = wanted.is_empty() && !under_way && !lacking;
        wanted.into_iter().collect()
    }

    /// Distances and the flows that no answer came from there for, though they are known to pass one router before and those that pass
    /// others there are answered.
    fn lost(&self) -> Vec<(u8, Vec<u16>)> {
        let mut lost = Vec::new();
        for ttl in (2..=self.last()).filter(|ttl| self.has_router(*ttl)) {
            for flows in self.groups(ttl).into_values() {
                let places = || flows.iter().filter_map(|flow| self.places.get(&(ttl, *flow)));
                let unanswered = places().filter(|place| matches!(place, Place::Unanswered { .. } | Place::Silent)).count();
                if unanswered >= LEAST_EACH && !places().any(|place| matches!(place, Place::Router(_))) {
                    lost.push((ttl, flows));
                }
            }
        }
        lost
    }

    /// Where only lost flows stay unanswered, the distance has answers for the others.
    fn hurry(&mut self, ttl: u8) {
        let unanswered = |place: &Place| matches!(place, Place::Unanswered { .. });
        let mut open = self.places.range((ttl, 0)..=(ttl, u16::MAX)).filter(|(_, place)| unanswered(place));
        if open.all(|((_, flow), _)| self.lost_flows.contains(flow))
            && let Some(pace) = self.pace.get_mut(usize::from(ttl))
        {
            pace.1 = GAP;
        }
    }

    /// Of lost flows only a few are asked again at the distance.
    fn spare(&mut self, ttl: u8, flows: &[u16]) {
        let again: u32 = flows.iter().filter_map(|flow| self.asked.get(&(ttl, *flow))).map(|tries| u32::from(*tries) - 1).sum();
        let mut left = TRIES_OF_LOST.saturating_sub(again);
        for flow in flows {
            if let Some(place @ Place::Unanswered { .. }) = self.places.get_mut(&(ttl, *flow)) {
                if left == 0 {
                    *place = Place::Silent;
                }
                left = left.saturating_sub(1);
            }
        }
    }

    /// The routers of the first distances, as far as no second one has been met. Those whose stopping rule is not met yet are among them:
    /// flows that went on meanwhile are asked there in hindsight where a second one turns up.
    fn lone(&self) -> Vec<IpAddr> {
        let only = |ttl: u8| {
            let met: Vec<IpAddr> = self.routers(ttl).collect();
            let first = *met.first().filter(|first| **first != self.question.target)?;
            (met.len() >= LEAST_LONE && met.iter().all(|other| *other == first)).then_some(first)
        };
        (1..=self.last()).map_while(only).collect()
    }

    /// One for each flow that is known there.
    fn routers(&self, ttl: u8) -> impl Iterator<Item = IpAddr> {
        self.of_distance(ttl).filter_map(|place| match place {
            Place::Router(router) => Some(*router),
            _ => None,
        })
    }

    /// The flows that are known to arrive at a distance, by the router before it; those at the target go no further.
    fn groups(&self, ttl: u8) -> BTreeMap<Option<IpAddr>, Vec<u16>> {
        let mut groups: BTreeMap<Option<IpAddr>, Vec<u16>> = BTreeMap::new();
        // A flow without an answer where others have one has lost it, and its way is not known.
        let has_router = ttl > 1 && self.has_router(ttl - 1);
        for flow in 0..self.flows {
            let all_pass =
                usize::from(ttl).checked_sub(2).and_then(|place| self.lone.get(place)).map(|router| Place::Router(*router));
            let before = if ttl == 1 { Some(Place::Silent) } else { all_pass.or(self.places.get(&(ttl - 1, flow)).copied()) };
            match before {
                Some(Place::Router(router)) if router != self.question.target => {
                    groups.entry(Some(router)).or_default().push(flow);
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

    /// How many flows of each of several groups are to be asked, as long as no second router was met at the distance: then all groups'
    /// flows count together.
    fn needed_together(&self, ttl: u8, groups: usize) -> Option<usize> {
        let mut met = self.routers(ttl);
        let first = met.next();
        let enough = self.needed.get(1).copied().unwrap_or_default();
        let each = || enough.div_ceil(groups.max(1)).max(LEAST_EACH);
        (groups > 1 && met.all(|other| Some(other) == first)).then(each)
    }

    /// Sends further flows to the distance before, in the hope that they pass the router that has too few. False at a bound.
    fn send_more_to(&mut self, ttl: u8, missing: usize, wanted: &mut BTreeSet<(u8, u16)>) -> bool {
        // As far as nobody shares load all flows arrive, whatever they are.
        if ttl == 0 || usize::from(ttl) <= self.lone.len() {
            let before = self.flows;
            self.flows = self.flows.saturating_add(u16::try_from(missing).unwrap_or(MAX_FLOWS)).min(MAX_FLOWS);
            wanted.extend((before..self.flows).filter(|_| ttl == 0).map(|flow| (1, flow)));
            return self.flows > before;
        }
        let open = |flow: &u16| !matches!(self.places.get(&(ttl, *flow)), Some(Place::Router(_) | Place::Silent));
        let arriving: BTreeSet<u16> = self.groups(ttl).into_values().flatten().collect();
        let is_useful = |flow: &u16| open(flow) && !self.lost_flows.contains(flow);
        // Where some router loses what it gets, only those that pass another one get here.
        let some_lost = arriving.iter().any(|flow| self.lost_flows.contains(flow));
        let mut candidates: Vec<u16> =
            (0..self.flows).filter(|flow| is_useful(flow) && (!some_lost || arriving.contains(flow))).take(missing).collect();
        if some_lost && candidates.len() < missing && ttl > 1 {
            let further = missing - candidates.len();
            wanted.extend(candidates.iter().filter(|flow| !self.places.contains_key(&(ttl, **flow))).map(|flow| (ttl, *flow)));
            return self.send_more_to(ttl - 1, further, wanted) || !candidates.is_empty();
        }
        while candidates.len() < missing && self.flows < MAX_FLOWS {
            candidates.push(self.flows);
            self.flows += 1;
        }
        let fresh = candidates.iter().filter(|flow| !self.places.contains_key(&(ttl, **flow)));
        wanted.extend(fresh.map(|flow| (ttl, *flow)));
        !candidates.is_empty()
    }

    fn due(&self, ttl: u8) -> Duration {
        let ready = self.allowance.filter(|_| self.distance() == Some(ttl)).map(|allowance| allowance.due());
        let pace = self.pace.get(usize::from(ttl)).map_or(Duration::ZERO, |(last, gap)| *last + *gap);
        ready.map_or(pace, |ready| ready.max(pace))
    }

    fn ask(&mut self, ttl: u8, flow: u16, now: Duration) -> Command {
        let tries = match self.places.get(&(ttl, flow)) {
            Some(Place::Unanswered { tries }) => tries + 1,
            _ => 1,
        };
        if self.distance() == Some(ttl) {
            self.allowance.iter_mut().for_each(|allowance| allowance.take(now));
        }
        self.asked.insert((ttl, flow), tries);
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
