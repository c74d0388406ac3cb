pub(crate) mod span;

use crate::path::{self, Path};
use crate::{compared, facts, shown, units, words};
use netsonde_contract::document::Document;
use netsonde_contract::finding::{Finding, NextStep, Rejected};
use netsonde_contract::id::ObservationId;
use netsonde_contract::observation::{Fact, Handshake};
use netsonde_contract::outcome::Status;
use span::{cell, code, prose};

/// The report for a ticket, in GitHub's flavour of markdown; it can be read unrendered as well. Ends with a newline.
///
/// Foreign text stands in code spans or has its marks escaped: nothing of it becomes a heading, a link, a mention or HTML.
pub fn render(document: &Document) -> String {
    let mut lines = Vec::new();
    head(&mut lines, document);
    for finding in &document.findings {
        self::finding(&mut lines, document, finding);
    }
    unexplained(&mut lines, document);
    not_measured(&mut lines, document);
    against(&mut lines, document);
    checks(&mut lines, document);
    paths(&mut lines, document);
    certificates(&mut lines, document);
    section(&mut lines, "Machine");
    lines.extend(words::environment(document).into_iter().map(|(name, value)| format!("- {name}: {}", code(&value))));
    let mut out = lines.join("\n");
    out.push('\n');
    out
}

fn section(lines: &mut Vec<String>, heading: &str) {
    lines.extend([String::new(), format!("### {heading}"), String::new()]);
}

fn head(lines: &mut Vec<String>, document: &Document) {
    lines.push(format!("## netsonde: {}", prose(&words::verdict(document))));
    lines.push(String::new());
    lines.extend(words::run(document).into_iter().map(|(name, value)| format!("- {name}: {}", code(&value))));
    if let Some(bundle) = &document.bundle {
        lines.push(format!("- bundle: {}", code(bundle.id.as_str())));
        lines.extend(bundle.case_url.iter().map(|url| format!("- case page: {}", code(url))));
    }
    lines.extend(words::limits(document).into_iter().map(|limit| format!("- **note**: {}", prose(&limit))));
}

fn finding(lines: &mut Vec<String>, document: &Document, finding: &Finding) {
    let severity = words::severity(finding.severity).to_uppercase();
    section(lines, &format!("{severity}: {}", code(&finding.cause)));
    lines.extend([prose(&finding.sentence), String::new()]);
    if document.run.targets.len() > 1 {
        lines.extend(finding.target.iter().map(|target| format!("- target: {}", code(target))));
    }
    let place = words::place(&finding.place);
    if !place.is_empty() {
        lines.push(format!("- where: {}", code(&place)));
    }
    lines.push(format!("- confidence: {}", words::confidence(finding.confidence)));
    lines.push(next_step(&finding.next_step));
    rejected(lines, &finding.rejected);
    lines.extend(finding.control.iter().map(|says| format!("- control: {}", prose(&compared::says(says)))));
    if !finding.suppressed.is_empty() {
        lines.push(format!("- explains: {}", finding.suppressed.iter().map(|cause| code(cause)).collect::<Vec<_>>().join(", ")));
    }
    lines.extend(finding.settled_by.iter().map(|settled_by| format!("- settled by: {}", prose(settled_by))));
    lines.extend(words::still_open(finding).iter().map(|open| format!("- still open: {}", prose(open))));
    if !finding.evidence.is_empty() {
        lines.push(format!("- evidence: {}", ids(&finding.evidence)));
    }
    lines.push(format!("- more: {}", code(&format!("netsonde explain {}", finding.cause))));
}

fn next_step(step: &NextStep) -> String {
    format!("- **next step** for {}: {}", words::who(step.who), prose(&step.action))
}

fn rejected(lines: &mut Vec<String>, rejected: &[Rejected]) {
    for rejected in rejected {
        let evidence = if rejected.evidence.is_empty() { String::new() } else { format!(" ({})", ids(&rejected.evidence)) };
        lines.push(format!("- ruled out: {}: {}{evidence}", code(&rejected.cause), prose(&rejected.reason)));
    }
}

fn ids(ids: &[ObservationId]) -> String {
    ids.iter().map(|id| code(id.as_str())).collect::<Vec<_>>().join(", ")
}

