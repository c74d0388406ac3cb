//! Facts of macOS. What is only bytes is tested on every system; the calls are type-checked and no more (`docs/platforms.md`).

/// Messages of a socket with their hop limits.
mod message;
/// Questions to the routing table.
mod route_socket;
/// What the kernel counts.
mod statistics;

#[cfg(target_os = "macos")]
pub(crate) use message::receive_message;
#[cfg(target_os = "macos")]
pub(crate) use route_socket::{default_routes, route};
#[cfg(target_os = "macos")]
pub(crate) use statistics::counters;
