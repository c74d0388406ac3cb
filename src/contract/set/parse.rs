//! From a set's text to a [`ProbeSet`], keeping the place of every word for errors.

use super::{
    Condition, MAX_BUDGET, MAX_CHECKS, MAX_DEADLINE, MAX_EACH, MAX_SET_BYTES, ProbeSet, SetCheck, SetParameter, SetParameterType,
    rehearsal::Refused, repetition, template,
};
use crate::config_error::{ConfigError, Source};
use crate::config_table::Table;
use crate::kind::{Field, Kind};
use crate::size::MAX_RUN_BYTES;
use crate::target::TargetForm;
use serde_json::{Map, Value};
use std::ops::Range;
use std::time::Duration;
use toml::de::DeTable;

const SET_KEYS: [&str; 8] = ["name", "version", "question", "budget", "bytes", "target", "parameters", "check"];
const CHECK_KEYS: [&str; 10] = ["id", "kind", "required", "needs", "when", "deadline", "for_each", "samples", "every", "with"];
const PARAMETER_KEYS: [&str; 5] = ["help", "type", "default", "minimum", "maximum"];
const TARGET_NAMES: [&str; 8] =
    ["target", "target.host", "target.port", "target.url", "target.scheme", "proxy.host", "proxy.port", "contact.host"];
/// A check that names no deadline gets this one.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(15);
const DEFAULT_BUDGET: Duration = Duration::from_secs(60);

/// Mistakes that are told at once: more of them come from something else than slips.
const MAX_MISTAKES: usize = 20;

/// What is wrong with a set, in the order in which it is read.
#[derive(Default)]
struct Mistakes(Vec<ConfigError>);

impl Mistakes {
    /// The value, or its mistake kept.
    fn keep<T>(&mut self, read: Result<T, ConfigError>) -> Option<T> {
        read.map_err(|mistake| self.add(mistake)).ok()
    }

    fn add(&mut self, mistake: ConfigError) {
        if self.0.len() < MAX_MISTAKES {
            self.0.push(mistake);
        }
    }
}

/// # Errors
/// The first mistake.
pub(super) fn parse(origin: &str, text: &str) -> Result<ProbeSet, ConfigError> {
    let first = |mistakes: Vec<ConfigError>| mistakes.into_iter().next();
    parse_whole(origin, text)
        .map_err(|mistakes| first(mistakes).unwrap_or_else(|| Source { origin, text }.error(0..0, "the set cannot be read")))
}

/// # Errors
/// Every mistake that does not follow from another one, [`MAX_MISTAKES`] at most; where the text is no TOML, only where it ends to be.
pub(super) fn parse_whole(origin: &str, text: &str) -> Result<ProbeSet, Vec<ConfigError>> {
    let source = Source { origin, text };
    if text.len() > MAX_SET_BYTES {
        return Err(vec![source.error(0..0, format!("the set is longer than {MAX_SET_BYTES} bytes"))]);
    }
    let document = DeTable::parse(text).map_err(|error| vec![source.error(error.span().unwrap_or(0..0), error.message())])?;
    let root = Table { source, span: 0..0, table: document.get_ref() };
    let mut mistakes = Mistakes::default();
    let set = set(&root, text, &mut mistakes);
    match set {
        Some(set) if mistakes.0.is_empty() => Ok(set),
        _ => Err(mistakes.0),
    }
}

/// The mistakes of checks by their place among the checks, at the parameter that each names.
pub(super) fn at_checks(origin: &str, text: &str, refused: Vec<Refused>) -> Vec<ConfigError> {
    let source = Source { origin, text };
    let Ok(document) = DeTable::parse(text) else { return Vec::new() };
    let root = Table { source, span: 0..0, table: document.get_ref() };
    let checks = root.list("check").unwrap_or_default();
    let error = |refused: Refused| {
        let check = checks.get(refused.place).and_then(|value| root.sub(value, "check").ok());
        let with = || check.as_ref()?.sub(check.as_ref()?.table.get("with")?, "with").ok();
        let own = refused.key.as_deref().and_then(|key| Some(with()?.table.get(key)?.span()));
        let span = own.or_else(|| check.as_ref().map(|check| check.span.clone())).unwrap_or(0..0);
        source.error(span, format!("check `{}`: {}", refused.check, refused.message))
    };
    refused.into_iter().take(MAX_MISTAKES).map(error).collect()
}

