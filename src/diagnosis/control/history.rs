use super::pairing::check_of;
use super::weighing::Weight;
use super::{Pair, moment};
use crate::engine::Hypothesis;
use netsonde_contract::control::{Difference, DifferenceAbout};
use netsonde_contract::finding::{Finding, NextStep, Place};
use netsonde_contract::id::ObservationId;
use netsonde_contract::outcome::{Outcome, Status};

/// Changes that a finding names; the list of differences has them all.
const SHOWN: usize = 3;
/// What a change of explains that something works no more. That it does not connect is the symptom itself.
const CHANGES: [DifferenceAbout; 5] = [
    DifferenceAbout::Certificate,
    DifferenceAbout::Addresses,
    DifferenceAbout::DnsAnswer,
    DifferenceAbout::Path,
    DifferenceAbout::Mtu,
];

/// What the same machine saw at another time: whether it worked, and what is different now. The time between the two may hold anything,
/// so that it changes no confidence.
pub(super) fn weight(pair: &Pair<'_, '_>, hypothesis: &Hypothesis) -> Option<Weight> {
    let candidate = &hypothesis.candidate;
    let at = moment(pair.vantage.environment.began);
    let rests_on = |outcome: &&&Outcome| {
        let seen = |id: &ObservationId| candidate.evidence.contains(id);
        matches!(outcome.status, Status::Failed | Status::TimedOut)
            && outcome.observations.iter().any(|observation| seen(&observation.id))
    };
    let then = pair.here.outcomes.iter().filter(rests_on).find_map(|outcome| check_of(outcome, pair.there));
    let worked = then.filter(|outcome| outcome.status == Status::Succeeded);
    let (text, evidence) = if let Some(outcome) = worked {
        let ids: Vec<ObservationId> = outcome.observations.iter().map(|observation| observation.id.clone()).collect();
        let when = if pair.vantage.environment.began <= pair.here.environment.began {
            "It worked from this machine at"
        } else {
            "Later it worked from this machine, at"
        };
        (format!("{when} {at}.{}", changes(&pair.differences)), ids)
    } else {
        let same = |finding: &&&Finding| finding.cause == hypothesis.rule.code && is_at(&finding.place, &candidate.place);
        let same = pair.findings.iter().find(same)?;
        (format!("The same was found from this machine at {at}."), same.evidence.clone())
    };
    let next = worked.map(|_| NextStep {
        who: candidate.next_step.who,
        action: format!(
            "{} It worked at {at}: look first at what was changed between then and this run.",
            candidate.next_step.action
        ),
    });
    (!evidence.is_empty()).then_some(Weight { confidence: candidate.confidence, text, evidence, next })
}

/// Two findings of one cause are the same only at the same address, port and page, as far as both name them.
pub(super) fn is_at(one: &Place, other: &Place) -> bool {
    fn agree<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
        one.is_none() || other.is_none() || one == other
    }
    // One name may lead to several addresses.
    let named = one.name.is_some() && other.name.is_some();
    let host = if named { one.name == other.name } else { agree(&one.address, &other.address) };
    host && agree(&one.port, &other.port) && agree(&one.url, &other.url)
}

fn changes(differences: &[Difference]) -> String {
    let told: Vec<String> = differences
        .iter()
        .filter(|difference| CHANGES.contains(&difference.about))
        .take(SHOWN)
        .map(|difference| {
            format!(
                " Different: {} of {}, then {}, now {}.",
                difference.about.words(),
                difference.subject,
                difference.there,
                difference.here
            )
        })
        .collect();
    if told.is_empty() { " Nothing else that both runs looked at has changed.".to_owned() } else { told.concat() }
}
