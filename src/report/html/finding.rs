use super::checks::anchor;
use super::write::Writer;
use crate::{compared, words};
use netsonde_contract::document::Document;
use netsonde_contract::finding::{Finding, NextStep, NotMeasured, Rejected, Severity, Unexplained};
use netsonde_contract::id::ObservationId;

pub(super) fn write(html: &mut Writer, document: &Document) {
    if document.findings.is_empty() && document.unexplained.is_empty() {
        html.leaf("p", &[("class", "ns-none")], "No finding.");
    }
    for finding in &document.findings {
        self::finding(html, document, finding);
    }
    for failure in &document.unexplained {
        unexplained(html, document, failure);
    }
    not_measured(html, &document.not_measured);
}

fn finding(html: &mut Writer, document: &Document, finding: &Finding) {
    let class = match finding.severity {
        Severity::Problem => "ns-finding ns-problem",
        Severity::Degraded => "ns-finding ns-degraded",
        Severity::Notice => "ns-finding ns-notice",
    };
    html.element("article", &[("class", class)], |html| {
        html.element("h3", &[], |html| {
            html.leaf("span", &[("class", "ns-mark")], words::severity(finding.severity));
            html.text(" ");
            html.element("span", &[("class", "ns-sentence")], |html| html.prose(&finding.sentence));
        });
        next_step(html, &finding.next_step);
        html.pairs(&told(document, finding));
        rejected(html, document, &finding.rejected);
        html.element("p", &[("class", "ns-basis")], |html| {
            html.text("Cause ");
            html.leaf("code", &[], &finding.cause);
            html.text(" (");
            html.leaf("code", &[], &format!("netsonde explain {}", finding.cause));
            html.text(")");
            if !finding.evidence.is_empty() {
                html.text(". Evidence: ");
                evidence(html, document, &finding.evidence);
            }
            html.text(".");
        });
    });
}

fn next_step(html: &mut Writer, step: &NextStep) {
    html.element("p", &[("class", "ns-next")], |html| {
        html.leaf("strong", &[], "Next step");
        html.text(" for ");
        html.leaf("em", &[], words::who(step.who));
        html.text(": ");
        html.prose(&step.action);
    });
}

fn told(document: &Document, finding: &Finding) -> Vec<(&'static str, String)> {
    let mut told = Vec::new();
    if document.run.targets.len() > 1 {
        told.extend(finding.target.clone().map(|target| ("target", target)));
    }
    let place = words::place(&finding.place);
    if !place.is_empty() {
        told.push(("where", place));
    }
    told.push(("confidence", words::confidence(finding.confidence)));
    told.extend(finding.control.as_ref().map(|says| ("control", compared::says(says))));
    if !finding.suppressed.is_empty() {
        told.push(("explains", finding.suppressed.join(", ")));
    }
    told.extend(finding.settled_by.clone().map(|settled_by| ("settled by", settled_by)));
    told.extend(words::still_open(finding).into_iter().map(|open| ("still open", open)));
    told
}

fn rejected(html: &mut Writer, document: &Document, rejected: &[Rejected]) {
    if rejected.is_empty() {
        return;
    }
    html.leaf("h4", &[], "Ruled out");
    html.element("ul", &[("class", "ns-rejected")], |html| {
        for rejected in rejected {
            html.element("li", &[], |html| {
                html.leaf("code", &[], &rejected.cause);
                html.text(": ");
                html.prose(&rejected.reason);
                if !rejected.evidence.is_empty() {
                    html.text(" ");
                    html.element("span", &[("class", "ns-ids")], |html| evidence(html, document, &rejected.evidence));
                }
            });
        }
    });
}

/// The observations, each a link to where it is shown.
fn evidence(html: &mut Writer, document: &Document, ids: &[ObservationId]) {
    for (number, id) in ids.iter().enumerate() {
        if number > 0 {
            html.text(", ");
        }
        html.leaf("a", &[("href", &format!("#{}", anchor(document, id)))], id.as_str());
    }
}

fn unexplained(html: &mut Writer, document: &Document, failure: &Unexplained) {
    let class = if failure.required { "ns-finding ns-problem" } else { "ns-finding ns-degraded" };
    html.element("article", &[("class", class)], |html| {
        html.element("h3", &[], |html| {
            html.leaf("span", &[("class", "ns-mark")], "unexplained");
            html.text(" ");
            html.element("span", &[("class", "ns-sentence")], |html| html.prose(&format!("{}: {}", failure.check, failure.what)));
        });
        if let Some(step) = &failure.next_step {
            next_step(html, step);
        }
        rejected(html, document, &failure.ruled_out);
    });
}

fn not_measured(html: &mut Writer, gaps: &[NotMeasured]) {
    if gaps.is_empty() {
        return;
    }
    html.element("article", &[("class", "ns-finding ns-gaps")], |html| {
        html.leaf("h3", &[], "Not measured");
        html.element("ul", &[], |html| {
            for gap in gaps {
                html.element("li", &[], |html| {
                    html.leaf("strong", &[], gap.check.as_str());
                    html.text(if gap.required { " (needed for a verdict): " } else { ": " });
                    html.prose(&gap.why);
                    if let Some(grant) = &gap.grant {
                        html.text("; to allow it: ");
                        html.leaf("code", &[], grant);
                    }
                });
            }
        });
    });
}
