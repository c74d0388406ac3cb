//! The service under systemd: the unit of the Debian package, with this program's own path.

use super::NAME;
use super::manager::ask;
use crate::stop::Stop;
use std::path::Path;

/// The one text of the unit.
const UNIT: &str = include_str!("../../../packaging/linux/netsonde-agent.service");
const PACKAGED_PROGRAM: &str = "ExecStart=/usr/bin/netsonde ";
pub(super) const UNIT_FILE: &str = "/etc/systemd/system/netsonde-agent.service";
/// Where a package puts its unit.
const PACKAGED_UNITS: [&str; 2] =
    ["/usr/lib/systemd/system/netsonde-agent.service", "/lib/systemd/system/netsonde-agent.service"];
const SYSTEMD: &str = "/run/systemd/system";
/// The unit hides these from the service.
const HIDDEN: [&str; 5] = ["/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"];

/// Writes the unit where no package brought it, and starts the service now and with the system.
///
/// # Errors
/// Without root's rights or systemd, where the program is out of the service's sight, and where systemd says no.
pub(crate) fn install(program: &Path) -> Result<Vec<String>, Stop> {
    ready()?;
    let mut done = Vec::new();
    if !PACKAGED_UNITS.iter().any(|path| Path::new(path).exists()) {
        let text = unit(program)?;
        std::fs::write(UNIT_FILE, text).map_err(|error| Stop::usage(format!("{UNIT_FILE} cannot be written: {error}")))?;
        done.push(format!("wrote {UNIT_FILE}"));
        ask("systemctl", &["daemon-reload"])?;
    }
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
        std::fs::remove_file(UNIT_FILE).map_err(|error| Stop::usage(format!("{UNIT_FILE} cannot be removed: {error}")))?;
        ask("systemctl", &["daemon-reload"])?;
        done.push(format!("removed {UNIT_FILE}"));
    }
    Ok(done)
}

/// In systemd's words; none where there is no such service.
///
/// # Errors
/// None here.
pub(crate) fn state() -> Result<Option<String>, Stop> {
    let units = PACKAGED_UNITS.iter().chain([&UNIT_FILE]);
    if !Path::new(SYSTEMD).exists() || !units.into_iter().any(|path| Path::new(path).exists()) {
        return Ok(None);
    }
    // It prints the state, and fails where that is not `active`.
    let asked = |what: &str| match ask("systemctl", &[what, NAME]) {
        Ok(word) => word,
        Err(stop) => stop.message.rsplit(": ").next().unwrap_or_default().to_owned(),
    };
    Ok(Some(format!("{}, {}", asked("is-active"), asked("is-enabled"))))
}

fn ready() -> Result<(), Stop> {
    if !Path::new(SYSTEMD).exists() {
        return Err(Stop::usage("this system does not run systemd, so that there is nothing to start a service with")
            .next("run `netsonde agent` from what starts services here"));
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(Stop::usage("services are root's to install and to remove").next("run the same command with sudo"));
    }
    Ok(())
}

/// The unit for a program at this path.
fn unit(program: &Path) -> Result<String, Stop> {
    let path = program.to_str().filter(|path| path.starts_with('/')).unwrap_or_default();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    if path.is_empty() || !path.chars().all(plain) || HIDDEN.iter().any(|hidden| path.starts_with(hidden)) {
        return Err(Stop::usage(format!("the service cannot use the program at {}", program.display()))
            .next("sudo install netsonde /usr/local/bin/ && sudo /usr/local/bin/netsonde service install"));
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

    #[test]
    fn a_program_that_the_service_would_not_see_or_that_needs_quotes_is_refused() {
        for path in ["/home/a/netsonde", "/root/netsonde", "/tmp/netsonde", "netsonde", "/opt/a b/netsonde", "/opt/$x/netsonde"] {
            let stop = unit(Path::new(path)).unwrap_err();
            assert!(stop.next.is_some_and(|next| next.contains("/usr/local/bin")), "{path}");
        }
    }
}
