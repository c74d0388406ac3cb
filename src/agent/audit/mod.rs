//! The machine's audit log: what was asked of it from elsewhere, and what became of it.
//!
//! `audit.jsonl` is only ever appended to. Each line holds the SHA-256 of the line before it, so that nothing in the middle can be changed or
//! left out unseen, and the head (the last line's digest) is written into every bundle, which is where a shortened end shows. A log that
//! has become long is put aside under a number, and the next one goes on with the chain: its first line says how many entries went before it,
//! so that a beginning which is missing for another reason shows.

/// Whether a log is whole.
mod chain;
/// What is counted rather than written each time.
mod folding;

use crate::state::{LOOP_PATIENCE, StateDirectory, lock_file, wait_for_lock};
use crate::state_names;
use crate::stop::Stop;
use chain::{check, written};
use folding::Folding;
use jiff::Timestamp;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::id::OrderId;
use netsonde_disk::{Disk, OpenFile};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(crate) use chain::Checked;

const FILE: &str = state_names::AUDIT;
const LOCK_FILE: &str = state_names::AUDIT_LOCK;
/// Ten thousand entries or so: small enough to be mailed.
const MAX_BYTES: u64 = 4 << 20;
/// Logs that were put aside. The oldest goes, and the next one's first line says how many entries went with it.
const MAX_ASIDE: u32 = 4;
/// What the first line of a log is that goes on after others.
const CONTINUES: &str = "log_continues";
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
    /// So many more that say the same are counted here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
    /// In the first line of a log that goes on after others: how many entries went before it, the last of which `previous` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<u64>,
    /// SHA-256 of the line before, lower-case hexadecimal.
    #[serde(default)]
    pub(crate) previous: String,
}

