//! Facts out of what was matched.

use super::matching::{Matching, Request, Target, Timing};
use crate::icmp::statistics::{LossPattern, distribution, jitter_us, microseconds, reordered};
use netsonde_contract::failure::Failure;
use netsonde_contract::observation::{Echo, EchoClock, EchoReply, EchoStatistics, Sweep, SweepError, SweepTarget};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Silent addresses that a sweep lists: a person reads fewer, a script wants them all up to a sensible size.
const MAX_SILENT: usize = 1_000;
/// Different ICMP errors that a sweep lists.
const MAX_ERRORS: usize = 100;
const MAX_SLOWEST: usize = 10;

/// What all requests of one engine have in common.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    pub(super) size_bytes: u32,
    pub(super) dont_fragment: bool,
    pub(super) dscp: u8,
    pub(super) is_raw: bool,
    pub(super) dropped_here: u32,
}

impl Manner {
    fn socket(&self) -> Option<String> {
        Some(if self.is_raw { "raw" } else { "ping" }.to_owned())
    }
}

/// An answer in time.
struct Timely {
    sequence: u16,
    arrival: u64,
    timing: Timing,
}

fn timely(target: &Target, timeout: Duration) -> Vec<Timely> {
    let answered = target.requests.iter().zip(0_u16..).filter_map(|(request, sequence)| {
        let answer = request.answer.as_ref()?;
        let timing = request.timing(answer);
        (timing.rtt <= timeout).then_some(Timely { sequence, arrival: answer.arrival, timing })
    });
    answered.collect()
}

/// The series to one target, as it stands at `now`.
pub(super) fn echo(host: &str, target: &Target, timeout: Duration, now: Duration, manner: &Manner) -> Echo {
    let timely = timely(target, timeout);
    let clock = usual_clock(timely.iter().map(|reply| reply.timing.clock));
    let reply = |reply: &Timely| {
        let answer = target.requests.get(usize::from(reply.sequence)).and_then(|request| request.answer);
        EchoReply {
            sequence: reply.sequence,
            rtt_us: microseconds(reply.timing.rtt),
            ttl: answer.and_then(|answer| answer.ttl),
            corrupt: answer.is_some_and(|answer| answer.corrupt),
            from: answer.map(|answer| answer.from).filter(|from| *from != target.address),
            clock: Some(reply.timing.clock).filter(|own| *own != clock),
            system_rtt_ms: None,
        }
    };
    Echo {
        host: host.to_owned(),
        address: target.address,
        sent: u32::try_from(target.requests.len()).unwrap_or(u32::MAX),
        replies: timely.iter().map(reply).collect(),
        errors: target.requests.iter().filter_map(|request| request.error.as_deref().cloned()).collect(),
        size_bytes: manner.size_bytes,
        clock: clock.as_str().to_owned(),
        socket: manner.socket(),
        dont_fragment: manner.dont_fragment,
        dscp: manner.dscp,
        extra: target.extra.clone(),
        statistics: (!target.requests.is_empty()).then(|| Box::new(statistics(target, &timely, timeout, now, manner))),
        failure: target.failure.clone(),
    }
}

fn statistics(target: &Target, timely: &[Timely], timeout: Duration, now: Duration, manner: &Manner) -> EchoStatistics {
    let mut by_arrival: Vec<&Timely> = timely.iter().collect();
    by_arrival.sort_by_key(|reply| reply.arrival);
    let in_order: Vec<Duration> = by_arrival.iter().map(|reply| reply.timing.rtt).collect();
    let losses = LossPattern::of(target.requests.iter().map(|request| request.is_lost(timeout, now)));
    EchoStatistics {
        received: count(timely.len()),
        lost: losses.lost,
        jitter_us: jitter_us(&in_order),
        rtt: distribution(in_order),
        duplicates: target.duplicates,
        late: target.late,
        corrupt: count(target.requests.iter().filter(|request| is_corrupt(request)).count()),
        reordered: reordered(by_arrival.iter().map(|reply| reply.sequence)),
        loss_periods: losses.periods,
        longest_loss: losses.longest,
        least_loss_distance: losses.least_distance,
        dropped_here: manner.dropped_here,
        stamps_refused: count(timely.iter().filter(|reply| reply.timing.refused).count()),
    }
}

