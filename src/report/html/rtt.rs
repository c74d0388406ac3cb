use super::write::{Writer, coordinate};
use crate::{shown, units, words};
use netsonde_contract::document::Document;
use netsonde_contract::observation::{Echo, Fact};
use netsonde_contract::outcome::Outcome;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 150.0;
/// The field in which times are drawn; axis labels stand left of and below it.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 412.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 122.0;
/// More requests than this are not drawn: no check sends as many, but a foreign document may say what it likes.
const MAX_DRAWN: u32 = 1_000;
/// Above this many requests dots would cover one another.
const MANY: u32 = 60;

pub(super) fn write(html: &mut Writer, document: &Document) {
    let mut echoes: Vec<(&Outcome, &Echo)> = Vec::new();
    for outcome in &document.outcomes {
        let facts = shown::observations(outcome).iter().map(|observation| &observation.fact);
        let sent = facts.filter_map(|fact| if let Fact::Echo(echo) = fact { Some(echo) } else { None });
        echoes.extend(sent.filter(|echo| echo.sent > 0).map(|echo| (outcome, echo)));
    }
    if echoes.is_empty() {
        return;
    }
    html.element("div", &[("class", "ns-figures")], |html| {
        for (outcome, echo) in echoes {
            figure(html, echo, words::which_target(document, outcome));
        }
    });
}

fn figure(html: &mut Writer, echo: &Echo, belongs_to: Option<String>) {
    let summary = crate::facts::line(&Fact::Echo(echo.clone()));
    html.element("figure", &[("class", "ns-figure")], |html| {
        html.element("figcaption", &[], |html| {
            if let Some(target) = &belongs_to {
                html.leaf("strong", &[], target);
                html.text(": ");
            }
            html.text(&summary);
        });
        if echo.replies.is_empty() || echo.sent > MAX_DRAWN {
            return;
        }
        let size = format!("0 0 {WIDTH} {HEIGHT}");
        html.element("svg", &[("class", "ns-plot"), ("viewBox", &size), ("role", "img")], |html| {
            html.leaf("title", &[], &format!("Round-trip times to {}", echo.address));
            html.leaf("desc", &[], &format!("{summary}. One dot for each reply, one cross for each request without one."));
            draw(html, echo);
        });
    });
}

fn draw(html: &mut Writer, echo: &Echo) {
    let largest = echo.replies.iter().map(|reply| reply.rtt_us).max().unwrap_or(0);
    let ceiling = ceiling(largest);
    // Microseconds and sequence numbers are far below 2^53: exact in a float.
    let x = |sequence: u32| LEFT + (RIGHT - LEFT) * (f64::from(sequence) + 0.5) / f64::from(echo.sent.max(1));
    let y = |us: u64| BOTTOM - (BOTTOM - TOP) * us as f64 / ceiling as f64;
    for us in [0, ceiling / 2, ceiling] {
        let [left, right, at, label, baseline] = [LEFT, RIGHT, y(us), LEFT - 6.0, y(us) + 4.0].map(coordinate);
        html.shape("line", &[("class", "ns-axis"), ("x1", &left), ("x2", &right), ("y1", &at), ("y2", &at)]);
        html.leaf("text", &[("class", "ns-small ns-end"), ("x", &label), ("y", &baseline)], &units::duration(us));
    }
    if let Some(median) = units::median(echo.replies.iter().map(|reply| reply.rtt_us)) {
        let [left, right, at] = [LEFT, RIGHT, y(median)].map(coordinate);
        html.shape("line", &[("class", "ns-median"), ("x1", &left), ("x2", &right), ("y1", &at), ("y2", &at)]);
    }
    let radius = if echo.sent > MANY { "1.5" } else { "3.5" };
    let mut answered = vec![false; echo.sent as usize];
    for reply in &echo.replies {
        // A second reply to one request, or one to a request never sent, is listed among the observations.
        if let Some(first @ false) = answered.get_mut(usize::from(reply.sequence)) {
            *first = true;
            let [cx, cy] = [x(reply.sequence.into()), y(reply.rtt_us)].map(coordinate);
            html.shape("circle", &[("class", "ns-dot"), ("cx", &cx), ("cy", &cy), ("r", radius)]);
        }
    }
    for lost in (0..echo.sent).zip(answered).filter(|(_, answered)| !answered).map(|(sequence, _)| sequence) {
        let [left, right, top, bottom] = [x(lost) - 4.0, x(lost) + 4.0, BOTTOM - 8.0, BOTTOM].map(coordinate);
        html.shape(
            "path",
            &[("class", "ns-lost"), ("d", &format!("M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}"))],
        );
    }
    let [middle, below] = [LEFT.midpoint(RIGHT), BOTTOM + 20.0].map(coordinate);
    let label = format!("{} in order; dashed: median", units::counted(echo.sent as usize, "request", "requests"));
    html.leaf("text", &[("class", "ns-small ns-middle"), ("x", &middle), ("y", &below)], &label);
}

/// The scale's upper end: the next of 1, 2, 5, 10, 20 … above the largest time, so that axes of two plots can be compared.
fn ceiling(largest_us: u64) -> u64 {
    let mut step = 100;
    loop {
        for factor in [1, 2, 5] {
            if step * factor >= largest_us {
                return step * factor;
            }
        }
        if step > u64::MAX / 100 {
            return u64::MAX;
        }
        step *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::ceiling;
    use crate::html::fragment;
    use crate::sample;
    use serde_json::json;

    #[test]
    fn with_several_targets_each_figure_says_whose_it_is() {
        let mut run = sample::refused();
        let target = json!({"text": "db.example:5432", "host": "db.example", "port": 5432});
        for outcome in run["outcomes"].as_array_mut().unwrap() {
            outcome["target"] = target.clone();
        }
        let named = "<strong>db.example:5432</strong>: ";
        let one = sample::document(run.clone());
        assert!(!fragment::rtt(&one).contains(named) && !fragment::path(&one).contains(named));
        run["run"]["targets"].as_array_mut().unwrap().push(target);
        let two = sample::document(run);
        assert_eq!(fragment::rtt(&two).matches(named).count(), 2);
        assert_eq!(fragment::path(&two).matches(named).count(), 2);
    }

    #[test]
    fn a_scale_ends_at_a_round_number_above_the_largest_time() {
        assert_eq!([0, 101, 11_000, 50_000].map(ceiling), [100, 200, 20_000, 50_000]);
        assert!(ceiling(u64::MAX) >= u64::MAX / 2);
    }
}
