//! What netsonde's programs must agree on, and nothing else.
//!
//! This crate holds types, their checks and their encodings. It opens no
//! socket and no file, waits for nothing and reads no clock, so that the agent,
//! the backend and the desk can all rely on it, and tests own everything it does.

/// `agent.toml`: what the agent measures by itself, and when.
pub mod agent_config;
/// API paths, bodies and problem codes.
pub mod api;
/// The backend's audit log: entries that each cover the one before.
pub mod audit;
/// The signed diagnostic bundle: pack, sign, verify.
pub mod bundle;
/// What each kind sees, on which system and with which right.
pub mod capability;
/// Root causes: the closed list of codes.
pub mod cause;
/// Errors in files that people write, with file, line, column and the nearest known key.
pub mod config_error;
/// A table of a TOML text that a person wrote, read key by key.
mod config_table;
/// Another run that a diagnosis is held against, and what differs.
pub mod control;
/// The desk's sign-in string.
pub mod desk_token;
/// The document of a run: what `--format json` prints.
pub mod document;
/// DSSE envelopes: pre-authentication encoding, signing, verifying.
pub mod dsse;
/// Enrolment: the string that a desk composes, and how an agent answers it.
pub mod enrolment;
/// The machine that measured.
pub mod environment;
/// Why one network operation failed: stable code, OS error, ICMP error.
pub mod failure;
/// Findings and the state of a run.
pub mod finding;
/// Every parser of foreign text and bytes, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
/// Text from elsewhere, harmless to a terminal.
pub mod harmless;
/// The recent past of scheduled checks, their health and its changes.
pub mod history;
/// Identifiers: observation, check, bundle, ticket, case, organisation, agent, order.
pub mod id;
/// Products that inspect TLS, by the names of their authorities.
pub mod inspection;
/// Names beyond ASCII.
pub mod internationalized;
/// Probe kinds and their typed parameters: the one list.
pub mod kind;
/// The nearest known word to a mistyped one.
pub mod nearest;
/// Measured facts, one type each.
pub mod observation;
/// Orders: a signed request to enrolled agents, its freshness, and why an agent refuses one.
pub mod order;
/// What became of one check.
pub mod outcome;
/// Strings that people paste: prefix, payload, checksum.
mod pasted;
/// TLS pins: the digest of a server's public key.
pub mod pin;
/// The customer's local policy: what may be asked of this machine from elsewhere.
pub mod policy;
/// The backend's signed acknowledgement.
pub mod receipt;
/// Redaction levels and what was counted.
pub mod redaction;
/// The reference of every parameter and field, written from the types.
pub mod reference;
/// HTTP message signatures: how an agent signs what it asks of the backend.
pub mod request_signature;
/// Probe sets: the file format, the built-in catalogue, the resolved plan.
pub mod set;
/// Amounts of bytes as people write them.
pub mod size;
/// What a check is aimed at: a URL, a host and port, a host.
pub mod target;
/// Tickets: a one-off invitation to run one set for one case.
pub mod ticket;
/// The organisation's root and its list of keys: whose orders and receipts count.
pub mod trust;
