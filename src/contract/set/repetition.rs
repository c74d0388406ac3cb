//! `for_each`, `samples` and `every`: one check that becomes several, and one that is measured several times.

use super::{MAX_BUDGET, MAX_EACH, MAX_SAMPLES, PlanError, SetCheck, SetParameter, SetParameterType, template};
use crate::config_error::ConfigError;
use crate::config_table::Table;
use serde_json::{Map, Value};
use std::time::Duration;

/// How often a check is measured. A sample that takes longer than `every` delays the next one; none are made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples {
    /// At least 1.
    pub count: u32,
    /// From the beginning of one sample to that of the next.
    pub every: Duration,
}

impl Samples {
    pub const ONE: Self = Self { count: 1, every: Duration::ZERO };

    /// From the beginning of the first sample to that of the last.
    pub fn span(self) -> Duration {
        self.every.saturating_mul(self.count.saturating_sub(1))
    }
}

/// A check with `samples` but without `every` is measured once a second.
const DEFAULT_EVERY: Duration = Duration::from_secs(1);
/// Closer together, one sample would disturb the next.
const MIN_EVERY: Duration = Duration::from_millis(100);

/// The `for_each` of a check's table.
pub(super) fn items(table: &Table<'_>, parameters: &[SetParameter]) -> Result<Option<Value>, ConfigError> {
    let Some(value) = named_or(table, "for_each", SetParameterType::List, parameters)? else { return Ok(None) };
    let fits = |item: &Value| item.is_string() || item.is_i64();
    match &value {
        Value::String(_) => Ok(Some(value)),
        Value::Array(items) if (1..=MAX_EACH).contains(&items.len()) && items.iter().all(fits) => Ok(Some(value)),
        _ => Err(table
            .at("for_each", format!("`for_each` is not a list of 1 to {MAX_EACH} texts or whole numbers"))
            .with_help("or the name of a list parameter in braces, such as \"{ports}\"")),
    }
}

/// The `samples` of a check's table.
pub(super) fn samples(table: &Table<'_>, parameters: &[SetParameter]) -> Result<Option<Value>, ConfigError> {
    let Some(value) = named_or(table, "samples", SetParameterType::Integer, parameters)? else { return Ok(None) };
    match value.as_i64() {
        None if value.is_string() => Ok(Some(value)),
        Some(count) if (1..=i64::from(MAX_SAMPLES)).contains(&count) => Ok(Some(value)),
        _ => Err(table
            .at("samples", format!("`samples` is not a number from 1 to {MAX_SAMPLES}"))
            .with_help("or the name of an integer parameter in braces, such as \"{samples}\"")),
    }
}

/// The `every` of a check's table: a number is a duration in milliseconds.
pub(super) fn every(table: &Table<'_>, parameters: &[SetParameter]) -> Result<Option<Value>, ConfigError> {
    let Some(value) = table.table.get("every") else { return Ok(None) };
    if template::names(&table.as_text(value, "every")?).is_empty() {
        let every = table.duration("every", DEFAULT_EVERY, MAX_BUDGET)?;
        if every < MIN_EVERY {
            return Err(table.at("every", format!("`every` is shorter than {} ms", MIN_EVERY.as_millis())));
        }
        return Ok(Some(Value::from(u64::try_from(every.as_millis()).unwrap_or(u64::MAX))));
    }
    named_or(table, "every", SetParameterType::Integer, parameters)
}

/// The value of a key; where it is a text, it must be the name in braces of a parameter of the type.
fn named_or(
    table: &Table<'_>,
    key: &str,
    kind: SetParameterType,
    parameters: &[SetParameter],
) -> Result<Option<Value>, ConfigError> {
    let Some(value) = table.table.get(key) else { return Ok(None) };
    let json = table.json(value)?;
    let Some(text) = json.as_str() else { return Ok(Some(json)) };
    let name = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let fitting = || parameters.iter().filter(|parameter| parameter.kind == kind).map(|parameter| parameter.name.as_str());
    if !fitting().any(|known| known == name) {
        return Err(table.source.unknown(value.span(), "parameter", name, fitting()));
    }
    Ok(Some(Value::String(format!("{{{name}}}"))))
}

impl SetCheck {
    /// The items of which each gets a check of its own; none where the check has no `for_each`.
    pub(super) fn each(&self, parameters: &Map<String, Value>) -> Option<Vec<Value>> {
        match filled(self.for_each.as_ref()?, parameters) {
            Value::Array(items) => Some(items),
            other => Some(vec![other]),
        }
    }

    /// # Errors
    /// Where a parameter asks for more samples, or for more time between them, than any run may take.
    pub(super) fn sampling(&self, parameters: &Map<String, Value>) -> Result<Samples, PlanError> {
        let Some(samples) = &self.samples else { return Ok(Samples::ONE) };
        let refuse = |what: String| Err(PlanError::ParameterValue(format!("check `{}`: {what}", self.id)));
        let count = filled(samples, parameters).as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        if count == 0 || count > MAX_SAMPLES {
            return refuse(format!("a check takes 1 to {MAX_SAMPLES} samples"));
        }
        let every = match &self.every {
            None => DEFAULT_EVERY,
            Some(Value::String(_)) => {
                let seconds = self.every.as_ref().and_then(|every| filled(every, parameters).as_u64());
                Duration::from_secs(seconds.unwrap_or(1).max(1))
            }
            Some(milliseconds) => Duration::from_millis(milliseconds.as_u64().unwrap_or(1_000)),
        };
        let samples = Samples { count, every };
        if samples.span() > MAX_BUDGET {
            return refuse(format!(
                "its samples take {} s, and a run at most {}",
                samples.span().as_secs(),
                MAX_BUDGET.as_secs()
            ));
        }
        Ok(samples)
    }
}

