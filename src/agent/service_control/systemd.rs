//! The service under systemd: the unit of the Debian package, with this program's own path.

use super::manager::ask;
use super::{NAME, State, conditions, work};
use crate::agent_file;
use crate::state::StateDirectory;
use crate::stop::Stop;
use std::fs;
use std::path::{Path, PathBuf};

/// The one text of the unit.
const UNIT: &str = include_str!("../../../packaging/linux/netsonde-agent.service");
const PACKAGED_PROGRAM: &str = "ExecStart=/usr/bin/netsonde ";
pub(super) const UNIT_FILE: &str = "/etc/systemd/system/netsonde-agent.service";
/// Where a package puts its unit.
const PACKAGED_UNITS: [&str; 2] =
    ["/usr/lib/systemd/system/netsonde-agent.service", "/lib/systemd/system/netsonde-agent.service"];
/// The first version that knows the unit's `@system-service`; older ones would let the service call nothing, or anything.
const OLDEST: u32 = 239;
const SYSTEMD: &str = "/run/systemd/system";
/// The unit hides these from the service.
const HIDDEN: [&str; 5] = ["/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"];

/// Writes the unit where no package brought it, and starts the service now and with the system.
///
/// # Errors
/// Without root's rights or a systemd that is new enough, where the program is out of the service's sight, not root's alone, or would have nothing
/// to do, where the service would start another program, and where systemd says no. Nothing is written before all but the last is looked at.
pub(crate) fn install(program: &Path) -> Result<Vec<String>, Stop> {
    ready()?;
    new_enough(&ask("systemctl", &["--version"])?, program)?;
    let text = unit(program)?;
    conditions::nobody_elses(program)?;
    work::demand(&agent_file::path(None), StateDirectory::existing(None).as_ref())?;
    let packaged = PACKAGED_UNITS.iter().find_map(|path| fs::read_to_string(path).ok());
    let mut done = place(Path::new(UNIT_FILE), packaged.as_deref(), program, &text)?;
    ask("systemctl", &["daemon-reload"])?;
    ask("systemctl", &["enable", NAME])?;
    done.push(format!("{NAME} starts with the system"));
    ask("systemctl", &["restart", NAME]).map_err(|stop| stop.next(format!("journalctl -u {NAME} says why it did not start")))?;
    done.push(format!("{NAME} runs"));
    Ok(done)
}

/// Ends the service, and removes the unit that `install` wrote. A package's own unit stays with its package.
///
/// # Errors
/// Without root's rights or systemd, and where systemd says no.
pub(crate) fn uninstall() -> Result<Vec<String>, Stop> {
    if state()?.is_none() {
        return Ok(Vec::new());
    }
    ready()?;
    ask("systemctl", &["disable", "--now", NAME])?;
    let mut done = vec![format!("{NAME} is ended, and does not start any more")];
    if Path::new(UNIT_FILE).exists() {
        fs::remove_file(UNIT_FILE).map_err(|error| Stop::usage(format!("{UNIT_FILE} cannot be removed: {error}")))?;
        ask("systemctl", &["daemon-reload"])?;
        done.push(format!("removed {UNIT_FILE}"));
    }
    Ok(done)
}

/// In systemd's words; none where there is no such service.
///
/// # Errors
/// None here.
pub(crate) fn state() -> Result<Option<State>, Stop> {
    let units = PACKAGED_UNITS.iter().chain([&UNIT_FILE]);
    if !Path::new(SYSTEMD).exists() || !units.into_iter().any(|path| Path::new(path).exists()) {
        return Ok(None);
    }
    // It prints the state, and fails where that is not `active`.
    let asked = |what: &str| match ask("systemctl", &[what, NAME]) {
        Ok(word) => word,
        Err(stop) => stop.message.rsplit(": ").next().unwrap_or_default().to_owned(),
    };
    Ok(Some(told(&asked("is-active"), &asked("is-enabled"))))
}

/// From the words of `systemctl is-active` and `is-enabled`: what reads its files anew is at work meanwhile.
fn told(active: &str, enabled: &str) -> State {
    State { runs: matches!(active, "active" | "reloading"), words: format!("{active}, {enabled}") }
}