impl Entry {
    pub(crate) fn new(at: Timestamp, what: &str) -> Self {
        Self {
            at,
            what: what.to_owned(),
            order: None,
            decision: None,
            key: None,
            line: None,
            count: None,
            before: None,
            previous: String::new(),
        }
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

pub(crate) struct Audit {
    disk: Disk,
    folder: PathBuf,
    most_bytes: u64,
    folding: Mutex<Folding>,
}

impl Audit {
    pub(crate) fn of(state: &StateDirectory) -> Self {
        Self::on(Disk::system(), state.path(), MAX_BYTES)
    }

    /// The same in a state directory on any disk. A log of so many bytes is long.
    pub(crate) fn on(disk: Disk, state: &Path, most_bytes: u64) -> Self {
        Self { disk, folder: state.to_owned(), most_bytes, folding: Mutex::default() }
    }

    /// Appends an entry, or counts it where the backend brought about many that say the same; counts are written when their time is over. `now` is
    /// any clock that goes forward.
    pub(crate) fn note(&self, entry: Entry, now: Duration) -> io::Result<()> {
        let due = self.folding.lock().unwrap_or_else(PoisonError::into_inner).take(entry, now);
        due.into_iter().try_for_each(|entry| self.append(entry))
    }

    /// Writes the counts whose time is over.
    pub(crate) fn write_counts(&self, at: Timestamp, now: Duration) -> io::Result<()> {
        let due = self.folding.lock().unwrap_or_else(PoisonError::into_inner).due(at, now);
        due.into_iter().try_for_each(|entry| self.append(entry))
    }

    /// Writes all counts: the agent ends.
    pub(crate) fn write_all_counts(&self, at: Timestamp) -> io::Result<()> {
        let due = self.folding.lock().unwrap_or_else(PoisonError::into_inner).all(at);
        due.into_iter().try_for_each(|entry| self.append(entry))
    }

    /// Appends one entry; it is on the disk when this returns.
    pub(crate) fn append(&self, entry: Entry) -> io::Result<()> {
        let _lock = self.lock()?;
        let (files, path) = (self.disk.files(), self.folder.join(FILE));
        let mut file = files.open(&path)?;
        drop_torn_line(&mut *file)?;
        let head = last_line(&*file)?.map(|line| digest(&line));
        let mut previous = match head {
            Some(head) => head,
            None => self.last_of_aside()?.unwrap_or_else(nothing),
        };
        if file.length()? >= self.most_bytes {
            // What a process that died wrote, or was cut off here, the next log goes on from.
            file.sync()?;
            self.put_aside()?;
            file = files.open(&path)?;
        }
        let (end, mut lines) = (file.length()?, Vec::new());
        if end == 0 && previous != nothing() {
            let before = Some(written(&self.export()?));
            let line = line_of(&Entry { before, previous, ..Entry::new(entry.at, CONTINUES) })?;
            previous = digest(line.trim_ascii_end());
            lines.extend(line);
        }
        lines.extend(line_of(&Entry { previous, ..entry })?);
        file.write_at(end, &lines)?;
        file.sync()?;
        // Its name, too: this process made it, or another one that died before it could see to that.
        files.sync_folder(&self.folder)
    }

    /// The last line's digest; none where nothing was ever written.
    pub(crate) fn head(&self) -> io::Result<Option<String>> {
        match self.last_of(&self.folder.join(FILE))? {
            // It was put aside, and nothing was written since.
            None => self.last_of_aside(),
            head => Ok(head),
        }
    }

    /// All entries that are still there, the oldest first, exactly as they were written.
    pub(crate) fn export(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let files = (1..=MAX_ASIDE).rev().map(|number| self.aside(number)).chain([self.folder.join(FILE)]);
        for path in files {
            match self.disk.files().read(&path) {
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
    /// Names the first line that does not follow the one before it, or says that the beginning is missing, or that another process has held the log's lock for
    /// three seconds.
    pub(crate) fn verify(&self) -> Result<Checked, Stop> {
        let unreadable = |error: io::Error| Stop::usage(format!("the audit log cannot be read: {error}"));
        // Nothing is put aside meanwhile. A lock that is not there is not made here, in the name of whoever looks.
        let _lock = self.lock_to_look()?;
        let log = self.export().map_err(unreadable)?;
        self.follow(&log).map_err(Stop::found)
    }

    /// The same through what was exported.
    ///
    /// # Errors
    /// In words, as before.
    pub(crate) fn follow(&self, log: &[u8]) -> Result<Checked, String> {
        let is_full = (1..=MAX_ASIDE).all(|number| self.disk.files().length(&self.aside(number)).is_ok_and(|length| length > 0));
        check(log, is_full)
    }

    /// Held by whoever appends for moments, unless it was suspended meanwhile. Where locks are not to be had, it is looked without one.
    fn lock_to_look(&self) -> Result<Option<File>, Stop> {
        let Ok(lock) = File::open(self.folder.join(LOCK_FILE)) else { return Ok(None) };
        match lock_file(&lock, LOOP_PATIENCE) {
            Ok(()) => Ok(Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let words = format!("the audit log in {} cannot be followed now: {error}", self.folder.display());
                Err(Stop::disk(words, &error).next("let the other netsonde go on, or end it, and ask again"))
            }
            Err(_) => Ok(None),
        }
    }

    fn lock(&self) -> io::Result<Box<dyn OpenFile>> {
        let file = self.disk.files().open(&self.folder.join(LOCK_FILE))?;
        wait_for_lock(|| file.try_lock(), LOOP_PATIENCE)?;
        Ok(file)
    }

    fn aside(&self, number: u32) -> PathBuf {
        self.folder.join(state_names::audit_aside(number))
    }

    /// Each move is on the disk before the next takes its place. A process that dies between two of them leaves a gap, which the next fills: nothing is dropped for it.
    fn put_aside(&self) -> io::Result<()> {
        let is_there = |number: &u32| self.disk.files().length(&self.aside(*number)).is_ok();
        let room = (1..MAX_ASIDE).find(|number| !is_there(number)).unwrap_or(MAX_ASIDE);
        for number in (1..room).rev() {
            self.disk.move_to(&self.aside(number), &self.aside(number + 1))?;
        }
        self.disk.move_to(&self.folder.join(FILE), &self.aside(1))
    }

    fn last_of_aside(&self) -> io::Result<Option<String>> {
        self.last_of(&self.aside(1))
    }

    /// The digest of a log's last line; none where it has none, or is not there.
    fn last_of(&self, path: &Path) -> io::Result<Option<String>> {
        match self.disk.files().open_to_read(path) {
            Ok(file) => Ok(last_line(&*file)?.map(|line| digest(&line))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn line_of(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
    line.push(b'\n');
    Ok(line)
}

fn digest(line: &[u8]) -> String {
    hexadecimal(&Sha256::digest(line))
}

/// A line that a crash cut off was never acknowledged to anybody, and goes.
fn drop_torn_line(file: &mut dyn OpenFile) -> io::Result<()> {
    let end = tail(file)?;
    if end.last().is_none_or(|byte| *byte == b'\n') {
        return Ok(());
    }
    let torn = end.iter().rev().take_while(|byte| **byte != b'\n').count() as u64;
    file.set_length(file.length()? - torn)
}

/// The last whole line, without its end.
fn last_line(file: &dyn OpenFile) -> io::Result<Option<Vec<u8>>> {
    let end = tail(file)?;
    let Some(whole) = end.iter().rposition(|byte| *byte == b'\n').map(|place| &end[..place]) else { return Ok(None) };
    let begin = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
    Ok(Some(whole[begin..].to_vec()))
}

fn tail(file: &dyn OpenFile) -> io::Result<Vec<u8>> {
    let length = file.length()?;
    let some = length.min(MAX_LINE_BYTES);
    let mut end = vec![0; usize::try_from(some).map_err(io::Error::other)?];
    file.read_at(length - some, &mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests;
