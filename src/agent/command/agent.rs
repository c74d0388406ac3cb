use super::policy::PolicyOption;
use super::state_option::StateOption;
use crate::identity::Home;
use crate::interruption::Interruption;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{daemon, exit, policy_file, terminal};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  netsonde agent                                  with the policy of this machine
  netsonde agent --policy ./policy.toml --state-dir ./state";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AgentCommand {
    #[command(flatten)]
    policy: PolicyOption,
    #[command(flatten)]
    state: StateOption,
}

impl AgentCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let state = StateDirectory::existing(self.state.path()).map_or_else(|| StateDirectory::open(self.state.path()), Ok)?;
        let identity = Home::of(&state).enrolled()?;
        let path = policy_file::path(self.policy.path());
        // A policy that counts for nothing is better known now than with the first order.
        let policy = policy_file::load(&path)?;
        terminal::say(&format!(
            "netsonde: agent {} of {}, at {}; orders: {}{}",
            identity.agent.short(),
            identity.organisation,
            identity.backend,
            policy.remote.name(),
            if Home::of(&state).is_paused() { " (paused)" } else { "" }
        ));
        super::block_on_one_thread(async { daemon::run(state, path, &Interruption::listen()).await })?;
        Ok(exit::AS_EXPECTED)
    }
}
