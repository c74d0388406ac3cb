//! The service under the service control manager of Windows.

use super::{NAME, machine_folder};
use crate::platform::{private_data, windows_service as scm};
use crate::stop::Stop;
use std::io;
use std::path::Path;

const DISPLAY: &str = "netsonde agent";
const DESCRIPTION: &str =
    "Measures what agent.toml asks for, and carries out orders of the support organisation as far as policy.toml lets them.";

/// `ERROR_SERVICE_EXISTS` and `ERROR_SERVICE_ALREADY_RUNNING`.
const EXISTS: i32 = 1_073;
const RUNS: i32 = 1_056;

/// # Errors
/// Without an administrator's rights, and where the system says no.
pub(crate) fn install(program: &Path) -> Result<Vec<String>, Stop> {
    let program = program.to_str().filter(|path| !path.contains('"'));
    let program = program.ok_or_else(|| Stop::usage("the path of this program is no text that a service can have"))?;
    let (folder, failed) = (machine_folder(), |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| Stop::usage(format!("{what}: {error}")).next("run the same command as administrator")
    });
    let state = folder.join("state");
    std::fs::create_dir_all(&state).map_err(failed("the folder for its data cannot be made"))?;
    private_data::close_to_others(&folder).map_err(failed("the folder for its data cannot be kept from others"))?;
    // A service's environment may name other folders than that of who installs it.
    let (config, policy) = (folder.join("agent.toml"), folder.join("policy.toml"));
    let files =
        format!("--config \"{}\" --policy \"{}\" --state-dir \"{}\"", config.display(), policy.display(), state.display());
    let line = format!("\"{program}\" agent --service --log-format json {files}");
    // A package of a newer version finds the service of the one before, with the same program and the same settings.
    match scm::install(NAME, DISPLAY, DESCRIPTION, &line) {
        Err(error) if error.raw_os_error() == Some(EXISTS) => {}
        made => made.map_err(failed("the service cannot be made"))?,
    }
    let done = vec![
        format!("made {}, which only the system, administrators and the service may look into", folder.display()),
        format!("{NAME} starts with the system, a while after it, and again after a crash"),
    ];
    let next = "the event log of applications says why it did not start; netsonde service status shows how it is";
    match scm::start(NAME) {
        Err(error) if error.raw_os_error() == Some(RUNS) => {}
        started => started.map_err(|error| Stop::usage(format!("{NAME} does not start: {error}")).next(next))?,
    }
    Ok([done, vec![format!("{NAME} starts")]].concat())
}

/// # Errors
/// Without an administrator's rights, and where the system says no.
pub(crate) fn uninstall() -> Result<Vec<String>, Stop> {
    let failed = |error| Stop::usage(format!("{NAME} cannot be removed: {error}")).next("run the same command as administrator");
    let removed = scm::stop_and_remove(NAME).map_err(failed)?;
    Ok(if removed { vec![format!("{NAME} is ended and removed")] } else { Vec::new() })
}

/// # Errors
/// Where the system says no.
pub(crate) fn state() -> Result<Option<String>, Stop> {
    let state = scm::state(NAME).map_err(|error| Stop::usage(format!("the service cannot be asked after: {error}")))?;
    Ok(state.map(str::to_owned))
}
