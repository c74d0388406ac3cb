use super::state_option::StateOption;
use crate::service_control::removal::named;
use crate::service_control::traces::{self, Trace, Traces};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, service_control, terminal};
use clap::{Args, Subcommand};

/// This program on this machine.
#[derive(Subcommand)]
pub(super) enum OwnCommand {
    /// Removes netsonde with all that it left: service, keys, bundles, configuration, policy and the program. Lists it first. Without an administrator's
    /// rights what is the machine's stays, and so do files of others in the same folders.
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

/// What becomes of the program's own file.
enum Program {
    Goes,
    /// It belongs to a package, which this command removes.
    Packaged(&'static str),
    /// Who runs it may not remove it.
    Stays,
}

impl RemoveCommand {
    fn execute(self) -> Result<u8, Stop> {
        let program = super::own_program()?;
        let state = StateDirectory::existing(self.state.path());
        let unsent = state.as_ref().map_or(0, |state| state.spool().count_ready());
        let is_administrator = service_control::is_administrator();
        let found = traces::find(state.as_ref().map(StateDirectory::path), is_administrator);
        let service = service_control::state()?;
        let fate = match traces::package(&program) {
            Some(command) => Program::Packaged(command),
            None if traces::may_remove_program(&program) => Program::Goes,
            None => Program::Stays,
        };
        if !self.yes {
            terminal::say("netsonde: nothing is removed yet; this is what `netsonde self remove --yes` takes away:");
        }
        list(&found, service.as_deref(), is_administrator, &program.display().to_string(), &fate);
        if unsent > 0 {
            terminal::say(&format!("  bundles that are kept and would be lost: {unsent}; netsonde spool list shows them"));
        }
        if !self.yes {
            return Ok(exit::AS_EXPECTED);
        }
        // Before the folders: a service at work would write into them.
        let ended = if is_administrator { service_control::uninstall()? } else { Vec::new() };
        for line in &ended {
            terminal::say(&format!("netsonde: {line}"));
        }
        traces::refuse_at_work(&found.own, !ended.is_empty())?;
        for trace in &found.own {
            let left = trace.remove().map_err(|error| {
                Stop::usage(format!("{} cannot be removed: {error}", trace.path.display()))
                    .next("see whose what is in it is (ls -lR), and run the same command again")
            })?;
            if !left.is_empty() {
                terminal::say(&format!("netsonde: left alone: {}", named(&left)));
            }
        }
        match fate {
            Program::Packaged(command) => {
                terminal::say(&format!("netsonde: the program belongs to a package, which stays: {command}"));
            }
            Program::Stays => terminal::say(&format!("netsonde: {} stays: it is not yours to remove", program.display())),
            Program::Goes => {
                let done = traces::remove_program(&program)?;
                terminal::say(&format!("netsonde: {} {done}", program.display()));
            }
        }
        Ok(exit::AS_EXPECTED)
    }
}

fn list(found: &Traces, service: Option<&str>, is_administrator: bool, program: &str, fate: &Program) {
    const MACHINES: &str = "left alone: it is the machine's, for an administrator";
    let service = service.map(|state| format!("the service {} ({state})", service_control::NAME));
    if let Some(service) = service.as_ref().filter(|_| is_administrator) {
        terminal::say(&format!("  {service}"));
    }
    for trace @ Trace { path, what, .. } in &found.own {
        terminal::say(&format!("  {} ({what})", path.display()));
        let others = trace.others();
        if !others.is_empty() {
            terminal::say(&format!("    but not what is not netsonde's: {}", named(&others)));
        }
    }
    match fate {
        Program::Goes => terminal::say(&format!("  {program} (this program)")),
        Program::Packaged(command) => terminal::say(&format!("  not {program}, which a package brought: {command}")),
        Program::Stays => terminal::say(&format!("  not {program}, this program, which is not yours to remove")),
    }
    if let Some(service) = service.filter(|_| !is_administrator) {
        terminal::say(&format!("  not {service}, {MACHINES}"));
    }
    for Trace { path, what, .. } in &found.machines {
        terminal::say(&format!("  not {} ({what}), {MACHINES}", path.display()));
    }
}
