//! The command line: one file a command.

/// The daemon.
mod agent;
mod audit;
mod bundle;
mod capabilities;
mod completions;
mod diagnose;
mod enroll;
mod escalate;
mod excerpt;
mod explain;
mod history;
mod identity;
mod key;
/// Options of every command that measures.
mod measuring;
mod metrics;
mod orders;
mod own;
mod pause;
mod policy;
mod probe;
mod reflect;
mod run;
mod schedule;
mod schema;
mod send;
mod service;
mod sets;
/// Slips that have a better word than the parser's.
mod slip;
mod spool;
/// The option that names the state directory.
mod state_option;
mod status;

pub(crate) use sets::{load as load_set, wanted_by};
#[cfg(test)]
pub(crate) use spool::release_bundle;

use crate::stop::Stop;
use crate::terminal;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;

const EXAMPLES: &str = "\
Examples:
  netsonde run web --target https://shop.example/      why does this web address not work?
  netsonde run port --target db.example:5432           why can't I connect to this port?
  netsonde run --ticket nst1_…                         what support asked for, and send it
  netsonde probe dns shop.example --types A,AAAA       one measurement
  netsonde explain tls.expired                         what a finding means
  netsonde enroll                                      let support ask for runs, as far as the policy lets them

Exit codes: 0 as expected, 1 something was found, 2 usage, 3 could not be measured, 4 refused, 5 not uploaded (kept; netsonde bundle send sends it), 6 the agent cannot work now, 130 interrupted.";

/// Finds where network traffic stalls, and why, and packs the evidence into one signed file.
#[derive(Parser)]
#[command(name = "netsonde", version, after_help = EXAMPLES, max_term_width = 110, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a probe set and names what is wrong.
    Run(Box<run::RunCommand>),
    /// Runs a probe set again and again, until the intermittent fault shows, and keeps what came before it.
    Watch(Box<run::WatchCommand>),
    /// Takes one measurement and makes no bundle.
    #[command(subcommand)]
    Probe(probe::ProbeCommand),
    /// Answers test packets of `probe reflect` from another machine, until it is interrupted.
    Reflect(reflect::ReflectCommand),
    /// Shows the probe sets that are built in, and checks files of one's own.
    #[command(subcommand)]
    Sets(sets::SetsCommand),
    /// Says what can be measured on this machine by this user, and what grants the rest.
    Capabilities(capabilities::CapabilitiesCommand),
    /// Explains what a finding means, how it was told, and who can fix it.
    Explain(explain::ExplainCommand),
    /// Looks into a bundle, verifies it, prints its report, or sends it.
    #[command(subcommand)]
    Bundle(bundle::BundleCommand),
    /// Diagnoses a bundle again with this version's rules, and holds it against another run.
    Diagnose(diagnose::DiagnoseCommand),
    /// Writes a note for a ticket from a bundle: symptom, cause, what was tried and ruled out, how to repeat it.
    Escalate(escalate::EscalateCommand),
    /// Shows the agent's own key.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Enrols this machine with a support organisation, whose engineers may then ask for runs, as far as the policy lets them.
    Enroll(enroll::EnrollCommand),
    /// Measures what agent.toml asks for, and carries out orders as far as the policy lets them, until it is interrupted.
    Agent(Box<agent::AgentCommand>),
    /// Lists the orders that came, and answers those that wait for somebody here.
    #[command(subcommand)]
    Orders(orders::OrdersCommand),
    /// Writes, checks and explains the policy: what may be asked of this machine from elsewhere.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Refuses every order until `netsonde resume`. Runs of people at this machine go on.
    Pause(pause::PauseCommand),
    /// Takes orders again, as far as the policy lets them.
    Resume(pause::ResumeCommand),
    /// Shows whom this machine is to its support organisation; changes its keys; ends it.
    Identity(identity::IdentityCommand),
    /// Verifies and exports the log of what was asked of this machine from elsewhere.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Shows what agent.toml measures by itself and when, checks it, and runs what is due.
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Shows what scheduled checks measured lately, and what changed.
    History(history::HistoryCommand),
    /// Prints what scheduled checks measured last, as Prometheus reads it.
    Metrics(metrics::MetricsCommand),
    /// Lists, sends, removes or copies the bundles that are kept on this machine.
    #[command(subcommand)]
    Spool(Box<spool::SpoolCommand>),
    /// Makes a service of this program that starts with the system, shows how it is, and removes it.
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Removes netsonde from this machine.
    #[command(name = "self", subcommand)]
    Own(own::OwnCommand),
    /// Prints completions for a shell.
    Completions(completions::CompletionsCommand),
    /// Prints the JSON Schema of the document that --format json prints.
    Schema(schema::SchemaCommand),
}

