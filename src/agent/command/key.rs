use super::state_option::StateOption;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, terminal};
use clap::Subcommand;
use netsonde_contract::bundle;

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Shows the public key that signs this machine's bundles; it is made where there is none yet.
    #[command(after_help = "Example:\n  netsonde key show > agent.pub    for: netsonde bundle verify b.tar.gz --key agent.pub")]
    Show {
        #[command(flatten)]
        state: StateOption,
    },
}

impl KeyCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let Self::Show { state } = self;
        let key = StateDirectory::open(state.path())?.signing_key()?.verifying_key();
        terminal::output(&bundle::open_ssh(&key))?;
        terminal::say(&format!("key id {}", bundle::key_id(&key)));
        Ok(exit::AS_EXPECTED)
    }
}
