use netsonde_contract::document::Document;
use netsonde_contract::observation::Observation;
use netsonde_contract::outcome::Outcome;

/// More observations of one check than this are not read: no check makes as many (a traceroute of both families has 512), but a
/// foreign document may hold millions, and a report should take no longer than a person would read it.
const MAX_OBSERVATIONS: usize = 2_000;

/// The observations of a check that a report is made from.
pub(crate) fn observations(outcome: &Outcome) -> &[Observation] {
    outcome.observations.get(..MAX_OBSERVATIONS).unwrap_or(&outcome.observations)
}

/// Those of every check.
pub(crate) fn all(document: &Document) -> impl Iterator<Item = &Observation> {
    document.outcomes.iter().flat_map(observations)
}

/// Says that there are more, where there are.
pub(crate) fn more(outcome: &Outcome) -> Option<String> {
    let more = outcome.observations.len().saturating_sub(MAX_OBSERVATIONS);
    (more > 0).then(|| format!("{more} more observations are not shown; they stand in the bundle."))
}
