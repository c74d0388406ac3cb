//! What follows from a series' round-trip times and losses. Pure.

use netsonde_contract::observation::{EchoStatistics, RttDistribution};
use std::time::Duration;

/// The distribution of round-trip times; nothing where there are none.
pub(crate) fn distribution(rtts: impl IntoIterator<Item = Duration>) -> Option<RttDistribution> {
    let mut sorted: Vec<Duration> = rtts.into_iter().collect();
    sorted.sort_unstable();
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let count = sorted.len() as f64;
    let mean = sorted.iter().map(Duration::as_secs_f64).sum::<f64>() / count;
    let variance = sorted.iter().map(|rtt| (rtt.as_secs_f64() - mean).powi(2)).sum::<f64>() / count;
    let rank = |percent| microseconds(nearest_rank(&sorted, percent));
    Some(RttDistribution {
        min_us: microseconds(min),
        mean_us: microseconds(Duration::from_secs_f64(mean)),
        deviation_us: microseconds(Duration::from_secs_f64(variance.sqrt())),
        median_us: rank(50),
        p90_us: rank(90),
        p95_us: rank(95),
        p99_us: rank(99),
        max_us: microseconds(max),
    })
}

/// What follows from the round-trip times of requests in the order sent, each answered or given up before the next; none is a loss.
pub fn of_requests(requests: &[Option<Duration>]) -> EchoStatistics {
    let rtts: Vec<Duration> = requests.iter().copied().flatten().collect();
    let losses = LossPattern::of(requests.iter().map(Option::is_none));
    EchoStatistics {
        received: u32::try_from(rtts.len()).unwrap_or(u32::MAX),
        lost: losses.lost,
        jitter_us: jitter_us(&rtts),
        rtt: distribution(rtts),
        loss_periods: losses.periods,
        longest_loss: losses.longest,
        least_loss_distance: losses.least_distance,
        ..EchoStatistics::default()
    }
}

/// The smallest value that so many percent of all do not exceed.
fn nearest_rank(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Interarrival jitter after the last of the replies, which are in the order in which they came (RFC 3550 section 6.4.1). The
/// requests were sent by the clock that times the replies, so the difference of two transit times is that of two RTTs.
pub(crate) fn jitter_us(rtts_by_arrival: &[Duration]) -> Option<u64> {
    let seconds = rtts_by_arrival.windows(2).map(|pair| (pair[1].as_secs_f64() - pair[0].as_secs_f64()).abs());
    let jitter = seconds.fold(0.0, |jitter, difference| jitter + (difference - jitter) / 16.0);
    (rtts_by_arrival.len() > 1).then(|| microseconds(Duration::from_secs_f64(jitter)))
}

/// Replies that came after one to a later request, of the sequence numbers in the order of arrival (RFC 4737 section 3.3).
pub(crate) fn reordered(by_arrival: impl IntoIterator<Item = impl Into<u32>>) -> u32 {
    let mut next: u32 = 0;
    let mut late = 0;
    for sequence in by_arrival {
        let sequence = sequence.into();
        if sequence < next {
            late += 1;
        } else {
            next = sequence.saturating_add(1);
        }
    }
    late
}

/// How losses lie among the requests (RFC 3357).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LossPattern {
    pub(super) lost: u32,
    pub(super) periods: u32,
    pub(super) longest: u32,
    pub(super) least_distance: Option<u32>,
}

impl LossPattern {
    /// Of whether each request, in the order sent, was lost.
    pub(super) fn of(lost: impl IntoIterator<Item = bool>) -> Self {
        let mut pattern = Self::default();
        let mut run = 0;
        let mut since_loss: Option<u32> = None;
        for lost in lost {
            since_loss = since_loss.map(|distance| distance + 1);
            if lost {
                pattern.lost += 1;
                run += 1;
                if run == 1 {
                    pattern.periods += 1;
                }
                pattern.longest = pattern.longest.max(run);
                pattern.least_distance = pattern.least_distance.into_iter().chain(since_loss).min();
                since_loss = Some(0);
            } else {
                run = 0;
            }
        }
        pattern
    }
}

