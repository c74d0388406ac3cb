//! Every report of every sample run against the files in `golden/`. To write them anew after a change that was meant, and read the
//! difference: `NETSONDE_WRITE_GOLDEN=1 cargo test -p netsonde-report golden`.

use crate::text::Depth;
use crate::{html, markdown, text};
use crate::{past, sample};
use netsonde_contract::document::Document;
use serde_json::Value;
use std::path::Path;

const DEEP: Depth = Depth { detail: true, explain: false };

/// Name of a golden file and the report that it holds.
fn reports(name: &str, document: &Document) -> Vec<(String, String)> {
    let style = text::Style { colour: false, width: 100, depth: Depth::default() };
    vec![
        (format!("{name}.txt"), text::render(document, style)),
        (format!("{name}.detail.txt"), text::render(document, text::Style { depth: DEEP, ..style })),
        (
            format!("{name}.explain.txt"),
            text::render(document, text::Style { depth: Depth { explain: true, detail: false }, ..style }),
        ),
        (format!("{name}.narrow.txt"), text::render(document, text::Style { width: 40, ..style })),
        (format!("{name}.md"), markdown::render(document)),
        (format!("{name}.html"), html::page(document)),
    ]
}

/// The reports of a run that a schedule made, with what was measured before it.
fn reports_after(name: &str, document: &Document) -> Vec<(String, String)> {
    let (history, style) = (past::tests::sample(), text::Style { colour: false, width: 100, depth: Depth::default() });
    vec![
        (format!("{name}.after.txt"), text::render_after(document, Some(&history), style)),
        (format!("{name}.after.narrow.txt"), text::render_after(document, Some(&history), text::Style { width: 40, ..style })),
        (format!("{name}.after.html"), html::page_after(document, Some(&history))),
    ]
}

#[test]
fn golden_reports_are_as_they_were_judged() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let write = std::env::var_os("NETSONDE_WRITE_GOLDEN").is_some();
    let mut changed = Vec::new();
    for (name, document) in sample::all() {
        let after = if name == "silent" { reports_after(name, &document) } else { Vec::new() };
        for (file, report) in reports(name, &document).into_iter().chain(after) {
            let path = folder.join(&file);
            if write {
                std::fs::write(&path, &report).unwrap();
            } else if std::fs::read_to_string(&path).unwrap_or_default() != report {
                changed.push(file);
            }
        }
    }
    assert!(changed.is_empty(), "changed: {changed:?}; NETSONDE_WRITE_GOLDEN=1 writes them anew, then read the difference");
}

/// What a server might send: HTML, terminal controls in both encodings, direction overrides, markdown, attribute ends.
const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(2)> \"'>&\x1b[31m\x1b]0;t\x07\u{9b}2J\u{202e}\u{200b}\r\n\n# h\n|`*_[a](javascript:x) @all https://evil.example/ \u{7f}";

/// Puts the hostile text into every free text of a document: all that neither is an enumeration nor has a form of its own.
fn poison(value: &mut Value, key: &str) {
    const FREE: &[&str] = &[
        "sentence",
        "reason_text",
        "action",
        "what",
        "why",
        "grant",
        "text",
        "host",
        "hostname",
        "kernel",
        "os_release",
        "name",
        "data",
        "value",
        "url",
        "location",
        "subject",
        "issuer",
        "names",
        "key",
        "signature",
        "cipher",
        "group",
        "alpn",
        "protocol_name",
        "wanted",
        "record_type",
        "rcode",
        "read_from",
        "search",
        "addresses_text",
        "limits_hit",
        "settled_by",
        "suppressed",
        "path",
        "case_url",
        "check",
        "id",
        "method",
        "version",
        "clock",
        "server_name",
        "article",
        "target_text",
        "greeting",
        "missing_issuer",
        "issuer_url",
        "authorities",
        "leaf_subject",
        "ciphers",
        "reference_id",
        "kiss",
        "nsid",
        "zone",
        "stopped",
        "hosts_file",
        "order",
        "tried",
        "own_name_servers",
    ];
    match value {
        Value::String(text) if FREE.contains(&key) && !is_id(text) => *text = format!("{text}{HOSTILE}"),
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, key)),
        Value::Object(fields) => fields.iter_mut().for_each(|(key, field)| poison(field, key)),
        _ => {}
    }
}

