use super::write::{Writer, coordinate};
use crate::{facts, shown, units, words};
use netsonde_contract::document::Document;
use netsonde_contract::id::ObservationId;
use netsonde_contract::outcome::{Outcome, Status};

/// The place of an observation on the page. The run's id stands in it, for pages that show several runs.
pub(super) fn anchor(document: &Document, id: &ObservationId) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '/') { c } else { '.' };
    format!("{}/{id}", document.run.id).chars().map(plain).collect()
}

pub(super) fn write(html: &mut Writer, document: &Document) {
    if document.outcomes.is_empty() {
        return;
    }
    html.element("table", &[("class", "ns-table ns-stack")], |html| {
        html.header_row(&["Check", "Status", "Time", "Result"]);
        html.element("tbody", &[], |html| {
            for outcome in &document.outcomes {
                row(html, document, outcome);
            }
        });
    });
    if let Some(note) = words::check_names(document) {
        html.leaf("p", &[("class", "ns-muted")], note);
    }
    for outcome in document.outcomes.iter().filter(|outcome| !outcome.observations.is_empty()) {
        observations(html, document, outcome);
    }
}

fn row(html: &mut Writer, document: &Document, outcome: &Outcome) {
    html.element("tr", &[], |html| {
        html.element("th", &[("scope", "row")], |html| {
            html.text(outcome.check.as_str());
            if document.run.targets.len() > 1
                && let Some(target) = &outcome.target
            {
                html.leaf("div", &[("class", "ns-muted")], &target.to_string());
            }
        });
        html.element("td", &[], |html| {
            html.leaf("span", &[("class", class(outcome))], words::status(outcome.status));
            if !outcome.required {
                html.leaf("div", &[("class", "ns-muted")], "supporting");
            }
        });
        html.element("td", &[("class", "ns-time")], |html| {
            if outcome.status != Status::Skipped {
                html.text(&units::duration(outcome.took_us));
                timeline(html, outcome, document.run.took_us);
            }
        });
        html.leaf("td", &[("class", "ns-fact")], &facts::outcome(outcome));
    });
}

fn class(outcome: &Outcome) -> &'static str {
    match outcome.status {
        Status::Succeeded => "ns-state ns-ok",
        Status::Failed | Status::TimedOut if outcome.required => "ns-state ns-problem",
        Status::Failed | Status::TimedOut | Status::NotMeasured => "ns-state ns-degraded",
        Status::Skipped => "ns-state ns-muted",
    }
}

/// When in the run the check ran: the checks run side by side, and a slow one is seen at a glance.
fn timeline(html: &mut Writer, outcome: &Outcome, run_us: u64) {
    html.element(
        "svg",
        &[("class", "ns-when"), ("viewBox", "0 0 100 6"), ("preserveAspectRatio", "none"), ("aria-hidden", "true")],
        |html| {
            // Microseconds of one run are far below 2^53: exact in a float.
            let at = |us: u64| (100.0 * us as f64 / run_us.max(1) as f64).min(100.0);
            let [x, width] = [at(outcome.began_us).min(98.0), at(outcome.took_us).max(2.0)].map(coordinate);
            html.shape("rect", &[("class", "ns-bar-back"), ("width", "100"), ("height", "6")]);
            html.shape("rect", &[("class", "ns-when-bar"), ("x", &x), ("width", &width), ("height", "6")]);
        },
    );
}

fn observations(html: &mut Writer, document: &Document, outcome: &Outcome) {
    html.element("details", &[("class", "ns-details")], |html| {
        let count = units::counted(outcome.observations.len(), "observation", "observations");
        html.leaf("summary", &[], &format!("{}: {count}", outcome.check));
        html.element("ul", &[("class", "ns-observations")], |html| {
            for observation in shown::observations(outcome) {
                html.element("li", &[("id", &anchor(document, &observation.id))], |html| {
                    html.leaf("code", &[], observation.id.as_str());
                    html.text(" ");
                    html.text(&facts::line(&observation.fact));
                    let details = facts::details(&observation.fact);
                    if !details.is_empty() {
                        html.element("ul", &[], |html| details.iter().for_each(|detail| html.leaf("li", &[], detail)));
                    }
                });
            }
        });
        if let Some(more) = shown::more(outcome) {
            html.leaf("p", &[], &more);
        }
    });
}