fn ready() -> Result<(), Stop> {
    if !Path::new(SYSTEMD).exists() {
        return Err(Stop::usage("this system does not run systemd, so that there is nothing to start a service with")
            .next("run `netsonde agent` from what starts services here"));
    }
    conditions::root()
}

/// `said` is what `systemctl --version` prints; words that nobody knows refuse nothing.
fn new_enough(said: &str, program: &Path) -> Result<(), Stop> {
    let number = said.strip_prefix("systemd ").unwrap_or_default();
    let digits = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
    match number.get(..digits).and_then(|number| number.parse::<u32>().ok()) {
        Some(version) if version < OLDEST => {
            let program = program.display();
            Err(Stop::usage(format!("systemd {version} is here, and the service needs systemd {OLDEST} or newer"))
                .next(format!("in its place, in /etc/cron.d/netsonde: * * * * * root {program} schedule run --due")))
        }
        _ => Ok(()),
    }
}

/// Sees to it that the unit which counts starts this program, and says what was done for that. A unit in `/etc`, at `own`, hides the package's.
fn place(own: &Path, packaged: Option<&str>, program: &Path, text: &str) -> Result<Vec<String>, Stop> {
    let failed = |what: &str, error: std::io::Error| Stop::usage(format!("{} cannot be {what}: {error}", own.display()));
    let before = fs::read_to_string(own).ok().and_then(|text| started(&text)).filter(|before| before != program);
    let Some(packaged) = packaged else {
        fs::write(own, text).map_err(|error| failed("written", error))?;
        let before = before.map_or_else(String::new, |before| format!(", which started {} before", before.display()));
        return Ok(vec![format!("wrote {}{before}", own.display())]);
    };
    let its = started(packaged).unwrap_or_default();
    if its != program {
        return Err(Stop::usage(format!(
            "a package brought the service, which starts {} and not {}",
            its.display(),
            program.display()
        ))
        .next(format!("sudo {} service install; or remove the package first", its.display())));
    }
    let Some(before) = before else { return Ok(Vec::new()) };
    fs::remove_file(own).map_err(|error| failed("removed", error))?;
    Ok(vec![format!("removed {}, which hid the package's unit and started {}", own.display(), before.display())])
}

/// The program that a unit starts: the last one counts.
fn started(unit: &str) -> Option<PathBuf> {
    let mut lines = unit.lines().filter_map(|line| line.strip_prefix("ExecStart="));
    let line = lines.next_back()?.trim_start_matches(['@', '-', ':', '+', '!']);
    line.split_whitespace().next().map(PathBuf::from)
}

