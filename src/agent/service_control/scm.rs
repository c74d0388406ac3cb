//! The service under the service control manager of Windows.

use super::{NAME, State, command_line, machine_folder, work};
use crate::platform::access::{self, Part, Stranger};
use crate::platform::windows_events::Kind;
use crate::platform::windows_service::{self as scm, Removal};
use crate::platform::{private_data, windows_access, windows_events, windows_package};
use crate::state::StateDirectory;
use crate::stop::Stop;
use std::io;
use std::path::Path;

const DISPLAY: &str = "netsonde agent";
const DESCRIPTION: &str =
    "Measures what agent.toml asks for, and carries out orders of the support organisation as far as policy.toml lets them.";

/// `ERROR_SERVICE_EXISTS` and `ERROR_SERVICE_ALREADY_RUNNING`.
const EXISTS: i32 = 1_073;
const RUNS: i32 = 1_056;

/// `even_idle`: also where there is nothing to do yet, as a package leaves the service on a new machine.
///
/// # Errors
/// Without an administrator's rights, where there is nothing to do, beside a service of this name that starts another program, and where the system
/// says no. The event log keeps them: nobody sees what a package's installation prints.
pub(crate) fn install(program: &Path, even_idle: bool) -> Result<Vec<String>, Stop> {
    make_and_start(program, even_idle)
        .inspect_err(|stop| windows_events::write(NAME, Kind::Error, &format!("service install: {}", stop.words())))
}

fn make_and_start(program: &Path, even_idle: bool) -> Result<Vec<String>, Stop> {
    let warning = own_program(program)?;
    let program = program.to_str().filter(|path| !path.contains('"'));
    let program = program.ok_or_else(|| Stop::usage("the path of this program is no text that a service can have"))?;
    let (folder, failed) = (machine_folder(), |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| Stop::usage(format!("{what}: {error}")).next("run the same command as administrator")
    });
    refuse_beside_another(program)?;
    keep_machine_folder()?;
    // A service's environment may name other folders than that of who installs it.
    let (state, config, policy) = (folder.join("state"), folder.join("agent.toml"), folder.join("policy.toml"));
    if !even_idle {
        work::demand(&config, StateDirectory::existing(Some(&state)).as_ref())?;
    }
    std::fs::create_dir_all(&state).map_err(failed("the folder for its data cannot be made"))?;
    let files =
        format!("--config \"{}\" --policy \"{}\" --state-dir \"{}\"", config.display(), policy.display(), state.display());
    let line = format!("\"{program}\" agent --service --log-format json {files}");
    // A package of a newer version finds the service of the one before, with the same program, as was seen above, and the same settings.
    let is_new = match scm::install(NAME, DISPLAY, DESCRIPTION, &line) {
        Err(error) if error.raw_os_error() == Some(EXISTS) => false,
        made => made.map(|()| true).map_err(failed("the service cannot be made"))?,
    };
    let started = windows_events::register(NAME)
        .map_err(failed("the service cannot be made known to the event log"))
        .and_then(|()| start());
    if let Err(stop) = started {
        // Half a service is none. Why it is not there is the first of both errors.
        if is_new {
            let _ = uninstall();
        }
        return Err(stop);
    }
    let mut done: Vec<String> = warning.into_iter().collect();
    done.extend([
        format!("made {}, which only the system, administrators and the service may look into", folder.display()),
        format!("{NAME} starts with the system, a while after it, and again after a crash"),
        format!("{NAME} starts"),
    ]);
    Ok(done)
}

/// A service of this name that starts another program is somebody else's, who is not to be surprised by this one.
fn refuse_beside_another(program: &str) -> Result<(), Stop> {
    let line = scm::command_line(NAME).map_err(|error| {
        Stop::usage(format!("what program the service {NAME} starts cannot be told: {error}"))
            .next("run the same command as administrator")
    })?;
    let Some(line) = line.filter(|line| !command_line::starts(line, program)) else { return Ok(()) };
    let other = command_line::program_of(&line);
    Err(Stop::usage(format!("the service {NAME} is there already and starts {other}, not {program}")).next(format!(
        "as administrator end and remove that one: sc stop {NAME}, then sc delete {NAME}; then run the same command again"
    )))
}

fn start() -> Result<(), Stop> {
    let next = "the event logs of applications and of the system say why it did not start";
    match scm::start(NAME) {
        Err(error) if error.raw_os_error() == Some(RUNS) => Ok(()),
        started => started.map_err(|error| Stop::usage(format!("{NAME} does not start: {error}")).next(next)),
    }
}

/// Whoever may change the program decides what the service does. That is nobody's business but an administrator's.
fn own_program(program: &Path) -> Result<Option<String>, Stop> {
    const NEXT: &str = "as administrator copy this program to \"C:\\Program Files\\netsonde\\netsonde.exe\", and run `service install` with the copy";
    let failed = |error: io::Error| {
        Stop::usage(format!(
            "who may change {} cannot be told: {error}; a drive without access lists is no place for a service",
            program.display()
        ))
        .next(NEXT)
    };
    let way = windows_access::way_to(program, Part::ProgramFolder).map_err(failed)?;
    let me = windows_access::me().map_err(failed)?;
    if let Some(stranger) = access::stranger(&way, &[&me]) {
        return Err(Stop::usage(format!("no service is made of this program: {stranger}")).next(NEXT));
    }
    let own = access::own_hand(&way, &me);
    Ok(own.map(|path| format!("warning: each program that you start may change {}, without asking: {NEXT}", path.display())))
}

/// Makes the folder for data, or takes the one that is there.
///
/// # Errors
/// Where somebody else had a hand in it, and where the system says no.
pub(crate) fn keep_machine_folder() -> Result<(), Stop> {
    let folder = machine_folder();
    private_data::keep_machine_folder().map_err(|error| {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Stranger>()) {
            Some(stranger) => {
                Stop::usage(format!("{} is not trusted: {stranger}", folder.display())).next(access::way_out(&folder, stranger))
            }
            None => Stop::disk(format!("{} cannot be made, or kept from others: {error}", folder.display()), &error)
                .next("run the same command as administrator"),
        }
    })
}

/// The event log forgets the service, unless a package made it known, which takes that away itself.
///
/// # Errors
/// Without an administrator's rights, where the service does not end, and where the system says no.
pub(crate) fn uninstall() -> Result<Vec<String>, Stop> {
    let failed = |error| Stop::usage(format!("{NAME} cannot be removed: {error}")).next("run the same command as administrator");
    let removal = scm::stop_and_remove(NAME).map_err(failed)?;
    if matches!(removal, Removal::StillRuns) {
        return Err(Stop::usage(format!(
            "{NAME} was told to end and still runs after {} s; it is not removed",
            scm::PATIENCE.as_secs()
        ))
        .next(format!("as administrator: taskkill /f /fi \"services eq {NAME}\"; then run the same command again")));
    }
    if windows_package::installed().is_none() {
        windows_events::forget(NAME).map_err(failed)?;
    }
    Ok(if matches!(removal, Removal::Removed) { vec![format!("{NAME} is ended and removed")] } else { Vec::new() })
}

/// # Errors
/// Where the system says no.
pub(crate) fn state() -> Result<Option<State>, Stop> {
    let state = scm::state(NAME).map_err(|error| Stop::usage(format!("the service cannot be asked after: {error}")))?;
    Ok(state.map(|word| State { runs: word == scm::RUNNING, words: word.to_owned() }))
}
