//! A set with its targets and parameters filled in.

use super::{Condition, MAX_BUDGET, MAX_PLANNED, MAX_TARGETS, ProbeSet, Samples, SetCheck, template};
use crate::document::SetReference;
use crate::id::CheckId;
use crate::kind::{ParameterError, Params};
use crate::nearest::nearest;
use crate::target::{Scheme, Target, TargetError};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a person or a ticket asks of a set.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub targets: Vec<String>,
    /// Values of the set's parameters, as text; the set gives them their types.
    pub parameters: BTreeMap<String, String>,
    /// Replaces the statuses that http checks expect.
    pub expect_status: Vec<String>,
    /// Replaces the servers that dns checks ask.
    pub resolvers: Vec<String>,
    /// The proxy that each target's URL is asked for through, by the target as it is given; a target without one is reached directly.
    /// Only the machine that measures knows this, so that whoever plans elsewhere leaves it empty.
    pub proxies: BTreeMap<String, ProxyAddress>,
}

/// Where a proxy is, without what it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProxyAddress {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
}

/// A target that is asked for through one of this machine's own proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxied {
    pub target: Target,
    pub proxy: ProxyAddress,
}

impl Proxied {
    /// The port that the proxy is asked to go to.
    pub fn port(&self) -> u16 {
        self.target.port.unwrap_or_else(|| self.target.scheme.unwrap_or(Scheme::Https).default_port())
    }
}

/// Which of the two ways to a target a check is meant for. Only the machine that measures knows which it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Either,
    /// No proxy is used (`direct`).
    Direct,
    /// A proxy is (`proxied`).
    Proxied,
}

/// Everything that a run will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub set: SetReference,
    pub question: String,
    pub targets: Vec<Target>,
    /// What was given although the same target had been given before: it is measured once.
    pub repeated: Vec<Target>,
    /// The targets among them that are asked for through a proxy.
    pub proxies: Vec<Proxied>,
    pub budget: Duration,
    /// What the run may send and receive at most, where the set or the order says so.
    pub bytes: Option<u64>,
    /// In an order in which each check comes after those that it waits for.
    pub checks: Vec<PlannedCheck>,
}

/// One check, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedCheck {
    pub id: CheckId,
    pub required: bool,
    pub target: Option<Target>,
    /// Checks that must have succeeded, or not applied.
    pub needs: Vec<CheckId>,
    /// Conditions on other checks; conditions on the target were decided when the plan was made. A condition on a check with `for_each`
    /// is one on all that became of it.
    pub when: Vec<(Condition, Vec<CheckId>)>,
    /// The longest that one sample may take.
    pub deadline: Duration,
    pub samples: Samples,
    pub params: Params,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("the set `{set}` needs a target: give it with --target {example}")]
    NoTarget { set: String, example: &'static str },
    #[error("the set `{set}` takes no target")]
    TargetNotTaken { set: String },
    #[error("{given} targets are more than the {MAX_TARGETS} that one run may have")]
    TooManyTargets { given: usize },
    #[error("{planned} checks are more than the {MAX_PLANNED} that one run may have: give fewer targets")]
    TooManyChecks { planned: usize },
    #[error("unknown parameter `{name}` of the set `{set}` ({hint})")]
    UnknownParameter { set: String, name: String, hint: String },
    #[error("the set `{set}` needs the parameter `{name}`: give it with --param {name}=VALUE")]
    MissingParameter { set: String, name: String },
    #[error("{0}")]
    ParameterValue(String),
    #[error("check `{check}`: {error}")]
    Check { check: String, error: ParameterError },
}

impl Plan {
    /// The same with no more bytes than these, where some are given.
    #[must_use]
    pub fn of_at_most(self, bytes: Option<u64>) -> Self {
        Self { bytes: [self.bytes, bytes].into_iter().flatten().min(), ..self }
    }
}