/// The unit for a program at this path.
fn unit(program: &Path) -> Result<String, Stop> {
    let path = program.to_str().filter(|path| path.starts_with('/')).unwrap_or_default();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    if path.is_empty() || !path.chars().all(plain) || HIDDEN.iter().any(|hidden| path.starts_with(hidden)) {
        return Err(Stop::usage(format!("the service cannot use the program at {}", program.display()))
            .next(conditions::elsewhere(program)));
    }
    Ok(UNIT.replace(PACKAGED_PROGRAM, &format!("ExecStart={path} ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_packages_with_another_programs_path() {
        let text = unit(Path::new("/usr/local/bin/netsonde")).unwrap();
        assert!(text.contains("\nExecStart=/usr/local/bin/netsonde agent --log-format json"), "{text}");
        assert_eq!(unit(Path::new("/usr/bin/netsonde")).unwrap(), UNIT);
    }

    /// `${STATE_DIRECTORY}` came with systemd 240, and the unit is for older ones too.
    #[test]
    fn the_unit_names_its_state_folder_itself() {
        let folder = UNIT.lines().find_map(|line| line.strip_prefix("StateDirectory=")).unwrap();
        assert!(UNIT.contains(&format!("--state-dir /var/lib/{folder}\n")) && !UNIT.contains("${"), "{UNIT}");
    }

    #[test]
    fn a_systemd_that_is_too_old_for_the_unit_is_refused_with_what_to_do_in_its_place() {
        let program = Path::new("/usr/local/bin/netsonde");
        for (said, version) in [("systemd 237\n+PAM +AUDIT", "237"), ("systemd 219", "219")] {
            let stop = new_enough(said, program).unwrap_err();
            assert!(stop.message.contains(version) && stop.message.contains("239"), "{stop:?}");
            assert!(stop.next.is_some_and(|next| next.contains("/usr/local/bin/netsonde schedule run --due")));
        }
        for said in ["systemd 239 (239-82.el8)\n+PAM", "systemd 252.5-2", "systemd 257~rc1", "something else", ""] {
            assert_eq!(new_enough(said, program), Ok(()), "{said}");
        }
    }

    #[test]
    fn each_way_to_the_service_asks_for_the_same_systemd() {
        let deb = include_str!("../../../packaging/deb/postinst");
        let rpm = include_str!("../../../packaging/rpm/netsonde.spec");
        let extension = include_str!("../../../packaging/extension/linux/bin/handler.py");
        assert!(extension.contains(&format!("\nOLDEST_SYSTEMD = {OLDEST}\n")));
        for package in [deb, rpm] {
            for words in [format!("-lt {OLDEST} ]"), format!("needs systemd {OLDEST} or newer")] {
                assert_eq!(package.matches(&words).count(), 1, "{words}");
            }
        }
    }

    #[test]
    fn a_service_runs_where_systemd_calls_it_active_whether_or_not_it_is_enabled() {
        for (active, enabled, runs) in [
            ("active", "enabled", true),
            ("active", "disabled", true),
            ("reloading", "enabled", true),
            ("inactive", "enabled", false),
            ("failed", "enabled", false),
            ("activating", "enabled", false),
            ("deactivating", "disabled", false),
            ("", "", false),
        ] {
            assert_eq!(told(active, enabled), State { runs, words: format!("{active}, {enabled}") });
        }
    }

    #[test]
    fn the_unit_that_counts_starts_the_program_that_installs_it() {
        let folder = tempfile::tempdir().unwrap();
        let (own, local, packages) =
            (folder.path().join("unit"), Path::new("/usr/local/bin/netsonde"), Path::new("/usr/bin/netsonde"));
        let text = unit(local).unwrap();
        let said =
            |packaged: Option<&str>, program| place(&own, packaged, program, &unit(program).unwrap()).map(|done| done.join("\n"));
        // Without a package, the program that is there now takes the place of the one before.
        fs::write(&own, UNIT).unwrap();
        let done = said(None, local).unwrap();
        assert!(done.contains("wrote") && done.contains("started /usr/bin/netsonde before"), "{done}");
        assert_eq!(fs::read_to_string(&own).unwrap(), text);
        assert!(!said(None, local).unwrap().contains("before"));
        // Beside a package's, another program's unit hides it, and the package's program takes that away.
        let done = said(Some(UNIT), packages).unwrap();
        assert!(done.contains("removed") && done.contains("started /usr/local/bin/netsonde") && !own.exists(), "{done}");
        assert_eq!(said(Some(UNIT), packages).unwrap(), "");
        // What an administrator changed of the package's own unit stays.
        let edited = format!("{UNIT}Nice=5\n");
        fs::write(&own, &edited).unwrap();
        assert_eq!(said(Some(UNIT), packages).unwrap(), "");
        assert_eq!(fs::read_to_string(&own).unwrap(), edited);
        // Another program cannot have what the package's service starts.
        let stop = said(Some(UNIT), local).unwrap_err();
        assert!(stop.message.contains("/usr/bin/netsonde and not /usr/local/bin/netsonde"), "{stop:?}");
    }

    #[test]
    fn a_program_that_the_service_would_not_see_or_that_needs_quotes_is_refused() {
        for path in ["/home/a/netsonde", "/root/netsonde", "/tmp/netsonde", "netsonde", "/opt/a b/netsonde", "/opt/$x/netsonde"] {
            let stop = unit(Path::new(path)).unwrap_err();
            assert!(stop.next.is_some_and(|next| next.contains("/usr/local/bin")), "{path}");
        }
    }
}
