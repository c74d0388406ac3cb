//! Dates, durations and lists in words.

use jiff::Timestamp;
use netsonde_contract::failure::without_number;
use std::fmt::Display;
use std::net::IpAddr;

/// `3 May 2026`, in UTC.
pub(crate) fn date(at: Timestamp) -> String {
    at.strftime("%-d %B %Y").to_string()
}

/// The distance between two moments in the largest fitting unit: `12 days`, `5 hours`, `less than a minute`.
pub(crate) fn distance(from: Timestamp, to: Timestamp) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let seconds = (to.as_second() - from.as_second()).abs();
    match seconds {
        ..MINUTE => "less than a minute".to_owned(),
        MINUTE..HOUR => count(seconds / MINUTE, "minute"),
        HOUR..DAY => count(seconds / HOUR, "hour"),
        _ => count(seconds / DAY, "day"),
    }
}

/// `1 day`, `12 days`.
pub(crate) fn count(number: i64, unit: &str) -> String {
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}

/// `20 µs`, `1.4 ms`, `35 ms`, `2.3 seconds`.
pub(crate) fn duration(microseconds: u64) -> String {
    match microseconds {
        ..1_000 => format!("{microseconds} µs"),
        1_000..10_000 => format!("{:.1} ms", microseconds as f64 / 1_000.0),
        10_000..1_000_000 => format!("{} ms", microseconds / 1_000),
        _ => format!("{:.1} seconds", microseconds as f64 / 1_000_000.0),
    }
}

/// What a failure says, in words for people: without the number that the system has for it, and without a library's own words for bytes
/// that it could not read as what was expected.
pub(crate) fn plain(text: &str) -> String {
    if text.contains("unexpected message") || text.contains("operation was canceled") {
        return "what came is no answer to the request".to_owned();
    }
    without_number(text).into_owned()
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list<T: Display>(items: &[T]) -> String {
    let words: Vec<String> = items.iter().map(ToString::to_string).collect();
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// `shop.example (192.0.2.1)`; the address alone where it was asked for as such.
pub(crate) fn named(host: &str, address: IpAddr) -> String {
    let plain = address.to_string();
    if host == plain { plain } else { format!("{host} ({plain})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_durations_read_as_a_person_would_say_them() {
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(duration(350), "350 µs");
        assert_eq!(duration(1_350), "1.4 ms");
        assert_eq!(duration(35_400), "35 ms");
        assert_eq!(duration(2_340_000), "2.3 seconds");
    }

    #[test]
    fn what_the_system_and_libraries_say_is_told_in_plain_words() {
        assert_eq!(plain("Connection reset by peer (os error 104)"), "Connection reset by peer");
        assert_eq!(plain("GET x: No route to host (os error 113), at once"), "GET x: No route to host, at once");
        assert_eq!(
            plain("operation was canceled: received unexpected message from connection"),
            "what came is no answer to the request"
        );
        assert_eq!(plain("no answer within 3500 ms"), "no answer within 3500 ms");
    }

    #[test]
    fn a_date_is_told_in_utc_with_its_distance() {
        let expiry: Timestamp = "2026-05-03T23:59:59Z".parse().unwrap();
        let now: Timestamp = "2026-05-16T01:00:00Z".parse().unwrap();
        assert_eq!(date(expiry), "3 May 2026");
        assert_eq!(distance(expiry, now), "12 days");
    }
}
