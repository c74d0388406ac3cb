use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::policy::{Hours, LocalTime};
use std::time::Duration;

/// Hours of a week are looked through to the end of the quiet ones; a schedule that is quiet all week never runs.
const LONGEST_MINUTES: i64 = 8 * 24 * 60;

/// Hours in which nothing runs, on a zone's clock.
#[derive(Clone, Debug)]
pub(super) struct Quiet {
    pub(super) hours: Vec<Hours>,
    pub(super) zone: TimeZone,
    /// They end so much later: an agent ends them at its own place in the splay, or a whole fleet would begin at once.
    pub(super) offset: Duration,
}

impl Quiet {
    /// How long it is still quiet at that time, in whole minutes; none where it always is.
    pub(super) fn left(&self, at: Timestamp) -> Option<SignedDuration> {
        let mut minutes = 0;
        while minutes <= LONGEST_MINUTES {
            let left = SignedDuration::from_mins(minutes);
            match self.certain(at.checked_add(left).ok()?) {
                0 => return Some(left),
                more => minutes += more,
            }
        }
        None
    }

    /// For so many minutes from then on it is quiet for certain; 0 where it is not.
    fn certain(&self, at: Timestamp) -> i64 {
        let before = at.saturating_sub(self.offset).unwrap_or(Timestamp::MIN);
        self.certain_by_hours(at).max(self.certain_by_hours(before))
    }

    fn certain_by_hours(&self, at: Timestamp) -> i64 {
        if self.hours.is_empty() {
            return 0;
        }
        let left = |time| self.hours.iter().filter_map(|hours| hours.left(time)).max();
        let Some(minutes) = local(at, &self.zone).and_then(left) else { return 0 };
        // Where the zone's clock is put forward or back, it is looked at anew.
        let change = self.zone.following(at).next();
        let unchanged = change.map_or(i64::MAX, |change| change.timestamp().duration_since(at).as_mins());
        i64::from(minutes).min(unchanged.max(1))
    }
}

/// The time of the week on the zone's clock.
pub(super) fn local(at: Timestamp, zone: &TimeZone) -> Option<LocalTime> {
    let local = at.to_zoned(zone.clone());
    let day = u8::try_from(local.weekday().to_monday_zero_offset()).ok()?;
    let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).ok()?;
    Some(LocalTime { day, minute })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quiet(offset: u64, hours: &[&str]) -> Quiet {
        // Rules in the POSIX form need no time zone files: Berlin's since 1996.
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        Quiet { hours: hours.iter().map(|hours| hours.parse().unwrap()).collect(), zone, offset: Duration::from_secs(offset) }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Around both changes of summer time.
        #[test]
        fn quiet_hours_end_when_a_look_each_minute_finds_them_ended(
            spring in any::<bool>(),
            second in 0_i64..4 * 86_400,
            offset in prop::sample::select(vec![0_u64, 90, 3_600]),
            hours in prop::sample::select(vec![
                vec!["mon-sun 22:00-06:00"],
                vec!["sat-sun 00:00-24:00"],
                vec!["sun 02:15-02:45", "mon-fri 01:00-03:30"],
                vec!["mon-sun 23:00-01:00", "mon-sun 01:00-02:30", "fri-mon 00:00-24:00"],
            ]),
        ) {
            let quiet = quiet(offset, &hours);
            let from: Timestamp = if spring { "2027-03-26T12:00:07Z" } else { "2027-10-29T12:00:07Z" }.parse().unwrap();
            let at = from + SignedDuration::from_secs(second);
            let is_quiet = |at: Timestamp| [at, at - quiet.offset].into_iter().any(|at| {
                let time = local(at, &quiet.zone).unwrap();
                quiet.hours.iter().any(|hours| hours.contain(time))
            });
            let mut minutes = (0..LONGEST_MINUTES).map(SignedDuration::from_mins);
            prop_assert_eq!(quiet.left(at), minutes.find(|left| !is_quiet(at + *left)));
        }
    }

    #[test]
    fn what_is_always_quiet_has_no_end() {
        assert_eq!(quiet(0, &["mon-sun 00:00-24:00"]).left(Timestamp::UNIX_EPOCH), None);
        assert_eq!(quiet(0, &[]).left(Timestamp::UNIX_EPOCH), Some(SignedDuration::ZERO));
    }
}
