use netsonde_contract::observation::Share;
use std::collections::VecDeque;

/// The median is of so many replies at most, the latest: an hour's worth would hide what is the case now.
const KEPT: usize = 1_000;
/// The sparkline shows so many requests at most, which is more than a wide window has room for.
const RECENT: usize = 120;

/// Requests and replies of one distance, target or path.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    sent: u32,
    answered: u32,
    last_us: Option<u64>,
    best_us: Option<u64>,
    worst_us: Option<u64>,
    /// RFC 3550 section 6.4.1; requests and replies are timed by one clock, so transit times differ as RTTs do.
    jitter_us: f64,
    kept: VecDeque<u64>,
    recent: VecDeque<Option<u64>>,
}

impl Track {
    /// Takes in a request and its round-trip time in microseconds; none is no reply.
    pub(super) fn add(&mut self, rtt_us: Option<u64>) {
        self.sent = self.sent.saturating_add(1);
        push(&mut self.recent, rtt_us, RECENT);
        let Some(rtt) = rtt_us else { return };
        self.answered = self.answered.saturating_add(1);
        if let Some(before) = self.last_us {
            self.jitter_us += (before.abs_diff(rtt) as f64 - self.jitter_us) / 16.0;
        }
        self.last_us = Some(rtt);
        self.best_us = Some(self.best_us.map_or(rtt, |best| best.min(rtt)));
        self.worst_us = Some(self.worst_us.map_or(rtt, |worst| worst.max(rtt)));
        push(&mut self.kept, rtt, KEPT);
    }

    /// Takes in several requests of which only figures are known: what they came to, and their median as one reply.
    pub(super) fn add_series(&mut self, sent: u32, answered: u32, times: Option<(u64, u64, u64)>) {
        if sent == 0 {
            return;
        }
        let (requests, replies) = (self.sent.saturating_add(sent), self.answered.saturating_add(answered.min(sent)));
        self.add(times.map(|(_, median, _)| median));
        (self.sent, self.answered) = (requests, replies);
        if let Some((best, _, worst)) = times {
            self.best_us = self.best_us.map(|before| before.min(best));
            self.worst_us = self.worst_us.map(|before| before.max(worst));
        }
    }

    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    pub(super) fn answered(&self) -> u32 {
        self.answered
    }

    pub(super) fn lost(&self) -> u32 {
        self.sent.saturating_sub(self.answered)
    }

    /// None of the last so many requests was answered, or of all where they are fewer.
    pub(super) fn is_silent(&self, last: usize) -> bool {
        self.recent.iter().rev().take(last).all(Option::is_none)
    }

    pub(super) fn loss(&self) -> Share {
        Share::of(self.lost(), self.sent)
    }

    pub(super) fn last_us(&self) -> Option<u64> {
        self.last_us
    }

    pub(super) fn best_us(&self) -> Option<u64> {
        self.best_us
    }

    pub(super) fn worst_us(&self) -> Option<u64> {
        self.worst_us
    }

    /// Of the nearest rank, so that it is a time that was measured.
    pub(super) fn median_us(&self) -> Option<u64> {
        let mut sorted: Vec<u64> = self.kept.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len().checked_sub(1)? / 2).copied()
    }

    /// Of two replies at least.
    pub(super) fn jitter_us(&self) -> Option<u64> {
        (self.answered > 1).then_some(self.jitter_us as u64)
    }

    /// The last requests as bars between nothing and the longest among them, the latest at the right; a lost one is an `x`.
    pub(super) fn sparkline(&self, width: usize) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let shown = || self.recent.iter().skip(self.recent.len().saturating_sub(width));
        let longest = shown().flatten().copied().max().unwrap_or(0).max(1);
        let bar = |rtt: &Option<u64>| match rtt {
            None => 'x',
            Some(rtt) => usize::try_from(rtt * 7 / longest).ok().and_then(|level| BARS.get(level)).copied().unwrap_or('█'),
        };
        shown().map(bar).collect()
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_what_was_taken_in() {
        let mut track = Track::default();
        for rtt in [Some(4_000), None, Some(2_000), Some(8_000)] {
            track.add(rtt);
        }
        assert_eq!((track.sent(), track.answered(), track.lost()), (4, 3, 1));
        assert_eq!((track.last_us(), track.best_us(), track.worst_us()), (Some(8_000), Some(2_000), Some(8_000)));
        assert_eq!(track.median_us(), Some(4_000));
        assert_eq!(track.jitter_us(), Some(492));
        assert_eq!(track.sparkline(3), "x▂█");
    }

    #[test]
    fn nothing_taken_in_gives_no_figures_and_all_is_possible() {
        let track = Track::default();
        assert_eq!((track.median_us(), track.jitter_us(), track.sparkline(9).as_str()), (None, None, ""));
        assert_eq!(track.loss(), Share { share: 0.0, low: 0.0, high: 1.0 });
    }

    #[test]
    fn a_series_counts_all_its_requests() {
        let mut track = Track::default();
        track.add_series(20, 15, Some((1_000, 2_000, 9_000)));
        track.add_series(20, 0, None);
        assert_eq!((track.sent(), track.answered()), (40, 15));
        assert_eq!((track.best_us(), track.median_us(), track.worst_us()), (Some(1_000), Some(2_000), Some(9_000)));
    }

    #[test]
    fn an_hour_long_view_keeps_no_more_than_its_bounds() {
        let mut track = Track::default();
        (0..100_000).for_each(|rtt| track.add(Some(rtt)));
        assert_eq!((track.kept.len(), track.recent.len()), (KEPT, RECENT));
        assert_eq!(track.median_us(), Some(99_499));
    }
}