impl ProbeSet {
    /// # Errors
    /// Where a target does not parse or is missing, or a parameter is unknown, missing or out of bounds.
    pub fn plan(&self, request: &Request) -> Result<Plan, PlanError> {
        let (targets, repeated) = once_each(self.targets(&request.targets)?);
        let parameters = self.values(&request.parameters)?;
        let mut checks = Vec::new();
        if targets.is_empty() {
            self.instantiate(&Aim { target: None, place: 0, proxy: None }, &parameters, request, &mut checks)?;
        }
        for (place, target) in targets.iter().enumerate() {
            let aim = Aim { target: Some(target), place, proxy: request.proxies.get(&target.text) };
            self.instantiate(&aim, &parameters, request, &mut checks)?;
        }
        if checks.len() > MAX_PLANNED {
            return Err(PlanError::TooManyChecks { planned: checks.len() });
        }
        // The set's budget is for measuring; what a check waits between its samples comes on top.
        let waiting = checks.iter().map(|check| check.samples.span()).max().unwrap_or_default();
        let budget = (self.budget + waiting).min(MAX_BUDGET);
        let proxied = |target: &Target| {
            let proxy = request.proxies.get(&target.text)?.clone();
            Some(Proxied { target: target.clone(), proxy })
        };
        let proxies = targets.iter().filter_map(proxied).collect();
        Ok(Plan {
            set: self.reference(),
            question: self.question.clone(),
            targets,
            repeated,
            proxies,
            budget,
            bytes: self.bytes,
            checks,
        })
    }

    /// Every check that a machine may come to run for the request, whichever way it has to the targets: what is shown to people who do not know that
    /// way. Those that a proxy alone brings come last, with a made-up name in the proxy's place.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn either_way(&self, request: &Request) -> Result<Vec<(PlannedCheck, Way)>, PlanError> {
        let direct = self.plan(&Request { proxies: BTreeMap::new(), ..request.clone() })?.checks;
        let stand_in = ProxyAddress { host: STAND_IN_PROXY.0.to_owned(), port: STAND_IN_PROXY.1 };
        let proxies = request.targets.iter().map(|target| (target.clone(), stand_in.clone())).collect();
        let proxied = self.plan(&Request { proxies, ..request.clone() })?.checks;
        let has = |checks: &[PlannedCheck], id: &CheckId| checks.iter().any(|check| check.id == *id);
        let first = direct.iter().map(|check| {
            let way = if has(&proxied, &check.id) { Way::Either } else { Way::Direct };
            (check.clone(), way)
        });
        let rest = proxied.iter().filter(|check| !has(&direct, &check.id)).map(|check| (check.clone(), Way::Proxied));
        Ok(first.chain(rest).collect())
    }

    fn targets(&self, given: &[String]) -> Result<Vec<Target>, PlanError> {
        let set = self.name.clone();
        match self.target {
            None if !given.is_empty() => Err(PlanError::TargetNotTaken { set }),
            None => Ok(Vec::new()),
            Some(_) if given.len() > MAX_TARGETS => Err(PlanError::TooManyTargets { given: given.len() }),
            Some(form) if given.is_empty() => {
                use crate::target::TargetForm as F;
                let example = match form {
                    F::Host => "db.example",
                    F::Endpoint => "db.example:5432",
                    F::Url => "https://shop.example/",
                };
                Err(PlanError::NoTarget { set, example })
            }
            Some(form) => Ok(given.iter().map(|text| Target::parse(text, form)).collect::<Result<_, _>>()?),
        }
    }

    fn values(&self, given: &BTreeMap<String, String>) -> Result<Map<String, Value>, PlanError> {
        let set = || self.name.clone();
        if let Some(name) = given.keys().find(|name| !self.parameters.iter().any(|parameter| parameter.name == **name)) {
            let known: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let hint = match nearest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if known.is_empty() => "it has none".to_owned(),
                None => format!("known: {}", known.join(", ")),
            };
            return Err(PlanError::UnknownParameter { set: set(), name: name.clone(), hint });
        }
        let mut values = Map::new();
        for parameter in &self.parameters {
            let value = match (given.get(&parameter.name), &parameter.default) {
                (Some(text), _) => typed(text),
                (None, Some(default)) => default.clone(),
                (None, None) => return Err(PlanError::MissingParameter { set: set(), name: parameter.name.clone() }),
            };
            // A number or word may also be meant as text.
            let value = match (given.get(&parameter.name), parameter.kind) {
                (Some(text), super::SetParameterType::Text) => Value::String(text.clone()),
                (Some(text), super::SetParameterType::List) => text.split(',').map(|item| typed(item.trim())).collect(),
                _ => value,
            };
            parameter.check(&value).map_err(PlanError::ParameterValue)?;
            values.insert(parameter.name.clone(), value);
        }
        Ok(values)
    }

    fn instantiate(
        &self,
        aim: &Aim<'_>,
        parameters: &Map<String, Value>,
        request: &Request,
        checks: &mut Vec<PlannedCheck>,
    ) -> Result<(), PlanError> {
        let suffix = if aim.place == 0 { String::new() } else { format!("#{}", aim.place + 1) };
        let own_id = |id: &str| CheckId::new(format!("{id}{suffix}"));
        let applies = |check: &SetCheck| check.when.iter().all(|condition| holds(condition, aim, parameters));
        let applying: Vec<&SetCheck> = self.checks.iter().filter(|check| applies(check)).collect();
        // What became of a check: one, or one for each item. Of a check with the same items, only the one of the same item.
        let instances = |of: &str, by: &SetCheck, place: usize| -> Vec<CheckId> {
            let Some(other) = applying.iter().find(|other| other.id == of) else { return Vec::new() };
            match other.each(parameters) {
                None => vec![own_id(of)],
                Some(_) if other.for_each == by.for_each => vec![own_id(&instance(of, place))],
                Some(items) => (0..items.len()).map(|place| own_id(&instance(of, place))).collect(),
            }
        };
        for check in &applying {
            let samples = check.sampling(parameters)?;
            let items = check.each(parameters).map_or_else(|| vec![None], |items| items.into_iter().map(Some).collect());
            for (place, each) in items.into_iter().enumerate() {
                let needs = check.needs.iter().flat_map(|need| instances(need, check, place)).collect();
                let when = check.when.iter().filter_map(|condition| {
                    let of = instances(condition.check()?, check, place);
                    // A check that does not apply keeps its name, so that the condition on it does not hold.
                    Some((condition.clone(), if of.is_empty() { vec![own_id(condition.check()?)] } else { of }))
                });
                checks.push(PlannedCheck {
                    id: own_id(&each.as_ref().map_or_else(|| check.id.clone(), |_| instance(&check.id, place))),
                    required: check.required,
                    target: aim.target.cloned(),
                    needs,
                    when: when.collect(),
                    deadline: check.deadline.min(self.budget),
                    samples,
                    params: fill(check, aim, each.as_ref(), parameters, request)?,
                });
            }
        }
        Ok(())
    }
}

