//! Which size to try next, and what the answers mean. Pure: it neither sends nor waits.
//!
//! The smallest size is tried first: a host that does not answer even that tells nothing. Then the largest, as most paths pass it;
//! then what a router's ICMP error names, or the middle of what is left. Silence proves nothing by itself, because hosts answer only so
//! many packets a second. So after each silence the smallest size is sent again: only where that is answered at once, the large packet
//! counts as lost. It is tried again after a rest in which any such limit has recovered, and only after as many losses as the check
//! wants, the size counts as stopped.
//!
//! An ICMP error is believed only where it fits (RFC 8201 section 4, RFC 8899 section 4.6.1): it names a size below the packet's, not
//! below what passed already, and not below what every path must have. One that does not fit is kept aside, and the size is tried again.

use netsonde_contract::failure::IcmpError;
use netsonde_contract::kind::MtuParams;
use netsonde_contract::observation::MtuLimit;
use std::net::IpAddr;
use std::time::Duration;

/// The smallest size that is tried first: every IPv4 host takes 576 bytes (RFC 791 section 3.1), every IPv6 path 1280 (RFC 8200 section 5).
const SMALLEST_V4: u32 = 576;
const SMALLEST_V6: u32 = 1_280;

/// What an ICMP error may name at the least: 68 bytes in IPv4 (RFC 791 section 3.2); in IPv6 as above.
const LEAST_NAMED_V4: u32 = 68;

/// The smallest size may stay without an answer this many times in all, once it had one, before the host counts as one whose silence
/// says nothing.
const MAX_SILENT_CONTROLS: u32 = 8;

/// Before a size is tried again. Hosts limit ICMP errors to one a second for each peer (Linux, `icmp_ratelimit`), after a few at once.
pub(super) const REST: Duration = Duration::from_millis(1_100);

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The host answered.
    Passed,
    /// ICMP: too big.
    TooBig(IcmpError),
    /// The machine's own interface does not take it.
    NotSent,
    /// Another ICMP error.
    Refused(IcmpError),
    Silent,
}

/// What is known so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) passed: Option<u32>,
    pub(super) stopped: Option<u32>,
    pub(super) limit: MtuLimit,
    pub(super) told: Option<IcmpError>,
    pub(super) disbelieved: Vec<IcmpError>,
    /// An ICMP error that ends the search.
    pub(super) refused: Option<IcmpError>,
}

pub(super) struct Search {
    smallest: u32,
    least_named: u32,
    tries: u8,
    sent: u32,
    /// The largest size that may still pass.
    ceiling: u32,
    passed: Option<u32>,
    stopped: Option<(u32, Why)>,
    /// A size that ICMP named and that was not tried yet.
    named: Option<u32>,
    told: Option<IcmpError>,
    disbelieved: Vec<IcmpError>,
    refused: Option<IcmpError>,
    silent_controls: u32,
    state: State,
}

/// A packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) size: u32,
    /// Rest for [`REST`] before it.
    pub(super) rested: bool,
}

/// Why a size does not pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Interface,
    TooBig,
    Lost,
}

