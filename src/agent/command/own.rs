use super::state_option::StateOption;
use crate::service_control::removal::named;
use crate::service_control::traces::{self, Package, Trace, Traces};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, service_control, terminal};
use clap::{Args, Subcommand};

/// This program on this machine.
#[derive(Subcommand)]
pub(super) enum OwnCommand {
    /// Removes netsonde with all that it left: service, keys, bundles, configuration, policy and the program. Lists it first. Without an administrator's
    /// rights what is the machine's stays, and so do files of others in the same folders. What a package brought is the package's to remove.
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
    Packaged(String),
    /// For this reason.
    Stays(String),
}

/// Why what is the machine's stays.
enum Machines {
    Go,
    NotAdministrator,
    /// Another program than this one came with a package, and the service with it.
    Packaged(Package),
}

impl RemoveCommand {
    fn execute(self) -> Result<u8, Stop> {
        let program = super::own_program()?;
        let (packaged, beside) = match traces::package(&program) {
            Some(package) if package.program == program => (Some(package), None),
            other => (None, other),
        };
        let fate = match (packaged, traces::why_program_stays(&program)) {
            (Some(package), _) => Program::Packaged(package.removal),
            (None, Some(why)) => Program::Stays(why),
            (None, None) => Program::Goes,
        };
        let machines = match beside {
            Some(package) => Machines::Packaged(package),
            None if service_control::is_administrator() => Machines::Go,
            None => Machines::NotAdministrator,
        };
        let all = matches!(machines, Machines::Go);
        // On Windows an administrator's own is the machine's.
        let is_packages = |state: &StateDirectory| {
            matches!(machines, Machines::Packaged(_)) && state.path().starts_with(service_control::machine_folder())
        };
        let state = StateDirectory::existing(self.state.path()).filter(|state| !is_packages(state));
        let unsent = state.as_ref().map_or(0, |state| state.spool().count_ready());
        let found = traces::find(state.as_ref().map(StateDirectory::path), all);
        let service = service_control::state()?.map(|state| state.words);
        if !self.yes {
            terminal::say("netsonde: nothing is removed yet; this is what `netsonde self remove --yes` takes away:");
        }
        list(&found, service.as_deref(), &machines, &program.display().to_string(), &fate);
        if unsent > 0 {
            terminal::say(&format!("  bundles that are kept and would be lost: {unsent}; netsonde spool list shows them"));
        }
        if !self.yes {
            return Ok(exit::AS_EXPECTED);
        }
        // Before the folders: a service at work would write into them.
        let ended = if all { service_control::uninstall()? } else { Vec::new() };
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
            Program::Stays(why) => terminal::say(&format!("netsonde: {} stays: {why}", program.display())),
            Program::Goes => {
                let done = traces::remove_program(&program)?;
                terminal::say(&format!("netsonde: {} {done}", program.display()));
            }
        }
        Ok(exit::AS_EXPECTED)
    }
}

fn list(found: &Traces, service: Option<&str>, machines: &Machines, program: &str, fate: &Program) {
    let left = match machines {
        Machines::Go => None,
        Machines::NotAdministrator => Some("left alone: it is the machine's, for an administrator"),
        Machines::Packaged(_) => Some("left alone: it goes with the package's program"),
    };
    let service = service.map(|state| format!("the service {} ({state})", service_control::NAME));
    if let Some(service) = service.as_ref().filter(|_| left.is_none()) {
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
        Program::Stays(why) => terminal::say(&format!("  not {program}, this program: {why}")),
    }
    if let Some(left) = left {
        if let Some(service) = service {
            terminal::say(&format!("  not {service}, {left}"));
        }
        for Trace { path, what, .. } in &found.machines {
            terminal::say(&format!("  not {} ({what}), {left}", path.display()));
        }
    }
    if let Machines::Packaged(Package { program, removal }) = machines {
        let program = program.display();
        terminal::say(&format!(
            "  not {program}, which a package brought; as administrator: \"{program}\" self remove --yes; then {removal}"
        ));
    }
}
