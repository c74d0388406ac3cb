//! The reference of every parameter and every measured field, written from the types themselves: `docs/fields.md`.
//!
//! What a field means is its doc comment; its unit is the ending of its name. A test refuses a field without a meaning, so that
//! whoever adds one documents it in the place where it is defined.

/// Where what a field holds comes from, and its unit.
mod provenance;

use crate::kind::{Field, Kind};
use crate::observation::Observation;
use schemars::schema_for;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;

/// Endings of names, and the unit that each stands for.
const UNITS: [(&str, &str); 9] = [
    ("_us", "microseconds"),
    ("_ms", "milliseconds"),
    ("_s", "seconds"),
    ("_ns", "nanoseconds"),
    ("_bytes", "bytes"),
    ("_bps", "bits a second"),
    ("_per_s", "a second"),
    ("_percent", "percent"),
    ("_ratio", "a share, 0 to 1"),
];

/// The whole reference as markdown.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Fields\n\n\
         Every parameter of every probe kind, and every field of every fact that a run records. This page is written from the types by\n\
         `netsonde schema --fields`; the same in a form for programs is `netsonde schema`.\n\n\
         Times: `at_us` counts from the beginning of the run on a monotonic clock. A field that is not there was not seen, or could not be\n\
         measured; it never stands for zero.\n\n## Parameters\n",
    );
    for kind in Kind::ALL {
        let _ = write!(
            text,
            "\n### {}\n\n{}\n\n| parameter | takes | default | meaning |\n|---|---|---|---|\n",
            kind.name(),
            kind.summary()
        );
        for field in kind.fields() {
            let _ = writeln!(text, "| `{}` | {} | {} | {} |", field.name, takes(field), default(field), cell(&field.help));
        }
    }
    text.push_str("\n## Facts\n\nThe name of a fact stands in its field `fact`, beside `id`, `check` and `at_us`.\n");
    for (tag, name) in facts() {
        describe(&mut text, &name, &tag);
    }
    text.push_str("\n## Parts of facts\n");
    for name in parts() {
        describe(&mut text, &name, &name);
    }
    text
}

/// Fields of facts and their parts, and values of enumerations, that no doc comment explains, as `Type.field`.
pub fn undocumented() -> Vec<String> {
    let names = facts().into_iter().map(|(_, name)| name).chain(parts());
    names
        .flat_map(|name| {
            let schema = definition(&name);
            let fields = properties(&schema).into_iter().filter(|(_, property)| meaning(property).is_empty());
            let fields = fields.map(|(field, _)| field);
            let values = words(&schema).into_iter().filter(|(_, meaning)| meaning.is_empty()).map(|(word, _)| word);
            fields.chain(values).map(|missing| format!("{name}.{missing}")).collect::<Vec<_>>()
        })
        .collect()
}

fn definitions() -> Map<String, Value> {
    let schema = schema_for!(Observation).to_value();
    schema["$defs"].as_object().cloned().unwrap_or_default()
}

fn definition(name: &str) -> Value {
    definitions().get(name).cloned().unwrap_or_default()
}

/// Each fact's name in JSON and the type behind it.
fn facts() -> Vec<(String, String)> {
    let schema = schema_for!(Observation).to_value();
    let variants = schema["anyOf"].as_array().cloned().unwrap_or_default();
    variants
        .iter()
        .filter_map(|variant| {
            let tag = variant["properties"]["fact"]["const"].as_str()?;
            Some((tag.to_owned(), reference(variant)?))
        })
        .collect()
}

/// The types that facts are made of, in the order of the alphabet.
fn parts() -> BTreeSet<String> {
    let all = definitions();
    let facts: BTreeSet<String> = facts().into_iter().map(|(_, name)| name).collect();
    let mut left: VecDeque<String> = facts.iter().cloned().collect();
    let mut found = BTreeSet::new();
    while let Some(name) = left.pop_front() {
        let mut inner = Vec::new();
        references(all.get(&name).unwrap_or(&Value::Null), &mut inner);
        for name in inner {
            if !facts.contains(&name) && found.insert(name.clone()) {
                left.push_back(name);
            }
        }
    }
    found
}

