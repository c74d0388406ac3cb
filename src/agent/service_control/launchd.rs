//! The service under launchd. It is type-checked only: no test of this project runs it.

use super::log_file::RULES;
use super::manager::ask;
use super::property_list::{self, FILE, LABEL};
use super::{State, conditions, log_file, work};
use crate::agent_file;
use crate::state::StateDirectory;
use crate::stop::Stop;
use std::io;
use std::path::Path;
use std::time::Duration;

const DOMAIN: &str = "system";
const SERVICE: &str = "system/org.netsonde.agent";
/// An agent ends within five seconds, and launchd kills it after twenty.
const UNLOAD_TRIES: u32 = 25;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// # Errors
/// Without root's rights, where the program is not root's alone or would have nothing to do, and where launchd says no.
pub(crate) fn install(program: &Path) -> Result<Vec<String>, Stop> {
    conditions::root()?;
    let text = property_list::text(program)?;
    conditions::nobody_elses(program)?;
    work::demand(&agent_file::path(None), StateDirectory::existing(None).as_ref())?;
    // launchd takes no second service of one label, and goes on with the former's program.
    unload();
    if let Some(folder) = Path::new(RULES).parent() {
        std::fs::create_dir_all(folder).map_err(|error| cannot(RULES, "written", &error))?;
    }
    std::fs::write(RULES, log_file::rules()).map_err(|error| cannot(RULES, "written", &error))?;
    std::fs::write(FILE, text).map_err(|error| cannot(FILE, "written", &error))?;
    ask("launchctl", &["bootstrap", DOMAIN, FILE])?;
    Ok(vec![
        format!("wrote {RULES}"),
        format!("wrote {FILE}"),
        format!("{LABEL} runs, and starts with the system; it writes to {}", property_list::LOG),
    ])
}

/// # Errors
/// Without root's rights, and where launchd says no.
pub(crate) fn uninstall() -> Result<Vec<String>, Stop> {
    if state()?.is_none() {
        return Ok(Vec::new());
    }
    conditions::root()?;
    unload();
    std::fs::remove_file(FILE).map_err(|error| cannot(FILE, "removed", &error))?;
    let mut done = vec![format!("{LABEL} is ended"), format!("removed {FILE}")];
    match std::fs::remove_file(RULES) {
        Ok(()) => done.push(format!("removed {RULES}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(RULES, "removed", &error)),
    }
    Ok(done)
}

fn cannot(path: &str, what: &str, error: &io::Error) -> Stop {
    Stop::usage(format!("{path} cannot be {what}: {error}"))
}

/// # Errors
/// None here.
pub(crate) fn state() -> Result<Option<State>, Stop> {
    if !Path::new(FILE).exists() {
        return Ok(None);
    }
    Ok(Some(property_list::told(ask("launchctl", &["print", SERVICE]).ok().as_deref())))
}

/// Ends the service where it is loaded, and waits for that: launchd may answer before.
fn unload() {
    // It fails where the service is not loaded, and then there is nothing to end.
    let _ = ask("launchctl", &["bootout", SERVICE]);
    for _ in 0..UNLOAD_TRIES {
        if !is_loaded() {
            return;
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
}

fn is_loaded() -> bool {
    ask("launchctl", &["print", SERVICE]).is_ok()
}
