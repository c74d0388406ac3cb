//! All that netsonde leaves on a machine, and its removal.

use super::removal;
use crate::service;
use crate::state::StateDirectory;
use crate::state_names::{Whose, in_configuration, in_state};
use crate::stop::Stop;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A service that was ended is given its time to end in.
const END_TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// Something that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) path: PathBuf,
    pub(crate) what: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A state directory, which may hold things of others.
    State,
    /// The machine's configuration folder, where the administrator may have put more.
    Configuration,
    /// A file, a link, or a folder that is for netsonde alone.
    Whole,
}

/// What there is on this machine.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    /// For who runs this program to remove.
    pub(crate) own: Vec<Trace>,
    /// The machine's, for an administrator to remove.
    pub(crate) machines: Vec<Trace>,
}

/// What is there: configuration, state, and what the system keeps of a service; `state` is where who runs this program keeps theirs.
pub(crate) fn find(state: Option<&Path>, is_administrator: bool) -> Traces {
    let own = state.map(Path::to_owned).into_iter();
    #[cfg(unix)]
    let own = own.chain(persons_state(std::env::var("SUDO_UID").ok().as_deref(), home_of));
    // Whoever is an administrator has measured before without; a link there is no folder that netsonde made.
    #[cfg(windows)]
    let own = own.chain(crate::state::persons_path().filter(|path| !path.is_symlink()));
    find_below(Path::new("/"), own.collect(), is_administrator)
}

fn find_below(root: &Path, own: Vec<PathBuf>, is_administrator: bool) -> Traces {
    let mut traces = Traces::default();
    for path in own {
        // What a link leads to is what was made; `/var/lib/netsonde` is systemd's link to where it keeps a service's state.
        let path = if cfg!(unix) { path.canonicalize().unwrap_or(path) } else { path };
        add(&mut traces.own, Trace { path, what: STATE, kind: Kind::State });
    }
    for found in machines(root) {
        let is_own = traces.own.iter().any(|own| own.path == found.path);
        if !is_own {
            add(if is_administrator { &mut traces.own } else { &mut traces.machines }, found);
        }
    }
    traces
}

/// Where the machine's own may be.
fn machines(root: &Path) -> Vec<Trace> {
    let trace = |path: PathBuf, what, kind| Trace { path, what, kind };
    let mut machines = Vec::new();
    if cfg!(windows) {
        // The first is within the second, which is empty then.
        machines.push(trace(super::machine_folder().join("state"), STATE, Kind::State));
        machines.push(trace(super::machine_folder(), CONFIGURATION, Kind::Configuration));
    } else {
        let link = root.join("var/lib/netsonde");
        let kind = if link.is_symlink() { Kind::Whole } else { Kind::State };
        machines.push(trace(root.join("etc/netsonde"), CONFIGURATION, Kind::Configuration));
        machines.push(trace(link, STATE, kind));
        machines.push(trace(root.join("var/lib/private/netsonde"), "the service's keys, bundles and history", Kind::State));
        machines.push(trace(root.join("etc/systemd/system/netsonde-agent.service.d"), "what systemctl edit made", Kind::Whole));
        machines.push(trace(root.join("etc/cron.d/netsonde"), "what cron runs in a service's place", Kind::Whole));
        machines.push(trace(
            root.join("etc/newsyslog.d/netsonde.conf"),
            "what bounds the service's log under launchd",
            Kind::Whole,
        ));
        // newsyslog keeps one more than it is told to.
        for log in ["netsonde-agent.log", "netsonde-agent.log.0", "netsonde-agent.log.1"] {
            machines.push(trace(root.join("var/log").join(log), "what the service said, under launchd", Kind::Whole));
        }
    }
    machines
}

const STATE: &str = "keys, bundles and history";
const CONFIGURATION: &str = "configuration and policy";

/// Where it is there, and once.
fn add(traces: &mut Vec<Trace>, found: Trace) {
    let is_known = traces.iter().any(|trace| trace.path == found.path);
    if !is_known && found.path.symlink_metadata().is_ok() {
        traces.push(found);
    }
}

impl Trace {
    fn whose(&self) -> Option<fn(&str) -> Whose> {
        match self.kind {
            Kind::State => Some(in_state),
            Kind::Configuration => Some(in_configuration),
            Kind::Whole => None,
        }
    }

    /// What in the folder is not netsonde's, as far as it can be seen.
    pub(crate) fn others(&self) -> Vec<PathBuf> {
        self.whose().and_then(|whose| removal::others(&self.path, whose).ok()).unwrap_or_default()
    }

    /// Removes what is netsonde's, and gives back what was left alone.
    ///
    /// # Errors
    /// The system's own.
    pub(crate) fn remove(&self) -> io::Result<Vec<PathBuf>> {
        let removed = match self.whose() {
            Some(whose) => removal::remove(&self.path, whose),
            None => remove_whole(&self.path).map(|()| Vec::new()),
        };
        // A folder below one that was removed before is gone already.
        removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(Vec::new()) } else { Err(error) })
    }
}

