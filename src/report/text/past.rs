use super::sheet::{Column, PLAIN, Sheet};
use super::{BOLD, DIM, heading};
use crate::{past, sparkline, units};
use netsonde_contract::history::History;

/// A line of this many characters fits beside a check's name on most terminals.
const LINE: usize = 60;
/// The longest name that the lines are aligned by.
const LONGEST_NAME: usize = 24;
/// More changes than these stand in the bundle.
const MOST_CHANGES: usize = 10;

/// What was measured before: when it began, a line a check, and the last changes.
pub(super) fn past(sheet: &mut Sheet, history: &History) {
    let checks: Vec<_> = history.checks.iter().filter(|check| !check.samples.is_empty()).collect();
    if checks.is_empty() {
        return;
    }
    heading(sheet, "Before this run");
    for sentence in past::began(history) {
        sheet.paragraph(2, BOLD, &sentence);
    }
    let width = checks.iter().map(|check| check.series.check.chars().count()).max().unwrap_or(0).min(LONGEST_NAME);
    for check in checks {
        let line = sparkline::line(&past::points(check), LINE.min(sheet.width().saturating_sub(width + 4).max(8)));
        if sheet.is_narrow() {
            sheet.paragraph(2, DIM, &check.series.check);
            sheet.paragraph(2, PLAIN, &line);
        } else {
            let columns = [Column::new("", 2).space(0), Column::new(&check.series.check, width).paint(DIM)];
            sheet.hanging(&columns, width + 4, PLAIN, &line);
        }
    }
    for change in history.changes.iter().rev().take(MOST_CHANGES) {
        sheet.paragraph(2, PLAIN, &format!("{}: {}", units::moment(change.at), past::words(change)));
    }
}
