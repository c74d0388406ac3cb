//! Bundles on disk, a folder each: written in `tmp`, moved to `ready`, and to `sent` once a verified receipt is there.
//!
//! Each move is one rename of a folder whose files are already on the disk, so that a crash leaves a bundle wholly in one place.
//! There is no index file: the folders are the index, and a scan rebuilds it. An entry that does not hold what it says is moved to
//! `quarantine`, where a person can look at it, and never stops a run.

use crate::disk::{create_private_folder, sync_folder, write_synced};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::id::{BundleId, CaseId, TicketId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ENTRY_FILE: &str = "entry.json";
const RECEIPT_FILE: &str = "receipt.dsse.json";

pub(crate) struct Spool {
    root: PathBuf,
}

/// What a bundle's folder says about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) bundle: BundleId,
    /// The file within the folder.
    pub(crate) file: String,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub(crate) sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) case: Option<CaseId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<TicketId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Ready,
    Sent,
}

impl Stage {
    fn folder(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Sent => "sent",
        }
    }
}

/// What a scan found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) ready: Vec<Entry>,
    pub(crate) sent: Vec<Entry>,
    /// Folders that were moved to quarantine, with the reason.
    pub(crate) quarantined: Vec<(PathBuf, String)>,
}

impl Spool {
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Keeps a bundle and returns its file. The caller holds the state directory's lock.
    ///
    /// # Errors
    /// Where the disk refuses; nothing partial is left in `ready`.
    pub(crate) fn keep(&self, entry: &Entry, bytes: &[u8]) -> io::Result<PathBuf> {
        let folder = self.root.join("tmp").join(entry.bundle.as_str());
        create_private_folder(&folder)?;
        write_synced(&folder.join(&entry.file), bytes)?;
        write_synced(&folder.join(ENTRY_FILE), &serde_json::to_vec(entry).map_err(io::Error::other)?)?;
        sync_folder(&folder)?;
        let ready = self.folder(Stage::Ready, &entry.bundle);
        self.rename(&folder, &ready)?;
        Ok(ready.join(&entry.file))
    }

    /// Notes a bundle as delivered, with the receipt that proves it.
    pub(crate) fn delivered(&self, bundle: &BundleId, receipt: &[u8]) -> io::Result<()> {
        let folder = self.folder(Stage::Ready, bundle);
        write_synced(&folder.join(RECEIPT_FILE), receipt)?;
        sync_folder(&folder)?;
        self.rename(&folder, &self.folder(Stage::Sent, bundle))
    }

    /// Removes a delivered bundle that was to leave nothing behind.
    pub(crate) fn forget(&self, bundle: &BundleId) -> io::Result<()> {
        let folder = self.folder(Stage::Ready, bundle);
        fs::remove_dir_all(&folder)?;
        self.root.join(Stage::Ready.folder()).read_dir().map(drop)
    }

    /// Removes the folders of the spool that are empty, the spool itself included. One that holds something stays.
    pub(crate) fn remove_if_empty(&self) {
        for name in ["tmp", Stage::Ready.folder(), Stage::Sent.folder()] {
            let _ = fs::remove_dir(self.root.join(name));
        }
        let _ = fs::remove_dir(&self.root);
    }

    pub(crate) fn file(&self, stage: Stage, entry: &Entry) -> PathBuf {
        self.folder(stage, &entry.bundle).join(&entry.file)
    }

    /// Reads what is there, sweeps up what a crash left unfinished, and puts damaged entries aside. The caller holds the state
    /// directory's lock, so whatever is in `tmp` has no living writer.
    pub(crate) fn scan(&self) -> Scan {
        let mut scan = Scan::default();
        for leftover in folders(&self.root.join("tmp")) {
            let _ = fs::remove_dir_all(leftover);
        }
        for stage in [Stage::Ready, Stage::Sent] {
            for folder in folders(&self.root.join(stage.folder())) {
                match read_entry(&folder) {
                    Ok(entry) if stage == Stage::Ready => scan.ready.push(entry),
                    Ok(entry) => scan.sent.push(entry),
                    Err(reason) => {
                        let aside = self.quarantine(&folder).unwrap_or(folder);
                        scan.quarantined.push((aside, reason));
                    }
                }
            }
        }
        scan
    }

    fn quarantine(&self, folder: &Path) -> io::Result<PathBuf> {
        let name = folder.file_name().unwrap_or_default();
        let aside = self.root.join("quarantine").join(name);
        // An entry of that name that was put aside before makes room: the newer damage is the one to look at.
        if aside.exists() {
            fs::remove_dir_all(&aside)?;
        }
        self.rename(folder, &aside)?;
        Ok(aside)
    }

