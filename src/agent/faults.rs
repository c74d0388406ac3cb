//! The agent's own spool, flight recorder, audit log and list of bundles to be made, on a disk of the caller's, for `cargo faults`: what is kept, delivered, tried
//! and dropped here goes the way that it goes in the agent.

use crate::audit::{Audit, Entry as Note};
use crate::history::{Ring, Wanted};
use crate::rounds::owed::Owing;
use crate::rounds::running::Fault;
use crate::spool::{Chance, Depth, Entry, Link, Queue, Spool, Stage};
use crate::state::StateDirectory;
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::agent_config::UploadWhen;
use netsonde_contract::bundle::{self, Contents, Predicate, file_name};
use netsonde_contract::history::{Sample, Series, Verdict};
use netsonde_contract::id::BundleId;
use netsonde_contract::kind::Kind;
use netsonde_disk::Disk;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the spool lies on the disk.
pub const SPOOL: &str = "state/spool";
const STATE: &str = "state";
/// A file of the state directory, which holds a number.
pub const STATE_FILE: &str = "state/number.json";

/// The spool and a state file of one process.
#[derive(Debug)]
pub struct Keeper {
    spool: Spool,
    disk: Disk,
}

/// A bundle as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub number: u64,
    pub bytes: Vec<u8>,
    /// How often sending it failed.
    pub failed: u32,
    /// The receipt of a delivered one.
    pub receipt: Option<Vec<u8>>,
}

/// Everything that a process finds when it begins.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    pub bundles: Vec<Found>,
    /// Why each damaged one was put aside.
    pub damaged: Vec<String>,
    pub state: Option<u64>,
}

impl Keeper {
    /// # Errors
    /// Where the disk refuses the state directory.
    pub fn begin(disk: Disk) -> io::Result<Self> {
        Self::begin_at(disk, PathBuf::from(SPOOL))
    }

    /// The same with a spool elsewhere.
    ///
    /// # Errors
    /// Where the disk refuses the folder above it.
    pub fn begin_at(disk: Disk, spool: PathBuf) -> io::Result<Self> {
        disk.make_folder(spool.parent().unwrap_or(&spool))?;
        Ok(Self { spool: Spool::at(spool, disk.clone()), disk })
    }

    /// # Errors
    /// Where it is not kept.
    pub fn keep(&self, number: u64, bytes: &[u8], schedule: bool) -> io::Result<()> {
        let mut entry = Entry { made: Some(at(number)), ..Entry::of(&id(number), "bundle.tar.gz".to_owned(), bytes) };
        if schedule {
            entry = Entry { schedule: Some("shop".to_owned()), upload: UploadWhen::Now, ..entry };
        }
        self.spool.keep(&entry, bytes, at(number)).map(drop).map_err(io::Error::other)
    }

    /// Keeps one that a schedule made without looking at the others, so that many are there soon.
    ///
    /// # Errors
    /// Where it is not kept.
    pub fn fill(&self, number: u64, bytes: &[u8]) -> io::Result<()> {
        let entry = Entry {
            made: Some(at(number)),
            schedule: Some("shop".to_owned()),
            ..Entry::of(&id(number), "bundle.tar.gz".to_owned(), bytes)
        };
        self.spool.put(&Entry { upload: UploadWhen::Now, ..entry }, bytes).map(drop)
    }

    /// # Errors
    /// Where the receipt is not on the disk.
    pub fn deliver(&self, number: u64, receipt: &[u8]) -> io::Result<()> {
        self.spool.delivered(&self.ready(number)?, receipt, at(number))
    }

    /// Delivers once more what a backend had lost.
    ///
    /// # Errors
    /// Where the newer receipt is not on the disk.
    pub fn deliver_again(&self, number: u64, receipt: &[u8]) -> io::Result<()> {
        let entry = self.spool.find(Stage::Sent, &id(number)).ok_or(io::ErrorKind::NotFound)?;
        self.spool.delivered_again(&Entry { delivered: Some(at(number + 1)), ..entry }, receipt)
    }

    /// # Errors
    /// Where the failure is not on the disk.
    pub fn fail(&self, number: u64) -> io::Result<()> {
        let entry = self.ready(number)?;
        let tries = entry.tries.after_failure(at(number), None, "no answer", Chance(0.5));
        self.spool.tried(&entry, tries)
    }

    /// # Errors
    /// Where it may come back.
    pub fn remove(&self, number: u64) -> io::Result<()> {
        self.spool.remove(Stage::Ready, &id(number))
    }

    /// # Errors
    /// Where the former number may come back.
    pub fn write_state(&self, number: u64) -> io::Result<()> {
        self.disk.replace(STATE_FILE.as_ref(), number.to_string().as_bytes())
    }

