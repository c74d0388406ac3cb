//! Exit codes: what a script learns from a run without reading its document.

use netsonde_contract::document::Document;
use netsonde_contract::finding::{NotMeasured, Severity, Unexplained};

/// As expected; notices are allowed.
pub(crate) const AS_EXPECTED: u8 = 0;
/// A finding of severity problem or degraded, or a required check failed without an explanation.
pub(crate) const FOUND: u8 = 1;
/// The command line, or a file or folder it names, cannot be used; also where the disk refuses the bundle after a run.
pub(crate) const USAGE: u8 = 2;
/// A required check could not be measured.
pub(crate) const NOT_MEASURED: u8 = 3;
/// The service is there and does not run: LSB's code for the status of one (Linux Standard Base 5.0, Core, section 22.2). None there is [`FOUND`].
pub(crate) const NOT_RUNNING: u8 = 3;
/// Policy, or the person asked, said no.
pub(crate) const REFUSED: u8 = 4;
/// The run is done, but its bundle, which was to be sent, did not reach the backend; it is kept.
pub(crate) const NOT_UPLOADED: u8 = 5;
/// The service cannot work now, for a reason that may pass by itself, such as a full disk: whoever started it starts it again. The same of an enrolment
/// that did not reach the backend.
pub(crate) const NOT_NOW: u8 = 6;
/// A person interrupted the run (128 + SIGINT, as shells have it).
pub(crate) const INTERRUPTED: u8 = 130;

/// What became of a run's bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BundleFate {
    /// It is where it was to be.
    InPlace,
    /// It was to be sent and was not; it is kept.
    NotUploaded,
    /// It was to be kept, and the disk refused; or to be sent, and is neither at the backend nor here.
    NotKept,
}

/// The exit code of a run that took place: the first that applies of 130, 2, 1, 5, 3, 0. The code 4 belongs to runs that did not.
pub(crate) fn code(document: &Document, fate: BundleFate) -> u8 {
    if document.run.interrupted {
        return INTERRUPTED;
    }
    let severities: Vec<Severity> = document.findings.iter().map(|finding| finding.severity).collect();
    of_conclusions(&severities, &document.unexplained, &document.not_measured, fate)
}

fn of_conclusions(severities: &[Severity], unexplained: &[Unexplained], not_measured: &[NotMeasured], fate: BundleFate) -> u8 {
    let felt = severities.iter().any(|severity| *severity >= Severity::Degraded);
    let unexplained = unexplained.iter().any(|failure| failure.required);
    if fate == BundleFate::NotKept {
        USAGE
    } else if felt || unexplained {
        FOUND
    } else if fate == BundleFate::NotUploaded {
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
        use BundleFate::{InPlace, NotKept, NotUploaded};
        use Severity::{Degraded, Notice, Problem};
        let failure = |required| Unexplained {
            check: CheckId::new("c"),
            required,
            what: String::new(),
            ruled_out: Vec::new(),
            next_step: None,
        };
        let gap = |required| NotMeasured { check: CheckId::new("c"), required, why: String::new(), grant: None };
        type Case = (Vec<Severity>, Vec<Unexplained>, Vec<NotMeasured>, BundleFate, u8);
        let cases: Vec<Case> = vec![
            (vec![], vec![], vec![], InPlace, AS_EXPECTED),
            (vec![Notice], vec![], vec![], InPlace, AS_EXPECTED),
            (vec![Notice, Degraded], vec![], vec![], InPlace, FOUND),
            (vec![Problem], vec![], vec![gap(true)], NotUploaded, FOUND),
            (vec![], vec![failure(true)], vec![], NotUploaded, FOUND),
            (vec![], vec![failure(false)], vec![], InPlace, AS_EXPECTED),
            (vec![], vec![failure(false)], vec![gap(true)], NotUploaded, NOT_UPLOADED),
            (vec![Notice], vec![], vec![gap(true)], InPlace, NOT_MEASURED),
            (vec![], vec![], vec![gap(false)], InPlace, AS_EXPECTED),
            (vec![Problem], vec![], vec![], NotKept, USAGE),
        ];
        for (severities, unexplained, not_measured, fate, expected) in cases {
            let given = format!("{severities:?} {unexplained:?} {not_measured:?} {fate:?}");
            assert_eq!(of_conclusions(&severities, &unexplained, &not_measured, fate), expected, "{given}");
        }
    }
}
