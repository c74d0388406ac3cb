//! Everything that needs more than one program, a real tool or the whole tree.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

/// Attacks on the agent by whoever holds its backend.
mod attacks;
/// The bundle against the tools that a customer has: ssh-keygen, openssl, sha256sum, tar.
mod bundle_tools;
/// The clouds' services, in a namespace that has their addresses.
mod cloud;
/// Commands that the documents tell a person to type.
mod documented_commands;
/// Echo requests to ten thousand addresses.
mod echo_sweep;
/// What every kind that connects or sends says of a router that forbids, and of a machine without a network.
mod every_connect;
/// Recorded evidence of the lab against the findings that were judged.
mod golden;
/// Whole ways through the real programs.
mod journeys;
/// The path MTU over a real router.
mod path_mtu;
/// What nobody asked for and does not happen.
mod quiet;
/// Losses and sizes of one direction over a real router.
mod reflect;
/// What is seen with some of root's capabilities.
mod rights;
/// Services of many protocols against the real programs.
mod services;
/// A client, a router and a server.
mod small_network;
/// Invariants of the tree that a test can hold.
mod tidy;
/// TLS facts against openssl.
mod tls_tools;
/// Traceroutes over real routers.
mod trace_paths;
/// One bundle held against another, from two places.
mod vantages;
