//! Bundles on disk, a folder each: written in `tmp`, moved to `ready`, and to `sent` once a verified receipt is there.
//!
//! Each move is one rename of a folder whose files are already on the disk, so that a crash leaves a bundle wholly in one place. There is no
//! index file: the folders are the index, and a scan rebuilds it. An entry that does not hold what it says is moved to `quarantine`, where a
//! person can look at it, and never stops a run. What goes first where there is no room is decided in [`room`], and what is sent next, and when,
//! in [`queue`]; both open nothing and read no clock.
//!
//! Whoever changes the spool holds the state directory's lock.

/// What a bundle's folder says about it.
mod entry;
/// What is sent next, and when.
mod queue;
/// Bundles that a person has sent although they were to stay.
mod released;
/// Which bundles go where there is no room.
mod room;
/// From the folders to what is there.
mod scan;
#[cfg(test)]
mod tests;
/// When a bundle that did not arrive is sent again.
mod tries;

pub(crate) use entry::{Entry, Failure, Maker};
pub(crate) use queue::{Link, Queue};
pub(crate) use released::Released;
pub(crate) use room::Bounds;
pub(crate) use scan::{Depth, Quarantined, Scan};
pub(crate) use tries::{Chance, Tries};

use crate::state_names;
use entry::{ENTRY_FILE, RECEIPT_FILE};
use jiff::Timestamp;
use netsonde_contract::agent_config::UploadWhen;
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::id::BundleId;
use netsonde_disk::Disk;
use room::{Room, Stored};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// Of bundles that go because the disk itself is full, for one that comes: each frees at least a block.
const MOST_FOR_ONE: usize = 64;

#[derive(Debug)]
pub(crate) struct Spool {
    root: PathBuf,
    disk: Disk,
    bounds: Bounds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Ready,
    Sent,
}

impl Stage {
    fn folder(self) -> &'static str {
        match self {
            Self::Ready => state_names::SPOOL_READY,
            Self::Sent => state_names::SPOOL_SENT,
        }
    }
}

/// A bundle that is in the spool now.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) file: PathBuf,
    /// What went to make room for it without ever having been sent; schedules made all of it.
    pub(crate) lost: Vec<Entry>,
}

/// Why a bundle is not in the spool.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotKept {
    #[error("the spool is full: {count} bundles, {bytes} bytes, that people or orders made and nobody removes by himself")]
    Full { count: usize, bytes: u64 },
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl NotKept {
    /// What a person can do about it.
    pub(crate) fn next_step(&self) -> &'static str {
        match self {
            Self::Full { .. } => {
                "netsonde spool list shows them; netsonde spool export saves some elsewhere, and netsonde spool drop removes them here"
            }
            Self::Disk(_) => "make room on the disk, or choose another place with --out FILE or --state-dir DIR, and run again",
        }
    }
}

/// Why a bundle's bytes cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It is in quarantine now.
    #[error("it was damaged and put aside as {}: {}", .0.aside.display(), .0.reason)]
    Damaged(Quarantined),
    #[error(transparent)]
    Disk(#[from] io::Error),
}

impl Spool {
    pub(crate) fn at(root: PathBuf, disk: Disk) -> Self {
        Self { root, disk, bounds: Bounds::default() }
    }

