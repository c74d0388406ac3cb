use super::scenario::{Family, User};
use super::trial::Trial;
use anyhow::Result;
use netsonde_tests::evidence::{Evidence, Recorded};
use std::collections::BTreeMap;

/// Records what the trials showed, and what was found, as golden cases: of each scenario one family with all rights and the other
/// with none, which together show what either changes; of a scenario that is asked neither way, all. Trials that came out wrong are not
/// recorded.
pub(crate) fn write(trials: &[Trial]) -> Result<usize> {
    let mut scenarios: BTreeMap<&str, Recorded> = BTreeMap::new();
    let kept_at_all = |scenario: &str| trials.iter().any(|trial| trial.scenario == scenario && is_kept(trial));
    let wanted = |trial: &&Trial| is_kept(trial) || !kept_at_all(&trial.scenario);
    for trial in trials.iter().filter(wanted).filter(|trial| trial.fault().is_none()) {
        if let Some(document) = trial.document() {
            let recorded = scenarios.entry(&trial.scenario).or_default();
            let evidence = Evidence::from(document);
            let evidence = match trial.held() {
                Some((relation, control)) => evidence.against(relation, control),
                None => evidence,
            };
            recorded.trials.insert(trial.name(), evidence);
        }
    }
    for (scenario, recorded) in &scenarios {
        recorded.write(scenario)?;
    }
    Ok(scenarios.len())
}

fn is_kept(trial: &Trial) -> bool {
    matches!((trial.family, trial.user), (Family::V4, User::Root) | (Family::V6, User::Nobody))
}
