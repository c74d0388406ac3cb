use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A duration as people say it, with two or three digits that matter: `850 µs`, `2.1 ms`, `35 ms`, `1.24 s`, `75 s`, `2 min 5 s`.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..9_950 => format!("{}.{} ms", (us + 50) / 1_000, (us + 50) % 1_000 / 100),
        9_950..999_500 => format!("{} ms", (us + 500) / 1_000),
        999_500..9_995_000 => format!("{}.{:02} s", (us + 5_000) / 1_000_000, (us + 5_000) % 1_000_000 / 10_000),
        9_995_000..119_500_000 => format!("{} s", (us + 500_000) / 1_000_000),
        _ => {
            let s = us.saturating_add(500_000) / 1_000_000;
            format!("{} min {} s", s / 60, s % 60)
        }
    }
}

/// A size in decimal units: `312 bytes`, `4.1 kB`, `64 MB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        0..1_000 => format!("{bytes} bytes"),
        1_000..9_950 => format!("{}.{} kB", (bytes + 50) / 1_000, (bytes + 50) % 1_000 / 100),
        9_950..999_500 => format!("{} kB", (bytes + 500) / 1_000),
        999_500..9_950_000 => format!("{}.{} MB", (bytes + 50_000) / 1_000_000, (bytes + 50_000) % 1_000_000 / 100_000),
        _ => format!("{} MB", bytes.saturating_add(500_000) / 1_000_000),
    }
}

/// A moment in UTC, to the second. Reports cross time zones; a customer's local time would not say which it is.
pub(crate) fn moment(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The day of a moment in UTC.
pub(crate) fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string()
}

/// How far `other` lies from `from`, in the largest unit that is at least two: `20 days ago`, `in 3 months`.
pub(crate) fn distance(from: Timestamp, other: Timestamp) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let seconds = other.as_second() - from.as_second();
    let units = [(DAY * 365, "years"), (DAY * 30, "months"), (DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes"), (1, "seconds")];
    let (unit, name) = units.into_iter().find(|(unit, _)| seconds.abs() >= 2 * unit).unwrap_or((1, "seconds"));
    let count = seconds.abs() / unit;
    if seconds < 0 { format!("{count} {name} ago") } else { format!("in {count} {name}") }
}

/// `1 reply`, `3 replies`: the count with its noun.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The value in the middle, or the mean of the two there; none of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = u64>) -> Option<u64> {
    let mut sorted: Vec<u64> = values.into_iter().collect();
    sorted.sort_unstable();
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some(sorted.get(sorted.len() / 2 - 1)?.midpoint(upper)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_the_digits_that_matter() {
        let cases = [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.0 ms"),
            (9_949, "9.9 ms"),
            (9_950, "10 ms"),
            (999_499, "999 ms"),
            (999_500, "1.00 s"),
            (9_994_999, "9.99 s"),
            (9_995_000, "10 s"),
            (125_000_000, "2 min 5 s"),
        ];
        for (us, shown) in cases {
            assert_eq!(duration(us), shown, "{us}");
        }
    }

    #[test]
    fn a_date_is_told_relative_to_the_measurement() {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        assert_eq!(distance(now, "2026-11-01T00:00:00Z".parse().unwrap()), "20 days ago");
        assert_eq!(distance(now, "2027-03-01T00:00:00Z".parse().unwrap()), "in 3 months");
        assert_eq!(distance(now, "2026-11-21T00:00:01Z".parse().unwrap()), "in 1 seconds");
    }

    #[test]
    fn the_median_of_an_even_count_lies_between_the_two_in_the_middle() {
        assert_eq!(median([4, 1, 3, 2]), Some(2));
        assert_eq!(median([5, 1, 9]), Some(5));
        assert_eq!(median([]), None);
    }
}