    /// Keeps a bundle, after making room for it: delivered bundles that are due go, then the oldest that schedules made. One that a person
    /// or an order made never goes.
    ///
    /// # Errors
    /// Where there is no room, or the disk refuses; then nothing partial is left in `ready`.
    pub(crate) fn keep(&self, entry: &Entry, bytes: &[u8], now: Timestamp) -> Result<Kept, NotKept> {
        let entry = &Entry { size_bytes: bytes.len() as u64, ..entry.clone() };
        let mut room = Room::of(self.stored(), self.bounds);
        let mut lost = self.clear(room.take_due(now));
        while !room.takes(entry.size_bytes) {
            let first = room.remove_first().ok_or(NotKept::Full { count: room.count(), bytes: room.bytes() })?;
            lost.extend(self.clear(vec![first]));
        }
        let mut tries = 0;
        let file = loop {
            match self.put(entry, bytes) {
                Ok(file) => break file,
                Err(error) if is_full(&error) && tries < MOST_FOR_ONE => {
                    lost.extend(self.clear(vec![room.remove_first().ok_or(error)?]));
                    tries += 1;
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.prune_quarantine();
        Ok(Kept { file, lost })
    }

    /// Removes what is over its time, also where nothing new comes. Gives back what was never sent; schedules made all of it.
    pub(crate) fn prune(&self, now: Timestamp) -> Vec<Entry> {
        self.clear(Room::of(self.stored(), self.bounds).take_due(now))
    }

    /// What cannot be removed stays, and takes its room.
    fn clear(&self, gone: Vec<Stored>) -> Vec<Entry> {
        let removed = gone.into_iter().filter(|gone| self.remove(gone.stage, &gone.entry.bundle).is_ok());
        removed.filter(|gone| gone.stage == Stage::Ready).map(|gone| gone.entry).collect()
    }

    /// Keeps a bundle without asking whether there is room.
    pub(crate) fn put(&self, entry: &Entry, bytes: &[u8]) -> io::Result<PathBuf> {
        let unfinished = self.unfinished(&entry.bundle);
        let ready = self.folder(Stage::Ready, &entry.bundle);
        let written = self.write_whole(&unfinished, entry, bytes).and_then(|()| self.disk.files().rename(&unfinished, &ready));
        if let Err(error) = written {
            let _ = self.disk.remove_all(&unfinished);
            return Err(error);
        }
        self.disk.files().sync_folder(&self.root.join(Stage::Ready.folder()))?;
        Ok(ready.join(&entry.file))
    }

    fn write_whole(&self, folder: &Path, entry: &Entry, bytes: &[u8]) -> io::Result<()> {
        self.disk.make_folder(&self.root.join(Stage::Ready.folder()))?;
        self.disk.remove_all(folder)?;
        self.make_unsynced(folder)?;
        self.disk.write_synced(&folder.join(&entry.file), bytes)?;
        self.disk.write_synced(&folder.join(ENTRY_FILE), &entry.json()?)?;
        self.disk.files().sync_folder(folder)
    }

    /// A folder below `tmp`, whose own name need not outlive a crash.
    fn make_unsynced(&self, folder: &Path) -> io::Result<()> {
        for folder in [folder.parent().unwrap_or(&self.root), folder] {
            match self.disk.files().make_folder(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes a bundle as delivered, with the receipt that proves it.
    pub(crate) fn delivered(&self, entry: &Entry, receipt: &[u8], now: Timestamp) -> io::Result<()> {
        let folder = self.folder(Stage::Ready, &entry.bundle);
        let entry = Entry { delivered: Some(now), ..entry.clone() };
        self.disk.write_synced(&folder.join(RECEIPT_FILE), receipt)?;
        self.disk.replace(&folder.join(ENTRY_FILE), &entry.json()?)?;
        let sent = self.folder(Stage::Sent, &entry.bundle);
        self.disk.make_folder(&self.root.join(Stage::Sent.folder()))?;
        self.disk.remove_all(&sent)?;
        self.disk.move_to(&folder, &sent)
    }

    /// Notes that a backend that had lost a delivered bundle has it again, with its newer receipt.
    pub(crate) fn delivered_again(&self, entry: &Entry, receipt: &[u8]) -> io::Result<()> {
        let folder = self.folder(Stage::Sent, &entry.bundle);
        self.disk.replace(&folder.join(RECEIPT_FILE), receipt)?;
        self.disk.replace(&folder.join(ENTRY_FILE), &entry.json()?)
    }

    /// What was delivered and is still here. Nothing is put aside: a damaged one is told when it is read.
    pub(crate) fn delivered_entries(&self) -> Vec<Entry> {
        let read = |folder: &PathBuf| self.read_entry(folder).ok().filter(|entry| entry.delivered.is_some());
        self.folders(Stage::Sent.folder()).iter().filter_map(read).collect()
    }

    /// Notes that sending failed: when it is tried again is on the disk, so that a restart does not try everything at once.
    pub(crate) fn tried(&self, entry: &Entry, tries: Tries) -> io::Result<()> {
        let folder = self.folder(Stage::Ready, &entry.bundle);
        self.disk.replace(&folder.join(ENTRY_FILE), &Entry { tries, ..entry.clone() }.json()?)
    }

    /// The entry of a bundle that waits to be sent or was never meant to be.
    pub(crate) fn find_ready(&self, bundle: &BundleId) -> Option<Entry> {
        self.find(Stage::Ready, bundle)
    }

    pub(crate) fn find(&self, stage: Stage, bundle: &BundleId) -> Option<Entry> {
        self.read_entry(&self.folder(stage, bundle)).ok()
    }

    /// How many wait to be sent, or were never meant to be: the folders are counted, and nothing is read.
    pub(crate) fn count_ready(&self) -> usize {
        std::fs::read_dir(self.root.join(Stage::Ready.folder())).map_or(0, Iterator::count)
    }

    /// How many of these the agent sends by itself, by their entries.
    pub(crate) fn count_to_send(&self) -> usize {
        let entries = self.folders(Stage::Ready.folder()).into_iter().filter_map(|folder| self.read_entry(&folder).ok());
        entries.filter(|entry| entry.sending() != UploadWhen::Never).count()
    }

    /// A bundle's bytes, checked: a damaged one is put aside.
    ///
    /// # Errors
    /// Where it is damaged, or the disk refuses.
    pub(crate) fn read(&self, stage: Stage, entry: &Entry) -> Result<Vec<u8>, Unreadable> {
        let bytes = self.disk.files().read(&self.file(stage, entry))?;
        if hexadecimal(&Sha256::digest(&bytes)) == entry.sha256 {
            return Ok(bytes);
        }
        let folder = self.folder(stage, &entry.bundle);
        Err(Unreadable::Damaged(self.quarantine(&folder, scan::ALTERED.to_owned())))
    }

    /// The receipt of a delivered bundle.
    pub(crate) fn receipt(&self, bundle: &BundleId) -> io::Result<Vec<u8>> {
        self.disk.files().read(&self.folder(Stage::Sent, bundle).join(RECEIPT_FILE))
    }

    /// Removes a delivered bundle that was to leave nothing behind.
    pub(crate) fn forget(&self, bundle: &BundleId) -> io::Result<()> {
        self.remove(Stage::Ready, bundle)
    }

    /// Removes a bundle for good: it is out of sight in one step, so that a crash leaves no half of it.
    pub(crate) fn remove(&self, stage: Stage, bundle: &BundleId) -> io::Result<()> {
        let gone = self.unfinished(bundle);
        self.disk.remove_all(&gone)?;
        self.make_unsynced(gone.parent().unwrap_or(&self.root))?;
        self.disk.files().rename(&self.folder(stage, bundle), &gone)?;
        self.disk.files().sync_folder(&self.root.join(stage.folder()))?;
        self.disk.remove_all(&gone)
    }

    /// Removes the folders of the spool that are empty, the spool itself included. One that holds something stays.
    pub(crate) fn remove_if_empty(&self) {
        for name in [state_names::SPOOL_UNFINISHED, Stage::Ready.folder(), Stage::Sent.folder()] {
            let _ = self.disk.files().remove_folder(&self.root.join(name));
        }
        let _ = self.disk.files().remove_folder(&self.root);
    }

    pub(crate) fn file(&self, stage: Stage, entry: &Entry) -> PathBuf {
        self.folder(stage, &entry.bundle).join(&entry.file)
    }

    fn stored(&self) -> Vec<Stored> {
        let Scan { ready, sent, .. } = self.scan(Depth::Entries);
        let of = |stage| move |entry| Stored { stage, entry };
        sent.into_iter().map(of(Stage::Sent)).chain(ready.into_iter().map(of(Stage::Ready))).collect()
    }

    fn folder(&self, stage: Stage, bundle: &BundleId) -> PathBuf {
        self.root.join(stage.folder()).join(bundle.as_str())
    }

    fn unfinished(&self, bundle: &BundleId) -> PathBuf {
        self.root.join(state_names::SPOOL_UNFINISHED).join(bundle.as_str())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