/// An agent at work would go on writing into what is removed.
///
/// # Errors
/// Where one works with one of the state directories; after a service was ended it is waited for, for ten seconds.
pub(crate) fn refuse_at_work(traces: &[Trace], service_ended: bool) -> Result<(), Stop> {
    let states = || traces.iter().filter(|trace| trace.kind == Kind::State);
    let at_work =
        || states().find(|trace| StateDirectory::existing(Some(&trace.path)).is_some_and(|state| service::is_running(&state)));
    for _ in 0..if service_ended { END_TRIES } else { 0 } {
        if at_work().is_none() {
            break;
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    match at_work() {
        None => Ok(()),
        Some(Trace { path, .. }) => Err(Stop::usage(format!(
            "an agent that is no service works with {}; its files and the program are left",
            path.display()
        ))
        .next("end it (Ctrl-C where it was started), and run the same command again")),
    }
}

/// The state folder in the home of the user that sudo was called by: whoever typed it has measured before without.
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

/// A folder with all that is in it, or a link without what it leads to.
fn remove_whole(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
}

/// A package that brought netsonde to this machine; its files are its own to remove.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) program: PathBuf,
    /// The command that removes it.
    pub(crate) removal: String,
}

/// The package that brought this program; on Windows also one that another program beside this one came with.
pub(crate) fn package(program: &Path) -> Option<Package> {
    #[cfg(unix)]
    return (program == Path::new(PACKAGED)).then(|| package_below(Path::new("/"))).flatten();
    #[cfg(windows)]
    {
        let installed = crate::platform::windows_package::installed()?;
        let (own, its) = (program.canonicalize().ok(), installed.program.canonicalize().ok());
        // As this program was started, so that both are the same text where they are the same file.
        let its_program = if own.is_some() && own == its { program.to_owned() } else { installed.program };
        Some(Package { program: its_program, removal: format!("msiexec /x {}", installed.product) })
    }
}

/// Where the packages put the program.
#[cfg(unix)]
const PACKAGED: &str = "/usr/bin/netsonde";

/// Both packages bring the unit at this place, and nobody else puts one there. Which of them it was, the lists tell; a machine with either may have
/// the other's tool as well.
#[cfg(unix)]
fn package_below(root: &Path) -> Option<Package> {
    const DEB: &str = "var/lib/dpkg/info/netsonde.list";
    const UNIT: &str = "usr/lib/systemd/system/netsonde-agent.service";
    let of = |removal: &str| Package { program: PACKAGED.into(), removal: removal.to_owned() };
    if root.join(DEB).exists() {
        return Some(of("apt purge netsonde"));
    }
    // Each system of rpm packages has this one, whichever of dnf, yum and zypper it has beside.
    root.join(UNIT).exists().then(|| of("rpm -e netsonde"))
}

/// Why this program's own file stays, where whoever runs it cannot have it removed.
pub(crate) fn why_program_stays(path: &Path) -> Option<String> {
    const NOT_YOURS: &str = "it is not yours to remove";
    #[cfg(unix)]
    {
        let folder = path.parent().map(|folder| nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK));
        (!matches!(folder, Some(Ok(())))).then(|| NOT_YOURS.to_owned())
    }
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt;
        // What runs is the system's alone to remove, at its next start, and an administrator's alone to have noted there.
        if super::is_administrator() {
            return None;
        }
        let is_own = std::fs::File::options().access_mode(windows_sys::Win32::Storage::FileSystem::DELETE).open(path).is_ok();
        Some(if is_own { format!("it runs now; afterwards: del \"{}\"", path.display()) } else { NOT_YOURS.to_owned() })
    }
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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn put(root: &Path, names: &[&str]) {
        for name in names {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
    }

    fn paths(traces: &[Trace]) -> Vec<&Path> {
        traces.iter().map(|trace| trace.path.as_path()).collect()
    }

    fn remove_all(traces: &[Trace]) -> Vec<PathBuf> {
        traces.iter().flat_map(|trace| trace.remove().unwrap()).collect()
    }

    #[test]
    fn a_persons_removal_leaves_the_machines_configuration_and_policy() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().canonicalize().unwrap();
        put(&root, &["etc/netsonde/policy.toml", "home/user/state/lock", "var/lib/netsonde/lock"]);
        let own = root.join("home/user/state");
        let traces = find_below(&root, vec![own.clone()], false);
        assert_eq!(paths(&traces.own), [own.as_path()]);
        assert_eq!(paths(&traces.machines), [root.join("etc/netsonde"), root.join("var/lib/netsonde")]);
        assert_eq!(remove_all(&traces.own), Vec::<PathBuf>::new());
        assert!(!own.exists() && root.join("etc/netsonde/policy.toml").exists() && root.join("var/lib/netsonde/lock").exists());
    }

    #[test]
    fn an_administrators_removal_takes_the_machines_and_what_systemd_and_launchd_keep_and_no_others_files() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().canonicalize().unwrap();
        put(
            &root,
            &[
                "etc/netsonde/policy.toml",
                "etc/netsonde/otlp-headers",
                "etc/systemd/system/netsonde-agent.service.d/override.conf",
                "etc/systemd/system/other.service.d/override.conf",
                "var/lib/private/netsonde/lock",
                "var/log/netsonde-agent.log",
                "var/log/netsonde-agent.log.0",
                "var/log/netsonde-agent.log.1",
                "var/log/other.log.0",
                "etc/newsyslog.d/netsonde.conf",
                "etc/newsyslog.d/other.conf",
            ],
        );
        let link = root.join("var/lib/netsonde");
        std::os::unix::fs::symlink("private/netsonde", &link).unwrap();
        let traces = find_below(&root, vec![link.clone()], true);
        assert_eq!(paths(&traces.own).iter().filter(|path| path.ends_with("private/netsonde")).count(), 1, "{traces:?}");
        assert_eq!(traces.machines, []);
        assert_eq!(remove_all(&traces.own), [root.join("etc/netsonde/otlp-headers")]);
        assert!(link.symlink_metadata().is_err() && !root.join("var/lib/private/netsonde").exists());
        assert!(!root.join("etc/systemd/system/netsonde-agent.service.d").exists());
        let names = |folder: &str| -> Vec<_> {
            root.join(folder).read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert_eq!((names("var/log"), names("etc/newsyslog.d")), (vec!["other.log.0".to_owned()], vec!["other.conf".to_owned()]));
        assert!(!root.join("etc/netsonde/policy.toml").exists());
        assert!(root.join("etc/systemd/system/other.service.d/override.conf").exists());
    }

    #[test]
    fn what_bounds_the_log_and_each_part_that_it_is_turned_into_are_traces() {
        use super::super::{log_file, property_list::LOG};
        let rules = log_file::rules();
        let count: u32 = rules.lines().last().unwrap().split(' ').nth(3).unwrap().parse().unwrap();
        let mut wanted: Vec<String> = (0..=count).map(|number| format!("{LOG}.{number}")).collect();
        wanted.extend([LOG, log_file::RULES].map(str::to_owned));
        let machines = machines(Path::new("/"));
        for path in wanted {
            assert!(machines.iter().any(|trace| trace.path == Path::new(&path)), "{path}");
        }
    }

    #[test]
    fn nothing_is_removed_under_an_agent_at_work() {
        let top = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(&top.path().join("state"))).unwrap();
        let traces = find_below(top.path(), vec![state.path().to_owned()], false).own;
        let agent = netsonde_disk::open_private(&state.path().join("agent.lock")).unwrap();
        assert_eq!(refuse_at_work(&traces, false), Ok(()));
        agent.try_lock().unwrap();
        let stop = refuse_at_work(&traces, false).unwrap_err();
        assert!(stop.message.contains("works with") && stop.next.is_some(), "{stop:?}");
        drop(agent);
        assert_eq!(refuse_at_work(&traces, true), Ok(()));
    }

    #[test]
    fn a_package_is_known_wherever_its_tool_keeps_its_lists() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str| put(root.path(), &[path]);
        // A program that somebody copied to /usr/bin, on a machine with rpm's lists.
        put("var/lib/rpm/rpmdb.sqlite");
        put("etc/systemd/system/netsonde-agent.service");
        assert_eq!(package_below(root.path()), None);
        put("usr/lib/systemd/system/netsonde-agent.service");
        let removal = || package_below(root.path()).map(|package| package.removal);
        assert_eq!(removal().as_deref(), Some("rpm -e netsonde"));
        put("var/lib/dpkg/info/netsonde.list");
        assert_eq!(removal().as_deref(), Some("apt purge netsonde"));
        assert_eq!(package(Path::new("/home/user/netsonde")), None);
    }

    #[test]
    fn each_place_that_something_is_left_in_stands_on_the_security_teams_page() {
        let page = include_str!("../../../docs/for-your-security-team.md");
        let table = page.split("## What it keeps, and where").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
        let mut places: Vec<String> =
            machines(Path::new("/")).into_iter().map(|trace| trace.path.display().to_string()).collect();
        places.extend(
            [super::super::property_list::FILE, super::super::property_list::LOG, super::super::log_file::RULES]
                .map(str::to_owned),
        );
        #[cfg(target_os = "linux")]
        places.push(super::super::system::UNIT_FILE.to_owned());
        let keys = include_str!("../../../packaging/windows/netsonde.wxs").split("Root=\"HKLM\" Key=\"").skip(1);
        places.extend(keys.filter_map(|rest| rest.split('"').next()).map(|key| format!("HKLM\\{key}")));
        places.extend(["the system's journal", "the event log of applications", "`handler.log`"].map(str::to_owned));
        assert!(places.len() > 10, "{places:?}");
        for place in places {
            assert!(table.contains(&place), "{place}");
        }
    }

    #[test]
    fn sudo_lists_what_the_person_who_typed_it_has() {
        let home = |uid| (uid == 1000).then(|| PathBuf::from("/home/user"));
        assert_eq!(persons_state(Some("1000"), home), Some("/home/user/.local/state/netsonde".into()));
        for uid in [None, Some("0"), Some("1001"), Some("user")] {
            assert_eq!(persons_state(uid, home), None, "{uid:?}");
        }
    }
}
