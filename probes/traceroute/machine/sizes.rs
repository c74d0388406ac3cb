//! The largest packet that reaches each hop whole: a large one that may not be cut goes to one distance after the other, and becomes
//! smaller where a router says that it is too big (RFC 1191, RFC 8201). Where it meets silence, a small one shows whether the distance
//! answers at all; if it does, the sizes between are halved until it is known which is the largest that is answered.

use super::ledger::Ledger;
use super::{Answer, Command, Phase, ProbeNumber, SILENCE_GAP};
use netsonde_contract::failure::IcmpMeaning;
use netsonde_contract::kind::TracerouteParams;
use std::collections::BTreeMap;
use std::time::Duration;

/// Sizes of known links, for routers that do not say what they take (RFC 1191 section 7.1, and tunnels).
const PLATEAUS: [u16; 12] =
    [TracerouteParams::LARGEST_HOP_MTU, 4_352, 1_500, 1_492, 1_480, 1_450, 1_420, 1_400, 1_300, 1_280, 1_006, SMALLEST];
/// What every way carries (RFC 791 section 3.1): a distance that does not answer to it tells nothing.
const SMALLEST: u16 = 576;
/// A size that stays silent so often is not answered.
const TRIES: u8 = 2;
/// Answers that only ever make the packet smaller end here; more are crafted.
const MAX_PROBES: u16 = 200;

#[derive(Debug)]
pub(in crate::traceroute) struct Sizes {
    /// Those that are still to be asked, the farthest first.
    distances: Vec<u8>,
    size: u16,
    tries: u8,
    /// The smallest size that the current distance did not answer to, and the largest that it did.
    silent: Option<u16>,
    answered: Option<u16>,
    under_way: Option<ProbeNumber>,
    /// Routers answer one sender once a second: silence is asked again only then.
    rest_until: Duration,
    ledger: Ledger,
    sending: bool,
    /// By distance the largest size that was answered, and the smallest that was not where no router said why.
    found: BTreeMap<u8, (u16, Option<u16>)>,
}

impl Sizes {
    /// For the distances that answer at all, by rising distance.
    pub(in crate::traceroute) fn new(mut distances: Vec<u8>, ledger: Ledger) -> Self {
        distances.reverse();
        Self {
            distances,
            size: PLATEAUS[0],
            tries: 0,
            silent: None,
            answered: None,
            under_way: None,
            rest_until: Duration::ZERO,
            ledger,
            sending: true,
            found: BTreeMap::new(),
        }
    }

    pub(in crate::traceroute) fn len(&self) -> u16 {
        self.ledger.len()
    }

    /// The largest packet that reached the distance, headers included.
    pub(in crate::traceroute) fn at(&self, ttl: u8) -> Option<u32> {
        self.found.get(&ttl).map(|(passed, _)| u32::from(*passed))
    }

    /// The smallest packet that the distance did not answer to, where it did to smaller ones and nothing said why.
    pub(in crate::traceroute) fn silent_at(&self, ttl: u8) -> Option<u32> {
        self.found.get(&ttl).and_then(|(_, silent)| silent.map(u32::from))
    }

    /// To `told` where that is smaller and a size that links have, else to the next known size. False where there is none.
    fn shrink(&mut self, told: Option<u32>) -> bool {
        let told = told.and_then(|told| u16::try_from(told).ok()).filter(|told| *told < self.size && *told >= 68);
        let next = told.or_else(|| PLATEAUS.into_iter().find(|plateau| *plateau < self.size));
        (self.tries, self.silent, self.answered) = (0, None, None);
        next.is_some_and(|next| {
            self.size = next;
            true
        })
    }

    fn take(&mut self, now: Duration) {
        let Some(probe) = self.under_way.filter(|probe| self.ledger.is_settled(*probe, now)) else { return };
        self.under_way = None;
        let answer = self.ledger.entry(probe).and_then(|entry| entry.answer.as_ref()).map(|(answer, _)| answer.clone());
        let too_big = |answer: &Answer| answer.icmp.as_ref().filter(|icmp| icmp.meaning() == IcmpMeaning::PacketTooBig).cloned();
        match answer {
            Some(answer) => match too_big(&answer) {
                Some(icmp) => {
                    if !self.shrink(icmp.mtu) {
                        self.distances.clear();
                    }
                }
                None => {
                    self.answered = Some(self.size);
                    self.narrow();
                }
            },
            None if self.tries < TRIES => self.rest_until = now + SILENCE_GAP.saturating_sub(self.ledger.timeout()),
            // Nothing is known of a distance that does not answer to the smallest either.
            None if self.size <= SMALLEST => self.leave(self.silent.unwrap_or(self.size)),
            None => {
                self.silent = Some(self.size);
                self.narrow();
            }
        }
    }

