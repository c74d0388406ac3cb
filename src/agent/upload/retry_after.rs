//! `Retry-After`: seconds, or a date in any of the three forms that recipients must know (RFC 9110 sections 5.6.7 and 10.2.3). Pure.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use std::time::Duration;

/// IMF-fixdate, and the two obsolete ones: RFC 850's and that of C's asctime. All are in GMT.
const FORMS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// How long the sender of a response wants to be left alone. A date is held against the response's own `Date`, so that neither a machine's wrong
/// clock nor the server's lengthens a wait; `now` counts where there is none. A date that is over means at once.
pub(super) fn parse(value: &str, date: Option<&str>, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit say that it is long, which is what counts.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = http_date(value)?;
    let from = date.and_then(http_date).unwrap_or(now);
    Some(Duration::try_from(until.duration_since(from)).unwrap_or_default())
}

fn http_date(text: &str) -> Option<Timestamp> {
    let parsed = |form: &&str| BrokenDownTime::parse(form, text.trim()).ok()?.to_datetime().ok();
    let time: DateTime = FORMS.iter().find_map(parsed)?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn seconds_and_every_form_of_a_date_are_understood() {
        let now = at("1994-11-06T08:49:00Z");
        let parsed = |value| parse(value, None, now);
        assert_eq!(parsed("120"), Some(Duration::from_secs(120)));
        assert_eq!(parsed("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parsed(date), Some(Duration::from_secs(37)), "{date}");
        }
        for nonsense in ["", "-5", "soon", "1.5", "Sun, 06 Nov 1994 08:49:37 CET"] {
            assert_eq!(parsed(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_wrong_clock_here_lengthens_no_wait() {
        let date = Some("Sun, 06 Nov 1994 08:49:07 GMT");
        let waited = parse("Sun, 06 Nov 1994 08:49:37 GMT", date, at("1970-01-01T00:00:00Z"));
        assert_eq!(waited, Some(Duration::from_secs(30)));
        let over = parse("Sun, 06 Nov 1994 08:49:37 GMT", None, at("2027-01-01T00:00:00Z"));
        assert_eq!(over, Some(Duration::ZERO));
    }
}
