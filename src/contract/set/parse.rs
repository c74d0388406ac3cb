//! From a set's text to a [`ProbeSet`], keeping the place of every word for errors.

use super::{
    Condition, MAX_BUDGET, MAX_CHECKS, MAX_DEADLINE, MAX_EACH, MAX_SET_BYTES, ProbeSet, SetCheck, SetParameter, SetParameterType,
    repetition, template,
};
use crate::config_error::{ConfigError, Source};
use crate::config_table::Table;
use crate::kind::Kind;
use crate::target::TargetForm;
use serde_json::{Map, Value};
use std::time::Duration;
use toml::de::DeTable;

const SET_KEYS: [&str; 7] = ["name", "version", "question", "budget", "target", "parameters", "check"];
const CHECK_KEYS: [&str; 10] = ["id", "kind", "required", "needs", "when", "deadline", "for_each", "samples", "every", "with"];
const PARAMETER_KEYS: [&str; 5] = ["help", "type", "default", "minimum", "maximum"];
const TARGET_NAMES: [&str; 8] =
    ["target", "target.host", "target.port", "target.url", "target.scheme", "proxy.host", "proxy.port", "contact.host"];
/// A check that names no deadline gets this one.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(15);
const DEFAULT_BUDGET: Duration = Duration::from_secs(60);

pub(super) fn parse(origin: &str, text: &str) -> Result<ProbeSet, ConfigError> {
    let source = Source { origin, text };
    if text.len() > MAX_SET_BYTES {
        return Err(source.error(0..0, format!("the set is longer than {MAX_SET_BYTES} bytes")));
    }
    let document = DeTable::parse(text).map_err(|error| source.error(error.span().unwrap_or(0..0), error.message()))?;
    let root = Table { source, span: 0..0, table: document.get_ref() };
    root.refuse_unknown_keys("key", &SET_KEYS)?;
    let target = root.optional_word("target", "target form", &TargetForm::ALL)?;
    let parameters = match root.table.get("parameters") {
        None => Vec::new(),
        Some(value) => parameters(&root.sub(value, "parameters")?)?,
    };
    let mut checks: Vec<SetCheck> = Vec::new();
    for value in root.list("check")? {
        let check = check(&root.sub(value, "check")?, &checks, &parameters, target.is_some())?;
        checks.push(check);
    }
    if checks.is_empty() || checks.len() > MAX_CHECKS {
        return Err(source.error(0..0, format!("a set has between 1 and {MAX_CHECKS} checks, this one has {}", checks.len())));
    }
    let budget = root.duration("budget", DEFAULT_BUDGET, MAX_BUDGET)?;
    let version = root.integer("version")?.unwrap_or(1);
    Ok(ProbeSet {
        name: root.word("name")?,
        version: u32::try_from(version).map_err(|_| root.at("version", "the version is not a small whole number"))?,
        question: root.text("question")?,
        budget,
        target,
        parameters,
        checks,
        text: text.to_owned(),
    })
}

fn parameters(table: &Table<'_>) -> Result<Vec<SetParameter>, ConfigError> {
    let mut parameters = Vec::new();
    for (name, value) in table.table {
        let own = table.sub(value, name.get_ref())?;
        own.refuse_unknown_keys("key", &PARAMETER_KEYS)?;
        let kind = own.optional_word("type", "parameter type", &SetParameterType::ALL)?.ok_or_else(|| own.missing("type"))?;
        let parameter = SetParameter {
            name: name.get_ref().to_string(),
            help: own.text("help")?,
            kind,
            default: own.table.get("default").map(|value| own.json(value)).transpose()?,
            minimum: own.integer("minimum")?,
            maximum: own.integer("maximum")?,
        };
        if let Some(default) = &parameter.default {
            parameter.check(default).map_err(|message| own.at("default", message))?;
        }
        parameters.push(parameter);
    }
    Ok(parameters)
}

fn check(
    table: &Table<'_>,
    earlier: &[SetCheck],
    parameters: &[SetParameter],
    has_target: bool,
) -> Result<SetCheck, ConfigError> {
    table.refuse_unknown_keys("key", &CHECK_KEYS)?;
    let id = table.word("id")?;
    if earlier.iter().any(|other| other.id == id) {
        return Err(table.at("id", format!("two checks are called `{id}`")));
    }
    let known = || earlier.iter().map(|check| check.id.as_str());
    let (kind_text, kind_span) = table.spanned_text("kind")?;
    let kind = Kind::from_name(&kind_text)
        .ok_or_else(|| table.source.unknown(kind_span, "probe kind", &kind_text, Kind::ALL.iter().map(|kind| kind.name())))?;
    let mut needs = Vec::new();
    for value in table.list("needs")? {
        let name = table.as_text(value, "needs")?;
        if !known().any(|earlier| earlier == name) {
            return Err(table.source.unknown(value.span(), "earlier check", &name, known()));
        }
        needs.push(name);
    }
    let mut when = Vec::new();
    for value in table.list("when")? {
        let word = table.as_text(value, "when")?;
        let condition =
            Condition::parse(&word).ok_or_else(|| table.source.unknown(value.span(), "condition", &word, Condition::WORDS))?;
        if let Some(name) = condition.check().filter(|name| !known().any(|earlier| earlier == *name)) {
            return Err(table.source.unknown(value.span(), "earlier check", name, known()));
        }
        let names = || parameters.iter().map(|parameter| parameter.name.as_str());
        if let Some(name) = condition.parameter().filter(|name| !names().any(|known| known == *name)) {
            return Err(table.source.unknown(value.span(), "parameter", name, names()));
        }
        when.push(condition);
    }
    let for_each = repetition::items(table, parameters)?;
    let with = match table.table.get("with") {
        None => Map::new(),
        Some(value) => {
            let own = ["each"].into_iter().filter(|_| for_each.is_some());
            let of_target = TARGET_NAMES.into_iter().filter(|_| has_target);
            let names: Vec<&str> = own.chain(of_target).chain(parameters.iter().map(|own| own.name.as_str())).collect();
            with(&table.sub(value, "with")?, kind, &names)?
        }
    };
    if let Some(missing) = kind.fields().iter().find(|field| field.required && !with.contains_key(&field.name)) {
        return Err(table
            .source
            .error(table.span.clone(), format!("check `{id}` gives no `{}`: {}", missing.name, missing.help)));
    }
    Ok(SetCheck {
        id,
        kind,
        required: table.boolean("required")?.unwrap_or(false),
        needs,
        when,
        deadline: table.duration("deadline", DEFAULT_DEADLINE, MAX_DEADLINE)?,
        for_each,
        samples: repetition::samples(table, parameters)?,
        every: repetition::every(table, parameters)?,
        with,
    })
}

