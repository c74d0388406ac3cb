use super::state_option::StateOption;
use crate::history::{Recorded, Ring, Wanted};
use crate::schedule::{Persisted, Reading};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, schedule, terminal};
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::history::{CheckHistory, Verdict};
use netsonde_contract::nearest::nearest;
use netsonde_report::{past, sparkline};
use std::collections::BTreeSet;

const EXAMPLES: &str = "\
Examples:
  netsonde history                        every check, the last day
  netsonde history --check connect --since 2h
  netsonde history --since 2027-03-28T06:00:00Z --format json";
/// A line of this many characters fits beside the words on most terminals.
const LINE: usize = 60;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HistoryCommand {
    /// Only of this schedule.
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
    /// Only of this check.
    #[arg(long, value_name = "CHECK")]
    check: Option<String>,
    /// From then on: so long ago, such as 90m or 24h, or a time such as 2027-03-28T06:00:00Z.
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = parse_since)]
    since: Since,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: HistoryFormat,
    #[command(flatten)]
    state: StateOption,
}

#[derive(Clone, Copy)]
enum Since {
    Ago(SignedDuration),
    At(Timestamp),
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum HistoryFormat {
    /// A line of each check, and what changed.
    #[default]
    Human,
    /// One JSON document, with the newest measurements of all.
    Json,
}

impl HistoryCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let since = match self.since {
            Since::At(at) => at,
            Since::Ago(ago) => Reading::now().wall.saturating_sub(ago).unwrap_or(Timestamp::MIN),
        };
        let state = StateDirectory::existing(self.state.path());
        let read = |wanted: &Wanted| match &state {
            None => Ok(Recorded::default()),
            Some(state) => Ring::at(state.path()).read(wanted).map_err(|error| {
                Stop::usage(format!("the history in {} cannot be read: {error}", state.path().display()))
                    .next("read it as the user that the agent runs as; a damaged one begins anew with the next run")
            }),
        };
        let wanted = Wanted { since: Some(since), schedule: self.schedule, check: self.check };
        let recorded = read(&wanted)?;
        if recorded.checks.is_empty() && recorded.changes.is_empty() && (wanted.schedule.is_some() || wanted.check.is_some()) {
            // What has its slots and was not measured yet is no slip.
            let slots = state.as_ref().and_then(|state| schedule::load(state).ok().flatten());
            is_known(&wanted, &read(&Wanted::default())?, slots.as_ref())?;
        }
        let text = match self.format {
            HistoryFormat::Human if recorded.checks.is_empty() && recorded.changes.is_empty() => {
                terminal::say("netsonde: nothing was recorded in that time; netsonde schedule list shows what is measured");
                String::new()
            }
            HistoryFormat::Human => human(&recorded),
            HistoryFormat::Json => {
                serde_json::to_string_pretty(&recorded.document())
                    .map_err(|error| Stop::usage(format!("the history cannot be printed: {error}")))?
                    + "\n"
            }
        };
        terminal::output(&text)?;
        Ok(exit::AS_EXPECTED)
    }
}

/// # Errors
/// Where other things were recorded, and never anything under a name that is wanted.
fn is_known(wanted: &Wanted, all: &Recorded, slots: Option<&Persisted>) -> Result<(), Stop> {
    let series = || all.checks.iter().map(|check| &check.series);
    let recorded = series().map(|series| series.schedule.as_str());
    let schedules: BTreeSet<&str> = recorded.chain(slots.into_iter().flat_map(Persisted::names)).collect();
    let checks: BTreeSet<&str> = series().map(|series| series.check.as_str()).collect();
    let slip = |what: &str, name: Option<&String>, known: &BTreeSet<&str>| -> Result<(), Stop> {
        let Some(name) = name.filter(|name| !known.contains(name.as_str()) && !all.checks.is_empty()) else { return Ok(()) };
        let stop = Stop::usage(format!("nothing was ever recorded of a {what} `{name}`"));
        Err(match nearest(name, known.iter().copied()) {
            Some(meant) => stop.next(format!("did you mean `{meant}`? without it netsonde history shows all")),
            None => stop.next("netsonde history shows what was recorded, netsonde schedule list what is measured"),
        })
    };
    slip("schedule", wanted.schedule.as_ref(), &schedules)?;
    slip("check", wanted.check.as_ref(), &checks)
}

