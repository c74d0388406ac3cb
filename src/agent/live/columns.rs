use super::track::Track;
use netsonde_contract::harmless::clean;

/// An address gets at least so much room, which IPv4 fits in.
const ADDRESS_LEAST: usize = 15;
/// And at most so much, which IPv6 fits in; a longer name is cut.
const ADDRESS_MOST: usize = 45;
/// Fewer bars than this show nothing.
const SPARKLINE_LEAST: usize = 6;
/// More bars are not kept by a wide margin of any window.
const SPARKLINE_MOST: usize = 60;
/// Hop number and the space behind it.
const NUMBER: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Sent,
    Loss,
    Interval,
    Last,
    Best,
    Median,
    Worst,
    Jitter,
}

impl Column {
    /// From left to right.
    const IN_ORDER: [Self; 8] =
        [Self::Sent, Self::Loss, Self::Interval, Self::Last, Self::Best, Self::Median, Self::Worst, Self::Jitter];
    /// Which go first into a narrow window.
    const BY_WORTH: [Self; 8] =
        [Self::Loss, Self::Last, Self::Median, Self::Sent, Self::Interval, Self::Worst, Self::Best, Self::Jitter];

    fn width(self) -> usize {
        match self {
            Self::Sent => 5,
            Self::Loss => 6,
            Self::Interval => 8,
            _ => 7,
        }
    }

    fn head(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Loss => "loss%",
            Self::Interval => "(95%)",
            Self::Last => "last",
            Self::Best => "best",
            Self::Median => "median",
            Self::Worst => "worst",
            Self::Jitter => "jitter",
        }
    }

    fn of(self, track: &Track) -> String {
        let time = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), milliseconds);
        let percent = |share: f64| (share * 100.0).round();
        match self {
            Self::Sent => track.sent().to_string(),
            Self::Loss if track.sent() == 0 => "-".to_owned(),
            Self::Loss => percent(track.loss().share).to_string(),
            Self::Interval if track.sent() == 0 => String::new(),
            Self::Interval => format!("{}–{}", percent(track.loss().low), percent(track.loss().high)),
            Self::Last => time(track.last_us()),
            Self::Best => time(track.best_us()),
            Self::Median => time(track.median_us()),
            Self::Worst => time(track.worst_us()),
            Self::Jitter => time(track.jitter_us()),
        }
    }
}

/// Which columns fit, and how wide they are.
#[derive(Debug)]
pub(super) struct Columns {
    address: usize,
    shown: Vec<Column>,
    sparkline: usize,
}

impl Columns {
    /// For a window and the longest label that it is to show.
    pub(super) fn fit(width: usize, longest: usize) -> Self {
        let mut address = longest.clamp(ADDRESS_LEAST, ADDRESS_MOST);
        let least = NUMBER + Column::Loss.width() + Column::Last.width();
        address = address.min(width.saturating_sub(least));
        let mut left = width.saturating_sub(NUMBER + address);
        let mut fitting = Vec::new();
        for column in Column::BY_WORTH {
            if column.width() > left {
                break;
            }
            left -= column.width();
            fitting.push(column);
        }
        let shown = Column::IN_ORDER.into_iter().filter(|column| fitting.contains(column)).collect();
        // A space stands before the bars.
        let sparkline = if left > SPARKLINE_LEAST { (left - 1).min(SPARKLINE_MOST) } else { 0 };
        Self { address, shown, sparkline }
    }

    pub(super) fn head(&self, first: &str) -> String {
        let mut line = format!("{:>3} {}", "", fitted(first, self.address));
        for column in &self.shown {
            line.push_str(&format!("{:>1$}", column.head(), column.width()));
        }
        if self.sparkline > 0 {
            line.push_str(if self.sparkline < 12 { " recent" } else { " last replies" });
        }
        line
    }

    pub(super) fn row(&self, number: &str, label: &str, track: &Track) -> String {
        self.line(number, label, track, true)
    }

    /// The same where nobody knows whether what is unanswered was lost.
    pub(super) fn row_without_loss(&self, number: &str, label: &str, track: &Track) -> String {
        self.line(number, label, track, false)
    }

    fn line(&self, number: &str, label: &str, track: &Track, tells_loss: bool) -> String {
        let mut line = format!("{number:>3} {}", fitted(label, self.address));
        for column in &self.shown {
            let text = match column {
                Column::Loss if !tells_loss => "?".to_owned(),
                Column::Interval if !tells_loss => String::new(),
                _ => column.of(track),
            };
            line.push_str(&format!("{text:>0$}", column.width()));
        }
        if self.sparkline > 0 {
            line.push(' ');
            line.push_str(&track.sparkline(self.sparkline));
        }
        line
    }
}

/// Text of elsewhere on exactly so many columns; what is too long ends in an ellipsis.
fn fitted(text: &str, width: usize) -> String {
    let text = clean(text);
    if text.chars().count() > width {
        return text.chars().take(width.saturating_sub(1)).chain(['…']).collect();
    }
    format!("{text:<width$}")
}

/// Microseconds as milliseconds on at most six columns.
pub(super) fn milliseconds(us: u64) -> String {
    let ms = us as f64 / 1_000.0;
    match us {
        0..10_000 => format!("{ms:.2}"),
        10_000..1_000_000 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}
