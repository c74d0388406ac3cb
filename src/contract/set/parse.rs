//! From a set's text to a [`ProbeSet`], keeping the place of every word for errors.

use super::{
    Condition, MAX_BUDGET, MAX_CHECKS, MAX_DEADLINE, MAX_SET_BYTES, ProbeSet, SetCheck, SetParameter, SetParameterType, template,
};
use crate::config_error::{ConfigError, Source};
use crate::kind::Kind;
use crate::target::TargetForm;
use serde_json::{Map, Value};
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const SET_KEYS: [&str; 7] = ["name", "version", "question", "budget", "target", "parameters", "check"];
const CHECK_KEYS: [&str; 7] = ["id", "kind", "required", "needs", "when", "deadline", "with"];
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
        when.push(condition);
    }
    let with = match table.table.get("with") {
        None => Map::new(),
        Some(value) => with(&table.sub(value, "with")?, kind, parameters, has_target)?,
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
        with,
    })
}

/// A check's parameters: keys are known to the kind, names in braces are known to the set, and what is literal is checked now.
fn with(table: &Table<'_>, kind: Kind, parameters: &[SetParameter], has_target: bool) -> Result<Map<String, Value>, ConfigError> {
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
            let targets = TARGET_NAMES.iter().copied().filter(|_| has_target);
            let known: Vec<&str> = targets.chain(parameters.iter().map(|parameter| parameter.name.as_str())).collect();
            if !known.contains(name) {
                return Err(table.source.unknown(value.span(), "value", name, known));
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

/// A table with what errors need.
struct Table<'a> {
    source: Source<'a>,
    span: Range<usize>,
    table: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    fn sub(&self, value: &'a Spanned<DeValue<'a>>, what: &str) -> Result<Table<'a>, ConfigError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(Table { source: self.source, span: value.span(), table }),
            _ => Err(self.source.error(value.span(), format!("`{what}` is not a table"))),
        }
    }

    fn refuse_unknown_keys(&self, what: &str, known: &[&str]) -> Result<(), ConfigError> {
        match self.table.keys().find(|key| !known.contains(&key.get_ref().as_ref())) {
            Some(key) => Err(self.source.unknown(key.span(), what, key.get_ref(), known.iter().copied())),
            None => Ok(()),
        }
    }

    fn at(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let span = self.table.get(key).map_or(self.span.clone(), Spanned::span);
        self.source.error(span, message)
    }

    fn missing(&self, key: &str) -> ConfigError {
        self.source.error(self.span.clone(), format!("`{key}` is missing"))
    }

    fn spanned_text(&self, key: &str) -> Result<(String, Range<usize>), ConfigError> {
        let value = self.table.get(key).ok_or_else(|| self.missing(key))?;
        Ok((self.as_text(value, key)?, value.span()))
    }

    fn text(&self, key: &str) -> Result<String, ConfigError> {
        Ok(self.spanned_text(key)?.0)
    }

    /// A name: lower-case letters, digits, `-` and `_`.
    fn word(&self, key: &str) -> Result<String, ConfigError> {
        let (text, span) = self.spanned_text(key)?;
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
            return Err(self.source.error(span, format!("`{key}` is not 1 to 64 lower-case letters, digits, `-` and `_`")));
        }
        Ok(text)
    }

    fn as_text(&self, value: &Spanned<DeValue<'_>>, key: &str) -> Result<String, ConfigError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(self.source.error(value.span(), format!("`{key}` is not a text"))),
        }
    }

    fn optional_word<T: Copy>(&self, key: &str, what: &str, known: &[(&'static str, T)]) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let word = self.as_text(value, key)?;
        match known.iter().find(|(name, _)| *name == word) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => Err(self.source.unknown(value.span(), what, &word, known.iter().map(|(name, _)| *name))),
        }
    }

    fn list(&self, key: &str) -> Result<Vec<&'a Spanned<DeValue<'a>>>, ConfigError> {
        match self.table.get(key).map(|value| (value, value.get_ref())) {
            None => Ok(Vec::new()),
            Some((_, DeValue::Array(items))) => Ok(items.iter().collect()),
            Some((value, _)) => Err(self.source.error(value.span(), format!("`{key}` is not a list"))),
        }
    }

    fn boolean(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.table.get(key).map(|value| (value, value.get_ref())) {
            None => Ok(None),
            Some((_, DeValue::Boolean(flag))) => Ok(Some(*flag)),
            Some((value, _)) => Err(self.source.error(value.span(), format!("`{key}` is neither true nor false"))),
        }
    }

    fn integer(&self, key: &str) -> Result<Option<i64>, ConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        match self.json(value)?.as_i64() {
            Some(number) => Ok(Some(number)),
            None => Err(self.source.error(value.span(), format!("`{key}` is not a whole number"))),
        }
    }

    fn duration(&self, key: &str, default: Duration, maximum: Duration) -> Result<Duration, ConfigError> {
        let Some(value) = self.table.get(key) else { return Ok(default) };
        let text = self.as_text(value, key)?;
        let parsed: Result<jiff::SignedDuration, _> = text.parse();
        let duration = parsed.ok().and_then(|signed| Duration::try_from(signed).ok()).filter(|duration| !duration.is_zero());
        match duration {
            Some(duration) if duration <= maximum => Ok(duration),
            Some(_) => Err(self.source.error(value.span(), format!("`{key}` is longer than {} s", maximum.as_secs()))),
            None => Err(self
                .source
                .error(value.span(), format!("`{key}` is not a duration"))
                .with_help("write it as \"10s\" or \"500ms\"")),
        }
    }

    fn json(&self, value: &Spanned<DeValue<'_>>) -> Result<Value, ConfigError> {
        let unfit = |what: &str| self.source.error(value.span(), what);
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Integer(number) => {
                let number =
                    i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| unfit("this number is too large"))?;
                Value::from(number)
            }
            DeValue::Array(items) => Value::Array(items.iter().map(|item| self.json(item)).collect::<Result<_, _>>()?),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
                return Err(unfit("a value here is a text, a whole number, true, false, or a list of these"));
            }
        })
    }
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
