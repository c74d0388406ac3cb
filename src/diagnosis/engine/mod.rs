//! Rules to findings.
//!
//! For each target: every rule proposes candidates; a narrower cause takes the place of the broader one that it refines; what
//! follows from a fault further up is dropped and recorded there; what is the same at several addresses becomes one finding.
//! The findings of all targets are then ranked together, and each failed check that none of them covers is said to be
//! unexplained.

/// What to do about failures without a cause.
mod advice;
/// What could not be measured.
mod gaps;
/// One finding for the same fault at several addresses.
mod merging;
/// Which finding stands before which.
mod ranking;
/// Runs that a redirect led elsewhere.
#[cfg(test)]
mod redirects;
/// Narrower causes in place of broader ones; consequences under their cause.
mod suppression;
/// Whole runs.
#[cfg(test)]
mod tests;
/// Failed checks without a cause, and what was ruled out for them.
mod unexplained;
/// Runs whose name server cannot be reached because of the way to it.
#[cfg(test)]
mod ways;

use crate::article;
use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::layer::Layer;
use crate::rule::Rule;
use crate::rules::{self, RULES};
use crate::separation;
use crate::spot::Spot;
use netsonde_contract::control::ControlSays;
use netsonde_contract::environment::Environment;
use netsonde_contract::finding::{Diagnosis, Finding, NotMeasured, Severity};
use netsonde_contract::outcome::Outcome;
use netsonde_contract::target::Target;

/// A confidence from which on nothing is left to settle.
pub(crate) const SETTLED: f64 = 0.9;

/// A candidate that stands so far, with the rule that proposed it and what it took the place of.
#[derive(Clone, Debug)]
pub(crate) struct Hypothesis {
    pub(crate) rule: &'static Rule,
    pub(crate) candidate: Candidate,
    /// Causes further down that follow from it.
    pub(crate) suppressed: Vec<String>,
    /// The first layer whose failures it explains: its own, or that of a consequence that is met earlier.
    pub(crate) from: Layer,
    /// What another run says of it, where there is one.
    pub(crate) control: Option<ControlSays>,
}

/// What is wrong, why, and what nobody can explain, from everything that the checks of a run observed.
pub fn diagnose(outcomes: &[Outcome], environment: &Environment) -> Diagnosis {
    conclude(outcomes, environment, &|_, hypotheses| hypotheses)
}

/// What else has a say in the hypotheses of one target, before they are held against each other.
pub(crate) type Weigh<'w> = dyn Fn(&Evidence<'_>, Vec<Hypothesis>) -> Vec<Hypothesis> + 'w;

/// [`diagnose`] with a say for something beside the run's own evidence.
pub(crate) fn conclude(outcomes: &[Outcome], environment: &Environment, weigh: &Weigh<'_>) -> Diagnosis {
    let mut findings = Vec::new();
    let mut unexplained = Vec::new();
    let mut not_measured: Vec<NotMeasured> = outcomes.iter().flat_map(|outcome| gaps::of(outcome, environment)).collect();
    for target in targets(outcomes) {
        let evidence = Evidence::of(outcomes, target, environment);
        let hypotheses = merging::merge(suppression::suppress(weigh(&evidence, propose(&evidence))));
        let (failures, held_back) = unexplained::of(&evidence, &hypotheses);
        unexplained.extend(failures);
        not_measured.extend(held_back);
        not_measured.extend(rules::held_back(&evidence));
        let told = suppression::without_signs(hypotheses);
        findings.extend(told.into_iter().map(|hypothesis| finding(hypothesis, target, environment)));
    }
    let mut findings = told_once(findings);
    ranking::rank(&mut findings);
    let state = Diagnosis::state_of(&findings, &unexplained, &not_measured);
    Diagnosis { state, findings, unexplained, not_measured }
}

