//! Traceroute as a pure state machine: answers and the time go in, commands come out. It opens nothing and reads no clock.
//!
//! The first round asks every distance once, nearest first and [`PROBE_GAP`] apart, without waiting for answers. Routers limit how
//! many ICMP errors they send and would look silent if they were asked again at once: each distance is asked again only after
//! [`ROUND_GAP`], or after [`SILENCE_GAP`] where it has not answered yet.
//! As soon as the target has answered from some distance, or a router has turned a probe away, or the way goes in a circle, nothing
//! beyond is asked or waited for. The trace is over when every
//! probe that matters was answered or has timed out: one time-out after the last probe at the latest, and where nothing ended the way,
//! once a router that looks for the target would have given up and said so.

/// How many answers a target has ready that limits them.
pub(super) mod allowance;
/// Probes under way, by number.
pub(super) mod ledger;
#[cfg(test)]
mod networks;
/// Probes at times fixed beforehand: series along paths, and the two rates of one router.
pub(super) mod schedule;
/// All paths that flows take.
pub(super) mod search;
/// The loss of each path where the target limits its answers.
pub(super) mod series;
/// The largest packet up to each hop.
pub(super) mod sizes;
#[cfg(test)]
mod tests;

use crate::clock::microseconds;
use netsonde_contract::failure::{IcmpError, IcmpMeaning};
use netsonde_contract::observation::{HopProbe, HopReply, MplsLabel, Quoted, ReplyKind, RouteChange};
use std::net::IpAddr;
use std::time::Duration;

/// Between two probes of a round: a whole round of 30 leaves within 150 ms, and a target 20 ms away is known before four probes
/// too many went out.
const PROBE_GAP: Duration = Duration::from_millis(5);

/// Between two probes to a distance that answers. Linux answers one sender with six errors at once and then one a second, others
/// with one in 500 ms: ten rounds at this pace fit within both.
const ROUND_GAP: Duration = Duration::from_millis(500);

/// Between two probes to a distance that has been silent: whoever may send one error a second may send one again.
const SILENCE_GAP: Duration = Duration::from_millis(1_100);

/// So many silent distances are kept after the last that answered, where the target never did: enough to show that the silence
/// goes on.
const SILENT_HOPS_KEPT: u8 = 3;

/// A router met so many times, with others in between, shows that the way goes in a circle. Asking on would only use up what its
/// routers are willing to answer.
const TURNS_OF_A_LOOP: usize = 3;

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) target: IpAddr,
    pub(super) max_ttl: u8,
    pub(super) rounds: u8,
    /// How long one probe is waited for.
    pub(super) timeout: Duration,
    /// How long after the beginning a router may say that it gave up its search for the target; zero where nobody waits for that.
    pub(super) search: Duration,
    /// Each probe is a flow of its own.
    pub(super) each_flow: bool,
}

/// A probe within its trace, from 0: by round, then by distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProbeNumber(pub(super) u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Send {
        probe: ProbeNumber,
        ttl: u8,
        flow: u16,
        /// Bytes with the IP header; 0 for a small packet.
        size: u16,
    },
    /// Nothing to do before this time, unless an answer comes.
    Wait {
        until: Duration,
    },
    Finished,
}

/// What came back for a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) from: IpAddr,
    /// None for an echo reply, a datagram or a segment.
    pub(super) icmp: Option<IcmpError>,
    /// TTL that the reply had left.
    pub(super) ttl: Option<u8>,
    pub(super) labels: Vec<MplsLabel>,
    pub(super) quoted: Option<Quoted>,
}

impl Answer {
    /// An answer of which nothing else is known.
    pub(super) fn plain(from: IpAddr, icmp: Option<IcmpError>) -> Self {
        Self { from, icmp, ttl: None, labels: Vec::new(), quoted: None }
    }
}

