use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, terminal};
use clap::Subcommand;
use netsonde_contract::bundle;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Shows the public key that signs this machine's bundles; it is made where there is none yet.
    #[command(after_help = "Example:\n  netsonde key show > agent.pub    for: netsonde bundle verify b.tar.gz --key agent.pub")]
    Show {
        /// Where the key is kept.
        #[arg(long, env = "NETSONDE_STATE_DIR", value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
}

impl KeyCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let Self::Show { state_dir } = self;
        let key = StateDirectory::open(state_dir.as_deref())?.signing_key()?.verifying_key();
        terminal::output(&bundle::open_ssh(&key))?;
        terminal::say(&format!("key id {}", bundle::key_id(&key)));
        Ok(exit::AS_EXPECTED)
    }
}
