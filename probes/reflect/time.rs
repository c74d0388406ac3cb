//! Times on the wire: NTP's format and IEEE 1588's, and the error estimate (RFC 8762 section 4.1.1, RFC 4656 section 4.1.2).

/// From 1900 to 1970.
const NTP_EPOCH_S: i64 = 2_208_988_800;
const NS_PER_S: i64 = 1_000_000_000;
/// The clock is synchronised to UTC by a source outside.
const SYNCHRONISED: u16 = 0x8000;
/// Times are in IEEE 1588's format.
const PTP: u16 = 0x4000;
/// Six bits of scale.
const MAX_SCALE: u32 = 63;

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Seconds since 1900 and a binary fraction.
    Ntp,
    /// Seconds and nanoseconds since 1970, 32 bits each (the truncated format).
    Ptp,
}

impl Format {
    /// Of nanoseconds since 1970, UTC.
    pub(super) fn write(self, since_1970_ns: i64) -> u64 {
        let seconds = since_1970_ns.div_euclid(NS_PER_S);
        let nanoseconds = since_1970_ns.rem_euclid(NS_PER_S).cast_unsigned();
        match self {
            // Both count modulo 2^32 seconds.
            Self::Ntp => (u64::from(low(seconds + NTP_EPOCH_S)) << 32) | ((nanoseconds << 32) / 1_000_000_000),
            Self::Ptp => (u64::from(low(seconds)) << 32) | nanoseconds,
        }
    }

    /// To nanoseconds since 1970. NTP's first bit tells 1968 to 2036 from the era after it (RFC 4330 section 3).
    pub(super) fn read(self, written: u64) -> i64 {
        let seconds = i64::from((written >> 32) as u32);
        let rest = written & 0xffff_ffff;
        match self {
            Self::Ntp => {
                let era = if written >> 63 == 1 { 0 } else { 1_i64 << 32 };
                let nanoseconds = (rest * 1_000_000_000 + (1 << 31)) >> 32;
                (seconds + era - NTP_EPOCH_S) * NS_PER_S + nanoseconds.cast_signed()
            }
            Self::Ptp => seconds * NS_PER_S + rest.cast_signed(),
        }
    }
}

fn low(seconds: i64) -> u32 {
    (seconds & 0xffff_ffff) as u32
}

/// What a machine says of its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ErrorEstimate {
    pub(super) synchronised: bool,
    pub(super) format: Format,
    pub(super) error_ns: u64,
}

impl ErrorEstimate {
    /// The error is `multiplier · 2^(scale − 32)` seconds, rounded up; the multiplier must not be 0.
    pub(super) fn write(self) -> u16 {
        let mut units = (u128::from(self.error_ns) << 32).div_ceil(1_000_000_000).max(1);
        let mut scale = 0;
        while units > 255 && scale < MAX_SCALE {
            units = units.div_ceil(2);
            scale += 1;
        }
        let sync = if self.synchronised { SYNCHRONISED } else { 0 };
        let format = if self.format == Format::Ptp { PTP } else { 0 };
        sync | format | (scale as u16) << 8 | units.min(255) as u16
    }

    pub(super) fn read(written: u16) -> Self {
        let scale = u32::from(written >> 8 & 0x3f);
        let units = u128::from(written & 0xff) << scale;
        Self {
            synchronised: written & SYNCHRONISED != 0,
            format: if written & PTP == 0 { Format::Ntp } else { Format::Ptp },
            error_ns: u64::try_from((units * 1_000_000_000) >> 32).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_known_moment_is_written_as_the_standards_say() {
        // 2026-07-14T00:23:44.75Z
        let moment = 1_783_988_624_750_000_000;
        assert_eq!(Format::Ntp.write(moment), 0xee00_0010_c000_0000);
        assert_eq!(Format::Ptp.write(moment), 1_783_988_624 << 32 | 750_000_000);
        // After 2036.
        assert_eq!(Format::Ntp.read(Format::Ntp.write(2_500_000_000_000_000_000)), 2_500_000_000_000_000_000);
    }

    #[test]
    fn an_error_is_never_understated_and_never_written_as_none() {
        let estimate = |error_ns| ErrorEstimate { synchronised: true, format: Format::Ptp, error_ns };
        assert_eq!(estimate(0).write(), 0xc001);
        for error_ns in [1, 1_000, 999_999, 16_000_000, 5_000_000_000] {
            let read = ErrorEstimate::read(estimate(error_ns).write());
            // The units are of a quarter nanosecond; reading rounds down to whole ones.
            assert!(read.error_ns + 1 >= error_ns && read.error_ns <= error_ns + error_ns / 64 + 1, "{error_ns} {read:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(ns in 0_i64..4_200_000_000_000_000_000) {
            prop_assert!((Format::Ntp.read(Format::Ntp.write(ns)) - ns).abs() <= 1);
            prop_assert_eq!(Format::Ptp.read(Format::Ptp.write(ns)), ns);
        }

        #[test]
        fn no_bits_make_the_reader_panic(bits in any::<u64>(), estimate in any::<u16>()) {
            let _ = (Format::Ntp.read(bits), Format::Ptp.read(bits), ErrorEstimate::read(estimate));
        }
    }
}
