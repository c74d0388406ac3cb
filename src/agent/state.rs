//! The state directory: the agent's key, its count of bundles, the key of strict redaction, and the spool.
//!
//! Whoever changes the count or the spool holds the directory's lock, so that two runs at once neither share a number nor sweep
//! each other's unfinished files away.

use crate::disk::{create_private_folder, replace_file, write_private_once};
use crate::platform::private_data::{opened, sealed};
use crate::redaction::MappingKey;
use crate::service_control;
use crate::spool::Spool;
use crate::state_names;
use crate::stop::Stop;
use crate::terminal;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use netsonde_contract::id::BundleId;
use netsonde_disk::{Disk, open_private};
use netsonde_probes::clock::Clock;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const KEY_FILE: &str = state_names::KEY;
const MAPPING_KEY_FILE: &str = state_names::MAPPING_KEY;
const SEQUENCE_FILE: &str = state_names::SEQUENCE;
const LOCK_FILE: &str = state_names::LOCK;
#[cfg(unix)]
const MACHINE_FOLDER: &str = "/var/lib/netsonde";
const SPOOL_FOLDER: &str = state_names::SPOOL;
/// For commands and runs, which have threads of their own: what was measured is not to be lost to another run that packs.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);
/// For the agent's loop: several in a row stay below half the watchdog's time.
pub(crate) const LOOP_PATIENCE: Duration = Duration::from_secs(3);
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

pub(crate) struct StateDirectory {
    path: PathBuf,
}

/// The directory's lock; dropping it gives it back, and so does the end of the process.
pub(crate) struct Locked<'a> {
    directory: &'a StateDirectory,
    _lock: File,
}

/// The number of a bundle and the one before it, as the manifest chains them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sequence {
    /// The last number given out.
    pub(crate) number: u64,
    #[serde(default)]
    pub(crate) previous: Option<BundleId>,
}

