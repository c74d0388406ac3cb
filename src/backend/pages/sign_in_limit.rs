use crate::clock::later;
use crate::source::subscriber;
use jiff::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Counts wrong passwords by where they come from. It reads no clock.
#[derive(Default)]
pub(crate) struct SignInLimit {
    attempts: HashMap<IpAddr, Attempts>,
}

struct Attempts {
    count: u32,
    until: Timestamp,
}

/// Enough for a person who has mistyped.
const ATTEMPTS: u32 = 8;
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// After that each attempt waits twice as long as the one before, and never longer than this. Nobody is locked out: with the right password
/// it takes this long. At 100 bits of password no number of guesses at this pace is worth it.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// Sources remembered at once; the one whose window ends first makes room.
const SOURCES: usize = 4096;

impl SignInLimit {
    /// Counts an attempt before its password is looked at, so that many at once count too, and says how long it must wait.
    pub(super) fn begin(&mut self, source: IpAddr, now: Timestamp) -> Duration {
        let source = subscriber(source);
        self.attempts.retain(|_, attempts| attempts.until > now);
        if self.attempts.len() >= SOURCES && !self.attempts.contains_key(&source) {
            let first = self.attempts.iter().min_by_key(|(_, attempts)| attempts.until).map(|(source, _)| *source);
            first.map(|first| self.attempts.remove(&first));
        }
        let attempts = self.attempts.entry(source).or_insert(Attempts { count: 0, until: later(now, WINDOW) });
        attempts.count = attempts.count.saturating_add(1);
        match attempts.count.checked_sub(ATTEMPTS + 1) {
            None => Duration::ZERO,
            Some(beyond) => Duration::from_secs(1 << beyond.min(8)).min(LONGEST_WAIT),
        }
    }

    pub(super) fn succeeded(&mut self, source: IpAddr) {
        self.attempts.remove(&subscriber(source));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_gets_slower_but_nobody_is_locked_out() {
        let mut limit = SignInLimit::default();
        let (now, source) = (Timestamp::UNIX_EPOCH, "2001:db8::1".parse().unwrap());
        for _ in 0..ATTEMPTS {
            assert_eq!(limit.begin(source, now), Duration::ZERO);
        }
        let neighbour = "2001:db8::ffff".parse().unwrap();
        let waits: Vec<u64> = (0..6).map(|_| limit.begin(neighbour, now).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 8, 8]);
        assert_eq!(limit.begin("192.0.2.1".parse().unwrap(), now), Duration::ZERO);
        assert_eq!(limit.begin(source, later(now, WINDOW)), Duration::ZERO);
    }

    #[test]
    fn a_right_password_forgives_the_wrong_ones_and_memory_stays_bounded() {
        let mut limit = SignInLimit::default();
        let now = Timestamp::UNIX_EPOCH;
        for number in 0..10_000_u32 {
            assert_eq!(limit.begin(IpAddr::V4(number.into()), now), Duration::ZERO);
        }
        assert!(limit.attempts.len() <= SOURCES);
        let source = IpAddr::V4(9_999.into());
        (1..ATTEMPTS).for_each(|_| assert_eq!(limit.begin(source, now), Duration::ZERO));
        assert!(limit.begin(source, now) > Duration::ZERO);
        limit.succeeded(source);
        assert_eq!(limit.begin(source, now), Duration::ZERO);
    }
}
