use crate::stop::Stop;
use crate::{exit, terminal};
use clap::Args;

#[derive(Args)]
#[command(after_help = "Example:\n  netsonde schema > netsonde.run.schema.json")]
pub(super) struct SchemaCommand {}

impl SchemaCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        terminal::output(&format!("{:#}\n", netsonde_contract::document::schema()))?;
        Ok(exit::AS_EXPECTED)
    }
}