    /// The next size for the current distance, or the next distance where nothing is left to learn of this one.
    fn narrow(&mut self) {
        self.tries = 0;
        match (self.answered, self.silent) {
            (None, _) => self.size = SMALLEST,
            (Some(answered), Some(silent)) if silent - answered > 1 => self.size = between(answered, silent),
            (Some(answered), silent) => {
                if let Some(ttl) = self.distances.last() {
                    self.found.insert(*ttl, (answered, silent));
                }
                self.leave(answered);
            }
        }
    }

    /// Goes on to the next distance with this size.
    fn leave(&mut self, size: u16) {
        self.distances.pop();
        (self.size, self.tries, self.silent, self.answered) = (size, 0, None, None);
    }
}

/// The middle of the known sizes that are left; just above one that is answered, where none is; else the middle.
fn between(answered: u16, silent: u16) -> u16 {
    let known: Vec<u16> = PLATEAUS.into_iter().filter(|size| (answered + 1..silent).contains(size)).collect();
    match known.get(known.len() / 2) {
        Some(size) => *size,
        None if PLATEAUS.contains(&answered) => answered + 1,
        None => answered.midpoint(silent),
    }
}

impl Phase for Sizes {
    fn poll(&mut self, now: Duration) -> Command {
        self.take(now);
        if let Some(until) = self.under_way.and_then(|probe| self.ledger.expiry(probe)) {
            return Command::Wait { until };
        }
        if now < self.rest_until {
            return Command::Wait { until: self.rest_until };
        }
        match self.distances.last().copied().filter(|_| self.sending && self.ledger.len() < MAX_PROBES) {
            None => Command::Finished,
            Some(ttl) => {
                self.tries += 1;
                let probe = self.ledger.give(ttl, 0, now);
                self.under_way = Some(probe);
                Command::Send { probe, ttl, flow: 0, size: self.size }
            }
        }
    }

    fn stop_sending(&mut self) {
        self.sending = false;
    }

    fn handle_too_long(&mut self, probe: ProbeNumber) {
        if self.under_way == Some(probe) {
            self.under_way = None;
            if !self.shrink(None) {
                self.distances.clear();
            }
        }
    }

    fn handle_sent(&mut self, probe: ProbeNumber, at: Duration) {
        self.ledger.handle_sent(probe, at);
    }

    fn handle_answer(&mut self, probe: ProbeNumber, answer: Answer, at: Duration) {
        self.ledger.handle_answer(probe, answer, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::failure::IcmpError;
    use std::net::IpAddr;

    const TIMEOUT: Duration = Duration::from_millis(500);

    /// Three routers; `answers(ttl, size)` says whether one answers at all. The machine's own interface takes 1500 bytes.
    fn measured(answers: impl Fn(u8, u16) -> bool) -> (Sizes, Duration) {
        let mut sizes = Sizes::new(vec![1, 2, 3], Ledger::new(0, TIMEOUT));
        let mut now = Duration::ZERO;
        let expired = IcmpError { offender: IpAddr::from([10, 0, 0, 1]), kind: 11, code: 0, mtu: None };
        loop {
            match sizes.poll(now) {
                Command::Finished => return (sizes, now),
                Command::Wait { until } => now = until,
                Command::Send { probe, size, .. } if size > 1_500 => sizes.handle_too_long(probe),
                Command::Send { probe, ttl, size, .. } => {
                    sizes.handle_sent(probe, now);
                    now += Duration::from_millis(5);
                    if answers(ttl, size) {
                        sizes.handle_answer(probe, Answer::plain(expired.offender, Some(expired.clone())), now);
                    }
                }
            }
        }
    }

    fn found(sizes: &Sizes) -> [(Option<u32>, Option<u32>); 3] {
        [1, 2, 3].map(|ttl| (sizes.at(ttl), sizes.silent_at(ttl)))
    }

    #[test]
    fn a_link_that_swallows_large_packets_is_found_to_the_byte_and_said_to_be_silent() {
        for limit in [1_300_u16, 1_337, 700] {
            let (sizes, took) = measured(|ttl, size| ttl == 1 || size <= limit);
            let limit = u32::from(limit);
            assert_eq!(found(&sizes), [(Some(1_500), None), (Some(limit), Some(limit + 1)), (Some(limit), None)]);
            assert!(took < Duration::from_secs(25), "{took:?}");
        }
    }

    #[test]
    fn a_router_that_answers_nothing_leaves_the_size_of_the_others_as_it_is() {
        let (sizes, _) = measured(|ttl, _| ttl != 2);
        assert_eq!(found(&sizes), [(Some(1_500), None), (None, None), (Some(1_500), None)]);
    }

    #[test]
    fn silence_that_passes_is_no_limit() {
        let calls = std::cell::Cell::new(0);
        let (sizes, _) = measured(|ttl, _| {
            calls.set(calls.get() + 1);
            ttl != 2 || calls.get() != 2
        });
        assert_eq!(found(&sizes), [(Some(1_500), None); 3]);
    }
}