impl StateDirectory {
    /// Opens the directory, making it where it is not there.
    ///
    /// # Errors
    /// Where it cannot be made or written.
    pub(crate) fn open(given: Option<&Path>) -> Result<Self, Stop> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => default_path()
                .ok_or_else(|| Stop::usage("found no place for the state directory: HOME is not set"))
                .map_err(|stop| stop.next("name one with --state-dir DIR"))?,
        };
        let failed = |error: io::Error| {
            Stop::disk(format!("the state directory {} cannot be used: {error}", path.display()), &error)
                .next("name another one with --state-dir DIR")
        };
        #[cfg(windows)]
        if path.starts_with(service_control::machine_folder()) {
            service_control::keep_machine_folder()?;
        }
        create_private_folder(&path).map_err(failed)?;
        #[cfg(unix)]
        close_to_others(&path, given.is_none()).map_err(failed)?;
        open_private(&path.join(LOCK_FILE)).map_err(failed)?;
        Ok(Self { path })
    }

    /// Opens the directory where it is there already.
    pub(crate) fn existing(given: Option<&Path>) -> Option<Self> {
        let path = given.map(Path::to_owned).or_else(default_path)?;
        path.join(LOCK_FILE).is_file().then_some(Self { path })
    }

    pub(crate) fn spool(&self) -> Spool {
        Spool::at(self.path.join(SPOOL_FOLDER), Disk::system())
    }

    /// Waits until no other netsonde changes the directory, for as long as packing a large bundle takes on a slow machine.
    ///
    /// # Errors
    /// Where the lock cannot be opened, or another process keeps it, as one does that was suspended.
    pub(crate) fn lock(&self) -> io::Result<Locked<'_>> {
        self.lock_within(LOCK_PATIENCE)
    }

    /// The same for a loop that others wait for.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub(crate) fn lock_soon(&self) -> io::Result<Locked<'_>> {
        self.lock_within(LOOP_PATIENCE)
    }

    fn lock_within(&self, patience: Duration) -> io::Result<Locked<'_>> {
        let file = open_private(&self.path.join(LOCK_FILE))?;
        lock_file(&file, patience)?;
        Ok(Locked { directory: self, _lock: file })
    }

    /// Files that were damaged and put aside, by their names.
    pub(crate) fn damaged(&self) -> Vec<String> {
        let files = self.path.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
        let damaged = files.filter(|path| path.extension().is_some_and(|extension| extension == state_names::DAMAGED));
        let mut names: Vec<String> = damaged.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
        names.sort_unstable();
        names
    }

    /// There is a key, be it a damaged one.
    pub(crate) fn has_key(&self) -> bool {
        self.path.join(KEY_FILE).exists()
    }

    /// The agent's signing key, made on first use.
    pub(crate) fn signing_key(&self) -> Result<SigningKey, Stop> {
        let path = self.path.join(KEY_FILE);
        let broken = |cause: String| {
            Stop::usage(format!("the agent's key {} cannot be used: {cause}", path.display()))
                .next("restore it from a backup, or move it away: the next run makes a new key, which support does not know yet")
        };
        match read_key(&path) {
            Ok(pem) => SigningKey::from_pkcs8_pem(&pem).map_err(|error| broken(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = new_signing_key()?;
                let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| broken(error.to_string()))?;
                let stored = sealed(pem.as_bytes(), &path).map_err(|error| broken(error.to_string()))?;
                write_private_once(&path, &stored)
                    .map_err(|error| Stop::disk(format!("the agent's key {} cannot be made: {error}", path.display()), &error))?;
                // Another process may have been first; its key is the one that stands.
                let pem = read_key(&path).map_err(|error| broken(error.to_string()))?;
                SigningKey::from_pkcs8_pem(&pem).map_err(|error| broken(error.to_string()))
            }
            Err(error) => Err(broken(error.to_string())),
        }
    }

    /// Puts another signing key in the place of the former one. Bundles go on counting, and say which key signed them.
    pub(crate) fn replace_signing_key(&self, key: &SigningKey) -> Result<(), Stop> {
        let path = self.path.join(KEY_FILE);
        let failed = |cause: String| Stop::usage(format!("the agent's key {} cannot be replaced: {cause}", path.display()));
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| failed(error.to_string()))?;
        let stored = sealed(pem.as_bytes(), &path).map_err(|error| failed(error.to_string()))?;
        replace_file(&path, &stored).map_err(|error| failed(error.to_string()))
    }

    /// The key of strict redaction, made on first use. It stays with the customer, who alone can tell what a token stands for.
    pub(crate) fn mapping_key(&self) -> Result<MappingKey, Stop> {
        let path = self.path.join(MAPPING_KEY_FILE);
        let broken = |cause: String| Stop::usage(format!("the redaction key {} cannot be used: {cause}", path.display()));
        if !path.exists() {
            let stored = sealed(&random::<32>()?, &path).map_err(|error| broken(error.to_string()))?;
            write_private_once(&path, &stored).map_err(|error| broken(error.to_string()))?;
        }
        let bytes = fs::read(&path).and_then(opened).map_err(|error| broken(error.to_string()))?;
        let bytes = bytes.try_into().map_err(|_| broken("it is not 32 bytes long".to_owned()))?;
        Ok(MappingKey::from_bytes(bytes))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory where it holds nothing but its lock: a run on a ticket leaves nothing behind.
    pub(crate) fn remove_if_unused(&self) {
        self.spool().remove_if_empty();
        let only_the_lock = |entries: fs::ReadDir| entries.flatten().all(|entry| entry.file_name() == LOCK_FILE);
        if self.path.read_dir().is_ok_and(only_the_lock) {
            let _ = fs::remove_file(self.path.join(LOCK_FILE));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

impl Locked<'_> {
    /// Takes the next number. It is on disk before it is used: a crash leaves a gap, never two bundles of one number.
    pub(crate) fn next_number(&self) -> io::Result<Sequence> {
        let mut sequence = self.sequence()?;
        sequence.number += 1;
        self.write_sequence(&sequence)?;
        Ok(sequence)
    }

    /// Notes the bundle that took the last number, for the next one to name.
    pub(crate) fn note_bundle(&self, bundle: &BundleId) -> io::Result<()> {
        let sequence = Sequence { previous: Some(bundle.clone()), ..self.sequence()? };
        self.write_sequence(&sequence)
    }

    /// A damaged file is put aside. What the last number was, nobody knows then: the next one is the seconds since 1970, which no agent has packed bundles for.
    fn sequence(&self) -> io::Result<Sequence> {
        let path = self.directory.path.join(SEQUENCE_FILE);
        match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(sequence) => Ok(sequence),
                Err(_) => {
                    put_aside(&path, "bundles are counted on from a number that none can have had")?;
                    let number = u64::try_from(Clock::start().wall().as_second()).unwrap_or_default();
                    Ok(Sequence { number, previous: None })
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Sequence::default()),
            Err(error) => Err(error),
        }
    }

    fn write_sequence(&self, sequence: &Sequence) -> io::Result<()> {
        let bytes = serde_json::to_vec(sequence).map_err(io::Error::other)?;
        replace_file(&self.directory.path.join(SEQUENCE_FILE), &bytes)
    }
}

/// Keeps a damaged file of the state directory as `NAME.damaged`, and says so, with what follows from it.
///
/// # Errors
/// Where it cannot be put aside.
pub(crate) fn put_aside(path: &Path, what_follows: &str) -> io::Result<()> {
    let aside = path.with_extension(state_names::DAMAGED);
    fs::rename(path, &aside)?;
    terminal::warn(&format!("netsonde: {} was damaged and is kept as {}: {what_follows}", path.display(), aside.display()));
    Ok(())
}

/// Waits for a lock, but not for a process that was suspended with it.
///
/// # Errors
/// Where another process keeps it for so long, and where the system has no locks.
pub(crate) fn lock_file(file: &File, patience: Duration) -> io::Result<()> {
    let try_lock = || match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    };
    wait_for_lock(try_lock, patience)
}

