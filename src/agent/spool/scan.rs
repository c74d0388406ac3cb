use super::{Entry, Spool, Stage};
use crate::state_names;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Damaged entries are there to be looked at; who has not looked at these looks at none.
pub(super) const MAX_QUARANTINED: usize = 16;
pub(super) const ALTERED: &str = "the bundle is not the one that was written";
const QUARANTINE: &str = state_names::SPOOL_QUARANTINE;

/// How closely a scan looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// At what the folders say, and how long the files are.
    Entries,
    /// At every byte, too.
    Bytes,
}

/// A damaged bundle that was put aside, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quarantined {
    pub(crate) aside: PathBuf,
    pub(crate) reason: String,
}

/// What a scan found.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scan {
    pub(crate) ready: Vec<Entry>,
    pub(crate) sent: Vec<Entry>,
    pub(crate) quarantined: Vec<Quarantined>,
}

impl Spool {
    /// Reads what is there, sweeps up what a crash left unfinished, and puts damaged entries aside. The caller holds the state
    /// directory's lock, so whatever is in `tmp` has no living writer.
    pub(crate) fn scan(&self, depth: Depth) -> Scan {
        let mut scan = Scan::default();
        for leftover in self.folders(state_names::SPOOL_UNFINISHED) {
            let _ = self.disk.remove_all(&leftover);
        }
        let mut delivered = BTreeSet::new();
        // What was delivered comes first: on some file systems a crash in the middle of a move leaves both names.
        for stage in [Stage::Sent, Stage::Ready] {
            // An earlier process may have died before it could: what is told from here on stays.
            if depth == Depth::Bytes {
                let _ = self.disk.files().sync_folder(&self.root.join(stage.folder()));
            }
            for folder in self.folders(stage.folder()) {
                let read = match depth {
                    Depth::Entries => self.read_entry(&folder),
                    Depth::Bytes => self.read_whole(stage, &folder),
                };
                match read {
                    Ok(entry) if stage == Stage::Sent => {
                        delivered.insert(entry.bundle.as_str().to_owned());
                        scan.sent.push(entry);
                    }
                    Ok(entry) if delivered.contains(entry.bundle.as_str()) => {
                        let _ = self.remove(Stage::Ready, &entry.bundle);
                    }
                    Ok(entry) => scan.ready.push(entry),
                    Err(reason) => scan.quarantined.push(self.quarantine(&folder, reason)),
                }
            }
        }
        scan
    }

    /// Reads what is there and changes nothing, for whoever looks while another process holds the state directory's lock. What is damaged, or just
    /// comes or goes, is not in it.
    pub(crate) fn look(&self) -> Scan {
        let of = |stage: Stage| self.folders(stage.folder()).iter().filter_map(|folder| self.read_entry(folder).ok()).collect();
        Scan { ready: of(Stage::Ready), sent: of(Stage::Sent), quarantined: Vec::new() }
    }

    /// Of the bundles that are wanted by what their folders say, those whose every byte is as it was written. What is told stays: a process that died may
    /// have left a name that was not on the disk yet. Nothing else is changed.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(crate) fn whole(&self, is_wanted: impl Fn(&Entry) -> bool) -> io::Result<Vec<Entry>> {
        let mut whole = Vec::new();
        // In the order in which a bundle moves, so that one that just does is met.
        for stage in [Stage::Ready, Stage::Sent] {
            let is_so = |folder: &PathBuf| self.read_entry(folder).is_ok_and(|entry| is_wanted(&entry));
            let folders = self.folders(stage.folder()).into_iter().filter(is_so);
            let found: Vec<Entry> = folders.filter_map(|folder| self.read_whole(stage, &folder).ok()).collect();
            if !found.is_empty() {
                self.disk.files().sync_folder(&self.root.join(stage.folder()))?;
            }
            whole.extend(found);
        }
        Ok(whole)
    }

    /// Puts a folder aside. Where that fails it stays where it is, and is told all the same.
    pub(super) fn quarantine(&self, folder: &Path, reason: String) -> Quarantined {
        let quarantine = self.root.join(QUARANTINE);
        let aside = quarantine.join(folder.file_name().unwrap_or_default());
        // An entry of that name that was put aside before makes room: the newer damage is the one to look at.
        let moved = self
            .disk
            .make_folder(&quarantine)
            .and_then(|()| self.disk.remove_all(&aside))
            .and_then(|()| self.disk.move_to(folder, &aside));
        Quarantined { aside: if moved.is_ok() { aside } else { folder.to_owned() }, reason }
    }

    /// Those whose name comes first go: digests have no order that means anything, and no clock is asked.
    pub(super) fn prune_quarantine(&self) {
        let aside = self.folders(QUARANTINE);
        let excess = aside.len().saturating_sub(MAX_QUARANTINED);
        for folder in aside.into_iter().take(excess) {
            let _ = self.disk.remove_all(&folder);
        }
    }

    pub(super) fn folders(&self, name: &str) -> Vec<PathBuf> {
        let parent = self.root.join(name);
        let names = self.disk.files().names(&parent).unwrap_or_default();
        names.into_iter().map(|name| parent.join(name)).collect()
    }
}
