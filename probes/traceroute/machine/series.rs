//! The loss of each path to a target that limits its answers. Few probes are spent, where they tell most.
//!
//! The search has asked the target along every path already. Where all of a path's probes were answered, the target had answers ready,
//! and its silence towards the flows of another path is the path's own. Two further rounds, in which the paths take turns, show that
//! this lasts; a path that answers some probes and not others is asked more often, and then those of the search, which follow each other
//! quickly, are left out of its counts. Where no path had all of its answers nothing is known of the limit: then nothing counts but a
//! series at the pace that Linux keeps.

use super::allowance::Allowance;
use super::ledger::{Entry, Ledger};
use super::schedule::{Tally, tally_of};
use super::{Answer, Command, Phase, ProbeNumber};
use std::net::IpAddr;
use std::time::Duration;

/// So many probes in all of one series, which take ten seconds at most: nobody waits longer for what TCP tells in one.
const MOST_PROBES: usize = 8;
/// Those of the search included, each path gets so many: the 95 % intervals of all lost and none lost lie apart.
const LEAST_EACH: u32 = 4;
/// Of one path alone, so many.
const LEAST_ALONE: u32 = 8;
/// A path of so many answered probes of the search, and no other, shows that the target had answers ready.
const LEAST_TRUSTED: u32 = 2;
/// Rounds of a series that confirms what the search saw.
const LEAST_ROUNDS: usize = 2;
/// Between two probes also where more answers are ready: what disturbs the network for a moment meets one of them.
const GAP: Duration = Duration::from_millis(300);

/// A path as the search leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::traceroute) struct Sampled {
    pub(in crate::traceroute) flow: u16,
    /// First probes of its flows to the target, and those that were answered.
    pub(in crate::traceroute) sent: u32,
    pub(in crate::traceroute) answered: u32,
}

#[derive(Debug)]
pub(in crate::traceroute) struct Series {
    target: IpAddr,
    ttl: u8,
    paths: Vec<Sampled>,
    /// What the search saw counts.
    trusts_search: bool,
    /// Rounds at most.
    most: usize,
    allowance: Allowance,
    last: Option<Duration>,
    /// By number: its time-out was taken note of.
    settled: Vec<bool>,
    /// Probes before this one tell nothing, as the target had no answer ready.
    from: usize,
    ledger: Ledger,
    sending: bool,
}

impl Series {
    /// Of at most `each` probes along every path.
    pub(in crate::traceroute) fn new(
        target: IpAddr,
        mut paths: Vec<Sampled>,
        (each, ttl): (u8, u8),
        allowance: Allowance,
        ledger: Ledger,
        now: Duration,
    ) -> Self {
        paths.truncate(MOST_PROBES);
        let trusts_search = paths.iter().any(|path| path.sent >= LEAST_TRUSTED && path.answered == path.sent);
        let most = usize::from(each).min(MOST_PROBES / paths.len().max(1));
        let allowance = if trusts_search { allowance } else { Allowance::none(now) };
        Self {
            target,
            ttl,
            paths,
            trusts_search,
            most,
            allowance,
            last: None,
            settled: Vec::new(),
            from: 0,
            ledger,
            sending: true,
        }
    }

    pub(in crate::traceroute) fn len(&self) -> u16 {
        self.ledger.len()
    }

    /// What came of a path's probes until `now`.
    pub(in crate::traceroute) fn tally(&self, flow: u16, now: Duration) -> Option<Tally> {
        let path = self.paths.iter().find(|path| path.flow == flow)?;
        let own = self.own(path, now);
        let counts = self.counts(path, now).filter(|_| own.sent > 0);
        Some(counts.map_or(own, |(sent, answered)| Tally::of(sent, answered, own.rtt)))
    }

    fn own(&self, path: &Sampled, now: Duration) -> Tally {
        let entries = self.ledger.entries().iter().skip(self.from);
        let of_path: Vec<&Entry> = entries.filter(|entry| entry.flow == path.flow && self.ledger.counted(entry, now)).collect();
        tally_of(&of_path, self.target)
    }

    /// With the search's, where those and the series' own agree that all or nothing is answered.
    fn counts(&self, path: &Sampled, now: Duration) -> Option<(u32, u32)> {
        let own = self.own(path, now);
        let (sent, answered) = (own.sent + path.sent, own.answered + path.answered);
        (self.trusts_search && path.sent > 0 && (answered == 0 || answered == sent)).then_some((sent, answered))
    }

    /// How many rounds are to be sent by what is known now.
    fn rounds(&self, now: Duration) -> usize {
        let least = if self.paths.len() == 1 { LEAST_ALONE } else { LEAST_EACH };
        let missing = |path: &Sampled| match self.counts(path, now) {
            Some(_) => usize::try_from(least.saturating_sub(path.sent)).unwrap_or(self.most).max(LEAST_ROUNDS),
            None => self.most,
        };
        self.paths.iter().map(missing).max().unwrap_or(0).min(self.most)
    }

    /// Gives back what lost probes did not take. Where by now every path misses an answer, the target had none ready: what was counted
    /// so far is left out, and the series begins anew at the slow pace.
    fn settle(&mut self, now: Duration) {
        self.settled.resize(self.ledger.entries().len(), false);
        for (settled, entry) in self.settled.iter_mut().zip(self.ledger.entries()).filter(|(settled, _)| !**settled) {
            *settled = self.ledger.counted(entry, now);
            if *settled && entry.answer.is_none() && self.trusts_search {
                self.allowance.give_back(now);
            }
        }
        let is_whole = |path: &Sampled| self.counts(path, now).is_some_and(|(sent, answered)| answered == sent);
        if self.trusts_search && !self.paths.iter().any(is_whole) {
            self.trusts_search = false;
            self.from = self.ledger.entries().len();
            self.allowance = Allowance::none(now);
        }
    }

    /// Each round turns the order round, so that no limit that passes every second, third or fourth answer spares one path and hits
    /// another.
    fn flow(&self, nth: usize) -> Option<u16> {
        let (round, place) = (nth / self.paths.len().max(1), nth % self.paths.len().max(1));
        let place = if round.is_multiple_of(2) { self.paths.len().checked_sub(place + 1)? } else { place };
        self.paths.get(place).map(|path| path.flow)
    }
}

impl Phase for Series {
    fn poll(&mut self, now: Duration) -> Command {
        self.settle(now);
        let nth = self.ledger.entries().len() - self.from;
        let next = self.flow(nth).filter(|_| self.sending && nth < self.rounds(now) * self.paths.len());
        let expiry = self.ledger.last_expiry().filter(|until| now < *until);
        let due = self.allowance.due().max(self.last.map_or(Duration::ZERO, |last| last + GAP));
        match (next, expiry) {
            (Some(flow), _) if due <= now => {
                self.allowance.take(now);
                self.last = Some(now);
                let probe = self.ledger.give(self.ttl, flow, now);
                Command::Send { probe, ttl: self.ttl, flow, size: 0 }
            }
            // A time-out may give an answer back, or show that more probes are needed.
            (next, Some(_)) => {
                let first = self.ledger.next_expiry(now);
                let due = next.map(|_| due);
                Command::Wait { until: first.into_iter().chain(due).min().unwrap_or(now) }
            }
            (Some(_), None) => Command::Wait { until: due },
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
