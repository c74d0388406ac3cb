//! What netsonde does not do: no packet goes where nobody asked for it, no port is opened, no other program is started.

/// Where a run and an agent send to.
mod destinations;
/// The ports of a service.
mod listening;
/// The processes of a run and of an agent.
mod processes;
/// A backend whose database somebody edits.
mod stolen_database;
/// A network that keeps every address that is sent to.
mod watch;
