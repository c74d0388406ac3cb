use super::state_option::StateOption;
use crate::history::{Recorded, Ring, Wanted};
use crate::schedule::Reading;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, health, metrics, terminal};
use clap::Args;
use jiff::{SignedDuration, Timestamp};

/// What was not measured for so long is no present state; cron's slots may be a weekend apart.
const PRESENT: SignedDuration = SignedDuration::from_hours(8 * 24);

#[derive(Args)]
#[command(
    after_help = "Example:\n  netsonde metrics > /var/lib/node_exporter/netsonde.prom    for node_exporter's textfile collector"
)]
pub(super) struct MetricsCommand {
    #[command(flatten)]
    state: StateOption,
}

impl MetricsCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let (mut recorded, mut book) = (Recorded::default(), health::HealthBook::default());
        if let Some(state) = StateDirectory::existing(self.state.path()) {
            let failed = |error: std::io::Error| {
                Stop::usage(format!("what was measured, in {}, cannot be read: {error}", state.path().display()))
                    .next("read it as the user that the agent runs as")
            };
            let since = Reading::now().wall.saturating_sub(PRESENT).unwrap_or(Timestamp::MIN);
            recorded = Ring::at(state.path()).read(&Wanted { since: Some(since), ..Wanted::default() }).map_err(failed)?;
            book = health::load(&state).map_err(failed)?;
        }
        terminal::output(&metrics::render(env!("CARGO_PKG_VERSION"), &recorded.checks, &book, None))?;
        Ok(exit::AS_EXPECTED)
    }
}
