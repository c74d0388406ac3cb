//! What Windows tells of the machine's own network: by IP Helper, WinHTTP, Winsock and the registry.

/// Interfaces with their addresses and name servers.
pub(crate) mod adapters;
/// Socket addresses as the system writes them.
mod address;
/// What the system says of a certificate chain.
pub(crate) mod chain;
/// What the system counts.
pub(crate) mod counters;
/// Echo requests that the system sends and matches itself.
pub(crate) mod echo;
/// Memory and processors.
pub(crate) mod load;
/// Rules that send names to servers of their own.
pub(crate) mod name_rules;
/// Whom the system knows on its links.
mod neighbours;
/// Proxies of the system and of the user.
pub(crate) mod proxies;
/// Bounded reads of the registry.
pub(crate) mod registry;
/// Routes.
mod routes;
/// Sockets and the programs behind them.
pub(crate) mod sockets;
/// Tables that the system allots.
mod table;
/// What the system knows of a TCP connection.
pub(crate) mod tcp;
/// Names and versions.
pub(crate) mod version;
/// The interface towards an address, and what it sends whole.
pub(crate) mod way_out;
/// Text in the system's encoding.
mod wide;

pub(crate) use adapters::{interfaces, system_resolvers};
pub(crate) use counters::interface_counters;
pub(crate) use neighbours::neighbours;
pub(crate) use routes::{default_routes, route};
pub(crate) use version::os_release;
