use crate::stop::Stop;
use crate::{exit, terminal};
use clap::Args;
use clap_complete::Shell;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  netsonde completions bash > ~/.local/share/bash-completion/completions/netsonde\n  netsonde completions zsh > ~/.zfunc/_netsonde"
)]
pub(super) struct CompletionsCommand {
    /// The shell to print them for.
    shell: Shell,
}

impl CompletionsCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command_line(), "netsonde", &mut script);
        terminal::output(&String::from_utf8_lossy(&script))?;
        Ok(exit::AS_EXPECTED)
    }
}