/// All targets, summed up.
pub(super) fn sweep(matching: &Matching, times: SweepTimes, manner: &Manner) -> Sweep {
    let timeout = matching.timeout();
    let mut rtts = Vec::new();
    let mut clocks = Vec::new();
    let mut silent = Vec::new();
    let mut answered: Vec<SweepTarget> = Vec::new();
    let mut errors: Vec<SweepError> = Vec::new();
    let mut known_errors: HashMap<_, usize> = HashMap::new();
    for target in matching.targets() {
        let timely = timely(target, timeout);
        rtts.extend(timely.iter().map(|reply| reply.timing.rtt));
        clocks.extend(timely.iter().map(|reply| reply.timing.clock));
        match timely.iter().min_by_key(|reply| reply.timing.rtt) {
            Some(quickest) => {
                let answer = target.requests.get(usize::from(quickest.sequence)).and_then(|request| request.answer);
                let (min_rtt_us, ttl) = (microseconds(quickest.timing.rtt), answer.and_then(|answer| answer.ttl));
                answered.push(SweepTarget { address: target.address, min_rtt_us, ttl });
            }
            None if silent.len() < MAX_SILENT && !target.requests.is_empty() => silent.push(target.address),
            None => {}
        }
        for error in target.requests.iter().filter_map(|request| request.error.as_deref()) {
            let place = *known_errors.entry((error.offender, error.kind, error.code, error.mtu)).or_insert_with(|| {
                errors.push(SweepError { error: error.clone(), count: 0, first: target.address });
                errors.len() - 1
            });
            errors[place].count += 1;
        }
    }
    errors.truncate(MAX_ERRORS);
    let mut slowest = answered.clone();
    slowest.sort_by_key(|target| std::cmp::Reverse(target.min_rtt_us));
    slowest.truncate(MAX_SLOWEST);
    let requests = || matching.targets().iter().flat_map(|target| &target.requests);
    let failure = matching.targets().iter().find_map(|target| target.failure.clone());
    Sweep {
        targets: count(matching.targets().len()),
        asked: count(matching.targets().iter().filter(|target| !target.requests.is_empty()).count()),
        answered: count(answered.len()),
        answering: answered,
        sent: requests().count() as u64,
        received: rtts.len() as u64,
        silent,
        errors,
        clock: usual_clock(clocks).as_str().to_owned(),
        rtt: distribution(rtts),
        slowest,
        duplicates: matching.targets().iter().map(|target| u64::from(target.duplicates)).sum(),
        late: matching.targets().iter().map(|target| u64::from(target.late)).sum(),
        corrupt: requests().filter(|request| is_corrupt(request)).count() as u64,
        dropped_here: manner.dropped_here.into(),
        size_bytes: manner.size_bytes,
        socket: manner.socket(),
        sending_us: microseconds(times.last_sent.saturating_sub(times.began)),
        took_us: microseconds(times.ended.saturating_sub(times.began)),
        failure: times.failure.or(failure),
    }
}

/// When a sweep was sent, and what stopped it.
#[derive(Clone, Debug, Default)]
pub(super) struct SweepTimes {
    pub(super) began: Duration,
    pub(super) last_sent: Duration,
    pub(super) ended: Duration,
    pub(super) failure: Option<Failure>,
}

fn is_corrupt(request: &Request) -> bool {
    request.answer.is_some_and(|answer| answer.corrupt)
}

