//! How bytes come in or go out over time. [`Meter`] is pure; [`Ledger`] is one that several connections share, with the bounds of
//! bytes and time that none of them may pass.

use crate::clock::{Clock, microseconds};
use netsonde_contract::observation::{Transfer, TransferEnd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A pause that a person notices, and longer than a retransmission on most paths takes (RFC 6298 begins at 1 s, Linux at 200 ms).
const STALL: Duration = Duration::from_millis(200);

/// Long enough that a slice holds many packets, short enough to show a burst.
pub(super) const SLICE: Duration = Duration::from_millis(100);

/// Thirty seconds of slices.
pub(super) const MAX_SLICES: usize = 300;

/// Below this the time is that of buffers, and a rate would be fantasy.
const MIN_TIMED: Duration = Duration::from_millis(5);

/// Counts one transfer.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    began: Duration,
    last: Duration,
    bytes: u64,
    stalls: u32,
    longest: Duration,
    slices: Vec<u64>,
    /// How long nothing could come, because no connection carried a body.
    waited: Duration,
}

impl Meter {
    pub(crate) fn begin(now: Duration) -> Self {
        Self { began: now, last: now, bytes: 0, stalls: 0, longest: Duration::ZERO, slices: Vec::new(), waited: Duration::ZERO }
    }

    /// Counts a piece. What comes before the first byte is no pause: that is the first byte's own time.
    pub(crate) fn add(&mut self, now: Duration, bytes: usize) {
        let pause = now.saturating_sub(self.last);
        if self.bytes > 0 {
            self.longest = self.longest.max(pause);
            self.stalls += u32::from(pause >= STALL);
        }
        self.last = now;
        self.bytes += bytes as u64;
        let slice = now.saturating_sub(self.began).as_millis() / SLICE.as_millis();
        if let Some(slice) = usize::try_from(slice).ok().filter(|slice| *slice < MAX_SLICES) {
            if self.slices.len() <= slice {
                self.slices.resize(slice + 1, 0);
            }
            self.slices[slice] += bytes as u64;
        }
    }

    pub(crate) fn transfer(&self, end: Duration, ended: TransferEnd) -> Transfer {
        let took = end.saturating_sub(self.began);
        let took_us = microseconds(took);
        let waiting_us = microseconds(self.waited);
        let carried_us = took_us.saturating_sub(waiting_us);
        let rate = (took.saturating_sub(self.waited) >= MIN_TIMED && self.bytes > 0)
            .then(|| u128::from(self.bytes) * 1_000_000 / u128::from(carried_us.max(1)))
            .and_then(|rate| u64::try_from(rate).ok());
        let slices = if self.slices.len() > 1 { self.slices.clone() } else { Vec::new() };
        let longest_pause_us = microseconds(self.longest);
        let (bytes, stalls) = (self.bytes, self.stalls);
        Transfer { bytes, took_us, waiting_us, rate, stalls, longest_pause_us, slices, arrived: Vec::new(), ended }
    }
}

/// A meter with bounds. Clones count into the same one.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    clock: Clock,
    until: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    left: u64,
    ended: Option<TransferEnd>,
    meter: Meter,
    /// Bodies under way.
    carrying: u32,
    /// Bytes that bodies under way have announced, those that have come through included.
    reserved: u64,
    /// Since when there is none, where waiting is counted.
    idle_since: Option<Duration>,
}

/// A body is under way while this is held.
pub(crate) struct Carrying(Ledger);

/// Bytes that were announced, of which nobody else announces any while this is held.
pub(crate) struct Reserved {
    ledger: Ledger,
    bytes: u64,
}

impl Reserved {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut state = self.ledger.state();
        state.reserved = state.reserved.saturating_sub(self.bytes);
    }
}

impl Ledger {
    /// For `bytes` within `time` from now.
    pub(crate) fn open(clock: Clock, bytes: u64, time: Duration) -> Self {
        let now = clock.now();
        let state = State { left: bytes, ended: None, meter: Meter::begin(now), carrying: 0, reserved: 0, idle_since: None };
        Self { clock, until: now + time, state: Arc::new(Mutex::new(state)) }
    }

    /// Counts the time in which no body is under way as waiting, and not as a part of the rate's time.
    pub(crate) fn counting_waits(self) -> Self {
        self.state().idle_since = Some(self.clock.now());
        self
    }

    /// Says that a body is under way until the guard is dropped.
    pub(crate) fn carrying(&self) -> Carrying {
        let now = self.clock.now();
        let mut state = self.state();
        if let (0, Some(since)) = (state.carrying, state.idle_since) {
            state.meter.waited += now.saturating_sub(since);
        }
        state.carrying += 1;
        Carrying(self.clone())
    }

    /// Counts as many of these bytes as the bounds allow, and says how many they are.
    pub(crate) fn take(&self, wanted: usize) -> usize {
        let now = self.clock.now();
        let mut state = self.state();
        if now >= self.until {
            state.ended.get_or_insert(TransferEnd::TimeLimit);
            return 0;
        }
        let granted = usize::try_from(state.left).unwrap_or(usize::MAX).min(wanted);
        if granted < wanted {
            state.ended.get_or_insert(TransferEnd::ByteLimit);
        }
        state.left -= granted as u64;
        if granted > 0 {
            state.meter.add(now, granted);
        }
        granted
    }

