use crate::service_control::State;
use crate::stop::Stop;
use crate::{exit, service_control, terminal};
use clap::Subcommand;

/// The agent as a service.
#[derive(Subcommand)]
pub(super) enum ServiceCommand {
    /// Makes a service of this program, which starts with the system, and starts it: systemd, the service control manager, launchd.
    #[command(after_help = "Example:\n  sudo netsonde service install     as administrator on Windows")]
    Install {
        /// Also where there is nothing to do yet: the service ends at once, in order, and the event log says what to do. The MSI's way.
        #[arg(long, hide = cfg!(not(windows)))]
        even_idle: bool,
    },
    /// Ends the service and removes it. Keys, bundles, configuration and policy stay.
    #[command(after_help = "Example:\n  sudo netsonde service uninstall")]
    Uninstall,
    /// Says how the service is. The exit code is 0 while it runs, 3 where it is there and does not run, and 1 where there is none.
    #[command(after_help = "Example:\n  netsonde service status || sudo netsonde service install")]
    Status,
}

impl ServiceCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        match self {
            Self::Install { even_idle } => {
                say(&install(even_idle)?);
                Ok(exit::AS_EXPECTED)
            }
            Self::Uninstall => {
                let done = service_control::uninstall()?;
                if done.is_empty() {
                    terminal::say("netsonde: there is no service to remove");
                }
                say(&done);
                Ok(exit::AS_EXPECTED)
            }
            Self::Status => status(service_control::state()?.as_ref()),
        }
    }
}

#[cfg(windows)]
fn install(even_idle: bool) -> Result<Vec<String>, Stop> {
    service_control::install(&super::own_program()?, even_idle)
}

#[cfg(not(windows))]
fn install(even_idle: bool) -> Result<Vec<String>, Stop> {
    if even_idle {
        return Err(Stop::usage("--even-idle is for Windows, whose package makes the service").next("netsonde service install"));
    }
    service_control::install(&super::own_program()?)
}

fn status(state: Option<&State>) -> Result<u8, Stop> {
    let Some(state) = state else {
        return Err(Stop::found("there is no service of netsonde on this machine").next("netsonde service install"));
    };
    terminal::say(&format!("netsonde: {}: {}", service_control::NAME, state.words));
    Ok(if state.runs { exit::AS_EXPECTED } else { exit::NOT_RUNNING })
}

fn say(done: &[String]) {
    for line in done {
        terminal::say(&format!("netsonde: {line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_does_not_run_is_neither_one_that_runs_nor_none() {
        let code = |runs| status(Some(&State { runs, words: "failed, enabled".to_owned() })).unwrap();
        assert_eq!((code(true), code(false)), (0, 3));
        assert_eq!(status(None).unwrap_err().exit, 1);
    }
}