enum State {
    /// A new size is due.
    Ready,
    /// The size is tried, and was lost or doubtful so often; `again`: not for the first time.
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
        let (smallest, least_named) = match target {
            IpAddr::V4(_) => (SMALLEST_V4, LEAST_NAMED_V4),
            IpAddr::V6(_) => (SMALLEST_V6, SMALLEST_V6),
        };
        Self {
            smallest,
            least_named,
            tries: tries.max(1),
            sent: 0,
            ceiling: max_bytes.max(smallest),
            passed: None,
            stopped: None,
            named: None,
            told: None,
            disbelieved: Vec::new(),
            refused: None,
            silent_controls: 0,
            state: State::Ready,
        }
    }

    /// What to send now; none once everything is known that can be.
    pub(super) fn next(&mut self) -> Option<Probe> {
        if matches!(self.state, State::Ready) {
            self.state = match self.due() {
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
            State::Control { late, .. } => Some(Probe { size: self.smallest, rested: late }),
            State::Ready | State::Done => None,
        }
    }

    /// A size between what passed and what did not: what was named first, then the middle.
    fn due(&mut self) -> Option<u32> {
        let named = self.named.take();
        let Some(passed) = self.passed else {
            // Even the smallest did not pass: only a router that names a smaller one can help.
            return match self.stopped {
                None => Some(self.smallest),
                Some((stopped, _)) => named.filter(|size| *size < stopped),
            };
        };
        match self.stopped {
            None => (passed < self.ceiling).then_some(self.ceiling),
            Some((_, Why::TooBig)) if self.told.as_ref().is_some_and(|icmp| icmp.mtu == Some(passed)) => None,
            Some((stopped, _)) if stopped - passed <= 1 => None,
            Some((stopped, _)) => {
                Some(named.filter(|size| (passed + 1..stopped).contains(size)).unwrap_or(passed.midpoint(stopped)))
            }
        }
    }

    pub(super) fn handle(&mut self, sent: u32, event: Event) {
        let state = std::mem::replace(&mut self.state, State::Ready);
        self.state = match (state, event) {
            (_, Event::Refused(icmp)) => {
                self.refused = Some(icmp);
                State::Done
            }
            (State::Trying { .. }, Event::Passed) => {
                self.passed = self.passed.max(Some(sent));
                State::Ready
            }
            (State::Trying { size, .. }, Event::NotSent) => self.stop(size, Why::Interface),
            (State::Trying { size, strikes, .. }, Event::TooBig(icmp)) => self.too_big(size, strikes, icmp),
            (State::Trying { size, strikes, .. }, Event::Silent) if self.passed.is_none() => {
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

    fn too_big(&mut self, size: u32, strikes: u8, icmp: IcmpError) -> State {
        // Routers of before RFC 1191 name none, and so does a zero.
        let Some(named) = icmp.mtu.filter(|named| *named > 0) else {
            self.told = Some(icmp);
            return self.stop(size, Why::TooBig);
        };
        if named < size && named >= self.least_named && self.passed.is_none_or(|passed| named >= passed) {
            self.named = Some(named);
            self.told = Some(icmp);
            return self.stop(size, Why::TooBig);
        }
        self.disbelieved.push(icmp);
        self.strike(size, strikes, Why::TooBig)
    }

    fn strike(&mut self, size: u32, strikes: u8, why: Why) -> State {
        let again = State::Trying { size, strikes: strikes + 1, again: true };
        if strikes + 1 < self.tries { again } else { self.stop(size, why) }
    }

    fn stop(&mut self, size: u32, why: Why) -> State {
        self.stopped = Some((size, why));
        State::Ready
    }

    pub(super) fn found(&self) -> Found {
        let settled = match (self.passed, self.stopped) {
            (Some(passed), None) => passed >= self.ceiling,
            (Some(_), Some(_)) => true,
            (None, _) => false,
        };
        let limit = match self.stopped {
            _ if !settled => MtuLimit::Unknown,
            None => MtuLimit::None,
            Some((_, Why::Interface)) => MtuLimit::Interface,
            Some((_, Why::TooBig)) => MtuLimit::Told,
            Some((_, Why::Lost)) => MtuLimit::Untold,
        };
        // What a router named holds only where nothing larger passed, and nothing below it was stopped for another reason.
        let fits = |icmp: &&IcmpError| match icmp.mtu {
            None | Some(0) => true,
            Some(named) => self.passed.is_none_or(|passed| named >= passed),
        };
        let told = self.told.as_ref().filter(|_| limit == MtuLimit::Told).filter(fits).cloned();
        let mut disbelieved = self.disbelieved.clone();
        if told.is_none() && settled {
            disbelieved.extend(self.told.clone());
        }
        Found {
            passed: self.passed,
            stopped: self.stopped.map(|(size, _)| size),
            limit,
            told,
            disbelieved,
            refused: self.refused.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TARGET: &str = "192.0.2.7";

    fn icmp(mtu: u32) -> IcmpError {
        IcmpError { offender: "10.0.0.1".parse().unwrap(), kind: 3, code: 4, mtu: Some(mtu) }
    }

    /// Runs a search against a path, given as what becomes of the n-th packet of a size, and returns what was found and the sizes sent.
    fn search(target: &str, max: u32, mut path: impl FnMut(u32, usize) -> Event) -> (Found, Vec<u32>) {
        let mut search = Search::new(target.parse().unwrap(), max, 2);
        let mut sent = Vec::new();
        while let Some(Probe { size, .. }) = search.next() {
            sent.push(size);
            search.handle(size, path(size, sent.len()));
        }
        assert!(sent.len() <= MtuParams::MAX_PACKETS as usize);
        (search.found(), sent)
    }

    fn passes(up_to: u32, size: u32, otherwise: Event) -> Event {
        if size <= up_to { Event::Passed } else { otherwise }
    }

    #[test]
    fn an_open_path_takes_two_packets() {
        let (found, sent) = search(TARGET, 1_500, |_, _| Event::Passed);
        assert_eq!((found.passed, found.limit, sent), (Some(1_500), MtuLimit::None, vec![576, 1_500]));
    }

    #[test]
    fn a_router_that_tells_is_believed_and_checked() {
        let (found, sent) = search(TARGET, 1_500, |size, _| passes(1_400, size, Event::TooBig(icmp(1_400))));
        assert_eq!((found.passed, found.limit, found.told), (Some(1_400), MtuLimit::Told, Some(icmp(1_400))));
        assert_eq!(sent, [576, 1_500, 1_400]);
    }

    #[test]
    fn a_second_narrower_router_is_found_behind_the_first() {
        let (found, _) = search(TARGET, 1_500, |size, _| match size {
            1_401.. => Event::TooBig(icmp(1_400)),
            1_281.. => Event::TooBig(icmp(1_280)),
            _ => Event::Passed,
        });
        assert_eq!((found.passed, found.told), (Some(1_280), Some(icmp(1_280))));
    }

    #[test]
    fn a_black_hole_is_found_to_the_byte() {
        let (found, sent) = search(TARGET, 1_500, |size, _| passes(1_372, size, Event::Silent));
        assert_eq!((found.passed, found.stopped, found.limit), (Some(1_372), Some(1_373), MtuLimit::Untold));
        assert!(found.told.is_none() && sent.len() < 50, "{sent:?}");
    }

    #[test]
    fn a_host_that_answers_only_now_and_then_is_no_black_hole() {
        let (found, _) = search(TARGET, 1_500, |_, at| if at % 3 == 1 { Event::Passed } else { Event::Silent });
        assert_eq!((found.passed, found.stopped, found.limit), (Some(576), None, MtuLimit::Unknown));
    }

    /// A host that answers a few at once and then one a second, as Linux does, at the end of a path with this limit.
    fn against_a_limited_host(at_once: u32, path: u32) -> Found {
        let mut search = Search::new(TARGET.parse().unwrap(), 1_500, 2);
        let (mut now, mut tokens, mut refilled) = (Duration::ZERO, at_once, Duration::ZERO);
        while let Some(Probe { size, rested }) = search.next() {
            now += if rested { REST } else { Duration::ZERO };
            while now >= refilled + Duration::from_secs(1) {
                refilled += Duration::from_secs(1);
                tokens = (tokens + 1).min(at_once);
            }
            let answered = size <= path && tokens > 0;
            if answered {
                tokens -= 1;
            }
            now += Duration::from_millis(if answered { 1 } else { 250 });
            search.handle(size, if answered { Event::Passed } else { Event::Silent });
        }
        search.found()
    }

    #[test]
    fn a_host_that_limits_its_answers_is_measured_all_the_same() {
        for at_once in [2, 6] {
            let open = against_a_limited_host(at_once, 1_500);
            assert_eq!((open.passed, open.limit), (Some(1_500), MtuLimit::None), "{at_once} at once");
            for path in [600, 1_003, 1_372, 1_499] {
                let hole = against_a_limited_host(at_once, path);
                assert_eq!((hole.passed, hole.limit), (Some(path), MtuLimit::Untold), "{at_once} at once: {hole:?}");
            }
        }
    }

    #[test]
    fn silence_from_the_start_and_silence_from_some_moment_on_say_nothing_of_sizes() {
        let (found, sent) = search(TARGET, 1_500, |_, _| Event::Silent);
        assert_eq!((found.passed, found.limit, sent), (None, MtuLimit::Unknown, vec![576, 576]));
        let (found, _) = search(TARGET, 1_500, |_, at| if at == 1 { Event::Passed } else { Event::Silent });
        assert_eq!((found.passed, found.stopped, found.limit), (Some(576), None, MtuLimit::Unknown));
    }

    #[test]
    fn an_error_that_does_not_fit_changes_nothing() {
        // Somebody forges a tiny size for the large packet once, and the path is wide.
        let (found, _) =
            search(
                "2001:db8::7",
                1_500,
                |size, at| if size == 1_500 && at == 2 { Event::TooBig(icmp(300)) } else { Event::Passed },
            );
        assert_eq!((found.passed, found.limit), (Some(1_500), MtuLimit::None));
        assert_eq!(found.disbelieved, [icmp(300)]);
    }

    #[test]
    fn a_size_that_was_named_and_does_not_pass_is_not_believed_in_the_end() {
        // The router names 1400, and something behind it silently drops everything above 1300.
        let (found, _) = search(TARGET, 1_500, |size, _| match size {
            1_401.. => Event::TooBig(icmp(1_400)),
            1_301.. => Event::Silent,
            _ => Event::Passed,
        });
        assert_eq!((found.passed, found.limit, found.told), (Some(1_300), MtuLimit::Untold, None));
        assert_eq!(found.disbelieved, [icmp(1_400)]);
    }

    #[test]
    fn a_router_that_names_no_size_is_measured() {
        let (found, _) = search(TARGET, 1_500, |size, _| passes(1_006, size, Event::TooBig(icmp(0))));
        assert_eq!((found.passed, found.stopped, found.limit), (Some(1_006), Some(1_007), MtuLimit::Told));
        assert_eq!(found.told, Some(icmp(0)));
    }

    #[test]
    fn the_machines_own_interface_is_told_from_the_path() {
        let (found, _) = search(TARGET, 9_000, |size, _| passes(1_500, size, Event::NotSent));
        assert_eq!((found.passed, found.stopped, found.limit), (Some(1_500), Some(1_501), MtuLimit::Interface));
    }

    #[test]
    fn a_prohibition_ends_the_search() {
        let prohibited = IcmpError { code: 13, mtu: None, ..icmp(0) };
        let (found, sent) = search(TARGET, 1_500, |_, _| Event::Refused(prohibited.clone()));
        assert_eq!((found.refused, sent.len()), (Some(prohibited), 1));
    }

    proptest! {
        #[test]
        fn any_path_with_one_limit_is_measured_to_the_byte(limit in 576_u32..9_300, kind in 0..3) {
            let (found, _) = search(TARGET, 9_216, |size, _| passes(limit, size, match kind {
                0 => Event::Silent,
                1 => Event::NotSent,
                _ => Event::TooBig(icmp(limit)),
            }));
            prop_assert_eq!(found.passed, Some(limit.min(9_216)));
        }

        #[test]
        fn no_answers_make_the_search_run_on(answers in proptest::collection::vec((0..5, any::<u32>()), 1..100)) {
            let (found, _) = search(TARGET, 1_500, |_, at| {
                let (kind, mtu) = answers[at % answers.len()];
                match kind {
                    0 => Event::Passed,
                    1 => Event::TooBig(icmp(mtu)),
                    2 => Event::NotSent,
                    3 => Event::TooBig(icmp(mtu % 2_000)),
                    _ => Event::Silent,
                }
            });
            if let (Some(passed), Some(stopped)) = (found.passed, found.stopped) {
                prop_assert!(passed < stopped, "{} {}", passed, stopped);
            }
        }
    }
}
