use crate::{Failure, platform};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, thread};

/// What begins each file that this handler wrote, and that it therefore may replace and take away.
const MARK: &str = "# Written by netsonde's VM extension; its settings replace what is changed here.\n";

/// The files of the settings, by the names of their keys.
pub(crate) const FILES: [&str; 2] = ["policy", "agent"];

/// For how long a file is tried again that is in use: a program ends some time after its service, and scanners look into new files.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(500);
/// `ERROR_SHARING_VIOLATION`; a program that runs is `ERROR_ACCESS_DENIED`.
const SHARED: i32 = 32;

/// Where things are on this machine.
pub(crate) struct Places {
    /// The extension's own copy of the program, where a service's account may run it: the guest agent's folder is the system's alone.
    pub(crate) program: PathBuf,
    /// The program that the MSI installs.
    packaged: PathBuf,
    /// Configuration, policy and state.
    data: PathBuf,
}

impl Places {
    pub(crate) fn of_this_machine() -> Self {
        let (programs, data) = platform::programs_and_data();
        Self::below(&programs, &data)
    }

    fn below(programs: &Path, data: &Path) -> Self {
        Self {
            program: programs.join("netsonde-extension").join("netsonde.exe"),
            packaged: programs.join("netsonde").join("netsonde.exe"),
            data: data.join("netsonde"),
        }
    }

    /// # Errors
    /// Where the MSI's netsonde is here, whose service is not this extension's.
    pub(crate) fn refuse_beside_a_package(&self) -> Result<(), Failure> {
        if !self.packaged.exists() {
            return Ok(());
        }
        Err(Failure::Failed(
            "netsonde is installed here by a package, whose service this extension leaves alone; remove the package or the extension"
                .to_owned(),
        ))
    }

    /// Copies the program of the handler's package; half a copy is never at its place. One that is still in use is waited for.
    ///
    /// # Errors
    /// Where it cannot be written, or is in use after [`PATIENCE`].
    pub(crate) fn put_program(&self, own: &Path) -> Result<(), Failure> {
        self.put_program_by(own, |new, path| fs::rename(new, path), thread::sleep)
    }

    fn put_program_by(
        &self,
        own: &Path,
        rename: impl Fn(&Path, &Path) -> io::Result<()>,
        wait: impl Fn(Duration),
    ) -> Result<(), Failure> {
        let new = self.program.with_extension("new");
        fs::create_dir_all(self.folder())
            .and_then(|()| fs::copy(own.join("bin").join("netsonde.exe"), &new))
            .map_err(Failure::of(format!("putting the program at {}", new.display())))?;
        unused(|| rename(&new, &self.program), wait).map_err(|error| {
            let path = self.program.display();
            Failure::Failed(if is_used(&error) {
                format!(
                    "{path} is still in use after {} s; end what runs it, then enable the extension again: {error}",
                    PATIENCE.as_secs()
                )
            } else {
                format!("putting the program at {path}: {error}")
            })
        })
    }

    /// Whether this handler set up a service, which is not gone since.
    pub(crate) fn serves(&self) -> bool {
        self.service().exists()
    }

    /// Says that the service is this handler's, before there is one.
    pub(crate) fn note_service(&self) -> Result<(), Failure> {
        fs::write(self.service(), "").map_err(Failure::of("noting that the service is the extension's"))
    }

    pub(crate) fn forget_service(&self) -> Result<(), Failure> {
        gone(fs::remove_file(self.service())).map_err(Failure::of("noting that the service is gone"))
    }

    /// Puts the files of the settings into place and takes those away that are no longer asked for.
    ///
    /// # Errors
    /// Where somebody at the machine wrote one.
    pub(crate) fn put(&self, name: &str, text: Option<&str>) -> Result<(), Failure> {
        let path = self.data.join(name).with_extension("toml");
        let Some(text) = text else { return self.take_away(&path).map(|_| ()) };
        if path.exists() && !is_ours(&path) {
            return Err(Failure::Failed(format!("{} was written at the machine; the extension leaves it alone", path.display())));
        }
        let new = path.with_extension("new");
        fs::create_dir_all(&self.data)
            .and_then(|()| fs::write(&new, format!("{MARK}{text}")))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(Failure::of(format!("writing {}", path.display())))
    }

    /// Says that another version of this handler takes over, so that the one before it, when it is uninstalled, leaves what was learnt.
    pub(crate) fn note_follower(&self) -> Result<(), Failure> {
        fs::write(self.follower(), "").map_err(Failure::of("noting that another version follows"))
    }

    /// Whether another version takes over. What says so is gone afterwards.
    pub(crate) fn was_followed(&self) -> bool {
        fs::remove_file(self.follower()).is_ok()
    }

    /// The file that keeps what the run of this key came to, where an update leaves it.
    pub(crate) fn run(&self, key: &str) -> PathBuf {
        self.folder().join("runs").join(key)
    }

    /// Half a text is never at its place.
    pub(crate) fn note_run(&self, run: &Path, said: &str) -> Result<(), Failure> {
        let new = run.with_extension("new");
        fs::create_dir_all(self.folder().join("runs"))
            .and_then(|()| fs::write(&new, said))
            .and_then(|()| fs::rename(&new, run))
            .map_err(Failure::of("noting that the run took place"))
    }