/// Host and port in the place of a machine's own proxy, which nobody else knows. The name leads nowhere (RFC 6761 section 6.4), so that a set which
/// writes it out gains nothing by it.
pub const STAND_IN_PROXY: (&str, u16) = ("proxy.invalid", 3128);

/// What one instance of the set's checks is aimed at.
pub(super) struct Aim<'a> {
    pub(super) target: Option<&'a Target>,
    /// Among the targets, from 0.
    pub(super) place: usize,
    pub(super) proxy: Option<&'a ProxyAddress>,
}

/// The id of what a check became for one item, from 1: `connect.2`.
fn instance(id: &str, place: usize) -> String {
    format!("{id}.{}", place + 1)
}

/// Each target once, in the order given, and those that were given again. Two ways of writing the same are the same.
fn once_each(given: Vec<Target>) -> (Vec<Target>, Vec<Target>) {
    let (mut targets, mut repeated) = (Vec::<Target>::new(), Vec::new());
    for target in given {
        let is_same = |other: &Target| {
            (other.scheme, &other.host, other.port, &other.path) == (target.scheme, &target.host, target.port, &target.path)
        };
        if targets.iter().any(is_same) {
            repeated.push(target);
        } else {
            targets.push(target);
        }
    }
    (targets, repeated)
}

/// Conditions on the target, the way to it and the set's parameters; those on other checks are the runner's.
pub(super) fn holds(condition: &Condition, aim: &Aim<'_>, parameters: &Map<String, Value>) -> bool {
    let target = aim.target;
    match condition {
        Condition::Named => target.is_some_and(|target| target.address().is_none()),
        Condition::Tls => target.is_some_and(|target| match target.scheme {
            Some(scheme) => scheme == Scheme::Https,
            None => target.port == Some(443),
        }),
        Condition::Port => target.is_some_and(|target| target.port.is_some()),
        Condition::NoPort => target.is_some_and(|target| target.port.is_none()),
        Condition::Direct => aim.proxy.is_none(),
        Condition::Proxied => aim.proxy.is_some(),
        Condition::Given(name) => parameters.get(name).is_some_and(|value| value.as_str() != Some("")),
        Condition::Differs(name, other) => {
            parameters.get(name).is_some_and(|value| value.as_str().map_or_else(|| *value != typed(other), |text| text != other))
        }
        Condition::Failed(_) | Condition::Succeeded(_) | Condition::Unless(_) => true,
    }
}

