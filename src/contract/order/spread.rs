use super::Order;
use crate::id::AgentId;
use jiff::SignedDuration;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The code of an agent's report that it took an order and begins later.
pub const SPREAD: &str = "spread";

impl Order {
    /// How long after it took the order an agent begins, of the `left` that remains until the order expires: a moment of its own, evenly spread and the
    /// same whoever works it out, so that ten thousand agents do not come to one target at once. None where they begin as soon as they can.
    pub fn begins_after(&self, agent: &AgentId, left: Duration) -> Option<Duration> {
        let spread = Duration::from_secs(u64::from(self.spread_seconds?)).min(left);
        let digest = Sha256::new().chain_update(self.id.as_str()).chain_update(agent.as_str()).finalize();
        let part = digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let millis = (spread.as_millis() * u128::from(part)) >> u64::BITS;
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
    }

    /// What no JSON shape says.
    pub(super) fn check_spread(&self) -> Result<(), &'static str> {
        let Some(seconds) = self.spread_seconds else { return Ok(()) };
        if self.serve.is_some() || self.repeat.is_some() {
            return Err(
                "agents that measure each other begin together, and those of a schedule by themselves at moments of their own",
            );
        }
        let window = self.expires.duration_since(self.not_before);
        if seconds == 0 || SignedDuration::from_secs(i64::from(seconds)) > window {
            return Err("an order is spread over one second at least and its window at most");
        }
        Ok(())
    }
}
