use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::Duration;

/// An agent's place among all others, for one schedule: the same after every restart, and unlike any other agent's.
#[derive(Clone, Debug)]
pub(super) struct Place {
    agent: String,
    schedule: String,
}

impl Place {
    pub(super) fn of(agent: &str, schedule: &str) -> Self {
        Self { agent: agent.to_owned(), schedule: schedule.to_owned() }
    }

    /// Where in the splay this agent begins.
    pub(super) fn offset(&self, splay: Duration) -> Duration {
        self.part_of(splay, "splay", 0)
    }

    /// By how much the run of a slot is delayed; the same each time it is asked, so that nobody need remember it.
    pub(super) fn delay(&self, jitter: Duration, slot: i64) -> Duration {
        self.part_of(jitter, "jitter", slot)
    }

    /// A part of `whole`, evenly spread, in milliseconds.
    fn part_of(&self, whole: Duration, purpose: &str, slot: i64) -> Duration {
        let whole = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
        if whole == 0 {
            return Duration::ZERO;
        }
        // A key of any length fits an HMAC (RFC 2104 section 3).
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.agent.as_bytes()) else { return Duration::ZERO };
        for part in [purpose.as_bytes(), &[0], self.schedule.as_bytes(), &[0], &slot.to_be_bytes()] {
            mac.update(part);
        }
        let digest = mac.finalize().into_bytes();
        let drawn = digest.iter().take(8).fold(0_u64, |drawn, byte| drawn << 8 | u64::from(*byte));
        Duration::from_millis(drawn % whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_spreads_over_the_whole_splay() {
        let minute = Duration::from_secs(60);
        let mut per_ten_seconds = [0; 6];
        for agent in 0..600 {
            let offset = Place::of(&format!("agent-{agent}"), "shop").offset(minute);
            per_ten_seconds[usize::try_from(offset.as_secs() / 10).unwrap()] += 1;
        }
        assert!(per_ten_seconds.iter().all(|agents| (60..140).contains(agents)), "{per_ten_seconds:?}");
    }

    #[test]
    fn an_agent_keeps_its_place_and_slots_are_delayed_differently() {
        let place = Place::of("a", "shop");
        let splay = Duration::from_secs(600);
        assert_eq!(place.offset(splay), Place::of("a", "shop").offset(splay));
        assert_ne!(place.offset(splay), Place::of("a", "mail").offset(splay));
        assert_ne!(place.delay(splay, 1), place.delay(splay, 2));
        assert_eq!(place.offset(Duration::ZERO), Duration::ZERO);
    }
}
