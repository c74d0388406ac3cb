use jiff::Timestamp;
use jiff::tz::TimeZone;
use netsonde_contract::finding::State;

/// Rows in columns that are as wide as their widest cell; no line ends in a space.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|cell| cell.to_uppercase()).collect();
    let all = || std::iter::once(&heading).chain(rows);
    let width = |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line: Vec<String> = cells.collect();
        line.join("  ").trim_end().to_owned() + "\n"
    };
    all().map(line).collect()
}

/// To the minute and in UTC: cases cross time zones.
pub(crate) fn moment(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string()
}

pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// What a run came to, in words.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::AsExpected => "as expected",
        State::Explained => "explained",
        State::Unexplained => "unexplained",
        State::Indeterminate => "indeterminate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [vec!["4711".to_owned(), "x".to_owned()], vec!["1".to_owned(), "äö".to_owned()]];
        assert_eq!(table(&["case", "b"], &rows), "CASE  B\n4711  x\n1     äö\n");
    }
}
