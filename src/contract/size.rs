//! Amounts of bytes as people write and read them: `500kB`, `100MB`, `2GB`, in powers of ten, as providers count.

/// What one run may send and receive at most, whoever asks for it: both directions of two of the largest loads, and room beside them.
pub const MAX_RUN_BYTES: u64 = 200_000_000_000;

/// The units, largest first.
const UNITS: [(&str, u64); 4] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("B", 1)];

/// How an amount is written, for those who wrote something else.
pub const HELP: &str = "write it as \"500kB\", \"100MB\" or \"2GB\"";

/// The bytes of an amount that a person wrote; none where it is no whole number with a unit, or nothing.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor).filter(|bytes| *bytes > 0)
}

/// An amount in the largest unit of which it is a whole number.
pub fn words(bytes: u64) -> String {
    let (unit, factor) = UNITS.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor)).unwrap_or(&("B", 1));
    format!("{} {unit}", bytes / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_whole_number_with_a_unit() {
        for (text, bytes) in [("1B", 1), ("500kB", 500_000), (" 100 MB ", 100_000_000), ("2GB", 2_000_000_000)] {
            assert_eq!(parse(text), Some(bytes), "{text}");
            assert_eq!(parse(&words(bytes)), Some(bytes), "{text}");
        }
        for wrong in ["", "5", "MB", "0MB", "1.5MB", "-1kB", "5 KB", "5mb", "99999999999999999999GB", "20000000000GB"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!((words(0), words(1_500), words(1_001)), ("0 B".to_owned(), "1500 B".to_owned(), "1001 B".to_owned()));
    }
}