/// The clock that most replies have; without replies the best that the engine has.
fn usual_clock(clocks: impl IntoIterator<Item = EchoClock>) -> EchoClock {
    let mut counts: BTreeMap<EchoClock, usize> = BTreeMap::new();
    for clock in clocks {
        *counts.entry(clock).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(EchoClock::KernelRxTx, |(clock, _)| clock)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::icmp::engine::matching::{Answer, Place, StampKey};
    use std::net::IpAddr;

    const MANNER: Manner = Manner { size_bytes: 56, dont_fragment: false, dscp: 0, is_raw: true, dropped_here: 0 };
    const TIMEOUT: Duration = Duration::from_secs(1);

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// Requests every 10 ms to each target; `rtt_ms` says when each is answered.
    fn matched(targets: &[&[Option<u64>]]) -> Matching {
        let mut matching = Matching::new((1..).take(targets.len()).map(address), TIMEOUT);
        let mut replies = Vec::new();
        for (place, rtts) in (0_u32..).zip(targets) {
            for (sequence, rtt) in (0_u16..).zip(*rtts) {
                let sent = Duration::from_millis(u64::from(sequence) * 10);
                let key = StampKey { is_v4: true, generation: 0, number: place * 1_000 + u32::from(sequence) };
                matching.sending(Place(place), key, sent);
                matching.left(key, Some(sent));
                replies.extend(rtt.map(|rtt| (sent + Duration::from_millis(rtt), place, sequence)));
            }
        }
        replies.sort();
        for (at, place, sequence) in replies {
            let from = matching.targets()[place as usize].address;
            matching.replied(
                sequence,
                None,
                Answer { heard: at, came: Some(at), ttl: Some(61), corrupt: sequence == 3, from, arrival: 0 },
            );
        }
        matching
    }

    #[test]
    fn a_series_says_what_was_lost_overtaken_and_corrupt() {
        let matching = matched(&[&[Some(5), Some(30), Some(2), Some(4), None, None, Some(1_200), Some(4)]]);
        let echo = echo("h", &matching.targets()[0], TIMEOUT, Duration::from_secs(9), &MANNER);
        assert_eq!((echo.sent, echo.replies.len(), echo.clock.as_str()), (8, 5, "kernel_rx_tx"));
        assert_eq!(
            echo.replies[3],
            EchoReply { sequence: 3, rtt_us: 4_000, ttl: Some(61), corrupt: true, ..EchoReply::default() }
        );
        let found = echo.statistics.unwrap();
        assert_eq!((found.received, found.lost, found.late, found.corrupt, found.reordered), (5, 3, 1, 1, 1));
        assert_eq!((found.loss_periods, found.longest_loss, found.least_loss_distance), (1, 3, Some(1)));
    }

    #[test]
    fn requests_that_still_wait_are_not_lost() {
        let matching = matched(&[&[Some(5), None]]);
        let now = Duration::from_millis(500);
        let found = echo("h", &matching.targets()[0], TIMEOUT, now, &MANNER).statistics.unwrap();
        assert_eq!((found.received, found.lost), (1, 0));
    }

    #[test]
    fn a_sweep_names_the_silent_and_counts_errors_once_each() {
        let mut matching = matched(&[&[Some(5)], &[None], &[None], &[Some(9)], &[]]);
        let error = netsonde_contract::failure::IcmpError { offender: address(99), kind: 3, code: 1, mtu: None };
        for silent in [2, 3] {
            matching.refused(0, address(silent), error.clone());
        }
        let sweep = sweep(&matching, SweepTimes::default(), &MANNER);
        assert_eq!((sweep.targets, sweep.asked, sweep.answered, sweep.sent, sweep.received), (5, 4, 2, 4, 2));
        assert_eq!(sweep.silent, [address(2), address(3)]);
        assert_eq!(sweep.errors, [SweepError { error, count: 2, first: address(2) }]);
        assert_eq!(sweep.slowest[0], SweepTarget { address: address(4), min_rtt_us: 9_000, ttl: Some(61) });
        let quick = SweepTarget { address: address(1), min_rtt_us: 5_000, ttl: Some(61) };
        assert_eq!(sweep.answering, [quick, sweep.slowest[0]], "each with its time and TTL, in the order asked");
    }
}
