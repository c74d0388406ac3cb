//! `netsonde-backend`: takes bundles, verifies them, keeps them, shows them.
//!
//! One process with nothing to install: SQLite and a folder. A request comes in
//! through `accept`, is answered by `api` (programs) or `pages` (people), and what
//! it brings is believed only after `ingest` has verified it. The other modules
//! are what these stand on.

/// The own accept loop: connections, time-outs, draining.
mod accept;
/// Who is told of changes, by webhook and e-mail.
mod alerts;
/// The interface for programs.
mod api;
/// What a request may need, in one place.
mod app;
/// Bundles' bytes by their digest.
mod blobs;
/// Request bodies within bounds.
mod body;
/// The only place that reads time.
mod clock;
/// The program's commands.
pub mod command;
/// What holds bundles' bytes, for the fault suite.
#[cfg(feature = "faults")]
pub mod faults;
/// Enrolled agents: whose request it is, who listens, what waits for them.
mod fleet;
/// How scheduled checks are, and whose silence hides it.
mod health;
/// The data directory: files, keys, lock.
mod home;
/// From bytes to an acknowledged bundle.
mod ingest;
/// Every bound on what a stranger can cost.
mod limits;
/// Server-rendered pages.
mod pages;
/// Refusals as problem documents.
mod problem;
/// Randomness from the operating system.
mod random;
/// All routes and what holds for every answer.
mod router;
/// Who a connection comes from.
mod source;
/// Unfinished uploads.
mod staging;
/// What is remembered: the trait and SQLite.
mod store;
#[cfg(test)]
mod tests;
