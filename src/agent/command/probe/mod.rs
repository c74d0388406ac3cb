//! `netsonde probe KIND …`, built from the kinds' own parameter lists, so that help, defaults and bounds stand in one place.

/// What a measurement is aimed at, as it is written on the command line.
mod aim;
/// A kind's fields as arguments.
mod arguments;
/// Which options of measuring mean something to which kind.
mod meaning;
/// Whether and how fast it is watched.
mod watching;

use super::measuring::MeasuringOptions;
use crate::format;
use crate::interruption::Interruption;
use crate::measurement::{Bounds, Settings, measure};
use crate::redaction::{self, Printed};
use crate::stop::Stop;
use crate::{exit, live, preview, terminal};
use arguments::{argument, value_of};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Subcommand};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::document::SetReference;
use netsonde_contract::id::CheckId;
use netsonde_contract::kind::{Field, FieldType, Kind, Params};
use netsonde_contract::nearest::nearest;
use netsonde_contract::set::{Plan, PlannedCheck, Samples};
use netsonde_report::text::Depth;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A single probe ends by its own parameters; this is longer than the slowest of them take, and ends one that hangs.
const LONGEST: Duration = Duration::from_secs(900);

/// For whoever has not chosen a kind yet.
const EXAMPLES: &str = "Examples:
  netsonde probe icmp shop.example --count 5
  netsonde probe traceroute shop.example --multipath
  netsonde probe http https://shop.example/ --format json
  netsonde probe tcp --help     what a kind takes, with defaults and bounds";

const FOLLOW_UP: &str = "follow-up";
const REDACT: &str = "redact";

/// One measurement.
pub(super) struct ProbeCommand {
    kind: Kind,
    parameters: Map<String, Value>,
    options: MeasuringOptions,
    /// Ask further where the one measurement leaves several causes possible.
    follow_up: bool,
    /// What is taken out of what is printed.
    printed: Printed,
    /// The time between two rounds, where it is to be watched.
    live: Option<Duration>,
}

impl ProbeCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        if self.live.is_some() {
            watching::check(&self.parameters, &self.options)?;
        }
        if self.live.is_some() && self.follow_up {
            return Err(
                Stop::usage("what is watched goes on by itself and asks nothing further").next("leave out --live or --follow-up")
            );
        }
        let plan = self.plan()?;
        if self.options.capture == Some(None) {
            return Err(Stop::usage("a single probe makes no bundle that could hold a capture")
                .next("name a file: --capture=packets.pcapng"));
        }
        self.options.check_capture()?;
        let settings = Settings {
            trust: self.options.trust()?,
            proxy: self.options.proxy(),
            origins: self.options.origins()?,
            format: self.options.format,
            printed: self.printed.clone(),
            asked: Some(self.options.asked(&plan.targets)),
            case: None,
            ticket: None,
            capture: self.options.capture.is_some(),
            follow_up: self.follow_up,
            bounds: Bounds::PERSON,
            watcher: None,
        };
        preview::load_ahead(&plan).iter().for_each(|line| terminal::say(line));
        let measured = match self.live {
            Some(pace) => super::block_on(live::measure(&plan, &settings, pace, self.options.budget))?,
            None => super::block_on(async { measure(&plan, &settings, &Interruption::listen()).await })?,
        };
        let fate = if self.options.keep_capture(&measured) { exit::BundleFate::InPlace } else { exit::BundleFate::NotKept };
        let (document, report) = self.printed.of(&measured.document);
        terminal::output(&format::render(&document, self.options.format, self.depth()))?;
        redaction::remark(&report).iter().for_each(|remark| terminal::say(remark));
        Ok(exit::code(&measured.document, fate))
    }

    /// Of a path and of a machine the single facts are what one asks for; their summary alone says little.
    fn depth(&self) -> Depth {
        let depth = self.options.depth();
        Depth { detail: depth.detail || matches!(self.kind, Kind::Traceroute | Kind::Host), ..depth }
    }

    /// A plan of one required check.
    pub(super) fn plan(&self) -> Result<Plan, Stop> {
        let next = || format!("netsonde probe {} --help lists what it takes", self.kind.name());
        let mut parameters = self.parameters.clone();
        if self.live.is_some() {
            live::for_rounds(self.kind, &mut parameters);
        }
        let target = aim::read(self.kind, &mut parameters).map_err(|error| Stop::usage(error).next(next()))?;
        let params =
            Params::parse(self.kind, Value::Object(parameters)).map_err(|error| Stop::usage(error.to_string()).next(next()))?;
        let budget = self.options.budget.unwrap_or(LONGEST);
        let check = PlannedCheck {
            id: CheckId::new(self.kind.name()),
            required: true,
            target: target.clone(),
            needs: Vec::new(),
            when: Vec::new(),
            deadline: budget,
            samples: Samples::ONE,
            params,
        };
        // A single check has no file; its parameters in force are its text.
        let text = check.params.to_value().to_string();
        let sha256 = hexadecimal(&Sha256::digest(text));
        let name = format!("probe-{}", self.kind.name());
        Ok(Plan {
            set: SetReference { name, version: 1, sha256 },
            question: self.kind.summary().to_owned(),
            targets: target.into_iter().collect(),
            repeated: Vec::new(),
            proxies: Vec::new(),
            budget,
            bytes: None,
            checks: vec![check],
        })
    }
}