/// What several targets show of this machine alike is told once, and of none of them.
fn told_once(findings: Vec<Finding>) -> Vec<Finding> {
    let mut once: Vec<Finding> = Vec::new();
    for finding in findings {
        let same = |known: &&mut Finding| {
            known.cause == CLOCK
                && known.cause == finding.cause
                && known.sentence == finding.sentence
                && known.place == finding.place
        };
        let Some(known) = once.iter_mut().find(same) else {
            once.push(finding);
            continue;
        };
        known.target = known.target.take().filter(|target| finding.target.as_ref() == Some(target));
        known.evidence.extend(finding.evidence.into_iter().filter(|id| !known.evidence.contains(id)).collect::<Vec<_>>());
        known
            .suppressed
            .extend(finding.suppressed.into_iter().filter(|code| !known.suppressed.contains(code)).collect::<Vec<_>>());
    }
    once
}

/// The one cause that rests on the evidence of all targets together.
const CLOCK: &str = "host.clock_skew";

/// The targets in the order of their first check; none stands for checks without a target.
pub(crate) fn targets(outcomes: &[Outcome]) -> Vec<Option<&Target>> {
    let mut targets: Vec<Option<&Target>> = Vec::new();
    for outcome in outcomes {
        if !targets.contains(&outcome.target.as_ref()) {
            targets.push(outcome.target.as_ref());
        }
    }
    targets
}

fn propose(evidence: &Evidence<'_>) -> Vec<Hypothesis> {
    let of_rule = |rule: &'static Rule| {
        let candidates = (rule.evaluate)(evidence).into_iter();
        candidates.map(move |candidate| hypothesis(rule, led_there(evidence, candidate), evidence.environment))
    };
    RULES.iter().flat_map(of_rule).collect()
}

/// Nobody asked for what only a redirect led to: the finding says whose redirect it was, or it would speak of a stranger.
fn led_there(evidence: &Evidence<'_>, mut candidate: Candidate) -> Candidate {
    let of_place = || candidate.place.url.clone().map(Spot::Url);
    let spots: Vec<Spot> = if candidate.about.is_empty() { of_place().into_iter().collect() } else { candidate.about.clone() };
    let led: Option<Vec<&str>> = spots.iter().map(|spot| evidence.led_by(spot)).collect();
    let said = candidate.sentence.contains("redirect");
    if let Some(from) = led.iter().flatten().next().filter(|_| !said && candidate.severity >= Severity::Degraded) {
        candidate.sentence.push_str(&format!(" A redirect of {from} leads there."));
        candidate.next_step.action.push_str(" If that is not where it should lead, correct the redirect.");
    }
    candidate
}

/// Without raw sockets a rule claims no more than it says it can.
fn hypothesis(rule: &'static Rule, mut candidate: Candidate, environment: &Environment) -> Hypothesis {
    if !environment.raw_sockets {
        candidate.confidence = candidate.confidence.min(rule.unprivileged_cap);
    }
    Hypothesis { rule, candidate, suppressed: Vec::new(), from: rule.layer(), control: None }
}

fn finding(hypothesis: Hypothesis, target: Option<&Target>, environment: &Environment) -> Finding {
    let Hypothesis { rule, candidate, suppressed, control, .. } = hypothesis;
    let open = candidate.confidence < SETTLED;
    let settled_by = candidate.settled_by.or_else(|| rule.settled_by.map(str::to_owned)).filter(|_| open);
    let by_control = |cause: &str| control.iter().flat_map(|control| &control.rejects).any(|rejected| rejected.cause == cause);
    let mut could_not_separate = if open {
        separation::remaining(rule, &candidate.place, &candidate.rejected, settled_by.as_deref(), environment)
    } else {
        Vec::new()
    };
    could_not_separate.retain(|neighbour| !by_control(&neighbour.cause));
    Finding {
        cause: rule.code.to_owned(),
        severity: candidate.severity,
        confidence: candidate.confidence,
        place: candidate.place,
        sentence: candidate.sentence,
        evidence: candidate.evidence,
        rejected: candidate.rejected,
        next_step: candidate.next_step,
        article: article::path_of(rule.code),
        target: target.map(ToString::to_string),
        suppressed,
        refines: rule.refines.iter().map(|code| (*code).to_owned()).collect(),
        settled_by,
        control: control.map(Box::new),
        could_not_separate,
    }
}
