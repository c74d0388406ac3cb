use super::{Column, DIM, PLAIN, Sheet, heading, status_paint};
use crate::{facts, units, words};
use netsonde_contract::document::Document;
use netsonde_contract::outcome::{Outcome, Status};

/// Longest check name that the table makes room for.
const MAX_NAME: usize = 18;
/// `999 ms`, `1.24 s`: what nearly every time takes.
const TIME: usize = 6;

/// One line a check: name, status, time, what was seen.
pub(super) fn checks(sheet: &mut Sheet, document: &Document) {
    if document.outcomes.is_empty() {
        return;
    }
    heading(sheet, "Checks");
    let widest = |of: &dyn Fn(&Outcome) -> usize| document.outcomes.iter().map(of).max().unwrap_or(0);
    let name_width = widest(&|outcome| outcome.check.as_str().chars().count()).min(MAX_NAME);
    let status_width = widest(&|outcome| words::status(outcome.status).len());
    for outcome in &document.outcomes {
        let time = time(outcome);
        let status = words::status(outcome.status);
        let columns = [
            Column::new("", 0),
            Column::new(outcome.check.as_str(), name_width),
            Column::new(status, status_width).paint(status_paint(outcome)),
            Column::new(&time, TIME).right(),
        ];
        let fact = facts::outcome(outcome);
        let fact_paint = if outcome.status == Status::Skipped { DIM } else { PLAIN };
        if sheet.is_narrow() {
            sheet.hanging(&columns, 0, PLAIN, "");
            sheet.paragraph(4, fact_paint, &fact);
        } else {
            sheet.hanging(&columns, 2 + name_width + 2 + status_width + 2 + TIME + 2, fact_paint, &fact);
        }
    }
    if let Some(note) = words::check_names(document) {
        sheet.paragraph(if sheet.is_narrow() { 0 } else { 2 }, DIM, note);
    }
}

/// How long the check took; nothing for one that never ran.
pub(super) fn time(outcome: &Outcome) -> String {
    if outcome.status == Status::Skipped { String::new() } else { units::duration(outcome.took_us) }
}