/// A check's parameters with every name filled in, as they are measured with.
pub(super) fn fill(
    check: &SetCheck,
    aim: &Aim<'_>,
    each: Option<&Value>,
    parameters: &Map<String, Value>,
    request: &Request,
) -> Result<Params, PlanError> {
    let look_up = |name: &str| -> Value {
        match (name, aim.target) {
            ("each", _) => each.cloned().unwrap_or(Value::Null),
            ("target", Some(target)) => Value::String(target.to_string()),
            ("target.host", Some(target)) => Value::String(target.host.clone()),
            ("target.port", Some(target)) => target.port.map_or(Value::Null, Value::from),
            ("target.url", Some(target)) => target.url().map_or(Value::Null, Value::String),
            ("target.scheme", Some(target)) => {
                target.scheme.map_or(Value::Null, |scheme| Value::String(scheme.as_str().to_owned()))
            }
            ("proxy.host", Some(_)) => aim.proxy.map_or(Value::Null, |proxy| Value::String(proxy.host.clone())),
            ("proxy.port", Some(_)) => aim.proxy.map_or(Value::Null, |proxy| Value::from(proxy.port)),
            ("contact.host", Some(target)) => Value::String(aim.proxy.map_or(&target.host, |proxy| &proxy.host).clone()),
            _ => parameters.get(name).cloned().unwrap_or(Value::Null),
        }
    };
    let fields = check.kind.fields();
    // What is written out has the type that it is written in; what a name stands for takes the parameter's.
    let filled = |key: &String, value: &Value| {
        let filled = template::fill(value, &look_up);
        let field = fields.iter().find(|field| field.name == *key).filter(|_| filled != *value);
        field.map_or_else(|| filled.clone(), |field| field.kind.fitted(filled.clone()))
    };
    let mut with: Map<String, Value> =
        check.with.iter().map(|(key, value)| (key.clone(), filled(key, value))).filter(|(_, value)| !value.is_null()).collect();
    use crate::kind::Kind;
    if check.kind == Kind::Http && !request.expect_status.is_empty() {
        with.insert("expect_status".into(), request.expect_status.clone().into());
    }
    if check.kind == Kind::Dns && !request.resolvers.is_empty() {
        with.insert("servers".into(), request.resolvers.clone().into());
    }
    if check.kind == Kind::Host && aim.place > 0 {
        // The machine is the same for every target; only the way differs.
        with.insert("only_route".into(), true.into());
    }
    Params::parse(check.kind, Value::Object(with)).map_err(|error| PlanError::Check { check: check.id.clone(), error })
}

