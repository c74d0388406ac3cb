//! A note for whoever the case is handed on to: symptom, cause, what was tried and ruled out, where, when, how to repeat it, and what
//! is still open. It says nothing that the bundle does not hold.

/// The commands that measure the same again.
mod commands;

use crate::html::write::Writer;
use crate::html::{POLICY, STYLE};
use crate::markdown::span::{code, prose};
use crate::{facts, units, words};
use netsonde_contract::document::Document;
use netsonde_contract::finding::{Finding, Severity};
use netsonde_contract::id::ObservationId;
use netsonde_contract::outcome::{Outcome, Status};

/// The exact commands that repeat the run, each one line for a POSIX shell.
pub fn commands(document: &Document) -> Vec<String> {
    commands::of(document)
}

/// One part of the note.
struct Section {
    title: &'static str,
    items: Vec<Item>,
}

enum Item {
    Prose(String),
    /// A name, and a value that is to be read letter by letter.
    Value(String, String),
    Command(String),
}

/// The note as markdown, for a ticket. Ends with a newline.
pub fn markdown(document: &Document) -> String {
    let mut lines = vec![format!("## {}", prose(&title(document)))];
    for section in sections(document) {
        lines.extend([String::new(), format!("### {}", section.title), String::new()]);
        lines.extend(section.items.iter().map(|item| match item {
            Item::Prose(text) => format!("- {}", prose(text)),
            Item::Value(name, value) => format!("- {}: {}", prose(name), code(value)),
            Item::Command(command) => format!("- {}", code(command)),
        }));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The note as a page that prints well: no scripts, nothing loaded from elsewhere.
pub fn html(document: &Document) -> String {
    let mut html = Writer::default();
    html.own("<!DOCTYPE html>\n<html lang=\"en\">\n");
    html.element("head", &[], |html| {
        html.own("<meta charset=\"utf-8\">\n");
        html.element("meta", &[("http-equiv", "Content-Security-Policy"), ("content", POLICY)], |_| {});
        html.leaf("title", &[], &title(document));
        html.element("style", &[], |html| {
            html.own(STYLE);
            html.own("body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}code{overflow-wrap:anywhere}");
        });
    });
    html.element("body", &[], |html| {
        html.leaf("h1", &[], &title(document));
        for section in sections(document) {
            html.element("section", &[], |html| {
                html.leaf("h2", &[], section.title);
                html.element("ul", &[], |html| {
                    section.items.iter().for_each(|item| html.element("li", &[], |html| entry(html, item)))
                });
            });
        }
    });
    html.own("</html>\n");
    html.finish()
}

fn entry(html: &mut Writer, item: &Item) {
    match item {
        Item::Prose(text) => html.prose(text),
        Item::Value(name, value) => {
            html.text(&format!("{name}: "));
            html.leaf("code", &[], value);
        }
        Item::Command(command) => html.leaf("code", &[], command),
    }
}

fn title(document: &Document) -> String {
    let targets: Vec<String> = document.run.targets.iter().map(ToString::to_string).collect();
    let about = if targets.is_empty() { document.environment.hostname.clone() } else { targets.join(", ") };
    let case = document.run.case.as_ref().map_or(String::new(), |case| format!("Case {case}: "));
    format!("{case}{about}: {}", words::verdict(document))
}

fn sections(document: &Document) -> Vec<Section> {
    let all = [
        ("Symptom", symptom(document)),
        ("Cause", document.findings.iter().flat_map(cause).collect()),
        ("Ruled out, and by what", ruled_out(document)),
        ("What was tried", document.outcomes.iter().map(|outcome| tried(document, outcome)).collect()),
        ("Where and when", environment(document)),
        ("To repeat it", commands::of(document).into_iter().map(Item::Command).collect()),
        ("Open questions", open(document)),
    ];
    all.into_iter().filter(|(_, items)| !items.is_empty()).map(|(title, items)| Section { title, items }).collect()
}

fn symptom(document: &Document) -> Vec<Item> {
    let failed = |outcome: &&Outcome| matches!(outcome.status, Status::Failed | Status::TimedOut);
    let said = |outcome: &Outcome| Item::Prose(format!("{}: {}", outcome.check, facts::outcome(outcome)));
    document.outcomes.iter().filter(failed).map(said).collect()
}

fn cause(finding: &Finding) -> Vec<Item> {
    let certainty = words::confidence(finding.confidence);
    let head = format!("{} ({}), {certainty}: {}", finding.cause, words::severity(finding.severity), finding.sentence);
    let mut items = vec![Item::Prose(head)];
    let place = words::place(&finding.place);
    if !place.is_empty() {
        items.push(Item::Value("where".to_owned(), place));
    }
    if finding.severity > Severity::Notice {
        items.push(Item::Prose(format!("Next: {}: {}", words::who(finding.next_step.who), finding.next_step.action)));
    }
    items.push(Item::Value("evidence".to_owned(), ids(&finding.evidence)));
    items
}

fn ruled_out(document: &Document) -> Vec<Item> {
    let of_findings = document.findings.iter().flat_map(|finding| &finding.rejected);
    let of_failures = document.unexplained.iter().flat_map(|failure| &failure.ruled_out);
    let said = |rejected: &netsonde_contract::finding::Rejected| {
        Item::Prose(format!("{}: {} [{}]", rejected.cause, rejected.reason, ids(&rejected.evidence)))
    };
    of_findings.chain(of_failures).map(said).collect()
}

fn tried(document: &Document, outcome: &Outcome) -> Item {
    let since = jiff::SignedDuration::from_micros(i64::try_from(outcome.began_us).unwrap_or(i64::MAX));
    // A time that no calendar holds comes from a foreign bundle; the run's own is the nearest truth.
    let at = document.run.began.checked_add(since).unwrap_or(document.run.began);
    let (check, kind, status) = (&outcome.check, outcome.kind.name(), words::status(outcome.status));
    Item::Prose(format!(
        "{} {check} ({kind}, {status}, {}): {}",
        units::moment(at),
        units::duration(outcome.took_us),
        facts::outcome(outcome)
    ))
}

fn environment(document: &Document) -> Vec<Item> {
    let mut pairs = words::run(document);
    for pair in words::environment(document) {
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    if let Some(bundle) = &document.bundle {
        pairs.push(("bundle", bundle.id.to_string()));
    }
    pairs.into_iter().map(|(name, value)| Item::Value(name.to_owned(), value)).collect()
}

fn open(document: &Document) -> Vec<Item> {
    let unsettled = document.findings.iter().filter_map(|finding| {
        Some(Item::Prose(format!("{} would be settled by: {}", finding.cause, finding.settled_by.as_ref()?)))
    });
    let possible = document.findings.iter().flat_map(|finding| {
        let open = words::still_open(finding).into_iter();
        open.map(|open| Item::Prose(format!("beside {}: {open}", finding.cause)))
    });
    let unexplained =
        document.unexplained.iter().map(|failure| Item::Prose(format!("{} is unexplained: {}", failure.check, failure.what)));
    let gaps = document.not_measured.iter().map(|gap| {
        let grant = gap.grant.as_ref().map_or(String::new(), |grant| format!(" To allow it: {grant}"));
        Item::Prose(format!("{} could not be measured: {}.{grant}", gap.check, gap.why))
    });
    unsettled.chain(possible).chain(unexplained).chain(gaps).collect()
}

fn ids(ids: &[ObservationId]) -> String {
    ids.iter().map(ObservationId::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn the_note_holds_what_a_stranger_needs() {
        let document = sample::document(sample::refused());
        let note = markdown(&document);
        for wanted in ["### Symptom", "### Cause", "tcp.refused", "### Ruled out", "UTC", "netsonde run", "### Open questions"] {
            assert!(note.contains(wanted), "{wanted} is missing in\n{note}");
        }
        let page = html(&document);
        assert!(page.contains("<h2>Cause</h2>") && page.contains("tcp.refused") && !page.contains("<script"));
    }

    #[test]
    fn a_servers_words_become_no_markup() {
        let mut value = sample::refused();
        value["unexplained"] = serde_json::json!([{ "check": "x", "required": true, "what": "<img src=x> [a](http://evil.example)\u{1b}[2J", "ruled_out": [] }]);
        let document = sample::document(value);
        assert!(!html(&document).contains("<img") && !markdown(&document).contains("<img"));
        assert!(markdown(&document).contains("`[a](http"), "what would be a link is a code span");
        assert!(!markdown(&document).contains('\u{1b}') && !html(&document).contains('\u{1b}'));
    }
}
