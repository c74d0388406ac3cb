//! A check that is measured several times: each sample has the check's whole deadline, and one that fails costs the others nothing.

use super::{Means, Measure};
use futures_util::future::BoxFuture;
use netsonde_contract::kind::Kind;
use netsonde_contract::outcome::Note;
use netsonde_contract::set::PlannedCheck;
use netsonde_probes::{Context, Ending, NotMeasurable, Recorder};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How all samples ended together.
pub(super) struct Sampled {
    pub(super) ending: Result<Ending, NotMeasurable>,
    /// Said of a check of several samples, of which some are not as expected.
    pub(super) note: Option<Note>,
}

/// What became of the samples so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    as_expected: u32,
    failed: u32,
    timed_out: u32,
    not_measurable: Option<NotMeasurable>,
}

impl Tally {
    fn add(&mut self, ending: Option<Result<Ending, NotMeasurable>>) {
        match ending {
            Some(Ok(Ending::AsExpected)) => self.as_expected += 1,
            Some(Ok(Ending::Failed)) => self.failed += 1,
            Some(Err(reason)) => self.not_measurable = Some(reason),
            None => self.timed_out += 1,
        }
    }

    /// One sample that failed makes the check fail: who asks for many wants to hear of the one.
    fn sampled(self, count: u32) -> Sampled {
        let bad = self.failed + self.timed_out;
        if bad == 0 && self.as_expected == 0 {
            let reason = self.not_measurable.unwrap_or_else(|| NotMeasurable::new("no sample was measured"));
            return Sampled { ending: Err(reason), note: None };
        }
        let said = [
            (self.failed, "failed"),
            (self.timed_out, "ran out of time"),
            (count - bad - self.as_expected, "could not be measured"),
        ];
        let parts: Vec<String> =
            said.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
        let note = (!parts.is_empty()).then(|| Note { why: format!("of {count} samples {}", parts.join(", ")), grant: None });
        Sampled { ending: Ok(if bad == 0 { Ending::AsExpected } else { Ending::Failed }), note }
    }
}

/// The whole check, ready to be spawned.
pub(super) fn measure(check: &PlannedCheck, means: &Means, recorder: &Recorder) -> BoxFuture<'static, Sampled> {
    let context = Context { recorder: recorder.clone(), ..means.context.clone() };
    let (measure, check): (Measure, PlannedCheck) = (means.measure, check.clone());
    if check.samples.count <= 1 {
        return Box::pin(async move { Sampled { ending: measure(context, check.params).await, note: None } });
    }
    Box::pin(async move {
        let mut beginnings = tokio::time::interval(check.samples.every.max(Duration::from_millis(1)));
        beginnings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tally = Tally::default();
        for number in 0..check.samples.count {
            beginnings.tick().await;
            // Whoever asks a name again wants it to be asked again. What the first sample was told is what all checks aim at.
            let names = if number > 0 && check.params.kind() == Kind::Dns {
                Arc::new(context.names.apart())
            } else {
                Arc::clone(&context.names)
            };
            let own = context.recorder.for_a_sample();
            let mut measuring = measure(Context { recorder: own.clone(), names, ..context.clone() }, check.params.clone());
            let ending = tokio::time::timeout(check.deadline, &mut measuring).await.ok();
            if ending.is_none() {
                own.time_is_over();
            }
            // What it had seen half of, it records as it is dropped: before the next sample's.
            drop(measuring);
            tally.add(ending);
        }
        tally.sampled(check.samples.count)
    })
}

/// Above what its samples may take, a check gets this long to begin and to end them, so that the last one's own deadline comes first.
const BETWEEN_SAMPLES: Duration = Duration::from_secs(1);

/// The longest that the whole check takes.
pub(super) fn longest(check: &PlannedCheck) -> Duration {
    if check.samples.count <= 1 {
        return check.deadline;
    }
    let measuring = check.deadline.saturating_mul(check.samples.count);
    measuring.max(check.samples.span().saturating_add(check.deadline)).saturating_add(BETWEEN_SAMPLES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(endings: Vec<Option<Result<Ending, NotMeasurable>>>) -> (Option<Ending>, Option<String>) {
        let count = u32::try_from(endings.len()).unwrap();
        let mut tally = Tally::default();
        endings.into_iter().for_each(|ending| tally.add(ending));
        let sampled = tally.sampled(count);
        (sampled.ending.ok(), sampled.note.map(|note| note.why))
    }

    #[test]
    fn one_bad_sample_of_many_is_told() {
        let good = || Some(Ok(Ending::AsExpected));
        assert_eq!(said(vec![good(), good()]), (Some(Ending::AsExpected), None));
        let (ending, note) = said(vec![good(), Some(Ok(Ending::Failed)), None, Some(Err(NotMeasurable::new("x")))]);
        assert_eq!(ending, Some(Ending::Failed));
        assert_eq!(note.as_deref(), Some("of 4 samples 1 failed, 1 ran out of time, 1 could not be measured"));
    }

    #[test]
    fn what_could_never_be_measured_is_not_called_a_failure() {
        assert_eq!(
            said(vec![Some(Err(NotMeasurable::new("no right"))), Some(Err(NotMeasurable::new("no right")))]),
            (None, None)
        );
    }
}
