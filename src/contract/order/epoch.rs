use crate::bundle::hexadecimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// An epoch is replaced after this much time of the machine's boot clock, which counts sleep too. The last two are taken, so that an order
/// stays fresh for 12 to 24 hours.
pub const EPOCH_LIFE: Duration = Duration::from_secs(12 * 3600);

/// 128 random bits that an agent published lately: 32 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Epoch(String);

impl Epoch {
    /// The bytes must come from the system's random number generator.
    pub fn from_bytes(random: [u8; 16]) -> Self {
        Self(hexadecimal(&random))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The epochs that an agent takes orders for. Pure: the boot clock and fresh randomness come from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epochs {
    pub current: Epoch,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Epoch>,
    /// The boot during which the current epoch was drawn, where the system names its boots.
    pub boot: Option<String>,
    /// The boot clock when the current epoch was drawn.
    pub drawn: Duration,
}

impl Epochs {
    pub fn begin(fresh: Epoch, boot: Option<String>, now: Duration) -> Self {
        Self { current: fresh, previous: None, boot, drawn: now }
    }

    /// Whether a new epoch is due: after [`EPOCH_LIFE`], and once whenever nobody can tell how much time has passed, as after a boot.
    pub fn is_due(&self, boot: Option<&str>, now: Duration) -> bool {
        let same_boot = boot.is_some() && self.boot.as_deref() == boot;
        !same_boot || now < self.drawn || now - self.drawn >= EPOCH_LIFE
    }

    /// Draws the next epoch; the one before the last stops counting.
    pub fn renew(&mut self, fresh: Epoch, boot: Option<String>, now: Duration) {
        self.previous = Some(std::mem::replace(&mut self.current, fresh));
        (self.boot, self.drawn) = (boot, now);
    }

    pub fn accepts(&self, epoch: &Epoch) -> bool {
        self.current == *epoch || self.previous.as_ref() == Some(epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(seed: u8) -> Epoch {
        Epoch::from_bytes([seed; 16])
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    #[test]
    fn an_epoch_counts_until_it_was_replaced_twice() {
        let mut epochs = Epochs::begin(epoch(1), Some("boot".into()), hours(1));
        assert!(epochs.accepts(&epoch(1)) && !epochs.accepts(&epoch(2)));
        assert!(!epochs.is_due(Some("boot"), hours(12)));
        assert!(epochs.is_due(Some("boot"), hours(13)));
        epochs.renew(epoch(2), Some("boot".into()), hours(13));
        assert!(epochs.accepts(&epoch(1)) && epochs.accepts(&epoch(2)));
        epochs.renew(epoch(3), Some("boot".into()), hours(25));
        assert!(!epochs.accepts(&epoch(1)));
    }

    #[test]
    fn an_unknown_stretch_of_time_asks_for_a_new_epoch() {
        let epochs = Epochs::begin(epoch(1), Some("boot".into()), hours(5));
        assert!(epochs.is_due(Some("another"), hours(6)), "after a boot");
        assert!(epochs.is_due(None, hours(6)), "where boots have no names");
        assert!(epochs.is_due(Some("boot"), hours(4)), "where the boot clock ran backwards, as in a restored snapshot");
    }
}
