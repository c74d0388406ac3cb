//! The flight recorder: what scheduled checks measured lately, in a ring on disk that never grows beyond its bound.

/// From a run's outcomes to compact measurements.
mod compact;
/// The ring on disk.
mod ring;
/// The ring's file, over the steps of a disk.
mod storage;

pub(crate) use compact::{place, planned, samples};
pub(crate) use ring::{Recorded, Ring, Wanted};

#[cfg(test)]
pub(crate) mod tests {
    use jiff::Timestamp;
    use netsonde_contract::history::{Sample, Series, Verdict};
    use netsonde_contract::kind::Kind;

    /// A required check of this machine itself.
    pub(crate) fn series(schedule: &str, check: &str) -> Series {
        Series { schedule: schedule.into(), check: check.into(), kind: Kind::Tcp, target: None, required: true }
    }

    /// A good measurement.
    pub(crate) fn good(at: Timestamp) -> Sample {
        let phases = std::collections::BTreeMap::new();
        let (verdict, took_us, rtt_us) = (Verdict::Good, 25_000, Some(20_000));
        Sample { at, verdict, took_us, rtt_us, phases, failure: None, path: None, chain: None, expires: None }
    }
}
