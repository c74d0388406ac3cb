//! The words that every report uses for the same thing.

use crate::units;
use netsonde_contract::capability::{Right, Rights};
use netsonde_contract::document::Document;
use netsonde_contract::environment::Environment;
use netsonde_contract::finding::{Finding, NotSeparated, Place, Severity, State, Who};
use netsonde_contract::outcome::{Outcome, Status};
use netsonde_contract::target::bracketed;

pub(crate) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Problem => "problem",
        Severity::Degraded => "degraded",
        Severity::Notice => "notice",
    }
}

/// Words for a number that few people have a feeling for; the number always stands beside them.
pub(crate) fn confidence(confidence: f64) -> String {
    let words = match confidence {
        c if c >= 0.95 => "practically certain",
        c if c >= 0.8 => "very likely",
        c if c >= 0.6 => "likely",
        c if c >= 0.4 => "possible",
        _ => "only a hint",
    };
    // A number from a foreign bundle may be anything.
    let percent = if confidence.is_finite() { (confidence.clamp(0.0, 1.0) * 100.0).round() } else { 0.0 };
    format!("{words} ({percent:.0} %)")
}

pub(crate) fn status(status: Status) -> &'static str {
    match status {
        Status::Succeeded => "ok",
        Status::Failed => "failed",
        Status::TimedOut => "timed out",
        Status::NotMeasured => "unmeasured",
        Status::Skipped => "skipped",
    }
}

pub(crate) fn who(who: Who) -> &'static str {
    match who {
        Who::Customer => "whoever runs this machine",
        Who::Network => "whoever runs the network",
        Who::Server => "whoever runs the server",
        Who::Support => "support",
    }
}

/// Where the traffic stalls, the most telling part first; empty where nothing applies.
pub(crate) fn place(place: &Place) -> String {
    let mut parts = Vec::new();
    if let Some(url) = &place.url {
        parts.push(url.clone());
    }
    // A target given by its address has no other name.
    let address = place.address.map(|address| address.to_string());
    if let Some(name) = place.name.as_ref().filter(|name| address.as_ref() != Some(*name)) {
        parts.push(name.clone());
    }
    let authority = place.url.as_deref().and_then(|url| url.split('/').nth(2));
    match (place.address, place.port) {
        (Some(address), Some(port)) => {
            let host = bracketed(&address.to_string());
            let endpoint = format!("{host}:{port}");
            // A URL with an address for a host has said it.
            if authority.is_none_or(|authority| authority != endpoint && authority != host) {
                parts.push(endpoint);
            }
        }
        (Some(address), None) => parts.push(address.to_string()),
        (None, Some(port)) => parts.push(format!("port {port}")),
        (None, None) => {}
    }
    if let Some(hop) = place.hop {
        parts.push(format!("hop {hop} of the path"));
    }
    if let Some(resolver) = place.resolver {
        parts.push(format!("name server {resolver}"));
    }
    if let Some(interface) = &place.interface {
        parts.push(format!("interface {interface}"));
    }
    parts.join(", ")
}

/// What the run amounts to, in one sentence.
pub(crate) fn verdict(document: &Document) -> String {
    let of = |wanted: Severity| document.findings.iter().filter(|finding| finding.severity == wanted).count();
    let (problems, degraded, notices) = (of(Severity::Problem), of(Severity::Degraded), of(Severity::Notice));
    let unexplained = document.unexplained.iter().filter(|failure| failure.required).count();
    let supporting = document.unexplained.len() - unexplained;
    // Nobody may read "it works" above a check that was to succeed and did not.
    let failed = |outcome: &&Outcome| outcome.required && matches!(outcome.status, Status::Failed | Status::TimedOut);
    let required = document.outcomes.iter().filter(failed).count();
    match document.state {
        // A supporting check decides nothing, and still nobody may read "all is well" above what failed without a cause.
        State::AsExpected if supporting > 0 => format!(
            "What was asked about works, but {} without a known cause.",
            units::counted(supporting, "supporting check failed", "supporting checks failed")
        ),
        State::AsExpected if notices == 0 => "Everything that was asked about works as expected.".to_owned(),
        State::AsExpected => {
            format!("Everything that was asked about works; {} below.", units::counted(notices, "notice", "notices"))
        }
        State::Explained if problems == 0 && required > 0 => format!(
            "{}: {} found.",
            units::counted(required, "required check failed", "required checks failed"),
            units::counted(degraded, "cause", "causes")
        ),
        State::Explained if problems == 0 => {
            format!("It works, but worse than it should: {} found.", units::counted(degraded, "cause", "causes"))
        }
        State::Explained => format!("{} found.", units::counted(problems, "problem", "problems")),
        State::Unexplained if document.findings.iter().any(|finding| finding.severity > Severity::Notice) => {
            format!("{} not explained by any known cause, beside what was found.", failures(unexplained))
        }
        State::Unexplained => format!("{} not explained by any known cause.", failures(unexplained)),
        State::Indeterminate => "No verdict: something that is needed for one could not be measured.".to_owned(),
    }
}

fn failures(count: usize) -> String {
    if count == 1 { "1 failure is".to_owned() } else { format!("{count} failures are") }
}

