//! Whether a log is whole: each line follows the one before it, and what stands before the first one is known.

use super::{CONTINUES, Entry, digest, nothing};

/// What a check of the whole log came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) entries: u64,
    /// Older ones, which went when the log had become long.
    pub(crate) dropped: u64,
    pub(crate) head: Option<String>,
}

/// Pure: the whole log's lines, the oldest first. `is_full` says that as many logs are put aside as are kept, so that older ones may have been
/// dropped.
pub(super) fn check(log: &[u8], is_full: bool) -> Result<Checked, String> {
    let mut checked = Checked { entries: 0, dropped: 0, head: None };
    for (place, line) in log.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let number = place + 1;
        let entry: Entry =
            serde_json::from_slice(line).map_err(|error| format!("line {number} of the audit log is no entry: {error}"))?;
        match &checked.head {
            None => checked.dropped = before_first(&entry, is_full)?,
            Some(head) if *head != entry.previous => {
                return Err(format!(
                    "line {number} of the audit log does not follow the line before it: something was changed or left out"
                ));
            }
            Some(_) => {}
        }
        let before = checked.dropped + checked.entries;
        if let Some(said) = entry.before.filter(|said| *said != before) {
            return Err(format!(
                "line {number} of the audit log says that {said} entries went before it, and there are {before}"
            ));
        }
        checked.head = Some(digest(line));
        checked.entries += 1;
    }
    Ok(checked)
}

/// How many entries went before the first one that is there.
fn before_first(entry: &Entry, is_full: bool) -> Result<u64, String> {
    match entry.before.filter(|_| entry.what == CONTINUES) {
        None if entry.previous == nothing() => Ok(0),
        None => {
            Err("the beginning of the audit log is missing: its first line follows another, and no dropped log ends there"
                .to_owned())
        }
        Some(before) if is_full => Ok(before),
        Some(before) => Err(format!(
            "the beginning of the audit log is missing: {before} entries went before its first line, and no log was old enough to be dropped"
        )),
    }
}

/// Pure: entries that were written up to the end of this log, those that were dropped included.
pub(super) fn written(log: &[u8]) -> u64 {
    let mut lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).peekable();
    let first = lines.peek().and_then(|line| serde_json::from_slice::<Entry>(line).ok());
    first.and_then(|entry| entry.before).unwrap_or(0).saturating_add(lines.count() as u64)
}
