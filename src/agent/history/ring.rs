use super::storage::Storage;
use crate::state_names;
use crate::terminal;
use jiff::Timestamp;
use netsonde_contract::history::{Change, CheckHistory, History, MAX_SAMPLES, SCHEMA, Sample, Series};
use netsonde_disk::{Disk, OpenFile};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &str = state_names::HISTORY;
const DAMAGED: &str = "history.damaged";
const UNFINISHED_FILE: &str = ".history.redb.new";
/// Two weeks of ten checks a minute, in some thirty megabytes.
const KEPT_SAMPLES: u64 = 200_000;
/// Changes are rare; a check that flaps once a minute for a week stays within.
const KEPT_CHANGES: u64 = 10_000;
/// Sixty-four schedules of sixty-four checks, those included that are measured no more and whose last measurements have not yet made room.
const MAX_SERIES: usize = 4_096;
/// The library would take a gigabyte by default; a batch touches a few pages.
const CACHE_BYTES: usize = 1 << 20;
/// Another process has the ring for milliseconds at a time.
const TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

const SERIES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("series");
const SAMPLES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("samples");
const CHANGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changes");

/// The ring's file. It is opened for each batch and closed again: other processes can read it, nothing stays in memory, and a database that
/// latched after an I/O error is opened anew. Both methods block, for as long as another process has it (two seconds at most) and the disk
/// takes; asynchronous code calls them where blocking is allowed.
pub(crate) struct Ring {
    folder: PathBuf,
    disk: Disk,
    kept_samples: u64,
    max_series: usize,
}

/// Which part of the past is wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) since: Option<Timestamp>,
    pub(crate) schedule: Option<String>,
    pub(crate) check: Option<String>,
}

/// What the ring holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Recorded {
    pub(crate) checks: Vec<CheckHistory>,
    pub(crate) changes: Vec<Change>,
}

enum Trouble {
    /// The file is no ring any more.
    Damaged(String),
    /// It cannot be used now.
    Io(io::Error),
}

impl Ring {
    pub(crate) fn at(state: &Path) -> Self {
        Self::on(Disk::system(), state)
    }

    pub(crate) fn on(disk: Disk, state: &Path) -> Self {
        Self { folder: state.to_owned(), disk, kept_samples: KEPT_SAMPLES, max_series: MAX_SERIES }
    }

    /// Adds measurements and changes; the oldest make room. A damaged ring is put aside as `history.damaged`, and a new one begun: its
    /// cause is given back.
    ///
    /// # Errors
    /// Where the disk refuses, or another process holds the ring for long.
    pub(crate) fn append(&self, samples: &[(Series, Sample)], changes: &[Change]) -> io::Result<Option<String>> {
        match self.guarded(|database| self.write(database, samples, changes)) {
            Ok(forgotten) => {
                say_forgotten(forgotten);
                Ok(None)
            }
            Err(Trouble::Damaged(cause)) => {
                self.put_aside()?;
                match self.guarded(|database| self.write(database, samples, changes)) {
                    Ok(_) => Ok(Some(cause)),
                    Err(Trouble::Damaged(cause)) => Err(io::Error::other(cause)),
                    Err(Trouble::Io(error)) => Err(error),
                }
            }
            Err(Trouble::Io(error)) => Err(error),
        }
    }

