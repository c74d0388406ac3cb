//! Which reply, error and stamp belongs to which request. Pure: events come in with their times, facts are read out.
//!
//! All times are on the run's clock. A request's round-trip time is taken between kernel stamps where both lie where they must: after
//! the program's call, in order, and before the program heard of them. Otherwise the next best clock counts.

use netsonde_contract::failure::{Failure, IcmpError};
use netsonde_contract::observation::{EchoClock, ExtraKind, ExtraReply};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Extra replies kept of each target: a duplicating network shows its nature in fewer.
const MAX_EXTRA: usize = 100;
/// A stamp on the run's clock is good to a few microseconds.
const SLACK: Duration = Duration::from_micros(20);

/// Number of the target in the engine's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place(pub(super) u32);

/// A packet's number on its socket, as the kernel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StampKey {
    pub(super) is_v4: bool,
    /// Raised whenever the count begins anew.
    pub(super) generation: u32,
    pub(super) number: u32,
}

#[derive(Debug)]
pub(super) struct Matching {
    timeout: Duration,
    targets: Vec<Target>,
    places: HashMap<IpAddr, Place>,
    stamps: HashMap<StampKey, (Place, u16)>,
    open: usize,
    arrivals: u64,
}

#[derive(Debug)]
pub(super) struct Target {
    pub(super) address: IpAddr,
    pub(super) requests: Vec<Request>,
    pub(super) extra: Vec<ExtraReply>,
    pub(super) duplicates: u32,
    pub(super) late: u32,
    /// Why nothing more is sent to it.
    pub(super) failure: Option<Failure>,
}

/// One request; its place in the list is its sequence number.
#[derive(Debug)]
pub(super) struct Request {
    /// When the program called the kernel.
    sent: Duration,
    /// When the packet left the kernel.
    left: Option<Duration>,
    pub(super) answer: Option<Answer>,
    pub(super) error: Option<Box<IcmpError>>,
    /// Nothing that may still come would change what is known.
    settled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// When the program heard of it.
    pub(super) heard: Duration,
    /// When it came into the kernel.
    pub(super) came: Option<Duration>,
    pub(super) ttl: Option<u8>,
    pub(super) corrupt: bool,
    pub(super) from: IpAddr,
    /// Counts replies of all targets in the order in which they came.
    pub(super) arrival: u64,
}

/// A round-trip time and how it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    pub(super) rtt: Duration,
    pub(super) clock: EchoClock,
    /// There were stamps that did not fit.
    pub(super) refused: bool,
}

impl Target {
    /// Neither a reply nor an error came for any request.
    pub(super) fn is_silent(&self) -> bool {
        self.requests.iter().all(|request| request.answer.is_none() && request.error.is_none())
    }
}

impl Request {
    pub(super) fn timing(&self, answer: &Answer) -> Timing {
        let fits = |from: Duration, to: Duration| from <= to + SLACK;
        let came = answer.came.filter(|came| fits(self.sent, *came) && fits(*came, answer.heard));
        let left = self.left.filter(|left| fits(self.sent, *left));
        let refused = came != answer.came || left != self.left;
        match (left, came) {
            (Some(left), Some(came)) if left <= came => Timing { rtt: came - left, clock: EchoClock::KernelRxTx, refused },
            (left, Some(came)) => {
                Timing { rtt: came.saturating_sub(self.sent), clock: EchoClock::KernelRx, refused: refused || left.is_some() }
            }
            (_, None) => Timing { rtt: answer.heard.saturating_sub(self.sent), clock: EchoClock::Process, refused },
        }
    }

    /// Its time is over, at `now` at the latest, and no answer came within it.
    pub(super) fn is_lost(&self, timeout: Duration, now: Duration) -> bool {
        match &self.answer {
            Some(answer) => self.timing(answer).rtt > timeout,
            None => self.error.is_some() || self.sent + timeout <= now,
        }
    }
}

