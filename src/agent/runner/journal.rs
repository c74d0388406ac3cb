use super::Event;
use serde::Serialize;

/// What the program did and when, one JSON object a line: `journal.jsonl` of the bundle. It names checks, never addresses or names.
#[derive(Default)]
pub(crate) struct Journal {
    lines: Vec<u8>,
}

#[derive(Serialize)]
struct Entry<'a> {
    at_us: u64,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<netsonde_contract::outcome::Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observations: Option<usize>,
    /// Causes between which a follow-up is to decide.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    between: &'a [&'a str],
}

impl Journal {
    /// Notes something that concerns the whole run.
    pub(crate) fn note(&mut self, at_us: u64, event: &str) {
        self.write(&Entry { at_us, event, check: None, status: None, observations: None, between: &[] });
    }

    pub(crate) fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Began { check, at_us } => self.write(&Entry {
                at_us: *at_us,
                event: "check_began",
                check: Some(check.id.as_str()),
                status: None,
                observations: None,
                between: &[],
            }),
            Event::Ended(outcome) => self.write(&Entry {
                at_us: outcome.began_us + outcome.took_us,
                event: "check_ended",
                check: Some(outcome.check.as_str()),
                status: Some(outcome.status),
                observations: Some(outcome.observations.len()),
                between: &[],
            }),
        }
    }

    /// Notes that a follow-up is taken, and what it is to decide. The codes of causes name nobody.
    pub(crate) fn asked_further(&mut self, at_us: u64, check: &str, between: &[&str]) {
        self.write(&Entry { at_us, event: "follow_up", check: Some(check), status: None, observations: None, between });
    }

    pub(crate) fn into_lines(self) -> Vec<u8> {
        self.lines
    }

    fn write(&mut self, entry: &Entry<'_>) {
        // Plain fields with text keys always serialise, and a vector takes every byte.
        if serde_json::to_writer(&mut self.lines, entry).is_ok() {
            self.lines.push(b'\n');
        }
    }
}
