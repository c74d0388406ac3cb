//! `netsonde-desk`: the support engineer's command line.
//!
//! Each command stands in its own file and does one thing with the [`backend::Backend`] that the engineer signed in to. Nothing that the
//! backend sends is believed where it can be checked: a bundle is verified here, on this machine, before anything is said about it.

/// `agents`: who is enrolled.
mod agents;
/// The command line.
mod arguments;
/// The support backend, as the desk talks to it.
mod backend;
/// `cases`: what there is.
mod cases;
/// The wall clock.
mod clock;
/// `completions`: for the shell.
mod completions;
/// How long a ticket is valid, as people write it.
mod duration;
/// `enrol`: strings with which agents enrol.
mod enrol;
/// `fetch`: a bundle onto this machine, verified.
mod fetch;
/// `import`: bundles that came by other ways.
mod import;
/// `NAME=VALUE` as people write it.
mod labels;
/// `login`: keeps the desk token.
mod login;
/// `trigger`, `sign`, `orders`: orders from the wish to the findings.
mod orders;
/// `org`: the root and the list of keys.
mod organisation;
/// Files that only their owner may read.
mod private_file;
/// Random numbers of the system.
mod random;
/// `ticket revoke`.
mod revoke;
/// `serve`: orders by a form on this machine.
mod serve;
/// `show`: a case in plain words.
mod show;
/// Where the desk token is kept.
mod sign_in;
/// Keys that sign.
mod signing;
/// Why a command stopped.
mod stop;
/// Columns, moments and sizes.
mod table;
/// The two streams and the person before them.
mod terminal;
/// A backend for tests.
#[cfg(test)]
mod test_backend;
/// `ticket`: makes a ticket and its message.
mod ticket;

use arguments::{Arguments, Command, Format, TicketCommand};
use backend::Backend;
use clap::{CommandFactory, Parser};
use netsonde_report::text::Depth;
use std::ffi::OsString;
use std::process::ExitCode;
use stop::Stop;

/// Runs one command line, the program's name first, and says how it went: 0 done, 1 not done, 2 the command line is wrong, 3 an order is
/// signed and needs more signatures before it is submitted, 4 an agent refused an order.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed stream cannot be told of.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(stop::USAGE));
        }
    };
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            terminal::say_stop(&stop);
            ExitCode::from(stop.exit)
        }
    }
}

/// The command line's definition, for manual pages and completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

fn start(arguments: Arguments) -> Result<(), Stop> {
    // A second provider in the process is the same one: nothing else installs any.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::failed(format!("the program cannot start: {error}")).next("free some memory and try again"))?;
    runtime.block_on(dispatch(arguments))
}

async fn dispatch(arguments: Arguments) -> Result<(), Stop> {
    let (format, place) = (arguments.format, arguments.organisation);
    let backend = || Backend::new(&sign_in::token()?);
    match arguments.command {
        Command::Completions { shell } => completions::completions(shell),
        Command::Login => login::login(format).await,
        Command::Ticket(ticket) => match ticket.command {
            Some(TicketCommand::Revoke { id }) => revoke::revoke(&backend()?, &id, format).await,
            None => ticket::ticket(backend, ticket.wish, format).await,
        },
        Command::Cases => cases::cases(&backend()?, format).await,
        Command::Show { case, bundle, detail, explain } => {
            let depth = Depth { detail, explain };
            show::show(&backend()?, &show::Wish { case, bundle, depth }, format).await
        }
        Command::Org { command } => organisation::organisation(command, place, backend, format).await,
        Command::Enrol(wish) => enrol::enrol(&backend()?, place, wish, format).await,
        Command::Agents { command, labels, json } => {
            let format = if json { Format::Json } else { format };
            agents::agents(&backend()?, command, &labels, format).await
        }
        Command::Trigger(wish) => orders::trigger(&backend()?, place, *wish, format).await,
        Command::Sign { draft, expires, how } => orders::sign(&backend()?, place, &draft, &expires, how, format).await,
        Command::Orders { command } => orders::orders(&backend()?, command, format).await,
        Command::Serve { port, key } => serve::serve(backend()?, place, port, key).await,
        Command::Import { files, case } => import::import(&backend()?, &files, case.as_deref(), format).await,
        Command::Fetch { bundle, out } => fetch::fetch(&backend()?, &bundle, out.as_deref(), format).await,
    }
}

impl Format {
    /// The value as one JSON document on a line of its own.
    fn json(value: &impl serde::Serialize) -> Result<String, Stop> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Stop::failed(format!("the answer cannot be written as JSON: {error}")).next("use --format human"))?;
        Ok(text + "\n")
    }
}