/// One part of a trace: what the driver carries out, whichever it is.
pub(super) trait Phase {
    /// What to do at `now`. Each probe is given out once; [`Phase::handle_sent`] is to follow where it was sent.
    fn poll(&mut self, now: Duration) -> Command;

    /// Gives out no further probe; those under way are still waited for.
    fn stop_sending(&mut self);

    /// The probe may still tell something.
    fn is_wanted(&self, _probe: ProbeNumber) -> bool {
        true
    }

    /// The probe is larger than this machine's own interface takes.
    fn handle_too_long(&mut self, _probe: ProbeNumber) {}

    /// The probe left at this time; said again where a better time is known.
    fn handle_sent(&mut self, probe: ProbeNumber, at: Duration);

    fn handle_answer(&mut self, probe: ProbeNumber, answer: Answer, at: Duration);
}

/// One distance, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HopSeen {
    pub(super) ttl: u8,
    /// When its first probe was sent.
    pub(super) first_sent: Duration,
    pub(super) probes: Vec<HopProbe>,
}

#[derive(Debug)]
pub(super) struct Machine {
    plan: Plan,
    began: Duration,
    /// By number.
    probes: Vec<Probe>,
    /// By distance, from 1.
    asked: Vec<Asked>,
    sending: bool,
}

/// How often a distance was asked, and when it was last.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    times: u8,
    last: Duration,
}

#[derive(Clone, Debug, Default)]
struct Probe {
    sent: Option<Duration>,
    reply: Option<HopReply>,
    late: Option<Duration>,
    duplicates: u32,
}

/// Replies to one probe after the first are counted up to here: who sends more floods.
const MAX_DUPLICATES: u32 = 1_000;

impl Phase for Machine {
    fn poll(&mut self, now: Duration) -> Command {
        match self.next() {
            Some((due, ttl)) if due <= now => self.ask(ttl, now),
            Some((due, _)) => Command::Wait { until: due },
            None => match self.last_expiry() {
                Some(until) if now < until => Command::Wait { until },
                _ => Command::Finished,
            },
        }
    }

    fn stop_sending(&mut self) {
        self.sending = false;
    }

    /// The target was not yet seen nearer.
    fn is_wanted(&self, probe: ProbeNumber) -> bool {
        self.ttl(usize::from(probe.0)) <= self.limit()
    }

    fn handle_sent(&mut self, probe: ProbeNumber, at: Duration) {
        if let Some(probe) = self.probes.get_mut(usize::from(probe.0)).filter(|probe| probe.reply.is_none()) {
            probe.sent = Some(at);
        }
    }

    /// The first within the time-out counts, and that a router turned the probe away whenever it comes: it may have searched first. What
    /// else comes later is counted beside it, and what answers no probe changes nothing.
    fn handle_answer(&mut self, probe: ProbeNumber, answer: Answer, now: Duration) {
        let Some(kind) = kind(&answer, self.plan.target) else { return };
        let timeout = self.plan.timeout;
        let Some(probe) = self.probes.get_mut(usize::from(probe.0)) else { return };
        let Some(rtt) = probe.sent.map(|sent| now.saturating_sub(sent)) else { return };
        if probe.reply.is_some() || probe.late.is_some() {
            probe.duplicates = probe.duplicates.saturating_add(1).min(MAX_DUPLICATES);
        } else if rtt <= timeout || kind == ReplyKind::Unreachable {
            let return_hops = answer.ttl.map(return_hops);
            probe.reply = Some(HopReply {
                from: answer.from,
                rtt_us: microseconds(rtt),
                kind,
                icmp: answer.icmp,
                reply_ttl: answer.ttl,
                return_hops,
                labels: answer.labels,
                quoted: answer.quoted,
            });
        } else {
            probe.late = Some(rtt);
        }
    }
}

impl Machine {
    pub(super) fn new(plan: Plan, now: Duration) -> Self {
        let probes = vec![Probe::default(); usize::from(plan.rounds) * usize::from(plan.max_ttl)];
        let asked = vec![Asked::default(); usize::from(plan.max_ttl)];
        Self { plan, began: now, probes, asked, sending: true }
    }

