//! How much each request of an upload posts. Its length is announced, since many servers refuse a body without one (RFC 9112 section
//! 6.3), so that it has to be known before it is known how fast the path is.

use std::time::Duration;

/// What a first request posts: a second's worth on a path of half a Mbit/s, and less than any server refuses.
const FIRST: u64 = 64 << 10;
/// By how much the next one is larger, until the time or the server sets an end to it.
const GROWTH: u64 = 4;
/// What a request posts at most: two seconds' worth on a path of 1 Gbit/s.
const LARGEST: u64 = 256 << 20;
/// Less than that is not worth a connection of its own.
const LEAST: u64 = 16 << 10;

/// How much the next request posts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Portion {
    bytes: u64,
    /// The most that was taken so far.
    taken: u64,
    /// The server took no more than that.
    at_limit: bool,
    /// Bytes a second of the last one, its connection included.
    rate: Option<f64>,
}

impl Portion {
    pub(super) const FIRST: Self = Self { bytes: FIRST, taken: 0, at_limit: false, rate: None };

    /// As much as may come through within the time that is left: what is cut off at its end lies half in buffers and was carried by no
    /// path. None where that is too little to ask again.
    pub(super) fn within(&self, left: Duration) -> Option<u64> {
        let fits = self.rate.map_or(f64::INFINITY, |rate| rate * left.as_secs_f64());
        let bytes = if fits >= self.bytes as f64 { self.bytes } else { fits as u64 };
        (bytes >= LEAST).then_some(bytes)
    }

    /// After so many bytes that were taken, in this time.
    pub(super) fn taken(self, bytes: u64, took: Duration) -> Self {
        let taken = bytes.max(self.taken);
        let next = if self.at_limit { taken } else { (self.bytes.max(bytes) * GROWTH).min(LARGEST) };
        let rate = (!took.is_zero()).then(|| bytes as f64 / took.as_secs_f64());
        Self { bytes: next, taken, rate: rate.or(self.rate), ..self }
    }

    /// After one that was refused, where a smaller one had been taken: no more than that from here on. None where nothing smaller was.
    pub(super) fn refused(self) -> Option<Self> {
        (self.taken > 0 && !self.at_limit && self.bytes > self.taken).then_some(Self {
            bytes: self.taken,
            at_limit: true,
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn portions_grow_until_one_is_refused_and_stay_at_what_was_taken() {
        let second = Portion::FIRST.taken(FIRST, SECOND);
        assert_eq!(second.bytes, GROWTH * FIRST);
        let back = second.refused().unwrap();
        assert_eq!(back.bytes, FIRST);
        assert_eq!(
            (back.taken(FIRST, SECOND).bytes, back.refused()),
            (FIRST, None),
            "it does not grow again, and a refusal counts"
        );
        assert_eq!(Portion::FIRST.refused(), None, "the first one has no smaller one");
        let grown = (0..64).fold(Portion::FIRST, |portion, _| portion.taken(portion.bytes, SECOND));
        assert_eq!(grown.bytes, LARGEST);
    }

    #[test]
    fn a_slow_path_is_asked_for_no_more_than_it_carries_in_time() {
        let slow = Portion::FIRST.taken(FIRST, SECOND);
        assert_eq!(slow.within(3 * SECOND), Some(3 * FIRST));
        assert_eq!(slow.within(9 * SECOND), Some(GROWTH * FIRST));
        assert_eq!(slow.within(SECOND / 8), None);
        assert_eq!(Portion::FIRST.within(SECOND / 8), Some(FIRST), "before the first one nothing is known");
    }
}