fn references(schema: &Value, into: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            into.extend(reference(schema));
            object.values().for_each(|value| references(value, into));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

fn reference(schema: &Value) -> Option<String> {
    Some(schema["$ref"].as_str()?.trim_start_matches("#/$defs/").to_owned())
}

fn properties(schema: &Value) -> Vec<(String, Value)> {
    let own = schema["properties"].as_object().cloned().unwrap_or_default();
    own.into_iter().collect()
}

/// One type: what it is, and its fields or its words.
fn describe(text: &mut String, name: &str, called: &str) {
    let schema = definition(name);
    let _ = writeln!(text, "\n### {called}");
    if let Some(description) = schema["description"].as_str() {
        let _ = write!(text, "\n{}\n", description.replace("[`", "`").replace("`]", "`"));
    }
    let fields = properties(&schema);
    if !fields.is_empty() {
        let of_type = sources(schema["description"].as_str().unwrap_or_default());
        text.push_str("\n| field | is | meaning | source |\n|---|---|---|---|\n");
        for (field, property) in fields {
            let shape = shape(&property);
            let unit = unit(called, &field, &shape).map_or(String::new(), |unit| format!(", {unit}"));
            let meaning = cell(&meaning(&property));
            let source = source(called, &field, &meaning, &of_type);
            let _ = writeln!(text, "| `{field}` | {shape}{unit} | {meaning} | {source} |");
        }
    }
    let words = words(&schema);
    if !words.is_empty() {
        text.push_str("\n| value | meaning |\n|---|---|\n");
        for (word, meaning) in words {
            let _ = writeln!(text, "| {word} | {} |", cell(&meaning));
        }
    }
}

/// A field's own sources, else those that the table names for it or its type, else what its type says.
fn source(name: &str, field: &str, meaning: &str, of_type: &[String]) -> String {
    let own = sources(meaning);
    if !own.is_empty() {
        return own.join(", ");
    }
    provenance::of_field(name, field).map_or_else(|| of_type.join(", "), str::to_owned)
}

/// What a field's number counts: the ending of its name says it, or a table; nothing where it is no number.
fn unit(name: &str, field: &str, shape: &str) -> Option<&'static str> {
    let by_ending = UNITS.iter().find(|(ending, _)| field.ends_with(ending)).map(|(_, unit)| *unit);
    let is_number = ["whole number", "number", "list of whole number", "list of number"].contains(&shape);
    by_ending.or_else(|| is_number.then(|| provenance::unit(name, field)))
}

/// The values of an enumeration, with what each means.
fn words(schema: &Value) -> Vec<(String, String)> {
    let mut words = Vec::new();
    let plain = |value: &Value| value.as_str().map(|word| (format!("`{word}`"), String::new()));
    words.extend(schema["enum"].as_array().into_iter().flatten().filter_map(plain));
    for variant in ["oneOf", "anyOf"].iter().flat_map(|key| schema[*key].as_array().into_iter().flatten()) {
        let meaning = variant["description"].as_str().unwrap_or_default().to_owned();
        if let Some(word) = variant["const"].as_str() {
            words.push((format!("`{word}`"), meaning));
        } else if let Some(several) = variant["enum"].as_array() {
            words.extend(several.iter().filter_map(plain));
        } else if let Some(fields) = variant["properties"].as_object() {
            let fields: Vec<String> = fields.keys().map(|field| format!("`{field}`")).collect();
            words.push((fields.join(", "), meaning));
        } else {
            words.push((shape(variant), meaning));
        }
    }
    words
}

