//! What the fault lab, the demo and the journeys share: where the programs are, a small PKI, and real servers with real faults.

/// Certificates: one small PKI with a certificate for each TLS fault.
pub mod certificates;
/// Recorded evidence of lab trials.
pub mod evidence;
/// System calls that no crate wraps.
pub mod platform;
/// Where the built programs are.
pub mod programs;
/// An organisation with its signer, and enrolled agents.
pub mod remote;
/// Servers that behave well or badly, as asked.
pub mod servers;
/// A stage of their own for the real programs: a folder, a backend, ways to run them.
pub mod stage;
