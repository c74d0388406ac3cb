use super::state_option::StateOption;
use crate::audit::{Audit, Entry};
use crate::identity::Home;
use crate::state::{StateDirectory, default_path, path_of_service};
use crate::stop::Stop;
use crate::{exit, terminal};
use clap::Args;
use netsonde_probes::clock::Clock;
use std::path::Path;

#[derive(Args)]
#[command(after_help = "Example:\n  netsonde pause     no order runs until: netsonde resume; what runs for one ends")]
pub(super) struct PauseCommand {
    #[command(flatten)]
    state: StateOption,
}

#[derive(Args)]
#[command(after_help = "Example:\n  netsonde resume")]
pub(super) struct ResumeCommand {
    #[command(flatten)]
    state: StateOption,
}

impl PauseCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        set(&self.state, true)
    }
}

impl ResumeCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        set(&self.state, false)
    }
}

/// The agent looks every second while an order runs, and ends that run; the next orders are refused.
fn set(state: &StateOption, paused: bool) -> Result<u8, Stop> {
    let state = enrolled(state, if paused { "pause" } else { "resume" })?;
    let failed = |error: std::io::Error| Stop::usage(format!("writing to {} failed: {error}", state.path().display()));
    let changed = Home::of(&state).set_paused(paused).map_err(failed)?;
    if changed {
        let what = if paused { "paused" } else { "resumed" };
        Audit::of(&state).append(Entry::new(Clock::start().wall(), what)).map_err(failed)?;
    }
    terminal::say(match (paused, changed) {
        (true, true) => {
            "Orders are paused: one that runs ends within seconds, and every one that comes is refused until `netsonde resume`."
        }
        (true, false) => "Orders were paused already; `netsonde resume` takes them again.",
        (false, true) => "Orders are taken again, as far as the policy lets them.",
        (false, false) => "Orders were not paused.",
    });
    Ok(exit::AS_EXPECTED)
}

/// The state of an agent that takes orders. None is made: a pause in a folder of one's own would stop nothing.
fn enrolled(state: &StateOption, command: &str) -> Result<StateDirectory, Stop> {
    let looked_at = state.path().map(Path::to_owned).or_else(default_path).unwrap_or_default();
    let missing = || not_enrolled(&looked_at, path_of_service().as_deref(), command);
    let state = StateDirectory::existing(state.path()).ok_or_else(missing)?;
    if Home::of(&state).identity()?.is_some() { Ok(state) } else { Err(missing()) }
}

/// That nobody is enrolled in the folder, and where to look instead: a user other than the service's has a state folder of their own.
pub(super) fn not_enrolled(looked_at: &Path, service: Option<&Path>, command: &str) -> Stop {
    let stop = Stop::usage(format!("no agent is enrolled in {}, so nothing was changed", looked_at.display()));
    stop.next(instead(looked_at, service, command).unwrap_or_else(|| {
        "name the state folder of the agent that takes orders with --state-dir DIR; netsonde agent status shows what is enrolled".to_owned()
    }))
}

/// The command that looks at the state of this machine's service, where that is another one, or closed to this user.
pub(super) fn instead(looked_at: &Path, service: Option<&Path>, command: &str) -> Option<String> {
    let service = service?;
    let how = if cfg!(windows) { "as an administrator: " } else { "sudo " };
    if StateDirectory::existing(Some(service)).is_some() && service == looked_at {
        return None;
    }
    Some(format!("the service of this machine has its state in {}: {how}netsonde {command}", service.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        state: StateOption,
    }

    #[test]
    fn a_pause_that_would_stop_nothing_is_refused_and_makes_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        let option = Line::try_parse_from(["x", "--state-dir", own.to_str().unwrap()]).unwrap().state;
        for paused in [true, false] {
            assert!(set(&option, paused).unwrap_err().message.contains("no agent is enrolled in"));
        }
        assert!(!own.exists());
        // One that schedules or runs made, with nobody enrolled.
        let state = StateDirectory::open(Some(&own)).unwrap();
        assert!(set(&option, true).is_err() && !Home::of(&state).is_paused());
    }

    #[test]
    fn whoever_is_not_the_services_user_is_told_where_its_state_is() {
        let service = tempfile::tempdir().unwrap();
        let stop = not_enrolled(Path::new("/home/a/.local/state/netsonde"), Some(service.path()), "pause");
        let next = stop.next.unwrap();
        assert!(next.contains(service.path().to_str().unwrap()) && next.ends_with("netsonde pause"), "{next}");
        // It is there, and closed to this user.
        assert!(instead(service.path(), Some(service.path()), "pause").is_some());
        StateDirectory::open(Some(service.path())).unwrap();
        assert!(instead(service.path(), Some(service.path()), "pause").is_none());
    }
}