    fn folder(&self, stage: Stage, bundle: &BundleId) -> PathBuf {
        self.root.join(stage.folder()).join(bundle.as_str())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_parent, to_parent) = (from.parent().unwrap_or(&self.root), to.parent().unwrap_or(&self.root));
        create_private_folder(to_parent)?;
        fs::rename(from, to)?;
        sync_folder(to_parent)?;
        sync_folder(from_parent)
    }
}

impl Entry {
    pub(crate) fn of(bundle: &BundleId, file: String, bytes: &[u8]) -> Self {
        Self { bundle: bundle.clone(), file, sha256: hexadecimal(&Sha256::digest(bytes)), case: None, ticket: None }
    }
}

fn read_entry(folder: &Path) -> Result<Entry, String> {
    let bytes = fs::read(folder.join(ENTRY_FILE)).map_err(|error| format!("{ENTRY_FILE} cannot be read: {error}"))?;
    let entry: Entry = serde_json::from_slice(&bytes).map_err(|error| format!("{ENTRY_FILE} is damaged: {error}"))?;
    if folder.file_name().is_none_or(|name| name != entry.bundle.as_str()) {
        return Err("its folder has another bundle's name".to_owned());
    }
    if Path::new(&entry.file).components().count() != 1 {
        return Err("it names a file outside its folder".to_owned());
    }
    let bundle = fs::read(folder.join(&entry.file)).map_err(|error| format!("the bundle cannot be read: {error}"))?;
    if hexadecimal(&Sha256::digest(&bundle)) != entry.sha256 {
        return Err("the bundle is not the one that was written".to_owned());
    }
    Ok(entry)
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = parent.read_dir() else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::at(folder.path().join("spool"));
        (folder, spool)
    }

    fn entry(letter: &str) -> Entry {
        Entry::of(&BundleId::new(letter.repeat(64)), "b.tar.gz".into(), b"bytes")
    }

    #[test]
    fn a_bundle_goes_from_ready_to_sent_with_its_receipt() {
        let (_folder, spool) = spool();
        let file = spool.keep(&entry("a"), b"bytes").unwrap();
        assert_eq!(fs::read(file).unwrap(), b"bytes");
        assert_eq!(spool.scan(), Scan { ready: vec![entry("a")], ..Scan::default() });
        spool.delivered(&entry("a").bundle, b"{}").unwrap();
        assert_eq!(spool.scan(), Scan { sent: vec![entry("a")], ..Scan::default() });
        assert!(spool.file(Stage::Sent, &entry("a")).exists());
    }

    #[test]
    fn what_a_crash_left_half_written_is_swept_and_never_ready() {
        let (_folder, spool) = spool();
        let half = spool.root.join("tmp/half");
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("b.tar.gz"), "by").unwrap();
        assert_eq!(spool.scan(), Scan::default());
        assert!(!half.exists());
    }

    #[test]
    fn a_damaged_entry_is_put_aside_and_the_others_stay() {
        let (_folder, spool) = spool();
        let file = spool.keep(&entry("a"), b"bytes").unwrap();
        spool.keep(&entry("b"), b"bytes").unwrap();
        spool.keep(&entry("c"), b"bytes").unwrap();
        fs::write(file, "changed").unwrap();
        fs::write(spool.root.join("ready").join("c".repeat(64)).join(ENTRY_FILE), "{").unwrap();
        let scan = spool.scan();
        assert_eq!(scan.ready, [entry("b")]);
        assert_eq!(scan.quarantined.len(), 2);
        assert!(scan.quarantined.iter().all(|(aside, _)| aside.exists() && aside.starts_with(spool.root.join("quarantine"))));
        assert_eq!(spool.scan().quarantined, [], "a second scan has nothing left to put aside");
    }

    #[test]
    fn an_entry_cannot_name_a_file_outside_its_folder() {
        let (_folder, spool) = spool();
        let outside = Entry { file: "../../../x".into(), ..entry("a") };
        let folder = spool.root.join("ready").join(outside.bundle.as_str());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(ENTRY_FILE), serde_json::to_vec(&outside).unwrap()).unwrap();
        assert_eq!(spool.scan().quarantined.len(), 1);
    }

    #[test]
    fn a_ticket_run_leaves_nothing_behind() {
        let (_folder, spool) = spool();
        spool.keep(&entry("a"), b"bytes").unwrap();
        spool.forget(&entry("a").bundle).unwrap();
        spool.remove_if_empty();
        assert!(!spool.root.exists());
    }
}
