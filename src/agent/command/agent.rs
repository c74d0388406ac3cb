use super::policy::PolicyOption;
use super::state_option::StateOption;
use crate::interruption::Interruption;
use crate::rounds::Files;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{agent_file, exit, policy_file, service};
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  netsonde agent                                  with agent.toml and the policy of this machine
  netsonde agent --config ./agent.toml --policy ./policy.toml --state-dir ./state
  systemctl kill --signal HUP netsonde-agent      reads agent.toml anew";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AgentCommand {
    /// What the agent measures by itself [default: /etc/netsonde/agent.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyOption,
    #[command(flatten)]
    state: StateOption,
}

impl AgentCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let state = StateDirectory::existing(self.state.path()).map_or_else(|| StateDirectory::open(self.state.path()), Ok)?;
        let files = Files { config: agent_file::path(self.config.as_deref()), policy: policy_file::path(self.policy.path()) };
        super::block_on_one_thread(async { service::run(state, files, &Interruption::listen()).await })?;
        Ok(exit::AS_EXPECTED)
    }
}