impl Subcommand for ProbeCommand {
    fn augment_subcommands(command: Command) -> Command {
        Kind::ALL
            .iter()
            .fold(command, |command, kind| command.subcommand(kind_command(*kind)))
            .subcommand_required(true)
            .arg_required_else_help(true)
            .after_help(EXAMPLES)
            // An unknown kind comes back to `from_arg_matches`, which knows the nearest one.
            .allow_external_subcommands(true)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Kind::from_name(name).is_some()
    }
}

impl FromArgMatches for ProbeCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        let kind = Kind::from_name(name).ok_or_else(|| unknown_kind(name))?;
        let given = |field: &Field| Some((field.name.clone(), value_of(field, matches)?));
        let mut parameters: Map<String, Value> = kind.fields().iter().filter_map(given).collect();
        if let Some(port) = aim::second_port(kind, matches) {
            parameters.insert(aim::PORT.to_owned(), port.into());
        }
        meaning::check(kind, matches)?;
        let live = watching::pace(kind, matches)?;
        let follow_up = matches.get_flag(FOLLOW_UP);
        let printed = match matches.get_one::<String>(REDACT).map(String::as_str) {
            Some("none") => Printed::Whole,
            _ => Printed::Default,
        };
        Ok(Self { kind, parameters, options: MeasuringOptions::from_arg_matches(matches)?, follow_up, printed, live })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn unknown_kind(name: &str) -> clap::Error {
    let names = || Kind::ALL.iter().map(|kind| kind.name());
    let hint = match nearest(name, names()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known: {}", names().collect::<Vec<_>>().join(", ")),
    };
    clap::Error::raw(clap::error::ErrorKind::InvalidSubcommand, format!("unknown probe kind `{name}` ({hint})"))
}

fn kind_command(kind: Kind) -> Command {
    let command = kind.fields().iter().fold(Command::new(kind.name()), |command, field| command.arg(argument(field)));
    let command = watching::arguments(kind, aim::with_both_ports(kind, command)).arg(follow_up_argument()).arg(redact_argument());
    let command = MeasuringOptions::augment_args(command).mut_arg("capture", |capture| {
        // One probe makes no bundle.
        capture.help("Capture the headers of the probe's own packets into this file: --capture=FILE (pcapng, for Wireshark)")
    });
    meaning::only_what_counts(kind, command).about(kind.summary()).long_about(None).after_help(example(kind))
}

/// Whoever types one measurement expects one: more is asked only where that is wanted.
fn follow_up_argument() -> Arg {
    Arg::new(FOLLOW_UP)
        .long(FOLLOW_UP)
        .action(ArgAction::SetTrue)
        .help("Where several causes remain possible, also make the measurements that tell them apart")
        .help_heading("Measuring")
}

/// Output of one probe ends up in tickets and mails as a bundle does.
fn redact_argument() -> Arg {
    Arg::new(REDACT)
        .long(REDACT)
        .value_name("LEVEL")
        .value_parser(["none", "default"])
        .default_value("default")
        .help("How much to take out of what is printed: what may be secret in URLs, headers and banners; `none` prints all")
        .help_heading("Output")
}

