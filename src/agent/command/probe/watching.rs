//! `--live`: watched on the terminal, round after round, by the kinds that have a view.

use crate::command::measuring::MeasuringOptions;
use crate::format::Format;
use crate::live::{self, DEFAULT_PACE, PACE_MS};
use crate::stop::Stop;
use clap::{Arg, ArgAction, ArgMatches, Command};
use netsonde_contract::kind::Kind;
use serde_json::{Map, Value};
use std::time::Duration;

const LIVE: &str = "live";
/// The kind `icmp` has a parameter of this name, which is then the pace.
const INTERVAL: &str = "interval_ms";

fn has_view(kind: Kind) -> bool {
    matches!(kind, Kind::Icmp | Kind::Traceroute)
}

/// Adds the options to a kind that has a view.
pub(super) fn arguments(kind: Kind, command: Command) -> Command {
    if !has_view(kind) {
        return command;
    }
    let live = Arg::new(LIVE).long(LIVE).action(ArgAction::SetTrue).help_heading("Output");
    let command = command.arg(live.help("Watch it on the terminal, round after round; q ends it and prints the report"));
    if kind.fields().iter().any(|field| field.name == INTERVAL) {
        return command;
    }
    let help = format!("With --live, milliseconds between two rounds ({} to {}) [default: 1000]", PACE_MS.start(), PACE_MS.end());
    let interval = Arg::new(INTERVAL).long("interval-ms").value_name("NUMBER").help_heading("Output").requires(LIVE);
    command.arg(interval.value_parser(clap::value_parser!(i64).range(PACE_MS)).help(help))
}

/// The time between two rounds, where it is to be watched.
pub(super) fn pace(kind: Kind, matches: &ArgMatches) -> Result<Option<Duration>, clap::Error> {
    if !has_view(kind) || !matches.get_flag(LIVE) {
        return Ok(None);
    }
    let Some(given) = matches.get_one::<i64>(INTERVAL).copied() else { return Ok(Some(DEFAULT_PACE)) };
    match u64::try_from(given) {
        Ok(pace) if PACE_MS.contains(&given) => Ok(Some(Duration::from_millis(pace))),
        _ => {
            let text = format!("--live takes an --interval-ms of {} to {}\n", PACE_MS.start(), PACE_MS.end());
            Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, text))
        }
    }
}

/// # Errors
/// Where what was asked for and a view do not go together.
pub(super) fn check(parameters: &Map<String, Value>, options: &MeasuringOptions) -> Result<(), Stop> {
    if matches!(options.format, Format::Json | Format::Jsonl) {
        let why = "--live draws on the terminal, and --format json and jsonl are for programs";
        return Err(
            Stop::usage(why).next("leave one of the two out; without --live the document is printed after one measurement")
        );
    }
    if options.capture.is_some() {
        return Err(Stop::usage("--live makes no capture").next("leave --live out to capture one measurement"));
    }
    if parameters.contains_key("targets") {
        return Err(Stop::usage("--live watches one host, not further targets").next("leave --targets out, or leave --live out"));
    }
    live::check()
}