fn set(root: &Table<'_>, text: &str, mistakes: &mut Mistakes) -> Option<ProbeSet> {
    root.unknown_keys("key", &SET_KEYS).for_each(|mistake| mistakes.add(mistake));
    let target = mistakes.keep(root.optional_word("target", "target form", &TargetForm::ALL));
    let parameters = match root.table.get("parameters") {
        None => Vec::new(),
        Some(value) => match mistakes.keep(root.sub(value, "parameters")) {
            Some(table) => parameters(&table, mistakes),
            None => Vec::new(),
        },
    };
    let values = mistakes.keep(root.list("check")).unwrap_or_default();
    let (mut checks, mut earlier): (Vec<SetCheck>, Vec<String>) = (Vec::new(), Vec::new());
    if values.is_empty() || values.len() > MAX_CHECKS {
        let text = format!("a set has between 1 and {MAX_CHECKS} checks, this one has {}", values.len());
        mistakes.add(root.source.error(0..0, text));
    }
    for value in values.into_iter().take(MAX_CHECKS) {
        let Some(table) = mistakes.keep(root.sub(value, "check")) else { continue };
        // Where the target's form is wrong, the names of its parts are not.
        let has_target = target != Some(None);
        checks.extend(check(&table, &mut earlier, &parameters, has_target, mistakes));
    }
    let budget = mistakes.keep(root.duration("budget", DEFAULT_BUDGET, MAX_BUDGET));
    let bytes = mistakes.keep(root.size("bytes", MAX_RUN_BYTES));
    let version = root.integer("version").map(|version| version.unwrap_or(1));
    let version = version
        .and_then(|version| u32::try_from(version).map_err(|_| root.at("version", "the version is not a small whole number")));
    let version = mistakes.keep(version);
    let (name, question) = (mistakes.keep(root.word("name")), mistakes.keep(root.text("question")));
    Some(ProbeSet {
        name: name?,
        version: version?,
        question: question?,
        budget: budget?,
        bytes: bytes?,
        target: target?,
        parameters,
        checks,
        text: text.to_owned(),
    })
}

/// Those that are in order, and by their name and kind those that are not: their uses are no mistakes of their own.
fn parameters(table: &Table<'_>, mistakes: &mut Mistakes) -> Vec<SetParameter> {
    let mut parameters = Vec::new();
    for (name, value) in table.table {
        let Some(own) = mistakes.keep(table.sub(value, name.get_ref())) else { continue };
        own.unknown_keys("key", &PARAMETER_KEYS).for_each(|mistake| mistakes.add(mistake));
        let kind = own.optional_word("type", "parameter type", &SetParameterType::ALL);
        let kind = mistakes.keep(kind.and_then(|kind| kind.ok_or_else(|| own.missing("type"))));
        let help = mistakes.keep(own.text("help"));
        let default = mistakes.keep(own.table.get("default").map(|value| own.json(value)).transpose()).flatten();
        let minimum = mistakes.keep(own.integer("minimum")).flatten();
        let maximum = mistakes.keep(own.integer("maximum")).flatten();
        let Some(kind) = kind else { continue };
        let name = name.get_ref().to_string();
        let parameter = SetParameter { name, help: help.unwrap_or_default(), kind, default, minimum, maximum };
        if let Some(default) = &parameter.default {
            mistakes.keep(parameter.check(default).map_err(|message| own.at("default", message)));
        }
        parameters.push(parameter);
    }
    parameters
}

