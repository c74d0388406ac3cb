use crate::trial::{Stage, Trial};
use netsonde_contract::finding::{Finding, Severity};

/// The lower ends of the buckets, the surest first.
const BUCKETS: [f64; 6] = [0.9, 0.8, 0.7, 0.6, 0.5, 0.0];
/// From here on a finding must be right in [`SURE_SHARE`] of all cases.
const SURE: f64 = 0.9;
const SURE_SHARE: f64 = 0.95;
/// Below it nothing is called a problem.
const UNSURE: f64 = 0.5;

/// Findings of like confidence, and how many of them were right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    pub from: f64,
    pub findings: u32,
    pub right: u32,
    /// Those that were called more than a notice.
    pub problems: u32,
}

/// Every finding of every trial by its confidence, the notices included.
pub(super) fn buckets(trials: &[Trial]) -> Vec<Bucket> {
    let mut buckets = BUCKETS.map(|from| Bucket { from, findings: 0, right: 0, problems: 0 }).to_vec();
    for trial in trials {
        for finding in trial.document().into_iter().flat_map(|document| &document.findings) {
            if let Some(bucket) = buckets.iter_mut().find(|bucket| finding.confidence >= bucket.from) {
                bucket.findings += 1;
                bucket.right += u32::from(is_right(trial, finding));
                bucket.problems += u32::from(finding.severity > Severity::Notice);
            }
        }
    }
    buckets
}

/// A cause that is there, or a notice that is true.
pub(super) fn is_right(trial: &Trial, finding: &Finding) -> bool {
    let is_fault = trial.stage == Stage::Fault && trial.right_causes().contains(&finding.cause.as_str());
    is_fault || (finding.severity == Severity::Notice && trial.true_notices.contains(&finding.cause))
}

/// What the figures must keep, each with whether they do.
pub(super) fn criteria(buckets: &[Bucket], false_problems: usize) -> [(String, bool); 3] {
    let sum = |of: fn(&Bucket) -> u32| buckets.iter().filter(|bucket| bucket.from >= SURE).map(of).sum::<u32>();
    let (sure, right) = (sum(|bucket| bucket.findings), sum(|bucket| bucket.right));
    let share = f64::from(right) / f64::from(sure.max(1));
    let unsure: u32 = buckets.iter().filter(|bucket| bucket.from < UNSURE).map(|bucket| bucket.problems).sum();
    [
        (format!("at {SURE} and above at least 95 of 100 are right: {right} of {sure}"), sure == 0 || share >= SURE_SHARE),
        (format!("below {UNSURE} nothing is called a problem: {unsure} are"), unsure == 0),
        (format!("no problem on any network without a fault: {false_problems}"), false_problems == 0),
    ]
}

/// Between which shares the true one lies, 95 times in 100 (Wilson 1927).
pub(super) fn interval(right: u32, of: u32) -> (f64, f64) {
    /// The normal distribution's middle 95 parts in 100 end there.
    const Z: f64 = 1.96;
    if of == 0 {
        return (0.0, 1.0);
    }
    let n = f64::from(of);
    let share = f64::from(right) / n;
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        let (low, high) = interval(95, 100);
        assert!((low - 0.8882).abs() < 1e-3 && (high - 0.9785).abs() < 1e-3, "{low} {high}");
        assert_eq!(interval(0, 0), (0.0, 1.0));
        assert!(interval(20, 20).0 < 0.9);
    }

    #[test]
    fn six_wrong_of_a_hundred_sure_ones_are_too_many_and_one_unsure_problem_is() {
        let bucket = |from, findings, right, problems| Bucket { from, findings, right, problems };
        let kept = |buckets: &[Bucket], false_problems| criteria(buckets, false_problems).map(|(_, kept)| kept);
        assert_eq!(kept(&[bucket(0.9, 100, 95, 90), bucket(0.0, 9, 0, 0)], 0), [true, true, true]);
        assert_eq!(kept(&[bucket(0.9, 100, 94, 90), bucket(0.0, 9, 0, 1)], 1), [false, false, false]);
    }
}
