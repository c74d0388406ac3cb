//! Every cause that netsonde can name is proven by a network in which it is the cause, and healthy networks stay quiet.

use netsonde_diagnosis::RULES;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// Causes that no file of the lab can produce, and what proves them instead.
const ELSEWHERE: [(&str, &str); 3] = [
    ("cloud.metadata_unreachable", "cloud.rs: a namespace with the clouds' own addresses"),
    ("cloud.platform_address_unreachable", "cloud.rs: a namespace with the clouds' own addresses"),
    ("host.permission_denied", "its own tests: only a security module refuses every socket"),
];

/// Networks that are odd and fine.
const LEAST_HEALTHY: usize = 15;

fn scenarios() -> Vec<(String, Table)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/scenarios");
    let read = |path: &Path| fs::read_to_string(path).unwrap().parse::<Table>().unwrap();
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), read(&path)))
        .collect()
}

fn cause(scenario: &Table) -> Option<&str> {
    let expected = scenario.get("expect").and_then(|expect| expect.get("cause"));
    expected.or_else(|| scenario.get("notice")).and_then(Value::as_str)
}

#[test]
fn every_rule_is_proven_by_a_scenario_that_fires() {
    let scenarios = scenarios();
    let fired: BTreeSet<&str> = scenarios.iter().filter_map(|(_, scenario)| cause(scenario)).collect();
    let unproven: Vec<&str> = RULES
        .iter()
        .map(|rule| rule.code)
        .filter(|code| !fired.contains(code) && !ELSEWHERE.iter().any(|(elsewhere, _)| elsewhere == code))
        .collect();
    assert!(unproven.is_empty(), "no scenario fires for {unproven:?}");
    let needless: Vec<_> = ELSEWHERE.iter().filter(|(code, _)| fired.contains(code)).collect();
    assert!(needless.is_empty(), "{needless:?} have scenarios after all");
}

#[test]
fn every_scenario_names_a_cause_that_a_rule_finds() {
    let known: BTreeSet<&str> = RULES.iter().map(|rule| rule.code).collect();
    let unknown: Vec<_> = scenarios()
        .iter()
        .filter_map(|(name, scenario)| cause(scenario).filter(|code| !known.contains(code)).map(|code| format!("{name}: {code}")))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn enough_networks_are_odd_and_fine() {
    let healthy = scenarios().iter().filter(|(_, scenario)| !scenario.contains_key("expect")).count();
    assert!(healthy >= LEAST_HEALTHY, "only {healthy}");
}
