//! What single response headers say, read into facts. Servers write what they like: what does not fit is left out.

use netsonde_contract::kind::ByteRange;
use netsonde_contract::observation::{Alternative, RangeAnswer, ServerTiming, StrictTransport};
use std::time::Duration;

/// Metrics and alternatives kept of one answer: real ones have a handful.
pub(super) const MAX_ITEMS: usize = 32;

/// Longest name of a metric or protocol that is kept.
const MAX_NAME_BYTES: usize = 64;

/// RFC 7838 section 3.1: an alternative without `ma` stands for 24 hours.
const DEFAULT_MAX_AGE_S: u64 = 86_400;

/// The metrics of Server-Timing headers (W3C Server Timing).
pub(super) fn server_timing<'v>(values: impl Iterator<Item = &'v str>) -> Vec<ServerTiming> {
    let metric = |text: &str| {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| is_token(name))?.to_owned();
        let took = parts.find_map(|part| parameter(part, "dur")?.parse::<f64>().ok());
        let took = took.and_then(|ms| Duration::try_from_secs_f64(ms / 1_000.0).ok());
        Some(ServerTiming { name, took_us: took.and_then(|took| u64::try_from(took.as_micros()).ok()) })
    };
    values.flat_map(items).filter_map(|item| metric(&item)).take(MAX_ITEMS).collect()
}

/// The ways of Alt-Svc headers: `h3=":443"; ma=86400`. `clear` offers nothing.
pub(super) fn alternatives<'v>(values: impl Iterator<Item = &'v str>) -> Vec<Alternative> {
    let alternative = |text: &str| {
        let mut parts = text.split(';').map(str::trim);
        let (protocol, authority) = parts.next()?.split_once('=')?;
        let (host, port) = authority.trim_matches('"').rsplit_once(':')?;
        let age = parts.find_map(|part| parameter(part, "ma")?.parse().ok());
        is_token(protocol).then_some(())?;
        Some(Alternative {
            protocol: protocol.to_owned(),
            host: (!host.is_empty()).then(|| host.to_owned()),
            port: port.parse().ok()?,
            max_age_s: age.unwrap_or(DEFAULT_MAX_AGE_S),
        })
    };
    values.flat_map(items).filter_map(|item| alternative(&item)).take(MAX_ITEMS).collect()
}

/// Strict-Transport-Security (RFC 6797 section 6.1); without a max-age it means nothing.
pub(super) fn strict_transport(value: &str) -> Option<StrictTransport> {
    let directives: Vec<String> = value.split(';').map(|part| part.trim().to_ascii_lowercase()).collect();
    let max_age_s = directives.iter().find_map(|part| parameter(part, "max-age")?.parse().ok())?;
    let has = |name: &str| directives.iter().any(|directive| directive == name);
    Some(StrictTransport { max_age_s, include_subdomains: has("includesubdomains"), preload: has("preload") })
}

/// What became of a request for a range: status, Content-Range (RFC 9110 section 14.4) and length have to say the same.
pub(super) fn range_answer(asked: ByteRange, status: Option<u16>, content_range: Option<&str>, body_bytes: u64) -> RangeAnswer {
    let parsed = content_range.and_then(|value| {
        let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, total.parse::<u64>().ok()))
    });
    let fits = |(first, last, total): (u64, u64, Option<u64>)| {
        let length = last.checked_sub(first).and_then(|span| span.checked_add(1));
        let is_asked = match (asked, total) {
            (ByteRange::FirstLast(from, to), total) => {
                first == from && last == total.map_or(to, |total| to.min(total.saturating_sub(1)))
            }
            (ByteRange::Last(count), Some(total)) => last.checked_add(1) == Some(total) && first == total.saturating_sub(count),
            (ByteRange::Last(_), None) => false,
        };
        length == Some(body_bytes) && is_asked
    };
    RangeAnswer {
        asked: asked.header(),
        honoured: status == Some(206) && parsed.is_some_and(fits),
        first: parsed.map(|(first, _, _)| first),
        last: parsed.map(|(_, last, _)| last),
        total: parsed.and_then(|(_, _, total)| total),
    }
}

