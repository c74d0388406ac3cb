use std::collections::BTreeMap;
use std::fmt;

/// What was done to the programs, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// How often a process was ended at each step.
    pub(crate) kills: BTreeMap<String, u64>,
    /// Connections that were cut.
    pub(crate) cuts: u64,
    /// Refusals, damages and bad answers.
    pub(crate) faults: u64,
    /// Bundles, receipts, failures and removals that were said to be done.
    pub(crate) acknowledged: u64,
    /// Said to be done, and not there afterwards; each with how it came to that.
    pub(crate) lost: Vec<String>,
    pub(crate) duplicated: Vec<String>,
    /// What the suite itself found wanting: a step never reached, a sync whose absence nobody would notice.
    pub(crate) wanting: Vec<String>,
    /// Parts that could not be done here, with the reason.
    pub(crate) skipped: Vec<String>,
}

impl Tally {
    pub(crate) fn killed(&mut self, step: &str) {
        *self.kills.entry(step.to_owned()).or_default() += 1;
    }

    /// Every one of these steps was cut at least once.
    pub(crate) fn expect_steps<'a>(&mut self, steps: impl IntoIterator<Item = &'a str>) {
        for step in steps {
            if !self.kills.contains_key(step) {
                self.wanting.push(format!("no process was ended at the step `{step}`"));
            }
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (step, count) in other.kills {
            *self.kills.entry(step).or_default() += count;
        }
        self.cuts += other.cuts;
        self.faults += other.faults;
        self.acknowledged += other.acknowledged;
        self.lost.extend(other.lost);
        self.duplicated.extend(other.duplicated);
        self.wanting.extend(other.wanting);
        self.skipped.extend(other.skipped);
    }

    pub(crate) fn is_fine(&self) -> bool {
        self.lost.is_empty() && self.duplicated.is_empty() && self.wanting.is_empty()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, cuts, faults, acknowledged, lost, duplicated, .. } = self;
        let kills: u64 = kills.values().sum();
        write!(
            formatter,
            "{kills} kills, {cuts} cuts, {faults} faults, {acknowledged} acknowledged, {} lost, {} duplicated",
            lost.len(),
            duplicated.len()
        )
    }
}
