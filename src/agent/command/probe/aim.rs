//! A target is written for one probe as it is for a run: `127.0.0.1:8443`, `db.example`, `shop.example/pay`. What it says is taken
//! apart into the kind's parameters here, so that a wrong one is refused before anything is measured.

use clap::{Arg, ArgMatches, Command};
use netsonde_contract::internationalized::to_ascii;
use netsonde_contract::kind::{Kind, ServiceProtocol};
use netsonde_contract::target::{Target, TargetForm, bracketed};
use serde_json::{Map, Value};

/// The parameter of the kinds that connect to a port.
pub(super) const PORT: &str = "port";

/// The same port in the other way of writing it.
const SECOND_PORT: &str = "second port";

/// Lets the port stand behind the host and as an option alike, for every kind that has one.
pub(super) fn with_both_ports(kind: Kind, command: Command) -> Command {
    let Some(field) = kind.fields().iter().find(|field| field.name == PORT) else { return command };
    let second = Arg::new(SECOND_PORT).value_parser(clap::value_parser!(i64).range(1..=65_535)).conflicts_with(PORT);
    if field.required {
        let second = second.long(PORT).value_name("NUMBER").help("The port, where it does not stand with or behind the host");
        command.mut_arg(PORT, |port| port.required(false)).arg(second)
    } else {
        command.arg(second.value_name("PORT").help("The port, where it does not stand with the host"))
    }
}

/// The port where it was given in the other way.
pub(super) fn second_port(kind: Kind, matches: &ArgMatches) -> Option<i64> {
    let has_port = kind.fields().iter().any(|field| field.name == PORT);
    has_port.then(|| matches.get_one::<i64>(SECOND_PORT).copied()).flatten()
}

/// Takes the target apart into the parameters. None where the kind is aimed at nothing that is a thing of its own.
pub(super) fn read(kind: Kind, parameters: &mut Map<String, Value>) -> Result<Option<Target>, String> {
    let text = |name: &str| parameters.get(name).and_then(Value::as_str).map(str::to_owned);
    let parse = |text: &str, form| Target::parse(text, form).map_err(|error| error.to_string());
    match kind {
        Kind::Http | Kind::Load | Kind::Proxy => {
            let Some(given) = text("url") else { return Ok(None) };
            let target = parse(&given, TargetForm::Url)?;
            parameters.insert("url".into(), target.url().unwrap_or(given).into());
            Ok(Some(target))
        }
        Kind::Tcp | Kind::Tls | Kind::Quic | Kind::Reflect => {
            let Some(given) = text("host") else { return Ok(None) };
            endpoint(kind, &parse(&given, TargetForm::Host)?, parameters).map(Some)
        }
        Kind::Icmp | Kind::Traceroute => of_host("host", parameters),
        // Their port means something to some of their ways only, and has a default of its own.
        Kind::Mtu | Kind::Ntp => {
            let Some(given) = text("host") else { return Ok(None) };
            with_optional_port(kind, &parse(&given, TargetForm::Host)?, parameters).map(Some)
        }
        Kind::Service => {
            let Some(given) = text("host") else { return Ok(None) };
            service(&parse(&given, TargetForm::Host)?, parameters).map(Some)
        }
        Kind::Host => of_host("target", parameters),
        Kind::Cloud => Ok(None),
        // Names such as `_dmarc.example.` are asked for, but are no hosts.
        Kind::Dns => {
            let Some(given) = text("name") else { return Ok(None) };
            let carried = to_ascii(&given).map_err(|why| format!("`{given}` is not a name: {why}"))?;
            if !given.is_ascii() {
                parameters.insert("name".into(), carried.into());
            }
            Ok(Target::parse(&given, TargetForm::Host).ok())
        }
    }
}

/// Host and port of a service; where no port was given, the protocol's own.
fn service(given: &Target, parameters: &mut Map<String, Value>) -> Result<Target, String> {
    let apart = parameters.get(PORT).and_then(Value::as_u64).filter(|port| *port != 0);
    let word = parameters.get("protocol").and_then(Value::as_str).unwrap_or_default();
    let protocol = ServiceProtocol::ALL.iter().find(|protocol| protocol.name() == word);
    if let (None, None, Some(protocol)) = (given.port, apart, protocol) {
        parameters.insert(PORT.into(), protocol.port().into());
    } else if apart.is_none() {
        parameters.remove(PORT);
    }
    endpoint(Kind::Service, given, parameters)
}

/// Host and port, wherever the port was given.
fn endpoint(kind: Kind, given: &Target, parameters: &mut Map<String, Value>) -> Result<Target, String> {
    let apart = parameters.get(PORT).and_then(Value::as_u64);
    let default = kind.fields().iter().find(|field| field.name == PORT).and_then(|field| field.default.as_ref());
    let port = match (given.port.map(u64::from), apart) {
        (Some(with), Some(apart)) if with != apart => {
            return Err(format!("{} gives two ports, {with} and {apart}: give one", given.text));
        }
        (with, apart) => with.or(apart).or(default.and_then(Value::as_u64)),
    };
    let host = bracketed(&given.host);
    let Some(port) = port else { return Err(format!("{} names no port: write it as {host}:443", given.text)) };
    parameters.insert("host".into(), given.host.clone().into());
    parameters.insert(PORT.into(), port.into());
    Target::parse(&format!("{host}:{port}"), TargetForm::Endpoint).map_err(|error| error.to_string())
}

/// A host, and the port where it was given with it; the target stays the host alone otherwise.
fn with_optional_port(kind: Kind, given: &Target, parameters: &mut Map<String, Value>) -> Result<Target, String> {
    if given.port.is_some() {
        return endpoint(kind, given, parameters);
    }
    parameters.insert("host".into(), given.host.clone().into());
    Ok(given.clone())
}

/// The parameter that names a host alone, in the form that the network carries.
fn of_host(name: &str, parameters: &mut Map<String, Value>) -> Result<Option<Target>, String> {
    let Some(given) = parameters.get(name).and_then(Value::as_str) else { return Ok(None) };
    let target = host(&Target::parse(given, TargetForm::Host).map_err(|error| error.to_string())?)?;
    parameters.insert(name.to_owned(), target.host.clone().into());
    Ok(Some(target))
}

/// A host alone: what is sent there has no port.
fn host(given: &Target) -> Result<Target, String> {
    if given.port.is_some() {
        return Err(format!(
            "{} names a port, which this measurement has none of: give the host alone, {}",
            given.text, given.host
        ));
    }
    Ok(given.clone())
}
