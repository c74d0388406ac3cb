use netsonde_contract::api::MAX_TICKET_SECONDS;

const UNITS: [(char, u64); 5] = [('s', 1), ('m', 60), ('h', 3600), ('d', 24 * 3600), ('w', 7 * 24 * 3600)];

/// Seconds of a ticket's life, or what is wrong with it.
pub(crate) fn ticket_seconds(text: &str) -> Result<u64, String> {
    seconds(text, "a ticket", MAX_TICKET_SECONDS)
}

/// Seconds of a time such as `30m`, `12h`, `7d` or `2w`, of at most `most`, or what is wrong with it.
pub(crate) fn seconds(text: &str, what: &str, most: u64) -> Result<u64, String> {
    let written = format!("`{text}` is no time: write it as a number and s, m, h, d or w, such as 12h or 7d");
    let split = text.char_indices().next_back().map(|(at, unit)| (&text[..at], unit));
    let (number, unit) = split.ok_or_else(|| written.clone())?;
    let (_, seconds) = UNITS.into_iter().find(|(letter, _)| *letter == unit).ok_or_else(|| written.clone())?;
    let number: u64 = number.trim().parse().map_err(|_| written)?;
    match number.checked_mul(seconds) {
        Some(0) => Err(format!("{what} is valid for some time at least, such as 1h")),
        Some(seconds) if seconds <= most => Ok(seconds),
        _ => Err(format!("`{text}` is longer than the {} hours that {what} may be valid", most / 3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::ticket_seconds;

    #[test]
    fn times_as_people_write_them() {
        assert_eq!(ticket_seconds("7d"), Ok(604_800));
        assert_eq!(ticket_seconds("30m"), Ok(1_800));
        for wrong in ["", "d", "7", "7x", "-1d", "0h", "31d", "99999999999999999999d", "7 Tagé"] {
            assert!(ticket_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