fn example(kind: Kind) -> String {
    let arguments: String = kind
        .fields()
        .iter()
        .filter(|field| field.required)
        .map(|field| match (field.name.as_str(), &field.kind) {
            ("url", _) => " https://shop.example/".to_owned(),
            ("port", _) => " 443".to_owned(),
            (_, FieldType::Integer) => format!(" {}", field.minimum.unwrap_or(1)),
            (_, FieldType::Choice(words)) => format!(" {}", words.first().map_or("", String::as_str)),
            _ => " shop.example".to_owned(),
        })
        .collect();
    let name = kind.name();
    format!("Examples:\n  netsonde probe {name}{arguments}\n  netsonde probe {name}{arguments} --format json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<ProbeCommand, clap::Error> {
        let command = ProbeCommand::augment_subcommands(Command::new("probe"));
        ProbeCommand::from_arg_matches(&command.try_get_matches_from([&["probe"], arguments].concat())?)
    }

    #[test]
    fn the_example_of_every_kind_is_a_command_that_works() {
        for kind in Kind::ALL {
            let example = example(*kind);
            let line = example.lines().nth(1).unwrap().trim();
            let arguments: Vec<&str> = line.split(' ').skip(2).collect();
            let command = parse(&arguments).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(command.plan().unwrap().checks[0].params.kind(), *kind);
        }
    }

    #[test]
    fn values_keep_their_types_and_bounds() {
        let command = parse(&["dns", "x.example", "--types", "MX,TXT", "--system=false", "--timeout-ms", "500"]).unwrap();
        let value = command.plan().unwrap().checks[0].params.to_value();
        assert_eq!((&value["types"][1], &value["system"], &value["timeout_ms"]), (&"TXT".into(), &false.into(), &500.into()));
        assert!(parse(&["tcp", "x.example", "70000"]).is_err());
        assert!(parse(&["icmp", "x.example", "--count", "0"]).is_err());
        assert!(parse(&["traceroute", "x.example", "--protocol", "smoke"]).is_err());
    }

    #[test]
    fn ports_take_ranges_and_their_sum_is_bounded() {
        let ports = |ports: &str| parse(&["tcp", "127.0.0.1:80", "--ports", ports]).unwrap().plan();
        assert_eq!(
            ports("80,443,8000-8010").unwrap().checks[0].params.to_value()["ports"],
            serde_json::json!([80, 443, "8000-8010"])
        );
        for (wrong, words) in
            [("1-1025", "at most 1024"), ("9-1", "lower end first"), ("https", "1 to 65535"), ("0", "1 to 65535")]
        {
            let stop = ports(wrong).unwrap_err();
            assert!(stop.exit == exit::USAGE && stop.message.contains(words), "{wrong}: {}", stop.message);
        }
    }

    #[test]
    fn a_pin_or_protocol_that_cannot_be_is_refused_before_anything_is_sent() {
        for (arguments, words) in [
            (&["tls", "127.0.0.1:443", "--pin", "abc"][..], "64 hexadecimal"),
            (&["tls", "127.0.0.1:443", "--alpn", ""], "protocol names"),
            (&["quic", "127.0.0.1:443", "--alpn", ""], "1 to 16 protocol names"),
        ] {
            let stop = parse(arguments).unwrap().plan().unwrap_err();
            assert!(stop.exit == exit::USAGE && stop.message.contains(words), "{arguments:?}: {}", stop.message);
        }
    }

    #[test]
    fn a_capture_that_cannot_be_kept_is_refused_before_anything_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("--capture={}", folder.path().join(name).display());
        for wrong in [path("nowhere/x.pcapng"), path("")] {
            let command = parse(&["tcp", "127.0.0.1:1", &wrong]).unwrap();
            let stop = command.execute().unwrap_err();
            assert!(stop.exit == exit::USAGE && stop.message.contains("cannot be written"), "{stop:?}");
        }
        let fine = parse(&["tcp", "127.0.0.1:1", &path("x.pcapng")]).unwrap();
        assert!(fine.options.check_capture().is_ok());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "looking leaves no file behind");
    }

    #[test]
    fn help_tells_defaults_and_bounds() {
        let mut command = kind_command(Kind::Tcp);
        let help = command.render_long_help().to_string();
        assert!(help.starts_with(Kind::Tcp.summary()), "{help}");
        assert!(help.contains("50 to 30000") && help.contains("[default: 3000]"), "{help}");
    }

    /// The port may stand with the host, behind it, or as an option, whichever kind it is.
    #[test]
    fn a_port_may_be_written_in_every_way_for_every_kind_that_has_one() {
        let ways: [&[&str]; 4] =
            [&["127.0.0.1:8443"], &["127.0.0.1", "8443"], &["127.0.0.1", "--port", "8443"], &["127.0.0.1:8443", "8443"]];
        for kind in ["tcp", "tls"] {
            for way in ways {
                let command = parse(&[&[kind], way].concat()).unwrap_or_else(|error| panic!("{kind} {way:?}: {error}"));
                let plan = command.plan().unwrap_or_else(|stop| panic!("{kind} {way:?}: {stop:?}"));
                let value = plan.checks[0].params.to_value();
                assert_eq!((&value["host"], &value["port"]), (&"127.0.0.1".into(), &8443.into()), "{kind} {way:?}");
                assert_eq!(plan.targets[0].to_string(), "127.0.0.1:8443");
            }
        }
    }

    #[test]
    fn a_url_may_be_written_as_a_run_takes_it() {
        for (given, url) in [
            ("127.0.0.1:8080", "https://127.0.0.1:8080/"),
            ("shop.example", "https://shop.example/"),
            ("shop.example:80", "http://shop.example/"),
            ("http://[::1]:8080/a?b=c#d", "http://[::1]:8080/a?b=c"),
        ] {
            let plan = parse(&["http", given]).unwrap().plan().unwrap();
            assert_eq!(plan.checks[0].params.to_value()["url"], url, "{given}");
        }
    }

    #[test]
    fn a_name_beyond_ascii_is_asked_for_in_the_form_that_the_network_carries() {
        let carried = "xn--bcher-kva.example";
        for (arguments, parameter, value) in [
            (&["dns", "bücher.example"][..], "name", carried),
            (&["dns", "_dmarc.bücher.example"], "name", "_dmarc.xn--bcher-kva.example"),
            (&["icmp", "bücher.example"], "host", carried),
            (&["traceroute", "bücher.example"], "host", carried),
            (&["mtu", "bücher.example"], "host", carried),
            (&["tls", "bücher.example"], "host", carried),
            (&["host", "--target", "bücher.example"], "target", carried),
            (&["http", "http://bücher.example/"], "url", "http://xn--bcher-kva.example/"),
        ] {
            let plan = parse(arguments).unwrap().plan().unwrap();
            assert_eq!(plan.checks[0].params.to_value()[parameter], value, "{arguments:?}");
            assert!(plan.targets.iter().all(|target| target.host.contains(carried)), "{arguments:?}");
        }
    }

    #[test]
    fn a_link_local_address_keeps_its_link_for_every_kind_that_names_a_host() {
        for (arguments, parameter, value) in [
            (&["icmp", "fe80::1%eth0"][..], "host", "fe80::1%eth0"),
            (&["traceroute", "fe80::1%eth0"], "host", "fe80::1%eth0"),
            (&["tcp", "[fe80::1%eth0]:443"], "host", "fe80::1%eth0"),
            (&["tls", "[fe80::1%25eth0]:443"], "host", "fe80::1%eth0"),
            (&["http", "http://[fe80::1%eth0]:8080/a"], "url", "http://[fe80::1%25eth0]:8080/a"),
        ] {
            let plan = parse(arguments).unwrap().plan().unwrap_or_else(|stop| panic!("{arguments:?}: {stop:?}"));
            assert_eq!(plan.checks[0].params.to_value()[parameter], value, "{arguments:?}");
        }
    }

    #[test]
    fn what_is_no_target_ends_before_anything_is_measured() {
        let wrong: [(&[&str], &str); 9] = [
            (&["tcp", "db.example"], "port"),
            (&["tcp", "db.example:5432", "5433"], "two ports"),
            (&["tcp", "db.example:99999"], "65535"),
            (&["tls", "http://127.1/"], "IPv4"),
            (&["http", "ftp://x"], "scheme"),
            (&["http", "http://0x7f000001/"], "IPv4"),
            (&["icmp", "db.example:5432"], "port"),
            (&["traceroute", "2001:db8::1%eth0"], "only link-local"),
            (&["dns", "https://shop.example/"], "URL"),
        ];
        for (arguments, words) in wrong {
            let stop = parse(arguments).unwrap().plan().unwrap_err();
            assert_eq!(stop.exit, exit::USAGE, "{arguments:?}");
            assert!(stop.message.contains(words), "{arguments:?}: {}", stop.message);
        }
    }

    #[test]
    fn an_impossible_host_is_refused_before_anything_is_sent() {
        let stop = parse(&["tcp", "not a host", "80"]).unwrap().plan().unwrap_err();
        assert_eq!(stop.exit, exit::USAGE);
        assert!(stop.message.contains("is not a target"), "{stop:?}");
    }
}
