//! Which version of their exchange agent and backend speak.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A version of what enrolled agents and the backend say to each other. Each side serves the newest that it knows and the one before, so that
/// either may be updated first; the lower of both sides' newest is what they speak.
///
/// 1 names no version. 2 names it: in [`super::fleet::CheckIn`] the agent its newest, in the answer the backend the one that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Protocol(u32);

impl Protocol {
    pub const NEWEST: Self = Self(2);
    pub const OLDEST: Self = Self(Self::NEWEST.0 - 1);

    pub fn new(number: u32) -> Self {
        Self(number)
    }

    pub fn number(self) -> u32 {
        self.0
    }

    /// What is spoken with somebody whose newest version this is.
    ///
    /// # Errors
    /// Where it is older than what is served here.
    pub fn spoken(self) -> Result<Self, TooOld> {
        if self < Self::OLDEST { Err(TooOld(self)) } else { Ok(self.min(Self::NEWEST)) }
    }

    /// Who names no version speaks the first.
    pub fn is_unnamed(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Protocol {
    fn default() -> Self {
        Self(1)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whoever speaks only this is not served any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it speaks version {0} of the exchange, and {oldest} and {newest} are served", oldest = Protocol::OLDEST, newest = Protocol::NEWEST)]
pub struct TooOld(pub Protocol);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_serves_its_newest_and_the_one_before() {
        let newest = Protocol::NEWEST.number();
        assert_eq!(Protocol::new(newest).spoken(), Ok(Protocol::NEWEST));
        assert_eq!(Protocol::new(newest - 1).spoken(), Ok(Protocol::OLDEST));
        assert_eq!(Protocol::new(newest + 7).spoken(), Ok(Protocol::NEWEST), "a newer one speaks down");
        let old = Protocol::new(newest - 2);
        assert_eq!(old.spoken(), Err(TooOld(old)));
        assert_eq!(
            TooOld(old).to_string(),
            format!("it speaks version {old} of the exchange, and {} and {newest} are served", newest - 1)
        );
    }
}
