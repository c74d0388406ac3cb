use super::state_option::StateOption;
use crate::service_control::traces::{self, Trace};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, service_control, terminal};
use clap::{Args, Subcommand};

/// This program on this machine.
#[derive(Subcommand)]
pub(super) enum OwnCommand {
    /// Removes netsonde with all that it left: service, keys, bundles, configuration, policy and the program. Lists it first.
    Remove(Box<RemoveCommand>),
}

#[derive(Args)]
#[command(after_help = "Examples:\n  netsonde self remove           lists what there is\n  sudo netsonde self remove --yes")]
pub(super) struct RemoveCommand {
    /// Remove what the list names; without this it is only listed.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    state: StateOption,
}

impl OwnCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let Self::Remove(command) = self;
        command.execute()
    }
}

impl RemoveCommand {
    fn execute(self) -> Result<u8, Stop> {
        let program = super::own_program()?;
        let state = StateDirectory::existing(self.state.path());
        let unsent = state.as_ref().map_or(0, |state| state.spool().count_ready());
        let folders = traces::folders(state.as_ref().map(StateDirectory::path));
        let service = service_control::state()?;
        let package = traces::package(&program);
        if !self.yes {
            terminal::say("netsonde: nothing is removed yet; this is what `netsonde self remove --yes` takes away:");
        }
        list(&folders, service.as_deref(), &program.display().to_string(), package);
        if unsent > 0 {
            terminal::say(&format!("  bundles that are kept and would be lost: {unsent}; netsonde spool list shows them"));
        }
        if !self.yes {
            return Ok(exit::AS_EXPECTED);
        }
        // Before the folders: a service at work would write into them.
        for line in service_control::uninstall()? {
            terminal::say(&format!("netsonde: {line}"));
        }
        for Trace { path, .. } in &folders {
            traces::remove(path).map_err(|error| {
                Stop::usage(format!("{} cannot be removed: {error}", path.display()))
                    .next("run the same command again with an administrator's rights")
            })?;
        }
        match package {
            Some(command) => terminal::say(&format!("netsonde: the program belongs to a package, which stays: {command}")),
            None => {
                let done = traces::remove_program(&program)?;
                terminal::say(&format!("netsonde: {} {done}", program.display()));
            }
        }
        Ok(exit::AS_EXPECTED)
    }
}

fn list(folders: &[Trace], service: Option<&str>, program: &str, package: Option<&str>) {
    if let Some(state) = service {
        terminal::say(&format!("  the service {} ({state})", service_control::NAME));
    }
    for Trace { path, what } in folders {
        terminal::say(&format!("  {} ({what})", path.display()));
    }
    match package {
        Some(command) => terminal::say(&format!("  not {program}, which a package brought: {command}")),
        None => terminal::say(&format!("  {program} (this program)")),
    }
}