    /// How many numbers its probes take.
    pub(super) fn len(&self) -> u16 {
        u16::try_from(self.probes.len()).unwrap_or(u16::MAX)
    }

    /// Waits anew, until this long after the beginning, for a router that gives up its search for the target.
    pub(super) fn wait_for_search(&mut self, search: Duration) {
        self.plan.search = search;
    }

    /// How many probes the target has answered.
    pub(super) fn arrivals(&self) -> u32 {
        let arrived = self.replies().filter(|(_, reply)| reply.kind == ReplyKind::Arrived).count();
        u32::try_from(arrived).unwrap_or(u32::MAX)
    }

    /// Where another router answered to the one flow than a round before; nothing where each probe was a flow of its own.
    pub(super) fn changes(&self) -> Vec<RouteChange> {
        let mut changes = Vec::new();
        for ttl in (1..=self.plan.max_ttl).filter(|_| !self.plan.each_flow) {
            let mut before = None;
            for round in 0..self.plan.rounds {
                let reply = self.probes.get(self.index(round, ttl)).and_then(|probe| probe.reply.as_ref());
                let Some(reply) = reply.filter(|reply| reply.kind == ReplyKind::TimeExceeded) else { continue };
                if let Some(before) = before.filter(|before| *before != reply.from) {
                    changes.push(RouteChange { ttl, round, before, after: reply.from });
                }
                before = Some(reply.from);
            }
        }
        changes
    }

    /// The distance from which the target answered, the smallest where there are several.
    pub(super) fn distance(&self) -> Option<u8> {
        self.replies().filter(|(_, reply)| reply.kind == ReplyKind::Arrived).map(|(ttl, _)| ttl).min()
    }

    /// What was found until `now`, by distance. Probes that may still be answered are left out.
    pub(super) fn hops(&self, now: Duration) -> Vec<HopSeen> {
        let answered = self.replies().map(|(ttl, _)| ttl).max().unwrap_or(0);
        let last = self.limit().min(answered.saturating_add(SILENT_HOPS_KEPT));
        (1..=last).filter_map(|ttl| self.hop(ttl, now)).collect()
    }

    fn hop(&self, ttl: u8, now: Duration) -> Option<HopSeen> {
        let mut first_sent = None;
        let mut probes = Vec::new();
        for round in 0..self.plan.rounds {
            let probe = self.probes.get(self.index(round, ttl))?;
            let Some(sent) = probe.sent else { continue };
            first_sent.get_or_insert(sent);
            if probe.reply.is_some() || now >= sent + self.plan.timeout {
                let late_us = probe.late.map(microseconds);
                probes.push(HopProbe { round, reply: probe.reply.clone(), duplicates: probe.duplicates, late_us });
            }
        }
        first_sent.filter(|_| !probes.is_empty()).map(|first_sent| HopSeen { ttl, first_sent, probes })
    }

    /// The largest distance worth asking: the target's, or that of a router which turned probes away and beyond which nothing
    /// answered.
    fn limit(&self) -> u8 {
        self.end().unwrap_or(self.plan.max_ttl)
    }

    fn end(&self) -> Option<u8> {
        let passed = |reply: &HopReply| reply.kind != ReplyKind::Unreachable;
        let furthest = self.replies().filter(|(_, reply)| passed(reply)).map(|(ttl, _)| ttl).max().unwrap_or(0);
        let ends = self.replies().filter(|(ttl, reply)| match reply.kind {
            ReplyKind::Arrived => true,
            ReplyKind::Unreachable => *ttl > furthest,
            ReplyKind::TimeExceeded => false,
        });
        ends.map(|(ttl, _)| ttl).min().or_else(|| self.loop_end())
    }

