//! Services against the real programs, each started by its test in a folder and a network namespace of its own and ended with it.
//! Nothing reaches any other machine: a namespace has a loopback, and for DHCP a second namespace on a cable.

/// The programs, as they are started.
mod daemons;
/// The kind `service` against each.
mod protocols;
/// The sets `smtp` and `sql-endpoint` against some.
mod sets;
/// The kind `tls` after STARTTLS against each.
mod starttls;
/// The table in the documentation against the list of protocols.
mod table;
/// A namespace with its folder and its processes.
mod world;
