//! How fast what the agent sends by itself may go: a bucket of bytes that fills at the configured rate.

use bytes::Bytes;
use futures_util::stream;
use netsonde_contract::agent_config::Rate;
use netsonde_contract::api::MAX_APPEND_BYTES;
use netsonde_probes::clock::Clock;
use reqwest::Body;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What may go at once after a pause: little enough that nobody on the same line notices.
const BURST: Duration = Duration::from_millis(200);
/// A part takes so long at most: within the time that the backend gives a sender who is slow, whatever the rate.
const PART: Duration = Duration::from_secs(10);
/// Pieces are a tenth of a second's worth, within these bounds.
const SMALLEST_PIECE: u64 = 256;
const LARGEST_PIECE: u64 = 16 << 10;

/// Clones share one bucket, so that what is sent at the same time shares the rate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace(Option<Arc<Limit>>);

#[derive(Debug)]
struct Limit {
    rate: Rate,
    clock: Clock,
    bucket: Mutex<Bucket>,
}

impl Pace {
    /// As fast as the network is: for a person who waits.
    pub(crate) const FREE: Self = Self(None);

    pub(crate) fn of(rate: Option<Rate>, clock: Clock) -> Self {
        Self(rate.map(|rate| Arc::new(Limit { rate, clock, bucket: Mutex::default() })))
    }

    pub(crate) fn rate(&self) -> Option<Rate> {
        self.0.as_ref().map(|limit| limit.rate)
    }

    /// The most bytes that one part may have.
    pub(super) fn most_in_a_part(&self) -> u64 {
        self.rate().map_or(MAX_APPEND_BYTES, |rate| (rate.bytes_per_second() * PART.as_secs()).min(MAX_APPEND_BYTES))
    }

    /// A part as a request's body, whose length the caller names.
    pub(super) fn body(&self, part: Bytes) -> Body {
        let Some(limit) = self.0.clone() else { return Body::from(part) };
        let piece = (limit.rate.bytes_per_second() / 10).clamp(SMALLEST_PIECE, LARGEST_PIECE) as usize;
        Body::wrap_stream(stream::unfold((limit, part), move |(limit, mut rest)| async move {
            if rest.is_empty() {
                return None;
            }
            let next = rest.split_to(piece.min(rest.len()));
            let wait = {
                let mut bucket = limit.bucket.lock().unwrap_or_else(PoisonError::into_inner);
                bucket.take(next.len() as u64, limit.rate, limit.clock.now())
            };
            tokio::time::sleep(wait).await;
            Some((Ok::<_, io::Error>(next), (limit, rest)))
        }))
    }
}

/// Pure: bytes and a time in, a wait out.
#[derive(Debug, Default)]
struct Bucket {
    /// When all that was taken is paid for.
    paid: Duration,
}

impl Bucket {
    /// Takes so many bytes, and tells how long they have to wait.
    fn take(&mut self, bytes: u64, rate: Rate, now: Duration) -> Duration {
        let begin = self.paid.max(now.saturating_sub(BURST));
        self.paid = begin + Duration::from_secs_f64(bytes as f64 / rate.bytes_per_second() as f64);
        begin.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Over any stretch of time no more goes than the rate, the burst and one piece allow, and no time is wasted while there is something to send.
        #[test]
        fn no_stretch_of_time_carries_more_than_the_rate(
            rate in 1_000..10_000_000_u64,
            pieces in prop::collection::vec((1..16_384_u64, 0..400_u64), 1..200),
        ) {
            let rate = Rate::new(rate).unwrap();
            let (mut bucket, mut now) = (Bucket::default(), Duration::from_secs(10));
            let mut sent: Vec<(Duration, u64)> = Vec::new();
            for (bytes, pause) in pieces {
                now += Duration::from_millis(pause);
                now += bucket.take(bytes, rate, now);
                sent.push((now, bytes));
            }
            for (place, (from, _)) in sent.iter().enumerate() {
                let mut sum = 0;
                for (at, bytes) in &sent[place..] {
                    let allowed = rate.bytes_per_second() as f64 * (*at - *from + BURST).as_secs_f64();
                    // The last piece goes whole once the ones before it are paid for.
                    prop_assert!(sum as f64 <= allowed + 1.0, "{sum} bytes in {:?}", *at - *from);
                    sum += bytes;
                }
            }
        }
    }

    #[test]
    fn a_part_never_takes_longer_than_either_side_waits() {
        let pace = |rate| Pace::of(Rate::new(rate), Clock::start());
        assert_eq!(pace(1_000).most_in_a_part(), 10_000);
        assert_eq!(pace(10_000_000).most_in_a_part(), MAX_APPEND_BYTES);
        assert_eq!(Pace::FREE.most_in_a_part(), MAX_APPEND_BYTES);
    }
}
