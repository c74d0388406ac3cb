//! `history.json` of a bundle: each check's recent past as a line of its own.

use super::shown;
use askama::Template;
use netsonde_contract::bundle::{Bundle, file_name};
use netsonde_contract::history::{CheckHistory, History, MAX_SAMPLES, Sample, Verdict};

/// Lines that a person looks through.
const MAX_SERIES: usize = 64;
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 40.0;

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPart {
    lines: Vec<Line>,
    cut: bool,
}

struct Line {
    check: String,
    subject: String,
    /// Where the other side was heard, a polyline through its times; broken where it was not.
    pieces: Vec<String>,
    /// Measurements that went wrong, from top to bottom.
    bad: Vec<String>,
    words: String,
}

/// The part of the page, or nothing where the bundle has no history.
pub(super) fn draw(bundle: &Bundle) -> String {
    let Some(bytes) = bundle.files.get(file_name::HISTORY) else { return String::new() };
    let Ok(history) = serde_json::from_slice::<History>(bytes) else {
        return "<p>The bundle has a history that this version cannot read.</p>".to_owned();
    };
    let cut = history.checks.len() > MAX_SERIES;
    let lines: Vec<Line> = history.checks.iter().take(MAX_SERIES).filter_map(line).collect();
    if lines.is_empty() { String::new() } else { HistoryPart { lines, cut }.render().unwrap_or_default() }
}

fn line(history: &CheckHistory) -> Option<Line> {
    let samples = history.samples.get(..MAX_SAMPLES).unwrap_or(&history.samples);
    let (first, last) = (samples.first()?, samples.last()?);
    let (from, span) = (first.at.as_microsecond(), (last.at.as_microsecond() - first.at.as_microsecond()).max(1) as f64);
    let slowest = samples.iter().filter_map(took).max().unwrap_or(1).max(1) as f64;
    let x = |sample: &Sample| ((sample.at.as_microsecond() - from) as f64 / span * WIDTH).clamp(0.0, WIDTH);
    let mut pieces: Vec<Vec<String>> = vec![Vec::new()];
    for sample in samples {
        match took(sample) {
            Some(took) => {
                let y = HEIGHT - 2.0 - took as f64 / slowest * (HEIGHT - 4.0);
                let point = format!("{:.1},{y:.1}", x(sample));
                pieces.last_mut()?.push(point);
            }
            None if pieces.last().is_some_and(|piece| !piece.is_empty()) => pieces.push(Vec::new()),
            None => {}
        }
    }
    // A single measurement between two that failed is a line too, of no length but with round ends.
    let drawn = pieces.into_iter().filter(|piece| !piece.is_empty()).map(|piece| match piece.as_slice() {
        [only] => format!("{only} {only}"),
        points => points.join(" "),
    });
    let bad: Vec<&Sample> = samples.iter().filter(|sample| sample.verdict == Verdict::Bad).collect();
    Some(Line {
        check: history.series.check.clone(),
        subject: match &history.series.target {
            Some(target) => format!("{target}, schedule {}", history.series.schedule),
            None => format!("schedule {}", history.series.schedule),
        },
        pieces: drawn.collect(),
        bad: bad.iter().map(|sample| format!("{:.1}", x(sample))).collect(),
        words: words(samples, &bad),
    })
}

/// The other side's own time where there is one.
fn took(sample: &Sample) -> Option<u64> {
    (sample.verdict == Verdict::Good).then(|| sample.rtt_us.unwrap_or(sample.took_us))
}

fn words(samples: &[Sample], bad: &[&Sample]) -> String {
    let mut times: Vec<u64> = samples.iter().filter_map(took).collect();
    times.sort_unstable();
    let milliseconds = |micros: u64| format!("{:.1} ms", micros as f64 / 1000.0);
    let ends = samples.first().zip(samples.last());
    let mut words = ends.map_or_else(String::new, |(first, last)| {
        format!("{} measurements from {} to {}", samples.len(), shown::second(first.at), shown::second(last.at))
    });
    if let (Some(median), Some(slowest)) = (times.get(times.len() / 2), times.last()) {
        words += &format!("; median {}, slowest {}", milliseconds(*median), milliseconds(*slowest));
    }
    match bad {
        [] => words + "; none failed",
        [first, ..] => {
            let failure = first.failure.as_deref().map_or_else(String::new, |failure| format!(", with {failure}"));
            words + &format!("; {} failed, the first at {}{failure}", bad.len(), shown::second(first.at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use netsonde_contract::history::Series;
    use netsonde_contract::kind::Kind;
    use std::collections::BTreeMap;

    fn sample(second: i64, verdict: Verdict, rtt_us: u64) -> Sample {
        Sample {
            at: Timestamp::from_second(second).unwrap(),
            verdict,
            took_us: 2 * rtt_us,
            rtt_us: Some(rtt_us),
            failure: (verdict == Verdict::Bad).then(|| "timed_out".to_owned()),
            phases: BTreeMap::new(),
            path: None,
            chain: None,
            expires: None,
        }
    }

    #[test]
    fn a_line_breaks_where_it_failed_and_says_the_same_in_words() {
        let series = Series { schedule: "shop".into(), check: "connect".into(), kind: Kind::Tcp, target: None, required: true };
        let good = |second, rtt| sample(second, Verdict::Good, rtt);
        let samples = vec![good(0, 1000), good(60, 3000), sample(120, Verdict::Bad, 0), good(180, 2000)];
        let line = line(&CheckHistory { series, samples }).unwrap();
        assert_eq!(line.pieces, ["0.0,26.0 200.0,2.0", "600.0,14.0 600.0,14.0"]);
        assert_eq!(line.bad, ["400.0"]);
        assert!(
            line.words.ends_with("median 2.0 ms, slowest 3.0 ms; 1 failed, the first at 1970-01-01 00:02:00 UTC, with timed_out"),
            "{}",
            line.words
        );
    }
}