/// Whether this has the form of a bundle's or an order's id, which is read as nothing else.
fn is_id(text: &str) -> bool {
    text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn poisoned() -> Vec<Document> {
    let documents = [sample::expired(), sample::refused(), sample::healthy(), sample::silent(), sample::deep()];
    let poisoned = documents.into_iter().map(|mut value| {
        poison(&mut value, "");
        sample::document(value)
    });
    poisoned.collect()
}

#[test]
fn a_server_cannot_steer_the_terminal() {
    for document in poisoned() {
        for detail in [false, true] {
            let shown =
                text::render(&document, text::Style { colour: false, width: 80, depth: Depth { detail, explain: detail } });
            let stray: Vec<char> =
                shown.chars().filter(|c| c.is_control() && *c != '\n' || matches!(c, '\u{202e}' | '\u{200b}')).collect();
            assert!(stray.is_empty(), "{stray:?}");
            assert!(shown.contains("\\x1b[31m"), "the hostile text is shown, written out");
        }
        let coloured = text::render(&document, text::Style { colour: true, width: 80, depth: DEEP });
        assert!(!coloured.contains("\x1b]0") && !coloured.contains('\x07') && !coloured.contains('\u{9b}'));
    }
}

#[test]
fn a_server_cannot_put_markup_into_the_page() {
    for document in poisoned() {
        let page = html::page(&document);
        assert!(!page.contains("<script") && !page.contains("<img"), "markup escaped its place");
        assert!(page.contains("&lt;script&gt;"), "the hostile text is shown");
        assert!(!page.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'));
        assert_tags_balance(&page);
    }
}

/// Walks the tags of a page: every quote closes, every element closes in order, and no tag or attribute is foreign.
fn assert_tags_balance(page: &str) {
    const VOID: &[&str] = &["!DOCTYPE", "meta", "line", "rect", "circle", "path"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        let (tag, after) = rest[at + 1..].split_once('>').expect("a tag ends");
        assert!(!tag.contains('<'), "a tag within a tag: {tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "a quote is open: {tag}");
        for attribute in tag.split('"').step_by(2) {
            assert!(!attribute.contains(" on") && !attribute.contains(" style="), "an attribute that acts: {tag}");
        }
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "closed out of order");
            rest = after;
        } else if tag.ends_with('/') || VOID.contains(&name) && name != "path" {
            rest = after.strip_prefix("</meta>").unwrap_or(after);
        } else {
            open.push(name);
            rest = if name == "style" { &after[after.find("</style>").expect("the style ends")..] } else { after };
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn markdown_holds_foreign_text_in_its_place() {
    for document in poisoned() {
        let text = markdown::render(&document);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        let outside: String = text.lines().flat_map(outside_code).collect();
        let outside = outside.replace("\\]", "");
        assert!(
            !outside.contains('<') && !outside.contains("](") && !outside.contains("://") && !outside.contains('@'),
            "{outside}"
        );
        assert!(!text.lines().any(|line| line.starts_with("# ")), "a foreign heading");
    }
}

/// The parts of a line outside its code spans.
fn outside_code(line: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        if rest[..at].ends_with('\\') {
            parts.push(rest[..=at].to_owned());
            rest = &rest[at + 1..];
            continue;
        }
        parts.push(rest[..at].to_owned());
        let fence: String = rest[at..].chars().take_while(|c| *c == '`').collect();
        let inside = &rest[at + fence.len()..];
        let mut end = 0;
        loop {
            let found = inside[end..].find(&fence).expect("a code span closes") + end;
            let run = inside[found..].chars().take_while(|c| *c == '`').count();
            if run == fence.len() {
                rest = &inside[found + run..];
                break;
            }
            end = found + run;
        }
    }
    parts.push(rest.to_owned());
    parts
}

#[test]
fn no_line_is_wider_than_the_terminal_but_for_a_word_that_cannot_be_broken() {
    for (name, document) in sample::all() {
        for width in [40, 60, 80, 100, 200] {
            for detail in [false, true] {
                let shown =
                    text::render(&document, text::Style { colour: false, width, depth: Depth { detail, explain: detail } });
                for line in shown.lines() {
                    assert_eq!(line, line.trim_end(), "{name}: a trailing space");
                    let fits = line.chars().count() <= width || line.split_whitespace().count() == 1;
                    assert!(fits, "{name} at {width}: {line}");
                }
            }
        }
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    for (_, document) in sample::all() {
        let style = text::Style { colour: false, width: 80, depth: DEEP };
        let coloured = text::render(&document, text::Style { colour: true, ..style });
        let mut bare = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once("\x1b[") {
            bare.push_str(before);
            rest = after.split_once('m').expect("a colour code ends").1;
        }
        bare.push_str(rest);
        assert_eq!(bare, text::render(&document, style));
        assert_ne!(bare, coloured);
    }
}

#[test]
fn a_check_with_a_million_observations_is_shown_in_part() {
    let mut document = sample::document(sample::refused());
    let connects = &mut document.outcomes[1].observations;
    let one = connects[0].clone();
    connects.extend(std::iter::repeat_n(one, 1_000_000));
    let shown = text::render(&document, text::Style { colour: false, width: 100, depth: DEEP });
    assert!(shown.contains("998002 more observations are not shown"));
    assert!(html::fragment::checks(&document).len() < 2_000_000);
}

#[test]
fn numbers_beyond_reason_do_no_harm() {
    fn inflate(value: &mut Value, key: &str) {
        match value {
            Value::Number(number) if key.ends_with("_us") || key == "took" => *number = u64::MAX.into(),
            Value::Number(number) if ["sent", "attempts", "syn_retransmits", "ttl_s", "size_bytes", "attempt"].contains(&key) => {
                *number = u32::MAX.into();
            }
            Value::Number(number) if ["ttl", "hop", "distance", "max_ttl"].contains(&key) => *number = u8::MAX.into(),
            Value::Array(items) => items.iter_mut().for_each(|item| inflate(item, key)),
            Value::Object(fields) => fields.iter_mut().for_each(|(key, field)| inflate(field, key)),
            _ => {}
        }
    }
    for mut value in [sample::expired(), sample::refused(), sample::healthy(), sample::silent()] {
        inflate(&mut value, "");
        let document = sample::document(value);
        for (_, report) in reports("inflated", &document) {
            assert!(report.len() < 200_000);
        }
    }
}

#[test]
fn a_hostile_history_passes_into_no_report() {
    let document = sample::document(sample::silent());
    let mut history = serde_json::to_value(past::tests::sample()).unwrap();
    poison_all(&mut history);
    let history = serde_json::from_value(history).unwrap();
    let style = text::Style { colour: false, width: 100, depth: Depth::default() };
    let page = html::page_after(&document, Some(&history));
    assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
    let text = text::render_after(&document, Some(&history), style);
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
}

/// Every text of a history that an agent may choose.
fn poison_all(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(poison_all),
        Value::Object(fields) => {
            for (key, field) in fields {
                match field {
                    Value::String(text) if ["schedule", "check", "target", "sentence", "f"].contains(&key.as_str()) => {
                        *text = format!("{text}{HOSTILE}");
                    }
                    field => poison_all(field),
                }
            }
        }
        _ => {}
    }
}
