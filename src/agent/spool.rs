//! Bundles on disk, a folder each: written in `tmp`, moved to `ready`, and to `sent` once a verified receipt is there.
//!
//! Each move is one rename of a folder whose files are already on the disk, so that a crash leaves a bundle wholly in one place.
//! The spool is bounded: [`Spool::prune`] says what goes first. There is no index file: the folders are the index, and a scan rebuilds it. An entry that does not hold what it says is moved to
//! `quarantine`, where a person can look at it, and never stops a run.

use crate::disk::{create_private_folder, replace_file, sync_folder, write_synced};
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::id::{BundleId, CaseId, OrderId, TicketId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ENTRY_FILE: &str = "entry.json";
const RECEIPT_FILE: &str = "receipt.dsse.json";
/// A run makes some ten kilobytes, so that this is months of a run a day.
const MAX_BUNDLES: usize = 256;
/// Four of the largest bundles there can be: little enough for the disk of a small machine.
const MAX_BYTES: u64 = 256 << 20;
/// A backend that was restored from an old backup asks again within days, if it asks.
const KEEP_DELIVERED: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Damaged entries are there to be looked at; who has not looked at these looks at none.
const MAX_QUARANTINED: usize = 16;

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<OrderId>,
    /// When it was made, by this machine's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) made: Option<Timestamp>,
    /// When its receipt came, by this machine's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delivered: Option<Timestamp>,
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
    pub(crate) fn delivered(&self, entry: &Entry, receipt: &[u8], now: Timestamp) -> io::Result<()> {
        let bundle = &entry.bundle;
        let folder = self.folder(Stage::Ready, bundle);
        let entry = Entry { delivered: Some(now), ..entry.clone() };
        write_synced(&folder.join(RECEIPT_FILE), receipt)?;
        replace_file(&folder.join(ENTRY_FILE), &serde_json::to_vec(&entry).map_err(io::Error::other)?)?;
        sync_folder(&folder)?;
        self.rename(&folder, &self.folder(Stage::Sent, bundle))
    }

    /// The entry of a bundle that waits to be sent or was never meant to be.
    pub(crate) fn find_ready(&self, bundle: &BundleId) -> Option<Entry> {
        read_entry(&self.folder(Stage::Ready, bundle)).ok()
    }

    /// Removes a delivered bundle that was to leave nothing behind.
    pub(crate) fn forget(&self, bundle: &BundleId) -> io::Result<()> {
        let folder = self.folder(Stage::Ready, bundle);
        fs::remove_dir_all(&folder)?;
        self.root.join(Stage::Ready.folder()).read_dir().map(drop)
    }

    /// Makes room, after a scan and with the same lock: delivered bundles go after seven days; where there are still too many or too
    /// large ones, delivered ones go first, then those that nobody waits for, then those that wait to be sent for a ticket or an order, and among
    /// equals the oldest. The bundle just made stays whatever its size. Gives back what was removed without ever having been sent.
    pub(crate) fn prune(&self, scan: &Scan, just_made: &BundleId, now: Timestamp) -> Vec<Entry> {
        let mut stored: Vec<Stored<'_>> = [(Stage::Sent, &scan.sent), (Stage::Ready, &scan.ready)]
            .into_iter()
            .flat_map(|(stage, entries)| entries.iter().map(move |entry| (stage, entry)))
            .map(|(stage, entry)| Stored {
                stage,
                entry,
                bytes: fs::metadata(self.file(stage, entry)).map_or(0, |file| file.len()),
            })
            .collect();
        stored.sort_by_key(Stored::worth);
        let (mut count, mut bytes) = (stored.len(), stored.iter().map(|stored| stored.bytes).sum::<u64>());
        let mut lost = Vec::new();
        for stored in stored {
            let is_due =
                stored.stage == Stage::Sent && stored.entry.delivered.is_none_or(|at| now.duration_since(at) > KEEP_DELIVERED);
            let is_too_much = count > MAX_BUNDLES || bytes > MAX_BYTES;
            if (is_due || is_too_much)
                && stored.entry.bundle != *just_made
                && fs::remove_dir_all(self.folder(stored.stage, &stored.entry.bundle)).is_ok()
            {
                (count, bytes) = (count - 1, bytes - stored.bytes);
                if stored.stage == Stage::Ready {
                    lost.push(stored.entry.clone());
                }
            }
        }
        self.prune_quarantine();
        lost
    }

    fn prune_quarantine(&self) {
        let mut aside = folders(&self.root.join("quarantine"));
        aside.sort_by_key(|folder| fs::metadata(folder).and_then(|folder| folder.modified()).ok());
        let excess = aside.len().saturating_sub(MAX_QUARANTINED);
        for folder in aside.into_iter().take(excess) {
            let _ = fs::remove_dir_all(folder);
        }
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

/// An entry with what it takes to weigh it.
struct Stored<'a> {
    stage: Stage,
    entry: &'a Entry,
    bytes: u64,
}

impl Stored<'_> {
    /// The least comes first.
    fn worth(&self) -> (u8, Option<Timestamp>) {
        match self.stage {
            Stage::Sent => (0, self.entry.delivered),
            Stage::Ready if self.entry.ticket.is_none() && self.entry.order.is_none() => (1, self.entry.made),
            Stage::Ready => (2, self.entry.made),
        }
    }
}

