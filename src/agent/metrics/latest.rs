use netsonde_contract::history::{CheckHistory, Sample, Series};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What each check measured last, and how the schedules' runs ended: what a scrape every few seconds asks for, so that it need not be read from the
/// history's file each time.
#[derive(Debug, Default)]
pub(crate) struct Latest(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    samples: BTreeMap<Series, Sample>,
    runs: BTreeMap<String, Runs>,
}

/// The runs of one schedule since the agent began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) measured: u64,
    pub(crate) failed: u64,
}

impl Latest {
    /// A run of a schedule, with what it measured.
    pub(crate) fn measured(&self, schedule: &str, samples: Vec<(Series, Sample)>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What the schedule measures no longer is not its present.
        kept.samples.retain(|series, _| series.schedule != schedule);
        kept.samples.extend(samples);
        kept.runs.entry(schedule.to_owned()).or_default().measured += 1;
    }

    /// A run that could not be made or noted.
    pub(crate) fn failed(&self, schedule: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).runs.entry(schedule.to_owned()).or_default().failed += 1;
    }

    /// Forgets the schedules that are no longer there.
    pub(crate) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.samples.retain(|series, _| is_there(&series.schedule));
        kept.runs.retain(|schedule, _| is_there(schedule));
    }

    pub(crate) fn checks(&self) -> Vec<CheckHistory> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let check = |(series, sample): (&Series, &Sample)| CheckHistory { series: series.clone(), samples: vec![sample.clone()] };
        kept.samples.iter().map(check).collect()
    }

    pub(crate) fn runs(&self) -> Vec<(String, Runs)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.runs.iter().map(|(schedule, runs)| (schedule.clone(), *runs)).collect()
    }
}
