use super::calibration::{buckets, criteria, interval, is_right};
use crate::placing::{self, Named};
use crate::scenario::Place;
use crate::trial::{Stage, Trial};
use crate::{print_confusion, print_times};
use netsonde_contract::finding::{Severity, State};
use std::collections::BTreeMap;

/// What became of one trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Right,
    /// Of two faults that can both be seen one is missing.
    OneOfTwo,
    /// The right cause is among the findings, and not the first.
    InList,
    Wrong,
    /// It was said that something is wrong and that no cause explains it.
    Unexplained,
    Missed,
    Fine,
    FalseProblem,
    NotMeasured,
    NoAnswer,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Right => "right first",
            Self::OneOfTwo => "one of two",
            Self::InList => "in the list",
            Self::Wrong => "WRONG",
            Self::Unexplained => "unexplained",
            Self::Missed => "missed",
            Self::Fine => "fine",
            Self::FalseProblem => "FALSE PROBLEM",
            Self::NotMeasured => "not measured",
            Self::NoAnswer => "NO ANSWER",
        }
    }

    fn is_well(self) -> bool {
        matches!(self, Self::Right | Self::Fine)
    }

    fn of(trial: &Trial) -> Self {
        let Some(document) = trial.document() else { return Self::NoAnswer };
        let said = trial.said();
        let not_measured = said == "nothing" && document.state == State::Indeterminate;
        let Some(expect) = trial.expect.as_ref().filter(|_| trial.stage == Stage::Fault) else {
            return match said.as_str() {
                "nothing" if not_measured => Self::NotMeasured,
                "nothing" => Self::Fine,
                _ => Self::FalseProblem,
            };
        };
        let is_named = |causes: &Vec<String>| document.findings.iter().any(|finding| causes.contains(&finding.cause));
        let is_listed = || document.findings.iter().any(|finding| trial.right_causes().contains(&finding.cause.as_str()));
        match said.as_str() {
            _ if said == expect.cause || expect.or.contains(&said) => {
                if expect.named.iter().all(is_named) {
                    Self::Right
                } else {
                    Self::OneOfTwo
                }
            }
            _ if is_listed() => Self::InList,
            "unexplained" => Self::Unexplained,
            "nothing" if not_measured => Self::NotMeasured,
            "nothing" => Self::Missed,
            _ => Self::Wrong,
        }
    }
}

/// Prints what became of all trials. The result: how many came out well, and how many criteria are broken.
pub(crate) fn report(trials: &[Trial], abouts: &BTreeMap<String, String>, seed: u64, show: bool) -> (usize, usize) {
    println!("{:<34} {:<28} {:<28} {:>7}  verdict", "trial", "expected", "said first", "time");
    for trial in trials {
        let verdict = Verdict::of(trial);
        println!(
            "{:<34} {:<28} {:<28} {:>5.1} s  {}",
            trial.name(),
            trial.expected_cause(),
            trial.said(),
            trial.seconds,
            verdict.name()
        );
        if !verdict.is_well() {
            println!("    {}", abouts.get(&trial.scenario).map_or("", String::as_str));
        }
        print_wrong(trial);
        for (place, _) in named_places(trial).filter(|(_, named)| *named == Named::Wrong) {
            println!("    not there: it is {}", told(place));
        }
        if show && !verdict.is_well() {
            println!("{}", trial.transcript);
        }
    }
    print_totals(trials, seed);
    print_confusion(trials);
    let buckets = buckets(trials);
    println!("\nconfidence      findings  problems  right  share  95% interval");
    for bucket in &buckets {
        let (low, high) = interval(bucket.right, bucket.findings);
        let share = if bucket.findings == 0 {
            "-".to_owned()
        } else {
            format!("{:.3}", f64::from(bucket.right) / f64::from(bucket.findings))
        };
        println!(
            "{:.1} and above   {:>8}  {:>8}  {:>5}  {share:>5}  {low:.3} to {high:.3}",
            bucket.from, bucket.findings, bucket.problems, bucket.right
        );
    }
    print_times(trials);
    println!();
    let false_problems = trials.iter().filter(|trial| Verdict::of(trial) == Verdict::FalseProblem).count();
    let criteria = criteria(&buckets, false_problems);
    for (words, kept) in &criteria {
        println!("{} {words}", if *kept { "kept  " } else { "BROKEN" });
    }
    let unanswered = trials.iter().filter(|trial| Verdict::of(trial) == Verdict::NoAnswer).count();
    let well = trials.iter().filter(|trial| Verdict::of(trial).is_well()).count();
    (well, criteria.iter().filter(|(_, kept)| !kept).count() + unanswered)
}

/// Findings that are not so, wherever they stand.
fn print_wrong(trial: &Trial) {
    for finding in trial.document().into_iter().flat_map(|document| &document.findings) {
        if !is_right(trial, finding) {
            let severity = if finding.severity > Severity::Notice { "problem" } else { "notice" };
            println!("    not so: {severity} {} {:.2} {}", finding.cause, finding.confidence, finding.sentence);
        }
    }
}

/// Where it should have been.
fn told(place: &Place) -> String {
    match place.port {
        Some(port) => format!("port {port}"),
        None => format!("hop {}", place.hops.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")),
    }
}

/// Of the faults whose cause was found, and that lie at a place: whether it was named.
fn print_places(trials: &[Trial]) {
    let places = trials.iter().filter(|trial| trial.stage == Stage::Fault).flat_map(named_places);
    let named: Vec<Named> = places.map(|(_, named)| named).collect();
    let count = |wanted: Named| named.iter().filter(|named| **named == wanted).count();
    let (right, wrong) = (count(Named::Right), count(Named::Wrong));
    println!("place named right {right} of {}, and {} where none is named", right + wrong, count(Named::Not));
}

/// The places that a trial's faults have, and what was said of each.
fn named_places(trial: &Trial) -> impl Iterator<Item = (&Place, Named)> {
    let places = trial.expect.iter().flat_map(|expect| &expect.places);
    places.filter_map(|place| Some((place, placing::named(place, trial.document()?)?)))
}

fn print_totals(trials: &[Trial], seed: u64) {
    let count = |stage: fn(Stage) -> bool| {
        let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
        for trial in trials.iter().filter(|trial| stage(trial.stage)) {
            *counts.entry(Verdict::of(trial)).or_default() += 1;
        }
        let all: usize = counts.values().sum();
        let words: Vec<String> = counts.into_iter().map(|(verdict, count)| format!("{count} {}", verdict.name())).collect();
        format!("{all} trials: {}", words.join(", "))
    };
    let networks: std::collections::BTreeSet<&str> = trials.iter().map(|trial| trial.scenario.as_str()).collect();
    println!("\n{} networks from seed {seed}; one again: cargo lab --generate 1 --seed SEED --show", networks.len());
    println!("with a fault     {}", count(|stage| stage == Stage::Fault));
    println!("without a fault  {}", count(|stage| stage != Stage::Fault));
    print_places(trials);
}
