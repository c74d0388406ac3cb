//! Exit codes: what a script learns from a run without reading its document.

use netsonde_contract::document::Document;
use netsonde_contract::finding::{NotMeasured, Severity, Unexplained};

/// As expected; notices are allowed.
pub(crate) const AS_EXPECTED: u8 = 0;
/// A finding of severity problem or degraded, or a required check failed without an explanation.
pub(crate) const FOUND: u8 = 1;
/// The command line or a file it names cannot be used.
pub(crate) const USAGE: u8 = 2;
/// A required check could not be measured.
pub(crate) const NOT_MEASURED: u8 = 3;
/// Policy, or the person asked, said no.
pub(crate) const REFUSED: u8 = 4;
/// The run is done, but its bundle is not where it should be: it did not reach the backend and is kept, or the disk refused it.
pub(crate) const NOT_UPLOADED: u8 = 5;
/// A person interrupted the run (128 + SIGINT, as shells have it).
pub(crate) const INTERRUPTED: u8 = 130;

/// The exit code of a run that took place: the first that applies of 130, 1, 5, 3, 0. The codes 2 and 4 belong to runs that did
/// not take place.
pub(crate) fn code(document: &Document, not_uploaded: bool) -> u8 {
    if document.run.interrupted {
        return INTERRUPTED;
    }
    let severities: Vec<Severity> = document.findings.iter().map(|finding| finding.severity).collect();
    of_conclusions(&severities, &document.unexplained, &document.not_measured, not_uploaded)
}

fn of_conclusions(severities: &[Severity], unexplained: &[Unexplained], not_measured: &[NotMeasured], not_uploaded: bool) -> u8 {
    let felt = severities.iter().any(|severity| *severity >= Severity::Degraded);
    let unexplained = unexplained.iter().any(|failure| failure.required);
    if felt || unexplained {
        FOUND
    } else if not_uploaded {
        NOT_UPLOADED
    } else if not_measured.iter().any(|gap| gap.required) {
        NOT_MEASURED
    } else {
        AS_EXPECTED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::id::CheckId;

    #[test]
    fn the_first_code_that_applies_wins() {
        use Severity::{Degraded, Notice, Problem};
        let failure = |required| Unexplained { check: CheckId::new("c"), required, what: String::new(), ruled_out: Vec::new() };
        let gap = |required| NotMeasured { check: CheckId::new("c"), required, why: String::new(), grant: None };
        type Case = (Vec<Severity>, Vec<Unexplained>, Vec<NotMeasured>, bool, u8);
        let cases: Vec<Case> = vec![
            (vec![], vec![], vec![], false, AS_EXPECTED),
            (vec![Notice], vec![], vec![], false, AS_EXPECTED),
            (vec![Notice, Degraded], vec![], vec![], false, FOUND),
            (vec![Problem], vec![], vec![gap(true)], true, FOUND),
            (vec![], vec![failure(true)], vec![], true, FOUND),
            (vec![], vec![failure(false)], vec![], false, AS_EXPECTED),
            (vec![], vec![failure(false)], vec![gap(true)], true, NOT_UPLOADED),
            (vec![Notice], vec![], vec![gap(true)], false, NOT_MEASURED),
            (vec![], vec![], vec![gap(false)], false, AS_EXPECTED),
        ];
        for (severities, unexplained, not_measured, not_uploaded, expected) in cases {
            let given = format!("{severities:?} {unexplained:?} {not_measured:?} {not_uploaded}");
            assert_eq!(of_conclusions(&severities, &unexplained, &not_measured, not_uploaded), expected, "{given}");
        }
    }
}