    /// The distance at which a router is met for the last time that it takes to call the way a loop.
    fn loop_end(&self) -> Option<u8> {
        let mut way: Vec<(u8, IpAddr)> = self.replies().map(|(ttl, reply)| (ttl, reply.from)).collect();
        way.sort_unstable_by_key(|(ttl, _)| *ttl);
        // Several answers in a row from one router are one visit.
        way.dedup_by_key(|(_, from)| *from);
        let visit = |index: usize, from: IpAddr| way.iter().take(index + 1).filter(|(_, other)| *other == from).count();
        way.iter().enumerate().find(|(index, (_, from))| visit(*index, *from) == TURNS_OF_A_LOOP).map(|(_, (ttl, _))| *ttl)
    }

    /// When the last probe that matters and is unanswered times out.
    fn last_expiry(&self) -> Option<Duration> {
        let limit = self.limit();
        let open = self.probes.iter().enumerate().filter(|(index, probe)| probe.reply.is_none() && self.ttl(*index) <= limit);
        let last = open.filter_map(|(_, probe)| probe.sent).max().map(|sent| sent + self.plan.timeout)?;
        let has_end = self.end().is_some();
        Some(if has_end { last } else { last.max(self.began + self.plan.search) })
    }

    fn replies(&self) -> impl Iterator<Item = (u8, &HopReply)> {
        self.probes.iter().enumerate().filter_map(|(index, probe)| Some((self.ttl(index), probe.reply.as_ref()?)))
    }

    fn ttl(&self, index: usize) -> u8 {
        u8::try_from(index % usize::from(self.plan.max_ttl) + 1).unwrap_or(u8::MAX)
    }

    fn index(&self, round: u8, ttl: u8) -> usize {
        usize::from(round) * usize::from(self.plan.max_ttl) + usize::from(ttl) - 1
    }

    /// The distance to be asked next, and when.
    fn next(&self) -> Option<(Duration, u8)> {
        let open = (1..=self.limit()).zip(&self.asked).filter(|(_, asked)| self.sending && asked.times < self.plan.rounds);
        open.map(|(ttl, asked)| (self.due(ttl, *asked), ttl)).min()
    }

    fn due(&self, ttl: u8, asked: Asked) -> Duration {
        let answered = || self.replies().any(|(of, _)| of == ttl);
        match asked.times {
            0 => self.began + PROBE_GAP * u32::from(ttl - 1),
            _ if answered() => asked.last + ROUND_GAP,
            _ => asked.last + SILENCE_GAP,
        }
    }

    fn ask(&mut self, ttl: u8, now: Duration) -> Command {
        let mut round = 0;
        if let Some(asked) = self.asked.get_mut(usize::from(ttl) - 1) {
            round = asked.times;
            *asked = Asked { times: round + 1, last: now };
        }
        let probe = ProbeNumber(u16::try_from(self.index(round, ttl)).unwrap_or(u16::MAX));
        Command::Send { probe, ttl, flow: if self.plan.each_flow { probe.0 } else { 0 }, size: 0 }
    }
}

/// What an answer says of the way; nothing where it says nothing. A fragment that could not be put together is also called "time
/// exceeded", with code 1, by the target.
pub(super) fn kind(answer: &Answer, target: IpAddr) -> Option<ReplyKind> {
    let Some(icmp) = &answer.icmp else { return (answer.from == target).then_some(ReplyKind::Arrived) };
    match icmp.meaning() {
        IcmpMeaning::TimeExceeded => (icmp.code == 0).then_some(ReplyKind::TimeExceeded),
        _ if answer.from == target => Some(ReplyKind::Arrived),
        _ => Some(ReplyKind::Unreachable),
    }
}

/// The distance that a reply came, in the counting of distances: 1 from next door. Systems send with a TTL of 64, 128 or 255.
fn return_hops(left: u8) -> u8 {
    let began = [64, 128, 255].into_iter().find(|began| *began >= left).unwrap_or(u8::MAX);
    (began - left).saturating_add(1)
}