/// The field's own doc comment, or that of its type.
fn meaning(property: &Value) -> String {
    let own = property["description"].as_str().map(str::to_owned);
    own.or_else(|| definition(&pointed(property)?)["description"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// The type that a property points to, also where it may be absent.
fn pointed(property: &Value) -> Option<String> {
    reference(property).or_else(|| property["anyOf"].as_array()?.iter().find_map(reference))
}

fn shape(property: &Value) -> String {
    if let Some(name) = pointed(property) {
        return name;
    }
    // A choice whose meanings stand with the field.
    let choices = property["oneOf"].as_array().into_iter().flatten().filter_map(|choice| choice["const"].as_str());
    let choices: Vec<&str> = choices.collect();
    if !choices.is_empty() {
        return format!("one of {}", choices.join(", "));
    }
    let types: Vec<&str> = match &property["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect(),
        _ => Vec::new(),
    };
    match (types.first().copied(), property["format"].as_str()) {
        (Some("array"), _) => format!("list of {}", shape(&property["items"])),
        (Some("object"), _) if property.get("additionalProperties").is_some_and(Value::is_object) => {
            format!("{} by name", shape(&property["additionalProperties"]))
        }
        (Some("string"), Some(format)) => format.to_owned(),
        (Some("string"), None) => "text".to_owned(),
        (Some("integer"), _) => "whole number".to_owned(),
        (Some("number"), _) => "number".to_owned(),
        (Some("boolean"), _) => "true or false".to_owned(),
        (Some(other), _) => other.to_owned(),
        (None, _) => "any value".to_owned(),
    }
}

/// What a text names as its sources, each once: `RFC 1035 section 4.1.1`, and pages of the manual such as `tcp(7)`.
fn sources(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let plain = |word: &str| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let mut found: Vec<String> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let next = |ahead: usize| words.get(at + ahead).map(|word| plain(word)).unwrap_or_default();
        let number = next(1);
        let source = if plain(word) == "RFC" && is_number(&number) {
            // A comma or bracket behind the number ends the source.
            let goes_on = words.get(at + 1).is_some_and(|word| word.ends_with(|c: char| c.is_ascii_digit()));
            let section = Some(next(3)).filter(|section| goes_on && next(2) == "section" && is_number(section));
            Some(format!("RFC {number}{}", section.map_or(String::new(), |section| format!(" section {section}"))))
        } else {
            manual_page(word)
        };
        found.extend(source.filter(|source| !found.contains(source)));
    }
    found
}

/// `tcp(7)` of `(tcp(7),`.
fn manual_page(word: &str) -> Option<String> {
    let (name, section) = word.trim_start_matches('(').split_once('(')?;
    let section = section.chars().next().filter(|section| ('1'..='8').contains(section))?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    (is_name && word.contains(&format!("{name}({section})"))).then(|| format!("{name}({section})"))
}

fn takes(field: &Field) -> String {
    let words = field.kind.words();
    let words = words.strip_prefix("a ").unwrap_or(&words);
    match (field.minimum, field.maximum) {
        (Some(minimum), Some(maximum)) => format!("{words}, {minimum} to {maximum}"),
        (Some(minimum), None) => format!("{words}, at least {minimum}"),
        (None, Some(maximum)) => format!("{words}, at most {maximum}"),
        (None, None) => words.to_owned(),
    }
}

fn default(field: &Field) -> String {
    match &field.default {
        _ if field.required => "required".to_owned(),
        Some(default) => format!("`{default}`"),
        None => "none".to_owned(),
    }
}

/// A text that fits a cell of a table.
fn cell(text: &str) -> String {
    // Links of the source's own documentation lead nowhere here.
    let plain = text.replace("[`", "`").replace("`]", "`");
    plain.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_says_what_it_means() {
        let missing = undocumented();
        assert!(missing.is_empty(), "{} fields have no doc comment: {missing:?}", missing.len());
    }

    #[test]
    fn every_field_says_where_it_comes_from() {
        let called = facts().into_iter().chain(parts().into_iter().map(|name| (name.clone(), name)));
        let mut known = BTreeSet::new();
        let mut missing = Vec::new();
        for (called, name) in called {
            let schema = definition(&name);
            let of_type = sources(schema["description"].as_str().unwrap_or_default());
            known.insert(called.clone());
            for (field, property) in properties(&schema) {
                known.extend([format!("{called}.{field}"), format!("*.{field}")]);
                if source(&called, &field, &cell(&meaning(&property)), &of_type).is_empty() {
                    missing.push(format!("{called}.{field}"));
                }
            }
        }
        assert!(missing.is_empty(), "{} fields have no source (src/contract/reference/sources.txt): {missing:?}", missing.len());
        let unknown: Vec<_> = provenance::keys().filter(|key| !known.contains(*key)).collect();
        assert!(unknown.is_empty(), "sources.txt speaks of what is not there: {unknown:?}");
    }

    #[test]
    fn a_source_is_an_rfc_with_its_section_or_a_page_of_the_manual() {
        assert_eq!(sources("Jitter, in microseconds (RFC 3550 section 6.4.1)."), ["RFC 3550 section 6.4.1"]);
        assert_eq!(sources("As RFC 8762, section 4 of which is long, and (RFC 3168) say."), ["RFC 8762", "RFC 3168"]);
        assert_eq!(sources("What the kernel knows (TCP_INFO of tcp(7))."), ["tcp(7)"]);
        assert!(sources("Nothing (at 3) is a source.").is_empty());
    }

    #[test]
    fn every_parameter_says_what_it_does() {
        for kind in Kind::ALL {
            for field in kind.fields() {
                assert!(!field.help.is_empty(), "{} {}", kind.name(), field.name);
            }
        }
    }

    #[test]
    fn the_page_in_the_documentation_is_the_one_that_the_types_write() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fields.md");
        if std::env::var_os("NETSONDE_WRITE_GOLDEN").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == markdown(),
            "docs/fields.md is out of date: NETSONDE_WRITE_GOLDEN=1 cargo test -p netsonde-contract reference"
        );
    }
}