fn check(
    table: &Table<'_>,
    earlier: &mut Vec<String>,
    parameters: &[SetParameter],
    has_target: bool,
    mistakes: &mut Mistakes,
) -> Option<SetCheck> {
    table.unknown_keys("key", &CHECK_KEYS).for_each(|mistake| mistakes.add(mistake));
    let id = mistakes.keep(own_id(table, earlier));
    let kind = mistakes.keep(kind(table));
    let needs = needs(table, earlier, mistakes);
    let when = conditions(table, earlier, parameters, mistakes);
    let for_each = mistakes.keep(repetition::items(table, parameters));
    let named = id.as_deref().unwrap_or("?");
    let with = kind.and_then(|kind| {
        let own = ["each"].into_iter().filter(|_| for_each != Some(None));
        let of_target = TARGET_NAMES.into_iter().filter(|_| has_target);
        let names: Vec<&str> = own.chain(of_target).chain(parameters.iter().map(|own| own.name.as_str())).collect();
        with(table, kind, named, &names, mistakes)
    });
    let required = mistakes.keep(table.boolean("required"));
    let deadline = mistakes.keep(table.duration("deadline", DEFAULT_DEADLINE, MAX_DEADLINE));
    let samples = mistakes.keep(repetition::samples(table, parameters));
    let every = mistakes.keep(repetition::every(table, parameters));
    earlier.extend(id.clone());
    Some(SetCheck {
        id: id?,
        kind: kind?,
        required: required?.unwrap_or(false),
        needs,
        when,
        deadline: deadline?,
        for_each: for_each?,
        samples: samples?,
        every: every?,
        with: with?,
    })
}

fn own_id(table: &Table<'_>, earlier: &[String]) -> Result<String, ConfigError> {
    let id = table.word("id")?;
    if earlier.contains(&id) {
        return Err(table.at("id", format!("two checks are called `{id}`")));
    }
    Ok(id)
}

fn kind(table: &Table<'_>) -> Result<Kind, ConfigError> {
    let (text, span) = table.spanned_text("kind")?;
    Kind::from_name(&text)
        .ok_or_else(|| table.source.unknown(span, "probe kind", &text, Kind::ALL.iter().map(|kind| kind.name())))
}

fn needs(table: &Table<'_>, earlier: &[String], mistakes: &mut Mistakes) -> Vec<String> {
    let mut needs = Vec::new();
    let listed =
        table.list("needs").map_err(|error| error.with_help("write it as needs = [\"connect\"], with ids of earlier checks"));
    for value in mistakes.keep(listed).unwrap_or_default() {
        let Some(name) = mistakes.keep(table.as_text(value, "needs")) else { continue };
        let is_known = |id: &str| earlier.iter().any(|earlier| earlier == id);
        if Condition::parse(&name).is_some() && !is_known(&name) {
            let text = format!("`needs` lists checks, and `{name}` is a condition");
            mistakes.add(table.source.error(value.span(), text).with_help("move it to `when`"));
        } else if let Some((whole, _)) = name.rsplit_once('.').filter(|(whole, _)| is_known(whole)) {
            let text = format!("`needs` names whole checks, and `{name}` is one item of `{whole}`");
            let help = format!("write `{whole}`: with the same `for_each` each item waits for its own");
            mistakes.add(table.source.error(value.span(), text).with_help(help));
        } else if !is_known(&name) {
            mistakes.add(table.source.unknown(value.span(), "earlier check", &name, earlier.iter().map(String::as_str)));
        }
        needs.push(name);
    }
    needs
}

fn conditions(table: &Table<'_>, earlier: &[String], parameters: &[SetParameter], mistakes: &mut Mistakes) -> Vec<Condition> {
    let known = || earlier.iter().map(String::as_str);
    let names = || parameters.iter().map(|parameter| parameter.name.as_str());
    let mut when = Vec::new();
    for value in mistakes.keep(table.list("when")).unwrap_or_default() {
        let Some(word) = mistakes.keep(table.as_text(value, "when")) else { continue };
        let Some(condition) = Condition::parse(&word) else {
            mistakes.add(table.source.unknown(value.span(), "condition", &word, Condition::WORDS));
            continue;
        };
        if let Some(name) = condition.check().filter(|name| !known().any(|earlier| earlier == *name)) {
            mistakes.add(table.source.unknown(value.span(), "earlier check", name, known()));
        }
        if let Some(name) = condition.parameter().filter(|name| !names().any(|known| known == *name)) {
            mistakes.add(table.source.unknown(value.span(), "parameter", name, names()));
        }
        when.push(condition);
    }
    when
}