fn filled(value: &Value, parameters: &Map<String, Value>) -> Value {
    template::fill(value, &|name| parameters.get(name).cloned().unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use crate::set::{Plan, PlanError, ProbeSet, Request, Samples};
    use std::time::Duration;

    const PORTS: &str = r#"
name = "ports"
question = "Do they answer?"
target = "host"

[parameters.ports]
help = "Ports to try."
type = "list"
default = [25, 587]

[parameters.samples]
help = "How often to try."
type = "integer"
default = 3

[[check]]
id = "connect"
kind = "tcp"
for_each = "{ports}"
with = { host = "{target.host}", port = "{each}" }

[[check]]
id = "tls"
kind = "tls"
for_each = "{ports}"
needs = ["connect"]
with = { host = "{target.host}", port = "{each}" }

[[check]]
id = "path"
kind = "traceroute"
when = ["failed:connect"]
samples = "{samples}"
every = "2s"
with = { host = "{target.host}" }
"#;

    fn plan(text: &str, parameters: &[(&str, &str)]) -> Result<Plan, PlanError> {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = Request { targets: vec!["mail.example".into()], parameters, ..Request::default() };
        ProbeSet::parse("x.toml", text).unwrap().plan(&request)
    }

    #[test]
    fn each_item_gets_a_check_that_waits_for_its_own_and_others_wait_for_all() {
        let plan = plan(PORTS, &[("ports", "25,465,587")]).unwrap();
        let ids: Vec<&str> = plan.checks.iter().map(|check| check.id.as_str()).collect();
        assert_eq!(ids, ["connect.1", "connect.2", "connect.3", "tls.1", "tls.2", "tls.3", "path"]);
        assert_eq!(plan.checks[1].params.to_value()["port"], 465);
        assert_eq!(plan.checks[4].needs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["connect.2"]);
        let waits: Vec<&str> = plan.checks[6].when[0].1.iter().map(|id| id.as_str()).collect();
        assert_eq!(waits, ["connect.1", "connect.2", "connect.3"]);
    }

    #[test]
    fn ranges_of_ports_pass_through_a_set_and_their_sum_is_bounded() {
        let text = r#"
name = "ports"
question = "Are they open?"
target = "host"

[parameters.ports]
help = "Ports to try."
type = "list"
default = [25, "8000-8010"]

[[check]]
id = "connect"
kind = "tcp"
with = { host = "{target.host}", port = 80, ports = "{ports}" }
"#;
        let ports = |given: &[(&str, &str)]| Ok::<_, PlanError>(plan(text, given)?.checks[0].params.to_value()["ports"].clone());
        assert_eq!(ports(&[]).unwrap(), serde_json::json!([25, "8000-8010"]));
        assert_eq!(ports(&[("ports", "443,9000-9001")]).unwrap(), serde_json::json!([443, "9000-9001"]));
        let refused = ports(&[("ports", "1-1025")]).unwrap_err().to_string();
        assert!(refused.contains("at most 1024"), "{refused}");
    }

    #[test]
    fn samples_stretch_the_runs_time_by_what_they_wait() {
        let plan = plan(PORTS, &[]).unwrap();
        let path = plan.checks.last().unwrap();
        assert_eq!(path.samples, Samples { count: 3, every: Duration::from_secs(2) });
        assert_eq!(plan.budget, Duration::from_secs(60 + 4));
    }

    #[test]
    fn what_no_run_may_take_is_refused_before_the_first_packet() {
        let refused = plan(PORTS, &[("samples", "3601")]).unwrap_err().to_string();
        assert!(refused.contains("1 to 3600 samples"), "{refused}");
        let refused = plan(&PORTS.replace("\"2s\"", "\"1h\""), &[]).unwrap_err().to_string();
        assert!(refused.contains("take 7200 s"), "{refused}");
    }

    #[test]
    fn each_slip_is_reported_at_its_place_with_what_was_meant() {
        let cases = [
            ("for_each = \"{ports}\"", "for_each = \"{port}\"", "unknown parameter `port` (did you mean `ports`?)"),
            ("for_each = \"{ports}\"", "for_each = []", "`for_each` is not a list of 1 to 64"),
            ("samples = \"{samples}\"", "samples = 0", "`samples` is not a number from 1 to 3600"),
            ("every = \"2s\"", "every = \"1ms\"", "`every` is shorter than 100 ms"),
            ("for_each = \"{ports}\"\nwith", "with", "unknown value `each`"),
            ("default = [25, 587]", "default = []", "`ports` has 0 items"),
        ];
        for (from, to, expected) in cases {
            assert!(PORTS.contains(from), "{from}");
            let error = ProbeSet::parse("x.toml", &PORTS.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}\nwanted {expected}");
        }
    }
}
