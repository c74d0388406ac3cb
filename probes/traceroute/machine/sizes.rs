//! The largest packet that reaches each hop whole: a large one that may not be cut goes to one distance after the other, and becomes
//! smaller where a router says that it is too big (RFC 1191, RFC 8201).

use super::ledger::Ledger;
use super::{Answer, Command, Phase, ProbeNumber};
use netsonde_contract::failure::IcmpMeaning;
use netsonde_contract::kind::TracerouteParams;
use std::collections::BTreeMap;
use std::time::Duration;

/// Sizes of known links, for routers that do not say what they take (RFC 1191 section 7.1, and tunnels).
const PLATEAUS: [u16; 10] = [TracerouteParams::LARGEST_HOP_MTU, 4_352, 1_500, 1_492, 1_480, 1_420, 1_400, 1_280, 1_006, 576];
/// A distance that stays silent so often tells nothing.
const TRIES: u8 = 2;
/// Answers that only ever make the packet smaller end here; more are crafted.
const MAX_PROBES: u16 = 200;

#[derive(Debug)]
pub(in crate::traceroute) struct Sizes {
    /// Those that are still to be asked, the farthest first.
    distances: Vec<u8>,
    size: u16,
    tries: u8,
    under_way: Option<ProbeNumber>,
    ledger: Ledger,
    sending: bool,
    found: BTreeMap<u8, u16>,
}

impl Sizes {
    /// For the distances that answer at all, by rising distance.
    pub(in crate::traceroute) fn new(mut distances: Vec<u8>, ledger: Ledger) -> Self {
        distances.reverse();
        let size = PLATEAUS[0];
        Self { distances, size, tries: 0, under_way: None, ledger, sending: true, found: BTreeMap::new() }
    }

    pub(in crate::traceroute) fn len(&self) -> u16 {
        self.ledger.len()
    }

    /// The largest packet that reached the distance, headers included.
    pub(in crate::traceroute) fn at(&self, ttl: u8) -> Option<u32> {
        self.found.get(&ttl).copied().map(u32::from)
    }

    /// To `told` where that is smaller and a size that links have, else to the next known size. False where there is none.
    fn shrink(&mut self, told: Option<u32>) -> bool {
        let told = told.and_then(|told| u16::try_from(told).ok()).filter(|told| *told < self.size && *told >= 68);
        let next = told.or_else(|| PLATEAUS.into_iter().find(|plateau| *plateau < self.size));
        self.tries = 0;
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
                    if let Some(ttl) = self.distances.pop() {
                        self.found.insert(ttl, self.size);
                    }
                    self.tries = 0;
                }
            },
            None if self.tries < TRIES => {}
            // Lost, swallowed by a link that does not say so, or held back by a limit: nothing is known of this distance.
            None => {
                self.distances.pop();
                self.tries = 0;
            }
        }
    }
}

impl Phase for Sizes {
    fn poll(&mut self, now: Duration) -> Command {
        self.take(now);
        if let Some(until) = self.under_way.and_then(|probe| self.ledger.expiry(probe)) {
            return Command::Wait { until };
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
