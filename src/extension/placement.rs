use crate::Failure;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What begins each file that this handler wrote, and that it therefore may replace and take away.
const MARK: &str = "# Written by netsonde's VM extension; its settings replace what is changed here.\n";

/// The files of the settings, by the names of their keys.
pub(crate) const FILES: [&str; 2] = ["policy", "agent"];

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
        let folder = |name: &str, usual: &str| {
            env::var_os(name).filter(|folder| !folder.is_empty()).map_or_else(|| PathBuf::from(usual), PathBuf::from)
        };
        Self::below(&folder("ProgramFiles", r"C:\Program Files"), &folder("ProgramData", r"C:\ProgramData"))
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
        Err(Failure::Unusable(
            "netsonde is installed here by a package, whose service this extension leaves alone; remove the package or the extension"
                .to_owned(),
        ))
    }

    /// Copies the program of the handler's package; half a copy is never at its place.
    pub(crate) fn put_program(&self, own: &Path) -> Result<(), Failure> {
        let put = || {
            let new = self.program.with_extension("new");
            fs::create_dir_all(self.folder())?;
            fs::copy(own.join("bin").join("netsonde.exe"), &new)?;
            fs::rename(&new, &self.program)
        };
        put().map_err(Failure::of(format!("putting the program at {}", self.program.display())))
    }

    /// Puts the files of the settings into place and takes those away that are no longer asked for.
    ///
    /// # Errors
    /// Where somebody at the machine wrote one.
    pub(crate) fn put(&self, name: &str, text: Option<&str>) -> Result<(), Failure> {
        let path = self.data.join(name).with_extension("toml");
        let Some(text) = text else { return self.take_away(&path) };
        if path.exists() && !is_ours(&path) {
            return Err(Failure::Unusable(format!(
                "{} was written at the machine; the extension leaves it alone",
                path.display()
            )));
        }
        let new = path.with_extension("new");
        fs::create_dir_all(&self.data)
            .and_then(|()| fs::write(&new, format!("{MARK}{text}")))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(Failure::of(format!("writing {}", path.display())))
    }

    /// Says that another version of this handler takes over, so that the one before it, when it is uninstalled, leaves what was learnt.
    pub(crate) fn note_follower(&self, version: &str) -> Result<(), Failure> {
        fs::write(self.follower(), version).map_err(Failure::of("noting that another version follows"))
    }

    /// Whether another version than this one has taken over. What says so is gone afterwards.
    pub(crate) fn is_followed(&self, version: &str) -> bool {
        let followed = fs::read_to_string(self.follower()).is_ok_and(|by| by.trim() != version);
        if followed {
            let _ = fs::remove_file(self.follower());
        }
        followed
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

    /// Everything that the extension brought or that netsonde learnt. What was written at the machine stays.
    pub(crate) fn remove_all(&self) -> Result<(), Failure> {
        for name in FILES {
            self.take_away(&self.data.join(name).with_extension("toml"))?;
        }
        for folder in [self.data.join("state"), self.folder().to_owned()] {
            gone(fs::remove_dir_all(&folder)).map_err(Failure::of(format!("removing {}", folder.display())))?;
        }
        // Only where nothing is left in it.
        let _ = fs::remove_dir(&self.data);
        Ok(())
    }

    fn take_away(&self, path: &Path) -> Result<(), Failure> {
        if !is_ours(path) {
            return Ok(());
        }
        gone(fs::remove_file(path)).map_err(Failure::of(format!("removing {}", path.display())))
    }

    fn folder(&self) -> &Path {
        self.program.parent().unwrap_or(&self.program)
    }

    fn follower(&self) -> PathBuf {
        self.folder().join("followed-by")
    }
}

fn is_ours(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.starts_with(MARK))
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> (tempfile::TempDir, Places) {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir_all(top.path().join("own/bin")).unwrap();
        fs::write(top.path().join("own/bin/netsonde.exe"), "program").unwrap();
        let places = Places::below(&top.path().join("programs"), &top.path().join("data"));
        (top, places)
    }

    #[test]
    fn what_somebody_wrote_at_the_machine_is_left_alone() {
        let (_top, places) = machine();
        places.put("policy", Some("version = 1\n")).unwrap();
        places.put("policy", Some("version = 1\n\n")).unwrap();
        let theirs = places.data.join("agent.toml");
        fs::write(&theirs, "version = 1\n").unwrap();
        assert!(matches!(places.put("agent", Some("")), Err(Failure::Unusable(_))));
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
        places.note_follower("0.2.0").unwrap();
        places.note_run(&places.run("ab"), "said").unwrap();
        assert_eq!(fs::read_to_string(places.run("ab")).unwrap(), "said");
        assert!(!places.is_followed("0.2.0"), "a version does not follow itself");
        assert!(places.is_followed("0.1.0") && !places.is_followed("0.1.0"));
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
        assert!(matches!(places.refuse_beside_a_package(), Err(Failure::Unusable(_))));
    }
}