/// A check's parameters: keys are known to the kind, names in braces are known to the set, and what is literal is checked now. A
/// parameter that is missing is told only where none is misspelt.
fn with(check: &Table<'_>, kind: Kind, id: &str, known: &[&str], mistakes: &mut Mistakes) -> Option<Map<String, Value>> {
    let fields = kind.fields();
    let mut with = Map::new();
    let mut misspelt = false;
    if let Some(value) = check.table.get("with") {
        let table = mistakes.keep(check.sub(value, "with"))?;
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        for mistake in table.unknown_keys("parameter", &names) {
            misspelt = true;
            mistakes.add(mistake);
        }
        for (key, value) in table.table {
            let Some(json) = mistakes.keep(table.json(value)) else { continue };
            mistakes.keep(with_value(&table, fields, key.get_ref(), value.span(), &json, known));
            with.insert(key.get_ref().to_string(), json);
        }
    }
    let missing = fields.iter().find(|field| field.required && !with.contains_key(&field.name) && !misspelt);
    if let Some(missing) = missing {
        let text = format!("check `{id}` gives no `{}`: {}", missing.name, missing.help);
        mistakes.add(check.source.error(check.span.clone(), text));
    }
    Some(with)
}

/// One value of a check's parameters.
fn with_value(
    table: &Table<'_>,
    fields: &[Field],
    key: &str,
    span: Range<usize>,
    json: &Value,
    known: &[&str],
) -> Result<(), ConfigError> {
    let texts: Vec<&str> = match json {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let named: Vec<&str> = texts.iter().flat_map(|text| template::names(text)).collect();
    if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
        return Err(table.source.unknown(span, "value", unknown, known.iter().copied()));
    }
    let own: Vec<Field> = fields.iter().filter(|field| field.name == key).cloned().collect();
    if named.is_empty() && !own.is_empty() {
        let only = Value::Object(Map::from_iter([(key.to_owned(), json.clone())]));
        crate::kind::check_fields(&own, &only).map_err(|error| table.source.error(span, error.message))?;
    }
    Ok(())
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
            ("required = true", "needs = \"resolve\"", "`needs` is not a list (write it as needs = [\"connect\"]"),
            ("required = true", "needs = [\"failed:resolve\"]", "is a condition (move it to `when`)"),
            ("\"{target.port}\"", "70000", "at most 65535"),
            ("name = \"example\"", "name = ", "x.toml:2"),
        ];
        for (from, to, expected) in cases {
            let error = parse("x.toml", &GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }

    #[test]
    fn independent_mistakes_are_told_at_once_and_none_that_follow_from_another() {
        let bad = GOOD
            .replace("name = \"example\"", "nmae = \"example\"")
            .replace("kind = \"tcp\"", "kind = \"tpc\"")
            .replace("required = true", "required = \"yes\"")
            + "\n[[check]]\nid = \"path\"\nkind = \"icmp\"\nneeds = [\"connect\", \"conect\"]\nwith = { hots = \"x\", count = 0 }\n";
        let mistakes: Vec<String> = parse_whole("x.toml", &bad).unwrap_err().iter().map(ToString::to_string).collect();
        let expected = [
            "unknown key `nmae`",
            "probe kind `tpc`",
            "`required`",
            "check `conect`",
            "parameter `hots`",
            "`count`",
            "`name` is missing",
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
        for words in expected {
            assert!(mistakes.iter().any(|mistake| mistake.contains(words)), "{words}: {mistakes:#?}");
        }
        assert_eq!(parse("x.toml", &bad).unwrap_err().to_string(), mistakes[0]);
    }

    #[test]
    fn a_check_that_needs_one_item_of_another_is_told_to_name_the_whole() {
        let one = GOOD.replace("required = true", "for_each = [1, 2]")
            + "\n[[check]]\nid = \"path\"\nkind = \"icmp\"\nneeds = [\"connect.1\"]\nwith = { host = \"x\" }\n";
        let told = parse("x.toml", &one).unwrap_err().to_string();
        assert!(told.contains("`connect.1` is one item of `connect` (write `connect`"), "{told}");
    }

    #[test]
    fn a_text_full_of_mistakes_is_told_a_bounded_number_of_them() {
        let many: String = (0..100).map(|number| format!("key{number} = 1\n")).collect();
        assert_eq!(parse_whole("x.toml", &(many + GOOD)).unwrap_err().len(), MAX_MISTAKES);
    }
}
