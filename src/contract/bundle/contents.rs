use super::{file_name, readable_json};
use crate::document::{Document, Run};
use crate::finding::Diagnosis;
use crate::redaction::RedactionReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The files of a bundle without those that [`super::pack`] adds: manifest, signatures, keys, `SHA256SUMS` and `README.txt`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub files: BTreeMap<String, Vec<u8>>,
}

/// `run.json`.
#[derive(Serialize, Deserialize)]
pub(super) struct RunFile {
    pub(super) schema: String,
    pub(super) run: Run,
}

impl Contents {
    /// The files of a run that is already redacted. The document's `bundle` is left out: a bundle cannot hold its own id.
    pub fn of(document: &Document, redaction: &RedactionReport, journal: Vec<u8>, report_html: String) -> Self {
        let run = RunFile { schema: document.schema.clone(), run: document.run.clone() };
        let findings = Diagnosis {
            state: document.state,
            findings: document.findings.clone(),
            unexplained: document.unexplained.clone(),
            not_measured: document.not_measured.clone(),
        };
        let mut files: BTreeMap<String, Vec<u8>> = [
            (file_name::RUN.to_owned(), readable_json(&run)),
            (file_name::ENVIRONMENT.to_owned(), readable_json(&document.environment)),
            (file_name::FINDINGS.to_owned(), readable_json(&findings)),
            (file_name::REDACTION.to_owned(), readable_json(redaction)),
            (file_name::JOURNAL.to_owned(), journal),
            (file_name::REPORT.to_owned(), report_html.into_bytes()),
        ]
        .into();
        for (index, outcome) in document.outcomes.iter().enumerate() {
            files.insert(outcome_name(index + 1, outcome.check.as_str()), readable_json(outcome));
        }
        Self { files }
    }

    /// Adds the order that the run obeyed, as it was signed, and the policy that allowed it.
    pub fn add_order(&mut self, envelope: Vec<u8>, policy: Vec<u8>) {
        self.files.insert(file_name::ORDER.to_owned(), envelope);
        self.files.insert(file_name::POLICY.to_owned(), policy);
    }

    /// Adds the run's own packets, as a pcapng file.
    pub fn add_capture(&mut self, file: Vec<u8>) {
        self.files.insert(file_name::CAPTURE.to_owned(), file);
    }
}

/// Four digits keep the files of 2048 outcomes in the order of the run; the check's name is for people, in letters that every file system takes.
fn outcome_name(number: usize, check: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let check: String = check.chars().take(MAX_NAME_CHARS).map(safe).collect();
    format!("{}{number:04}-{check}.json", file_name::OUTCOMES)
}

/// A check's name is longer than this only in a set that means harm; a ustar header holds 100 bytes.
const MAX_NAME_CHARS: usize = 60;

#[cfg(test)]
mod tests {
    use super::outcome_name;

    #[test]
    fn a_check_of_the_second_target_makes_a_plain_file_name() {
        assert_eq!(outcome_name(7, "connect#2"), "outcomes/0007-connect-2.json");
        assert_eq!(outcome_name(7, "../../x"), "outcomes/0007-..-..-x.json");
    }
}
