//! `netsonde probe KIND …`, built from the kinds' own parameter lists, so that help, defaults and bounds stand in one place.

/// A kind's fields as arguments.
mod arguments;

use super::measuring::MeasuringOptions;
use crate::format;
use crate::interruption::Interruption;
use crate::measurement::{Settings, measure};
use crate::stop::Stop;
use crate::{exit, terminal};
use arguments::{argument, value_of};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use netsonde_contract::bundle::hexadecimal;
use netsonde_contract::document::SetReference;
use netsonde_contract::id::CheckId;
use netsonde_contract::kind::{FieldType, Kind, Params};
use netsonde_contract::nearest::nearest;
use netsonde_contract::set::{MAX_DEADLINE, Plan, PlannedCheck};
use netsonde_contract::target::{Target, TargetForm};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// One measurement.
pub(super) struct ProbeCommand {
    kind: Kind,
    parameters: Map<String, Value>,
    options: MeasuringOptions,
}

impl ProbeCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let plan = self.plan()?;
        let settings = Settings {
            trust: self.options.trust()?,
            proxy: self.options.proxy(),
            format: self.options.format,
            case: None,
            ticket: None,
        };
        let measured = super::block_on(async { measure(&plan, &settings, &Interruption::listen()).await })?;
        terminal::output(&format::render(&measured.document, self.options.format, self.options.detail))?;
        Ok(exit::code(&measured.document, false))
    }

    /// A plan of one required check.
    fn plan(&self) -> Result<Plan, Stop> {
        let next = || format!("netsonde probe {} --help lists what it takes", self.kind.name());
        let value = Value::Object(self.parameters.clone());
        let params = Params::parse(self.kind, value).map_err(|error| Stop::usage(error.to_string()).next(next()))?;
        let target = target(&params).transpose().map_err(|error| Stop::usage(error.to_string()))?;
        let budget = self.options.budget.unwrap_or(MAX_DEADLINE);
        let check = PlannedCheck {
            id: CheckId::new(self.kind.name()),
            required: true,
            target: target.clone(),
            needs: Vec::new(),
            when: Vec::new(),
            deadline: budget.min(MAX_DEADLINE),
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
            budget,
            checks: vec![check],
        })
    }
}

/// What the measurement is aimed at, where it is a thing of its own.
fn target(params: &Params) -> Option<Result<Target, netsonde_contract::target::TargetError>> {
    let endpoint = |host: &str, port: u16| {
        Target::parse(&format!("{}:{port}", netsonde_contract::target::bracketed(host)), TargetForm::Endpoint)
    };
    match params {
        Params::Http(params) => Some(Target::parse(&params.url, TargetForm::Url)),
        Params::Tcp(params) => Some(endpoint(&params.host, params.port)),
        Params::Tls(params) => Some(endpoint(&params.host, params.port)),
        Params::Icmp(params) => Some(Target::parse(&params.host, TargetForm::Host)),
        Params::Traceroute(params) => Some(Target::parse(&params.host, TargetForm::Host)),
        Params::Mtu(params) => Some(Target::parse(&params.host, TargetForm::Host)),
        Params::Ntp(params) => Some(Target::parse(&params.host, TargetForm::Host)),
        // Names such as `_dmarc.example.` are asked for, but are no hosts.
        Params::Dns(params) => Target::parse(&params.name, TargetForm::Host).ok().map(Ok),
        Params::Host(params) => params.target.as_deref().map(|target| Target::parse(target, TargetForm::Host)),
    }
}

impl Subcommand for ProbeCommand {
    fn augment_subcommands(command: Command) -> Command {
        Kind::ALL
            .iter()
            .fold(command, |command, kind| command.subcommand(kind_command(*kind)))
            .subcommand_required(true)
            .arg_required_else_help(true)
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
        let parameters = kind.fields().iter().filter_map(|field| Some((field.name.clone(), value_of(field, matches)?))).collect();
        Ok(Self { kind, parameters, options: MeasuringOptions::from_arg_matches(matches)? })
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
    MeasuringOptions::augment_args(command).about(kind.summary()).long_about(None).after_help(example(kind))
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
    fn help_tells_defaults_and_bounds() {
        let mut command = kind_command(Kind::Tcp);
        let help = command.render_long_help().to_string();
        assert!(help.starts_with(Kind::Tcp.summary()), "{help}");
        assert!(help.contains("50 to 30000") && help.contains("[default: 3000]"), "{help}");
    }

    #[test]
    fn an_impossible_host_is_refused_before_anything_is_sent() {
        let stop = parse(&["tcp", "not a host", "80"]).unwrap().plan().unwrap_err();
        assert_eq!(stop.exit, exit::USAGE);
        assert!(stop.message.contains("is not a target"), "{stop:?}");
    }
}
