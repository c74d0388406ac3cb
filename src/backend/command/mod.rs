//! The command line.

mod audit;
mod data_dir;
mod new_desk_token;
mod ready;
mod reset_password;
mod serve;
mod stop;
mod verify;

use clap::{Parser, Subcommand};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

#[cfg(test)]
pub(crate) use audit::{Wanted, export as export_audit, follow_whole as follow_audit};
#[cfg(test)]
pub(crate) use new_desk_token::renew as renew_desk_token;
#[cfg(test)]
pub(crate) use ready::announce;
#[cfg(test)]
pub(crate) use serve::{Running, Settings};
#[cfg(test)]
pub(crate) use verify::{Report, verify as verify_store};

/// The support backend of netsonde: takes signed diagnostic bundles, verifies them and shows what they say.
#[derive(Parser)]
#[command(name = "netsonde-backend", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What is logged, to standard error: error, warn, info, debug, or a filter such as netsonde_backend=debug
    #[arg(long, global = true, value_name = "FILTER", env = "NETSONDE_LOG", default_value = "info")]
    log: EnvFilter,
    /// Log one JSON object a line
    #[arg(long, global = true)]
    log_json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the backend; without options on 127.0.0.1:8443 with everything in one directory
    Serve(serve::Serve),
    /// Check the whole store: every blob, signature, proof and receipt
    Verify(verify::Verify),
    /// Print the audit log, one JSON object a line, and check that nothing of it was altered
    Audit(audit::Audit),
    /// Set a new password for the pages and sign everybody out
    ResetPassword(reset_password::ResetPassword),
    /// Make a new desk token for netsonde-desk; the one before stops working
    NewDeskToken(new_desk_token::NewDeskToken),
}

/// Runs the command that the arguments name. Exit codes: 0 done, 1 failed, 2 wrong usage.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.log, cli.log_json);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("cannot start")),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(serve) => serve.run().await.map(|()| ExitCode::SUCCESS),
            Command::Verify(verify) => verify.run().await,
            Command::Audit(audit) => audit.run().await,
            Command::NewDeskToken(renew) => renew.run().await.map(|()| ExitCode::SUCCESS),
            Command::ResetPassword(reset) => reset.run().await.map(|()| ExitCode::SUCCESS),
        }
    });
    // A blocking task that still reads a slow disk is no reason to stay.
    runtime.shutdown_background();
    done.unwrap_or_else(|error| failed(&error))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "netsonde-backend: {error:#}");
    ExitCode::FAILURE
}

fn log_to_stderr(filter: EnvFilter, json: bool) {
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    if json {
        log.json().init();
    } else {
        log.init();
    }
}
