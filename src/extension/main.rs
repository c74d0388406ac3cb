//! The handler of netsonde's extension for Azure VMs with Windows: what the VM's guest agent calls to install, enable, disable, update and
//! uninstall.
//!
//! Folders, settings and status files are the guest agent's, and the words of the settings are those of the handler for Linux:
//!
//! ```text
//! public      {"run": {"set": "web", "targets": ["https://shop.example/"]}}     one run, whose findings become the status
//!             {"agent": "…agent.toml…", "policy": "…policy.toml…"}              the service, with these files
//! protected   {"ticket": "nst1_…"}                                              one run, sent to support
//!             {"enrolment": "nse1_…"}                                           enrols the machine, for orders that the policy allows
//! ```
//!
//! The settings are the words of whoever may manage the VM, so what they ask for is agreed to.

/// The time of day, for status files and the log.
mod clock;
/// The guest agent's folders, and what is told there.
mod folders;
/// The five operations.
mod operation;
/// Where netsonde's files go, and whose they are.
mod placement;
/// What only Windows decrypts, and where its folders are.
mod platform;
/// Calls of `netsonde.exe`.
mod program;
/// What whoever manages the VM asks for.
mod settings;
/// What goes on is told again and again.
mod telling;

use folders::Folders;
use operation::Operation;
use std::io::Write;
use std::process::ExitCode;

/// Why an operation was not carried out. The codes are of the guest agent's convention.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// The program does not run on a machine like this one.
    Unsupported(String),
    /// The settings cannot be used; the text says which and why.
    Unusable(String),
    /// Something failed that might not fail another time, and that no setting is to blame for.
    Failed(String),
}

impl Failure {
    /// From what was attempted.
    fn of(attempt: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let attempt = attempt.into();
        move |error| Self::Failed(format!("{attempt}: {error}"))
    }

    fn words(&self) -> &str {
        match self {
            Self::Unsupported(words) | Self::Unusable(words) | Self::Failed(words) => words,
        }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Unsupported(_) => 51,
            Self::Unusable(_) => 53,
            Self::Failed(_) => 1,
        }
    }
}

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let operation = match given.as_slice() {
        [one] => Operation::named(one),
        _ => None,
    };
    let Some(operation) = operation else {
        return ended("usage: netsonde-extension install|enable|disable|update|uninstall", 2);
    };
    match Folders::find() {
        Ok(folders) => carry_out(operation, &folders),
        Err(failure) => ended(failure.words(), failure.code()),
    }
}

fn carry_out(operation: Operation, folders: &Folders) -> ExitCode {
    let name = operation.name();
    let number = folders.settings_number(std::env::var("ConfigSequenceNumber").ok().as_deref());
    folders.log(&format!("{name}, version {}", folders.version()));
    match operation.carry_out(folders, number) {
        Ok(said) => {
            folders.log(&match &said {
                Some(said) => format!("{name} is done: {said}"),
                None => format!("{name} is done"),
            });
            match said {
                Some(said) if operation == Operation::Enable => {
                    told(folders, folders.report(number, name, folders::Status::Success, &said, 0))
                }
                _ => ExitCode::SUCCESS,
            }
        }
        Err(failure) => {
            folders.log(&format!("{name} failed: {}", failure.words()));
            let told = folders.report(number, name, folders::Status::Error, failure.words(), failure.code());
            let words = match told {
                Ok(()) => failure.words().to_owned(),
                Err(untold) => {
                    folders.log(untold.words());
                    format!("{}; and its status does not say so: {}", failure.words(), untold.words())
                }
            };
            ended(&words, failure.code())
        }
    }
}

fn told(folders: &Folders, result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            folders.log(failure.words());
            ended(failure.words(), failure.code())
        }
    }
}

fn ended(words: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "netsonde: {words}");
    ExitCode::from(code)
}