    /// Takes away the files of the settings, but those that somebody wrote at the machine. Says whether there was one.
    pub(crate) fn take_away_files(&self) -> Result<bool, Failure> {
        let mut any = false;
        for name in FILES {
            any |= self.take_away(&self.data.join(name).with_extension("toml"))?;
        }
        Ok(any)
    }

    /// Everything that the extension brought or that netsonde learnt. What was written at the machine stays.
    pub(crate) fn remove_all(&self) -> Result<(), Failure> {
        self.take_away_files()?;
        for folder in [self.data.join("state"), self.folder().to_owned()] {
            unused(|| gone(fs::remove_dir_all(&folder)), thread::sleep)
                .map_err(Failure::of(format!("removing {}", folder.display())))?;
        }
        // Only where nothing is left in it.
        let _ = fs::remove_dir(&self.data);
        Ok(())
    }

    fn take_away(&self, path: &Path) -> Result<bool, Failure> {
        if !is_ours(path) {
            return Ok(false);
        }
        gone(fs::remove_file(path)).map_err(Failure::of(format!("removing {}", path.display())))?;
        Ok(true)
    }

    fn folder(&self) -> &Path {
        self.program.parent().unwrap_or(&self.program)
    }

    fn follower(&self) -> PathBuf {
        self.folder().join("followed")
    }

    fn service(&self) -> PathBuf {
        self.folder().join("service")
    }
}

fn is_ours(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.starts_with(MARK))
}

/// Tries again as long as a file is in use, for [`PATIENCE`].
fn unused(attempt: impl Fn() -> io::Result<()>, wait: impl Fn(Duration)) -> io::Result<()> {
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        match attempt() {
            Err(error) if is_used(&error) => wait(LOOK),
            done => return done,
        }
    }
    attempt()
}

fn is_used(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || error.raw_os_error() == Some(SHARED)
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::Cell;

    /// A machine without anything on it, and in `own` a handler's package.
    pub(crate) fn machine() -> (tempfile::TempDir, Places) {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir_all(top.path().join("own/bin")).unwrap();
        fs::write(top.path().join("own/bin/netsonde.exe"), "program").unwrap();
        let places = Places::below(&top.path().join("programs"), &top.path().join("data"));
        (top, places)
    }

    #[test]
    fn a_program_in_use_is_waited_for_and_named_where_it_stays_so() {
        let (top, places) = machine();
        let (attempts, waits) = (Cell::new(0), Cell::new(0));
        let put = |used_for: u32, code: i32| {
            attempts.set(0);
            waits.set(0);
            let rename = |new: &Path, path: &Path| {
                attempts.set(attempts.get() + 1);
                if attempts.get() > used_for { fs::rename(new, path) } else { Err(io::Error::from_raw_os_error(code)) }
            };
            places.put_program_by(&top.path().join("own"), rename, |_| waits.set(waits.get() + 1))
        };
        let (denied, missing) = (if cfg!(windows) { 5 } else { 13 }, 2);
        for code in [denied, SHARED] {
            put(3, code).unwrap();
            assert_eq!((attempts.get(), waits.get()), (4, 3));
            assert!(put(u32::MAX, code).unwrap_err().words().contains("still in use after 20 s; end what runs it"));
            assert_eq!(waits.get(), 40);
        }
        assert!(put(1, missing).unwrap_err().words().starts_with("putting the program at "));
        assert_eq!((attempts.get(), waits.get()), (1, 0));
    }

    #[test]
    fn what_somebody_wrote_at_the_machine_is_left_alone() {
        let (_top, places) = machine();
        places.put("policy", Some("version = 1\n")).unwrap();
        places.put("policy", Some("version = 1\n\n")).unwrap();
        let theirs = places.data.join("agent.toml");
        fs::write(&theirs, "version = 1\n").unwrap();
        assert!(matches!(places.put("agent", Some("")), Err(Failure::Failed(_))));
        places.put("agent", None).unwrap();
        places.remove_all().unwrap();
        assert!(theirs.exists() && !places.data.join("policy.toml").exists());
    }

    #[test]
    fn nothing_is_left_but_where_another_version_follows() {
        let (top, places) = machine();
        places.put_program(&top.path().join("own")).unwrap();
        places.put("agent", Some("version = 1\n")).unwrap();
        fs::create_dir_all(places.data.join("state/bundles")).unwrap();
        places.note_follower().unwrap();
        places.note_run(&places.run("ab"), "said").unwrap();
        assert_eq!(fs::read_to_string(places.run("ab")).unwrap(), "said");
        assert!(places.was_followed() && !places.was_followed());
        places.remove_all().unwrap();
        assert!(!places.data.exists() && !places.folder().exists());
        places.remove_all().unwrap();
    }

    #[test]
    fn the_programs_of_a_package_are_not_this_extension_s() {
        let (_top, places) = machine();
        places.refuse_beside_a_package().unwrap();
        fs::create_dir_all(places.packaged.parent().unwrap()).unwrap();
        fs::write(&places.packaged, "").unwrap();
        assert!(matches!(places.refuse_beside_a_package(), Err(Failure::Failed(_))));
    }
}
