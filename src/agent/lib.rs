//! `netsonde`: the agent and the customer's command line.
//!
//! The way of a run: [`command`] reads what is asked, [`runner`] walks the plan's checks, the diagnosis crate says what their
//! facts mean, [`redaction`] takes out what must not leave, [`bundling`] packs and signs, [`spool`] keeps, [`upload`] sends on
//! consent. Standard output carries the document that was asked for and nothing else.
#![cfg_attr(test, recursion_limit = "256")]

/// The customer's `agent.toml` on this machine.
mod agent_file;
/// What was asked of this machine from elsewhere, in a chain of lines.
mod audit;
/// From a document to a signed bundle.
mod bundling;
/// Changes of health that the backend has not heard of.
mod changes;
/// The boot clock.
mod clock;
/// One file a command, and what they all share.
mod command;
/// What the service gives up before it begins.
mod confinement;
/// When the backend last heard of the checks.
mod contact;
/// Asks for orders and carries out what the policy allows.
mod daemon;
/// The way to the backend: whether the ticket is good, whether TLS is to be trusted, and the sending.
mod delivery;
/// Files that stay.
mod disk;
/// What of a service's words goes into the event log of Windows.
#[cfg(any(windows, test))]
mod event_words;
/// Exit codes.
mod exit;
/// The spool on a disk of the caller's.
#[cfg(feature = "faults")]
pub mod faults;
/// Measurements beyond the plan, where several causes remain possible.
mod follow_up;
/// A document in the format that was asked for.
mod format;
/// SIGHUP.
mod hangup;
/// How each scheduled check is.
mod health;
/// The flight recorder.
mod history;
/// Whom this machine is to a support organisation.
mod identity;
/// Ctrl-C.
mod interruption;
/// A finished bundle on this machine: where it is kept, what is left of it once it was delivered.
mod keeping;
/// Measurements that are watched as they go on.
mod live;
/// Many agents in one process.
#[cfg(feature = "load")]
pub mod load;
/// A plan's result as one document.
mod measurement;
/// What scheduled checks measured last, as Prometheus reads it.
mod metrics;
/// systemd.
mod notify;
/// Orders: decided, kept, taken once.
mod orders;
/// That nobody else could have put a file where it is.
mod others_hands;
/// System calls of the agent itself.
mod platform;
/// The customer's policy on this machine.
mod policy_file;
/// What a run would do and cost, without doing it.
mod preview;
/// The machine's own proxies.
mod proxied;
/// A scheduled run's result, noted: history, health, and what changed.
mod recording;
/// Takes out what must not leave the machine.
mod redaction;
/// What `agent.toml` has the agent measure by itself.
mod rounds;
/// Walks a plan's checks under their deadlines.
mod runner;
/// When the agent measures by itself.
mod schedule;
/// `netsonde agent`: orders and rounds in one loop.
mod service;
/// The agent as a service of the system.
mod service_control;
/// Bundles on disk: written, ready, sent.
mod spool;
/// Orders that this machine repeats.
mod standing;
/// The state directory: key, sequence, spool.
mod state;
/// What netsonde makes in a state directory.
mod state_names;
/// What a command that stops says: what was attempted, why it failed, what to do next.
mod stop;
/// Standard output, standard error, questions.
mod terminal;
/// A ticket's way into a run.
mod ticket;
/// An enrolled agent's way to its backend.
mod transport;
/// Sends a bundle, resumably, and checks its receipt.
mod upload;
/// Files that people wrote, in whatever their editor or shell made of them.
mod written_text;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with these arguments, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::from(command::dispatch(arguments))
}
