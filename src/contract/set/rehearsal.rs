//! What a run would refuse of a set, told before there is a target: the same filling in, with stand-ins.

use super::plan::{Aim, fill, holds};
use super::{Condition, PlanError, ProbeSet, ProxyAddress, Request, SetCheck, template};
use crate::kind::ParameterError;
use crate::target::{Target, TargetForm};
use serde_json::{Map, Value};

/// Why a run would refuse a check.
#[derive(Debug, PartialEq)]
pub(super) struct Refused {
    /// Among the set's checks, from 0.
    pub(super) place: usize,
    pub(super) check: String,
    /// The parameter at fault, where there is one.
    pub(super) key: Option<String>,
    pub(super) message: String,
}

/// Targets that have all that a target may have. What a check takes of one kind only, a name or an address, it finds in one of them.
const STAND_INS: [&str; 2] = ["https://host.example:443/", "https://192.0.2.1:443/"];

/// The first mistake of each check, where a run would meet it whatever the target is.
pub(super) fn refused(set: &ProbeSet) -> Vec<Refused> {
    let defaults = set.parameters.iter().filter_map(|parameter| Some((parameter.name.clone(), parameter.default.clone()?)));
    let defaults: Map<String, Value> = defaults.collect();
    let each_of = |(place, check): (usize, &SetCheck)| {
        let error = of_check(set, check, &defaults)?;
        Some(Refused { place, check: check.id.clone(), key: error.key, message: error.message })
    };
    set.checks.iter().enumerate().filter_map(each_of).collect()
}

fn of_check(set: &ProbeSet, check: &SetCheck, defaults: &Map<String, Value>) -> Option<ParameterError> {
    if !is_known(set, check, defaults) {
        return None;
    }
    if let Err(error) = check.sampling(defaults) {
        return Some(ParameterError { key: None, message: error.to_string() });
    }
    let items = check.each(defaults).map_or_else(|| vec![None], |items| items.into_iter().map(Some).collect::<Vec<_>>());
    items.iter().find_map(|each| whatever_the_target(check, each.as_ref(), defaults))
}

/// Whether all that the check names has a value before the run: a parameter without a default, or one that the check waits to be given,
/// has none.
fn is_known(set: &ProbeSet, check: &SetCheck, defaults: &Map<String, Value>) -> bool {
    let repeated = [&check.for_each, &check.samples, &check.every].into_iter().flatten();
    let texts = check.with.values().chain(repeated).flat_map(texts);
    let mut names = texts.flat_map(template::names);
    let is_open = |name: &str| set.parameters.iter().any(|own| own.name == name) && !defaults.contains_key(name);
    let aim = Aim { target: None, place: 0, proxy: None };
    let of_parameters = |condition: &&Condition| condition.parameter().is_some();
    check.when.iter().filter(of_parameters).all(|condition| holds(condition, &aim, defaults)) && !names.any(is_open)
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The mistake that the check makes at every stand-in.
fn whatever_the_target(check: &SetCheck, each: Option<&Value>, defaults: &Map<String, Value>) -> Option<ParameterError> {
    let proxy = ProxyAddress { host: "proxy.example".to_owned(), port: 3_128 };
    let mut first = None;
    for text in STAND_INS {
        let target = Target::parse(text, TargetForm::Url).ok()?;
        let aim = Aim { target: Some(&target), place: 0, proxy: Some(&proxy) };
        match fill(check, &aim, each, defaults, &Request::default()) {
            Err(PlanError::Check { error, .. }) => first = first.or(Some(error)),
            // Only a check's own parameters are at stake here.
            Err(_) | Ok(_) => return None,
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use crate::set::{ProbeSet, Request, built_in};

    fn set(check: &str) -> String {
        let parameters = "[parameters.pin]\nhelp = \"A pin.\"\ntype = \"text\"\ndefault = \"\"\n\n[parameters.port]\nhelp = \"A port.\"\ntype = \"integer\"\n";
        format!("name = \"mine\"\nquestion = \"Does it?\"\ntarget = \"host\"\n\n{parameters}\n[[check]]\nid = \"a\"\n{check}\n")
    }

    fn told(check: &str) -> Vec<String> {
        let checked = ProbeSet::check_whole("mine.toml", &set(check));
        checked.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_item_that_says_a_number_is_one_in_check_and_run_alike() {
        let text = set("kind = \"tcp\"\nfor_each = [\"82\", \"9\"]\nwith = { host = \"{target.host}\", port = \"{each}\" }");
        let set = ProbeSet::check_whole("mine.toml", &text).unwrap();
        let parameters = [("port".to_owned(), "1".to_owned())].into();
        let plan = set.plan(&Request { targets: vec!["db.example".into()], parameters, ..Request::default() }).unwrap();
        let ports: Vec<_> = plan.checks.iter().map(|check| check.params.to_value()["port"].clone()).collect();
        assert_eq!(ports, [82, 9]);
    }

    #[test]
    fn what_every_run_would_refuse_is_told_at_its_place() {
        for (check, words) in [
            (
                "kind = \"tcp\"\nfor_each = [82, \"http\"]\nwith = { host = \"{target.host}\", port = \"{each}\" }",
                "mine.toml:18:41: check `a`: `port` is \"http\", but must be a whole number",
            ),
            (
                "kind = \"tcp\"\nfor_each = [82, 70000]\nwith = { host = \"{target.host}\", port = \"{each}\" }",
                "`port` is 70000, but must be at most 65535",
            ),
            ("kind = \"tls\"\nwith = { host = \"{target.host}\", pin = \"abc\" }", "64 hexadecimal"),
            ("kind = \"icmp\"\nsamples = 3600\nevery = \"1h\"\nwith = { host = \"{target.host}\" }", "a run at most 3600"),
        ] {
            let told = told(check);
            assert!(told.len() == 1 && told[0].contains(words), "{told:?}\nwanted {words}");
        }
    }

    #[test]
    fn what_only_the_run_knows_is_no_mistake() {
        for check in [
            "kind = \"tcp\"\nwith = { host = \"{target.host}\", port = \"{port}\" }",
            "kind = \"tls\"\nwhen = [\"given:pin\"]\nwith = { host = \"{target.host}\", pin = \"{pin}\" }",
            "kind = \"dns\"\nwith = { name = \"shop.example\", servers = [\"{target.host}\"] }",
        ] {
            assert_eq!(told(check), Vec::<String>::new(), "{check}");
        }
        for set in built_in() {
            ProbeSet::check_whole(set.name, set.text).unwrap();
        }
    }
}
