use crate::stop::Stop;
use crate::{exit, terminal};
use clap::Args;

#[derive(Args)]
#[command(after_help = "Examples:\n  netsonde schema > netsonde.run.schema.json\n  netsonde schema --fields | less")]
pub(super) struct SchemaCommand {
    /// Print the reference of every parameter and field for people, as markdown.
    #[arg(long)]
    fields: bool,
}

impl SchemaCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        if self.fields {
            terminal::output(&netsonde_contract::reference::markdown())?;
        } else {
            terminal::output(&format!("{:#}\n", netsonde_contract::document::schema()))?;
        }
        Ok(exit::AS_EXPECTED)
    }
}
