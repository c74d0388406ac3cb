use super::state_option::StateOption;
use crate::audit::{Audit, Entry};
use crate::identity::Home;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, terminal};
use clap::Args;
use netsonde_probes::clock::Clock;

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
    let state = StateDirectory::open(state.path())?;
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