impl Matching {
    /// Each address stands once.
    pub(super) fn new(addresses: impl IntoIterator<Item = IpAddr>, timeout: Duration) -> Self {
        let mut matching =
            Self { timeout, targets: Vec::new(), places: HashMap::new(), stamps: HashMap::new(), open: 0, arrivals: 0 };
        for address in addresses {
            let place = Place(u32::try_from(matching.targets.len()).unwrap_or(u32::MAX));
            matching.places.entry(address).or_insert_with(|| {
                let (requests, extra) = (Vec::new(), Vec::new());
                matching.targets.push(Target { address, requests, extra, duplicates: 0, late: 0, failure: None });
                place
            });
        }
        matching
    }

    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    pub(super) fn target_mut(&mut self, place: Place) -> Option<&mut Target> {
        self.targets.get_mut(place.0 as usize)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// No request waits for anything.
    pub(super) fn is_settled(&self) -> bool {
        self.open == 0
    }

    /// A request is about to be sent at `now`; its sequence number is the target's next. Takes it back with [`Self::unsent`].
    pub(super) fn sending(&mut self, place: Place, key: StampKey, now: Duration) -> Option<u16> {
        let target = self.targets.get_mut(place.0 as usize)?;
        let sequence = u16::try_from(target.requests.len()).ok()?;
        target.requests.push(Request { sent: now, left: None, answer: None, error: None, settled: false });
        self.stamps.insert(key, (place, sequence));
        self.open += 1;
        Some(sequence)
    }

    /// The last request to a target could not be sent.
    pub(super) fn unsent(&mut self, place: Place, key: StampKey) {
        self.stamps.remove(&key);
        if let Some(request) = self.targets.get_mut(place.0 as usize).and_then(|target| target.requests.pop())
            && !request.settled
        {
            self.open -= 1;
        }
    }

    /// A packet left the kernel.
    pub(super) fn left(&mut self, key: StampKey, at: Option<Duration>) {
        if let Some((place, sequence)) = self.stamps.remove(&key)
            && let Some(request) = self.request(place, sequence)
        {
            request.left = at;
        }
    }

    /// A reply came. `told` is the target's place in its payload; without one its sender must be a target.
    pub(super) fn replied(&mut self, sequence: u16, told: Option<Place>, answer: Answer) {
        let Some(place) = told.or_else(|| self.places.get(&answer.from).copied()) else { return };
        self.arrivals += 1;
        let answer = Answer { arrival: self.arrivals, ..answer };
        let timeout = self.timeout;
        let Some(request) = self.request(place, sequence) else { return };
        let rtt = request.timing(&answer).rtt;
        let kind = if request.answer.is_some() {
            Some(ExtraKind::Duplicate)
        } else if rtt > timeout {
            Some(ExtraKind::Late)
        } else {
            None
        };
        // A late reply is kept as an answer, too: a stamp of its request that is read later may still show that it was in time.
        if request.answer.is_none() {
            request.answer = Some(answer);
        }
        self.settle(place, sequence);
        let (Some(kind), Some(target)) = (kind, self.targets.get_mut(place.0 as usize)) else { return };
        match kind {
            ExtraKind::Duplicate => target.duplicates += 1,
            _ => target.late += 1,
        }
        if target.extra.len() < MAX_EXTRA {
            let rtt_us = crate::icmp::statistics::microseconds(rtt);
            target.extra.push(ExtraReply { sequence, kind, rtt_us, ttl: answer.ttl });
        }
    }

    /// An ICMP error answered a request.
    pub(super) fn refused(&mut self, sequence: u16, target: IpAddr, error: IcmpError) {
        let Some(place) = self.places.get(&target).copied() else { return };
        if let Some(request) = self.request(place, sequence) {
            request.error.get_or_insert_with(|| Box::new(error));
            self.settle(place, sequence);
        }
    }

    fn request(&mut self, place: Place, sequence: u16) -> Option<&mut Request> {
        self.targets.get_mut(place.0 as usize)?.requests.get_mut(usize::from(sequence))
    }

    fn settle(&mut self, place: Place, sequence: u16) {
        if let Some(request) = self.request(place, sequence)
            && !request.settled
        {
            request.settled = true;
            self.open -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
