use crate::clock::later;
use jiff::Timestamp;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
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

/// Enough for a person who has mistyped; at 100 bits of password no number of sources makes guessing worth it.
const ATTEMPTS: u32 = 8;
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// Sources remembered at once; the one whose window ends first makes room.
const SOURCES: usize = 4096;

impl SignInLimit {
    /// Counts an attempt before its password is looked at, so that many at once count too.
    ///
    /// # Errors
    /// When the source may try again.
    pub(super) fn begin(&mut self, source: IpAddr, now: Timestamp) -> Result<(), Timestamp> {
        let source = network(source);
        self.attempts.retain(|_, attempts| attempts.until > now);
        if self.attempts.len() >= SOURCES && !self.attempts.contains_key(&source) {
            let first = self.attempts.iter().min_by_key(|(_, attempts)| attempts.until).map(|(source, _)| *source);
            first.map(|first| self.attempts.remove(&first));
        }
        let attempts = self.attempts.entry(source).or_insert(Attempts { count: 0, until: later(now, WINDOW) });
        if attempts.count >= ATTEMPTS {
            return Err(attempts.until);
        }
        attempts.count += 1;
        Ok(())
    }

    pub(super) fn succeeded(&mut self, source: IpAddr) {
        self.attempts.remove(&network(source));
    }
}

/// One subscriber holds a whole /64 of IPv6.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_stops_after_a_few_tries_and_may_go_on_later() {
        let mut limit = SignInLimit::default();
        let (now, source) = (Timestamp::UNIX_EPOCH, "2001:db8::1".parse().unwrap());
        for _ in 0..ATTEMPTS {
            assert!(limit.begin(source, now).is_ok());
        }
        let again = limit.begin("2001:db8::ffff".parse().unwrap(), now).unwrap_err();
        assert_eq!(again, later(now, WINDOW));
        assert!(limit.begin("192.0.2.1".parse().unwrap(), now).is_ok());
        assert!(limit.begin(source, again).is_ok());
    }

    #[test]
    fn a_right_password_forgives_the_wrong_ones_and_memory_stays_bounded() {
        let mut limit = SignInLimit::default();
        let now = Timestamp::UNIX_EPOCH;
        for number in 0..10_000_u32 {
            assert!(limit.begin(IpAddr::V4(number.into()), now).is_ok());
        }
        assert!(limit.attempts.len() <= SOURCES);
        let source = IpAddr::V4(9_999.into());
        (1..ATTEMPTS).for_each(|_| assert!(limit.begin(source, now).is_ok()));
        assert!(limit.begin(source, now).is_err());
        limit.succeeded(source);
        assert!(limit.begin(source, now).is_ok());
    }
}
