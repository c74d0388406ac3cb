//! The machine's audit log: what was asked of it from elsewhere, and what became of it.
//!
//! `audit.jsonl` is only ever appended to. Each line holds the SHA-256 of the line before it, so that nothing in the middle can be changed or
//! left out unseen, and the head (the last line's digest) is written into every bundle, which is where a shortened end shows. A log that
//! has become long is put aside under a number, and the next one goes on with the chain.

use crate::state::StateDirectory;
use crate::stop::Stop;
use jiff::Timestamp;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::id::OrderId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "audit.jsonl";
const LOCK_FILE: &str = "audit.lock";
/// Ten thousand entries or so: small enough to be mailed.
const MAX_BYTES: u64 = 4 << 20;
/// Logs that were put aside. The oldest goes, and the chain begins where the next one begins.
const MAX_ASIDE: u32 = 4;
/// One line is far shorter, so that the last one is in the file's end.
const MAX_LINE_BYTES: u64 = 16 << 10;
/// Words of an entry are cut here.
const MAX_WORDS: usize = 1_000;

/// Stands before the first line of all.
fn nothing() -> String {
    "0".repeat(64)
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    /// What happened, such as `order_refused`.
    pub(crate) what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<OrderId>,
    /// What was decided, and in which words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decision: Option<String>,
    /// The key of the policy that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Its line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    /// SHA-256 of the line before, lower-case hexadecimal.
    #[serde(default)]
    pub(crate) previous: String,
}

impl Entry {
    pub(crate) fn new(at: Timestamp, what: &str) -> Self {
        Self { at, what: what.to_owned(), order: None, decision: None, key: None, line: None, previous: String::new() }
    }

    pub(crate) fn of_order(self, order: &OrderId) -> Self {
        Self { order: Some(order.clone()), ..self }
    }

    pub(crate) fn decided(self, words: &str) -> Self {
        Self { decision: Some(words.chars().take(MAX_WORDS).collect()), ..self }
    }

    pub(crate) fn by_policy(self, key: &str, line: Option<usize>) -> Self {
        Self { key: Some(key.to_owned()), line, ..self }
    }
}

/// What a check of the whole log came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) entries: usize,
    pub(crate) head: Option<String>,
}

pub(crate) struct Audit {
    folder: PathBuf,
}

impl Audit {
    pub(crate) fn of(state: &StateDirectory) -> Self {
        Self { folder: state.path().to_owned() }
    }

    /// Appends one entry; it is on the disk when this returns.
    pub(crate) fn append(&self, entry: Entry) -> io::Result<()> {
        let _lock = self.lock()?;
        let path = self.folder.join(FILE);
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        drop_torn_line(&mut file)?;
        let head = last_line(&mut file)?.map(|line| digest(&line));
        let previous = match head {
            Some(head) => head,
            None => self.last_of_aside()?.unwrap_or_else(nothing),
        };
        if file.metadata()?.len() >= MAX_BYTES {
            self.put_aside()?;
            file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        }
        let mut line = serde_json::to_vec(&Entry { previous, ..entry }).map_err(io::Error::other)?;
        line.push(b'\n');
        file.seek(SeekFrom::End(0))?;
        file.write_all(&line)?;
        file.sync_all()
    }