/// A check's parameters: keys are known to the kind, names in braces are known to the set, and what is literal is checked now.
fn with(table: &Table<'_>, kind: Kind, known: &[&str]) -> Result<Map<String, Value>, ConfigError> {
    let fields = kind.fields();
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    table.refuse_unknown_keys("parameter", &names)?;
    let mut with = Map::new();
    for (key, value) in table.table {
        let json = table.json(value)?;
        let texts: Vec<&str> = match &json {
            Value::String(text) => vec![text],
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let named: Vec<&str> = texts.iter().flat_map(|text| template::names(text)).collect();
        for name in &named {
            if !known.contains(name) {
                return Err(table.source.unknown(value.span(), "value", name, known.iter().copied()));
            }
        }
        if named.is_empty() {
            let only = Value::Object(Map::from_iter([(key.get_ref().to_string(), json.clone())]));
            let own: Vec<_> = fields.iter().filter(|field| field.name == key.get_ref().as_ref()).cloned().collect();
            crate::kind::check_fields(&own, &only).map_err(|error| table.source.error(value.span(), error.message))?;
        }
        with.insert(key.get_ref().to_string(), json);
    }
    Ok(with)
}

impl SetParameter {
    /// Whether the value has the parameter's type and is within its bounds; the message says what is wrong.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        let name = &self.name;
        match (self.kind, value) {
            (SetParameterType::Text, Value::String(_)) | (SetParameterType::Boolean, Value::Bool(_)) => Ok(()),
            (SetParameterType::Integer, number) if number.is_i64() => match number.as_i64() {
                Some(number) if self.minimum.is_some_and(|minimum| number < minimum) => {
                    Err(format!("`{name}` is {number}, but must be at least {}", self.minimum.unwrap_or_default()))
                }
                Some(number) if self.maximum.is_some_and(|maximum| number > maximum) => {
                    Err(format!("`{name}` is {number}, but must be at most {}", self.maximum.unwrap_or_default()))
                }
                _ => Ok(()),
            },
            (SetParameterType::List, Value::Array(items)) if items.is_empty() || items.len() > MAX_EACH => {
                Err(format!("`{name}` has {} items, but must have 1 to {MAX_EACH}", items.len()))
            }
            (SetParameterType::List, Value::Array(items)) if items.iter().all(|item| item.is_string() || item.is_i64()) => Ok(()),
            (SetParameterType::List, other) => Err(format!("`{name}` is {other}, but must be a list of texts or whole numbers")),
            (SetParameterType::Text, other) => Err(format!("`{name}` is {other}, but must be a text")),
            (SetParameterType::Integer, other) => Err(format!("`{name}` is {other}, but must be a whole number")),
            (SetParameterType::Boolean, other) => Err(format!("`{name}` is {other}, but must be true or false")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "example"
question = "Does it parse?"
target = "endpoint"

[[check]]
id = "connect"
kind = "tcp"
required = true
with = { host = "{target.host}", port = "{target.port}" }
"#;

    #[test]
    fn a_small_set_parses_with_its_defaults() {
        let set = parse("x.toml", GOOD).unwrap();
        assert_eq!(set.checks[0].deadline, DEFAULT_DEADLINE);
        assert!(set.checks[0].required);
    }

    #[test]
    fn each_slip_is_reported_at_its_place_with_what_was_meant() {
        let cases = [
            ("kind = \"tcp\"", "kind = \"tpc\"", "x.toml:8:8: unknown probe kind `tpc` (did you mean `tcp`?)"),
            ("required = true", "requird = true", "x.toml:9:1: unknown key `requird` (did you mean `required`?)"),
            ("host = \"{target.host}\"", "hots = \"x\"", "unknown parameter `hots` (did you mean `host`?)"),
            ("{target.port}", "{target.prot}", "unknown value `target.prot` (did you mean `target.port`?)"),
            ("required = true", "deadline = \"10h\"", "longer than 120 s"),
            ("required = true", "needs = [\"resolve\"]", "unknown earlier check `resolve` (there is none yet)"),
            ("\"{target.port}\"", "70000", "at most 65535"),
            ("name = \"example\"", "name = ", "x.toml:2"),
        ];
        for (from, to, expected) in cases {
            let error = parse("x.toml", &GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
