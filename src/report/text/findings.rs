use super::{BOLD, Column, DIM, PLAIN, RED, Sheet, YELLOW, entry, heading, severity_paint};
use crate::{compared, words};
use anstyle::Style as Paint;
use netsonde_contract::document::Document;
use netsonde_contract::finding::{Finding, Rejected};
use netsonde_contract::id::ObservationId;

/// As wide as the longest label of an entry, `confidence`.
const LABEL: usize = 10;
/// Room for the longest severity; `UNEXPLAINED`, which is longer, stands on a line of its own.
const MARK: usize = 8;

pub(super) fn findings(sheet: &mut Sheet, document: &Document, evidence: bool) {
    for finding in &document.findings {
        sheet.blank();
        let paint = severity_paint(finding.severity);
        marked(sheet, &words::severity(finding.severity).to_uppercase(), paint, &finding.sentence);
        if document.run.targets.len() > 1
            && let Some(target) = &finding.target
        {
            line(sheet, "target", target);
        }
        rest_of(sheet, finding, evidence);
    }
}

fn rest_of(sheet: &mut Sheet, finding: &Finding, evidence: bool) {
    let place = words::place(&finding.place);
    if !place.is_empty() {
        line(sheet, "where", &place);
    }
    line(sheet, "confidence", &words::confidence(finding.confidence));
    line(sheet, "next step", &format!("{}: {}", words::who(finding.next_step.who), finding.next_step.action));
    ruled_out(sheet, &finding.rejected, evidence);
    if let Some(says) = &finding.control {
        line(sheet, "control", &compared::says(says));
    }
    if !finding.suppressed.is_empty() {
        line(sheet, "explains", &finding.suppressed.join(", "));
    }
    if let Some(settled_by) = &finding.settled_by {
        line(sheet, "settled by", settled_by);
    }
    for (number, open) in words::still_open(finding).iter().enumerate() {
        let label = if number == 0 || sheet.is_narrow() { "still open" } else { "" };
        line(sheet, label, open);
    }
    if evidence && !finding.evidence.is_empty() {
        line(sheet, "evidence", &ids(&finding.evidence));
    }
    line(sheet, "more", &format!("netsonde explain {}", finding.cause));
}

pub(super) fn unexplained(sheet: &mut Sheet, document: &Document, evidence: bool) {
    for failure in &document.unexplained {
        sheet.blank();
        let paint = if failure.required { RED.bold() } else { YELLOW.bold() };
        marked(sheet, "UNEXPLAINED", paint, &format!("{}: {}", failure.check, failure.what));
        if let Some(step) = &failure.next_step {
            line(sheet, "next step", &format!("{}: {}", words::who(step.who), step.action));
        }
        ruled_out(sheet, &failure.ruled_out, evidence);
    }
}

pub(super) fn not_measured(sheet: &mut Sheet, document: &Document) {
    if document.not_measured.is_empty() {
        return;
    }
    heading(sheet, "Not measured");
    for gap in &document.not_measured {
        let needed = if gap.required { " (needed for a verdict)" } else { "" };
        sheet.paragraph(2, PLAIN, &format!("{}: {}{needed}", gap.check, gap.why));
        if let Some(grant) = &gap.grant {
            sheet.hanging(&[Column::new("", 4).space(0), Column::new("to allow it:", 12).space(1).paint(DIM)], 17, BOLD, grant);
        }
    }
}

/// The mark and the sentence beside it; above it where it is narrow or the mark is long.
fn marked(sheet: &mut Sheet, mark: &str, paint: Paint, sentence: &str) {
    if sheet.is_narrow() {
        sheet.paragraph(0, paint, mark);
        sheet.paragraph(0, BOLD, sentence);
    } else {
        sheet.hanging(&[Column::new(mark, MARK).paint(paint)], MARK + 2, BOLD, sentence);
    }
}

fn line(sheet: &mut Sheet, label: &str, text: &str) {
    entry(sheet, MARK + 2, LABEL, label, text);
}

fn ruled_out(sheet: &mut Sheet, rejected: &[Rejected], evidence: bool) {
    for (number, rejected) in rejected.iter().enumerate() {
        let because =
            if evidence && !rejected.evidence.is_empty() { format!(" [{}]", ids(&rejected.evidence)) } else { String::new() };
        // The label stands once in a column, but each line must say what it is where there is no column.
        let label = if number == 0 || sheet.is_narrow() { "ruled out" } else { "" };
        line(sheet, label, &format!("{}: {}{because}", rejected.cause, rejected.reason));
    }
}

fn ids(ids: &[ObservationId]) -> String {
    ids.iter().map(ObservationId::as_str).collect::<Vec<_>>().join(", ")
}