fn human(recorded: &Recorded) -> String {
    let mut text = String::new();
    let mut heading = None;
    for check in &recorded.checks {
        let here = (&check.series.schedule, &check.series.target);
        if heading != Some(here) {
            text += &format!("{}  {}\n", here.0, here.1.as_deref().unwrap_or("this machine"));
            heading = Some(here);
        }
        text += &format!("  {:16} {}  {}\n", check.series.check, line(check), figures(check));
    }
    for change in &recorded.changes {
        let silenced = if change.silenced { " (silenced)" } else { "" };
        text += &format!("{}  {}: {}{silenced}\n", change.at, change.series.schedule, change.sentence);
    }
    netsonde_contract::harmless::clean_lines(&text).to_string()
}

fn line(check: &CheckHistory) -> String {
    sparkline::line(&past::points(check), LINE)
}

fn figures(check: &CheckHistory) -> String {
    let failed = check.samples.iter().filter(|sample| sample.verdict == Verdict::Bad).count();
    let mut times: Vec<u64> = check.samples.iter().filter_map(|sample| sample.rtt_us).collect();
    times.sort_unstable();
    let milliseconds = |us: &u64| format!("{}.{}", us / 1_000, us % 1_000 / 100);
    let spread = match (times.first(), times.get(times.len() / 2), times.last()) {
        (Some(least), Some(median), Some(most)) => {
            format!(", {}/{}/{} ms least/median/most", milliseconds(least), milliseconds(median), milliseconds(most))
        }
        _ => String::new(),
    };
    format!("{failed} of {} failed{spread}", check.samples.len())
}

fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Since::At(at));
    }
    let ago: Option<SignedDuration> = text.parse().ok();
    ago.filter(|ago| ago.is_positive()).map(Since::Ago).ok_or_else(|| "write it as 90m, 24h or 2027-03-28T06:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{good, series};
    use clap::Parser;

    #[derive(Parser)]
    struct Asked {
        #[command(flatten)]
        history: HistoryCommand,
    }

    #[test]
    fn a_name_that_nothing_was_recorded_under_is_told_with_the_one_that_was_meant() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let week_ago = Reading::now().wall - SignedDuration::from_hours(7 * 24);
        Ring::at(state.path()).append(&[(series("shop", "connect"), good(week_ago))], &[]).unwrap();
        let run = |arguments: &[&str]| {
            let path = folder.path().to_string_lossy();
            Asked::parse_from([&["history", "--state-dir", &path], arguments].concat()).history.execute()
        };
        for (arguments, words, next) in [
            (["--schedule", "shpo"], "a schedule `shpo`", "did you mean `shop`?"),
            (["--check", "conect"], "a check `conect`", "did you mean `connect`?"),
            (["--check", "nope"], "a check `nope`", "netsonde schedule list"),
        ] {
            let stop = run(&arguments).unwrap_err();
            assert_eq!(stop.exit, exit::USAGE);
            assert!(stop.message.contains(words) && stop.next.as_deref().unwrap_or_default().contains(next), "{stop:?}");
        }
        assert!(run(&["--schedule", "shpo", "--format", "json"]).is_err());
        // One whose first slot is to come.
        let text = "[[schedule]]\nname = \"mail\"\nset = \"host\"\nevery = \"1h\"\n";
        let config = netsonde_contract::agent_config::AgentConfig::parse("x", text).unwrap();
        let scheduler = schedule::Scheduler::new(&config, "agent", None, &Reading::now()).unwrap();
        schedule::save(&state, &scheduler.persisted()).unwrap();
        assert_eq!(run(&["--schedule", "mail"]).unwrap(), exit::AS_EXPECTED);
        for known in [&["--schedule", "shop"][..], &["--schedule", "shop", "--check", "connect"], &[]] {
            assert_eq!(run(known).unwrap(), exit::AS_EXPECTED, "{known:?}: it was, though not lately");
        }
    }
}
