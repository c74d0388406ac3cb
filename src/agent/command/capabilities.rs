use crate::stop::Stop;
use crate::{exit, terminal};
use clap::Args;
use netsonde_contract::capability::{self, Rights, SIGHTS, System};
use netsonde_probes::capability::rights;
use serde_json::json;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  netsonde capabilities\n  sudo netsonde capabilities\n  netsonde capabilities --all    every system and right, as markdown"
)]
pub(super) struct CapabilitiesCommand {
    /// Print the whole table, for every system, as markdown.
    #[arg(long)]
    all: bool,
    /// Print this machine's as JSON.
    #[arg(long, conflicts_with = "all")]
    json: bool,
}

/// A person's run gives up nothing.
const OF_THE_SERVICE: &str =
    "\nThe agent's service gives up more than this command does: `netsonde agent status` says what it does not see.\n";

impl CapabilitiesCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let (system, rights) = (System::here(), rights());
        let text = if self.all {
            capability::markdown()
        } else if self.json {
            format!("{:#}\n", as_json(system, rights))
        } else {
            capability::plain(system, rights) + OF_THE_SERVICE
        };
        terminal::output(&text)?;
        Ok(exit::AS_EXPECTED)
    }
}

fn as_json(system: System, rights: Rights) -> serde_json::Value {
    let sights = SIGHTS.iter().map(|sight| {
        let missing = sight.missing(system, rights);
        json!({
            "name": sight.name,
            "kind": sight.kind,
            "what": sight.what,
            "seen": missing.is_none(),
            "why": missing.as_ref().map(|note| &note.why),
            "grant": missing.as_ref().and_then(|note| note.grant.as_ref()),
        })
    });
    json!({ "system": system, "rights": rights, "sights": sights.collect::<Vec<_>>() })
}
