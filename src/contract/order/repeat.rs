use super::Addressees;
use crate::agent_config::SIGNED_PREFIX;
use crate::id::OrderId;
use crate::set::Plan;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Nothing is repeated more often: a run takes seconds, and a target is somebody's server.
pub const SHORTEST_REPEAT: Duration = Duration::from_secs(10);
/// What is to run less often than once a day is an order of its own each time.
pub const LONGEST_REPEAT: Duration = Duration::from_secs(24 * 3_600);
/// An order that is wanted for longer is signed anew: who left the team meanwhile has no hand in it then.
pub const LONGEST_LIFE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The order is a schedule: what it asks for is run again and again, and becomes a bundle only where its health changes to failing.
///
/// The window and the epoch of the order say when an agent may *take* it; from then on its life counts in time that passed on the machine,
/// sleep included, so that nobody who sets a clock lengthens it. Every run is put before the machine's policy anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// From one run's beginning to the next one's, 10 to 86,400 s.
    pub every_seconds: u32,
    /// For so long, from the moment at which the agent takes the order; 30 days at most.
    pub life_seconds: u32,
}

/// What health, history and metrics call an order that is repeated.
pub fn schedule_name(id: &OrderId) -> String {
    format!("{SIGNED_PREFIX}{}", id.short())
}

impl Repeat {
    pub fn every(&self) -> Duration {
        Duration::from_secs(u64::from(self.every_seconds))
    }

    pub fn life(&self) -> Duration {
        Duration::from_secs(u64::from(self.life_seconds))
    }

    /// What it asks, to be read by whoever is at the machine: "every 5m for 168h".
    pub fn in_words(&self) -> String {
        let words = |seconds: u32| format!("{:#}", SignedDuration::from_secs(i64::from(seconds)));
        format!("every {} for {}", words(self.every_seconds), words(self.life_seconds))
    }

    /// What no JSON shape says.
    pub(super) fn check(&self, agents: &Addressees, serves: bool) -> Result<(), &'static str> {
        if serves || !matches!(agents, Addressees::Listed(_)) {
            return Err("an order that is repeated lists its agents, none of which serves");
        }
        if !(SHORTEST_REPEAT..=LONGEST_REPEAT).contains(&self.every()) {
            return Err("an order is repeated every 10 to 86,400 seconds");
        }
        if !(self.every()..=LONGEST_LIFE).contains(&self.life()) {
            return Err("an order is repeated for one interval at least and 30 days at most");
        }
        Ok(())
    }

    /// One run is to be over before the next begins.
    pub(super) fn check_plan(&self, plan: &Plan) -> Result<(), String> {
        if plan.budget <= self.every() {
            return Ok(());
        }
        Err(format!("a run may take {} s, which is longer than the {} s between two", plan.budget.as_secs(), self.every_seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AgentId;
    use crate::order::{Addressee, Epoch};

    #[test]
    fn how_often_and_how_long_is_bounded() {
        let one = Addressee { agent: AgentId::new("0".repeat(64)), epoch: Epoch::from_bytes([1; 16]) };
        let listed = Addressees::Listed(vec![one]);
        let good = Repeat { every_seconds: 300, life_seconds: 7 * 86_400 };
        assert_eq!(good.check(&listed, false), Ok(()));
        assert_eq!(good.in_words(), "every 5m for 168h");
        assert!(good.check(&listed, true).is_err());
        assert!(good.check(&Addressees::Tree { root: String::new(), count: 200 }, false).is_err());
        for (every_seconds, life_seconds) in
            [(9, 60), (86_401, 2_592_000), (300, 299), (300, 2_592_001), (0, 0), (u32::MAX, u32::MAX)]
        {
            assert!(Repeat { every_seconds, life_seconds }.check(&listed, false).is_err(), "{every_seconds} {life_seconds}");
        }
    }
}