/// Parses the arguments, does what they say, and returns the exit code.
pub(crate) fn dispatch(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            match slip::of(&error, &arguments).or_else(|| slip::in_own_words(&error, &arguments)) {
                Some(stop) => terminal::say_stop(&stop),
                // Help goes to standard output; a reader that went away does not want it.
                None => drop(error.print()),
            }
            return u8::try_from(error.exit_code()).unwrap_or(crate::exit::USAGE);
        }
    };
    start_logging(matches!(&cli.command, Command::Agent(command) if command.logs_json()));
    let done = match cli.command {
        Command::Run(command) => command.execute(),
        Command::Watch(command) => command.execute(),
        Command::Probe(command) => command.execute(),
        Command::Reflect(command) => command.execute(),
        Command::Sets(command) => command.execute(),
        Command::Capabilities(command) => command.execute(),
        Command::Explain(command) => command.execute(),
        Command::Bundle(command) => command.execute(),
        Command::Diagnose(command) => command.execute(),
        Command::Escalate(command) => command.execute(),
        Command::Key(command) => command.execute(),
        Command::Enroll(command) => command.execute(),
        Command::Agent(command) => command.execute(),
        Command::Orders(command) => command.execute(),
        Command::Policy(command) => command.execute(),
        Command::Pause(command) => command.execute(),
        Command::Resume(command) => command.execute(),
        Command::Identity(command) => command.execute(),
        Command::Audit(command) => command.execute(),
        Command::Schedule(command) => command.execute(),
        Command::History(command) => command.execute(),
        Command::Metrics(command) => command.execute(),
        Command::Spool(command) => command.execute(),
        Command::Service(command) => command.execute(),
        Command::Own(command) => command.execute(),
        Command::Completions(command) => command.execute(),
        Command::Schema(command) => command.execute(),
    };
    done.unwrap_or_else(|stop| {
        terminal::say_stop(&stop);
        stop.exit
    })
}

/// The whole command line, for completions.
fn command_line() -> clap::Command {
    Cli::command()
}

/// Where this program is, links followed.
fn own_program() -> Result<std::path::PathBuf, Stop> {
    let path = std::env::current_exe();
    let path = if cfg!(windows) { path } else { path.and_then(std::fs::canonicalize) };
    path.map_err(|error| Stop::usage(format!("the system does not tell where this program is: {error}")))
}

/// A runtime for what waits on the network.
fn block_on<T>(work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    // Whoever else uses TLS in this process takes the provider from here.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    report_panics_quietly();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::usage(format!("the system gives no threads or timers: {error}")))?;
    let done = runtime.block_on(work);
    // A name lookup that hangs in the system must not hold up the end of the program.
    runtime.shutdown_background();
    done
}

/// A runtime of one thread, which costs least while nothing happens.
fn block_on_one_thread<T>(work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    report_panics_quietly();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::usage(format!("the system gives no timers: {error}")))?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

/// A panic in a check becomes part of the document. Only one outside the checks speaks for itself.
fn report_panics_quietly() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some("main") {
            usual(panic);
        } else {
            tracing::debug!(%panic, "a check stopped");
        }
    }));
}

/// Logs go to standard error where `NETSONDE_LOG` asks for them, such as `NETSONDE_LOG=debug`; as JSON, what is said to people goes there the
/// same way.
fn start_logging(json: bool) {
    if json {
        terminal::say_as_json();
    }
    if let Ok(filter) = std::env::var("NETSONDE_LOG") {
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        let _ = if json { log.json().flatten_event(true).try_init() } else { log.try_init() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command_line().debug_assert();
    }

    #[test]
    fn every_command_that_does_work_shows_an_example() {
        fn walk(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.has_subcommands() {
                command.get_subcommands().for_each(|sub| walk(sub, &path));
            } else {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("netsonde"), "`{}` shows no example", path.trim());
            }
        }
        walk(&command_line(), "");
    }
}
