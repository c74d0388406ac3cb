//! Every report of a document that somebody else may have written. `tests/fuzz` makes a target of each way into it, and the test below
//! reads every seed and every input that once broke something.

use crate::text::{self, Depth, Style};
use crate::{escalation, html, markdown};
use netsonde_contract::document::Document;
use netsonde_contract::harmless::is_unsafe;
use serde_json::{Number, Value};
use std::sync::LazyLock;

/// A parser's name, which is also that of its folder of seeds, and the parser. It panics where it breaks its promises.
pub type Parser = (&'static str, fn(&[u8]));

/// The one list.
pub const PARSERS: &[Parser] = &[("report_document", document), ("report_values", values)];

/// Runs of everything that there is to report; `report_values` changes them.
static BASES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    const DOCUMENTS: [&[u8]; 2] = [
        include_bytes!("../../tests/fuzz/seeds/report_document/deep.json"),
        include_bytes!("../../tests/fuzz/seeds/report_document/expired.json"),
    ];
    DOCUMENTS.iter().filter_map(|bytes| serde_json::from_slice(bytes).ok()).collect()
});

/// Changes made to one document.
const MAX_CHANGES: usize = 4;

/// A document as it comes.
fn document(bytes: &[u8]) {
    if let Ok(document) = serde_json::from_slice(bytes) {
        render(&document);
    }
}

/// A real document with some of its values changed: places, kinds of change and texts are the bytes'.
fn values(bytes: &[u8]) {
    let Some((choice, mut rest)) = bytes.split_first() else { return };
    let Some(base) = BASES.get(usize::from(*choice) % BASES.len().max(1)) else { return };
    let mut whole = base.clone();
    for _ in 0..MAX_CHANGES {
        let Some(([high, low, kind, length], after)) = rest.split_first_chunk() else { break };
        let (text, after) = after.split_at_checked(usize::from(*length)).unwrap_or((after, &[]));
        rest = after;
        let mut changed = whole.clone();
        let count = nodes(&changed);
        let mut left = (usize::from(*high) << 8 | usize::from(*low)) % count.max(1);
        if let Some(value) = nth(&mut changed, &mut left) {
            change(value, *kind, &String::from_utf8_lossy(text));
        }
        // A change after which it is no document any more does not count.
        if serde_json::from_value::<Document>(changed.clone()).is_ok() {
            whole = changed;
        }
    }
    if let Ok(document) = serde_json::from_value(whole) {
        render(&document);
    }
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(fields) => fields.values().map(nodes).sum(),
        _ => 0,
    }
}

fn nth<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, left)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, left)),
        _ => None,
    }
}

fn change(value: &mut Value, kind: u8, text: &str) {
    const NUMBERS: [i128; 8] =
        [0, 1, -1, u8::MAX as i128, u32::MAX as i128, i64::MAX as i128, i64::MIN as i128, u64::MAX as i128];
    match value {
        Value::String(old) if kind.is_multiple_of(2) => *old = text.to_owned(),
        Value::String(old) => old.push_str(text),
        Value::Number(_) if kind % 9 == 8 => *value = Number::from_f64(f64::MAX).map_or(Value::Null, Value::Number),
        Value::Number(_) => *value = Number::from_i128(NUMBERS[usize::from(kind % 8)]).map_or(Value::Null, Value::Number),
        Value::Bool(old) => *old = !*old,
        Value::Array(items) if kind.is_multiple_of(2) => items.clear(),
        Value::Array(items) => {
            // The same a few times over.
            for _ in 0..kind % 16 {
                items.extend(items.first().cloned());
            }
        }
        Value::Object(_) => *value = Value::Null,
        Value::Null => *value = Value::from(text),
    }
}

/// Every report. What is in the document may say anything, and must steer no terminal and be no markup.
fn render(document: &Document) {
    let mut reports = Vec::new();
    for (width, detail, explain) in [(80, true, true), (1, false, true)] {
        let depth = Depth { detail, explain };
        reports.push(text::render(document, Style { colour: false, width, depth }));
    }
    let coloured = text::render(document, Style { colour: true, width: 80, depth: Depth { detail: true, explain: true } });
    assert!(!coloured.contains("\x1b]") && !coloured.contains('\u{9b}'));
    reports.push(markdown::render(document));
    reports.push(escalation::markdown(document));
    for page in [html::page(document), escalation::html(document)] {
        assert!(!page.contains("<script") && !page.contains("<img"), "markup escaped its place");
        reports.push(page);
    }
    for report in reports {
        let stray: Vec<char> = report.chars().filter(|c| *c != '\n' && is_unsafe(*c)).collect();
        assert!(stray.is_empty(), "{stray:?}");
    }
}

#[cfg(test)]
#[path = "../../tests/fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parser_reads_its_seeds_and_what_once_broke_it() {
        replay::all(PARSERS);
    }

    #[test]
    fn the_documents_that_are_changed_are_documents() {
        assert!(BASES.len() == 2 && BASES.iter().all(|base| serde_json::from_value::<Document>(base.clone()).is_ok()));
    }
}
