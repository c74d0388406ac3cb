//! What scheduled checks measured before a run, in words: since when a target fails, and which check failed first.

use crate::sparkline::Point;
use crate::units;
use jiff::Timestamp;
use netsonde_contract::history::{Change, Changed, CheckHistory, History, Sample, Verdict};

/// Checks of one target beyond these are left out of a sentence: which came first is what matters.
const MOST_NAMED: usize = 4;

/// A check that fails at the end of the history.
struct Failing<'a> {
    check: &'a CheckHistory,
    began: &'a Sample,
    last_good: Option<Timestamp>,
}

/// For each target that fails at the end: when that began, with which check, and what followed. Nothing where all is well.
pub fn began(history: &History) -> Vec<String> {
    let mut failing: Vec<Failing<'_>> = history.checks.iter().filter_map(failing).collect();
    failing.sort_by_key(|failing| failing.began.at);
    let mut sentences = Vec::new();
    while let Some(first) = failing.first() {
        let place = (first.check.series.schedule.clone(), first.check.series.target.clone());
        let is_its =
            |failing: &Failing<'_>| (&failing.check.series.schedule, &failing.check.series.target) == (&place.0, &place.1);
        let (its, others): (Vec<_>, Vec<_>) = failing.into_iter().partition(is_its);
        sentences.push(sentence(&its));
        failing = others;
    }
    sentences
}

/// Where the check's last measurements failed, the first of these.
fn failing(check: &CheckHistory) -> Option<Failing<'_>> {
    let mut began = None;
    let mut last_good = None;
    for sample in check.samples.iter().rev() {
        match sample.verdict {
            Verdict::Bad => began = Some(sample),
            Verdict::Unmeasured => {}
            Verdict::Good => {
                last_good = Some(sample.at);
                break;
            }
        }
    }
    Some(Failing { check, began: began?, last_good })
}

fn sentence(failing: &[Failing<'_>]) -> String {
    let Some((first, rest)) = failing.split_first() else { return String::new() };
    let named = |failing: &Failing<'_>| {
        let code = failing.began.failure.as_deref().map_or_else(String::new, |code| format!(" ({code})"));
        format!("{}{code}", failing.check.series.check)
    };
    let target = first.check.series.target.as_deref().map_or_else(String::new, |target| format!(" of {target}"));
    let mut text = format!("It began {}: {}{target} failed first", units::moment(first.began.at), named(first));
    for follower in rest.iter().take(MOST_NAMED) {
        let after = follower.began.at.duration_since(first.began.at).unsigned_abs();
        let after = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        // Checks of one run begin within it.
        text += &if after < 1_000_000 {
            format!(", {} with it", named(follower))
        } else {
            format!(", {} {} later", named(follower), units::duration(after))
        };
    }
    if rest.len() > MOST_NAMED {
        text += &format!(", and {} more", rest.len() - MOST_NAMED);
    }
    match first.last_good {
        Some(at) => text += &format!(". It was last good {}.", units::moment(at)),
        None => text += ". No measurement before was good.",
    }
    text
}

/// A check's measurements as points of a line.
pub fn points(check: &CheckHistory) -> Vec<Point> {
    let point = |sample: &Sample| match (sample.verdict, sample.rtt_us) {
        (Verdict::Bad, _) => Point::Failed,
        (Verdict::Good, rtt) => Point::Value(rtt.unwrap_or_default()),
        (Verdict::Unmeasured, _) => Point::Nothing,
    };
    check.samples.iter().map(point).collect()
}

/// A change in words, also where redaction took its sentence.
pub(crate) fn words(change: &Change) -> String {
    if !change.sentence.is_empty() {
        return change.sentence.clone();
    }
    let what = match change.what {
        Changed::Health { from, to } if from == to => format!("still {}", to.name()),
        Changed::Health { from, to } => format!("from {} to {}", from.name(), to.name()),
        Changed::NewPath => "a path that was not seen before".to_owned(),
        Changed::NewChain => "certificates that were not seen before".to_owned(),
        Changed::Expiry { days } => format!("the certificate ends within {days} days"),
        Changed::Rtt { usual_us, now_us } => {
            format!("{} in place of the usual {}", units::duration(now_us), units::duration(usual_us))
        }
    };
    format!("{}: {what}", change.series.check)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use netsonde_contract::history::{Health, SCHEMA, Series};
    use netsonde_contract::kind::Kind;
    use std::collections::BTreeMap;

    fn at(second: i64) -> Timestamp {
        // 2027-03-28 14:00:00 UTC.
        Timestamp::from_second(1_806_242_400 + second).unwrap()
    }

    fn check(name: &str, kind: Kind, samples: &[(i64, Verdict, u64)]) -> CheckHistory {
        let series = Series {
            schedule: "shop".into(),
            check: name.into(),
            kind,
            target: Some("https://shop.example".into()),
            required: true,
        };
        let sample = |(second, verdict, rtt): &(i64, Verdict, u64)| Sample {
            at: at(*second),
            verdict: *verdict,
            took_us: *rtt,
            rtt_us: (*verdict == Verdict::Good).then_some(*rtt),
            phases: BTreeMap::new(),
            failure: (*verdict == Verdict::Bad).then(|| "timed_out".to_owned()),
            path: None,
            chain: None,
            expires: None,
        };
        CheckHistory { series, samples: samples.iter().map(sample).collect() }
    }

    /// A name that no resolver answers for any more, and a connection that fails a minute later.
    pub(crate) fn sample() -> History {
        use Verdict::{Bad, Good, Unmeasured};
        let resolve =
            [(0, Good, 2_100), (60, Good, 2_300), (120, Unmeasured, 0), (180, Good, 9_800), (200, Bad, 0), (260, Bad, 0)];
        let connect = [(1, Good, 12_000), (61, Good, 11_800), (181, Good, 12_400), (260, Bad, 0), (320, Bad, 0)];
        let lookup = check("resolve", Kind::Dns, &resolve);
        let change = Change {
            at: at(260),
            began: at(200),
            series: lookup.series.clone(),
            what: Changed::Health { from: Health::Ok, to: Health::Failing },
            sentence: "resolve of https://shop.example is failing: 2 measurements in a row failed".into(),
            silenced: false,
        };
        History { schema: SCHEMA.into(), checks: vec![check("connect", Kind::Tcp, &connect), lookup], changes: vec![change] }
    }

    #[test]
    fn the_check_that_failed_first_is_named_with_its_time_and_what_followed() {
        assert_eq!(
            began(&sample()),
            [
                "It began 2027-03-28 14:03:20 UTC: resolve (timed_out) of https://shop.example failed first, connect (timed_out) 60 s later. It was last good 2027-03-28 14:03:00 UTC."
            ]
        );
    }

    #[test]
    fn what_is_well_at_the_end_is_not_said_to_have_begun() {
        let mut history = sample();
        for check in &mut history.checks {
            check.samples.push(Sample { verdict: Verdict::Good, ..check.samples[0].clone() });
        }
        assert!(began(&history).is_empty());
        assert!(began(&History { checks: Vec::new(), ..history }).is_empty());
    }

    #[test]
    fn a_change_whose_sentence_was_redacted_is_still_told() {
        let change = Change { sentence: String::new(), ..sample().changes[0].clone() };
        assert_eq!(words(&change), "resolve: from ok to failing");
    }
}
