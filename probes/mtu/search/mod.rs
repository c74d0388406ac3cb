//! Which size to try next, and what the answers mean, whatever is sent. Pure: it neither sends nor waits.
//!
//! The smallest size is tried first: a host that does not answer even that tells nothing. Then the largest, as most paths pass it;
//! then what a router's ICMP error names, or the middle of what is left. Silence proves nothing by itself, because hosts answer only so
//! many packets a second. So after each silence the smallest size is sent again: only where that is answered at once, the large packet
//! counts as lost. It is tried again at once, as a limit that had just room for the smallest size would have had it for the large one
//! twice over; once the smallest stayed silent as well, rests follow in which any such limit recovers. After as many losses as the
//! check wants, the size counts as stopped. A packet that met an error which does not fit is tried again as well.

/// What is known of the sizes.
mod known;

use known::Known;
use netsonde_contract::failure::IcmpError;
use netsonde_contract::kind::MtuParams;
use std::net::IpAddr;

pub(super) use known::{Found, Why};

/// The smallest size may stay without an answer this many times in all, once it had one, before the host counts as one whose silence
/// says nothing.
const MAX_SILENT_CONTROLS: u32 = 8;

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The host answered.
    Passed,
    /// ICMP: too big.
    TooBig(IcmpError),
    /// The machine itself does not send it: its interface does not take the size, or a router has told it before that the path does not.
    NotSent(Why),
    /// Another ICMP error.
    Refused(IcmpError),
    Silent,
}

pub(super) struct Search {
    known: Known,
    tries: u8,
    sent: u32,
    silent_controls: u32,
    state: State,
}

/// A packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) size: u32,
    /// Rest before it, until limits on answers have recovered.
    pub(super) rested: bool,
}

enum State {
    /// A new size is due.
    Ready,
    /// The size is tried, and was lost or doubtful so often; `again`: after a rest.
    Trying {
        size: u32,
        strikes: u8,
        again: bool,
    },
    /// The size was met with silence; the smallest is sent to learn whether the host answers at all. `late`: it did not at once.
    Control {
        size: u32,
        strikes: u8,
        late: bool,
    },
    Done,
}

impl Search {
    pub(super) fn new(target: IpAddr, max_bytes: u32, tries: u8) -> Self {
        let known = Known::new(target, max_bytes);
        Self { known, tries: tries.max(1), sent: 0, silent_controls: 0, state: State::Ready }
    }

    /// What to send now; none once everything is known that can be.
    pub(super) fn next(&mut self) -> Option<Probe> {
        if matches!(self.state, State::Ready) {
            self.state = match self.known.due() {
                Some(size) => State::Trying { size, strikes: 0, again: false },
                None => State::Done,
            };
        }
        if self.sent >= MtuParams::MAX_PACKETS {
            self.state = State::Done;
        }
        self.sent += 1;
        match self.state {
            State::Trying { size, again, .. } => Some(Probe { size, rested: again }),
            State::Control { late, .. } => Some(Probe { size: self.known.smallest(), rested: late }),
            State::Ready | State::Done => None,
        }
    }

    pub(super) fn handle(&mut self, sent: u32, event: Event) {
        let state = std::mem::replace(&mut self.state, State::Ready);
        self.state = match (state, event) {
            (_, Event::Refused(icmp)) => {
                self.known.refuse(icmp);
                State::Done
            }
            (State::Trying { .. }, Event::Passed) => {
                self.known.pass(sent);
                State::Ready
            }
            (State::Trying { size, .. }, Event::NotSent(why)) => self.stop(size, why),
            (State::Trying { size, strikes, .. }, Event::TooBig(icmp)) => {
                if self.known.too_big(size, icmp) {
                    State::Ready
                } else {
                    self.strike(size, strikes, Why::TooBig)
                }
            }
            (State::Trying { size, strikes, .. }, Event::Silent) if !self.known.any_passed() => {
                // There is no smaller size to compare with.
                let again = State::Trying { size, strikes: strikes + 1, again: true };
                if strikes + 1 < self.tries { again } else { State::Done }
            }
            (State::Trying { size, strikes, .. }, Event::Silent) => State::Control { size, strikes, late: false },
            (State::Control { size, strikes, late: false }, Event::Passed) => self.strike(size, strikes, Why::Lost),
            // The host was silent for a while: the large packet may have been met by the same.
            (State::Control { size, strikes, late: true }, Event::Passed) => State::Trying { size, strikes, again: true },
            (State::Control { size, strikes, .. }, _) if self.silent_controls < MAX_SILENT_CONTROLS => {
                self.silent_controls += 1;
                State::Control { size, strikes, late: true }
            }
            (State::Control { .. } | State::Ready | State::Done, _) => State::Done,
        };
    }

    fn strike(&mut self, size: u32, strikes: u8, why: Why) -> State {
        // What answered the smallest size a moment ago needs no rest, as long as no limit on its answers showed; what sent a false error may.
        let again = State::Trying { size, strikes: strikes + 1, again: why != Why::Lost || self.silent_controls > 0 };
        if strikes + 1 < self.tries { again } else { self.stop(size, why) }
    }

    fn stop(&mut self, size: u32, why: Why) -> State {
        self.known.stop(size, why);
        State::Ready
    }

    pub(super) fn found(&self) -> Found {
        self.known.found()
    }
}

#[cfg(test)]
mod tests;