fn unexplained(lines: &mut Vec<String>, document: &Document) {
    for failure in &document.unexplained {
        section(lines, &format!("UNEXPLAINED: {}", code(failure.check.as_str())));
        lines.push(prose(&failure.what));
        if !failure.ruled_out.is_empty() || failure.next_step.is_some() {
            lines.push(String::new());
        }
        lines.extend(failure.next_step.iter().map(next_step));
        rejected(lines, &failure.ruled_out);
    }
}

fn not_measured(lines: &mut Vec<String>, document: &Document) {
    if document.not_measured.is_empty() {
        return;
    }
    section(lines, "Not measured");
    for gap in &document.not_measured {
        let needed = if gap.required { " (needed for a verdict)" } else { "" };
        let grant = gap.grant.as_ref().map_or(String::new(), |grant| format!("; to allow it: {}", code(grant)));
        lines.push(format!("- {}: {}{needed}{grant}", code(gap.check.as_str()), prose(&gap.why)));
    }
}

fn against(lines: &mut Vec<String>, document: &Document) {
    let Some(control) = &document.control else { return };
    section(lines, "Against the control");
    lines.push(prose(&compared::head(control)));
    if control.differences.is_empty() {
        return;
    }
    lines.extend([String::new(), "| what | here | there | evidence there |".to_owned(), "|---|---|---|---|".to_owned()]);
    for difference in &control.differences {
        let cells = [
            cell(&compared::subject(difference)),
            cell(&difference.here),
            cell(&difference.there),
            cell(&compared::evidence(control.bundle.short(), &difference.control_evidence)),
        ];
        lines.push(format!("| {} |", cells.join(" | ")));
    }
}

fn checks(lines: &mut Vec<String>, document: &Document) {
    if document.outcomes.is_empty() {
        return;
    }
    section(lines, "Checks");
    lines.extend(["| check | status | time | result |".to_owned(), "|---|---|---:|---|".to_owned()]);
    for outcome in &document.outcomes {
        let time = if outcome.status == Status::Skipped { String::new() } else { units::duration(outcome.took_us) };
        let (status, check) = (words::status(outcome.status), cell(outcome.check.as_str()));
        lines.push(format!("| {check} | {status} | {time} | {} |", cell(&facts::outcome(outcome))));
    }
    if let Some(note) = words::check_names(document) {
        lines.extend([String::new(), prose(note)]);
    }
}

fn paths(lines: &mut Vec<String>, document: &Document) {
    for path in path::paths(document) {
        let Path { belongs_to, target, steps, .. } = &path;
        let of = belongs_to.as_ref().map_or(String::new(), |target| format!(" for {}", code(target)));
        section(lines, &format!("Path to {target}{of}"));
        lines.extend(["| hop | address | round-trip times | notes |".to_owned(), "|---:|---|---|---|".to_owned()]);
        for step in steps {
            let addresses: Vec<String> = step.addresses.iter().map(|address| cell(&address.to_string())).collect();
            lines.push(format!(
                "| {} | {} | {} | {} |",
                step.number(),
                addresses.join(" "),
                step.rtts(),
                prose(&step.notes().join(", "))
            ));
        }
        if let Some(missing) = path.missing_target() {
            lines.push(format!("| | | | {} |", prose(&missing)));
        }
    }
}

fn certificates(lines: &mut Vec<String>, document: &Document) {
    for observation in shown::all(document) {
        if let Fact::Handshake(handshake) = &observation.fact
            && !handshake.chain.is_empty()
        {
            chain(lines, handshake);
        }
    }
}

fn chain(lines: &mut Vec<String>, handshake: &Handshake) {
    section(lines, &format!("Certificates of {}", handshake.address));
    lines.extend(["| # | subject | issuer | valid | key |".to_owned(), "|---:|---|---|---|---|".to_owned()]);
    for (number, certificate) in handshake.chain.iter().enumerate() {
        let valid = match handshake.verified_at {
            Some(at) => facts::validity(certificate, at),
            None => format!("{} to {}", units::day(certificate.not_before), units::day(certificate.not_after)),
        };
        let (subject, issuer, key) = (cell(&certificate.subject), cell(&certificate.issuer), cell(&certificate.key));
        lines.push(format!("| {} | {subject} | {issuer} | {valid} | {key} |", number + 1));
    }
    if !handshake.trust.is_empty() {
        lines.push(String::new());
    }
    lines
        .extend(handshake.trust.iter().map(|verdict| format!("- by {}: {}", facts::store(verdict.store), facts::trust(verdict))));
}