/// To the nearest microsecond: cutting would take half a microsecond off every RTT.
pub(super) fn microseconds(duration: Duration) -> u64 {
    crate::clock::microseconds(duration + Duration::from_nanos(500))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(values: &[u64]) -> Vec<Duration> {
        values.iter().map(|value| Duration::from_millis(*value)).collect()
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let found = distribution(ms(&(1..=100).rev().collect::<Vec<_>>())).unwrap();
        let RttDistribution { min_us, median_us, p90_us, p95_us, p99_us, max_us, mean_us, deviation_us } = found;
        assert_eq!([min_us, median_us, p90_us, p95_us, p99_us, max_us], [1_000, 50_000, 90_000, 95_000, 99_000, 100_000]);
        assert_eq!((mean_us, deviation_us), (50_500, 28_866));
        assert_eq!(distribution([]), None);
    }

    #[test]
    fn jitter_approaches_a_constant_difference_by_a_sixteenth_each_time() {
        assert_eq!(jitter_us(&ms(&[10])), None);
        assert_eq!(jitter_us(&ms(&[10, 10, 10])), Some(0));
        assert_eq!(jitter_us(&ms(&[10, 26])), Some(1_000));
        assert_eq!(jitter_us(&ms(&[10, 26, 10])), Some(1_938));
    }

    #[test]
    fn bursts_are_told_from_single_losses() {
        let pattern = |text: &str| LossPattern::of(text.chars().map(|c| c == 'x'));
        assert_eq!(pattern("......"), LossPattern::default());
        assert_eq!(pattern("x....x"), LossPattern { lost: 2, periods: 2, longest: 1, least_distance: Some(5) });
        assert_eq!(pattern(".xxx.x"), LossPattern { lost: 4, periods: 2, longest: 3, least_distance: Some(1) });
        assert_eq!(pattern("xxx"), LossPattern { lost: 3, periods: 1, longest: 3, least_distance: Some(1) });
    }

    #[test]
    fn a_reply_overtaken_is_reordered_and_a_lost_one_is_not() {
        assert_eq!(reordered([0_u16, 1, 2, 3]), 0);
        assert_eq!(reordered([0_u16, 2, 3]), 0);
        assert_eq!(reordered([1_u16, 0, 2]), 1);
        assert_eq!(reordered([3_u16, 0, 1, 2]), 3);
    }

    proptest! {
        #[test]
        fn figures_are_in_order_and_within_what_was_measured(micros in prop::collection::vec(0_u64..10_000_000, 1..500)) {
            let rtts: Vec<Duration> = micros.iter().copied().map(Duration::from_micros).collect();
            let found = distribution(rtts.clone()).unwrap();
            let order = [found.min_us, found.median_us, found.p90_us, found.p95_us, found.p99_us, found.max_us];
            prop_assert!(order.is_sorted());
            prop_assert!(order.iter().all(|value| micros.contains(value)));
            prop_assert!((found.min_us..=found.max_us).contains(&found.mean_us));
            let widest = found.max_us - found.min_us;
            prop_assert!(found.deviation_us <= widest.div_ceil(2) + 1);
            prop_assert!(jitter_us(&rtts).unwrap_or(0) <= widest + 1);
        }

        #[test]
        fn loss_patterns_add_up(lost in prop::collection::vec(any::<bool>(), 0..300)) {
            let pattern = LossPattern::of(lost.iter().copied());
            prop_assert_eq!(pattern.lost as usize, lost.iter().filter(|lost| **lost).count());
            prop_assert!(pattern.longest <= pattern.lost && pattern.periods <= pattern.lost);
            prop_assert!(pattern.longest * pattern.periods >= pattern.lost);
            prop_assert_eq!(pattern.least_distance.is_some(), pattern.lost > 1);
            prop_assert_eq!(pattern.least_distance == Some(1), pattern.longest > 1);
        }
    }
}
