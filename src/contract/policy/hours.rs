use std::fmt;
use std::str::FromStr;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A time of a week, on the clock of the policy's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// From 0 for Monday.
    pub day: u8,
    /// Minutes since midnight.
    pub minute: u16,
}

/// `mon-fri 08:00-18:00`: some days of the week, from one time to another. `22:00-06:00` goes on into the next day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    first_day: u8,
    last_day: u8,
    from: u16,
    to: u16,
}

impl Hours {
    pub fn contain(&self, time: LocalTime) -> bool {
        self.left(time).is_some()
    }

    /// For so many minutes on the zone's clock, at least 1, it is within them yet; none outside them.
    pub fn left(&self, time: LocalTime) -> Option<u16> {
        /// A day.
        const DAY: u16 = 24 * 60;
        let on = |day: u8| {
            let (first, last) = (self.first_day, self.last_day);
            if first <= last { (first..=last).contains(&day) } else { day >= first || day <= last }
        };
        if self.from < self.to {
            return (on(time.day) && (self.from..self.to).contains(&time.minute)).then(|| self.to - time.minute);
        }
        let day_before = (time.day + 6) % 7;
        if on(time.day) && time.minute >= self.from {
            return Some(DAY.saturating_sub(time.minute) + self.to);
        }
        (on(day_before) && time.minute < self.to).then(|| self.to - time.minute)
    }
}

impl FromStr for Hours {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (days, times) = text.trim().split_once(' ').ok_or(())?;
        let day = |name: &str| DAYS.iter().position(|day| *day == name.to_ascii_lowercase()).map(|place| place as u8).ok_or(());
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (from, to) = times.trim().split_once('-').ok_or(())?;
        let hours = Self { first_day: day(first)?, last_day: day(last)?, from: minutes(from)?, to: minutes(to)? };
        if hours.from == hours.to || hours.from == 24 * 60 { Err(()) } else { Ok(hours) }
    }
}

/// `08:00` to `24:00`, as minutes.
fn minutes(text: &str) -> Result<u16, ()> {
    let (hours, minutes) = text.split_once(':').ok_or(())?;
    let number = |digits: &str| if digits.len() == 2 { digits.parse::<u16>().map_err(|_| ()) } else { Err(()) };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if minutes < 60 && hours * 60 + minutes <= 24 * 60 { Ok(hours * 60 + minutes) } else { Err(()) }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |day: u8| DAYS.get(usize::from(day)).copied().unwrap_or_default();
        f.write_str(day(self.first_day))?;
        if self.last_day != self.first_day {
            write!(f, "-{}", day(self.last_day))?;
        }
        write!(f, " {:02}:{:02}-{:02}:{:02}", self.from / 60, self.from % 60, self.to / 60, self.to % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u8, hour: u16, minute: u16) -> LocalTime {
        LocalTime { day, minute: hour * 60 + minute }
    }

    #[test]
    fn hours_begin_and_end_to_the_minute() {
        let hours: Hours = "mon-fri 08:00-18:00".parse().unwrap();
        assert!(hours.contain(at(0, 8, 0)) && hours.contain(at(4, 17, 59)));
        assert!(!hours.contain(at(4, 18, 0)) && !hours.contain(at(0, 7, 59)) && !hours.contain(at(5, 12, 0)));
        assert_eq!(hours.to_string(), "mon-fri 08:00-18:00");
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_began() {
        let night: Hours = "fri-sun 22:00-06:00".parse().unwrap();
        assert!(night.contain(at(4, 23, 0)) && night.contain(at(5, 5, 59)) && night.contain(at(0, 5, 0)));
        assert!(!night.contain(at(4, 5, 0)) && !night.contain(at(0, 23, 0)));
        assert!("sat-mon 00:00-24:00".parse::<Hours>().unwrap().contain(at(0, 23, 59)));
        for bad in ["", "mon", "mon 8-18", "mon 08:00-08:00", "mon 25:00-26:00", "day 08:00-09:00"] {
            assert!(bad.parse::<Hours>().is_err(), "{bad}");
        }
    }
}
