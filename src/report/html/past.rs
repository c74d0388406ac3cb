use super::write::{Writer, coordinate};
use crate::{past, units};
use jiff::Timestamp;
use netsonde_contract::history::{Change, CheckHistory, History, Verdict};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 60.0;
/// The field in which times are drawn; the line of failures stands at its foot.
const LEFT: f64 = 4.0;
const RIGHT: f64 = 416.0;
const TOP: f64 = 6.0;
const BOTTOM: f64 = 44.0;
/// A history has no more checks than this drawn: a foreign one may say what it likes.
const MAX_CHECKS: usize = 64;
const MAX_CHANGES: usize = 64;

/// What was measured before: when it began, a line a check, and the changes.
pub(super) fn write(html: &mut Writer, history: &History) {
    if history.checks.iter().all(|check| check.samples.is_empty()) {
        return;
    }
    for sentence in past::began(history) {
        html.element("p", &[("class", "ns-began")], |html| html.prose(&sentence));
    }
    let times = || history.checks.iter().flat_map(|check| check.samples.iter().map(|sample| sample.at));
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return };
    html.element("div", &[("class", "ns-figures")], |html| {
        for check in history.checks.iter().filter(|check| !check.samples.is_empty()).take(MAX_CHECKS) {
            figure(html, check, &history.changes, (first, last));
        }
    });
    if !history.changes.is_empty() {
        html.element("ul", &[("class", "ns-changes")], |html| {
            for change in history.changes.iter().rev().take(MAX_CHANGES) {
                let silenced = if change.silenced { " (silenced)" } else { "" };
                html.leaf("li", &[], &format!("{}: {}{silenced}", units::moment(change.at), past::words(change)));
            }
        });
    }
}

fn figure(html: &mut Writer, check: &CheckHistory, changes: &[Change], span: (Timestamp, Timestamp)) {
    let failed = check.samples.iter().filter(|sample| sample.verdict == Verdict::Bad).count();
    let of = check.series.target.as_deref().map_or_else(String::new, |target| format!(" of {target}"));
    let measured = units::counted(check.samples.len(), "measurement", "measurements");
    html.element("figure", &[("class", "ns-figure")], |html| {
        html.element("figcaption", &[], |html| {
            html.leaf("strong", &[], &check.series.check);
            html.text(&format!("{of}: {failed} of {measured} failed"));
        });
        let size = format!("0 0 {WIDTH} {HEIGHT}");
        html.element("svg", &[("class", "ns-plot"), ("viewBox", &size), ("role", "img")], |html| {
            html.leaf("title", &[], &format!("{} before this run", check.series.check));
            html.leaf(
                "desc",
                &[],
                "One dot for each good measurement, one cross for each that failed, a line where its state changed.",
            );
            draw(html, check, changes, span);
        });
    });
}

fn draw(html: &mut Writer, check: &CheckHistory, changes: &[Change], (first, last): (Timestamp, Timestamp)) {
    let whole = (last.as_millisecond() - first.as_millisecond()).max(1);
    // Milliseconds of a history are far below 2^53: exact in a float.
    let x = |at: Timestamp| {
        LEFT + (RIGHT - LEFT) * ((at.as_millisecond() - first.as_millisecond()) as f64 / whole as f64).clamp(0.0, 1.0)
    };
    let most = check.samples.iter().filter_map(|sample| sample.rtt_us).max().unwrap_or(1).max(1);
    let y = |us: u64| BOTTOM - (BOTTOM - TOP) * us as f64 / most as f64;
    for change in changes.iter().filter(|change| change.series == check.series) {
        let [at, top, bottom] = [x(change.began), 0.0, BOTTOM].map(coordinate);
        html.element("line", &[("class", "ns-changed"), ("x1", &at), ("x2", &at), ("y1", &top), ("y2", &bottom)], |html| {
            html.leaf("title", &[], &past::words(change));
        });
    }
    for sample in &check.samples {
        match (sample.verdict, sample.rtt_us) {
            (Verdict::Good, rtt) => {
                let [cx, cy] = [x(sample.at), y(rtt.unwrap_or_default())].map(coordinate);
                html.shape("circle", &[("class", "ns-dot"), ("cx", &cx), ("cy", &cy), ("r", "1.5")]);
            }
            (Verdict::Bad, _) => {
                let [left, right, top, bottom] = [x(sample.at) - 3.0, x(sample.at) + 3.0, BOTTOM - 6.0, BOTTOM].map(coordinate);
                let path = format!("M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}");
                html.shape("path", &[("class", "ns-lost"), ("d", &path)]);
            }
            (Verdict::Unmeasured, _) => {}
        }
    }
    let [left, right, below] = [LEFT, RIGHT, HEIGHT - 4.0].map(coordinate);
    html.leaf("text", &[("class", "ns-small"), ("x", &left), ("y", &below)], &units::moment(first));
    html.leaf("text", &[("class", "ns-small ns-end"), ("x", &right), ("y", &below)], &units::moment(last));
}