    /// The bound that ended the transfer, where one did.
    pub(crate) fn ended(&self) -> Option<TransferEnd> {
        let now = self.clock.now();
        let mut state = self.state();
        if now >= self.until {
            state.ended.get_or_insert(TransferEnd::TimeLimit);
        } else if state.left == 0 {
            return Some(state.ended.unwrap_or(TransferEnd::ByteLimit));
        }
        state.ended
    }

    /// Until its time is over.
    pub(crate) fn remaining(&self) -> Duration {
        self.until.saturating_sub(self.clock.now())
    }

    /// Sets apart as many of these bytes as its bound lets through and nobody else has announced, until the guard is dropped.
    pub(crate) fn reserve(&self, wanted: u64) -> Reserved {
        let mut state = self.state();
        let bytes = wanted.min(state.left.saturating_sub(state.reserved));
        state.reserved += bytes;
        Reserved { ledger: self.clone(), bytes }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.state().meter.bytes
    }

    /// What was counted up to now, which ended so where no bound ended it before.
    pub(crate) fn transfer(&self, otherwise: TransferEnd) -> Transfer {
        let now = self.clock.now();
        let state = self.state();
        let mut meter = state.meter.clone();
        if let Some(since) = state.idle_since.filter(|_| state.carrying == 0) {
            meter.waited += now.saturating_sub(since);
        }
        meter.transfer(now, state.ended.unwrap_or(otherwise))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Carrying {
    fn drop(&mut self) {
        let now = self.0.clock.now();
        let mut state = self.0.state();
        state.carrying = state.carrying.saturating_sub(1);
        // Read only where no body is left; none where waiting is not counted.
        state.idle_since = state.idle_since.map(|_| now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_pause_in_the_middle_is_a_stall_and_one_before_the_first_byte_is_not() {
        let mut meter = Meter::begin(ms(0));
        for (at, bytes) in [(500, 1_000), (550, 1_000), (800, 1_000)] {
            meter.add(ms(at), bytes);
        }
        let transfer = meter.transfer(ms(1_000), TransferEnd::Complete);
        assert_eq!((transfer.stalls, transfer.longest_pause_us, transfer.rate), (1, 250_000, Some(3_000)));
        assert_eq!(transfer.slices, [0, 0, 0, 0, 0, 2_000, 0, 0, 1_000]);
    }

    #[test]
    fn a_transfer_too_short_to_time_has_no_rate() {
        let mut meter = Meter::begin(ms(7));
        meter.add(ms(8), 5);
        let transfer = meter.transfer(ms(8), TransferEnd::Complete);
        assert_eq!((transfer.bytes, transfer.rate, transfer.slices.len()), (5, None, 0));
    }

    #[test]
    fn slices_are_bounded_and_the_sum_is_not() {
        let mut meter = Meter::begin(ms(0));
        meter.add(ms(10), 1);
        meter.add(Duration::from_secs(3_600), 1);
        let transfer = meter.transfer(Duration::from_secs(3_601), TransferEnd::Complete);
        assert_eq!((transfer.bytes, transfer.slices.len()), (2, 0));
    }

    #[test]
    fn the_rate_is_that_of_the_time_in_which_bodies_were_under_way() {
        let mut meter = Meter::begin(ms(0));
        meter.add(ms(900), 1_000);
        meter.waited = ms(800);
        let transfer = meter.transfer(ms(1_000), TransferEnd::Complete);
        assert_eq!((transfer.took_us, transfer.waiting_us, transfer.rate), (1_000_000, 800_000, Some(5_000)));
        let ledger = Ledger::open(Clock::start(), 10, ms(10_000)).counting_waits();
        let (first, second) = (ledger.carrying(), ledger.carrying());
        let waited = ledger.transfer(TransferEnd::Complete).waiting_us;
        drop(first);
        while ledger.transfer(TransferEnd::Complete).took_us < waited + 2_000 {}
        assert_eq!(ledger.transfer(TransferEnd::Complete).waiting_us, waited, "one of the two is still under way");
        drop(second);
        while ledger.transfer(TransferEnd::Complete).waiting_us < waited + 1_000 {}
        let unwatched = Ledger::open(Clock::start(), 10, ms(10_000));
        drop(unwatched.carrying());
        assert_eq!(unwatched.transfer(TransferEnd::Complete).waiting_us, 0);
    }

    #[test]
    fn no_more_than_the_bound_is_given_however_many_ask() {
        let ledger = Ledger::open(Clock::start(), 10, ms(10_000));
        let other = ledger.clone();
        assert_eq!((ledger.take(6), other.take(6), ledger.take(1)), (6, 4, 0));
        assert_eq!((ledger.bytes(), other.ended()), (10, Some(TransferEnd::ByteLimit)));
        let late = Ledger::open(Clock::start(), 10, Duration::ZERO);
        assert_eq!((late.take(1), late.ended()), (0, Some(TransferEnd::TimeLimit)));
    }
}