/// The parts of a list between commas that stand in no quotes.
fn items(value: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut quoted = false;
    for character in value.chars() {
        quoted ^= character == '"';
        match items.last_mut() {
            Some(item) if character != ',' || quoted => item.push(character),
            _ => items.push(String::new()),
        }
    }
    items.into_iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

/// The value of `name=value` or `name="value"`.
fn parameter<'p>(part: &'p str, name: &str) -> Option<&'p str> {
    let (key, value) = part.split_once('=')?;
    key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
}

fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.%".contains(&byte);
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_servers_own_times_are_read_with_and_without_durations() {
        let header = "cache;desc=\"Hit, warm\";dur=23.2, db;dur=53, miss, bad name;dur=1, neg;dur=-1";
        let read = server_timing([header].into_iter());
        let read: Vec<_> = read.iter().map(|metric| (metric.name.as_str(), metric.took_us)).collect();
        assert_eq!(read, [("cache", Some(23_200)), ("db", Some(53_000)), ("miss", None), ("neg", None)]);
    }

    #[test]
    fn an_alternative_on_another_host_is_told_from_one_on_the_same() {
        let read = alternatives(["h3=\":443\"; ma=60, h2=\"alt.example:8443\", clear, h3=\"bad\""].into_iter());
        let same = Alternative { protocol: "h3".into(), host: None, port: 443, max_age_s: 60 };
        let other = Alternative { protocol: "h2".into(), host: Some("alt.example".into()), port: 8_443, max_age_s: 86_400 };
        assert_eq!(read, [same, other]);
    }

    #[test]
    fn strict_transport_without_an_age_is_none() {
        let read = strict_transport("max-age=\"31536000\" ; includeSubDomains; preload").unwrap();
        assert_eq!((read.max_age_s, read.include_subdomains, read.preload), (31_536_000, true, true));
        assert_eq!(strict_transport("includeSubDomains"), None);
    }

    #[test]
    fn a_range_is_honoured_only_where_status_header_and_length_agree() {
        let (first, last) = (ByteRange::FirstLast(0, 99), ByteRange::Last(10));
        let honoured = |asked, status, header, bytes| range_answer(asked, Some(status), header, bytes).honoured;
        assert!(honoured(first, 206, Some("bytes 0-99/1000"), 100));
        assert!(honoured(first, 206, Some("bytes 0-49/50"), 50), "a file shorter than the range");
        assert!(honoured(last, 206, Some("bytes 990-999/1000"), 10));
        assert!(!honoured(first, 200, None, 101));
        assert!(!honoured(first, 206, Some("bytes 0-99/1000"), 99));
        assert!(!honoured(first, 206, Some("bytes 1-100/1000"), 100));
        assert!(!honoured(last, 206, Some("bytes 0-9/1000"), 10));
        assert!(!honoured(first, 206, None, 100));
    }

    proptest! {
        #[test]
        fn no_value_makes_a_parser_panic(value in "[a-z0-9=;:,\"\\-/ ]{0,60}", bytes: u64) {
            let _ = (server_timing([value.as_str()].into_iter()), alternatives([value.as_str()].into_iter()));
            let _ = (strict_transport(&value), range_answer(ByteRange::Last(5), Some(206), Some(&value), bytes));
        }

        #[test]
        fn no_content_range_makes_the_check_panic(first: u64, last: u64, total: u64, bytes: u64) {
            let value = format!("bytes {first}-{last}/{total}");
            let _ = range_answer(ByteRange::FirstLast(first, u64::MAX - 1), Some(206), Some(&value), bytes);
            let _ = range_answer(ByteRange::Last(bytes.max(1)), Some(206), Some(&value), bytes);
        }
    }
}
