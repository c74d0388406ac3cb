//! The attack corpus: `lab attacks` carries it out; here is what it must come to.

use netsonde_contract::order::RefusalCode;
use netsonde_tests::programs::program;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Attacks that there must be at least.
const LEAST_CASES: usize = 60;

/// Refusals that no order from elsewhere brings about by itself, each with the reason.
const WITHOUT_ATTACK: &[(RefusalCode, &str)] = &[
    (RefusalCode::CannotBeChecked, "the gate says it of a packet, within a run: `own_proxy_hides_the_address`"),
    (RefusalCode::LocalOnly, "a set has no words for what only a person may ask for"),
    (RefusalCode::Declined, "a person says it"),
    (RefusalCode::NotAnswered, "no person says anything for as long as the order lives"),
    (RefusalCode::Cloned, "the backend says it: `cloned`"),
];

#[test]
fn no_attack_is_accepted_and_every_control_runs() {
    let output = Command::new(program("lab").unwrap()).args(["attacks", "--jobs", "4", "--show"]).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if let Some(line) = text.lines().find(|line| line.starts_with("skipped: ")) {
        assert!(std::env::var_os("CI").is_none(), "{line}");
        eprintln!("{line}");
        return;
    }
    assert!(output.status.success(), "{text}");
    let tried = text.lines().find_map(|line| line.strip_suffix(" attacks tried, accepted 0")).expect("it says what it came to");
    assert!(tried.parse::<usize>().unwrap() >= LEAST_CASES, "{tried}");
}

/// The folder's name and the file's text of every case.
fn cases() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.map(|path| (name(&path), fs::read_to_string(path.join("case.toml")).unwrap())).collect()
}

#[test]
fn every_refusal_has_an_attack() {
    let met: BTreeSet<String> = cases()
        .iter()
        .flat_map(|(_, text)| text.lines().filter_map(|line| line.strip_prefix("expect = \"refused:")))
        .map(|code| code.trim_end_matches('"').to_owned())
        .collect();
    for code in RefusalCode::ALL {
        let excused = WITHOUT_ATTACK.iter().any(|(excused, _)| excused == code);
        assert!(met.contains(code.as_str()) != excused, "{code}: an attack, or a reason why there is none");
    }
}

#[test]
fn every_attack_says_in_a_sentence_what_it_is() {
    for (name, text) in cases() {
        let what = text.lines().next().and_then(|line| line.strip_prefix("what = \"")).unwrap_or_default();
        assert!(what.len() > 10 && what.ends_with(".\""), "{name}: {what}");
    }
}

/// A broken zone, or a kind that measures nothing, sends no packet either.
#[test]
fn an_attack_that_may_run_shows_that_it_came_far_enough() {
    for (name, text) in cases() {
        let case: toml::Table = text.parse().unwrap();
        let has = |key: &str| case.get(key).and_then(toml::Value::as_array).is_some_and(|list| !list.is_empty());
        let does_the_same = case.get("control").is_some_and(|control| control.get("order").is_some());
        let runs = case["expect"].as_str() == Some("runs");
        assert!(!runs || has("says") || has("given") || does_the_same, "{name}: add `says`, `given` or a `[control.order]`");
    }
}

/// What the table names besides cases: tests of other programs.
const TESTS_ELSEWHERE: [&str; 4] =
    ["remote_page", "remote_clock", "stolen_database", "a_stolen_transport_key_reads_no_other_agents_work_and_no_bundle"];

#[test]
fn the_documented_table_names_cases_that_there_are_and_counts_them() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/attacks.md")).unwrap();
    let cases = cases();
    assert!(text.contains(&format!("\n{} cases. ", cases.len())), "there are {} cases", cases.len());
    let table: Vec<&str> =
        text.lines().skip_while(|line| *line != "| attack | cases |").skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(table.len() > 30, "{} rows", table.len());
    for row in table {
        let named: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row}");
        for name in named {
            let is_there = cases.iter().any(|(case, _)| case == name) || TESTS_ELSEWHERE.contains(&name);
            assert!(is_there, "there is no attack {name}");
        }
    }
}