    /// # Errors
    /// Where the ring cannot be read. A damaged one is put aside, so that the next batch begins a new one. A ring that is not there is an empty one.
    pub(crate) fn read(&self, wanted: &Wanted) -> io::Result<Recorded> {
        let length = self.disk.files().length(&self.folder.join(FILE));
        if length.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(Recorded::default());
        }
        self.guarded(|database| read(database, wanted)).map_err(|trouble| match trouble {
            Trouble::Damaged(cause) => match self.put_aside() {
                Ok(()) => io::Error::new(io::ErrorKind::InvalidData, format!("{cause}; it was put aside as {DAMAGED}")),
                Err(error) => error,
            },
            Trouble::Io(error) => error,
        })
    }

    fn put_aside(&self) -> io::Result<()> {
        self.disk.move_to(&self.folder.join(FILE), &self.folder.join(DAMAGED))
    }

    /// The library promises no result for a damaged file, and may panic over one: that is caught here.
    fn guarded<T>(&self, work: impl FnOnce(&Database) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let guarded = || {
            let database = self.open()?;
            work(&database)
        };
        catch_unwind(AssertUnwindSafe(guarded))
            .unwrap_or_else(|_| Err(Trouble::Damaged("its pages contradict each other".into())))
    }

    fn open(&self) -> Result<Database, Trouble> {
        let path = self.folder.join(FILE);
        // An empty file is what a version that made the ring in its place left when it was killed.
        match self.disk.files().length(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.begin(&path)?,
            Ok(0) => self.begin(&path)?,
            length => drop(length.map_err(Trouble::Io)?),
        }
        let file = self.locked(&path)?;
        database_over(file)
    }

    /// Makes an empty ring beside its place and moves it there: whoever is killed meanwhile leaves none, and not half of one.
    fn begin(&self, path: &Path) -> Result<(), Trouble> {
        let unfinished = self.folder.join(UNFINISHED_FILE);
        let file = self.disk.files().create(&unfinished).map_err(Trouble::Io)?;
        let database = database_over(file)?;
        let first = database.begin_write().map_err(trouble)?;
        first.open_table(SERIES).map_err(trouble)?;
        first.open_table(SAMPLES).map_err(trouble)?;
        first.open_table(CHANGES).map_err(trouble)?;
        first.commit().map_err(trouble)?;
        drop(database);
        self.disk.move_to(&unfinished, path).map_err(Trouble::Io)
    }

    /// Other processes have it for milliseconds.
    fn locked(&self, path: &Path) -> Result<Box<dyn OpenFile>, Trouble> {
        let file = self.disk.files().open(path).map_err(Trouble::Io)?;
        for _ in 0..TRIES {
            if file.try_lock().map_err(Trouble::Io)? {
                return Ok(file);
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
        Err(Trouble::Io(io::Error::new(io::ErrorKind::WouldBlock, "another process holds it")))
    }

    /// How many checks were forgotten to make room for new ones.
    fn write(&self, database: &Database, samples: &[(Series, Sample)], changes: &[Change]) -> Result<usize, Trouble> {
        // An earlier process may have made the ring and died before its name was safe.
        self.disk.files().sync_folder(&self.folder).map_err(Trouble::Io)?;
        let batch = database.begin_write().map_err(trouble)?;
        let mut forgotten = 0;
        {
            let mut series = batch.open_table(SERIES).map_err(trouble)?;
            let mut known: BTreeMap<Series, u32> = known(&series)?.into_iter().map(|(id, series)| (series, id)).collect();
            let mut table = batch.open_table(SAMPLES).map_err(trouble)?;
            let mut next = table.last().map_err(trouble)?.map_or(0, |(number, _)| number.value() + 1);
            let new: BTreeSet<&Series> = samples.iter().map(|(of, _)| of).filter(|of| !known.contains_key(of)).collect();
            let excess = (known.len() + new.len()).saturating_sub(self.max_series);
            if excess > 0 {
                let gone = measured_longest_ago(&table, &known, samples, excess)?;
                forgotten = gone.len();
                known.retain(|_, id| !gone.contains(id));
                series.retain(|id, _| !gone.contains(&id)).map_err(trouble)?;
                table.retain(|_, entry| id_of(entry).is_none_or(|id| !gone.contains(&id))).map_err(trouble)?;
            }
            let taken: BTreeSet<u32> = known.values().copied().collect();
            let mut free = (0..=u32::MAX).filter(|id| !taken.contains(id));
            for (of, sample) in samples {
                let id = match known.get(of) {
                    Some(id) => *id,
                    None => {
                        let Some(id) = free.next() else { continue };
                        series.insert(id, json(of)?.as_slice()).map_err(trouble)?;
                        known.insert(of.clone(), id);
                        id
                    }
                };
                let entry = [&id.to_le_bytes()[..], &json(sample)?].concat();
                table.insert(next, entry.as_slice()).map_err(trouble)?;
                next += 1;
            }
            while table.len().map_err(trouble)? > self.kept_samples {
                table.pop_first().map_err(trouble)?;
            }
            let mut table = batch.open_table(CHANGES).map_err(trouble)?;
            let first = table.last().map_err(trouble)?.map_or(0, |(number, _)| number.value() + 1);
            for (number, change) in (first..).zip(changes) {
                table.insert(number, json(change)?.as_slice()).map_err(trouble)?;
            }
            while table.len().map_err(trouble)? > KEPT_CHANGES {
                table.pop_first().map_err(trouble)?;
            }
        }
        batch.commit().map_err(trouble)?;
        Ok(forgotten)
    }
}

fn say_forgotten(checks: usize) {
    if checks > 0 {
        terminal::say(&format!(
            "netsonde: the history forgot the {checks} checks that were measured longest ago, for newer ones"
        ));
    }
}

/// So many of the known checks; none that are measured now.
fn measured_longest_ago(
    table: &impl ReadableTable<u64, &'static [u8]>,
    known: &BTreeMap<Series, u32>,
    now: &[(Series, Sample)],
    count: usize,
) -> Result<BTreeSet<u32>, Trouble> {
    // By the number of the last measurement; of some there is none any more.
    let mut last: BTreeMap<u32, Option<u64>> = known.values().map(|id| (*id, None)).collect();
    for entry in table.iter().map_err(trouble)? {
        let (number, entry) = entry.map_err(trouble)?;
        last.insert(id_of(entry.value()).ok_or_else(|| nonsense("a sample is too short"))?, Some(number.value()));
    }
    let measured: BTreeSet<u32> = now.iter().filter_map(|(of, _)| known.get(of).copied()).collect();
    last.retain(|id, _| !measured.contains(id));
    let mut oldest: Vec<(Option<u64>, u32)> = last.into_iter().map(|(id, number)| (number, id)).collect();
    oldest.sort_unstable();
    Ok(oldest.into_iter().take(count).map(|(_, id)| id).collect())
}

/// The check that an entry of the samples belongs to.
fn id_of(entry: &[u8]) -> Option<u32> {
    entry.first_chunk::<4>().map(|id| u32::from_le_bytes(*id))
}

fn database_over(file: Box<dyn OpenFile>) -> Result<Database, Trouble> {
    match Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(Storage::over(file)) {
        Err(DatabaseError::UpgradeRequired(version)) => Err(Trouble::Damaged(format!("its format is version {version}"))),
        other => other.map_err(trouble),
    }
}

fn read(database: &Database, wanted: &Wanted) -> Result<Recorded, Trouble> {
    let view = database.begin_read().map_err(trouble)?;
    let is_wanted = |series: &Series, at: Timestamp| {
        wanted.since.is_none_or(|since| at >= since)
            && wanted.schedule.as_ref().is_none_or(|name| *name == series.schedule)
            && wanted.check.as_ref().is_none_or(|name| *name == series.check)
    };
    let names = known(&view.open_table(SERIES).map_err(trouble)?)?;
    let mut checks: BTreeMap<&Series, Vec<Sample>> = BTreeMap::new();
    for entry in view.open_table(SAMPLES).map_err(trouble)?.iter().map_err(trouble)? {
        let (_, entry) = entry.map_err(trouble)?;
        let Some((id, sample)) = entry.value().split_first_chunk::<4>() else { return Err(nonsense("a sample is too short")) };
        let Some(series) = names.get(&u32::from_le_bytes(*id)) else { return Err(nonsense("a sample belongs to no check")) };
        let sample: Sample = serde_json::from_slice(sample).map_err(nonsense)?;
        if is_wanted(series, sample.at) {
            checks.entry(series).or_default().push(sample);
        }
    }
    let mut changes = Vec::new();
    for entry in view.open_table(CHANGES).map_err(trouble)?.iter().map_err(trouble)? {
        let change: Change = serde_json::from_slice(entry.map_err(trouble)?.1.value()).map_err(nonsense)?;
        if is_wanted(&change.series, change.at) {
            changes.push(change);
        }
    }
    let checks = checks.into_iter().map(|(series, samples)| CheckHistory { series: series.clone(), samples }).collect();
    Ok(Recorded { checks, changes })
}

fn known(table: &impl ReadableTable<u32, &'static [u8]>) -> Result<BTreeMap<u32, Series>, Trouble> {
    let mut known = BTreeMap::new();
    for entry in table.iter().map_err(trouble)? {
        let (id, series) = entry.map_err(trouble)?;
        known.insert(id.value(), serde_json::from_slice(series.value()).map_err(nonsense)?);
    }
    Ok(known)
}

impl Recorded {
    /// As a bundle carries it: the newest measurements of all checks, up to the bound.
    pub(crate) fn document(mut self) -> History {
        let mut times: Vec<Timestamp> =
            self.checks.iter().flat_map(|check| check.samples.iter().map(|sample| sample.at)).collect();
        if times.len() > MAX_SAMPLES {
            times.sort_unstable_by(|a, b| b.cmp(a));
            let oldest = times.get(MAX_SAMPLES).copied().unwrap_or(Timestamp::MIN);
            for check in &mut self.checks {
                check.samples.retain(|sample| sample.at > oldest);
            }
        }
        History { schema: SCHEMA.to_owned(), checks: self.checks, changes: self.changes }
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec(value).map_err(|error| Trouble::Io(io::Error::other(error)))
}

fn nonsense(why: impl ToString) -> Trouble {
    Trouble::Damaged(why.to_string())
}

/// What the disk refuses is its own matter; all else that goes wrong with a ring that nobody else writes is damage.
fn trouble(error: impl Into<redb::Error>) -> Trouble {
    match error.into() {
        redb::Error::Io(error) if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            Trouble::Io(error)
        }
        other => Trouble::Damaged(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::history::Verdict;
    use netsonde_contract::kind::Kind;

    fn batch(minute: i64, checks: usize) -> Vec<(Series, Sample)> {
        let series = |check: usize| Series {
            schedule: "shop".into(),
            check: format!("check-{check}"),
            kind: Kind::Tcp,
            target: Some("https://shop.example/".into()),
            required: true,
        };
        let sample = |check: usize| Sample {
            at: Timestamp::from_second(1_800_000_000 + minute * 60).unwrap(),
            verdict: if (minute + check as i64) % 97 == 0 { Verdict::Bad } else { Verdict::Good },
            took_us: 25_000,
            rtt_us: Some(20_000 + minute as u64 % 1_000),
            phases: std::collections::BTreeMap::new(),
            failure: None,
            path: Some("0123456789abcdef".into()),
            chain: None,
            expires: None,
        };
        (0..checks).map(|check| (series(check), sample(check))).collect()
    }

    #[test]
    fn the_ring_is_read_as_it_was_written_and_the_oldest_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Ring { kept_samples: 10, ..Ring::at(folder.path()) };
        assert_eq!(ring.read(&Wanted::default()).unwrap(), Recorded::default());
        for minute in 0..8 {
            assert_eq!(ring.append(&batch(minute, 2), &[]).unwrap(), None);
        }
        let recorded = ring.read(&Wanted::default()).unwrap();
        assert_eq!(recorded.checks.iter().map(|check| check.samples.len()).collect::<Vec<_>>(), [5, 5]);
        assert_eq!(recorded.checks[1].samples[4], batch(7, 2)[1].1);
        let since = Some(Timestamp::from_second(1_800_000_000 + 6 * 60).unwrap());
        let some = ring.read(&Wanted { since, check: Some("check-1".into()), schedule: None }).unwrap();
        assert_eq!((some.checks.len(), some.checks[0].samples.len()), (1, 2));
    }

    #[test]
    fn checks_that_are_new_make_those_go_that_were_measured_longest_ago() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Ring { max_series: 2, ..Ring::at(folder.path()) };
        for (minute, checks) in [&["a"][..], &["b"], &["c"], &["c", "a"]].into_iter().enumerate() {
            let mut batch = batch(minute as i64, checks.len());
            batch.iter_mut().zip(checks).for_each(|((series, _), name)| series.check = (*name).to_owned());
            ring.append(&batch, &[]).unwrap();
        }
        let recorded = ring.read(&Wanted::default()).unwrap();
        let kept: Vec<_> = recorded.checks.iter().map(|check| (check.series.check.as_str(), check.samples.len())).collect();
        assert_eq!(kept, [("a", 1), ("c", 2)]);
    }

    #[test]
    fn a_damaged_ring_is_put_aside_and_begun_anew() {
        for damage in [0_usize, 4_096, 9_000] {
            let folder = tempfile::tempdir().unwrap();
            let ring = Ring::at(folder.path());
            for minute in 0..50 {
                ring.append(&batch(minute, 5), &[]).unwrap();
            }
            let file = folder.path().join(FILE);
            let mut bytes = std::fs::read(&file).unwrap();
            let end = if damage == 0 { 256 } else { bytes.len() };
            bytes[damage..end].fill(0xa5);
            std::fs::write(&file, bytes).unwrap();
            let begun = ring.append(&batch(51, 5), &[]).unwrap();
            // Damage that a batch does not touch may show only when all is read.
            if begun.is_some() {
                assert!(folder.path().join(DAMAGED).exists());
                assert_eq!(ring.read(&Wanted::default()).unwrap().checks.len(), 5, "at {damage}");
            } else {
                assert_eq!(ring.read(&Wanted::default()).unwrap_err().kind(), io::ErrorKind::InvalidData, "at {damage}");
                assert!(folder.path().join(DAMAGED).exists());
            }
        }
    }

    #[test]
    fn a_file_that_is_no_ring_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "not a database, but long enough to be taken for one".repeat(100)).unwrap();
        let ring = Ring::at(folder.path());
        assert!(ring.append(&batch(0, 1), &[]).unwrap().is_some());
        assert_eq!(ring.read(&Wanted::default()).unwrap().checks.len(), 1);
    }

    #[test]
    fn a_week_of_ten_checks_a_minute_stays_within_tens_of_mebibytes() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Ring { kept_samples: 100_800, ..Ring::at(folder.path()) };
        // Ten hours a batch: what is measured is the size, not the disk's patience.
        for hours in 0..20 {
            let many: Vec<_> = (0..600).flat_map(|minute| batch(hours * 600 + minute, 10)).collect();
            ring.append(&many, &[]).unwrap();
        }
        let size = std::fs::metadata(folder.path().join(FILE)).unwrap().len();
        println!("100,800 samples: {} KiB", size >> 10);
        assert!(size < 40 << 20, "{size}");
    }
}