impl Entry {
    pub(crate) fn of(bundle: &BundleId, file: String, bytes: &[u8]) -> Self {
        Self {
            bundle: bundle.clone(),
            file,
            sha256: hexadecimal(&Sha256::digest(bytes)),
            case: None,
            ticket: None,
            order: None,
            made: None,
            delivered: None,
        }
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

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * 86_400).unwrap()
    }

    /// Keeps a bundle that was made that day.
    fn keep(spool: &Spool, number: usize, made: i64, ticket: Option<&str>) -> BundleId {
        let id = BundleId::new(format!("{number:064x}"));
        let ticket = ticket.map(|text| serde_json::from_value(text.into()).unwrap());
        spool.keep(&Entry { made: Some(day(made)), ticket, ..Entry::of(&id, "b.tar.gz".into(), b"bytes") }, b"bytes").unwrap();
        id
    }

    #[test]
    fn a_full_spool_loses_the_oldest_first_and_what_waits_for_upload_last() {
        let (_folder, spool) = spool();
        let waiting = keep(&spool, 0, 0, Some("t"));
        let oldest = keep(&spool, 1, 1, None);
        let next = keep(&spool, 2, 2, None);
        for number in 3..MAX_BUNDLES {
            keep(&spool, number, 9, None);
        }
        assert_eq!(spool.prune(&spool.scan(), &next, day(10)), [], "as many as there may be");
        let made = keep(&spool, MAX_BUNDLES, 0, None);
        let lost = spool.prune(&spool.scan(), &made, day(10));
        assert_eq!(lost.iter().map(|entry| &entry.bundle).collect::<Vec<_>>(), [&oldest]);
        let kept = spool.scan().ready;
        assert_eq!(kept.len(), MAX_BUNDLES);
        assert!([waiting, next, made].iter().all(|id| kept.iter().any(|entry| entry.bundle == *id)));
    }

    #[test]
    fn bundles_too_large_together_make_room_but_never_the_one_just_made() {
        let (_folder, spool) = spool();
        let large = |number: usize, ticket| {
            let id = keep(&spool, number, 1, ticket);
            // A sparse file has its size without taking it from the disk.
            let file = fs::OpenOptions::new().write(true).open(spool.folder(Stage::Ready, &id).join("b.tar.gz")).unwrap();
            file.set_len(MAX_BYTES / 2 + 1).unwrap();
            Entry {
                made: Some(day(1)),
                ticket: ticket.map(|text| serde_json::from_value(text.into()).unwrap()),
                ..Entry::of(&id, "b.tar.gz".into(), b"bytes")
            }
        };
        let (waiting, plain, made) = (large(1, Some("t")), large(2, None), large(3, None));
        let scan = Scan { ready: vec![waiting.clone(), plain.clone(), made.clone()], ..Scan::default() };
        assert_eq!(spool.prune(&scan, &made.bundle, day(2)), [plain, waiting]);
        assert!(spool.file(Stage::Ready, &made).exists());
    }

    #[test]
    fn delivered_bundles_go_after_seven_days() {
        let (_folder, spool) = spool();
        for (number, delivered) in [(1, 1), (2, 5)] {
            keep(&spool, number, 0, Some("t"));
            let entry = spool.scan().ready.remove(0);
            spool.delivered(&entry, b"{}", day(delivered)).unwrap();
        }
        let made = keep(&spool, 3, 9, None);
        assert_eq!(spool.prune(&spool.scan(), &made, day(9)), [], "what was delivered is not lost");
        let sent = spool.scan().sent;
        assert_eq!(sent.iter().map(|entry| entry.delivered).collect::<Vec<_>>(), [Some(day(5))]);
    }

    #[test]
    fn damaged_entries_do_not_pile_up() {
        let (_folder, spool) = spool();
        for number in 0..MAX_QUARANTINED + 3 {
            let id = keep(&spool, number, 0, None);
            fs::write(spool.folder(Stage::Ready, &id).join("b.tar.gz"), "damaged").unwrap();
        }
        spool.prune(&spool.scan(), &entry("a").bundle, day(0));
        assert_eq!(folders(&spool.root.join("quarantine")).len(), MAX_QUARANTINED);
    }

    #[test]
    fn a_bundle_goes_from_ready_to_sent_with_its_receipt() {
        let (_folder, spool) = spool();
        let file = spool.keep(&entry("a"), b"bytes").unwrap();
        assert_eq!(fs::read(file).unwrap(), b"bytes");
        assert_eq!(spool.scan(), Scan { ready: vec![entry("a")], ..Scan::default() });
        spool.delivered(&entry("a"), b"{}", day(3)).unwrap();
        assert_eq!(spool.scan(), Scan { sent: vec![Entry { delivered: Some(day(3)), ..entry("a") }], ..Scan::default() });
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
