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
    /// Says how the service is.
    #[command(after_help = "Example:\n  netsonde service status     exit code 1 where there is none")]
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
            Self::Status => match service_control::state()? {
                Some(state) => {
                    terminal::say(&format!("netsonde: {}: {state}", service_control::NAME));
                    Ok(exit::AS_EXPECTED)
                }
                None => Err(Stop::found("there is no service of netsonde on this machine").next("netsonde service install")),
            },
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

fn say(done: &[String]) {
    for line in done {
        terminal::say(&format!("netsonde: {line}"));
    }
}
