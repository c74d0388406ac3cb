//! All that netsonde leaves on a machine, and its removal.

use crate::stop::Stop;
use std::io;
use std::path::{Path, PathBuf};

/// Something that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) path: PathBuf,
    pub(crate) what: &'static str,
}

/// The folders that are there: configuration, state, and what systemd keeps of a service with a user of its own.
pub(crate) fn folders(state: Option<&Path>) -> Vec<Trace> {
    let mut all: Vec<(PathBuf, &'static str)> = Vec::new();
    all.extend(state.map(|path| (path.to_owned(), "keys, bundles and history")));
    if cfg!(windows) {
        all.push((super::machine_folder(), "configuration, policy, keys, bundles and history"));
    } else {
        all.push(("/etc/netsonde".into(), "configuration and policy"));
        all.push(("/var/lib/netsonde".into(), "keys, bundles and history"));
        all.push(("/var/lib/private/netsonde".into(), "the service's keys, bundles and history"));
    }
    #[cfg(unix)]
    all.extend(persons_state(std::env::var("SUDO_UID").ok().as_deref(), home_of).map(|path| (path, PERSONS)));
    let mut found: Vec<Trace> = Vec::new();
    for (path, what) in all {
        let known = found.iter().any(|trace| trace.path == path);
        if !known && path.symlink_metadata().is_ok() {
            found.push(Trace { path, what });
        }
    }
    found
}

/// What `sudo` would pass over: whoever typed it has measured before without.
#[cfg(unix)]
const PERSONS: &str = "your keys, bundles and history";

/// The state folder in the home of the user that sudo was called by.
#[cfg(unix)]
fn persons_state(sudo_uid: Option<&str>, home_of: impl FnOnce(u32) -> Option<PathBuf>) -> Option<PathBuf> {
    let uid = sudo_uid?.parse().ok().filter(|uid| *uid != 0)?;
    Some(home_of(uid)?.join(".local/state/netsonde"))
}

#[cfg(unix)]
fn home_of(uid: u32) -> Option<PathBuf> {
    let is_root = nix::unistd::geteuid().is_root();
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    user.filter(|_| is_root).map(|user| user.dir)
}

/// Removes a folder with all that is in it, or a link without what it leads to.
///
/// # Errors
/// The system's own.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        // A folder below one that was removed before is gone already.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
    }
}

/// Who brought this program, where a package did: its files are the package's to remove.
pub(crate) fn package(program: &Path) -> Option<&'static str> {
    (program == Path::new("/usr/bin/netsonde")).then(|| package_below(Path::new("/"))).flatten()
}

/// Both packages bring the unit at this place, and nobody else puts one there. Which of them it was, the lists tell; a machine with either may have
/// the other's tool as well.
fn package_below(root: &Path) -> Option<&'static str> {
    const DEB: &str = "var/lib/dpkg/info/netsonde.list";
    const UNIT: &str = "usr/lib/systemd/system/netsonde-agent.service";
    if root.join(DEB).exists() {
        return Some("apt purge netsonde");
    }
    root.join(UNIT).exists().then_some("dnf remove netsonde")
}

/// Removes this program's own file.
///
/// # Errors
/// The system's own.
pub(crate) fn remove_program(path: &Path) -> Result<&'static str, Stop> {
    let failed = |error: io::Error| Stop::usage(format!("this program, {}, cannot be removed: {error}", path.display()));
    #[cfg(windows)]
    {
        crate::platform::windows_service::remove_at_next_start(path).map_err(failed)?;
        Ok("is removed when Windows starts the next time")
    }
    #[cfg(not(windows))]
    {
        std::fs::remove_file(path).map_err(failed)?;
        Ok("is removed")
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_removed_without_what_it_leads_to_and_a_folder_with_all_of_it() {
        let top = tempfile::tempdir().unwrap();
        let (kept, link, deep) = (top.path().join("kept"), top.path().join("link"), top.path().join("deep"));
        std::fs::write(&kept, "kept").unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        std::fs::create_dir_all(deep.join("er")).unwrap();
        for path in [&link, &deep, &deep.join("er")] {
            remove(path).unwrap();
        }
        assert!(kept.exists() && link.symlink_metadata().is_err() && !deep.exists());
    }

    #[test]
    fn a_package_is_known_wherever_its_tool_keeps_its_lists() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        // A program that somebody copied to /usr/bin, on a machine with rpm's lists.
        put("var/lib/rpm/rpmdb.sqlite");
        put("etc/systemd/system/netsonde-agent.service");
        assert_eq!(package_below(root.path()), None);
        put("usr/lib/systemd/system/netsonde-agent.service");
        assert_eq!(package_below(root.path()), Some("dnf remove netsonde"));
        put("var/lib/dpkg/info/netsonde.list");
        assert_eq!(package_below(root.path()), Some("apt purge netsonde"));
        assert_eq!(package(Path::new("/home/user/netsonde")), None);
    }

    #[test]
    fn sudo_lists_what_the_person_who_typed_it_has() {
        let home = |uid| (uid == 1000).then(|| PathBuf::from("/home/user"));
        assert_eq!(persons_state(Some("1000"), home), Some("/home/user/.local/state/netsonde".into()));
        for uid in [None, Some("0"), Some("1001"), Some("user")] {
            assert_eq!(persons_state(uid, home), None, "{uid:?}");
        }
    }

    #[test]
    fn what_is_there_is_listed_once() {
        let state = tempfile::tempdir().unwrap();
        let found = folders(Some(state.path()));
        assert_eq!(found.iter().filter(|trace| trace.path == state.path()).count(), 1);
        assert!(folders(Some(&state.path().join("absent"))).iter().all(|trace| !trace.path.ends_with("absent")));
    }
}
