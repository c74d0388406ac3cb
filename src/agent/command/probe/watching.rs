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

#[cfg(test)]
mod tests {
    use crate::command::probe::ProbeCommand;
    use clap::{Command, FromArgMatches, Subcommand};
    use std::time::Duration;

    fn parse(arguments: &[&str]) -> Result<ProbeCommand, clap::Error> {
        let command = ProbeCommand::augment_subcommands(Command::new("probe"));
        ProbeCommand::from_arg_matches(&command.try_get_matches_from([&["probe"], arguments].concat())?)
    }

    #[test]
    fn the_pace_is_bounded_for_both_kinds() {
        for kind in ["icmp", "traceroute"] {
            let pace = |given: &[&str]| parse(&[&[kind, "127.0.0.1"], given].concat()).map(|command| command.live);
            assert_eq!(pace(&[]).unwrap(), None);
            assert_eq!(pace(&["--live"]).unwrap(), Some(Duration::from_secs(1)));
            assert_eq!(pace(&["--live", "--interval-ms", "100"]).unwrap(), Some(Duration::from_millis(100)));
            assert!(pace(&["--live", "--interval-ms", "99"]).is_err());
            assert!(pace(&["--live", "--interval-ms", "60001"]).is_err());
        }
        assert!(parse(&["traceroute", "127.0.0.1", "--interval-ms", "500"]).is_err(), "it means nothing without --live");
        assert!(parse(&["tcp", "127.0.0.1:80", "--live"]).is_err(), "this kind has no view");
    }

    #[test]
    fn a_round_sends_one_request_unless_more_are_asked_for() {
        let count = |given: &[&str]| parse(given).unwrap().plan().unwrap().checks[0].params.to_value()["count"].clone();
        assert_eq!(count(&["icmp", "127.0.0.1", "--live"]), 1);
        assert_eq!(count(&["icmp", "127.0.0.1", "--live", "--count", "3"]), 3);
        assert_eq!(count(&["icmp", "127.0.0.1"]), 5);
    }

    #[test]
    fn what_does_not_go_with_a_view_is_refused_with_a_next_step() {
        for wrong in [&["--format", "json"][..], &["--format", "jsonl"], &["--capture"], &["--targets", "127.0.0.2"]] {
            let command = parse(&[&["icmp", "127.0.0.1", "--live"], wrong].concat()).unwrap();
            let stop = super::check(&command.parameters, &command.options).unwrap_err();
            assert!(stop.message.contains("--live") && stop.next.is_some(), "{wrong:?}: {stop:?}");
        }
    }
}
