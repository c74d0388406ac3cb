//! What whoever has no privileges loses: of each scenario what root was told and what nobody was, where they differ.

use super::scenario::User;
use super::trial::{Stage, Trial};
use netsonde_contract::finding::{Finding, Severity};
use std::collections::BTreeMap;

/// A confidence that differs by less is the same.
const SAME: f64 = 0.005;

/// One network over one family, asked by both.
#[derive(Default)]
struct Pair<'a> {
    root: Option<&'a Trial>,
    nobody: Option<&'a Trial>,
}

/// Prints a line for each scenario and family in which the two differ, and the scenarios that only root is asked.
pub(crate) fn print(trials: &[Trial]) {
    let mut pairs: BTreeMap<(&str, &str), Pair<'_>> = BTreeMap::new();
    for trial in trials.iter().filter(|trial| trial.stage == Stage::Fault) {
        let pair = pairs.entry((&trial.scenario, trial.family.name())).or_default();
        match trial.user {
            User::Root => pair.root = Some(trial),
            User::Nobody => pair.nobody = Some(trial),
        }
    }
    let lines: Vec<String> = pairs.iter().filter_map(|((scenario, family), pair)| line(scenario, family, pair)).collect();
    let both = pairs.values().filter(|pair| pair.root.is_some() && pair.nobody.is_some()).count();
    println!("\nwhat is lost without privileges ({} of {both} networks asked by both)", lines.len());
    if !lines.is_empty() {
        println!("{:<40} {:<42} nobody is told", "network", "root is told");
    }
    for line in lines {
        println!("{line}");
    }
    let mut alone: Vec<&str> =
        pairs.iter().filter(|(_, pair)| pair.nobody.is_none()).map(|((scenario, _), _)| *scenario).collect();
    alone.dedup();
    if !alone.is_empty() {
        println!("asked by root only, because nothing else sees the fault: {}", alone.join(", "));
    }
}

fn line(scenario: &str, family: &str, pair: &Pair<'_>) -> Option<String> {
    let (root, nobody) = (pair.root?, pair.nobody?);
    let less = match (first(root), first(nobody)) {
        (Some(root), Some(nobody)) => {
            root.cause != nobody.cause
                || root.confidence - nobody.confidence > SAME
                || (root.place.hop.is_some() && nobody.place.hop.is_none())
        }
        (Some(_), None) => true,
        (None, _) => false,
    };
    less.then(|| format!("{:<40} {:<42} {}", format!("{scenario} {family}"), told(root), told(nobody)))
}

/// The first finding that is more than a notice.
fn first(trial: &Trial) -> Option<&Finding> {
    trial.document()?.findings.iter().find(|finding| finding.severity >= Severity::Degraded)
}

fn told(trial: &Trial) -> String {
    match first(trial) {
        Some(finding) => {
            let hop = finding.place.hop.map_or(String::new(), |hop| format!(", hop {hop}"));
            format!("{} ({:.2}{hop})", finding.cause, finding.confidence)
        }
        None => trial.said(),
    }
}
