use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;

/// When a cron expression comes, in five fields: minute, hour, day of the month, month, day of the week; or `@daily` and its like.
///
/// At a change to summer time an expression of one fixed time that falls into the missing hour comes right after it; at the change back it
/// comes once. Expressions such as `*/5 * * * *` follow the time that really passes.
#[derive(Clone)]
pub struct Cron {
    text: String,
    /// Large, and kept once a schedule.
    expression: Box<croner::Cron>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error("{0}")]
    Syntax(String),
    #[error("no such day ever comes")]
    Never,
}

impl Cron {
    /// # Errors
    /// Where it is no cron expression, or one of a day that does not exist, such as 30 February.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let expression = parser.parse(text).map_err(|error| CronError::Syntax(error.to_string()))?;
        let cron = Self { text: text.to_owned(), expression: Box::new(expression) };
        // A leap day comes within eight years of any day.
        cron.next_after(Timestamp::UNIX_EPOCH, &TimeZone::UTC).ok_or(CronError::Never)?;
        Ok(cron)
    }

    /// The first slot after this time; none where none comes within the time that calendars are known for.
    pub fn next_after(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let next = self.expression.find_next_occurrence(&time.to_zoned(zone.clone()), false).ok()?.timestamp();
        (next > time).then_some(next)
    }

    /// The last slot up to and with this time.
    pub fn last_until(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let last = self.expression.find_previous_occurrence(&time.to_zoned(zone.clone()), true).ok()?.timestamp();
        (last <= time).then_some(last)
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({})", self.text)
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(text: &str, from: &str, count: usize) -> Vec<String> {
        // Rules in the POSIX form need no time zone files: Berlin's since 1996.
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let cron = Cron::parse(text).unwrap();
        let first: Timestamp = from.parse().unwrap();
        std::iter::successors(cron.next_after(first, &zone), |at| cron.next_after(*at, &zone))
            .take(count)
            .map(|at| at.to_string())
            .collect()
    }

    #[test]
    fn a_fixed_time_in_the_missing_hour_comes_right_after_it_and_once() {
        // 28 March 2027: 02:00 becomes 03:00 (01:00 UTC).
        let expected = ["2027-03-27T01:30:00Z", "2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"];
        assert_eq!(slots("30 2 * * *", "2027-03-26T12:00:00Z", 3), expected);
    }

    #[test]
    fn a_fixed_time_in_the_repeated_hour_comes_once() {
        // 31 October 2027: 03:00 becomes 02:00 (01:00 UTC).
        let at = slots("30 2 * * *", "2027-10-30T12:00:00Z", 2);
        assert_eq!(at, ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"]);
    }

    #[test]
    fn a_leap_day_comes_every_fourth_year() {
        assert_eq!(slots("0 12 29 2 *", "2027-01-01T00:00:00Z", 2), ["2028-02-29T11:00:00Z", "2032-02-29T11:00:00Z"]);
    }

    #[test]
    fn what_never_comes_or_is_no_cron_is_refused() {
        assert_eq!(Cron::parse("0 0 30 2 *"), Err(CronError::Never));
        for wrong in ["", "often", "61 * * * *", "* * * *", "0 0 0 * * *"] {
            assert!(Cron::parse(wrong).is_err(), "{wrong}");
        }
    }
}