/// What the run was: set, targets, when, how long.
pub(crate) fn run(document: &Document) -> Vec<(&'static str, String)> {
    let run = &document.run;
    let mut facts = vec![("set", format!("{} (version {})", run.set.name, run.set.version))];
    let targets: Vec<String> = run.targets.iter().map(ToString::to_string).collect();
    if !targets.is_empty() {
        facts.push((if targets.len() == 1 { "target" } else { "targets" }, targets.join(", ")));
    }
    facts.push(("began", format!("{}, took {}", units::moment(run.began), units::duration(run.took_us))));
    if let Some(case) = &run.case {
        facts.push(("case", case.to_string()));
    }
    facts.push(("machine", document.environment.hostname.clone()));
    facts
}

/// Which of the run's targets a check is for; none where there is only one.
pub(crate) fn which_target(document: &Document, outcome: &Outcome) -> Option<String> {
    outcome.target.as_ref().filter(|_| document.run.targets.len() > 1).map(ToString::to_string)
}

/// What the names of checks mean where there are several targets; none where there is one.
pub(crate) fn check_names(document: &Document) -> Option<&'static str> {
    let numbered = document.outcomes.iter().any(|outcome| outcome.check.as_str().contains('#'));
    numbered
        .then_some("The number after # is that of the target: a check without one is for the first target, #2 for the second.")
}

/// What limits the whole run: an interruption, bounds that were reached.
pub(crate) fn limits(document: &Document) -> Vec<String> {
    let mut limits = Vec::new();
    if document.run.interrupted {
        limits.push("The run was interrupted; what was measured until then is shown.".to_owned());
    }
    limits.extend(document.run.limits_hit.iter().map(|limit| format!("A limit was reached: {limit}")));
    limits
}

/// The machine and the program that measured, as name and value.
pub(crate) fn environment(document: &Document) -> Vec<(&'static str, String)> {
    let environment = &document.environment;
    vec![
        ("machine", environment.hostname.clone()),
        ("system", environment.os_release.clone()),
        ("kernel", format!("{} {}", environment.os, environment.kernel)),
        ("architecture", environment.architecture.clone()),
        ("rights", rights(environment)),
        ("clock at start", units::moment(environment.began)),
        ("netsonde", environment.version.clone()),
        ("run", document.run.id.to_string()),
        ("set digest", document.run.set.sha256.clone()),
    ]
}

fn rights(environment: &Environment) -> String {
    let held = Rights::from(environment);
    let parts = [Right::PacketFilter, Right::OtherProcesses, Right::LowPorts].into_iter().filter(|right| held.include(*right));
    let parts: Vec<&str> = parts.map(Right::name).collect();
    let words = match (environment.elevated, environment.raw_sockets, environment.ping_sockets) {
        (true, true, _) => "administrator, raw sockets",
        (true, false, _) => "administrator without raw sockets",
        (false, raw, _) if !parts.is_empty() => {
            let raw = raw.then(|| Right::RawSockets.name());
            let words: Vec<&str> = raw.into_iter().chain(parts).collect();
            return format!("some of an administrator's rights: {}", words.join(", "));
        }
        (false, true, _) => "ordinary user with raw sockets",
        (false, false, true) => "ordinary user, ping sockets only",
        (false, false, false) => "ordinary user, neither raw nor ping sockets",
    };
    words.to_owned()
}

/// The causes that remain possible beside a finding, and what it would take to decide. What would settle the finding is said once, there.
pub(crate) fn still_open(finding: &Finding) -> Vec<String> {
    let of = |open: &NotSeparated| match &finding.settled_by {
        Some(settled_by) if *settled_by == open.would_take => format!("{} is not ruled out", open.cause),
        _ => format!("{} is not ruled out; it would take {}", open.cause, open.would_take),
    };
    finding.could_not_separate.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::verdict;
    use crate::sample;
    use netsonde_contract::finding::Place;
    use serde_json::json;

    #[test]
    fn an_address_that_is_its_own_name_stands_once() {
        let place = |name: &str| {
            super::place(&Place {
                name: Some(name.to_owned()),
                address: Some("127.0.0.1".parse().unwrap()),
                port: Some(8_000),
                ..Place::default()
            })
        };
        assert_eq!(place("127.0.0.1"), "127.0.0.1:8000");
        assert_eq!(place("localhost"), "localhost, 127.0.0.1:8000");
        let of_url = |url: &str| {
            let (url, address) = (Some(url.to_owned()), Some("::1".parse().unwrap()));
            super::place(&Place { url, address, port: Some(443), ..Place::default() })
        };
        assert_eq!(of_url("https://[::1]/a"), "https://[::1]/a");
        assert_eq!(of_url("https://shop.example/a"), "https://shop.example/a, [::1]:443");
    }

    #[test]
    fn nobody_reads_that_all_is_well_above_a_failure_without_a_cause() {
        let mut run = sample::healthy();
        run["findings"] = json!([]);
        assert_eq!(verdict(&sample::document(run.clone())), "Everything that was asked about works as expected.");
        run["unexplained"] = json!([{"check": "echo#2", "required": false, "what": "No reply.", "ruled_out": []}]);
        assert_eq!(
            verdict(&sample::document(run)),
            "What was asked about works, but 1 supporting check failed without a known cause."
        );
    }
}
