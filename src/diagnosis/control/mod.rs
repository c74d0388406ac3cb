//! Another run beside the one that is diagnosed: another agent, an engineer's own machine, or an older run of the same machine. Where it is
//! not known which ([`relation`]), only what holds for both counts.
//!
//! What the two saw differently is evidence of its own. From another place it tells a fault of this path from one of the far side;
//! from the same machine at another time it tells what has changed. [`differences`] lists it, [`weighing`] lets it raise or lower the
//! confidence of causes that the run alone cannot settle, and [`found`] adds the causes that only two views together show. All of it
//! happens before causes are held against each other, so that what is refined or follows is decided as in any other run.

/// What ports answer that are asked in their own protocol: QUIC, the time, services.
mod answers;
/// What the two runs saw differently.
mod differences;
/// Causes that only two views together show.
mod found;
/// An older run of the same machine: what worked then, and what changed since.
mod history;
/// Whether the other run is of the same machine.
mod machine;
/// Which part of one run is about the same as which part of the other.
mod pairing;
/// The very place of a cause, asked from elsewhere.
mod same_place;
/// On which side a cause lies.
mod sides;
#[cfg(test)]
mod tests;
/// What another place says of a hypothesis.
mod weighing;

pub use machine::{Machine, relation};

use crate::engine::{Hypothesis, conclude, diagnose};
use crate::evidence::Evidence;
use netsonde_contract::control::{Control, ControlRelation, Difference};
use netsonde_contract::environment::Environment;
use netsonde_contract::finding::{Diagnosis, Finding};
use netsonde_contract::id::{BundleId, RunId};
use netsonde_contract::outcome::Outcome;

/// The other run.
#[derive(Clone, Copy, Debug)]
pub struct Vantage<'a> {
    pub outcomes: &'a [Outcome],
    pub environment: &'a Environment,
    pub bundle: &'a BundleId,
    pub run: &'a RunId,
    pub relation: ControlRelation,
}

impl Vantage<'_> {
    /// How sentences call it.
    fn name(&self) -> String {
        match self.relation {
            ControlRelation::SameMachine => format!("this machine at {}", moment(self.environment.began)),
            ControlRelation::Unsure => format!("{} (the control, which may be this machine)", self.environment.hostname),
            ControlRelation::OtherMachine => format!("{} (the control)", self.environment.hostname),
        }
    }
}

/// One target seen from both sides.
struct Pair<'p, 'a> {
    vantage: &'p Vantage<'a>,
    here: &'p Evidence<'p>,
    there: &'p Evidence<'a>,
    /// What the control's own run amounts to for the same target.
    findings: Vec<&'p Finding>,
    /// What differs for this target.
    differences: Vec<Difference>,
}

/// The diagnosis of a run with another one to hold it against, and what differs between the two.
pub fn diagnose_against(outcomes: &[Outcome], environment: &Environment, vantage: &Vantage<'_>) -> (Diagnosis, Control) {
    let alone = diagnose(vantage.outcomes, vantage.environment);
    let weigh = |here: &Evidence<'_>, hypotheses: Vec<Hypothesis>| {
        let Some(target) = pairing::target_of(vantage.outcomes, here.target) else { return hypotheses };
        let there = Evidence::of(vantage.outcomes, target, vantage.environment);
        let shown = target.map(ToString::to_string);
        let pair = Pair {
            vantage,
            here,
            there: &there,
            findings: alone.findings.iter().filter(|finding| finding.target == shown).collect(),
            differences: differences::of(here, &there, vantage.relation).1,
        };
        let weighed = hypotheses.into_iter().map(|hypothesis| weighing::weighed(&pair, hypothesis)).collect();
        found::beside(&pair, weighed)
    };
    let diagnosis = conclude(outcomes, environment, &weigh);
    (diagnosis, compared(outcomes, environment, vantage))
}

fn compared(outcomes: &[Outcome], environment: &Environment, vantage: &Vantage<'_>) -> Control {
    let mut control = Control {
        bundle: vantage.bundle.clone(),
        run: vantage.run.clone(),
        machine: vantage.environment.hostname.clone(),
        began: vantage.environment.began,
        relation: vantage.relation,
        compared: 0,
        differences: Vec::new(),
    };
    for target in pairing::targets(outcomes) {
        let Some(other) = pairing::target_of(vantage.outcomes, target) else { continue };
        let here = Evidence::of(outcomes, target, environment);
        let there = Evidence::of(vantage.outcomes, other, vantage.environment);
        let (compared, differences) = differences::of(&here, &there, vantage.relation);
        control.compared += compared;
        for difference in differences {
            if control.differences.len() < Control::MAX_DIFFERENCES && !control.differences.contains(&difference) {
                control.differences.push(difference);
            }
        }
    }
    control
}

/// `2026-05-15 12:00 UTC`.
fn moment(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
