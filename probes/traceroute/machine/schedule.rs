//! Probes at times that are fixed beforehand.

use super::ledger::{Entry, Ledger};
use super::{Answer, Command, Phase, ProbeNumber, kind};
use crate::traceroute::statistics::{share, verdict};
use netsonde_contract::observation::{RateShare, RateTest, ReplyKind, RttSpread, Share};
use std::net::IpAddr;
use std::time::Duration;

/// Two rates for one router. Linux answers one sender with one error a second after six at once, others with one in 500 ms: slow fits
/// within all of these, fast within none.
const SLOW_GAP: Duration = Duration::from_millis(1_100);
const FAST_GAP: Duration = Duration::from_millis(20);
/// Ten of ten give a lower bound of 72 %.
const SLOW_PROBES: u16 = 10;
/// A router that answers one in 100 ms answers 10 of these: an upper bound of 33 %.
const FAST_PROBES: u16 = 50;
/// More routers are not asked: the test is over within half a minute.
const MAX_TESTED: usize = 16;
/// Between two hops' turns.
const HOP_GAP: Duration = Duration::from_millis(5);
/// The loss of more paths is not measured: that many differ only in detail.
const MAX_MEASURED_PATHS: usize = 16;
/// Between two probes to the target where nothing limits its answers: Linux does not limit resets, SYN-ACKs and echo replies.
const UNLIMITED_GAP: Duration = Duration::from_millis(25);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    after: Duration,
    ttl: u8,
    flow: u16,
}

#[derive(Debug)]
pub(in crate::traceroute) struct Schedule {
    turns: Vec<Turn>,
    began: Duration,
    ledger: Ledger,
    sending: bool,
}

/// What one group of probes came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::traceroute) struct Tally {
    pub(in crate::traceroute) sent: u32,
    pub(in crate::traceroute) answered: u32,
    pub(in crate::traceroute) loss: Option<Share>,
    pub(in crate::traceroute) rtt: Option<RttSpread>,
}

impl Tally {
    pub(in crate::traceroute) fn of(sent: u32, answered: u32, rtt: Option<RttSpread>) -> Self {
        Self { sent, answered, loss: (sent > 0).then(|| share(sent.saturating_sub(answered), sent)), rtt }
    }
}

/// What probes to the target came to, all of which were answered or have timed out.
pub(super) fn tally_of(entries: &[&Entry], target: IpAddr) -> Tally {
    let arrived = |entry: &&Entry| {
        let (answer, rtt) = entry.answer.as_ref()?;
        (kind(answer, target) == Some(ReplyKind::Arrived)).then(|| crate::clock::microseconds(*rtt))
    };
    let mut rtts: Vec<u64> = entries.iter().filter_map(arrived).collect();
    rtts.sort_unstable();
    let sent = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let answered = u32::try_from(rtts.len()).unwrap_or(u32::MAX);
    let spread = |min: u64, max: u64| RttSpread { min_us: min, median_us: rtts[rtts.len() / 2], max_us: max };
    Tally::of(sent, answered, rtts.first().zip(rtts.last()).map(|(min, max)| spread(*min, *max)))
}

impl Schedule {
    fn new(turns: Vec<Turn>, ledger: Ledger, now: Duration) -> Self {
        Self { turns, began: now, ledger, sending: true }
    }

    /// `each` probes to the target along every flow, in turn, where nothing limits its answers.
    pub(in crate::traceroute) fn along(flows: &[u16], each: u8, ttl: u8, ledger: Ledger, now: Duration) -> Self {
        let flows = flows.get(..MAX_MEASURED_PATHS).unwrap_or(flows);
        let turned = (0..usize::from(each)).flat_map(|_| flows.iter().copied());
        let turns = turned.zip(0_u32..).map(|(flow, nth)| Turn { after: UNLIMITED_GAP * nth, ttl, flow });
        Self::new(turns.collect(), ledger, now)
    }

    /// Every distance slowly, all at once, and then one after the other quickly.
    pub(in crate::traceroute) fn two_rates(distances: &[u8], ledger: Ledger, now: Duration) -> Self {
        let distances = distances.get(..MAX_TESTED).unwrap_or(distances);
        let mut turns = Vec::new();
        for nth in 0..SLOW_PROBES {
            for (ttl, place) in distances.iter().zip(0_u32..) {
                turns.push(Turn { after: SLOW_GAP * u32::from(nth) + HOP_GAP * place, ttl: *ttl, flow: 0 });
            }
        }
        let mut after = SLOW_GAP * u32::from(SLOW_PROBES);
        for ttl in distances {
            for _ in 0..FAST_PROBES {
                turns.push(Turn { after, ttl: *ttl, flow: 0 });
                after += FAST_GAP;
            }
        }
        Self::new(turns, ledger, now)
    }

    pub(in crate::traceroute) fn len(&self) -> u16 {
        self.ledger.len()
    }

    /// What came of a flow's probes until `now`.
    pub(in crate::traceroute) fn tally(&self, flow: u16, target: IpAddr, now: Duration) -> Tally {
        let entries = self.ledger.entries().iter();
        let of_flow: Vec<&Entry> = entries.filter(|entry| entry.flow == flow && self.ledger.counted(entry, now)).collect();
        tally_of(&of_flow, target)
    }

    /// What a distance answered at both rates until `now`; nothing where both have not been tried.
    pub(in crate::traceroute) fn rates(&self, ttl: u8, now: Duration) -> Option<RateTest> {
        let of_hop: Vec<&Entry> =
            self.ledger.entries().iter().filter(|entry| entry.ttl == ttl && self.ledger.counted(entry, now)).collect();
        let slow = of_hop.get(..usize::from(SLOW_PROBES))?;
        let fast = of_hop.get(usize::from(SLOW_PROBES)..).filter(|fast| !fast.is_empty())?;
        let count = |entries: &[&Entry], gap: Duration| {
            let sent = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            let answered = u32::try_from(entries.iter().filter(|entry| entry.answer.is_some()).count()).unwrap_or(u32::MAX);
            RateShare { gap_us: crate::clock::microseconds(gap), sent, answered, answers: share(answered, sent) }
        };
        let (slow, fast) = (count(slow, SLOW_GAP), count(fast, FAST_GAP));
        Some(RateTest { slow, fast, verdict: verdict(&slow, &fast) })
    }
}

impl Phase for Schedule {
    fn poll(&mut self, now: Duration) -> Command {
        let next = self.turns.get(usize::from(self.ledger.len())).filter(|_| self.sending).copied();
        match next {
            Some(turn) if self.began + turn.after <= now => {
                let probe = self.ledger.give(turn.ttl, turn.flow, now);
                Command::Send { probe, ttl: turn.ttl, flow: turn.flow, size: 0 }
            }
            Some(turn) => Command::Wait { until: self.began + turn.after },
            None => match self.ledger.last_expiry() {
                Some(until) if now < until => Command::Wait { until },
                _ => Command::Finished,
            },
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
