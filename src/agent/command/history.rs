use super::state_option::StateOption;
use crate::history::{Recorded, Ring, Wanted};
use crate::schedule::Reading;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{exit, terminal};
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use netsonde_contract::history::{CheckHistory, Verdict};
use netsonde_report::{past, sparkline};

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
        let wanted = Wanted { since: Some(since), schedule: self.schedule, check: self.check };
        let recorded = match StateDirectory::existing(self.state.path()) {
            None => Recorded::default(),
            Some(state) => Ring::at(state.path()).read(&wanted).map_err(|error| {
                Stop::usage(format!("the history in {} cannot be read: {error}", state.path().display()))
                    .next("read it as the user that the agent runs as; a damaged one begins anew with the next run")
            })?,
        };
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