    /// # Errors
    /// Where the state file is damaged.
    pub fn inventory(&self) -> Result<Inventory, String> {
        let scan = self.spool.scan(Depth::Bytes);
        let mut inventory =
            Inventory { damaged: scan.quarantined.into_iter().map(|one| one.reason).collect(), ..Inventory::default() };
        let of = |stage: Stage| move |entry: Entry| (stage, entry);
        for (stage, entry) in scan.ready.into_iter().map(of(Stage::Ready)).chain(scan.sent.into_iter().map(of(Stage::Sent))) {
            let number = u64::from_str_radix(entry.bundle.as_str().trim_start_matches('0'), 16).unwrap_or_default();
            let bytes = self.spool.read(stage, &entry).map_err(|error| error.to_string())?;
            let receipt = (stage == Stage::Sent).then(|| self.spool.receipt(&entry.bundle).unwrap_or_default());
            inventory.bundles.push(Found { number, bytes, failed: entry.tries.failed, receipt });
        }
        inventory.state = match self.disk.files().read(STATE_FILE.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => {
                let text = String::from_utf8(read.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
                Some(text.parse().map_err(|_| format!("the state file holds {text:?}"))?)
            }
        };
        Ok(inventory)
    }

    fn ready(&self, number: u64) -> io::Result<Entry> {
        self.spool.find_ready(&id(number)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// The flight recorder of one process.
pub struct Recorder(Ring);

impl Recorder {
    /// # Errors
    /// Where the disk refuses the state directory.
    pub fn begin(disk: Disk) -> io::Result<Self> {
        disk.make_folder(STATE.as_ref())?;
        Ok(Self(Ring::on(disk, STATE.as_ref())))
    }

    /// Notes one measurement of this number. True where the ring was damaged and a new one was begun.
    ///
    /// # Errors
    /// Where it is not noted.
    pub fn note(&self, number: u64) -> io::Result<bool> {
        let series =
            Series { schedule: "shop".to_owned(), check: "connect".to_owned(), kind: Kind::Tcp, target: None, required: true };
        let sample = Sample {
            at: at(number),
            verdict: Verdict::Good,
            took_us: number,
            rtt_us: None,
            phases: BTreeMap::new(),
            failure: None,
            path: None,
            chain: None,
            expires: None,
        };
        self.0.append(&[(series, sample)], &[]).map(|begun| begun.is_some())
    }

    /// The numbers that are there.
    ///
    /// # Errors
    /// Where the ring cannot be read.
    pub fn noted(&self) -> io::Result<Vec<u64>> {
        let recorded = self.0.read(&Wanted::default())?;
        Ok(recorded.checks.iter().flat_map(|check| check.samples.iter().map(|sample| sample.took_us)).collect())
    }
}

/// The audit log of one process.
pub struct Auditor(Audit);

/// Three entries or so: the log is put aside more than once.
const LONG_LOG_BYTES: u64 = 300;

impl Auditor {
    /// # Errors
    /// Where the disk refuses the state directory.
    pub fn begin(disk: Disk) -> io::Result<Self> {
        disk.make_folder(STATE.as_ref())?;
        Ok(Self(Audit::on(disk, STATE.as_ref(), LONG_LOG_BYTES)))
    }

    /// Notes an entry of this number.
    ///
    /// # Errors
    /// Where it is not noted.
    pub fn note(&self, number: u64) -> io::Result<()> {
        self.0.append(Note::new(at(number), "noted").decided(&number.to_string()))
    }

    /// The numbers that are there, the oldest first.
    ///
    /// # Errors
    /// Where the log cannot be read, or is not whole. A last line that a crash cut off was acknowledged to nobody, and goes with the next entry.
    pub fn noted(&self) -> Result<Vec<u64>, String> {
        let mut log = self.0.export().map_err(|error| error.to_string())?;
        log.truncate(log.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        self.0.follow(&log)?;
        let entries = log.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Note>(line).ok());
        Ok(entries.filter_map(|entry| entry.decision?.parse().ok()).collect())
    }
}

/// The bundles that one process owes of failures.
pub struct Debtor {
    owing: Owing,
    spool: Spool,
    disk: Disk,
}

/// The schedule whose targets fail.
const SCHEDULE: &str = "shop";

impl Debtor {
    /// Takes up what the process before it owed, as the agent does: what is in the spool is noted as made, and of the rest the bundles are made.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn begin(disk: Disk) -> io::Result<Self> {
        disk.make_folder(STATE.as_ref())?;
        let (owing, spool) = (Owing::on(disk.clone(), STATE.as_ref()), Spool::at(PathBuf::from(SPOOL), disk.clone()));
        let debtor = Self { owing, spool, disk };
        for owed in debtor.owing.all() {
            if debtor.spool.whole(|entry| owed.is_in(entry))?.is_empty() {
                debtor.pack(&owed.fault)?;
            } else {
                debtor.owing.made(SCHEDULE, &owed.fault)?;
            }
        }
        Ok(debtor)
    }

    /// The target of this number became failing: a bundle is owed, the failure is noted and told no more, the bundle is made and noted as made.
    ///
    /// # Errors
    /// Where that is not on the disk.
    pub fn fail(&self, number: u64) -> io::Result<()> {
        let fault = Fault { target: Some(number.to_string()), changes: Vec::new(), since: at(number) };
        self.owing.add(SCHEDULE, std::slice::from_ref(&fault))?;
        self.disk.replace(STATE_FILE.as_ref(), number.to_string().as_bytes())?;
        self.pack(&fault)
    }

    fn pack(&self, fault: &Fault) -> io::Result<()> {
        // No two bundles are the same, though they be of one failure.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let entry = Entry {
            schedule: Some(SCHEDULE.to_owned()),
            failure: Some(fault.failure()),
            made: Some(fault.since),
            ..Entry::of(&id(NEXT.fetch_add(1, Ordering::Relaxed)), "bundle.tar.gz".to_owned(), b"what was seen")
        };
        let keep = || self.spool.put(&entry, b"what was seen");
        self.owing.settle((SCHEDULE, fault), keep, |_| Ok(()))?.1
    }

    /// Whether nobody notes the failure of the target of this number any more: it is noted, or there is a bundle of a moment ago, safe or not.
    pub fn knows(&self, number: u64) -> bool {
        let noted = self.disk.files().read(STATE_FILE.as_ref()).ok().and_then(|text| String::from_utf8(text).ok()?.parse().ok());
        noted.is_some_and(|noted: u64| noted >= number)
            || self.spool.look().ready.iter().any(|entry| failing(entry) == Some(number))
    }

    /// The targets' numbers, one for each bundle that is as it was written. Nothing becomes safe by that.
    pub fn bundles(&self) -> Vec<u64> {
        let is_whole = |entry: &Entry| self.spool.read(Stage::Ready, entry).is_ok();
        self.spool.look().ready.into_iter().filter(is_whole).filter_map(|entry| failing(&entry)).collect()
    }
}

fn failing(entry: &Entry) -> Option<u64> {
    entry.failure.as_ref()?.target.as_ref()?.parse().ok()
}

/// How many bundles wait to be sent, and whether one is due: what the agent makes of its spool when it begins.
pub fn waiting(keeper: &Keeper) -> (usize, bool) {
    let mut queue = Queue::default();
    keeper.spool.scan(Depth::Bytes).ready.iter().for_each(|entry| queue.put(entry));
    (queue.len(), queue.next(at(0), Link::default()).is_some())
}

/// Makes so many more of a bundle that an agent's schedule left in its spool: whole bundles, signed with the agent's own key, each with a number of its own, ready to be
/// sent. The digest of each file, in lower-case hexadecimal.
///
/// # Errors
/// In words, where there is no such bundle, or the disk refuses.
pub fn multiply(state: &Path, count: u64) -> Result<Vec<String>, String> {
    let state = StateDirectory::existing(Some(state)).ok_or("there is no state directory")?;
    let key = state.signing_key().map_err(|stop| stop.message)?;
    let spool = state.spool();
    let scan = spool.scan(Depth::Entries);
    let found = scan.ready.first().map(|entry| (Stage::Ready, entry)).or(scan.sent.first().map(|entry| (Stage::Sent, entry)));
    let (stage, model) = found.ok_or("there is no bundle to copy")?;
    let bytes = spool.read(stage, model).map_err(|error| error.to_string())?;
    let bundle = bundle::verify(&bytes).map_err(|refusal| refusal.to_string())?;
    let own = [
        file_name::MANIFEST,
        file_name::ENVELOPE,
        file_name::SSH_SIGNATURE,
        file_name::SSH_PUBLIC_KEY,
        file_name::PEM_PUBLIC_KEY,
        file_name::DIGESTS,
        file_name::README,
    ];
    let files: BTreeMap<_, _> = bundle.files.into_iter().filter(|(name, _)| !own.contains(&name.as_str())).collect();
    let one = |number: u64| -> Result<String, String> {
        let locked = state.lock().map_err(|error| error.to_string())?;
        let sequence = locked.next_number().map_err(|error| error.to_string())?;
        let predicate = Predicate { sequence: sequence.number, previous: sequence.previous.clone(), ..bundle.predicate.clone() };
        let packed = bundle::pack(Contents { files: files.clone() }, predicate, &key).map_err(|error| error.to_string())?;
        let later = SignedDuration::from_millis(i64::try_from(number).unwrap_or_default());
        let entry = Entry {
            schedule: model.schedule.clone(),
            upload: model.upload,
            made: model.made.and_then(|made| made.checked_add(later).ok()),
            ..Entry::of(&packed.id, model.file.clone(), &packed.bytes)
        };
        spool.put(&entry, &packed.bytes).map_err(|error| error.to_string())?;
        locked.note_bundle(&packed.id).map_err(|error| error.to_string())?;
        Ok(entry.sha256)
    };
    (1..=count).map(one).collect()
}

fn id(number: u64) -> BundleId {
    BundleId::new(format!("{number:064x}"))
}

fn at(number: u64) -> Timestamp {
    let seconds = i64::try_from(number).unwrap_or_default();
    Timestamp::from_second(1_800_000_000 + seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