/// The same for a lock of any disk: `try_lock` says whether it was to be had.
///
/// # Errors
/// Where another process keeps it for so long, and where the system has no locks.
pub(crate) fn wait_for_lock(try_lock: impl Fn() -> io::Result<bool>, patience: Duration) -> io::Result<()> {
    let mut left = patience;
    while !try_lock()? {
        if left.is_zero() {
            let words = format!("another netsonde has held a lock in it for {} s; is one suspended?", patience.as_secs());
            return Err(io::Error::new(io::ErrorKind::WouldBlock, words));
        }
        let wait = BETWEEN_TRIES.min(left);
        std::thread::sleep(wait);
        left -= wait;
    }
    Ok(())
}

/// A key for one run.
pub(crate) fn new_signing_key() -> Result<SigningKey, Stop> {
    Ok(SigningKey::from_bytes(&random::<32>()?))
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], Stop> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Stop::usage(format!("the system gave no random bytes: {error}")))?;
    Ok(bytes)
}

/// Evenly spread from 0 to 1. Without randomness everybody would do the same at the same time, which is no reason not to do it.
pub(crate) fn chance() -> f64 {
    random::<4>().map_or(0.5, |bytes| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

/// Takes a folder that others may look into from them. One that a person named is left as it is where it holds anything: it may be more than
/// netsonde's.
#[cfg(unix)]
fn close_to_others(path: &Path, is_ours: bool) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mode = fs::metadata(path)?.mode();
    if mode & 0o077 == 0 || !(is_ours || path.read_dir()?.next().is_none()) {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// The key in a file, as text.
fn read_key(path: &Path) -> io::Result<String> {
    String::from_utf8(opened(fs::read(path)?)?).map_err(io::Error::other)
}

/// The state directory of this machine's service, where there is one; others than its user may not look into it.
pub(crate) fn path_of_service() -> Option<PathBuf> {
    let path = machines_path();
    fs::symlink_metadata(&path).is_ok().then_some(path)
}

/// `/var/lib/netsonde` for root, the XDG state directory for others; on Windows the machine's own folder for administrators, so that it is the
/// service's too, and the local application data for others.
pub(crate) fn default_path() -> Option<PathBuf> {
    if service_control::is_administrator() { Some(machines_path()) } else { persons_path() }
}

fn machines_path() -> PathBuf {
    #[cfg(unix)]
    let path = PathBuf::from(MACHINE_FOLDER);
    #[cfg(windows)]
    let path = service_control::machine_folder().join("state");
    path
}

/// What whoever runs this program has without an administrator's rights.
#[cfg(unix)]
fn persons_path() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    Some(state.or_else(|| Some(variable("HOME")?.join(".local/state")))?.join("netsonde"))
}

/// What whoever runs this program has without an administrator's rights.
#[cfg(windows)]
pub(crate) fn persons_path() -> Option<PathBuf> {
    Some(crate::platform::windows_folders::local_app_data()?.join("netsonde"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(&folder.path().join("deep/er"))).unwrap();
        let key = state.signing_key().unwrap();
        assert_eq!(state.signing_key().unwrap().to_bytes(), key.to_bytes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |name: &str| fs::metadata(state.path.join(name)).unwrap().permissions().mode() & 0o777;
            state.mapping_key().unwrap();
            assert_eq!((mode(KEY_FILE), mode(MAPPING_KEY_FILE), mode(".")), (0o600, 0o600, 0o700));
        }
    }

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).unwrap()) & 0o777
    }

    #[cfg(unix)]
    #[test]
    fn a_state_folder_is_its_owners_alone_even_where_it_was_open_to_others_before() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let open = || fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        open();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        assert_eq!((mode(folder.path()), mode(&folder.path().join(LOCK_FILE))), (0o700, 0o600));
        drop(state.lock().unwrap());
        // A folder that a person named may be more than netsonde's; what netsonde puts there is its owner's alone all the same.
        open();
        StateDirectory::open(Some(folder.path())).unwrap().signing_key().unwrap();
        assert_eq!((mode(folder.path()), mode(&folder.path().join(KEY_FILE))), (0o777, 0o600));
        close_to_others(folder.path(), true).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
    }

    /// Needs root: `tests/run` has it.
    #[cfg(unix)]
    #[test]
    fn what_root_writes_into_a_services_state_is_the_services() {
        use std::os::unix::fs::{MetadataExt, chown, symlink};
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: what_root_writes_into_a_services_state_is_the_services: it needs root");
            return;
        }
        const SERVICE: u32 = 61_234;
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        chown(folder.path(), Some(SERVICE), Some(SERVICE)).unwrap();
        symlink(elsewhere.path(), folder.path().join(SEQUENCE_FILE)).unwrap();
        symlink(elsewhere.path(), folder.path().join("link")).unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        state.signing_key().unwrap();
        state.mapping_key().unwrap();
        open_private(&folder.path().join("link")).unwrap();
        state.lock().unwrap().write_sequence(&Sequence::default()).unwrap();
        create_private_folder(&folder.path().join("spool/ready")).unwrap();
        crate::disk::write_json(&folder.path().join("spool/ready/entry.json"), &1).unwrap();
        for name in [LOCK_FILE, KEY_FILE, MAPPING_KEY_FILE, SEQUENCE_FILE, "spool", "spool/ready", "spool/ready/entry.json"] {
            let found = fs::symlink_metadata(folder.path().join(name)).unwrap();
            assert_eq!((found.uid(), found.gid()), (SERVICE, SERVICE), "{name}");
        }
        assert_eq!(fs::metadata(elsewhere.path()).unwrap().uid(), 0, "what a link leads to is not given away");
    }

    #[test]
    fn a_damaged_key_is_told_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        fs::write(folder.path().join(KEY_FILE), "damaged").unwrap();
        let stop = state.signing_key().unwrap_err();
        assert!(stop.message.contains("agent.key") && stop.next.is_some(), "{stop:?}");
        assert_eq!(fs::read_to_string(folder.path().join(KEY_FILE)).unwrap(), "damaged");
    }

    #[test]
    fn a_crash_between_number_and_bundle_leaves_a_gap_and_no_double() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let locked = state.lock().unwrap();
        assert_eq!(locked.next_number().unwrap(), Sequence { number: 1, previous: None });
        let first = BundleId::new("a".repeat(64));
        locked.note_bundle(&first).unwrap();
        locked.next_number().unwrap();
        // The second run dies here.
        assert_eq!(locked.next_number().unwrap(), Sequence { number: 3, previous: Some(first) });
    }

    #[test]
    fn a_damaged_count_is_put_aside_and_no_number_comes_twice() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let locked = state.lock().unwrap();
        assert_eq!(locked.next_number().unwrap().number, 1);
        fs::write(folder.path().join(SEQUENCE_FILE), "{\"numb").unwrap();
        let next = locked.next_number().unwrap();
        assert!(next.number > 1_700_000_000 && next.previous.is_none(), "{next:?}");
        assert_eq!(locked.next_number().unwrap().number, next.number + 1);
        assert_eq!(state.damaged(), ["sequence.damaged"]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told_with_the_way_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stop = StateDirectory::open(Some(&file.path().join("below"))).err().unwrap();
        assert!(stop.message.contains("state directory") && stop.next.unwrap().contains("--state-dir"));
    }

    #[test]
    fn a_process_that_was_suspended_with_the_lock_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let held = state.lock().unwrap();
        let error = state.lock_within(Duration::from_millis(20)).map(drop).unwrap_err();
        assert!(error.kind() == io::ErrorKind::WouldBlock && error.to_string().contains("suspended"), "{error}");
        drop(held);
        state.lock_within(Duration::ZERO).unwrap();
    }
}
