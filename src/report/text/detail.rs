use super::{BOLD, Column, DIM, PLAIN, RED, Sheet, heading};
use crate::path::{self, Path};
use crate::{facts, shown, units, words};
use netsonde_contract::document::Document;
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::Fact;
use netsonde_contract::outcome::{Outcome, Status};

/// Everything that was observed, check by check.
pub(super) fn observations(sheet: &mut Sheet, document: &Document) {
    heading(sheet, "Observations");
    for (number, outcome) in document.outcomes.iter().enumerate() {
        if number > 0 {
            sheet.blank();
        }
        let role = if outcome.required { "required" } else { "supporting" };
        let mut heading = format!("{}: {}, {role}, {}", outcome.check, outcome.kind.name(), words::status(outcome.status));
        if outcome.status != Status::Skipped {
            heading.push_str(&format!(", began at {}", units::duration(outcome.began_us)));
        }
        sheet.paragraph(2, BOLD, &heading);
        if let Some(note) = &outcome.note {
            sheet.paragraph(4, PLAIN, &note.why);
        }
        for (id, fact) in shown::observations(outcome).iter().map(|observation| (&observation.id, &observation.fact)) {
            if outcome.kind == Kind::Traceroute && matches!(fact, Fact::Hop(_)) {
                continue;
            }
            sheet.hanging(
                &[Column::new("", 4).space(0), Column::new(id.as_str(), 0).paint(DIM)],
                indent(id.as_str()),
                PLAIN,
                &facts::line(fact),
            );
            for detail in facts::details(fact) {
                let indent = 8 + detail.len() - detail.trim_start().len();
                sheet.paragraph(indent, DIM, &detail);
            }
        }
        if let Some(more) = shown::more(outcome) {
            sheet.paragraph(4, PLAIN, &more);
        }
        paths(sheet, document, outcome);
    }
}

/// Text begins behind the observation's name, which is short.
fn indent(id: &str) -> usize {
    4 + id.chars().count().min(20) + 2
}

/// The hops as a table: distance, address, round-trip times, what is out of the ordinary.
fn paths(sheet: &mut Sheet, document: &Document, outcome: &Outcome) {
    for path in path::of_check(document, outcome) {
        let Path { target, steps, .. } = &path;
        sheet.paragraph(4, BOLD, &format!("hops to {target}"));
        let width = steps.iter().flat_map(|step| &step.addresses).map(|address| address.to_string().len()).max().unwrap_or(1);
        for step in steps {
            let ids: Vec<&str> = step.ids.iter().map(|id| id.as_str()).collect();
            let mut rest = vec![step.rtts()];
            rest.extend(step.notes());
            rest.retain(|part| !part.is_empty());
            let rest = format!("{} [{}]", rest.join(", "), ids.join(" "));
            let addresses: Vec<String> = step.addresses.iter().map(ToString::to_string).collect();
            let (first, others) =
                addresses.split_first().map_or(("*", Default::default()), |(first, others)| (first.as_str(), others));
            let number = step.number();
            let columns = [
                Column::new("", 4).space(0),
                Column::new(&number, 5).right(),
                Column::new(first, width).paint(if step.fault.is_some() { RED } else { PLAIN }),
            ];
            if sheet.width() < width + 40 {
                sheet.hanging(&columns, 0, PLAIN, "");
                sheet.paragraph(11, PLAIN, &rest);
            } else {
                sheet.hanging(&columns, 11 + width + 2, PLAIN, &rest);
            }
            for other in others {
                sheet.paragraph(11, PLAIN, other);
            }
        }
        if let Some(missing) = path.missing_target() {
            sheet.paragraph(11, if path.fault_at_target.is_some() { RED } else { PLAIN }, &missing);
        }
    }
}
