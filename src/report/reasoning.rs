//! How the conclusion was reached, as a short tree: target, layer, cause, and under each cause what it rests on, what was ruled out by
//! which observation, and what follows from it.

use crate::{compared, facts, words};
use netsonde_contract::document::Document;
use netsonde_contract::finding::{Finding, Rejected};
use netsonde_contract::id::ObservationId;
use netsonde_contract::outcome::{Outcome, Status};
use netsonde_diagnosis::Layer;

/// One line of the tree and what hangs on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) text: String,
    pub(crate) branches: Vec<Branch>,
}

impl Branch {
    fn leaf(text: String) -> Self {
        Self { text, branches: Vec::new() }
    }
}

/// The layers in the order in which traffic passes through them, in words.
const LAYERS: [(Layer, &str); 7] = [
    (Layer::Host, "this machine"),
    (Layer::Dns, "name resolution"),
    (Layer::Path, "path"),
    (Layer::Tcp, "connection"),
    (Layer::Tls, "TLS"),
    (Layer::Http, "HTTP"),
    (Layer::Service, "service"),
];
/// Of what a cause rests on, this much is spelled out; the ids name all.
const MAX_FACTS: usize = 4;

/// A tree for each target of the run, in the order of its checks; one for all where the run has one target.
pub(crate) fn tree(document: &Document) -> Vec<Branch> {
    if let [] | [_] = &document.run.targets[..] {
        let name = document.run.targets.first().map_or_else(|| "this machine's own network".to_owned(), ToString::to_string);
        return vec![Branch { text: name, branches: layers(document, &|_| true) }];
    }
    let of_checks = document.outcomes.iter().map(|outcome| outcome.target.as_ref().map(ToString::to_string));
    let mut targets: Vec<Option<String>> = Vec::new();
    for target in of_checks.chain(document.findings.iter().map(|finding| finding.target.clone())) {
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    let one = |target: &Option<String>| Branch {
        text: target.clone().unwrap_or_else(|| "checks without a target".to_owned()),
        branches: layers(document, &|of| of == target.as_deref()),
    };
    targets.iter().map(one).collect()
}

fn layers(document: &Document, is_meant: &dyn Fn(Option<&str>) -> bool) -> Vec<Branch> {
    LAYERS.iter().filter_map(|(of, name)| layer(document, is_meant, *of, name)).collect()
}

/// One layer: what was looked at there, and what was found. None where nothing was.
fn layer(document: &Document, is_meant: &dyn Fn(Option<&str>) -> bool, of: Layer, name: &str) -> Option<Branch> {
    let is_here = |code: &str| Layer::of(code) == of;
    let of_target = |outcome: &&Outcome| is_meant(outcome.target.as_ref().map(ToString::to_string).as_deref());
    let checks: Vec<&Outcome> =
        document.outcomes.iter().filter(of_target).filter(|outcome| Layer::of_kind(outcome.kind) == of).collect();
    let found: Vec<&Finding> =
        document.findings.iter().filter(|finding| is_meant(finding.target.as_deref()) && is_here(&finding.cause)).collect();
    if checks.is_empty() && found.is_empty() {
        return None;
    }
    let mut branches: Vec<Branch> = found.iter().map(|finding| of_finding(document, finding)).collect();
    for failure in document.unexplained.iter().filter(|failure| checks.iter().any(|check| check.check == failure.check)) {
        let ruled_out = failure.ruled_out.iter().map(|rejected| Branch::leaf(not(rejected))).collect();
        branches.push(Branch { text: format!("unexplained, {}: {}", failure.check, failure.what), branches: ruled_out });
    }
    let seen: Vec<String> = checks.iter().map(|check| format!("{} {}", check.check, words::status(check.status))).collect();
    let judgement = match (branches.is_empty(), checks.iter().any(|check| check.status == Status::Succeeded)) {
        (false, _) => "",
        (true, true) => ": nothing speaks against it",
        (true, false) => ": not decided",
    };
    // What was asked further stands last: it decides nothing by itself.
    branches.extend(checks.iter().filter_map(|check| asked_further(check)));
    let seen = if seen.is_empty() { String::new() } else { format!(" ({})", seen.join(", ")) };
    Some(Branch { text: format!("{name}{seen}{judgement}"), branches })
}

/// A follow-up: what it was to decide, and what it saw.
fn asked_further(outcome: &Outcome) -> Option<Branch> {
    let (first, rest) = outcome.separates.split_first()?;
    let apart = if rest.is_empty() { first.clone() } else { format!("{first} from {}", rest.join(" or ")) };
    Some(Branch::leaf(format!("asked further to tell {apart}, {}: {}", outcome.check, facts::outcome(outcome))))
}

fn of_finding(document: &Document, finding: &Finding) -> Branch {
    let text = format!(
        "{} {}, {}: {}",
        words::severity(finding.severity),
        finding.cause,
        words::confidence(finding.confidence),
        finding.sentence
    );
    let mut branches: Vec<Branch> = finding
        .evidence
        .iter()
        .take(MAX_FACTS)
        .filter_map(|id| Some(Branch::leaf(format!("because {}", seen(document, id)?))))
        .collect();
    if let Some(more) = finding.evidence.get(MAX_FACTS..).filter(|more| !more.is_empty()) {
        branches.push(Branch::leaf(format!("and {}", list(more))));
    }
    branches.extend(finding.rejected.iter().map(|rejected| Branch::leaf(not(rejected))));
    branches.extend(finding.control.iter().map(|says| Branch::leaf(format!("the control: {}", compared::says(says)))));
    if !finding.suppressed.is_empty() {
        branches.push(Branch::leaf(format!("from which follows {}", finding.suppressed.join(", "))));
    }
    if let Some(settled_by) = &finding.settled_by {
        branches.push(Branch::leaf(format!("would be settled by: {settled_by}")));
    }
    branches.extend(words::still_open(finding).into_iter().map(|open| Branch::leaf(format!("still open: {open}"))));
    Branch { text, branches }
}

fn not(rejected: &Rejected) -> String {
    let by = if rejected.evidence.is_empty() { String::new() } else { format!(" [{}]", list(&rejected.evidence)) };
    format!("not {}: {}{by}", rejected.cause, rejected.reason)
}

/// What the observation saw, with its id; none where the document does not hold it.
fn seen(document: &Document, id: &ObservationId) -> Option<String> {
    let mut observations = document.outcomes.iter().flat_map(|outcome| &outcome.observations);
    let observation = observations.find(|observation| observation.id == *id)?;
    Some(format!("[{id}] {}", facts::line(&observation.fact)))
}

fn list(ids: &[ObservationId]) -> String {
    ids.iter().map(ObservationId::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use netsonde_contract::finding::NotSeparated;
    use netsonde_contract::kind::Kind;

    fn lines(branches: &[Branch], depth: usize) -> Vec<String> {
        let own = |branch: &Branch| {
            [vec![format!("{}{}", "  ".repeat(depth), branch.text)], lines(&branch.branches, depth + 1)].concat()
        };
        branches.iter().flat_map(own).collect()
    }

    #[test]
    fn a_refused_port_shows_what_it_rests_on_and_what_it_is_not() {
        let document = sample::document(sample::refused());
        let tree = lines(&tree(&document), 0).join("\n");
        let finding = &document.findings[0];
        assert!(tree.contains(&finding.cause) && tree.contains(&finding.sentence), "{tree}");
        assert!(tree.contains("because [") && tree.contains("not "), "{tree}");
        assert!(tree.contains("nothing speaks against it"), "{tree}");
    }

    #[test]
    fn what_was_asked_further_and_what_stays_open_is_told() {
        let mut document = sample::document(sample::refused());
        let (first, finding) = (document.outcomes.len() - 1, &mut document.findings[0]);
        finding.could_not_separate = vec![NotSeparated { cause: "tcp.filtered".into(), would_take: "another place".into() }];
        document.outcomes[first].separates = vec!["tcp.refused".into(), "tcp.filtered".into(), "path.loss".into()];
        let tree = lines(&tree(&document), 0).join("\n");
        assert!(tree.contains("still open: tcp.filtered is not ruled out; it would take another place"), "{tree}");
        assert!(tree.contains("asked further to tell tcp.refused from tcp.filtered or path.loss"), "{tree}");
    }

    #[test]
    fn a_layer_that_was_not_looked_at_has_no_branch() {
        let mut document = sample::document(sample::healthy());
        document.outcomes.retain(|outcome| outcome.kind == Kind::Tcp);
        let tree = tree(&document);
        assert_eq!(tree.iter().map(|target| target.branches.len()).max(), Some(1), "{tree:?}");
    }
}
