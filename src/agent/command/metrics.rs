use super::state_option::StateOption;
use crate::history::{Ring, Wanted};
use crate::metrics::{Known, Spooled};
use crate::rounds::{signed, together};
use crate::schedule::Reading;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{agent_file, exit, health, metrics, terminal};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::agent_config::AgentConfig;
use std::path::{Path, PathBuf};

/// What was not measured for so long is no present state, whatever its schedule; cron's slots may be a weekend apart.
const PRESENT: SignedDuration = SignedDuration::from_hours(8 * 24);

#[derive(Args)]
#[command(
    after_help = "Example:\n  netsonde metrics > /var/lib/node_exporter/netsonde.prom    for node_exporter's textfile collector"
)]
pub(super) struct MetricsCommand {
    /// The schedules, which tell what was not measured lately, and their silences [default: /etc/netsonde/agent.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    state: StateOption,
}

impl MetricsCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        terminal::output(&page(self.state.path(), &config(self.config.as_deref())?, Reading::now().wall)?)?;
        Ok(exit::AS_EXPECTED)
    }
}

/// The customer's file. One that is wrong keeps nobody from the measurements; one that was named has to be there.
fn config(named: Option<&Path>) -> Result<AgentConfig, Stop> {
    let path = agent_file::path(named);
    match named.map_or_else(|| agent_file::load_if_there(&path), |_| agent_file::load(&path).map(Some)) {
        Err(stop) if named.is_none() => {
            terminal::say_stop(&stop);
            Ok(AgentConfig::default())
        }
        read => read.map(Option::unwrap_or_default),
    }
}

fn page(state: Option<&Path>, file: &AgentConfig, now: Timestamp) -> Result<String, Stop> {
    let (mut known, mut config) = (Known::default(), file.clone());
    if let Some(state) = StateDirectory::existing(state) {
        let failed = |error: std::io::Error| {
            Stop::usage(format!("what was measured, in {}, cannot be read: {error}", state.path().display()))
                .next("read it as the user that the agent runs as")
        };
        let since = now.saturating_sub(PRESENT).unwrap_or(Timestamp::MIN);
        let recorded = Ring::at(state.path()).read(&Wanted { since: Some(since), ..Wanted::default() }).map_err(failed)?;
        known = Known {
            checks: recorded.checks,
            book: health::load(&state).map_err(failed)?,
            runs: Vec::new(),
            spool: Some(Spooled::of(&state.spool())),
        };
        config = together(file, &signed(&state));
    }
    // Without a file nobody says what is a schedule still.
    if !file.schedules.is_empty() {
        known.checks.retain(|check| config.schedule(&check.series.schedule).is_some());
    }
    Ok(metrics::render(known, &config, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::good;
    use netsonde_contract::history::Series;
    use netsonde_contract::kind::Kind;

    #[test]
    fn a_check_that_its_schedule_did_not_measure_lately_is_no_present_state_and_silences_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let file = |silence: &str| {
            AgentConfig::parse("x", &format!("[[schedule]]\nname = \"s\"\nset = \"host\"\nevery = \"1m\"\n{silence}")).unwrap()
        };
        let series = Series { schedule: "s".into(), check: "tcp".into(), kind: Kind::Tcp, target: None, required: true };
        let began = Timestamp::from_second(1_800_000_000).unwrap();
        let mut book = health::HealthBook::default();
        for minute in 0..5 {
            let at = began + SignedDuration::from_mins(minute);
            let sample = good(at);
            book.observe(&file(""), &series, &sample);
            Ring::at(state.path()).append(&[(series.clone(), sample)], &[]).unwrap();
        }
        health::save(&state, &book).unwrap();
        let page = |config: &AgentConfig, minutes| {
            page(Some(folder.path()), config, began + SignedDuration::from_mins(minutes)).unwrap()
        };
        let success = "probe_success{";
        let ok = "required=\"true\",state=\"ok\"} 1";
        let unknown = "required=\"true\",state=\"unknown\"} 1";
        let fresh = page(&file(""), 5);
        assert!(fresh.contains(success) && fresh.contains(ok), "{fresh}");
        assert!(fresh.contains("netsonde_silenced{schedule=\"s\"} 0"), "{fresh}");
        let old = page(&file(""), 60);
        assert!(!old.contains(success) && old.contains(unknown), "{old}");
        let other = AgentConfig::parse("x", "[[schedule]]\nname = \"t\"\nset = \"host\"\nevery = \"1m\"\n").unwrap();
        assert!(!page(&other, 5).contains(success), "the schedule is no more");
        // Nobody says how often it should have been measured.
        assert!(page(&AgentConfig::default(), 60).contains(success));
        let silence = "[[silence]]\nschedule = \"s\"\nuntil = \"2999-01-01T00:00:00Z\"\nreason = \"x\"\n";
        assert!(page(&file(silence), 5).contains("netsonde_silenced{schedule=\"s\"} 1"));
    }

    #[test]
    fn a_file_that_was_named_has_to_be_there() {
        let stop = config(Some(Path::new("/nowhere/agent.toml"))).unwrap_err();
        assert!(stop.message.contains("/nowhere/agent.toml"));
    }
}