fn typed(text: &str) -> Value {
    match (text, text.parse::<i64>()) {
        ("true", _) => Value::Bool(true),
        ("false", _) => Value::Bool(false),
        (_, Ok(number)) => Value::from(number),
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::set::find_built_in;

    fn web(targets: &[&str]) -> Result<Plan, PlanError> {
        let request = Request { targets: targets.iter().map(|text| (*text).to_owned()).collect(), ..Request::default() };
        find_built_in("web").unwrap().parse().unwrap().plan(&request)
    }

    #[test]
    fn an_address_needs_no_lookup_and_plain_http_no_handshake() {
        let plan = web(&["http://192.0.2.1/"]).unwrap();
        assert!(plan.checks.iter().all(|check| !matches!(check.params.kind(), Kind::Dns | Kind::Tls)));
        let named = web(&["https://shop.example/"]).unwrap();
        assert!(named.checks.iter().any(|check| check.params.kind() == Kind::Dns && check.required));
        assert!(named.checks.iter().any(|check| check.params.kind() == Kind::Tls && check.required));
    }

    #[test]
    fn a_check_may_be_left_out_for_one_value_of_a_parameter() {
        let checks = |protocol: &str| -> Vec<Kind> {
            let parameters = [("protocol".to_owned(), protocol.to_owned())].into();
            let request = Request { targets: vec!["db.example:1433".into()], parameters, ..Request::default() };
            let plan = find_built_in("sql-endpoint").unwrap().parse().unwrap().plan(&request).unwrap();
            plan.checks.iter().map(|check| check.params.kind()).collect()
        };
        assert!(checks("mysql").contains(&Kind::Tls));
        assert!(!checks("mssql").contains(&Kind::Tls) && checks("mssql").contains(&Kind::Service));
    }

    #[test]
    fn the_second_target_has_checks_of_its_own() {
        let plan = web(&["a.example", "b.example"]).unwrap();
        let ids: Vec<&str> = plan.checks.iter().map(|check| check.id.as_str()).collect();
        assert!(ids.contains(&"connect") && ids.contains(&"connect#2"), "{ids:?}");
        let second = plan.checks.iter().find(|check| check.id.as_str() == "connect#2").unwrap();
        assert!(second.needs.iter().all(|need| need.as_str().ends_with("#2")));
    }

    /// What would blame the target behind a proxy that alone reaches it is left out, and what uses the proxy is not.
    #[test]
    fn behind_a_proxy_only_the_proxy_is_connected_to() {
        let proxies = [("https://shop.example/".to_owned(), ProxyAddress { host: "proxy.example".into(), port: 3128 })];
        let request = Request {
            targets: vec!["https://shop.example/".into(), "https://inner.example/".into()],
            proxies: proxies.into(),
            ..Request::default()
        };
        let plan = find_built_in("web").unwrap().parse().unwrap().plan(&request).unwrap();
        let of = |suffix: bool| {
            let ids = plan.checks.iter().map(|check| check.id.as_str()).filter(move |id| id.contains('#') == suffix);
            ids.collect::<Vec<_>>()
        };
        assert_eq!(of(false), ["machine", "proxy", "http"]);
        assert!(of(true).contains(&"connect#2") && !of(true).contains(&"proxy#2"), "{:?}", of(true));
        let [machine, proxy, http] = &plan.checks[..3] else { panic!("{plan:?}") };
        assert_eq!(machine.params.to_value()["target"], "proxy.example");
        assert_eq!((&proxy.params.to_value()["host"], &proxy.params.to_value()["port"]), (&"proxy.example".into(), &3128.into()));
        assert!(proxy.required && http.required && http.needs == [CheckId::new("proxy")], "{http:?}");
    }

    #[test]
    fn what_only_a_proxy_brings_is_shown_as_such() {
        let set = find_built_in("web").unwrap().parse().unwrap();
        let request = Request { targets: vec!["https://shop.example/".into()], ..Request::default() };
        let all = set.either_way(&request).unwrap();
        let way = |id: &str| all.iter().find(|(check, _)| check.id.as_str() == id).map(|(_, way)| *way);
        assert_eq!((way("http"), way("connect"), way("proxy")), (Some(Way::Either), Some(Way::Direct), Some(Way::Proxied)));
    }

    #[test]
    fn a_target_that_is_given_twice_is_measured_once_and_told() {
        let plan = web(&["shop.example", "https://Shop.example/", "shop.example:80"]).unwrap();
        assert_eq!(
            plan.targets.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["https://shop.example/", "http://shop.example/"]
        );
        assert_eq!(plan.repeated.iter().map(|target| target.text.as_str()).collect::<Vec<_>>(), ["https://Shop.example/"]);
        assert!(!plan.checks.iter().any(|check| check.id.as_str().ends_with("#3")));
    }

    #[test]
    fn the_machine_is_read_for_the_first_target_only() {
        let plan = web(&["a.example", "b.example"]).unwrap();
        let machines = plan.checks.iter().filter(|check| check.params.kind() == Kind::Host);
        let read: Vec<_> = machines.map(|check| check.params.to_value()["only_route"].clone()).collect();
        assert_eq!(read, [Value::Bool(false), Value::Bool(true)]);
    }

    /// Only what needs no right is required, and only where a ping, which may need one, did not already tell.
    #[test]
    fn without_a_port_quick_requires_an_answer() {
        let set = find_built_in("quick").unwrap().parse().unwrap();
        let plan = |target: &str| set.plan(&Request { targets: vec![target.into()], ..Request::default() }).unwrap();
        let bare = plan("192.0.2.1");
        let path = bare.checks.iter().find(|check| check.params.kind() == Kind::Traceroute).unwrap();
        assert!(path.required && path.params.to_value()["protocol"] == "udp", "{path:?}");
        assert_eq!(path.when, [(Condition::Unless("echo".into()), vec![CheckId::new("echo")])]);
        assert!(!plan("192.0.2.1:443").checks.iter().any(|check| check.params.kind() == Kind::Traceroute));
    }

    #[test]
    fn a_missing_target_and_an_unknown_parameter_say_what_to_do() {
        assert!(web(&[]).unwrap_err().to_string().contains("--target https://shop.example/"));
        let set = find_built_in("path").unwrap().parse().unwrap();
        let request =
            Request { targets: vec!["x".into()], parameters: [("cuont".into(), "1".into())].into(), ..Request::default() };
        assert!(set.plan(&request).unwrap_err().to_string().contains("did you mean `count`"));
    }
}
