mod checks;
mod compared;
mod detail;
mod findings;
mod past;
mod reasoning;
mod sheet;

use crate::{units, words};
use anstyle::{AnsiColor, Style as Paint};
use netsonde_contract::document::Document;
use netsonde_contract::finding::{Severity, State};
use netsonde_contract::history::History;
use netsonde_contract::outcome::Outcome;
use netsonde_contract::outcome::Status;
use netsonde_contract::target::Target;
use sheet::{Column, PLAIN, Sheet};

/// How the terminal wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
    /// Columns of the terminal; 80 where it is none.
    pub width: usize,
    pub depth: Depth,
}

/// How much is shown beside the findings and the summary of each check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Every observation.
    pub detail: bool,
    /// How the conclusion was reached, as a tree.
    pub explain: bool,
}

const BOLD: Paint = Paint::new().bold();
const DIM: Paint = Paint::new().dimmed();
const GREEN: Paint = AnsiColor::Green.on_default();
const YELLOW: Paint = AnsiColor::Yellow.on_default();
const RED: Paint = AnsiColor::Red.on_default();
const CYAN: Paint = AnsiColor::Cyan.on_default();

/// What a person sees at the end of a run: the verdict, findings, gaps, checks. Ends with a newline.
///
/// No line is longer than the width but for words that cannot be broken, and none ends in a space. Colour codes stand only where
/// asked for; control characters from the network never pass.
pub fn render(document: &Document, style: Style) -> String {
    render_after(document, None, style)
}

/// The same, with what was measured before the run.
pub fn render_after(document: &Document, history: Option<&History>, style: Style) -> String {
    let mut sheet = Sheet::new(style.width, style.colour);
    head(&mut sheet, document);
    if let Some(history) = history {
        past::past(&mut sheet, history);
    }
    findings::findings(&mut sheet, document, style.depth.detail);
    findings::unexplained(&mut sheet, document, style.depth.detail);
    findings::not_measured(&mut sheet, document);
    compared::compared(&mut sheet, document);
    if style.depth.explain {
        reasoning::reasoning(&mut sheet, document);
    }
    checks::checks(&mut sheet, document);
    if style.depth.detail {
        detail::observations(&mut sheet, document);
        heading(&mut sheet, "Environment");
        pairs(&mut sheet, 2, &words::environment(document));
    }
    foot(&mut sheet, document);
    sheet.finish()
}

fn head(sheet: &mut Sheet, document: &Document) {
    let targets: Vec<String> = document.run.targets.iter().map(Target::shown).collect();
    let run = &document.run;
    let case = run.case.as_ref().map_or(String::new(), |case| format!(", case {case}"));
    sheet.paragraph(0, BOLD, &format!("netsonde {}  {}", run.set.name, targets.join(", ")));
    let (began, took) = (units::moment(run.began), units::duration(run.took_us));
    sheet.paragraph(0, DIM, &format!("measured on {} at {began}, took {took}{case}", document.environment.hostname));
    sheet.blank();
    let paint = match document.state {
        State::AsExpected => GREEN,
        State::Explained | State::Unexplained => RED,
        State::Indeterminate => YELLOW,
    };
    sheet.paragraph(0, paint.bold(), &words::verdict(document));
    for limit in words::limits(document) {
        sheet.paragraph(0, YELLOW, &limit);
    }
}

fn foot(sheet: &mut Sheet, document: &Document) {
    let Some(bundle) = &document.bundle else { return };
    let mut lines = vec![("bundle", bundle.id.short().to_owned())];
    lines.extend(bundle.path.clone().map(|path| ("file", path)));
    lines.extend(bundle.case_url.clone().map(|url| ("case page", url)));
    sheet.blank();
    pairs(sheet, 0, &lines);
}

fn heading(sheet: &mut Sheet, text: &str) {
    sheet.blank();
    sheet.paragraph(0, BOLD, text);
}

/// Names and values in two columns; one above the other where it is narrow.
fn pairs(sheet: &mut Sheet, indent: usize, pairs: &[(&str, String)]) {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in pairs {
        entry(sheet, indent, width, name, value);
    }
}

/// `label  text`, from column `indent`; `label: text` where it is narrow.
fn entry(sheet: &mut Sheet, indent: usize, label_width: usize, label: &str, text: &str) {
    if sheet.is_narrow() {
        sheet.paragraph(indent.min(2), PLAIN, &format!("{label}: {text}"));
    } else {
        let columns = [Column::new("", indent).space(0), Column::new(label, label_width).paint(DIM)];
        sheet.hanging(&columns, indent + label_width + 2, PLAIN, text);
    }
}

fn severity_paint(severity: Severity) -> Paint {
    match severity {
        Severity::Problem => RED.bold(),
        Severity::Degraded => YELLOW.bold(),
        Severity::Notice => CYAN.bold(),
    }
}

/// A supporting check that fails decides nothing, so it does not shout.
fn status_paint(outcome: &Outcome) -> Paint {
    match outcome.status {
        Status::Succeeded => GREEN,
        Status::Failed | Status::TimedOut if outcome.required => RED,
        Status::Failed | Status::TimedOut | Status::NotMeasured => YELLOW,
        Status::Skipped => DIM,
    }
}