    /// The last line's digest; none where nothing was ever written.
    pub(crate) fn head(&self) -> io::Result<Option<String>> {
        match File::open(self.folder.join(FILE)) {
            Ok(mut file) => match last_line(&mut file)? {
                Some(line) => Ok(Some(digest(&line))),
                None => self.last_of_aside(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All entries that are still there, the oldest first, exactly as they were written.
    pub(crate) fn export(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let files = (1..=MAX_ASIDE).rev().map(|number| self.aside(number)).chain([self.folder.join(FILE)]);
        for path in files {
            match fs::read(&path) {
                Ok(bytes) => all.extend(bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Follows the chain through all that is still there.
    ///
    /// # Errors
    /// Names the first line that does not follow the one before it.
    pub(crate) fn verify(&self) -> Result<Checked, Stop> {
        let log = self.export().map_err(|error| Stop::usage(format!("the audit log cannot be read: {error}")))?;
        check(&log).map_err(Stop::found)
    }

    fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.folder.join(LOCK_FILE))?;
        file.lock()?;
        Ok(file)
    }

    fn aside(&self, number: u32) -> PathBuf {
        self.folder.join(format!("audit.{number}.jsonl"))
    }

    fn put_aside(&self) -> io::Result<()> {
        for number in (1..MAX_ASIDE).rev() {
            if self.aside(number).exists() {
                fs::rename(self.aside(number), self.aside(number + 1))?;
            }
        }
        fs::rename(self.folder.join(FILE), self.aside(1))?;
        crate::disk::sync_folder(&self.folder)
    }

    fn last_of_aside(&self) -> io::Result<Option<String>> {
        last_of(&self.aside(1))
    }
}

fn last_of(path: &Path) -> io::Result<Option<String>> {
    match File::open(path) {
        Ok(mut file) => Ok(last_line(&mut file)?.map(|line| digest(&line))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Pure: the whole log's lines, the oldest first.
fn check(log: &[u8]) -> Result<Checked, String> {
    let mut head: Option<String> = None;
    let mut entries = 0;
    for (place, line) in log.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let number = place + 1;
        let entry: Entry =
            serde_json::from_slice(line).map_err(|error| format!("line {number} of the audit log is no entry: {error}"))?;
        if head.as_ref().is_some_and(|head| *head != entry.previous) {
            return Err(format!(
                "line {number} of the audit log does not follow the line before it: something was changed or left out"
            ));
        }
        head = Some(digest(line));
        entries += 1;
    }
    Ok(Checked { entries, head })
}

fn digest(line: &[u8]) -> String {
    hexadecimal(&Sha256::digest(line))
}

/// A line that a crash cut off was never acknowledged to anybody, and goes.
fn drop_torn_line(file: &mut File) -> io::Result<()> {
    let end = tail(file)?;
    if end.last().is_none_or(|byte| *byte == b'\n') {
        return Ok(());
    }
    let torn = end.iter().rev().take_while(|byte| **byte != b'\n').count() as u64;
    file.set_len(file.metadata()?.len() - torn)
}

/// The last whole line, without its end.
fn last_line(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    let end = tail(file)?;
    let Some(whole) = end.iter().rposition(|byte| *byte == b'\n').map(|place| &end[..place]) else { return Ok(None) };
    let begin = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
    Ok(Some(whole[begin..].to_vec()))
}

fn tail(file: &mut File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_LINE_BYTES)))?;
    let mut end = Vec::new();
    file.take(MAX_LINE_BYTES).read_to_end(&mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (tempfile::TempDir, Audit) {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit { folder: folder.path().to_owned() };
        (folder, audit)
    }

    fn entry(what: &str) -> Entry {
        Entry::new(Timestamp::UNIX_EPOCH, what)
    }

    #[test]
    fn a_changed_or_missing_line_is_found() {
        let (folder, audit) = log();
        assert_eq!(audit.head().unwrap(), None);
        for what in ["enrolled", "order_refused", "order_accepted"] {
            audit.append(entry(what).decided("words")).unwrap();
        }
        let checked = audit.verify().unwrap();
        assert_eq!((checked.entries, &checked.head), (3, &audit.head().unwrap()));
        let path = folder.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        for tampered in [
            text.replace("order_refused", "order_accepted"),
            text.lines().enumerate().filter(|(place, _)| *place != 1).map(|(_, line)| format!("{line}\n")).collect(),
        ] {
            fs::write(&path, tampered).unwrap();
            assert!(audit.verify().unwrap_err().message.contains("does not follow"));
        }
    }

    #[test]
    fn a_line_that_a_crash_cut_off_does_not_break_the_chain() {
        let (folder, audit) = log();
        audit.append(entry("enrolled")).unwrap();
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], b"{\"at\":\"19"].concat()).unwrap();
        audit.append(entry("paused")).unwrap();
        assert_eq!(audit.verify().unwrap().entries, 2);
    }

    #[test]
    fn a_long_log_is_put_aside_and_the_chain_goes_on() {
        let (folder, audit) = log();
        audit.append(entry("enrolled")).unwrap();
        let path = folder.path().join(FILE);
        let first = fs::read(&path).unwrap();
        // Lines that say the same do follow one another only where each names the one before.
        let mut long = first.clone();
        while long.len() < MAX_BYTES as usize {
            let last = long.split(|byte| *byte == b'\n').rev().nth(1).unwrap();
            let next = Entry { previous: digest(last), ..entry("order_refused").decided(&"x".repeat(900)) };
            long.extend(serde_json::to_vec(&next).unwrap());
            long.push(b'\n');
        }
        fs::write(&path, long).unwrap();
        audit.append(entry("paused")).unwrap();
        assert!(folder.path().join("audit.1.jsonl").exists());
        assert!(fs::metadata(&path).unwrap().len() < 1_000);
        let checked = audit.verify().unwrap();
        assert_eq!(checked.head, audit.head().unwrap());
        assert!(checked.entries > 1_000);
    }
}
