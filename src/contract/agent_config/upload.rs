use crate::policy::Hours;
use std::fmt;
use std::str::FromStr;

/// `[upload]`: what the agent's own sending may cost the machine's network. What a person sends is never held back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// Of all that the agent sends of bundles; as fast as the network is where absent.
    pub max_rate: Option<Rate>,
    pub metered: Metered,
    /// When nothing is sent that can wait ([`super::UploadWhen::Later`]).
    pub quiet: Vec<Hours>,
    /// The time zone of `quiet`, an IANA name; the machine's own where absent.
    pub zone: Option<String>,
}

/// Whether somebody pays for the bytes that this machine sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metered {
    /// As far as the system tells.
    #[default]
    Detect,
    Always,
    Never,
}

impl Metered {
    pub const ALL: [(&'static str, Self); 3] = [("detect", Self::Detect), ("always", Self::Always), ("never", Self::Never)];
}

/// Bytes a second: `250kB/s`, `2MB/s`, or in bits `2000kbit/s`, `16Mbit/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u64);

impl Rate {
    /// Slower than this the largest bundle would take a day.
    pub const LEAST: u64 = 1_000;
    /// Ten gigabits: faster is no bound.
    pub const MOST: u64 = 1_250_000_000;

    /// None where it is out of bounds.
    pub fn new(bytes_per_second: u64) -> Option<Self> {
        (Self::LEAST..=Self::MOST).contains(&bytes_per_second).then_some(Self(bytes_per_second))
    }

    pub fn bytes_per_second(self) -> u64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(())?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| ())?;
        let bytes = match unit.trim() {
            "kB/s" => number.checked_mul(1_000),
            "MB/s" => number.checked_mul(1_000_000),
            "kbit/s" => number.checked_mul(125),
            "Mbit/s" => number.checked_mul(125_000),
            _ => None,
        };
        bytes.and_then(Self::new).ok_or(())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kB/s", self.0 / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_in_bytes_and_in_bits_and_only_within_its_bounds() {
        let bytes = |text: &str| text.parse::<Rate>().map(Rate::bytes_per_second);
        assert_eq!(bytes("250kB/s"), Ok(250_000));
        assert_eq!(bytes("2 MB/s"), Ok(2_000_000));
        assert_eq!(bytes("800kbit/s"), Ok(100_000));
        assert_eq!(bytes("16Mbit/s"), Ok(2_000_000));
        for wrong in ["", "250", "kB/s", "1kbit/s", "0kB/s", "2000MB/s", "-1kB/s", "1.5MB/s", "5KB", "99999999999999999999MB/s"] {
            assert_eq!(bytes(wrong), Err(()), "{wrong}");
        }
    }
}
